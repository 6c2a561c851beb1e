"""UR5e and SO-101 against what their makers publish; arms with fewer joints than a pose has; every
robot's home.
"""

import numpy as np
import pinocchio as pin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.control.loop import ControlLoop
from conure_core.robot.arm import Arm, moved, pose_error
from conure_core.robot.description import ROBOTS_DIR, load_robot

ROBOTS = sorted(path.stem for path in ROBOTS_DIR.glob("*.yaml"))
SO101 = Arm(load_robot("so101"))
HOME = np.array(SO101.config.home_rad)
STEPS = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(np.array)

# Universal Robots, "DH Parameters for calculations of kinematics and dynamics", UR5e: d, a (m),
# alpha (rad).
UR5E_DH = [
    (0.1625, 0.0, np.pi / 2),
    (0.0, -0.425, 0.0),
    (0.0, -0.3922, 0.0),
    (0.1333, 0.0, np.pi / 2),
    (0.0997, 0.0, -np.pi / 2),
    (0.0996, 0.0, 0.0),
]
# TheRobotStudio/SO-ARM100, so101_new_calib.urdf: origin xyz (m) and rpy (rad) of each joint, all
# turning about z; the first from the middle of the base's underside, x forward.
SO101_JOINTS = [
    ((0.0388353, 0.0, 0.0624), (np.pi, 0.0, np.pi)),
    ((-0.0303992, -0.0182778, -0.0542), (-np.pi / 2, -np.pi / 2, 0.0)),
    ((-0.11257, -0.028, 0.0), (0.0, 0.0, np.pi / 2)),
    ((-0.1349, 0.0052, 0.0), (0.0, 0.0, -np.pi / 2)),
    ((0.0, -0.0611, 0.0181), (np.pi / 2, 0.0, np.pi)),
]
SO101_TIP_M = (-0.0079, -0.000218121, -0.0981274)  # of the fixed jaw, in the last joint's frame
OUR_TIP_M = (0.0100274, -0.018, 0.000218121)  # the same in the frame `tool`


def test_ur5e_is_the_makers_denavit_hartenberg_chain() -> None:
    model = pin.buildModelFromUrdf(str(load_robot("ur5e").urdf))
    data, rng = model.createData(), np.random.default_rng(0)
    for _ in range(20):
        joints = rng.uniform(-np.pi, np.pi, 6)
        expected = np.diag(
            [-1.0, -1.0, 1.0, 1.0]
        )  # base_link is the maker's base, turned by half a turn
        for angle, (d, a, alpha) in zip(joints, UR5E_DH, strict=True):
            link = pin.SE3(pin.utils.rotate("z", angle), np.array([0, 0, d])) * pin.SE3(
                pin.utils.rotate("x", alpha), np.array([a, 0, 0])
            )
            expected = expected @ link.homogeneous
        pin.framesForwardKinematics(model, data, np.append(joints, [0.0, 0.0]))
        np.testing.assert_allclose(
            data.oMf[model.getFrameId("tool0")].homogeneous, expected, atol=1e-9
        )


def test_so101_is_the_published_chain() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints, expected = rng.uniform(SO101.lower_rad, SO101.upper_rad), pin.SE3.Identity()
        for angle, (xyz, rpy) in zip(joints, SO101_JOINTS, strict=True):
            expected = expected * pin.SE3(pin.rpy.rpyToMatrix(*rpy), np.array(xyz))
            expected = expected * pin.SE3(pin.utils.rotate("z", angle), np.zeros(3))
        ours = SO101.forward(joints) @ [*OUR_TIP_M, 1.0]
        np.testing.assert_allclose(ours[:3], expected * np.array(SO101_TIP_M), atol=1e-7)


@pytest.mark.parametrize("name", ROBOTS)
def test_every_robot_may_leave_its_home_in_every_direction(name: str) -> None:
    """Nothing touches at home, margins included, and the gate lets small steps through unchanged in
    their direction.
    """
    arm = Arm(load_robot(name))
    home = np.array(arm.config.home_rad)
    assert arm.first_collision(home) is None
    for axis in range(3):
        for sign in (-1.0, 1.0):
            loop, joints, action = ControlLoop(arm), home, np.zeros(7)
            loop.reset(home, arm.config.gripper_open_m)
            action[axis], action[6] = 0.1 * sign, 1.0
            for _ in range(10):
                command = loop.step(action, joints)
                joints = command.joint_rad
                assert not [
                    change
                    for change in command.changes
                    if change.startswith(("workspace", "clearance"))
                ]
            assert sign * (arm.forward(joints) - arm.forward(home))[axis, 3] > 0.005


def test_six_joints_and_more_are_solved_by_plain_damped_least_squares_to_the_bit() -> None:
    rng = np.random.default_rng(3)
    for arm in (Arm(load_robot("wx250s")), Arm(load_robot("panda"))):
        home = np.array(arm.config.home_rad)
        for _ in range(20):
            goal = moved(arm.forward(home), rng.uniform(-0.1, 0.1, 3), rng.uniform(-0.4, 0.4, 3))
            error, jacobian = pose_error(arm.forward(home), goal), arm.jacobian(home)
            step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 0.01**2 * np.eye(6), error)
            expected = np.clip(home + step, arm.lower_rad, arm.upper_rad)
            np.testing.assert_array_equal(arm.solve(goal, home, iterations=1), expected)


@settings(deadline=None, max_examples=60)
@given(STEPS, STEPS)
def test_five_joints_reach_the_position_whatever_turn_is_asked_for(
    translation: np.ndarray, rotation: np.ndarray
) -> None:
    goal = moved(SO101.forward(HOME), translation * 0.02, rotation * 0.15)
    found = SO101.forward(SO101.solve(goal, HOME))
    assert np.abs(found[:3, 3] - goal[:3, 3]).max() < 1e-3


def test_five_joints_make_the_turns_that_they_can() -> None:
    """About the axes of wrist_flex and wrist_roll."""
    for axis in SO101.jacobian(HOME)[3:, 3:].T:
        goal = moved(SO101.forward(HOME), np.zeros(3), -0.15 * axis)
        assert np.abs(pose_error(SO101.forward(SO101.solve(goal, HOME)), goal)).max() < 1e-3


def test_a_turn_that_five_joints_cannot_make_does_not_carry_the_tool_away() -> None:
    """Sideways lean, asked for a hundred times: least squares over metres and radians would walk
    off with it.
    """
    config = SO101.config
    loop, joints = ControlLoop(SO101), HOME
    loop.reset(HOME, config.gripper_open_m)
    for _ in range(100):
        command = loop.step(np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]), joints)
        joints = command.joint_rad
    assert np.abs(SO101.forward(joints)[:3, 3] - SO101.forward(HOME)[:3, 3]).max() < 2e-3


def test_a_joint_at_its_limit_leaves_the_position_to_the_others() -> None:
    """Pointing down from high up takes more of wrist_flex than there is."""
    goal = moved(SO101.forward(HOME), np.array([0.0, 0.0, 0.05]), np.zeros(3))
    found = SO101.solve(goal, HOME, iterations=50)
    assert found[3] == SO101.upper_rad[3]
    assert np.abs(SO101.forward(found)[:3, 3] - goal[:3, 3]).max() < 1e-4
