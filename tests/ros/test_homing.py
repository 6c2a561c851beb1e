"""The way home: straight, within the arm's limits, no slower than it need be, and out of a bad pose
first.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conure_core.control.controller import JointTarget
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand
from conure_core.errors import UnsafeCommand
from conure_core.robot.arm import Arm, moved
from conure_ros.control.homing import ARRIVED_RAD, Homing, _Patience, _smallest_mixture
from tests.ros.supervised import ARM, HOME, ROBOT

SPEED_RAD_S = 0.8
STEP_RAD = SPEED_RAD_S * ROBOT.control_period_s
GRIPPER_M = 0.5 * (ROBOT.gripper_closed_m + ROBOT.gripper_open_m)
OVER_THE_EDGE = np.array([1.9, 0.0, 0.0, 0.0, 0.0, 0.0])


HEAVY_RAD_S2 = 2.0
HEAVY = Arm(replace(ROBOT, max_acceleration_rad_s2=(HEAVY_RAD_S2,) * 6))
LOW = np.array([-0.92, 0.4, -0.71, 1.89, 1.21, -2.32])
"""Outside the box and too near to the table; straight home, it would be nearer still."""


def begin(joint_rad, speed_rad_s=SPEED_RAD_S, arm=ARM):
    loop = ControlLoop(arm)
    loop.reset(joint_rad, GRIPPER_M)
    return loop, Homing(loop, speed_rad_s)


def go(homing, most=200):
    """All commands of the way."""
    commands = []
    while not homing.arrived:
        commands.append(homing.step(0.0))
        assert len(commands) < most
    return commands


@settings(max_examples=30)
@given(arrays(float, 6, elements=st.floats(-0.25, 0.25)), st.sampled_from([0.2, 0.8, 2.0]))
def test_it_is_straight_in_proportion_and_as_fast_as_it_may_be(way_rad, speed_rad_s):
    loop, homing = begin(HOME - way_rad, speed_rad_s)
    if loop.gate.violations() is not None:
        return
    commands = go(homing)
    track = np.array([HOME - way_rad, *[command.joint_rad for command in commands]])
    steps = np.diff(track, axis=0)
    assert np.abs(track[-1] - HOME).max() <= ARRIVED_RAD
    assert np.abs(steps).max(initial=0.0) <= speed_rad_s * ROBOT.control_period_s + 1e-9
    assert all(not command.changes for command in commands), "the gate has nothing to slow down"
    length = np.linalg.norm(way_rad)
    for place in track:
        share = (place - track[0]) @ way_rad / max(length**2, 1e-12)
        assert np.abs(place - track[0] - share * way_rad).max() < 1e-6
    ramp = 1 + 2 * np.ceil(
        speed_rad_s / (min(ROBOT.max_acceleration_rad_s2) * ROBOT.control_period_s)
    )
    need = np.abs(way_rad).max() / (speed_rad_s * ROBOT.control_period_s)
    assert len(commands) <= np.ceil(need) + ramp + 1


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_an_arm_that_gains_speed_slowly_goes_home_as_fast_as_it_can(direction):
    way_rad = direction * np.array([0.4, 0.0, 0.0, 0.2, 0.0, -0.3])
    _, homing = begin(HOME - way_rad, arm=HEAVY)
    commands = go(homing)
    assert [command.changes for command in commands if command.changes] == []
    speeds = (
        np.diff([HOME - way_rad, *[command.joint_rad for command in commands]], axis=0)
        / ROBOT.settle_s
    )
    change = HEAVY_RAD_S2 * ROBOT.control_period_s
    assert np.abs(np.diff(speeds, axis=0, prepend=0.0, append=0.0)).max() <= change + 1e-9
    highest = SPEED_RAD_S * ROBOT.control_period_s / ROBOT.settle_s
    assert np.abs(speeds).max() == pytest.approx(highest, abs=change), "it comes to its full speed"
    ramps = 2 * np.ceil(highest / change)
    assert len(commands) <= np.ceil(0.4 / STEP_RAD) + ramps


def test_a_joint_that_moves_the_other_way_is_turned_round():
    loop, homing = begin(HOME - [0.4, 0.0, 0.0, 0.0, 0.0, 0.0], arm=HEAVY)
    loop.step_joints(JointTarget(loop.gate.last_rad - 0.1 * np.eye(6)[0], GRIPPER_M), 0.0)
    assert loop.gate.last_speed[0] < 0.0
    for command in go(homing):
        assert not [
            change for change in command.changes if "singularity" in change or "clearance" in change
        ]


def test_it_is_done_where_it_begins_at_home():
    _, homing = begin(HOME)
    assert homing.arrived
    _, homing = begin(HOME + 0.9 * ARRIVED_RAD)
    assert homing.arrived
    _, homing = begin(HOME + 2.0 * ARRIVED_RAD * np.eye(6)[5])
    assert not homing.arrived
    assert len(go(homing)) == 1


def test_it_opens_the_gripper_on_the_way():
    _, homing = begin(HOME + 0.3)
    grippers = [command.gripper_m for command in go(homing)]
    assert grippers == sorted(grippers) and grippers[-1] == ROBOT.gripper_open_m


def test_a_joint_faster_than_the_arm_may_be_is_not_asked_for():
    loop, homing = begin(HOME + [0.0, 0.0, 0.0, 0.0, 0.0, 1.5], 5.0)
    commands = go(homing)
    assert [command.changes for command in commands if command.changes] == []
    assert (
        np.abs(np.diff([command.joint_rad for command in commands], axis=0)).max()
        <= 3.0 * ROBOT.settle_s + 1e-9
    )
    assert loop.gate.violations() is None


def test_an_old_measurement_moves_nothing():
    _, homing = begin(HOME + 0.3)
    with pytest.raises(Exception, match="old"):
        homing.step(1.0)


# Where the straight way is blocked.


def blocked_gate(loop, way, allowed):
    """Stands where something is in the way: the gate lets only such targets through."""
    check = loop.gate.check

    def checked(target, age_s, *words, **_):
        if allowed(target.joint_rad):
            return check(target, age_s, *words)
        return JointCommand(loop.gate.last_rad, target.gripper_m, ROBOT.settle_s, (way,))

    loop.gate.check = checked


def test_what_is_in_the_way_is_named_and_nothing_moves():
    loop, homing = begin(HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    blocked_gate(loop, "clearance hand and table", lambda target: False)
    before = loop.gate.last_rad.copy()
    with pytest.raises(UnsafeCommand, match="homing is blocked: clearance hand and table"):
        homing.step(0.0)
    assert np.array_equal(loop.gate.last_rad, before)


def test_of_all_that_is_in_the_way_the_first_is_named():
    loop, homing = begin(HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    number = itertools.count(1)
    loop.gate.check = lambda target, age_s, *words, **_: JointCommand(
        loop.gate.last_rad, target.gripper_m, ROBOT.settle_s, (f"clearance {next(number)}",)
    )
    with pytest.raises(UnsafeCommand, match="blocked: clearance 1;"):
        homing.step(0.0)


def test_a_way_of_the_tool_that_is_cut_short_is_gone_all_the_same():
    begun = HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    loop, homing = begin(begun)
    creeping_gate(loop, 0.01, ("workspace",))
    command = homing.step(0.0)
    assert command.joint_rad == pytest.approx(begun - 0.01 * np.eye(6)[0]), (
        "the joints' way was taken back"
    )


def test_out_of_a_pose_whose_straight_way_home_is_worse_it_finds_another_one():
    loop, homing = begin(LOW)
    before = loop.gate.depths(LOW)
    direct = HOME - LOW
    direct *= 1e-3 / np.abs(direct).max()
    assert (loop.gate.depths(LOW + direct) > before + 1e-6).any()
    command = homing.step(0.0)
    assert np.abs(command.joint_rad - LOW).max() > 1e-3
    assert (loop.gate.depths(command.joint_rad) <= before + 1e-6).all()


def test_an_arm_that_hardly_creeps_is_blocked():
    loop, homing = begin(HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    check = loop.gate.check

    def creeping(target, age_s, *words, **_):
        command = check(
            target.__class__(loop.gate.last_rad - 1e-7, target.gripper_m), age_s, *words
        )
        return command.__class__(
            command.joint_rad, command.gripper_m, command.duration_s, ("clearance hand",)
        )

    loop.gate.check = creeping
    before = loop.gate.last_rad.copy()
    with pytest.raises(UnsafeCommand, match="homing is blocked: clearance hand"):
        homing.step(0.0)
    assert np.array_equal(loop.gate.last_rad, before)


def creeping_gate(loop, step_rad, changes=()):
    """Stands where the arm can hardly move: the gate turns the waist by so little, for these
    reasons.
    """

    def checked(target, age_s, *words, **_):
        command = JointCommand(
            loop.gate.last_rad - step_rad * np.eye(6)[0], target.gripper_m, ROBOT.settle_s, changes
        )
        loop.gate.set_state((command, np.zeros(6), (None, None)))
        return command

    loop.gate.check = checked


@pytest.mark.parametrize(("shrunk_to", "lost"), [(0.999, True), (0.9985, False)])
def test_a_way_is_lost_after_fifty_periods_in_which_it_shrank_by_no_more_than_a_thousandth(
    shrunk_to, lost
):
    patience = _Patience()
    assert not patience.lost(1.0)
    assert [patience.lost(shrunk_to) for _ in range(51)] == [*[False] * 50, lost]


def test_an_arm_that_no_way_brings_nearer_gives_up_and_says_so():
    loop, homing = begin(HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    creeping_gate(loop, 1e-7)
    with pytest.raises(UnsafeCommand, match="homing is blocked: it comes no nearer"):
        for _ in range(300):
            homing.step(0.0)


def test_an_arm_that_comes_no_further_out_of_a_bad_pose_gives_up_and_says_so():
    pose = HOME.copy()
    pose[5] = ARM.upper_rad[5] + 0.05
    loop, homing = begin(pose)
    creeping_gate(loop, 1e-4)
    with pytest.raises(UnsafeCommand, match="blocked: the arm cannot leave the violation"):
        for _ in range(60):
            homing.step(0.0)
    assert np.abs(loop.gate.last_rad - pose).max() > 45e-4, "it does not give up at once"


def test_what_only_makes_the_arm_slower_does_not_block_it():
    loop, homing = begin(HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    check = loop.gate.check

    def slowed(target, age_s, *words, **_):
        command = check(target, age_s, *words)
        return command.__class__(
            command.joint_rad, command.gripper_m, command.duration_s, ("speed waist",)
        )

    loop.gate.check = slowed
    homing._by_tool = lambda *words: pytest.fail("the straight way is free")
    assert homing.arrived or len(go(homing)) > 3


def test_where_the_joints_straight_way_is_blocked_the_tool_goes_straight():
    begun = HOME + [0.0, 0.25, -0.35, 0.0, 0.25, 0.0]
    loop, homing = begin(begun)
    assert loop.gate.violations() is None
    straight = (HOME - begun) / np.linalg.norm(HOME - begun)

    def off_the_line(target_rad):
        way = target_rad - begun
        return np.linalg.norm(way - (way @ straight) * straight) > 1e-4 or np.abs(way).max() < 1e-9

    first = ARM.forward(begun)[:3, 3].copy()
    towards = ARM.forward(HOME)[:3, 3] - first
    blocked_gate(loop, "workspace", off_the_line)
    command = homing.step(0.0)
    way_m = ARM.forward(command.joint_rad)[:3, 3] - first
    assert np.linalg.norm(way_m) > 1e-3
    assert way_m @ towards / np.linalg.norm(way_m) / np.linalg.norm(towards) > 0.98
    assert np.linalg.norm(way_m) <= ROBOT.max_translation_m * 1.05
    assert np.abs(command.joint_rad - begun).max() <= STEP_RAD + 1e-9


def by_tool(way_rad, speed_rad_s=5.0, blocked=1):
    """The first command where so many ways, the straight one of the joints first, are not free; and
    from where.
    """
    begun = HOME + way_rad
    loop, homing = begin(begun, speed_rad_s)
    assert loop.gate.violations() is None
    tried = []
    blocked_gate(
        loop, "workspace", lambda target: len(tried) >= blocked or tried.append(target) is not None
    )
    command = homing.step(0.0)
    assert len(tried) == blocked
    return begun, command


def away(translation_m, rotation_rad):
    """(6,) rad, from home: where the tool is so far from its pose there."""
    pose = moved(ARM.forward(HOME).copy(), translation_m, rotation_rad)
    return ARM.solve(pose, HOME, iterations=100) - HOME


def turn_rad(before_rad, after_rad):
    turn = ARM.forward(before_rad).copy()[:3, :3].T @ ARM.forward(after_rad)[:3, :3]
    return float(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)))


def tool_m(joint_rad):
    return ARM.forward(joint_rad)[:3, 3].copy()


def test_the_tool_goes_its_largest_step_and_no_more():
    begun, command = by_tool([0.0, 0.15, -0.25, 0.0, 0.4, 0.0])
    assert np.linalg.norm(tool_m(HOME) - tool_m(begun)) > 2.0 * ROBOT.max_translation_m
    assert turn_rad(begun, HOME) < ROBOT.max_rotation_rad
    step_m = np.linalg.norm(tool_m(command.joint_rad) - tool_m(begun))
    assert step_m == pytest.approx(ROBOT.max_translation_m, rel=0.1)


@pytest.mark.parametrize("axis", range(3))
def test_a_tool_nearer_than_its_largest_step_goes_all_the_way(axis):
    begun, command = by_tool(away(0.4 * ROBOT.max_translation_m * np.eye(3)[axis], np.zeros(3)))
    assert np.linalg.norm(tool_m(begun) - tool_m(HOME)) == pytest.approx(
        0.4 * ROBOT.max_translation_m, rel=0.01
    )
    assert tool_m(command.joint_rad) == pytest.approx(tool_m(HOME), abs=1e-4)


@pytest.mark.parametrize("axis", range(3))
def test_a_tool_that_is_only_turned_turns_its_largest_turn_and_no_more(axis):
    begun, command = by_tool(
        away(np.zeros(3), 2.5 * ROBOT.max_rotation_rad * np.eye(3)[axis]), blocked=2
    )
    assert turn_rad(begun, command.joint_rad) == pytest.approx(ROBOT.max_rotation_rad, rel=0.05)
    assert turn_rad(command.joint_rad, HOME) == pytest.approx(
        1.5 * ROBOT.max_rotation_rad, rel=0.05
    )
    assert tool_m(command.joint_rad) == pytest.approx(tool_m(HOME), abs=1e-3)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_no_joint_is_faster_than_it_may_be_where_the_tool_goes_straight(direction):
    begun, command = by_tool([0.0, 0.0, 0.0, 0.0, 0.0, direction], 0.2, blocked=2)
    assert np.abs(command.joint_rad - begun).max() == pytest.approx(
        0.2 * ROBOT.control_period_s, rel=0.01
    )


# Out of a pose that may not be.


def test_out_of_a_pose_beyond_a_joints_limit_it_goes_slowly_and_then_home():
    pose = HOME.copy()
    pose[5] = ARM.upper_rad[5] + 0.05
    loop, homing = begin(pose)
    assert loop.gate.violations() is not None
    first = homing.step(0.0)
    step = np.abs(first.joint_rad - pose)
    assert step[5] > 1e-3 and first.joint_rad[5] < pose[5]
    assert (step <= loop.gate.escape_limit * ROBOT.settle_s + 1e-9).all(), (
        "no faster than out of a bad pose"
    )
    assert step[5] == pytest.approx(loop.gate.escape_limit[5] * ROBOT.settle_s, rel=0.01), (
        "and no slower"
    )
    assert "escape" in " ".join(first.changes)
    go(homing)
    assert loop.gate.violations() is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("escape (the arm is where it must not be)", "there is no way out"),
        ("clearance hand", "clearance hand"),
    ],
)
def test_where_no_way_leads_out_that_is_said(reason, said):
    loop, homing = begin(LOW)
    blocked_gate(loop, reason, lambda target: False)
    with pytest.raises(UnsafeCommand, match=f"blocked: {said}; move the arm by hand"):
        homing.step(0.0)


def test_where_the_arm_hardly_creeps_out_of_a_bad_pose_it_stays():
    loop, homing = begin(LOW)
    creeping_gate(loop, 1e-6)
    with pytest.raises(UnsafeCommand, match="blocked: there is no way out"):
        homing.step(0.0)
    assert np.array_equal(loop.gate.last_rad, LOW)


def test_where_the_way_out_is_blocked_the_way_home_is_tried_all_joints_in_proportion():
    pose = HOME + [0.4, 0.0, 0.0, 0.1, 0.0, 0.0]
    pose[5] = ARM.upper_rad[5] + 0.05
    loop, homing = begin(pose)
    blocked_gate(loop, "clearance hand and table", lambda target: np.abs(target - pose)[0] > 1e-6)
    way = homing.step(0.0).joint_rad - pose
    assert np.abs(way).max() == pytest.approx(loop.gate.escape_limit[5] * ROBOT.settle_s, rel=0.01)
    assert way / np.abs(way).max() == pytest.approx(
        (HOME - pose) / np.abs(HOME - pose).max(), abs=0.01
    )


def test_two_violations_become_less_at_once():
    pose = HOME.copy()
    pose[[3, 5]] = ARM.upper_rad[[3, 5]] + 0.05
    loop, homing = begin(pose)
    before = loop.gate.depths(pose)
    after = loop.gate.depths(homing.step(0.0).joint_rad)
    worse = before[before > 0.0] - after[before > 0.0]
    assert len(worse) >= 2 and (worse > 1e-4).all()


@settings(max_examples=30)
@given(
    st.integers(1, 6).flatmap(lambda count: arrays(float, (count, 4), elements=st.floats(-1, 1)))
)
def test_against_the_smallest_mixture_no_row_falls_less_than_it_is_long(rows):
    """The shortest vector of a convex hull: its product with every row is at least its own
    square.
    """
    mixture = _smallest_mixture(rows)
    assert (rows @ mixture).min() >= mixture @ mixture - 0.02
    assert np.linalg.norm(mixture) <= np.linalg.norm(rows, axis=1).min() + 0.05


@pytest.mark.parametrize(
    ("rows", "mixture"),
    [
        ([[1.0, 0.0]], [1.0, 0.0]),
        ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
        ([[1.0, 0.0], [-1.0, 0.0]], [0.0, 0.0]),
        ([[2.0, 1.0], [2.0, -1.0], [5.0, 0.0]], [2.0, 0.0]),
        ([[1.0, 0.0], [1.0, 0.0]], [1.0, 0.0]),
        ([[1.0, 0.0], [3.0, 1.0]], [1.0, 0.0]),
    ],
)
def test_mixtures_that_are_known(rows, mixture):
    assert _smallest_mixture(np.array(rows)) == pytest.approx(mixture, abs=0.01)
