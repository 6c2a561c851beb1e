"""Every arm that the simulation knows, and what it takes to add another."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from conure_core.contract.spec import Contract
from conure_core.errors import ConfigError
from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_sim.envs.expert_success import success_rate
from conure_sim.envs.static_scenes import StaticScenes
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.arm_simulation import ARMS_DIR, load_arm_simulation, table_camera
from conure_sim.tools.tracking import measure_free_space_tracking

ARMS = sorted(path.stem for path in ARMS_DIR.glob("*.yaml"))
SIX_JOINTS = [arm for arm in ARMS if len(load_robot(arm).joint_names) >= 6]
# Of the actions over the whole range, how many turn a joint faster than it may: the safety gate
# shortens those.
SHORTENED = {"wx250s": 0.15, "panda": 0.01, "ur5e": 0.01, "so101": 0.15}
# Of twelve episodes. Five joints and one moving jaw take an object less surely.
SOLVED = {"panda": 11, "ur5e": 11, "so101": 9}
pytestmark = pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")


@pytest.mark.parametrize("arm", SIX_JOINTS)
def test_every_commanded_delta_is_reached_within_3_mm_and_1_degree(arm: str) -> None:
    tracking = measure_free_space_tracking(
        TabletopEnv(arm=arm, image_size=16, distractors=0), steps=300, seed=0
    )
    reached = tracking.within(0.003, np.radians(1.0))
    assert reached[~tracking.changed].all()
    assert tracking.changed.mean() <= SHORTENED[arm]


@pytest.mark.parametrize("arm", sorted(set(ARMS) - set(SIX_JOINTS)))
def test_with_fewer_joints_every_commanded_position_is_reached_within_3_mm(arm: str) -> None:
    tracking = measure_free_space_tracking(
        TabletopEnv(arm=arm, image_size=16, distractors=0), steps=300, seed=0
    )
    assert (tracking.distance_m[~tracking.changed] <= 0.003).all()
    assert tracking.changed.mean() <= SHORTENED[arm]


def test_panda_has_seven_joints_everywhere() -> None:
    env = TabletopEnv(arm="panda", image_size=48)
    check_env(env)
    assert env.observation_space["proprio"].shape == (17,)
    assert Contract.from_dict(env.contract.to_dict()) == env.contract
    assert env.contract.observation.proprio.shape == (17,)
    assert env.world.joint_state().joint_rad.shape == (7,)


@pytest.mark.parametrize("task", ["Lift", "PlaceInTray", "PlaceInBox"])
@pytest.mark.parametrize("arm", SOLVED)
def test_the_expert_solves_nearly_every_episode_with_every_arm(arm: str, task: str) -> None:
    assert success_rate(task, arm=arm, randomization="light", episodes=12).successes >= SOLVED[arm]


@pytest.mark.parametrize("arm", ARMS)
def test_the_camera_sees_every_place_where_objects_are_put(arm: str) -> None:
    place = load_arm_simulation(arm)
    (x0, y0), (x1, y1) = place.objects_lower_m, place.objects_upper_m
    pixels = table_camera(48, arm).project(
        np.array([[x, y, 0.0] for x in (x0, x1) for y in (y0, y1)])
    )
    assert ((pixels > 0) & (pixels < 48)).all()


@pytest.mark.parametrize("arm", SIX_JOINTS)
def test_fingers_close_to_the_gap_that_the_pads_say(arm: str) -> None:
    env = TabletopEnv(arm=arm, image_size=16, distractors=0)
    env.reset(seed=0)
    world, robot = env.world, env.robot
    for gripper_m in (robot.gripper_closed_m, robot.gripper_open_m):
        world.pose_arm(np.array(robot.home_rad), gripper_m)
        points = world.client.getClosestPoints(world.body, world.body, 0.2, *world.fingers)
        gap_m = min(point[8] for point in points)
        assert gap_m == pytest.approx(2 * (gripper_m - world.simulation.finger_pad_m), abs=2e-3)


def test_a_lone_jaw_opens_as_far_from_the_fixed_one_as_its_joint_says() -> None:
    """By rays along the tool's y axis, which goes from jaw to jaw."""
    env = TabletopEnv(arm="so101", image_size=16, distractors=0)
    env.reset(seed=0)
    world, home = env.world, np.array(env.robot.home_rad)
    pose = world.arm.forward(home)
    for gripper_m in (0.03, env.robot.gripper_open_m):
        world.pose_arm(home, gripper_m)
        ends = [(pose[:3, 3] + side * 0.1 * pose[:3, 1]).tolist() for side in (-1, 1)]
        hits = world.client.rayTestBatch([pose[:3, 3].tolist()] * 2, ends)
        assert all(hit[0] == world.body for hit in hits)
        assert np.linalg.norm(np.subtract(hits[0][3], hits[1][3])) == pytest.approx(
            gripper_m, abs=2e-3
        )


def test_coupled_fingers_keep_what_they_hold_in_their_middle() -> None:
    env = TabletopEnv("BlockLift", arm="panda", image_size=16)
    env.reset(seed=3)
    expert, target, held = env.task.expert(env.scene), env.scene.target, False
    for _ in range(env.max_steps):
        done = env.step(expert.action())[2]
        positions = [
            state[0] for state in env.world.client.getJointStates(env.world.body, env.world.fingers)
        ]
        assert abs(positions[0] - positions[1]) < 5e-4
        held = held or env.scene.is_held(target)
        if done:
            break
    assert done
    assert held


def test_a_held_mug_keeps_its_place_between_pandas_fingers_while_it_is_tilted() -> None:
    env = TabletopEnv("Pour", arm="panda", image_size=16)
    env.reset(seed=1002)
    expert, offsets, tilts = env.task.expert(env.scene), [], []
    for _ in range(60):
        env.step(expert.action())
        pose = env.world.arm.forward(env.world.joint_state().joint_rad)
        position = env.world.pose(env.scene.mug.body)[0]
        if position[2] > 0.05:
            offsets.append((position - pose[:3, 3]) @ pose[:3, :3])
            tilts.append(np.arccos(np.clip(-pose[2, 0], -1, 1)))
    assert max(tilts) > 1.6
    assert np.ptp(offsets, axis=0).max() < 4e-3


def test_static_scenes_hold_the_object_between_the_fingers_of_panda() -> None:
    scenes = StaticScenes(arm="panda").draw(40, seed=0)
    assert scenes.proprio.shape == (40, 17)
    held = np.linalg.norm(scenes.positions[:, 0] - scenes.proprio[:, :3], axis=1) < 0.02
    assert held.any()
    assert (scenes.proprio[:, 2] > 0.0).all()


def third_arm(folder: Path) -> Path:
    """A robot that no package knows: wx250s under another name, its three files in one folder."""
    (folder / "mine.urdf").write_text((ROBOTS_DIR / "wx250s.urdf").read_text())
    text = (ROBOTS_DIR / "wx250s.yaml").read_text()
    (folder / "mine.yaml").write_text(
        text.replace("name: wx250s", "name: mine").replace("wx250s.urdf", "mine.urdf")
    )
    (folder / "mine.sim.yaml").write_text((ARMS_DIR / "wx250s.yaml").read_text())
    return folder / "mine.yaml"


def test_a_third_arm_takes_three_files_and_no_python(tmp_path: Path) -> None:
    path = third_arm(tmp_path)
    mine, known = TabletopEnv(arm=str(path)), TabletopEnv(arm="wx250s")
    observation, expected = mine.reset(seed=2)[0], known.reset(seed=2)[0]
    np.testing.assert_array_equal(observation["image"], expected["image"])
    assert mine.contract.robot == "mine"
    assert mine.step(np.zeros(7))[0]["proprio"].shape == (16,)


def test_an_arm_whose_urdf_begins_at_the_world_stands_in_its_base_frame(tmp_path: Path) -> None:
    """Raised, turned and set aside from the root: the simulation's arm is where kinematics says,
    and looks the same.
    """
    path = third_arm(tmp_path)
    urdf = (tmp_path / "mine.urdf").read_text()
    mount = """<link name="world"/><joint name="mount" type="fixed"><parent link="world"/><child link="base_link"/>
      <origin xyz="1 2 0.5" rpy="0 0 1.5707963267948966"/></joint>"""
    start = urdf.index('<link name="base_link">')
    (tmp_path / "mine.urdf").write_text(urdf[:start] + mount + urdf[start:])
    mine, known = TabletopEnv(arm=str(path)), TabletopEnv(arm="wx250s")
    image, expected = mine.reset(seed=2)[0]["image"], known.reset(seed=2)[0]["image"]
    tool = mine.world.arm.forward(mine.world.joint_state().joint_rad)
    np.testing.assert_allclose(mine.world.link_pose("ee_gripper_link"), tool, atol=1e-5)
    np.testing.assert_allclose(mine.world.link_pose("base_link"), np.eye(4), atol=1e-6)
    assert np.abs(image.astype(int) - expected).mean() < 0.5


@pytest.mark.parametrize(
    ("line", "instead", "expected"),
    [
        ("finger_friction: 1.5", "fingr_friction: 1.5", "did you mean 'finger_friction'"),
        ("finger_friction: 1.5", "", "missing fields finger_friction"),
        ("finger_friction: 1.5", "finger_friction: -1.5", "finger_friction must be positive"),
        (
            "finger_friction: 1.5",
            "finger_friction: 1.5\ncontact_slop_m: -0.1",
            "contact_slop_m must be at least 0",
        ),
        ("gripper_gain: 0.15", "gripper_gain: .nan", "gripper_gain must be a finite number"),
        ("joint_gain: [0.25, ", "joint_gain: [", "need 6 values"),
        ("objects_lower_m: [0.21, ", "objects_lower_m: [0.51, ", "objects_lower_m must lie below"),
        (
            "camera_field_of_view_rad: 0.63",
            "camera_field_of_view_rad: 36.0",
            r"must be in \(0, pi\)",
        ),
    ],
)
def test_a_wrong_simulation_file_is_refused_by_field(
    tmp_path: Path, line: str, instead: str, expected: str
) -> None:
    path = third_arm(tmp_path)
    text = (tmp_path / "mine.sim.yaml").read_text()
    assert line in text
    (tmp_path / "mine.sim.yaml").write_text(text.replace(line, instead))
    with pytest.raises(ConfigError, match=expected) as raised:
        load_arm_simulation(str(path))
    assert "mine.sim.yaml" in str(raised.value)


def test_an_arm_without_a_simulation_file_is_told_where_it_belongs(tmp_path: Path) -> None:
    path = third_arm(tmp_path)
    (tmp_path / "mine.sim.yaml").unlink()
    with pytest.raises(ConfigError, match=r"mine\.sim\.yaml"):
        TabletopEnv(arm=str(path))


def with_urdf(folder: Path, changes: dict[str, str]) -> str:
    """A third arm whose URDF has these texts instead of others; {old: new}."""
    path = third_arm(folder)
    urdf = folder / "mine.urdf"
    text = urdf.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    urdf.write_text(text)
    return str(path)


MASSLESS_TIP = {
    '<link name="ee_gripper_link">\n'
    '    <inertial><mass value="0.001"/><inertia ixx="1e-7" iyy="1e-7" izz="1e-7" ixy="0" ixz="0"'
    ' iyz="0"/></inertial>': '<link name="ee_gripper_link">'
}


def test_links_without_inertia_have_no_mass_in_the_simulation(tmp_path: Path) -> None:
    env = TabletopEnv(arm=with_urdf(tmp_path, MASSLESS_TIP), image_size=16, distractors=0)
    world = env.world
    tip = world._links["ee_gripper_link"]
    assert world.client.getDynamicsInfo(world.body, tip)[0] == 0.0
    tracking = measure_free_space_tracking(env, steps=50, seed=0)
    assert tracking.within(0.003, np.deg2rad(1.0))[~tracking.changed].all()


def test_a_link_that_a_joint_moves_and_that_has_no_mass_is_refused_by_name(tmp_path: Path) -> None:
    path = third_arm(tmp_path)
    urdf = tmp_path / "mine.urdf"
    text = urdf.read_text()
    start = text.index('<link name="wrist_link">')
    cut = text.index("<inertial>", start), text.index("</inertial>", start) + len("</inertial>")
    urdf.write_text(text[: cut[0]] + text[cut[1] :])
    message = r"mine\.urdf: link 'wrist_link' moves with joint 'wrist_angle' and has no mass"
    with pytest.raises(ConfigError, match=message):
        TabletopEnv(arm=str(path), image_size=16)


def test_the_simulation_finds_the_meshes_that_the_gate_finds(tmp_path: Path) -> None:
    folder = tmp_path / "wörkspace of mine" / "arm"
    (folder / "meshes").mkdir(parents=True)
    (folder / "meshes" / "drum.obj").write_bytes((ROBOTS_DIR / "panda/drum.obj").read_bytes())
    mesh = '<mesh filename="package://arm/meshes/drum.obj" scale="0.02 0.02 0.1"/>'
    path = with_urdf(folder, {'<box size="0.045 0.06 0.22"/>': mesh})
    world = TabletopEnv(arm=path, image_size=16).world
    shapes = world.client.getCollisionShapeData(world.body, world._links["upper_arm_link"])
    assert any(shape[4].decode().endswith("drum.obj") for shape in shapes)
