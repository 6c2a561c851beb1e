"""A request to go home: a step a control period, and a limit for how long the arm is waited for."""

import numpy as np
import pytest

from conure_core.control.loop import ControlLoop
from conure_core.errors import RobotError, StaleInput
from conure_ros.control.home_request import HomeRequest
from conure_ros.control.parameters import ControlParameters
from tests.ros.supervised import ARM, HOME, PERIOD_S, ROBOT

ASKED_S = 100.0
SETTINGS = ControlParameters(home_speed_rad_s=0.4, home_tolerance_rad=0.05, home_settle_s=2.0)


def request(way_rad=0.3):
    loop = ControlLoop(ARM)
    loop.reset(HOME + way_rad * np.eye(6)[0], ROBOT.gripper_open_m)
    return HomeRequest(loop, SETTINGS, lambda why: None, 7, ASKED_S)


def away(way_rad):
    return HOME + way_rad * np.eye(6)[2]


def test_it_goes_home_at_the_speed_of_the_settings():
    asked, steps, last_rad = request(), [], HOME + 0.3 * np.eye(6)[0]
    while not asked.arrived:
        command = asked.step(0.0, ASKED_S)
        steps.append(np.abs(command.joint_rad - last_rad).max())
        last_rad = command.joint_rad
    assert last_rad == pytest.approx(HOME, abs=1e-5)
    assert max(steps) == pytest.approx(0.4 * PERIOD_S)


def test_it_has_not_started_before_it_is_told_to():
    asked = request()
    assert not asked.started
    asked.start(ASKED_S)
    assert asked.started and not asked.arrived


def test_steps_are_due_from_the_start_on_once_a_period():
    asked = request()
    asked.start(ASKED_S + 5.0)
    ticks_s = ASKED_S + 5.0 + 0.01 * np.arange(100) + 1e-6
    due_s = [now_s for now_s in ticks_s if asked.due(now_s)]
    assert due_s[0] == ticks_s[0], "however long the arm was waited for before"
    assert len(due_s) == 10
    assert np.diff(due_s) == pytest.approx(PERIOD_S, abs=0.011)


def test_steps_that_were_missed_are_not_made_up_for():
    asked = request()
    asked.start(ASKED_S)
    assert asked.due(ASKED_S)
    late_s = ASKED_S + 7.0 * PERIOD_S
    assert [asked.due(late_s + 0.01 * tick) for tick in range(1, 10)].count(True) <= 2


def test_an_arm_that_does_not_come_to_rest_before_it_starts_is_waited_for_no_longer_than_the_settings_say():
    asked = request()
    assert not asked.late(ASKED_S + 2.0)
    assert asked.late(ASKED_S + 2.001)


@pytest.mark.parametrize(
    ("way_rad", "settled"), [(0.0, True), (0.049, True), (-0.049, True), (0.051, False)]
)
def test_the_arm_is_home_when_no_joint_is_farther_away_than_the_tolerance(way_rad, settled):
    asked = request()
    asked.step(0.0, ASKED_S)
    assert asked.settled(away(way_rad), ASKED_S) == settled


def test_an_arm_that_does_not_settle_is_waited_for_since_the_last_step_and_then_said_to_be_away():
    asked = request()
    asked.step(0.0, ASKED_S + 50.0)
    assert not asked.settled(away(-0.06), ASKED_S + 52.0)
    assert asked.settled(away(0.0), ASKED_S + 53.0), "late is better than never"
    text = rf"within 2\.0 s: '{ROBOT.joint_names[2]}' is 0\.060 rad away, .* repeated 0 times"
    with pytest.raises(RobotError, match=text):
        asked.settled(away(-0.06), ASKED_S + 52.001)


def test_the_target_is_repeated_at_home_with_more_time_and_not_with_ever_more():
    asked = request(way_rad=0.0)
    commands = [asked.repeat(HOME, 0.0) for _ in range(5)]
    assert all(command.joint_rad == pytest.approx(HOME) for command in commands)
    durations = [command.duration_s for command in commands]
    assert durations == pytest.approx([times * ROBOT.settle_s for times in (2, 3, 4, 4, 4)])


def test_a_repeated_target_is_so_slow_that_the_arm_starts_and_stops_within_its_limits():
    asked = request(way_rad=0.0)
    command = asked.repeat(away(0.3), 0.0)
    change = np.array(ROBOT.max_acceleration_rad_s2[2]) * PERIOD_S
    fastest = min(change, ROBOT.max_speed_rad_s[2], 0.4 * PERIOD_S / ROBOT.settle_s)
    assert command.duration_s == pytest.approx(max(0.3 / fastest, 2 * ROBOT.settle_s))


def test_a_repetition_needs_a_recent_measurement():
    with pytest.raises(StaleInput):
        request(way_rad=0.0).repeat(HOME, 1e3)
