"""The second physics: the same scenes, camera and contract, other contacts and another renderer."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from conure_core.errors import ConfigError, StateError
from conure_core.robot.description import load_robot
from conure_sim.envs.rollout import expert, rollout
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.arm_simulation import load_arm_simulation, table_camera
from conure_sim.physics.engines import ENGINES, MUJOCO, make_world
from conure_sim.physics.mujoco.loading import load_mujoco
from conure_sim.randomization.dynamics import Dynamics
from conure_sim.randomization.factors import Randomization, find_randomization
from conure_sim.tasks import TASKS
from conure_sim.vision.camera import Distortion

WORLDS = Path(__file__).parents[2] / "examples/worlds"
ARMS = ("wx250s", "panda", "so101", "ur5e")


def make(task: str = "Lift", **settings) -> TabletopEnv:
    return TabletopEnv(task, objects="test", physics=MUJOCO, **settings)


@pytest.fixture(scope="module")
def world():
    robot = load_robot("wx250s")
    world = make_world(MUJOCO, robot, table_camera(96), load_arm_simulation("wx250s"))
    yield world
    world.close()


def at_home(world, **dynamics) -> np.ndarray:
    """Reset to the home pose; its angles."""
    home = np.array(world.robot.home_rad)
    world.reset(home, world.robot.gripper_open_m, dynamics=Dynamics(**dynamics))
    return home


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_is_the_same_scene_in_both_engines(task: str) -> None:
    states, infos = [], []
    for physics in ENGINES:
        env = TabletopEnv(task, objects="test", images=False, physics=physics, randomization="full")
        observation, info = env.reset(seed=7)
        states.append(observation["state"])
        infos.append(info)
        env.close()
    assert infos[0] == infos[1]
    np.testing.assert_allclose(np.abs(states[1]), np.abs(states[0]), atol=1e-5)  # q is -q


def test_an_observation_has_the_same_names_shapes_and_types() -> None:
    settings = {"depth": True, "segmentation": True, "cameras": ("table", "wrist")}
    seen = []
    for physics in ENGINES:
        env = TabletopEnv("PlaceInTray", objects="test", physics=physics, **settings)
        observation, _ = env.reset(seed=1)
        assert env.observation_space.contains(observation)
        seen.append(observation)
        env.close()
    bullet, mujoco = seen
    assert bullet.keys() == mujoco.keys()
    for name in ("segmentation", "segmentation_wrist"):
        assert (bullet[name] != mujoco[name]).mean() < 0.03, name
    near = np.abs(bullet["depth"] - mujoco["depth"]) < 0.005
    assert near.mean() > 0.95


@pytest.mark.parametrize(
    ("size_px", "distortion"), [(48, None), (96, None), (288, Distortion(k1=-0.3))]
)
def test_a_point_is_drawn_where_its_camera_says(world, size_px: int, distortion) -> None:
    at_home(world)
    camera = table_camera(size_px)
    optics = camera.intrinsics.shifted(3.0, -2.0)
    camera = replace(camera, intrinsics=replace(optics, distortion=distortion))
    camera = camera.displace(np.array([0.01, -0.02, 0.0]), np.array([0.02, 0.01, 0.03]), 1.1)
    centres = np.array([[0.31, -0.05, 0.05], [0.32, 0.05, 0.05]])
    spheres = [world.add_sphere(0.012, centre, (1.0, 0.0, 0.0), 0.1) for centre in centres]
    bodies = world.view(camera, bodies=True).bodies
    for sphere, expected in zip(spheres, camera.project(centres), strict=True):
        rows, columns = np.nonzero(bodies == sphere)
        seen = np.array([columns.mean(), rows.mean()])
        np.testing.assert_allclose(seen, expected, atol=0.6)  # half a pixel of rounding


def test_rows_columns_and_colours_of_the_picture_are_the_camera_s(world) -> None:
    at_home(world)
    body = world.add_sphere(0.02, np.array([0.30, 0.08, 0.05]), (0.9, 0.1, 0.1), 0.1)
    view = world.view(table_camera(96), bodies=True)
    assert view.image.shape == (96, 96, 3) and view.image.dtype == np.uint8
    red, green, blue = view.image[view.bodies == body].mean(axis=0)
    assert red > 2 * max(green, blue)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_holds_its_home_pose_and_follows(arm: str) -> None:
    robot = load_robot(arm)
    world = make_world(MUJOCO, robot, table_camera(48, arm), load_arm_simulation(arm))
    home = at_home(world)
    goal = home + np.linspace(0.2, -0.2, len(home))
    world.follow(goal, robot.gripper_closed_m, 1.0)
    world.advance(2.5)
    state = world.joint_state()
    np.testing.assert_allclose(state.joint_rad, goal, atol=0.06)
    assert np.abs(state.joint_speed_rad_s).max() < 0.05
    assert abs(state.gripper_m - robot.gripper_closed_m) < 0.003
    tool = world.link_pose(robot.tool_frame)
    np.testing.assert_allclose(tool, world.arm.forward(state.joint_rad), atol=1e-6)
    world.close()


def test_servos_droop_by_the_torque_of_gravity_over_their_stiffness(world) -> None:
    drooped = []
    for scale in (1.0, 0.8):
        home = at_home(world, gain_scale=scale)
        world.advance(2.0)
        drooped.append(world.joint_state().joint_rad - home)
    assert 0.02 < drooped[0][1] < 0.06  # 1.4 N m over 39 N m/rad, and friction
    assert drooped[1][1] > 1.1 * drooped[0][1]


def test_joints_without_power_fall_and_hold_again_where_they_are(world) -> None:
    home = at_home(world)
    world.power(np.zeros(len(world.driven), dtype=bool))
    world.advance(0.3)
    fallen = world.joint_state()
    assert np.abs(fallen.joint_rad - home).max() > 0.1
    world.follow(fallen.joint_rad, fallen.gripper_m, 0.0)
    world.power(np.ones(len(world.driven), dtype=bool))
    world.advance(1.0)
    np.testing.assert_allclose(world.joint_state().joint_rad, fallen.joint_rad, atol=0.15)


def test_encoders_offsets_are_between_joints_and_what_is_reported(world) -> None:
    home = at_home(world, joint_offset_rad=(0.02,))
    np.testing.assert_allclose(world.joint_state().joint_rad, home, atol=1e-9)
    true = world.link_pose(world.robot.tool_frame)
    np.testing.assert_allclose(true, world.arm.forward(home - 0.02), atol=1e-6)


@pytest.mark.parametrize("task", ["Lift", "PlaceInTray", "DrawerOpen", "PressButton"])
def test_the_expert_solves_tasks_and_an_episode_repeats_to_the_bit(task: str) -> None:
    env = make(task, images=False)
    first = rollout(env, expert, 3)
    physics = env.world.physics()
    assert first.success
    assert rollout(env, expert, 3).steps == first.steps
    np.testing.assert_array_equal(env.world.physics(), physics)
    env.close()


def test_a_saved_state_resumes_to_the_bit() -> None:
    env = make(images=False)
    env.reset(seed=5)
    act = expert(env)
    for _ in range(4):
        env.step(act({}))
    state = env.save_state()
    env.step(act({}))
    expected = env.world.physics()
    env.restore_state(state)
    env.step(expert(env)({}))
    np.testing.assert_array_equal(env.world.physics(), expected)
    with pytest.raises(StateError, match="snapshots"):
        env.save_snapshot()
    env.close()


@pytest.mark.parametrize("name", ["dynamics", "looks", "camera"])
def test_a_changed_world_changes_what_it_names_and_nothing_else(name: str) -> None:
    rest = Randomization().sample(np.random.default_rng(0))
    sample = find_randomization(str(WORLDS / f"changed_{name}.yaml")).sample(
        np.random.default_rng(0)
    )
    parts = {
        "dynamics": ("dynamics", "command_delay_s"),
        "looks": ("appearance", "chain"),
        "camera": ("camera_shift_m", "camera_turn_rad"),
    }
    for part, fields in parts.items():
        for field in fields:
            changed = getattr(sample, field) != getattr(rest, field)
            assert changed == (part == name), field


def test_the_world_with_all_changes_is_the_sum_of_the_others() -> None:
    parts = [
        yaml.safe_load((WORLDS / f"changed_{name}.yaml").read_text())
        for name in ("dynamics", "looks", "camera")
    ]
    every = yaml.safe_load((WORLDS / "changed_all.yaml").read_text())
    assert every == {**parts[0], **parts[1], **parts[2]}
    find_randomization(str(WORLDS / "changed_all.yaml"))


def test_what_cannot_be_is_refused_in_a_line() -> None:
    with pytest.raises(ConfigError, match=r"mujcoo.*Valid: .*mujoco"):
        TabletopEnv(physics="mujcoo")
    with pytest.raises(ConfigError, match="physics=mujoco opens no window"):
        TabletopEnv(physics=MUJOCO, window=True)


@pytest.mark.parametrize(
    ("module", "renderer", "expected"),
    [
        (None, "egl", r"pip install 'conure\[mujoco\]'"),
        (object(), "gl", "MUJOCO_GL is 'gl', expected one of egl"),
    ],
)
def test_mujoco_that_is_not_there_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, module: object, renderer: str, expected: str
) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", module)
    monkeypatch.setenv("MUJOCO_GL", renderer)
    with pytest.raises(ConfigError, match=expected):
        load_mujoco.__wrapped__()
