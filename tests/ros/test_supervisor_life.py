"""From activation to deactivation: who is told what and when, and what a pause, a mode and a stop
leave behind.
"""

from dataclasses import replace

import numpy as np
import pytest

from conure_core.errors import RobotError
from conure_ros.comms.qos import STATE_PERIOD_S
from conure_ros.control.arbiter import Mode
from conure_ros.control.parameters import ControlParameters
from tests.ros.supervised import ELSEWHERE, FORWARD, HOME, PERIOD_S, ROBOT, TICK_S, Rig, ready

# Before activation and after it.


def test_before_activation_nothing_moves_whatever_comes_and_nothing_is_amiss():
    rig, begun = Rig(), []
    rig.begin = lambda joint_rad, gripper_m: begun.append(joint_rad)
    rig.supervisor.reject_sample("no sample")
    assert rig.state.mode is Mode.INACTIVE
    assert (rig.state.refused, rig.state.refusal, rig.state.reset_ns) == (0, "", 0)
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.5, send=FORWARD) == 0
    answers = []
    rig.supervisor.home(answers.append)
    assert answers == ["control is not active"]
    assert rig.run(0.5) == 0
    assert rig.supervisor.mode is Mode.INACTIVE
    assert rig.torques == [] and begun == []


def test_while_it_is_not_active_it_says_so_often_enough_and_that_a_stop_is_latched():
    rig = Rig()
    rig.supervisor.deactivate()
    before = len(rig.states)
    rig.run(1.0)
    assert len(rig.states) - before >= int(1.0 / STATE_PERIOD_S) - 1
    assert (rig.state.mode, rig.state.stopped) == (Mode.INACTIVE, False)
    rig.supervisor.stop("a test")
    assert (rig.state.mode, rig.state.stopped, rig.state.reason) == (Mode.INACTIVE, True, "a test")
    rig.supervisor.activate()
    assert (rig.state.mode, rig.state.stopped) == (Mode.STOPPED, True)
    rig.supervisor.reset_stop()
    assert not rig.state.stopped


def test_before_the_first_measurement_there_is_no_set_point():
    rig = Rig()
    with pytest.raises(RobotError, match="waiting for joint_states"):
        _ = rig.supervisor.set_point_rad
    rig.supervisor.activate()
    rig.supervisor.stop("a test")
    assert rig.state.mode is Mode.STOPPED and rig.commands == []


def test_activation_says_at_once_that_it_holds_whatever_moved_the_arm_before():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.request(FORWARD, age_s=5.0)
    rig.supervisor.deactivate()
    assert rig.state.refused > 0
    rig.supervisor.activate()
    assert (rig.state.mode, rig.state.reason) == (Mode.HOLD, "waiting for joint_states")
    assert (rig.state.refused, rig.state.refusal) == (0, "")
    rig.run(0.1)
    assert (rig.state.mode, rig.state.reason) == (Mode.HOLD, "activated; choose a mode")
    assert rig.run(0.5, send=FORWARD) == 0


def test_an_arm_that_was_put_elsewhere_meanwhile_is_taken_from_there():
    rig, begun = ready(), []
    rig.begin = lambda joint_rad, gripper_m: begun.append((joint_rad, gripper_m))
    rig.supervisor.deactivate()
    rig.put(ELSEWHERE)
    rig.gripper_m = 0.5 * (ROBOT.gripper_closed_m + ROBOT.gripper_open_m)
    rig.supervisor.activate()
    rig.run(0.1)
    assert rig.state.reason == "activated; choose a mode"
    assert np.allclose(rig.supervisor.set_point_rad, ELSEWHERE)
    ((joint_rad, gripper_m),) = begun
    assert np.allclose(joint_rad, ELSEWHERE) and gripper_m == rig.gripper_m, (
        "the output begins there too"
    )


def test_deactivation_ends_motion_where_the_set_point_is_and_says_so():
    rig = ready(Mode.TELEOP)
    rig.run(0.53, send=FORWARD, source=Mode.TELEOP)
    at_end = rig.set_point()
    rig.supervisor.deactivate()
    assert rig.state.mode is Mode.INACTIVE
    assert rig.run(0.5, send=FORWARD, source=Mode.TELEOP) == 0
    assert np.abs(rig.set_point() - at_end).max() < 1e-9
    assert rig.supervisor.mode is Mode.INACTIVE


# What is measured.


def test_what_is_wrong_with_joint_states_is_said_at_once_and_so_is_its_end():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.supervisor.reject_sample("joint_states lack 'elbow'")
    assert (rig.state.mode, rig.state.reason) == (Mode.HOLD, "joint_states lack 'elbow'")
    assert rig.run(0.05) == 0


def test_a_sample_that_cannot_be_is_said_at_once_too():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.supervisor.take_sample(replace(rig.sample(), joint_rad=HOME + 1.0).part)
    assert rig.state.mode is Mode.HOLD and "moved" in rig.state.reason


def test_of_an_idle_arm_too_a_fault_of_joint_states_is_told_and_its_end():
    rig = ready(None)
    before = rig.state.reason
    rig.supervisor.reject_sample("joint_states lack 'elbow'")
    assert rig.state.reason == "joint_states lack 'elbow'"
    rig.t_s += TICK_S
    rig.ros_ns += round(TICK_S * 1e9)
    rig.supervisor.take_sample(rig.sample().part)
    assert rig.state.reason == before


def test_a_stamp_that_is_a_little_ahead_makes_no_command_late():
    rig = Rig()
    rig.spoil = lambda sample: replace(sample, stamp_ns=sample.stamp_ns + 40_000_000)
    rig.supervisor.activate()
    rig.supervisor.select(Mode.POLICY)
    begun = []
    rig.begin = lambda joint_rad, gripper_m: begun.append(joint_rad)
    while not begun:
        rig.tick()
    rig.request(FORWARD)
    assert (len(rig.commands), rig.supervisor.mode) == (1, Mode.POLICY)


def test_what_was_seen_before_the_arm_was_measured_moves_nothing():
    rig = Rig()
    rig.supervisor.activate()
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.04)
    seen_ns = rig.now_ns()
    rig.run(0.04)
    age_s = (rig.now_ns() - seen_ns) / 1e9
    assert age_s < ROBOT.max_input_age_s
    rig.request(FORWARD, age_s=age_s)
    assert rig.commands == []
    assert "before the arm was measured" in rig.supervisor.reason


# The operator's heartbeat.


def test_an_operator_who_falls_silent_means_a_stop_and_none_is_asked_for_where_no_limit_is_set():
    rig = ready(settings=ControlParameters(heartbeat_s=0.5))
    for _ in range(20):
        rig.supervisor.heartbeat()
        rig.run(0.1, send=FORWARD)
    assert rig.state.mode is Mode.POLICY
    rig.run(0.35, send=FORWARD)
    assert rig.state.mode is Mode.POLICY
    rig.run(0.1, send=FORWARD)
    assert rig.state.mode is Mode.STOPPED
    assert "the operator's heartbeat, silent for 0.5" in rig.state.reason
    free = ready()
    assert free.run(15.0) == 0
    assert free.state.mode is Mode.HOLD


def test_who_resets_the_stop_is_there_for_as_long_as_a_heartbeat_lasts():
    rig = ready(settings=ControlParameters(heartbeat_s=0.5))
    rig.run(1.0)
    assert rig.state.mode is Mode.STOPPED
    rig.supervisor.reset_stop()
    rig.run(0.4)
    assert rig.state.mode is Mode.HOLD
    rig.run(0.2)
    assert rig.state.mode is Mode.STOPPED


def test_the_first_reason_of_a_stop_stays():
    rig = ready(settings=ControlParameters(heartbeat_s=0.5))
    rig.supervisor.stop("a test")
    rig.publishers = {"/joint_states": "/one, /two"}
    rig.run(1.0)
    assert rig.state.reason == "a test"


# Stop and reset.


def test_the_reset_is_stamped_and_said_at_once():
    rig = ready()
    rig.supervisor.stop("a test")
    rig.run(0.3)
    asked_ns, before = rig.now_ns(), len(rig.states)
    rig.supervisor.reset_stop()
    assert len(rig.states) == before + 1
    assert (rig.state.mode, rig.state.reset_ns) == (Mode.HOLD, asked_ns)


def test_an_arm_that_was_moved_while_stopped_is_measured_anew_after_the_reset():
    rig = ready()
    rig.supervisor.stop("a test")
    rig.put(ELSEWHERE)
    rig.run(0.1)
    rig.supervisor.reset_stop()
    rig.run(0.1)
    assert np.allclose(rig.supervisor.set_point_rad, ELSEWHERE)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.1, send=FORWARD)
    assert 0.0 < np.abs(rig.commands[-1].joint_rad - ELSEWHERE).max() < 0.3


def test_a_stop_of_an_idle_arm_is_said_at_once_and_sends_nothing():
    rig = ready()
    rig.supervisor.stop("a test")
    assert (rig.state.mode, rig.state.reason) == (Mode.STOPPED, "a test")
    assert rig.commands == []


# Modes.


def test_a_mode_that_is_chosen_ends_what_moved_the_arm_where_the_set_point_is():
    rig = ready()
    rig.run(0.33, send=FORWARD)
    at_choice = rig.set_point()
    rig.supervisor.select(Mode.HOLD)
    assert rig.state.reason == "hold was requested"
    rig.run(0.3, send=FORWARD)
    assert np.abs(rig.set_point() - at_choice).max() < 1e-9


def test_nobody_is_chosen_while_stopped_and_the_stop_stays_as_it_is():
    rig = ready()
    rig.supervisor.stop("a test")
    for mode in (Mode.HOLD, Mode.POLICY, Mode.TELEOP):
        with pytest.raises(RobotError, match="reset_stop"):
            rig.supervisor.select(mode)
    assert rig.state.reason == "a test"


def test_what_was_seen_before_a_mode_was_chosen_moves_nothing_but_hold_makes_a_person_wait_for_nothing():
    rig = ready()
    rig.run(0.05)
    rig.supervisor.select(Mode.POLICY)
    rig.request(FORWARD, age_s=0.02)
    assert rig.commands == [] and "before the mode was chosen" in rig.supervisor.reason
    rig.run(0.05)
    rig.supervisor.select(Mode.HOLD)
    rig.request(FORWARD, Mode.TELEOP, age_s=0.02)
    assert len(rig.commands) == 1


def test_a_choice_ends_what_was_refused_before_it():
    rig = ready()
    rig.request(FORWARD, age_s=0.15)
    assert "the last command was refused" in rig.supervisor.reason
    rig.supervisor.select(Mode.POLICY)
    assert rig.supervisor.reason == "waiting for the first policy command"
    rig.run(0.25)
    assert rig.state.refused == 1, "the count stays"


def test_a_good_choice_forgets_nothing_of_an_arm_that_is_measured():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.supervisor.select(Mode.POLICY)
    rig.run(PERIOD_S)
    rig.request(FORWARD)
    assert rig.state.mode is Mode.POLICY, "it need not rest first"


def test_the_command_of_a_mode_that_was_not_chosen_moves_nothing_and_is_no_complaint():
    rig = ready(Mode.TELEOP)
    assert rig.run(0.3, send=FORWARD, source=Mode.POLICY) == 0
    assert rig.state.refused == 0


def test_a_person_takes_over_from_the_policy_and_from_the_way_home():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.run(0.1)
    rig.request(FORWARD, Mode.TELEOP)
    assert rig.state.mode is Mode.TELEOP
    assert rig.run(0.05, send=FORWARD, source=Mode.POLICY) == 0
    home, answers = ready(None), []
    home.put(ELSEWHERE)
    home.run(0.1)
    home.supervisor.home(answers.append)
    home.run(0.5)
    home.run(0.2, send=FORWARD, source=Mode.TELEOP)
    assert answers == ["a person took over"]
    assert home.state.mode is Mode.TELEOP


# What is said.


def test_reports_are_a_fifth_of_a_second_apart_where_nothing_changes():
    rig = ready(None)
    rig.run(0.5)
    before = len(rig.states)
    rig.run(2.0)
    assert 9 <= len(rig.states) - before <= 11


def test_the_state_of_a_command_is_that_of_the_command():
    rig = ready()
    rig.run(0.1)
    rig.request(FORWARD, age_s=0.03)
    assert rig.state.command is rig.commands[-1]
    assert rig.state.latency_s == pytest.approx(0.03)
    assert rig.state.now_ns == rig.now_ns()
    rig.run(0.3)
    assert rig.state.command is None and np.isnan(rig.state.latency_s)


def test_several_publishers_of_several_topics_are_all_named():
    rig = ready()
    rig.publishers = {"/joint_states": "/one, /two", "/joint_trajectory": "/control, /other"}
    rig.tick()
    for text in (
        (
            "nodes /one, /two all publish /joint_states; nodes /control, /other all publish"
            " /joint_trajectory"
        ),
    ):
        assert text in rig.state.reason and text in rig.state.alarm


def test_a_control_that_is_not_active_misses_no_operator_and_minds_no_publishers():
    rig = ready(settings=ControlParameters(heartbeat_s=0.5))
    rig.supervisor.deactivate()
    rig.publishers = {"/joint_states": "/one, /two"}
    rig.run(1.0)
    rig.publishers = {}
    rig.supervisor.activate()
    rig.run(0.1)
    assert rig.state.reason == "activated; choose a mode"
