"""Arms that behave as arms do: they lag, queue, are blocked and moved, and the same steps give the
same motion.
"""

import numpy as np
import pytest

from conure_core.errors import ConfigError
from conure_ros.faults.arms.models import CONTROLLERS, COUNT_RAD, Order, Refused, arm_model

HERE, THERE = np.zeros(2), np.array([0.2, -0.1])
FAST = np.full(2, 50.0)
ONE_RAD = np.array([1.0, 0.0])


def model(kind="trajectory", speed=FAST, **plant):
    return arm_model(kind, HERE, np.asarray(speed), {"lag_s": 0.03, **plant})


@pytest.mark.parametrize("kind", CONTROLLERS)
def test_every_arm_comes_to_where_it_is_told(kind):
    arm = model(kind)
    arm.take(Order(THERE, 0.075), 0.0)
    arm.advance(1.0)
    assert np.allclose(arm.plant.positions, THERE, atol=COUNT_RAD)


@pytest.mark.parametrize("kind", CONTROLLERS)
def test_no_arm_is_at_once_where_it_is_told(kind):
    arm = model(kind)
    arm.take(Order(THERE, 0.075), 0.0)
    arm.advance(0.02)
    assert np.abs(arm.plant.positions).max() < 0.7 * np.abs(THERE).max()
    arm.advance(0.08)
    assert np.abs(arm.plant.positions - THERE).max() > 0.01


@pytest.mark.parametrize("order", [1, 2])
def test_a_plant_never_exceeds_its_own_speed(order):
    arm = model("positions", speed=[1.0, 0.5], order=order)
    arm.take(Order(10 * THERE, 0.01), 0.0)
    arm.advance(0.5)
    times, joints = arm.recorded_motion(2)
    speed = np.abs(np.diff(joints, axis=0)) / np.diff(times)[:, None]
    assert (speed.max(axis=0) <= [1.0 + 1e-9, 0.5 + 1e-9]).all() and speed.max() > 0.9


def test_a_second_order_plant_with_little_damping_overshoots():
    arm = model("positions", order=2, damping=0.3)
    arm.take(Order(THERE, 0.0), 0.0)
    arm.advance(1.0)
    assert arm.recorded_motion(2)[1][:, 0].max() > 1.05 * THERE[0]


def test_a_new_trajectory_replaces_the_old_one_from_the_present_set_point():
    arm = model()
    arm.take(Order(ONE_RAD, 1.0), 0.0)
    arm.take(Order(HERE, 0.1), 0.5)
    assert arm.controller.set_point[0] == pytest.approx(0.5)
    arm.advance(0.55)
    assert arm.controller.set_point[0] == pytest.approx(0.25)
    arm.advance(2.0)
    assert arm.recorded_motion(2)[1][:, 0].max() < 0.51


@pytest.mark.parametrize("kind", ["stream", "serial"])
def test_drivers_of_ours_take_longer_than_told_where_a_joint_would_be_too_fast(kind):
    limit = np.array([1.0, 2.0])
    arm = arm_model(kind, HERE, FAST, {"lag_s": 0.01}, limit=limit)
    for now_s in np.arange(0.0, 0.5, 0.1):
        arm.take(Order(ONE_RAD, 0.05), now_s)
    arm.advance(0.6)
    times, joints = arm.recorded_motion(2)
    assert np.abs(joints[-1] - joints[0]).max() > 0.3, "it moved"
    speeds = (joints[20:] - joints[:-20])[:, 0] / (times[20:] - times[:-20])
    assert speeds.max() < 1.05 and speeds.max() > 0.9


def test_an_arm_that_queues_does_all_that_it_was_ever_told():
    arm = model("queue")
    arm.take(Order(ONE_RAD, 1.0), 0.0)
    arm.take(Order(HERE, 1.0), 0.1)
    arm.advance(1.0)
    assert arm.controller.set_point[0] == pytest.approx(1.0)
    arm.advance(2.1)
    assert arm.controller.set_point[0] == pytest.approx(0.0)


def test_a_stamped_trajectory_begins_at_its_stamp_and_one_that_is_over_is_refused():
    arm = model()
    arm.take(Order(ONE_RAD, 0.1, stamp_s=0.5), 0.1)
    arm.advance(0.5)
    assert arm.controller.set_point[0] == pytest.approx(0.0)
    arm.advance(0.55)
    assert arm.controller.set_point[0] == pytest.approx(0.5)
    with pytest.raises(Refused, match="ends in the past"):
        arm.take(Order(ONE_RAD, 0.1, stamp_s=0.2), 0.56)


def test_servos_follow_a_command_only_so_long_and_in_whole_counts():
    arm = model("serial")
    arm.take(Order(ONE_RAD, 1.0), 0.0)
    arm.advance(1.0)
    goal_rad = arm.controller.step(1.0)[0]
    assert goal_rad == pytest.approx(0.1, abs=COUNT_RAD)
    assert goal_rad / COUNT_RAD == pytest.approx(round(goal_rad / COUNT_RAD))


def test_a_blocked_joint_stays_while_the_others_go_on_and_comes_free():
    arm = model()
    arm.block(0, 0.05)
    arm.take(Order(THERE, 0.1), 0.0)
    arm.advance(0.5)
    assert arm.plant.positions[0] == 0.05 and arm.plant.positions[1] == pytest.approx(
        THERE[1], abs=1e-3
    )
    arm.free()
    arm.advance(1.0)
    assert arm.plant.positions[0] == pytest.approx(THERE[0], abs=1e-3)


def test_a_hand_that_moves_the_arm_leaves_it_there():
    arm = model()
    arm.take(Order(THERE, 0.1), 0.0)
    arm.advance(0.05)
    arm.move_by_hand(ONE_RAD)
    arm.advance(1.0)
    assert np.allclose(arm.plant.positions, ONE_RAD)


def test_a_wrong_sample_is_measured_once_and_moves_nothing():
    arm = model()
    arm.wrong_samples.append(ONE_RAD)
    assert np.array_equal(arm.measured(), ONE_RAD)
    assert np.array_equal(arm.measured(), HERE)


def test_the_same_steps_give_the_same_motion():
    def motion():
        arm = model("trajectory", order=2)
        for tick in range(20):
            arm.take(Order(THERE * (tick % 3), 0.075), 0.1 * tick)
        arm.advance(2.0)
        return arm.recorded_motion(2)[1]

    assert np.array_equal(motion(), motion())


def test_what_makes_no_arm_is_refused_by_name():
    with pytest.raises(ConfigError, match="did you mean 'serial'"):
        arm_model("seriel", HERE, FAST)
    with pytest.raises(ConfigError, match="order 1 or 2 and a lag above 0 s, got 3"):
        model(order=3)
    with pytest.raises(ConfigError, match="got 1 and 0"):
        model(lag_s=0.0)
