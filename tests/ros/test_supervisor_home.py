"""The way home as control decides it: when it begins, what ends it, and what is answered."""

from dataclasses import replace

import numpy as np
import pytest

from conure_core.robot.arm import Arm
from conure_ros.control.arbiter import Mode
from conure_ros.control.parameters import ControlParameters
from tests.ros.supervised import ARM, ELSEWHERE, FAR, FORWARD, HOME, ROBOT, going_home, ready


def test_home_is_said_while_it_lasts_and_a_command_goes_out_once_a_period():
    rig, answers = going_home()
    count = rig.run(0.55)
    assert rig.state.reason == "homing"
    assert 4 <= count <= 6
    rig.run(2.0)
    assert answers == [""]
    assert (rig.state.mode, rig.state.reason) == (Mode.HOLD, "at home")
    assert rig.run(1.0) == 0


def test_an_arm_that_is_home_already_is_at_home_when_it_was_measured():
    rig, answers = going_home(0.0 * FAR)
    rig.run(0.3)
    assert answers == [""]


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_home_is_reached_within_the_arms_own_limits_also_at_a_tenth_of_the_speed(scale):
    speeds = tuple(scale * limit for limit in ROBOT.max_speed_rad_s)
    accelerations = tuple(scale * limit for limit in ROBOT.max_acceleration_rad_s2)
    arm = Arm(replace(ROBOT, max_speed_rad_s=speeds, max_acceleration_rad_s2=accelerations))
    rig = ready(None, arm=arm)
    rig.put(HOME + [0.4, 0.1, -0.1, 0.2, 0.1, -0.3])
    rig.run(0.1)
    answers = []
    rig.supervisor.home(answers.append)
    rig.run(1.0 + 0.4 / min(0.8, speeds[0]) * 2.0)
    assert answers == [""]
    assert rig.state.reason == "at home"
    assert np.abs(rig.joint_rad - HOME).max() < 0.01
    assert np.abs(np.diff(rig.track[12:], axis=0)).max() / 0.01 <= 1.05 * min(0.8 / 0.75, speeds[0])


def test_a_stop_ends_the_way_home():
    rig = ready(None)
    rig.put(HOME + [0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
    rig.run(0.1)
    answers = []
    rig.supervisor.home(answers.append)
    rig.run(0.5)
    at_stop = rig.set_point()
    assert np.abs(at_stop - HOME).max() > 0.1
    rig.supervisor.stop("a test")
    rig.run(1.0)
    assert answers == ["stopped by a test"]
    assert np.abs(rig.set_point() - at_stop).max() < 1e-9


def test_deactivation_ends_the_way_home():
    rig, answers = ready(None), []
    rig.put(ELSEWHERE)
    rig.run(0.1)
    rig.supervisor.home(answers.append)
    rig.run(0.5)
    rig.supervisor.deactivate()
    assert answers == ["deactivated"]
    rig.supervisor.activate()
    assert rig.run(1.0) == 0


def test_a_choice_ends_the_way_home():
    rig, answers = ready(None), []
    rig.put(ELSEWHERE)
    rig.run(0.1)
    rig.supervisor.home(answers.append)
    rig.run(0.5)
    rig.supervisor.select(Mode.POLICY)
    assert answers == ["mode policy was requested"]
    assert rig.run(0.5) == 0


def test_a_person_takes_over_from_the_way_home_of_an_arm_that_lags():
    rig = ready(None, lag=0.97)
    rig.put(HOME - FAR)
    rig.run(0.1)
    rig.supervisor.home(lambda why: None)
    rig.run(0.7)
    assert np.abs(rig.set_point() - rig.joint_rad).max() > ROBOT.max_start_error_rad
    rig.request(FORWARD, Mode.TELEOP)
    assert (rig.state.mode, rig.state.refused) == (Mode.TELEOP, 0)


def test_what_was_seen_before_home_was_reached_moves_nothing():
    rig, answers = going_home()
    while not answers:
        rig.tick()
    rig.request(FORWARD, Mode.TELEOP, age_s=0.02)
    assert rig.state.refused + len([s for s in rig.states if s.mode is Mode.TELEOP]) <= 1
    assert rig.supervisor.mode is Mode.HOLD


@pytest.mark.parametrize("late_ms", [60, 80, 150])
def test_home_is_reached_too_where_joint_states_come_late(late_ms):
    rig, answers = going_home()
    rig.spoil = lambda sample: replace(sample, stamp_ns=sample.stamp_ns - late_ms * 10**6)
    rig.run(0.3)
    rig.supervisor.home(answers.append)
    rig.run(3.0)
    assert answers == ["homing was requested again", ""]


def test_the_way_home_begins_where_the_arm_was_measured_after_it_was_asked_for():
    """A scene that is put up anew: what the driver still says of the old one does not count."""
    rig, answers = ready(None), []
    old = rig.sample()
    rig.spoil = lambda sample: replace(old, stamp_ns=min(sample.stamp_ns, asked_ns - 1))
    asked_ns = rig.now_ns()
    rig.supervisor.home(answers.append)
    rig.put(ELSEWHERE)
    rig.run(0.15)
    assert rig.commands == []
    rig.spoil = None
    rig.run(4.0)
    assert answers == [""]
    assert np.abs(rig.commands[0].joint_rad - ELSEWHERE).max() < 0.1


def test_the_arm_is_measured_anew_where_home_is_asked_for_at_the_moment_of_a_choice():
    rig, answers = ready(), []
    rig.supervisor.select(Mode.POLICY)
    rig.put(ELSEWHERE)
    rig.supervisor.home(answers.append)
    rig.run(4.0)
    assert answers == [""]


def test_home_that_is_asked_for_twice_is_answered_twice():
    rig, answers = going_home()
    rig.run(0.5)
    again = []
    rig.supervisor.home(again.append)
    assert answers == ["homing was requested again"]
    rig.run(2.5)
    assert again == [""]


def test_home_is_refused_while_stopped():
    rig, answers = ready(), []
    rig.supervisor.stop("a test")
    rig.supervisor.home(answers.append)
    assert len(answers) == 1 and "reset_stop" in answers[0]
    assert rig.run(1.0) == 0
    assert rig.state.reason == "a test"


def test_home_waits_for_an_arm_that_moves_for_a_time_and_then_says_so():
    rig, answers = ready(None), []
    swings = iter(np.abs(np.arange(10**6) % 60 - 30) * 0.01)
    rig.spoil = lambda sample: replace(sample, joint_rad=HOME + next(swings))
    rig.supervisor.home(answers.append)
    rig.run(ControlParameters.home_settle_s - 0.1)
    assert answers == [] and rig.commands == []
    rig.run(0.2)
    assert len(answers) == 1 and "waiting for the arm to rest" in answers[0]
    assert "not at home" in rig.state.reason


def test_home_is_not_reached_by_a_blocked_arm_and_the_set_point_does_not_run_away():
    rig, answers = going_home(settings=ControlParameters(home_settle_s=1.0))
    rig.blocked[0] = True
    rig.run(6.0)
    assert len(answers) == 1 and "max_following_error_rad" in answers[0]
    assert np.abs(rig.set_point() - rig.joint_rad).max() < 1e-6
    assert "not at home" in rig.state.reason


def test_an_arm_that_stays_a_little_away_from_home_did_not_settle_there():
    rig, answers = going_home(settings=ControlParameters(home_settle_s=1.0))
    rig.spoil = lambda sample: replace(sample, joint_rad=sample.joint_rad + 0.06)
    rig.put(rig.joint_rad - 0.0)
    rig.run(0.9)
    reached = [command for command in rig.commands if np.abs(command.joint_rad - HOME).max() < 1e-6]
    while not reached:
        rig.tick()
        reached = [
            command for command in rig.commands if np.abs(command.joint_rad - HOME).max() < 1e-6
        ]
    rig.run(0.9)
    assert answers == []
    rig.run(0.5)
    assert len(answers) == 1 and "did not settle at home within 1.0 s:" in answers[0]
    assert "is 0.060 rad away, and its target was repeated" in answers[0]


PRECISE = ControlParameters(home_tolerance_rad=0.01)
"""Less than the last step on the way home."""


def late(number):
    """A controller that refuses the command of this number on the way home."""
    sent = iter(range(10**6))
    return lambda command: next(sent) == number


def test_a_last_command_that_came_too_late_is_repeated_and_home_is_reached():
    count = going_home()[0].run(2.0)
    rig, answers = going_home(refuses=late(count - 1), settings=PRECISE)
    rig.run(4.0)
    assert answers == [""]
    assert np.abs(rig.joint_rad - HOME).max() < 1e-3


@pytest.mark.parametrize("lost", [2, 4])
def test_however_many_of_the_last_commands_came_too_late_the_arm_keeps_its_speed(lost):
    count = going_home()[0].run(2.0)
    sent = iter(range(10**6))
    rig, answers = going_home(refuses=lambda command: count - lost <= next(sent) < count)
    rig.run(6.0)
    assert answers == [""]
    speed_rad_s = np.abs(np.diff(rig.track[12:], axis=0)).max() / 0.01
    assert speed_rad_s <= 1.05 * max(0.8 / 0.75, rig.settings.home_speed_rad_s)


def test_a_controller_that_refuses_every_repetition_is_named_and_waited_for_no_longer():
    count = going_home()[0].run(2.0)
    sent = iter(range(10**6))
    rig, answers = going_home(refuses=lambda command: next(sent) >= count - 1, settings=PRECISE)
    rig.run(2.0 + 2 * ControlParameters.home_settle_s)
    assert len(answers) == 1
    assert "'waist' is 0." in answers[0] and "does its controller refuse commands" in answers[0]
    assert rig.run(1.0) == 0


def test_an_arm_that_is_pushed_away_while_it_settles_is_not_pressed_back():
    rig, answers = going_home()
    away_rad = 0.06 * np.eye(6)[0]
    rig.spoil = lambda sample: replace(sample, joint_rad=sample.joint_rad + away_rad)
    while not any(np.abs(sent.joint_rad - HOME).max() < 1e-6 for sent in rig.commands):
        rig.tick()
    while away_rad[0] < ROBOT.max_following_error_rad + 0.1:
        away_rad[0] += 0.01
        rig.tick()
    assert len(answers) == 1 and "max_following_error_rad" in answers[0]
    assert np.abs(rig.set_point() - HOME).max() > 0.1, "the set point went to the arm"


def test_an_arm_that_is_slow_to_settle_is_waited_for():
    rig, answers = going_home(lag=0.97)
    rig.run(6.0)
    assert answers == [""]
    assert np.abs(rig.joint_rad - HOME).max() < 0.06


def test_on_the_way_home_joint_states_that_fall_silent_end_it():
    rig, answers = going_home()
    rig.run(0.4)
    rig.spoil = lambda sample: None
    rig.run(0.5)
    assert len(answers) == 1 and "joint_states are" in answers[0]
    assert rig.run(0.5) == 0
    at_end = rig.set_point()
    assert np.abs(at_end - HOME).max() > 0.1


# From a pose that may not be.


def folded():
    """Too near to itself or to the table, or outside the box."""
    rng = np.random.default_rng(3)
    poses = (rng.uniform(ARM.lower_rad - 0.15, ARM.upper_rad + 0.15) for _ in range(1000))
    return [pose for pose in poses if ARM.first_collision(pose) is not None][:3]


@pytest.mark.parametrize("pose", folded(), ids=range(3))
def test_from_a_pose_that_may_not_be_home_is_reached_or_the_way_is_named_and_nothing_gets_worse(
    pose,
):
    rig = ready(None)
    rig.put(pose)
    rig.run(0.1)
    answers = []
    before = ARM.clearance_deficits(pose)
    rig.supervisor.home(answers.append)
    for _ in range(300):
        rig.run(0.2)
        deficits = ARM.clearance_deficits(rig.set_point())
        assert (deficits <= before + 1e-4).all() or not deficits.any()
        before = deficits
        if answers:
            break
    assert answers
    assert answers == [""] or "blocked" in answers[0] or "no way out" in answers[0]
    assert ARM.clearance_deficits(rig.joint_rad).max() <= ARM.clearance_deficits(pose).max() + 1e-4
    assert np.abs(rig.set_point() - pose).max() > 0.05, "it was left"
