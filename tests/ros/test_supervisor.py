"""What control decides, in simulated time: no command starts from a wrong measurement, and a stop
ends motion.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_ros.comms.sole_publisher import NO_NAME
from conure_ros.control.arbiter import Mode
from tests.ros.supervised import FORWARD, HOME, PERIOD_S, ROBOT, Rig, ready

AWAY = np.array([1.5, 0.0, 0.0, 0.0, 0.0, 0.0])
TURN = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def once(change, at=0):
    """Spoils one sample, the `at`-th."""
    count = iter(range(10**9))
    return lambda sample: change(sample) if next(count) == at else sample


def moved(sample):
    return replace(sample, joint_rad=sample.joint_rad + AWAY)


# Rows 1 and 17: measurements.


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("begin", ["activate", "reset_stop", "home"])
def test_one_wrong_sample_never_becomes_where_commands_start(begin, at):
    rig = Rig() if begin == "activate" else ready()
    rig.spoil = once(moved, at)
    if begin == "activate":
        rig.supervisor.activate()
    elif begin == "reset_stop":
        rig.supervisor.stop("a test")
        rig.supervisor.reset_stop()
    else:
        rig.supervisor.home(lambda why: None)
    rig.run(0.3)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.5, send=FORWARD)
    ways = [np.abs(command.joint_rad - HOME).max() for command in rig.commands]
    assert ways and max(ways) < 0.6, "no command leads towards the wrong sample"
    assert np.abs(np.diff(rig.track, axis=0)).max() < 1.1 * max(ROBOT.max_speed_rad_s) * 0.01


def test_a_sample_that_the_arm_cannot_have_reached_means_hold_and_names_the_joint():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    assert rig.state.mode is Mode.POLICY
    rig.spoil = moved
    rig.run(0.05)
    assert rig.state.mode is Mode.HOLD
    assert "'waist' moved 1.50 rad" in rig.state.reason
    held = rig.set_point()
    assert rig.run(3.0, send=FORWARD) == 0, (
        "an encoder that slipped stays refused, however long it reads so"
    )
    assert np.array_equal(rig.set_point(), held)
    rig.spoil = None
    rig.run(0.05)
    assert rig.run(0.3, send=FORWARD) > 0, "the arm where it was again ends the fault"


def test_an_encoder_that_slipped_counts_only_after_a_person_chose():
    rig = ready()
    rig.run(0.2, send=FORWARD)
    rig.spoil = moved
    rig.run(1.0, send=FORWARD)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.1)
    assert rig.run(0.2, send=FORWARD) > 0


@pytest.mark.parametrize("value", [1e308, -1e200, 50.0, 4.0])
def test_a_joint_far_outside_its_limits_is_refused_by_name(value):
    rig = ready()
    rig.run(0.2, send=FORWARD)
    rig.spoil = lambda sample: replace(sample, joint_rad=np.append(value, sample.joint_rad[1:]))
    rig.tick()
    assert rig.run(0.3, send=FORWARD) == 0
    assert "'waist' reads" in rig.state.reason
    assert all(np.abs(command.joint_rad).max() < 4.0 for command in rig.commands)


def test_an_arm_that_moves_is_no_anchor():
    rig = Rig()
    swings = iter(np.abs(np.arange(1000) % 60 - 30) * 0.01)  # to and fro at 1 rad/s
    rig.spoil = lambda sample: replace(sample, joint_rad=HOME + next(swings))
    rig.supervisor.activate()
    rig.run(0.5)
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(1.0, send=FORWARD) == 0
    assert "waiting for the arm to rest" in rig.state.reason


def test_the_last_step_keeps_any_command_within_the_measured_arms_reach():
    rig = ready()
    rig.run(0.2, send=FORWARD)
    step = rig.supervisor.loop.step
    rig.supervisor.loop.step = lambda *words: replace(step(*words), joint_rad=HOME + 2.0)
    measured = rig.joint_rad.copy()
    rig.request(FORWARD)
    reach_rad = max(ROBOT.max_speed_rad_s) * (ROBOT.settle_s + 0.01) + ROBOT.max_following_error_rad
    assert np.abs(rig.commands[-1].joint_rad - measured).max() <= reach_rad + 1e-9
    assert "out of the measured arm's reach" in rig.state.changes


# Row 2 and 4: publishers.


@pytest.mark.parametrize(
    "topic", ["/joint_states", "/joint_trajectory", "/command/teleop", "/command/policy"]
)
def test_several_publishers_of_what_only_one_may_say_mean_a_stop_that_names_them(topic):
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.publishers = {topic: "/driver, /other"}
    rig.tick()
    assert rig.state.mode is Mode.STOPPED
    assert "/driver, /other" in rig.state.reason and topic in rig.state.reason
    assert "cut the arm's power" in rig.state.alarm
    rig.publishers = {}
    rig.run(0.3)
    assert rig.state.alarm == ""
    assert rig.state.mode is Mode.STOPPED, "their end ends no stop"


def test_a_node_that_has_no_name_yet_stops_the_arm_at_once_and_is_named_later():
    rig = ready()
    rig.run(0.2, send=FORWARD)
    rig.publishers = {"/joint_states": f"/driver, {NO_NAME}"}
    rig.tick()
    assert rig.state.mode is Mode.STOPPED
    rig.publishers = {"/joint_states": "/driver, /other"}
    rig.tick()
    assert "/driver, /other" in rig.state.reason
    rig.supervisor.stop("a person")
    assert "/driver, /other" in rig.state.reason, "the first reason stays"


def test_a_node_that_is_gone_before_it_was_named_stays_the_reason():
    rig = ready()
    rig.publishers = {"/joint_states": f"/driver, {NO_NAME}"}
    rig.tick()
    rig.publishers = {}
    rig.tick()
    assert NO_NAME in rig.state.reason


# Rows 3 and 8: motion after a stop.


@pytest.mark.parametrize("every_s", [0.1, 0.05, 0.02, 0.01])
@pytest.mark.parametrize("moment_s", [0.5, 0.51, 0.53, 0.57])
def test_a_stop_ends_motion_where_the_set_point_is_however_fast_commands_came(every_s, moment_s):
    rig = ready(Mode.TELEOP)
    rig.run(moment_s, send=FORWARD, every_s=every_s, source=Mode.TELEOP)
    at_stop = rig.set_point()
    rig.supervisor.stop("a test")
    rig.run(1.0, send=FORWARD, every_s=every_s, source=Mode.TELEOP)
    assert np.abs(rig.set_point() - at_stop).max() < 1e-9
    assert np.abs(np.array(rig.track[-94:]) - rig.track[-1]).max() < 1e-3, "still from 60 ms on"


def test_commands_faster_than_one_a_period_make_no_fast_arm_and_are_counted():
    rig = ready(Mode.TELEOP)
    rig.run(1.0, send=FORWARD, every_s=0.02, source=Mode.TELEOP)
    assert rig.state.refused > 20
    assert "more than one is waiting" in rig.state.refusal
    speed = np.abs(np.diff(rig.track, axis=0)).max() / 0.01
    assert speed <= 1.05 * max(ROBOT.max_speed_rad_s)
    waiting_s = rig.began_s + rig.duration_s - rig.t_s
    assert waiting_s <= PERIOD_S + ROBOT.settle_s + 1e-9


# Row 6: an arm that is blocked.


@pytest.mark.parametrize("action", [TURN, FORWARD, np.array([0, 0, 0, 0, 0, 1.0, 1.0])])
def test_a_blocked_arm_is_not_wound_up(action):
    rig = ready(Mode.TELEOP)
    rig.blocked[:] = True
    rig.run(2.0, send=action, source=Mode.TELEOP)
    ahead = np.abs(rig.set_point() - rig.joint_rad).max()
    assert ahead <= ROBOT.max_following_error_rad + 0.25


def test_a_joint_that_stays_behind_means_hold_at_where_it_is_and_is_named():
    config = replace(ROBOT, max_following_error_rad=0.1)
    rig = ready(arm=Arm(config))
    rig.blocked[0] = True
    rig.run(1.0, send=np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    reasons = {state.reason for state in rig.states if "max_following_error_rad" in state.reason}
    assert any("'waist' is 0." in reason for reason in reasons)
    ahead_rad = [np.abs(command.joint_rad - rig.joint_rad)[0] for command in rig.commands]
    assert max(ahead_rad) < 0.1 + 0.2
    assert min(ahead_rad[5:]) == 0.0, "it is let go of"


# Row 9.


def test_a_stop_outlives_the_object_that_took_it_and_a_new_one_holds():
    rig = ready(None, stopped_by="the stop topic")
    assert rig.state.mode is Mode.STOPPED
    with pytest.raises(RobotError, match="reset_stop"):
        rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.5, send=FORWARD) == 0
    fresh = ready(None)
    assert fresh.state.mode is Mode.HOLD
    assert fresh.run(0.5, send=FORWARD) == 0


# Rows 13 and 14: clocks.


def test_with_a_clock_that_stands_still_nothing_moves():
    rig = ready(Mode.TELEOP)
    rig.run(0.3, send=FORWARD, source=Mode.TELEOP)
    rig.ros_rate = 0.0
    rig.run(0.3, send=FORWARD, source=Mode.TELEOP)
    held = rig.set_point()
    assert rig.run(4.0, send=FORWARD, source=Mode.TELEOP) == 0
    assert np.array_equal(rig.set_point(), held)


def test_commands_age_by_steady_time_too_where_joint_states_have_a_clock_of_their_own():
    rig = ready(Mode.TELEOP)
    rig.run(0.3, send=FORWARD, source=Mode.TELEOP)
    count, stamp_ns = 0, rig.now_ns()
    for _ in range(100):
        rig.tick()
        before = len(rig.commands)
        rig.offset_ns = stamp_ns - rig.ros_ns
        rig.request(FORWARD, Mode.TELEOP)
        rig.offset_ns = 0
        count += len(rig.commands) - before
    assert count <= 4, "one stamp moves the arm for max_input_age_s at most"


def test_an_input_that_is_repeated_with_its_stamp_is_as_old_as_its_stamp_says():
    rig = ready()
    rig.request(FORWARD)
    rig.run(PERIOD_S)
    before = len(rig.commands)
    rig.request(FORWARD, age_s=PERIOD_S)
    assert len(rig.commands) == before + 1


def test_a_sample_from_the_future_is_named_and_blocks_nothing_later():
    rig = ready()
    rig.run(0.2, send=FORWARD)
    rig.spoil = once(lambda sample: replace(sample, stamp_ns=sample.stamp_ns + 5 * 10**9))
    rig.tick()
    assert rig.state.mode is Mode.HOLD
    assert "5.00 s in the future" in rig.state.reason
    assert rig.run(0.4, send=FORWARD) > 0


def test_what_is_dropped_is_counted_and_said():
    rig = ready()
    rig.request(FORWARD, age_s=0.15)
    rig.run(0.25)
    assert rig.state.refused == 1
    assert "before the mode was chosen" in rig.state.refusal
    assert "before the mode was chosen" in rig.state.reason


@pytest.mark.parametrize("age_s", [ROBOT.max_input_age_s + 0.005, -PERIOD_S - 0.005])
def test_an_old_or_a_future_observation_moves_nothing(age_s):
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.run(0.3)
    before = len(rig.commands)
    rig.request(FORWARD, age_s=age_s)
    assert len(rig.commands) == before
    rig.request(FORWARD, age_s=age_s + (0.01 if age_s < 0 else -0.01))
    assert len(rig.commands) == before + 1


# Row 24.


def test_a_reset_where_nothing_was_stopped_ends_motion_as_a_hold_does():
    rig = ready()
    rig.run(0.05, send=FORWARD, every_s=0.01)
    rig.blocked[:] = True
    rig.tick()
    rig.supervisor.reset_stop()
    held = rig.set_point()
    rig.run(0.05)
    rig.supervisor.stop("a test")
    rig.run(0.3)
    assert rig.commands[-1].changes == ("hold",)
    assert np.abs(rig.set_point() - held).max() < 1e-3


def test_the_state_is_said_again_at_least_every_fifth_of_a_second():
    rig = ready(None)
    before = len(rig.states)
    rig.run(2.0)
    assert len(rig.states) - before >= 9


# Any time, any order.

EVENTS = ["policy", "teleop", "stop", "reset", "hold", "select", "home", "glitch", "pause", "block"]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(EVENTS),
            st.integers(1, 30),
            st.lists(st.floats(-1, 1), min_size=7, max_size=7),
        ),
        min_size=3,
        max_size=15,
    )
)
def test_whatever_happens_speed_stays_within_limits_and_nothing_moves_while_stopped(script):
    rig = ready()
    for what, ticks, action in script:
        events = {
            "stop": lambda: rig.supervisor.stop("a test"),
            "reset": rig.supervisor.reset_stop,
            "hold": lambda: rig.supervisor.select(Mode.HOLD),
            "select": lambda: rig.supervisor.select(Mode.POLICY),
            "home": lambda: rig.supervisor.home(lambda why: None),
            "block": lambda: np.logical_not(rig.blocked, out=rig.blocked),
        }
        rig.spoil = once(moved) if what == "glitch" else None
        stopped = rig.supervisor.mode is Mode.STOPPED
        if what in events and not (stopped and what in ("hold", "select")):
            events[what]()
        if what == "pause":
            rig.t_s += ticks * 0.1
            rig.ros_ns += ticks * 10**8
        if what == "pause" or (what == "block" and not rig.blocked.any()):
            rig.joint_rad = rig.set_point()
        source = Mode.TELEOP if what == "teleop" else Mode.POLICY
        begun = len(rig.track)
        stopped_at = rig.may_come_to() if rig.supervisor.mode is Mode.STOPPED else None
        rig.run(
            ticks * 0.01,
            send=np.array(action),
            every_s=0.03 if what == "teleop" else PERIOD_S,
            source=source,
        )
        if stopped_at is not None and rig.supervisor.mode is Mode.STOPPED:
            within = np.clip(rig.joint_rad, stopped_at.min(axis=0), stopped_at.max(axis=0))
            assert np.abs(rig.joint_rad - within).max() < 1e-3
        steps = np.abs(np.diff([*rig.track[begun - 1 :]], axis=0))
        if what not in ("pause", "block"):
            assert (steps / 0.01 <= 1.6 * np.array(ROBOT.max_speed_rad_s)).all()
    for command in rig.commands:
        assert np.isfinite(command.joint_rad).all()


@pytest.mark.parametrize("source", [Mode.POLICY, Mode.TELEOP])
def test_a_command_from_the_future_is_refused_and_blocks_nothing_later(source):
    rig = ready(source)
    rig.run(0.3, send=FORWARD, source=source)
    rig.request(FORWARD, source, age_s=-1000.0)
    assert "1000.000 s in the future" in rig.state.reason
    assert rig.run(1.0, send=FORWARD, source=source) > 7
