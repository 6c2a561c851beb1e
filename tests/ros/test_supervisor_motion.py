"""What becomes of a command: who is believed, how far it may lead, and how what moves comes to
rest.
"""

from dataclasses import replace

import numpy as np
import pytest

from conure_core.robot.arm import Arm
from conure_ros.control.arbiter import Mode
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.policy_monitor import Verdict
from tests.ros.supervised import FORWARD, HOME, PERIOD_S, ROBOT, TICK_S, Rig, ready

LIMIT_RAD = 0.1
STRICT = Arm(replace(ROBOT, max_following_error_rad=LIMIT_RAD))
SIDEWAYS = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
BY_HAND = np.array([0.3, 0.0, 0.0, 0.0, 0.0, 0.0])


class Prior:
    """Stands where the bundle's prior does."""

    def __init__(self, verdict=Verdict.GO):
        self.verdict, self.asked, self.resets = verdict, [], 0

    def judge(self, bundle_hash, log_likelihood):
        self.asked.append(log_likelihood)
        return self.verdict, "" if self.verdict is Verdict.GO else "unlikely"

    def reset(self):
        self.resets += 1


def judged(verdict, mode=Mode.POLICY, **words):
    rig = ready(mode, **words)
    rig.supervisor.policy = Prior(verdict)
    return rig


def move_by_hand(rig, way_rad, ticks=30):
    begun = rig.joint_rad.copy()
    for share in np.linspace(0.0, 1.0, ticks):
        rig.put(begun + share * way_rad)
        rig.tick()


# Whether the prior trusts the policy.


def test_a_slow_policy_goes_a_part_of_the_way_with_the_gripper_as_it_asked():
    ways, grippers = [], []
    for verdict in (Verdict.GO, Verdict.SLOW):
        rig = judged(verdict, settings=ControlParameters(slow_fraction=0.5))
        rig.request([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9])
        ways.append(np.abs(rig.commands[-1].joint_rad - HOME).max())
        grippers.append(rig.commands[-1].gripper_m)
        assert ("unlikely" in rig.state.changes) == (verdict is Verdict.SLOW)
    assert ways[1] == pytest.approx(0.5 * ways[0], rel=0.05)
    assert grippers[0] == grippers[1]


def test_what_the_prior_said_of_one_command_is_not_said_of_the_next():
    rig = judged(Verdict.SLOW)
    rig.request(FORWARD)
    rig.supervisor.stop("a test")
    assert "unlikely" not in rig.state.changes


def test_a_policy_that_the_prior_holds_moves_nothing_until_it_is_likely_again():
    rig = judged(Verdict.GO)
    rig.run(0.3, send=FORWARD)
    rig.supervisor.policy.verdict = Verdict.HOLD
    assert rig.run(0.5, send=FORWARD) <= 1, "at most the one that ends motion"
    assert (rig.state.mode, rig.supervisor.arbiter.reason) == (Mode.HOLD, "unlikely")
    rig.supervisor.policy.verdict = Verdict.GO
    assert rig.run(0.3, send=FORWARD) > 0


def test_a_policy_that_is_handed_over_moves_nothing_until_a_person_chose():
    rig = judged(Verdict.GO)
    rig.run(0.3, send=FORWARD)
    rig.supervisor.policy.verdict = Verdict.HAND_OVER
    at_verdict = rig.set_point()
    rig.request(FORWARD)
    assert rig.state.mode is Mode.HOLD and rig.supervisor.arbiter.selected is Mode.HOLD
    assert "handed over to a person: unlikely" in rig.state.reason
    assert np.allclose(rig.set_point(), at_verdict)
    rig.supervisor.policy.verdict = Verdict.GO
    before = len(rig.commands)
    assert rig.run(0.5, send=FORWARD) == 0
    assert len(rig.commands) == before
    rig.supervisor.select(Mode.POLICY)
    assert rig.supervisor.policy.resets == 1, "a choice begins anew"
    rig.run(0.02)
    assert rig.run(0.3, send=FORWARD) > 0


def test_a_person_is_not_judged_by_the_prior():
    rig = judged(Verdict.HAND_OVER, Mode.TELEOP)
    assert rig.run(0.3, send=FORWARD, source=Mode.TELEOP) > 0
    assert rig.supervisor.policy.asked == []


# A command that may not be followed.


@pytest.mark.parametrize(
    "action", [np.full(7, np.nan), np.zeros(6)], ids=["not finite", "of another shape"]
)
def test_a_command_that_may_not_be_followed_ends_motion_and_is_counted_and_named(action):
    rig = ready(Mode.TELEOP)
    rig.run(0.33, send=FORWARD, source=Mode.TELEOP)
    rig.t_s, rig.ros_ns = rig.t_s + 0.07, rig.ros_ns + 70_000_000
    rig.tick()
    rig.request(FORWARD, Mode.TELEOP)
    rig.tick()
    at_refusal = rig.set_point()
    rig.request(action, Mode.TELEOP)
    assert rig.state.mode is Mode.HOLD
    assert rig.state.refused == 1 and rig.state.refusal in rig.state.reason
    rig.run(0.2)
    assert np.abs(rig.set_point() - at_refusal).max() < 1e-9


def test_an_arm_at_rest_is_told_nothing_when_a_command_is_refused():
    rig = ready()
    rig.request(np.full(7, np.nan))
    assert rig.commands == []


# An arm that stays behind, and one that was moved.


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_a_joint_that_stays_behind_is_named_in_whichever_direction_it_should_go(direction):
    rig = ready(Mode.TELEOP, arm=STRICT)
    rig.blocked[0] = True
    rig.run(1.0, send=SIDEWAYS * direction, source=Mode.TELEOP)
    assert any("'waist' is 0.1" in state.reason for state in rig.states)


def test_how_far_behind_a_joint_is_allows_for_what_it_moved_since_it_was_measured():
    rig = ready(Mode.TELEOP, arm=STRICT)
    rig.blocked[0] = True

    def behind_rad():
        return abs(rig.supervisor.set_point_rad - rig.joint_rad)[0]

    for _ in range(100):
        if behind_rad() < LIMIT_RAD - 0.01:
            rig.run(TICK_S, send=SIDEWAYS, source=Mode.TELEOP)
    rig.spoil = lambda sample: None
    for _ in range(3):
        rig.tick()
    assert behind_rad() > LIMIT_RAD + 0.005
    assert "max_following_error_rad" not in rig.state.reason
    rig.spoil = None
    rig.tick()
    assert "max_following_error_rad" in rig.state.reason


def test_while_the_set_point_goes_back_to_a_blocked_arm_no_command_moves_it():
    rig = ready(Mode.TELEOP, arm=STRICT)
    rig.blocked[0] = True
    while "max_following_error_rad" not in rig.state.reason:
        rig.request(SIDEWAYS, Mode.TELEOP) if rig.supervisor._waiting_s == 0.0 else None
        rig.tick()
    before = rig.commands[-1]
    assert before.changes == ("hold",) and np.allclose(before.joint_rad, rig.joint_rad)
    rig.request(SIDEWAYS, Mode.TELEOP)
    assert rig.commands[-1].changes == ("hold",)
    assert "max_following_error_rad" in rig.supervisor.arbiter.reason


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_hold_at_an_arm_that_is_pressed_beyond_a_limit_ends_at_the_limit(side):
    rig, limit_rad = (
        ready(None, arm=STRICT),
        {-1.0: STRICT.lower_rad, 1.0: STRICT.upper_rad}[side][5],
    )
    rig.put([*HOME[:5], limit_rad - 0.02 * side])
    rig.run(1.0)
    rig.supervisor.select(Mode.TELEOP)
    rig.blocked[5] = True
    rig.run(0.02)
    rig.run(0.3, send=SIDEWAYS, source=Mode.TELEOP)
    for _ in range(12):
        rig.joint_rad = rig.joint_rad + [0.0, 0.0, 0.0, 0.0, 0.0, 0.015 * side]
        rig.run(TICK_S, send=SIDEWAYS, source=Mode.TELEOP)
    assert any("'wrist_rotate' is 0.1" in state.reason for state in rig.states)
    assert side * (rig.joint_rad[5] - limit_rad) > 0.1
    assert max(side * (command.joint_rad[5] - limit_rad) for command in rig.commands) <= 1e-9


def test_the_hold_at_a_blocked_arm_is_no_faster_than_the_joints_may():
    slow = Arm(replace(ROBOT, max_following_error_rad=LIMIT_RAD, max_speed_rad_s=(0.5,) * 6))
    rig = ready(Mode.TELEOP, arm=slow)
    rig.blocked[0] = True
    rig.run(3.0, send=SIDEWAYS, source=Mode.TELEOP)
    held = [command for command in rig.commands if command.changes == ("hold",)]
    assert held and held[0].duration_s >= LIMIT_RAD / 0.5 - 0.01


def test_a_command_that_comes_before_the_hold_is_over_takes_the_time_that_is_left():
    rig = ready(Mode.TELEOP, arm=STRICT)
    rig.blocked[0] = True
    while "max_following_error_rad" not in rig.state.reason:
        rig.request(SIDEWAYS, Mode.TELEOP) if rig.supervisor._waiting_s == 0.0 else None
        rig.tick()
    for _ in range(4):
        rig.tick()
    left_s = rig.began_s + rig.duration_s - rig.t_s
    assert left_s > 0.01
    rig.request(SIDEWAYS, Mode.TELEOP)
    assert rig.state.mode is Mode.TELEOP
    assert rig.commands[-1].duration_s == pytest.approx(ROBOT.settle_s + left_s)


def test_an_arm_whose_samples_come_late_is_not_taken_for_a_blocked_one():
    rig = ready(Mode.TELEOP, arm=STRICT, lag=0.0)
    count = iter(range(10**9))
    kept = []

    def every_twelfth(sample):
        kept[:] = [sample] if next(count) % 12 == 0 else kept
        return sample if kept and kept[0] is sample else None

    rig.spoil = every_twelfth
    rig.run(1.0, send=2.0 * SIDEWAYS, source=Mode.TELEOP)
    speed = np.abs(np.diff(rig.track, axis=0)).max() / TICK_S
    assert speed * 12 * TICK_S > LIMIT_RAD
    assert not any("max_following_error_rad" in state.reason for state in rig.states)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_an_arm_that_was_moved_by_hand_goes_on_from_where_it_rests(direction):
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.run(0.5)
    move_by_hand(rig, direction * BY_HAND)
    rig.run(0.1)
    moved_rad = rig.joint_rad.copy()
    rig.request(FORWARD)
    assert rig.state.mode is Mode.POLICY
    assert np.abs(rig.commands[-1].joint_rad - moved_rad).max() < 0.15
    assert np.abs(rig.commands[-1].joint_rad - moved_rad)[0] < 0.01


def test_an_arm_that_is_being_moved_by_hand_is_not_commanded():
    rig = ready()
    move_by_hand(rig, BY_HAND)
    rig.request(FORWARD)
    assert rig.commands == []
    assert "waiting for the arm to rest" in rig.state.reason


def test_one_joint_that_was_moved_is_enough():
    rig = ready()
    move_by_hand(rig, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.3]))
    rig.run(0.1)
    rig.request(FORWARD)
    assert np.abs(rig.commands[-1].joint_rad - rig.joint_rad)[5] < 0.05


def test_an_arm_that_lags_is_not_taken_for_one_that_was_moved_by_hand():
    near_rad = 0.05
    rig = ready(Mode.TELEOP, lag=0.97, arm=Arm(replace(ROBOT, max_start_error_rad=near_rad)))
    behind_rad, begun = [], []
    rig.begin = lambda joint_rad, gripper_m: begun.append(joint_rad)
    for _ in range(12):
        rig.run(PERIOD_S, send=SIDEWAYS, source=Mode.TELEOP)
        behind_rad.append(np.abs(rig.set_point() - rig.joint_rad).max())
    assert max(behind_rad) > near_rad
    assert rig.state.refused == 0 and begun == []
    assert not any("waiting for the arm" in state.reason for state in rig.states)


# How far and how fast.


def test_no_command_leads_farther_than_the_measured_arm_can_be_and_what_follows_begins_there():
    rig = ready()
    rig.run(0.2, send=FORWARD)
    step = rig.supervisor.loop.step
    rig.supervisor.loop.step = lambda *words: replace(step(*words), joint_rad=HOME + 2.0)
    measured = rig.joint_rad.copy()
    rig.request(FORWARD)
    reach_rad = 3.0 * ROBOT.settle_s + ROBOT.max_following_error_rad
    assert rig.commands[-1].joint_rad - measured == pytest.approx(reach_rad, abs=3.0 * TICK_S)
    assert rig.supervisor.loop.gate.last_rad == pytest.approx(rig.commands[-1].joint_rad)


def test_samples_that_are_older_let_a_command_lead_as_much_farther():
    reaches = []
    for ticks in (0, 8):
        rig = ready()
        rig.spoil = lambda sample: None
        for _ in range(ticks):
            rig.tick()
        step = rig.supervisor.loop.step
        rig.supervisor.loop.step = lambda *words, step=step: replace(
            step(*words), joint_rad=HOME + 2.0
        )
        rig.request(FORWARD)
        reaches.append((rig.commands[-1].joint_rad - rig.joint_rad)[0])
    assert reaches[1] - reaches[0] == pytest.approx(3.0 * 8 * TICK_S)


def test_a_stopped_arm_that_is_at_rest_is_told_nothing():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.run(0.5)
    before = len(rig.commands)
    rig.supervisor.stop("a test")
    rig.run(0.5)
    assert len(rig.commands) == before


def test_the_gripper_stays_where_it_was_commanded_when_motion_ends():
    rig = ready(Mode.TELEOP)
    closing = FORWARD.copy()
    closing[6] = -1.0
    rig.run(0.55, send=closing, source=Mode.TELEOP)
    commanded_m = rig.commands[-1].gripper_m
    rig.supervisor.stop("a test")
    assert rig.commands[-1].changes == ("hold",)
    assert rig.commands[-1].gripper_m == commanded_m


def test_after_a_hold_the_next_command_begins_where_it_holds_and_needs_no_wait():
    rig = ready(Mode.TELEOP)
    rig.run(0.32, send=SIDEWAYS, source=Mode.TELEOP)
    rig.supervisor.select(Mode.HOLD)
    held = rig.commands[-1].joint_rad
    assert np.allclose(rig.supervisor.loop.gate.last_rad, held)
    assert np.allclose(held, rig.set_point()) and rig.commands[-1].duration_s >= ROBOT.settle_s
    rig.request(SIDEWAYS, Mode.TELEOP)
    assert rig.commands[-1].duration_s == pytest.approx(ROBOT.settle_s)
    assert np.abs(rig.commands[-1].joint_rad - held).max() < 0.3


def test_silence_of_whoever_moves_the_arm_means_hold_and_is_named():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    stale_s = ControlParameters.stale_periods * PERIOD_S
    rig.run(stale_s - 0.12)
    assert rig.state.mode is Mode.POLICY
    rig.run(0.15)
    assert rig.state.mode is Mode.HOLD and "no policy command for" in rig.state.reason


def test_what_an_old_observation_is_good_for_ends_so_much_sooner():
    rig = ready()
    rig.run(0.1)
    rig.request(FORWARD, age_s=0.09)
    began_s = rig.t_s
    while rig.supervisor.mode is Mode.POLICY:
        rig.tick()
    assert rig.t_s - began_s == pytest.approx(
        ControlParameters.stale_periods * PERIOD_S - 0.09, abs=0.011
    )


def test_while_the_arm_moves_joint_states_that_fall_silent_mean_hold():
    rig = ready(settings=ControlParameters(stale_periods=5.0))
    rig.run(0.3, send=FORWARD)
    rig.spoil = lambda sample: None
    rig.run(0.4, send=FORWARD)
    assert rig.state.mode is Mode.POLICY
    rig.run(0.15)
    assert rig.state.mode is Mode.HOLD and "joint_states are 0.5" in rig.state.reason


# Clocks.


def test_a_clock_that_steps_back_means_hold_and_what_is_stamped_after_it_counts():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.ros_ns -= 5 * 10**9
    rig.tick()
    assert rig.state.mode is Mode.HOLD and "the clock stepped back by" in rig.state.reason
    rig.run(0.1)
    assert rig.run(0.3, send=FORWARD) > 0


def test_the_rig_moves_only_by_commands():
    """What these tests rely on."""
    rig = Rig()
    rig.supervisor.activate()
    rig.run(1.0)
    assert rig.commands == [] and np.allclose(rig.joint_rad, HOME)
