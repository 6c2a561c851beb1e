"""/tf agrees with the kinematics that control uses, for every robot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_core.robot.link_transforms import (
    Transform,
    multiply,
    quaternion,
    read_joints,
    rotate,
)
from conure_core.robot.urdf_file import description_text

NAMES = sorted(path.stem for path in ROBOTS_DIR.glob("*.yaml"))
ANGLES = st.floats(-10.0, 10.0)


def matrix(transform):
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([rotate(transform.rotation_xyzw, one) for one in np.eye(3)])
    pose[:3, 3] = transform.translation_m
    return pose


def chained(robot, positions):
    """base_from_tool, by the transforms from the tool's link up to the base."""
    above = {joint.child: joint for joint in read_joints(robot.urdf)}
    pose, link = np.eye(4), robot.tool_frame
    while link != robot.base_frame:
        joint = above[link]
        pose = matrix(joint.transform(joint.position_among(positions) or 0.0)) @ pose
        link = joint.parent
    return pose


@pytest.mark.parametrize("name", NAMES)
def test_the_chain_of_transforms_is_the_arms_forward_kinematics(name):
    robot = load_robot(name)
    arm, rng = Arm(robot), np.random.default_rng(0)
    for _ in range(5):
        joint_rad = rng.uniform(arm.lower_rad, arm.upper_rad)
        positions = dict(zip(robot.joint_names, joint_rad, strict=True))
        positions[robot.gripper_joint] = robot.gripper_open_m
        assert np.allclose(chained(robot, positions), arm.forward(joint_rad), atol=1e-9)


def test_a_finger_follows_the_one_that_it_mimics_and_an_unknown_joint_has_no_position():
    joints = {joint.name: joint for joint in read_joints(load_robot("wx250s").urdf)}
    assert joints["right_finger"].position_among({"left_finger": 0.03}) == -0.03
    assert joints["right_finger"].position_among({"waist": 0.0}) is None


@given(ANGLES, ANGLES, ANGLES)
def test_a_pose_and_its_quaternion_are_the_same_turn(roll, pitch, yaw):
    turn = quaternion(roll, pitch, yaw)
    given_pose = matrix(Transform("a", "b", np.arange(3.0), turn))
    found = Transform.of_pose("a", "b", given_pose)
    assert np.allclose(matrix(found), given_pose, atol=1e-9)
    assert np.allclose(multiply(turn, turn * [-1, -1, -1, 1]), [0, 0, 0, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('<axis xyz="0 0 1"/>', '<axis xyz="0 0 0"/>', "must not be zero"),
        ('<origin xyz="0 0 0.0716"/>', '<origin xyz="0 0"/>', "three finite numbers"),
        ('<origin xyz="0 0 0.0716"/>', '<origin xyz="0 0 nan"/>', "three finite numbers"),
        ('<child link="shoulder_link"/>', "", "needs <parent"),
    ],
)
def test_a_joint_that_cannot_be_placed_is_named(tmp_path, before, after, says):
    text = (ROBOTS_DIR / "wx250s.urdf").read_text()
    path = tmp_path / "mine.urdf"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match=rf"mine\.urdf: joint 'waist'.*{says}"):
        read_joints(path)


def test_a_description_names_meshes_that_other_programs_find(tmp_path, monkeypatch):
    panda = load_robot("panda").urdf
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert f'"{(ROBOTS_DIR / "panda/base.obj").as_uri()}"' in description_text(panda)
    (tmp_path / "share" / "conure_core" / "robots").mkdir(parents=True)
    assert '"package://conure_core/robots/panda/base.obj"' in description_text(panda)
    text = panda.read_text().replace("panda/base.obj", "package://theirs/base.obj")
    mine = tmp_path / "mine.urdf"
    mine.write_text(text.replace("panda/", f"{ROBOTS_DIR}/panda/"))
    assert '"package://theirs/base.obj"' in description_text(mine)
