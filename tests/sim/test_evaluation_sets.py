"""What is held out, and how the experts are measured."""

import gymnasium
import numpy as np
import pytest

from conure_core.errors import ConfigError
from conure_sim.envs.evaluation_sets import HELD_OUT, find_evaluation_task
from conure_sim.envs.expert_success import success_rate
from conure_sim.objects.fixtures import CONTAINERS, container_models
from conure_sim.objects.primitives import BLOCKS, block_set
from conure_sim.objects.sets import object_set
from conure_sim.tasks.pick_place import Lift


def test_four_pick_and_four_place_tasks_are_held_out() -> None:
    tasks = [evaluation.task for evaluation in HELD_OUT.values()]
    assert tasks.count("Lift") == 4
    assert len({task for task in tasks if task.startswith("Place")}) == 4
    assert len({evaluation.target for evaluation in HELD_OUT.values()}) == len(tasks) == 8


@pytest.mark.parametrize("name", HELD_OUT)
def test_a_held_out_task_shows_only_what_training_never_does_and_can_be_solved(name: str) -> None:
    evaluation = find_evaluation_task(name)
    env = evaluation.make(arm="wx250s", image_size=16)
    solved = 0
    for episode in range(3):
        _, info = env.reset(seed=evaluation.seed + episode)
        assert info["target"] == evaluation.target
        assert not set(info["objects"]) & set(object_set("train"))
        if env.scene.container is not None:
            train = [model for models in CONTAINERS["train"].values() for model in models]
            assert env.scene.container.model not in train
        expert = env.task.expert(env.scene)
        solved += any(env.step(expert.action())[2] for _ in range(env.max_steps))
    assert solved >= 2
    env.close()


def test_a_held_out_task_is_the_same_episode_every_time() -> None:
    evaluation = find_evaluation_task("place_yellow_in_bowl")
    first, second = (
        evaluation.make(image_size=32).reset(seed=evaluation.seed)[0] for _ in range(2)
    )
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_containers_and_blocks_of_the_two_splits_differ_in_size_and_colour() -> None:
    assert set(CONTAINERS["train"]) == set(CONTAINERS["test"])
    for kind in CONTAINERS["train"]:
        for train in container_models(kind, "train"):
            for test in container_models(kind, "test"):
                assert (train.side_m, train.wall_m) != (test.side_m, test.wall_m)
                assert train.colour != test.colour
    assert not set(block_set("train")) & set(block_set("test"))
    widths = [{width for width, _ in BLOCKS[split].values()} for split in ("train", "test")]
    assert all(len(split) > 2 for split in widths)


def test_unknown_names_list_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'pick_red'"):
        find_evaluation_task("pick_read")
    with pytest.raises(ConfigError, match="tray"):
        container_models("barrel", "train")


def test_a_success_rate_is_that_of_the_environment_with_its_pictures() -> None:
    seen = gymnasium.make("conure/PlaceInBowl-v0", randomization="full", image_size=16).unwrapped
    expected = []
    for seed in range(3):
        seen.reset(seed=seed)
        expert = seen.task.expert(seen.scene)
        expected.append(
            next(step for step in range(1, seen.max_steps + 1) if seen.step(expert.action())[2])
        )
    rate = success_rate("PlaceInBowl", randomization="full", episodes=3)
    assert rate.steps == pytest.approx(np.mean(expected))


def test_a_success_rate_counts_what_the_environment_rewards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate = success_rate("Lift", episodes=4)
    assert rate.rate == 1.0
    assert rate.failed_seeds == ()
    assert 5 < rate.steps < 50

    class Idle:
        def action(self) -> np.ndarray:
            return np.zeros(7)

    monkeypatch.setattr(Lift, "expert", lambda self, scene: Idle())
    idle = success_rate("Lift", episodes=2, first_seed=4)
    assert idle.rate == 0.0
    assert idle.failed_seeds == (4, 5)
