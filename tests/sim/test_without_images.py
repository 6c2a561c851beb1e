"""Environments without images: the same episodes on the privileged state alone."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import conure_sim  # noqa: F401
from conure_core.errors import ConfigError
from conure_sim.envs.vector import make_vector
from conure_sim.physics import bullet_world
from conure_sim.tasks import TASKS

pytestmark = pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")


def make(task: str, **settings):
    return gymnasium.make(f"conure/{task}-v0", images=False, **settings).unwrapped


@pytest.mark.parametrize("task", TASKS)
def test_every_task_without_images_passes_gymnasium_s_own_check(task: str) -> None:
    env = make(task, velocities=True)
    check_env(env)
    assert set(env.observation_space.spaces) == {"proprio", "state"}


@pytest.mark.parametrize("task", ["PlaceInTray", "Pour"])
def test_an_episode_is_the_same_to_the_bit_with_and_without_images(task: str) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (10, 7))
    runs = []
    for images in (True, False):
        env = gymnasium.make(
            f"conure/{task}-v0", images=images, image_size=16, randomization="full"
        ).unwrapped
        rows = [env.reset(seed=3), *(env.step(action) for action in actions)]
        runs.append([(row[0]["proprio"], row[0]["state"], *row[1:-1]) for row in rows])
    for seen, unseen in zip(*runs, strict=True):
        np.testing.assert_array_equal(seen[0], unseen[0])
        np.testing.assert_array_equal(seen[1], unseen[1])
        assert seen[2:] == unseen[2:]


def test_nothing_is_rendered_but_what_is_asked_for(monkeypatch) -> None:
    rendered = []
    original = bullet_world.render_view
    monkeypatch.setattr(bullet_world, "render_view", lambda *a: rendered.append(1) or original(*a))
    env = make("Lift", randomization="full")
    env.reset(seed=0)
    env.step(np.zeros(7))
    env.restore_snapshot(env.save_snapshot(), rebuild=True)
    assert not rendered
    assert env.render().shape == (48, 48, 3)
    assert len(rendered) == 1


@pytest.mark.parametrize("task", TASKS)
def test_the_layout_names_every_number_of_the_state(task: str) -> None:
    env = make(task, velocities=True, distractors=2)
    env.reset(seed=1)
    env.step(np.array([1, 1, 1, 0, 0, 0, 1.0]))
    state = env.observe()["state"]
    layout = env.state_layout
    stops = [0, *(part.stop for part in layout.values())]
    assert [part.start for part in layout.values()] == stops[:-1]
    assert stops[-1] == len(state)
    np.testing.assert_array_equal(state[: layout["joint_speeds"].start], env.scene.state())
    np.testing.assert_array_equal(state[layout["fixtures"]], np.float32(env.scene.fixture_state()))
    speeds = state[layout["joint_speeds"]]
    assert np.abs(speeds[: len(env.robot.joint_names)]).max() > 0.01
    if env.scene.objects:
        body = env.scene.target.body
        velocity = np.ravel(env.world.client.getBaseVelocity(body))
        np.testing.assert_allclose(state[layout["object_velocities"]][:6], velocity, rtol=1e-5)


def test_what_needs_a_camera_is_refused_without_images() -> None:
    with pytest.raises(ConfigError, match="images=True"):
        make("Lift", depth=True)


def test_environments_in_processes_go_without_images_too_and_exchange_snapshots() -> None:
    with make_vector("BlockLift", 2, images=False) as envs:
        observations, _ = envs.reset(seed=0)
        assert set(observations) == {"proprio", "state"}
        assert (observations["state"][0] != observations["state"][1]).any()
        first, _ = envs.call("save_snapshot")
        envs.call("restore_snapshot", first, rebuild=True)
        observations, *_ = envs.step(np.full((2, 7), 0.3))
        np.testing.assert_array_equal(observations["state"][0], observations["state"][1])
