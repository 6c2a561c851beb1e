"""Kinematics and clearances of the arm."""

import numpy as np
import pinocchio as pin
import pytest

from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm, moved, pose_error
from conure_core.robot.description import ROBOTS_DIR, load_robot

ARMS = ("wx250s", "panda", "ur5e")


@pytest.fixture(scope="module", params=ARMS)
def arm(request: pytest.FixtureRequest) -> Arm:
    return Arm(load_robot(request.param))


def random_joints(arm: Arm, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(arm.lower_rad, arm.upper_rad)


def test_tool_at_zero_angles_stands_where_the_vendor_s_chain_puts_it() -> None:
    arm = Arm(load_robot("wx250s"))
    # Sums of the joints' origins in the vendor's description: x of the links that lie flat, z of
    # those that stand.
    x = 0.04975 + 0.175 + 0.075 + 0.065 + 0.043 + 0.023 + 0.027575
    z = 0.0716 + 0.03865 + 0.25
    np.testing.assert_allclose(arm.forward(np.zeros(6))[:3, 3], [x, 0.0, z], atol=1e-9)


def test_jacobian_is_the_derivative_of_forward_kinematics(arm: Arm) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints, step = random_joints(arm, rng), 1e-6
        pose, numeric = arm.forward(joints).copy(), np.zeros((6, len(joints)))
        for index in range(len(joints)):
            nudged = joints.copy()
            nudged[index] += step
            numeric[:, index] = pose_error(pose, arm.forward(nudged)) / step
        np.testing.assert_allclose(arm.jacobian(joints), numeric, atol=1e-5)


def test_solve_finds_every_pose_that_a_small_step_leads_to(arm: Arm) -> None:
    rng = np.random.default_rng(1)
    home = np.array(arm.config.home_rad)
    for _ in range(50):
        goal = moved(arm.forward(home), rng.uniform(-0.03, 0.03, 3), rng.uniform(-0.1, 0.1, 3))
        found = arm.solve(goal, home, iterations=20)
        assert np.abs(pose_error(arm.forward(found), goal)).max() < 1e-4


def test_solve_stays_within_joint_limits_whatever_is_asked(arm: Arm) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        goal = moved(np.eye(4), rng.uniform(-2, 2, 3), rng.uniform(-3, 3, 3))
        found = arm.solve(goal, random_joints(arm, rng))
        assert (found >= arm.lower_rad - 1e-12).all()
        assert (found <= arm.upper_rad + 1e-12).all()


def test_clearance_names_the_shapes_that_meet(arm: Arm) -> None:
    home = np.array(arm.config.home_rad)
    assert arm.first_collision(home) is None
    low = moved(arm.forward(home), np.array([0, 0, 0.005 - arm.forward(home)[2, 3]]), np.zeros(3))
    pressed = arm.first_collision(arm.solve(low, home, iterations=100))
    assert pressed is not None
    assert "finger" in pressed
    assert "table" in pressed


def test_a_folded_arm_meets_itself() -> None:
    folded = {
        "wx250s": [0.0, -1.85, 2.1, 0.0, 1.7, 0.0],
        "panda": [0.0, 0.0, 0.0, -3.05, 0.0, 0.0, 0.0],
        "ur5e": [0.0, -1.57, 3.1, 0.0, -1.57, 0.0],
        "so101": [0.0, -1.7, 1.6, 1.6, 0.0],
    }
    for name, joint_rad in folded.items():
        assert Arm(load_robot(name)).first_collision(np.array(joint_rad)) is not None


def test_panda_has_the_published_kinematics_and_inertias() -> None:
    pybullet_data = pytest.importorskip("pybullet_data")
    published = pin.buildModelFromUrdf(f"{pybullet_data.getDataPath()}/franka_panda/panda.urdf")
    ours = pin.buildModelFromUrdf(str(load_robot("panda").urdf))
    assert list(ours.names) == list(published.names)
    pin.seed(0)
    for _ in range(20):
        joints = pin.randomConfiguration(ours, ours.lowerPositionLimit, ours.upperPositionLimit)
        hands = []
        for model in (ours, published):
            data = model.createData()
            pin.framesForwardKinematics(model, data, joints)
            hands.append(data.oMf[model.getFrameId("panda_hand")].homogeneous)
        np.testing.assert_allclose(*hands, atol=1e-9)
    for our, their in zip(ours.inertias[1:7], published.inertias[1:7], strict=True):
        np.testing.assert_allclose(our.matrix(), their.matrix(), atol=1e-9)
    assert (ours.lowerPositionLimit >= published.lowerPositionLimit).all()
    assert (ours.upperPositionLimit <= published.upperPositionLimit).all()


def test_unknown_robot_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'wx250s'"):
        load_robot("wx250")


def test_robot_file_with_a_missing_field_is_refused_by_name(tmp_path) -> None:
    text = (ROBOTS_DIR / "wx250s.yaml").read_text().replace("control_period_s: 0.1\n", "")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match="control_period_s"):
        load_robot(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("line", "instead", "expected"),
    [
        ("control_period_s: 0.1", "contol_period_s: 0.1", "did you mean 'control_period_s'"),
        (
            "control_period_s: 0.1",
            "control_period_s: soon",
            "control_period_s must be a finite number, got 'soon'",
        ),
        (
            "workspace_lower_m: [0.14, -0.20, 0.014]",
            "workspace_lower_m: [0.14, -0.20]",
            "must have 3 values",
        ),
        ("name: wx250s", "name: [", "cannot be read as YAML"),
        (
            "gripper_mimic: right_finger",
            "gripper_mimic: waist",
            "gripper_mimic must be a joint of its own, got .waist.",
        ),
    ],
)
def test_a_robot_file_that_cannot_be_used_is_refused_by_field(
    tmp_path, line: str, instead: str, expected: str
) -> None:
    text = (
        (ROBOTS_DIR / "wx250s.yaml")
        .read_text()
        .replace("urdf: wx250s.urdf", f"urdf: {ROBOTS_DIR}/wx250s.urdf")
    )
    assert line in text
    (tmp_path / "mine.yaml").write_text(text.replace(line, instead))
    with pytest.raises(ConfigError, match=expected):
        Arm(load_robot(str(tmp_path / "mine.yaml")))


def test_a_joint_without_limits_is_refused(tmp_path) -> None:
    urdf = (
        (ROBOTS_DIR / "wx250s.urdf")
        .read_text()
        .replace('"waist" type="revolute"', '"waist" type="continuous"')
    )
    (tmp_path / "wx250s.urdf").write_text(urdf)
    (tmp_path / "mine.yaml").write_text((ROBOTS_DIR / "wx250s.yaml").read_text())
    with pytest.raises(ConfigError, match="joint 'waist' is continuous"):
        Arm(load_robot(str(tmp_path / "mine.yaml")))
