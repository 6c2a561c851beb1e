"""The environments: what Gymnasium and every learner rely on."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import conure_sim  # noqa: F401
from conure_core.errors import ConfigError, UnsafeCommand
from conure_core.robot.arm import pose_error
from conure_sim.objects.sets import object_set
from conure_sim.tasks import TASKS

pytestmark = pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")


def make(task: str = "Lift", **options):
    return gymnasium.make(f"conure/{task}-v0", **options).unwrapped


@pytest.mark.parametrize("task", TASKS)
def test_every_task_passes_gymnasium_s_own_check(task: str) -> None:
    env = make(task, arm="wx250s", image_size=48)
    check_env(env)
    assert env.observation_space["image"].shape == (48, 48, 3)
    assert env.action_space.shape == (7,)


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_and_actions_give_the_same_episode_in_another_environment(task: str) -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (12, 7))
    runs = []
    for _ in range(2):
        env = make(task, randomization="light")
        observations = [env.reset(seed=5)[0]] + [env.step(action)[0] for action in actions]
        runs.append(observations)
        env.close()
    for first, second in zip(*runs, strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_nearly_every_episode_and_only_success_is_rewarded(task: str) -> None:
    env, solved = make(task, randomization="light", objects="test"), 0
    for seed in range(8):
        env.reset(seed=seed)
        expert, rewards, done = env.task.expert(env.scene), [], False
        while not done:
            _, reward, terminated, truncated, info = env.step(expert.action())
            rewards.append(reward)
            done = terminated or truncated
        assert sum(rewards) == rewards[-1] == float(info["is_success"])
        solved += info["is_success"]
    assert solved >= 7


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_is_no_success(task: str) -> None:
    env = make(task)
    env.reset(seed=0)
    for step in range(env.max_steps):
        _, reward, terminated, truncated, info = env.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
        assert reward == 0
        assert not terminated
        assert not info["any_lifted"]
        assert truncated == (step == env.max_steps - 1)


def test_an_action_ends_where_it_was_commanded() -> None:
    env, rng = make(), np.random.default_rng(3)
    errors = []
    for seed in range(6):
        env.reset(seed=seed, options={"tool": (0.28, 0.0, 0.20, 0.0)})
        for _ in range(6):
            before = env.world.arm.forward(env.loop.hold().joint_rad).copy()
            action = np.append(rng.uniform(-0.6, 0.6, 6), 1.0)
            env.step(action)
            wanted = before.copy()
            wanted[:3, 3] += action[:3] * env.robot.max_translation_m
            measured = env.world.arm.forward(env.world.joint_state().joint_rad)
            errors.append(np.linalg.norm(pose_error(measured, wanted)[:3]))
    assert np.percentile(errors, 95) < 0.003


@pytest.mark.parametrize("bad", [np.zeros(3), np.full(7, np.nan), np.zeros((2, 7))])
def test_a_bad_action_is_refused_and_the_environment_goes_on(bad: np.ndarray) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(UnsafeCommand):
        env.step(bad)
    observation, *_ = env.step(np.zeros(7))
    assert np.isfinite(observation["state"]).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"arm": "wx250"}, "did you mean 'wx250s'"),
        ({"objects": "tset"}, "did you mean 'test'"),
        ({"randomization": "lite"}, "light"),
        ({"image_size": 4}, "image_size"),
        ({"distractors": 9}, "distractors"),
        ({"target": "spoon"}, "unknown object"),
    ],
)
def test_unknown_options_list_the_valid_ones(options: dict, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        make(**options).reset(seed=0)


def test_the_target_asked_for_is_the_target() -> None:
    env = make(objects="test", target="random_907")
    names = {env.reset(seed=seed)[1]["target"] for seed in range(4)}
    assert names == {"random_907"}
    assert env.reset(seed=0, options={"target": "box_test_00"})[1]["target"] == "box_test_00"


def test_train_and_test_objects_share_nothing() -> None:
    train, test = object_set("train"), object_set("test")
    assert not set(train) & set(test)
    shapes = [model.vertices for model in train.values()]
    for model in test.values():
        assert not any(
            other.shape == model.vertices.shape and np.allclose(other, model.vertices)
            for other in shapes
        )
    for split in (train, test):
        assert any(name.startswith("random_") for name in split)


def test_objects_rest_where_they_were_put() -> None:
    env = make(distractors=3)
    for seed in range(10):
        env.reset(seed=seed)
        before = env.scene.object_positions()
        env.world.advance(1.0)
        assert np.nanmax(np.abs(env.scene.object_positions() - before)) < 0.012
