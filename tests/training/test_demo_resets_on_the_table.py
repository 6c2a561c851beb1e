"""Demonstration resets from an episode of `conure demos`: where its states and its guides lead, and
what is refused.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import last_whole
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.writer import save_demonstrations
from conure_training.export.export import run as export
from conure_training.rl.demo_resets.method import (
    SCALED_STARTS,
    build,
    make_workers,
    read_demonstration,
)
from conure_training.rl.on_policy.environments import PrivilegedState
from conure_training.rl.on_policy.networks import ActorCriticNetwork
from conure_training.rl.policy_file import load_policy
from conure_training.rl.train import RunConfig, train_rl


def lift(demos, out, *words):
    given = [
        "method=demo_resets",
        "task=Lift",
        f"demos={demos}",
        "objects=train",
        "method.environments=1",
        "method.rollout_steps=4",
        "method.hidden_width=16",
        "steps=4",
        f"out={out}",
        *words,
    ]
    return load_config("conure_training.conf", "rl", RunConfig, given)


def test_a_demonstration_of_conure_demos_is_learned_from_and_its_policy_stays_in_simulation(
    demos, tmp_path
):
    policy = train_rl(lift(demos, tmp_path / "run"))
    loaded = load_policy(policy)
    state = np.zeros(loaded.network.size.observation, np.float32)
    assert loaded.act({"state": state}, np.zeros(7, np.float32)).shape == (7,)
    with pytest.raises(ConfigError, match="privileged state, which no robot measures"):
        export([f"agent={policy}", f"out={tmp_path}/bundle"])


def test_the_demonstration_guides_through_its_own_scene_though_another_object_was_made_the_target(
    demos, tmp_path
):
    run = lift(demos, tmp_path, "method.curriculum=guided", "method.episode=2")
    (env,) = make_workers(run, run.method, 1)
    assert env.demonstration.target
    first, _ = env.reset(seed=0, options={"reset_point": len(env.demonstration) - 1})
    found = [first]
    while env.step_index < env.start:
        found.append(env.step(np.zeros(7))[0])
    np.testing.assert_array_equal(found, env.demonstration.observations[: len(found)])
    env.close()


def test_the_demonstration_is_cloned_before_the_first_episode_where_that_is_asked_for(
    demos, tmp_path
):
    run = lift(demos, tmp_path, "method.cloning.updates=300", "method.hidden_width=64")
    method = build(run, run.method)
    network = ActorCriticNetwork(method.size)
    network.normalize.update(torch.from_numpy(method.first_rows))
    method.pretrain(network)
    demonstration = read_demonstration(run, run.method)
    shown = len(demonstration.observations)
    np.testing.assert_array_equal(method.first_rows[:shown], demonstration.observations)
    other_scenes = np.unique(method.first_rows[shown:], axis=0)
    assert len(other_scenes) == SCALED_STARTS, "scales that stay must fit other starts as well"
    seen = torch.from_numpy(demonstration.observations[:-1])
    distribution, _ = network.decide(seen, network.begin(len(seen)))
    error = np.abs(distribution.mean.detach().numpy() - np.stack(demonstration.actions))
    assert error.mean() < 0.1 < np.abs(np.stack(demonstration.actions)).mean()
    method.evaluation.close()
    plain = build(lift(demos, tmp_path), lift(demos, tmp_path).method)
    plain.evaluation.close()
    assert plain.pretrain is None and len(plain.first_rows) == shown


def test_a_policy_on_images_can_guide(demos, prior, tmp_path):
    run = lift(demos, tmp_path, "method.curriculum=guided", f"method.guide={prior}")
    (env,) = make_workers(run, run.method, 1)
    first, info = env.reset(seed=0, options={"reset_point": 9})
    assert info["start"] > 0
    following, *_, info = env.step(np.zeros(7))
    assert info["burn_in"]
    assert following.shape == first.shape == env.demonstration.observations[0].shape
    env.close()


def test_a_restored_state_is_the_demonstrations_in_a_scene_built_anew(demos, tmp_path):
    run = lift(demos, tmp_path)
    (env,) = make_workers(run, run.method, 1)
    assert not env.unwrapped.images
    for seed in range(3):
        observation, info = env.reset(seed=seed, options={"reset_point": 8})
        np.testing.assert_array_equal(env.env.observe(), observation)
        env.unwrapped.save_state()  # refused where the scene has a past
        env.step(env.demonstration.actions[info["start"]])
    env.close()


def test_the_environment_that_a_demonstration_is_replayed_in_is_closed(
    demos, tmp_path, monkeypatch
):
    closed = []
    close = PrivilegedState.close

    def count(env):
        closed.append(env)
        close(env)

    monkeypatch.setattr(PrivilegedState, "close", count)
    run = lift(demos, tmp_path)
    demonstration = read_demonstration(run, run.method)
    assert len(closed) == 1
    (env,) = make_workers(run, run.method, 1)
    assert len(closed) == 2 and env.env is not closed[1]
    np.testing.assert_array_equal(env.demonstration.observations, demonstration.observations)
    env.close()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["objects=test"], "was recorded with objects='train', not 'test'"),
        (["method.episode=99"], "holds the episodes 0 to 7, got 99"),
        (
            ["method.demonstration=trial_000000.mcap"],
            "trial_000000.mcap .* wall clock.* conure demos",
        ),
        (["task=PlaceInBox"], "was recorded with task='Lift', not 'PlaceInBox'"),
    ],
)
def test_a_demonstration_of_other_settings_is_refused(words, reason, demos, tmp_path):
    with pytest.raises((ConfigError, DataError), match=reason):
        train_rl(lift(demos, tmp_path / "run", *words))


def test_a_demonstration_that_no_longer_replays_says_at_which_step(demos, tmp_path):
    data = load_demonstrations(demos)
    action = data.action.copy()
    action[3] = -action[3]
    config = dict(zarr.open_group(last_whole(demos), mode="r").attrs["config"])
    save_demonstrations(tmp_path / "other", replace(data, action=action), {"config": config})
    with pytest.raises(
        DataError, match=r"episode 0 of .* no longer replays: it diverged at step 4 of"
    ):
        train_rl(lift(tmp_path / "other", tmp_path / "run"))
