"""The tasks: success is read from the physical state, and from nothing else."""

import gymnasium
import numpy as np
import pybullet
import pytest

import conure_sim  # noqa: F401
from conure_core.errors import ConfigError
from conure_sim.scenes.scene import LIFTED_M
from conure_sim.tasks import TASKS

UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])
FLOOR_M = 0.007


def make(task: str, seed: int = 0, **options):
    env = gymnasium.make(f"conure/{task}-v0", image_size=16, **options).unwrapped
    env.reset(seed=seed)
    return env


def put(env, item, place, height_m: float = FLOOR_M) -> None:
    env.world.place(item.body, np.array([*place[:2], height_m]), UPRIGHT)


def solved(env) -> bool:
    """Success after a moment of physics, as a step would judge it."""
    env.world.advance(0.1)
    return env.success()


@pytest.mark.parametrize("task", TASKS)
def test_nothing_floats_sinks_or_drifts(task: str) -> None:
    env = make(task)
    for seed in range(5):
        env.reset(seed=seed)
        env.world.advance(1.0)
        settled = _poses(env)
        env.world.advance(0.5)
        np.testing.assert_allclose(_poses(env), settled, atol=1e-3)
        lowest = [_lowest_m(env, item) for item in env.scene.objects]
        fixtures = set(env.world._bodies) - {item.body for item in env.scene.objects}
        fixtures -= set(getattr(env.scene, "spheres", []))
        lowest += [env.world.client.getAABB(body, -1)[0][2] for body in fixtures]
        np.testing.assert_allclose(lowest, 0.0, atol=2.5e-3)


def _lowest_m(env, item) -> float:
    """Height above the table of an object's lowest corner."""
    position, orientation = env.world.pose(item.body)
    rotation = np.reshape(env.world.client.getMatrixFromQuaternion(list(orientation)), (3, 3))
    return float((item.model.vertices @ rotation.T + position)[:, 2].min())


def _poses(env) -> np.ndarray:
    return np.array([env.world.pose(body)[0] for body in env.world._bodies])


@pytest.mark.parametrize("task", TASKS)
def test_the_state_has_the_size_the_task_says_and_the_container_last(task: str) -> None:
    env = make(task)
    state = env.scene.state()
    assert state.shape == env.observation_space["state"].shape
    assert env.scene.fixture_state().shape == (env.task.fixture_state_size,)
    if env.scene.container is None:
        assert not state[-4:].any()
    else:
        np.testing.assert_allclose(state[-4:], [*env.scene.container.position, 1.0], atol=1e-6)


@pytest.mark.parametrize("arm", ["wx250s", "panda"])
@pytest.mark.parametrize("task", TASKS)
def test_experts_keep_no_memory(task: str, arm: str) -> None:
    env = make(task, seed=3, arm=arm)
    for _ in range(env.max_steps):
        fresh = env.task.expert(env.scene)
        np.testing.assert_array_equal(fresh.action(), fresh.action())
        if env.step(fresh.action())[2]:
            return
    raise AssertionError("not solved by an expert that is made anew at every step")


@pytest.mark.parametrize("task", TASKS)
def test_a_target_that_the_task_cannot_have_is_refused_with_those_that_it_can(task: str) -> None:
    with pytest.raises(ConfigError, match="Valid: "):
        make(task, target="spoon")


@pytest.mark.parametrize("kind", ["Tray", "Bowl", "Box"])
def test_placed_is_at_rest_inside(kind: str) -> None:
    env = make(f"PlaceIn{kind}")
    target, middle = env.scene.target, env.scene.container.position
    put(env, target, middle, 0.15)
    assert not env.success(), "above is not inside"
    put(env, target, middle)
    assert solved(env)
    env.world.client.resetBaseVelocity(target.body, [0.3, 0, 0])
    assert not env.success(), "still moving"
    put(env, target, middle + [0.0, 0.09, 0.0], 0.0)
    assert not env.success(), "beside is not inside"


def test_stacked_is_on_top_and_not_beside() -> None:
    env = make("BlockStack")
    upper, lower = env.scene.objects
    place, height_m = env.world.pose(lower.body)[0], lower.model.height_m
    put(env, upper, place + [0.05, 0, 0], 0.0)
    assert not solved(env)
    put(env, upper, place, height_m + 0.05)
    assert not env.success(), "in the air"
    put(env, lower, place, 0.0)
    put(env, upper, place, height_m)
    assert solved(env)


def test_cleared_is_every_block_in_the_bin() -> None:
    env = make("ClearBlocks")
    middle = env.scene.container.position
    spots = middle + np.array([[-0.03, -0.03, 0], [0.03, -0.03, 0], [0, 0.03, 0]])
    for count, (item, spot) in enumerate(zip(env.scene.objects, spots, strict=True), start=1):
        put(env, item, spot)
        assert solved(env) == (count == 3)


def test_an_order_is_fulfilled_when_each_kind_is_in_its_own_tray() -> None:
    env = make("OrderFulfillment", seed=1)
    scene = env.scene
    for right in (False, True):
        spots = {id(scene.green): -0.025, id(scene.red): -0.025}
        for item in scene.objects:
            tray = scene.right_place(item)
            if not right:
                tray = scene.red if tray is scene.green else scene.green
            put(env, item, tray.position + [spots[id(tray)], 0, 0])
            spots[id(tray)] += 0.04
        assert solved(env) == right


def test_clearing_with_a_box_needs_the_object_in_the_box_and_the_box_in_the_air() -> None:
    env = make("ClearWithBox")
    box, target = env.scene.box, env.scene.target
    place = box.position
    env.world.place(box.body, place + [0, 0, LIFTED_M + 0.02], UPRIGHT)
    assert not env.success(), "the box alone"
    env.world.place(target.body, place + [0, 0.033, LIFTED_M + 0.02 + FLOOR_M], UPRIGHT)
    assert env.success()
    env.world.place(box.body, place, UPRIGHT)
    put(env, target, place + [0, 0.033, 0])
    assert not solved(env), "on the table"
    assert env.scene.is_contained(target)


def test_pouring_counts_the_spheres_in_the_cup() -> None:
    env = make("Pour")
    scene = env.scene
    assert scene.poured_share() == 0
    env.world.advance(0.5)
    assert all(scene.mug.contains(position) for position in scene.sphere_positions()), (
        "none falls through the mug"
    )
    for count, body in enumerate(scene.spheres, start=1):
        spot = scene.cup.position + [0.02 * np.cos(count), 0.02 * np.sin(count), 0.012]
        env.world.place(body, spot, UPRIGHT)
        assert env.success() == (count >= 6)
    env.world.advance(0.5)
    assert scene.poured_share() == 1, "none falls through the cup"


def slide(env, body: int, position_m: float) -> None:
    env.world.client.resetJointState(body, 0, position_m)


def test_a_drawer_is_open_by_its_joint() -> None:
    env = make("DrawerOpen")
    drawer = env.scene.drawer
    for share in (0.0, 0.5, 0.9):
        slide(env, drawer.body, share * drawer.model.travel_m)
        assert solved(env) == (share > 0.8)


def test_put_away_is_in_the_drawer_and_the_drawer_shut() -> None:
    env = make("PlaceInDrawer")
    drawer, target = env.scene.drawer, env.scene.target
    assert not solved(env), "shut and empty"
    slide(env, drawer.body, drawer.model.travel_m)
    put(env, target, drawer.point(drawer.model.depth_m / 2 + 0.03, 0.0))
    assert not solved(env), "the drawer is open"
    assert env.scene.is_put_away()
    slide(env, drawer.body, 0.0)
    put(env, target, drawer.point(0.0, 0.0))
    assert solved(env)


def test_a_drawer_stops_at_the_ends_of_its_travel() -> None:
    env = make("DrawerOpen")
    drawer = env.scene.drawer
    for force_n in (8.0, -8.0):
        for _ in range(240):
            env.world.client.applyExternalForce(
                drawer.body,
                0,
                list(force_n * drawer.direction),
                list(drawer.grip_position(0.02)),
                pybullet.WORLD_FRAME,
            )
            env.world.advance(1 / 240)
        assert abs(drawer.opening_m - (drawer.model.travel_m if force_n > 0 else 0.0)) < 2e-3


def test_a_button_springs_back() -> None:
    env = make("PressButton")
    slide(env, env.scene.body, -0.008)
    assert env.success()
    env.world.advance(0.5)
    assert not env.success()
    assert abs(env.scene.pressed_m()) < 1e-3


def test_pushed_is_at_rest_on_the_mark() -> None:
    env = make("PushToGoal")
    puck, goal = env.scene.target, env.scene.goal
    put(env, puck, goal, 0.1)
    assert not env.success(), "in the air"
    put(env, puck, goal + [0.03, 0, 0], 0.0)
    assert not solved(env)
    put(env, puck, goal + [0.01, 0, 0], 0.0)
    assert solved(env)
    env.world.client.resetBaseVelocity(puck.body, [0.3, 0, 0])
    assert not env.success(), "still moving"
