"""What control decides, in simulated time: no command starts from a wrong measurement, and a stop ends motion."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.arm import Arm
from conure_core.errors import RobotError
from conure_ros.arbiter import Mode
from conure_ros.control_parameters import ControlParameters
from conure_ros.exclusive import NO_NAME
from conure_ros.supervisor import TORQUE_CONFIRM_S
from tests.ros.supervised import ARM, FORWARD, HOME, PERIOD_S, ROBOT, Rig, ready

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
    assert rig.run(3.0, send=FORWARD) == 0, "an encoder that slipped stays refused, however long it reads so"
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


@pytest.mark.parametrize("topic", ["/joint_states", "/joint_trajectory", "/command/teleop", "/command/policy"])
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


def test_a_control_that_did_not_run_for_a_while_holds_until_a_mode_is_chosen():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.t_s += 3.0
    rig.ros_ns += 3 * 10**9
    rig.joint_rad = rig.set_point()
    before = len(rig.commands)
    rig.request(FORWARD)
    rig.run(1.0, send=FORWARD)
    assert len(rig.commands) == before
    assert rig.state.mode is Mode.HOLD
    assert "control did not run for" in rig.state.reason
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.3, send=FORWARD) > 0


def test_a_pause_shorter_than_that_is_none():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.t_s += 0.9
    rig.ros_ns += 9 * 10**8
    rig.joint_rad = rig.set_point()
    rig.run(0.1)
    assert rig.run(0.3, send=FORWARD) > 0


# Row 5: a pose that may not be.


def folded():
    """Too near to itself or to the table, or outside the box."""
    rng = np.random.default_rng(3)
    poses = (rng.uniform(ARM.lower_rad - 0.15, ARM.upper_rad + 0.15) for _ in range(1000))
    return [pose for pose in poses if ARM.first_collision(pose) is not None][:3]


@pytest.mark.parametrize("pose", folded(), ids=range(3))
def test_from_a_pose_that_may_not_be_home_is_reached_or_the_way_is_named_and_nothing_gets_worse(pose):
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


@pytest.mark.parametrize("source", [Mode.POLICY, Mode.TELEOP])
def test_a_command_from_the_future_is_refused_and_blocks_nothing_later(source):
    rig = ready(source)
    rig.run(0.3, send=FORWARD, source=source)
    rig.request(FORWARD, source, age_s=-1000.0)
    assert "-1000.000 s old" in rig.state.reason
    assert rig.run(1.0, send=FORWARD, source=source) > 7


# Row 15: the way home.


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


# Row 18: torque.


def test_torque_that_is_not_confirmed_off_is_an_alarm_until_it_is():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    assert rig.torques == [False]
    stopped = next(state for state in rig.states if state.mode is Mode.STOPPED)
    assert "torque off is not confirmed" in stopped.alarm, "from the first moment on"
    rig.run(TORQUE_CONFIRM_S + 0.5)
    assert f"no answer within {TORQUE_CONFIRM_S} s" in rig.state.alarm
    rig.supervisor.torque_answered(False, True, "limp")
    rig.run(0.3)
    assert rig.state.alarm == ""


def test_an_arm_that_does_not_get_its_torque_back_stays_stopped():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.supervisor.torque_answered(False, True, "limp")
    rig.supervisor.reset_stop()
    rig.run(TORQUE_CONFIRM_S + 0.5)
    assert rig.state.mode is Mode.STOPPED
    assert "no answer" in rig.state.reason


def test_a_late_answer_about_torque_on_confirms_no_torque_off():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    rig.supervisor.stop("a test")
    for on in (False, True):
        rig.supervisor.torque_answered(on, True, "done")
        assert "torque off is not confirmed" in rig.supervisor.alarm
    rig.run(TORQUE_CONFIRM_S + 0.5)
    assert f"no answer within {TORQUE_CONFIRM_S} s" in rig.state.alarm
    rig.supervisor.torque_answered(False, True, "done")
    assert rig.state.alarm == ""


def test_a_late_answer_about_torque_off_is_no_answer_about_torque_on():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    rig.supervisor.torque_answered(False, True, "limp")
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.5, send=FORWARD) == 0, "the arm has no torque yet"
    rig.supervisor.torque_answered(True, True, "holding")
    assert rig.run(0.5, send=FORWARD) > 0


def test_while_stops_repeat_the_first_answer_counts():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    for _ in range(3):
        rig.supervisor.stop("a test")
    rig.supervisor.torque_answered(False, True, "limp")
    assert rig.state.alarm == ""


@pytest.mark.parametrize("configured_anew", [False, True])
def test_a_stop_that_is_reset_while_control_is_not_active_leaves_no_arm_limp(configured_anew):
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.supervisor.torque_answered(False, True, "limp")
    rig.supervisor.deactivate()
    if configured_anew:
        rig = Rig(settings=rig.settings, stopped_by=rig.supervisor.arbiter.stop_reason)
    rig.supervisor.reset_stop()
    rig.supervisor.activate()
    assert rig.torques[-1:] == [True]
    rig.supervisor.torque_answered(True, True, "holding")
    rig.run(0.2)
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.3, send=FORWARD) > 0


def test_an_arm_that_fell_goes_on_from_where_it_fell_to():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.supervisor.torque_answered(False, True, "limp")
    for share in np.linspace(0.0, 1.0, 40):
        rig.put(HOME + share * np.array([0.0, 0.3, 0.1, 0.0, 0.2, 0.0]))
        rig.tick()
    rig.supervisor.reset_stop()
    rig.supervisor.torque_answered(True, True, "holding")
    rig.run(0.2)
    fallen = rig.joint_rad.copy()
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.15, send=FORWARD)
    assert 0.0 < np.abs(rig.commands[-1].joint_rad - fallen).max() < 0.3


# Row 24.


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
            st.sampled_from(
                ["policy", "teleop", "stop", "reset", "hold", "select", "home", "glitch", "pause", "block"]
            ),
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
            rig.joint_rad = rig.set_point()
        source = Mode.TELEOP if what == "teleop" else Mode.POLICY
        begun = len(rig.track)
        at_stop = rig.set_point() if rig.supervisor.mode is Mode.STOPPED else None
        rig.run(ticks * 0.01, send=np.array(action), every_s=0.03 if what == "teleop" else PERIOD_S, source=source)
        if at_stop is not None and rig.supervisor.mode is Mode.STOPPED:
            assert np.abs(rig.set_point() - at_stop).max() < 1e-3
        steps = np.abs(np.diff([*rig.track[begun - 1 :]], axis=0))
        if what not in ("pause", "block"):
            assert (steps / 0.01 <= 1.6 * np.array(ROBOT.max_speed_rad_s)).all()
    for command in rig.commands:
        assert np.isfinite(command.joint_rad).all()
