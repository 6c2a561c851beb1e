"""Out of a pose that may not be: slowly, nothing gets worse, all is named. And the last step before
an arm.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.control.controller import JointTarget
from conure_core.control.safety import NO_WORSE, JointCommand, SafetyGate, Violations, reachable
from conure_core.errors import UnsafeCommand
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
OPEN_M = ROBOT.gripper_open_m
ROLL, WRIST = 5, 3
BEYOND_RAD = 0.05


def beyond(joint: int, depth_rad: float = BEYOND_RAD, pose: np.ndarray = HOME) -> np.ndarray:
    """A pose with this joint so far beyond its upper limit (below its lower one: negative)."""
    found = pose.copy()
    found[joint] = (ARM.upper_rad if depth_rad > 0 else ARM.lower_rad)[joint] + depth_rad
    return found


def gate_at(pose: np.ndarray, arm: Arm = ARM) -> SafetyGate:
    gate = SafetyGate(arm)
    gate.reset(pose, OPEN_M)
    return gate


def go(gate: SafetyGate, target_rad: np.ndarray) -> JointCommand:
    return gate.check(JointTarget(target_rad, OPEN_M), 0.0)


# How deep a pose lies beyond its limits.


@pytest.mark.parametrize("joint", range(6))
@pytest.mark.parametrize("depth_rad", [-0.02, 0.03])
def test_a_joint_beyond_a_limit_is_as_deep_as_it_is_far_beyond(
    joint: int, depth_rad: float
) -> None:
    depths = SafetyGate(ARM).depths(beyond(joint, depth_rad))
    assert depths[1:7] == pytest.approx(abs(depth_rad) * np.eye(6)[joint], abs=1e-9)
    assert len(depths) == 7 + len(ARM.pair_names)


def test_at_home_nothing_is_deep() -> None:
    gate = gate_at(HOME)
    assert not gate.depths(HOME).any()
    assert gate.violations() is None


def test_a_tool_outside_the_box_is_as_deep_as_it_is_away_from_it_but_for_a_millimetre() -> None:
    tool_m = ARM.forward(HOME)[:3, 3]
    for out_m in (
        np.array([0.03, 0.0, 0.0]),
        np.array([0.03, 0.04, 0.0]),
        np.array([0.0005, 0.0, 0.0]),
    ):
        box = {
            "workspace_upper_m": tuple(map(float, tool_m - out_m)),
            "workspace_lower_m": (-9.0, -9.0, -9.0),
        }
        arm = Arm(ROBOT)
        arm.workspace_m = (np.array(box["workspace_lower_m"]), np.array(box["workspace_upper_m"]))
        depth_m = float(np.linalg.norm(out_m))
        assert SafetyGate(arm).depths(HOME)[0] == pytest.approx(
            depth_m if depth_m > 1e-3 else 0.0, abs=1e-9
        )


def test_a_clearance_that_is_kept_too_little_is_deep_by_what_lacks() -> None:
    rng = np.random.default_rng(3)
    poses = rng.uniform(ARM.lower_rad, ARM.upper_rad, (300, 6))
    pose = next(pose for pose in poses if ARM.first_collision(pose) is not None)
    assert SafetyGate(ARM).depths(pose)[7:] == pytest.approx(ARM.clearance_deficits(pose))
    assert gate_at(pose).violations() is not None


# What counts as worse.


def violations(*depths: float) -> Violations:
    return Violations(("box", "waist", "hand and table", "elbow")[: len(depths)], np.array(depths))


def test_only_what_lies_deeper_than_before_is_worse_and_the_worst_is_named() -> None:
    before = violations(0.1, 0.0, 0.02)
    assert violations(0.1, 0.0, 0.02).worse_than(before) is None
    assert violations(0.0, 0.0, 0.01).worse_than(before) is None
    assert violations(0.1, NO_WORSE, 0.02).worse_than(before) is None
    text = violations(0.0, 0.001, 0.05).worse_than(before)
    assert text == "clearance or limit: hand and table would get worse"
    assert "waist" in str(violations(0.0, 2.0 * NO_WORSE, 0.0).worse_than(before))


def test_a_pose_violates_something_if_it_is_deeper_than_rounding() -> None:
    assert not violations(0.0, NO_WORSE).any()
    assert violations(0.0, 2.0 * NO_WORSE).any()


def test_the_three_deepest_are_named_the_deepest_first() -> None:
    assert str(violations(0.1, NO_WORSE, 0.02)) == "box by 0.100, hand and table by 0.020"
    assert (
        str(violations(0.1, 0.2, 0.3, 0.4))
        == "elbow by 0.400, hand and table by 0.300, waist by 0.200"
    )


# The gate.


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_from_beyond_a_limit_the_arm_moves_out_at_a_tenth_of_its_speed_and_says_why(
    direction: float,
) -> None:
    pose = beyond(ROLL, direction * BEYOND_RAD)
    gate = gate_at(pose)
    command = go(gate, HOME)
    way = command.joint_rad - pose
    assert np.sign(way[ROLL]) == -direction
    assert (np.abs(way) <= 0.1 * 3.0 * ROBOT.settle_s + 1e-9).all()
    assert abs(way[ROLL]) == pytest.approx(0.1 * 3.0 * ROBOT.settle_s)
    (escape,) = (change for change in command.changes if change.startswith("escape"))
    assert f"joint position {ROBOT.joint_names[ROLL]} by 0.050" in escape


def test_an_arm_that_can_hardly_brake_moves_out_more_slowly_still() -> None:
    arm = Arm(replace(ROBOT, max_acceleration_rad_s2=(1.0,) * 6))
    gate = gate_at(beyond(ROLL), arm)
    assert gate.escape_limit == pytest.approx(1.0 * ROBOT.control_period_s)
    assert np.abs(go(gate, HOME).joint_rad - beyond(ROLL)).max() <= 0.1 * ROBOT.settle_s + 1e-9


def test_from_beyond_a_limit_it_moves_no_further_out_and_names_what_would_get_worse() -> None:
    pose = beyond(ROLL)
    gate = gate_at(pose)
    command = go(gate, beyond(ROLL, 0.2))
    assert command.joint_rad[ROLL] <= pose[ROLL] + 1e-9


def test_what_mends_one_violation_may_add_no_other() -> None:
    rng = np.random.default_rng(5)
    for pose in rng.uniform(ARM.lower_rad - 0.1, ARM.upper_rad + 0.1, (40, 6)):
        gate = gate_at(pose)
        before = gate.depths(pose)
        command = go(gate, rng.uniform(-1.5, 1.5, 6))
        assert (gate.depths(command.joint_rad) <= before + 1e-5).all() or not before.any()


def test_once_it_is_out_it_is_as_fast_as_ever_and_another_pose_is_judged_anew() -> None:
    gate = gate_at(beyond(ROLL))
    for _ in range(10):
        last = go(gate, HOME)
    assert gate.violations() is None
    assert not any(change.startswith("escape") for change in last.changes)
    before = last.joint_rad
    assert np.abs(go(gate, HOME).joint_rad - before).max() > 0.1
    gate.reset(beyond(WRIST), OPEN_M)
    found = gate.violations()
    assert found is not None and ROBOT.joint_names[WRIST] in str(found)
    gate.reset(HOME, OPEN_M)
    assert gate.violations() is None


def test_from_a_new_pose_or_another_gates_state_it_moves_out_however_little_was_violated_before() -> (
    None
):
    deep = beyond(ROLL, 0.3)
    gate, other = gate_at(beyond(ROLL, 0.02)), gate_at(deep)
    go(gate, beyond(ROLL))
    gate.reset(deep, OPEN_M)
    first = go(gate, HOME).joint_rad
    assert first[ROLL] < deep[ROLL] - 0.01
    np.testing.assert_array_equal(go(other, HOME).joint_rad, first)
    gate.reset(beyond(ROLL, 0.02), OPEN_M)
    go(gate, beyond(ROLL))
    gate.set_state(other.get_state())
    np.testing.assert_array_equal(go(gate, HOME).joint_rad, go(other, HOME).joint_rad)
    assert gate.last_rad[ROLL] < first[ROLL] - 0.01


def test_before_the_first_reset_nothing_is_violated_that_could_be_asked_for() -> None:
    with pytest.raises(UnsafeCommand, match="was not reset"):
        SafetyGate(ARM).violations()


def test_the_speed_that_is_given_is_a_copy() -> None:
    gate = gate_at(HOME)
    go(gate, HOME + 0.05)
    gate.last_speed[:] = 9.0
    assert gate.last_speed == pytest.approx(0.05 / ROBOT.settle_s, abs=0.2)
    assert gate.last_rad == pytest.approx(HOME + 0.05)


# The last step before an arm.


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6), st.floats(0.01, 1.0))
def test_no_joint_leads_farther_from_where_it_is_measured_than_it_may(
    way: list[float], farthest_rad: float
) -> None:
    command = JointCommand(HOME + way, 0.02, 0.1, ("speed",), HOME)
    farthest = np.full(6, farthest_rad)
    found = reachable(command, HOME, farthest)
    assert found.joint_rad - HOME == pytest.approx(np.clip(way, -farthest, farthest), abs=1e-12)
    assert (found.gripper_m, found.duration_s, found.requested_rad) == (
        0.02,
        0.1,
        command.requested_rad,
    )
    if (np.abs(way) < farthest_rad - 1e-9).all():
        assert found is command
    elif (np.abs(way) > farthest_rad + 1e-9).any():
        assert found.changes == ("speed", "out of the measured arm's reach")


OVERLAPPING = {
    "base_link_0 and upper_arm_link_0": [-2.1468844, -1.8608623, -0.6925771, 1.0953021, -1.575439, 2.1187214],
    "base_link_0 and gripper_bar_link_0": [
        -0.8709831125154864, -1.0085123147489008, -1.5333407060527775,
        0.18106213642702032, -1.8475519325071852, 0.09854533679520801,
    ],
}  # fmt: skip


@pytest.mark.parametrize("pair", OVERLAPPING)
@pytest.mark.parametrize("guess", [None, (-0.00016169, -0.00082534, -0.00475753)])
def test_boxes_that_lie_in_each_other_are_seen_whatever_was_judged_before(pair, guess):
    """coal 3.0.3 takes these for pairs that just touch, begun anew or where another pose ended."""
    arm, folded = Arm(load_robot("wx250s")), np.array(OVERLAPPING[pair])
    for request in arm._geometry[1].collisionRequests:
        request.cached_gjk_guess = request.cached_gjk_guess if guess is None else np.array(guess)
    assert arm.first_collision(folded) is not None
    deficits = dict(zip(arm.pair_names, arm.clearance_deficits(folded), strict=True))
    assert deficits[pair] > 0.004
