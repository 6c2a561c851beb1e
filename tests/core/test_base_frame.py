"""Poses, box and table are those of `base_frame`, wherever the URDF's root stands."""

import numpy as np
import pinocchio as pin
import pytest
import yaml

from conure_core.control.loop import ControlLoop
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import ROBOTS_DIR, RobotConfig, load_robot

PLAIN = Arm(load_robot("wx250s"))
HOME = np.array(PLAIN.config.home_rad)
QUARTER = "1.5707963267948966"
PEDESTAL = f"""
  <link name="world"/>
  <link name="pedestal">
    <collision><origin xyz="0 0 0.25"/><geometry><box size="0.3 0.3 0.5"/></geometry></collision>
  </link>
  <joint name="stand" type="fixed"><parent link="world"/><child link="pedestal"/><origin xyz="1 2 0"/></joint>
  <joint name="mount" type="TYPE">
    <parent link="pedestal"/><child link="base_link"/><origin xyz="0 0 0.5" rpy="TILT 0 {QUARTER}"/><axis xyz="0 0 1"/>
    <limit lower="-1" upper="1" velocity="1" effort="1"/>
  </joint>
"""


def raised(folder, kind: str = "fixed", tilt: str = "0", **changes) -> RobotConfig:
    """The WidowX on a pedestal 0.5 m high, turned by a quarter, and off the root in x and y."""
    text = (ROBOTS_DIR / "wx250s.urdf").read_text()
    start = text.index('  <link name="base_link">')
    pedestal = PEDESTAL.replace("TYPE", kind).replace("TILT", tilt)
    (folder / "raised.urdf").write_text(text[:start] + pedestal + text[start:])
    data = yaml.safe_load((ROBOTS_DIR / "wx250s.yaml").read_text())
    (folder / "raised.yaml").write_text(yaml.safe_dump({**data, "urdf": "raised.urdf", **changes}))
    load_robot.cache_clear()
    return load_robot(str(folder / "raised.yaml"))


@pytest.mark.parametrize("tilt", ["0", "0.7"])
def test_an_arm_on_a_pedestal_has_the_poses_of_one_on_the_floor(tmp_path, tilt):
    arm, rng = Arm(raised(tmp_path, tilt=tilt)), np.random.default_rng(0)
    for _ in range(50):
        joints = rng.uniform(PLAIN.lower_rad, PLAIN.upper_rad)
        np.testing.assert_allclose(arm.forward(joints), PLAIN.forward(joints), atol=1e-12)
        np.testing.assert_allclose(arm.jacobian(joints), PLAIN.jacobian(joints), atol=1e-12)
        goal = PLAIN.forward(rng.uniform(PLAIN.lower_rad, PLAIN.upper_rad)).copy()
        np.testing.assert_allclose(arm.solve(goal, HOME), PLAIN.solve(goal, HOME), atol=1e-6)


def test_the_root_s_own_frame_is_said(tmp_path):
    arm = Arm(raised(tmp_path))
    model = pin.buildModelFromUrdf(str(arm.config.urdf))
    data = model.createData()
    pin.framesForwardKinematics(model, data, pin.neutral(model))
    root_from_base = data.oMf[model.getFrameId("base_link")].homogeneous
    np.testing.assert_allclose(root_from_base[:3, 3], [1.0, 2.0, 0.5])
    np.testing.assert_allclose(arm.base_from_root @ root_from_base, np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(PLAIN.base_from_root, np.eye(4))


def test_table_and_shapes_stand_where_they_stand_for_one_on_the_floor(tmp_path):
    """Its own base among them; the pedestal below is fixed to the table, and no pair with it."""
    arm, rng = Arm(raised(tmp_path)), np.random.default_rng(1)
    met = set()
    for _ in range(300):
        joints = rng.uniform(PLAIN.lower_rad, PLAIN.upper_rad)
        pair = PLAIN.first_collision(joints)
        assert (pair is None) <= (arm.first_collision(joints) in (None, *_with_pedestal(arm)))
        if pair is not None:
            met.add("table" if "table" in pair else "base" if "base_link" in pair else "other")
            assert arm.first_collision(joints) is not None
    assert {"table", "base"} <= met


def _with_pedestal(arm: Arm) -> list[str]:
    geometry, _ = arm._geometry
    pairs = [" and ".join(arm._pair_names(pair)) for pair in geometry.collisionPairs]
    return [pair for pair in pairs if "pedestal" in pair]


def test_the_pedestal_s_own_place_in_the_table_is_no_collision(tmp_path):
    geometry, _ = Arm(raised(tmp_path))._geometry
    names = [
        {geometry.geometryObjects[i].name for i in (pair.first, pair.second)}
        for pair in geometry.collisionPairs
    ]
    assert {"pedestal_0", "table"} not in names and {"base_link_0", "table"} not in names
    assert {"pedestal_0", "base_link_0"} not in names


def test_the_box_is_kept_in_the_base_frame(tmp_path):
    """An arm that is told to go on to one side stops at the same side of the box."""
    ends = []
    for arm in (PLAIN, Arm(raised(tmp_path))):
        loop, joints = ControlLoop(arm), HOME
        loop.reset(HOME, 0.03)
        for _ in range(40):
            joints = loop.step(np.array([0.3, 1.0, 0.2, 0, 0, 0, 0]), joints).joint_rad
        ends.append(arm.forward(joints)[:3, 3].copy())
    np.testing.assert_allclose(*ends, atol=1e-6)
    assert ends[0][1] == pytest.approx(PLAIN.config.workspace_upper_m[1], abs=5e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"base_frame": "base_lnk"},
            "base_frame: unknown link 'base_lnk'; did you mean 'base_link'.* Valid: .*pedestal",
        ),
        (
            {"tool_frame": "ee_griper_link"},
            "tool_frame: unknown link .* did you mean 'ee_gripper_link'",
        ),
        ({"base_frame": "waist"}, "base_frame: unknown link 'waist'"),
        (
            {"base_frame": "shoulder_link"},
            "base_frame must be fixed to the URDF's root 'world'.* moves with joint 'waist'",
        ),
        (
            {"kind": "revolute"},
            "base_frame must be fixed to the URDF's root 'world'.* moves with joint 'mount'",
        ),
        (
            {"kind": "revolute", "base_frame": "world"},
            r"joint_names must be the joints from base_frame .*'mount', 'waist'",
        ),
        ({"base_frame": "world"}, "home_rad puts ee_gripper_link at .* in world, outside the box"),
    ],
)
def test_a_frame_that_cannot_be_the_base_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        Arm(raised(tmp_path, **changes))


def test_a_base_that_is_the_root_changes_no_bit():
    model = pin.buildModelFromUrdf(str(PLAIN.config.urdf))
    data, rng = model.createData(), np.random.default_rng(2)
    for _ in range(20):
        joints = rng.uniform(PLAIN.lower_rad, PLAIN.upper_rad)
        pin.framesForwardKinematics(model, data, np.append(joints, [0.03, -0.03]))
        tool = data.oMf[model.getFrameId("ee_gripper_link")].homogeneous
        np.testing.assert_array_equal(PLAIN.forward(joints), tool)


def test_a_base_that_stands_just_above_the_table_is_no_collision(tmp_path):
    """Half a millimetre of air, less than the clearance: nothing that moves is concerned."""
    assert Arm(raised(tmp_path, table_height_m=-0.0005)).first_collision(HOME) is None
