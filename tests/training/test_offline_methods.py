"""`conure rl method=td3_bc|bcq|iql data=FOLDER`: what it learns from, what it refuses, how it resumes."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from conure_core.config.loader import load_config
from conure_core.contract.bundle import load_bundle
from conure_core.errors import ConfigError, DataError
from conure_training.data.demonstrations import load_demonstrations, save_demonstrations
from conure_training.data.environments import make_environment
from conure_training.export.export import ExportConfig, export_policy
from conure_training.rl.config import RunConfig
from conure_training.rl.offline.data import OfflineData
from conure_training.rl.offline.iql import Iql
from conure_training.rl.policy_file import load_policy
from conure_training.rl.train import train_rl

from .toy_runs import CONF, rl_config


@pytest.fixture
def recorded(demos: Path, tmp_path: Path):
    """Write the toy's demonstrations with other rewards."""

    def write(reward: float) -> Path:
        data = load_demonstrations(demos)
        path = tmp_path / f"recorded-{reward}"
        save_demonstrations(path, replace(data, reward=data.reward * np.float32(reward)), {})
        return path

    return write


def offline_config(data: Path, prior: Path, out: Path, *words: str) -> RunConfig:
    settings = (f"data={data}", "steps=1", "checkpoint_every=4", *words)
    return rl_config(Path("nowhere"), prior, out, *settings, method="iql")


def test_the_gradient_steps_are_resumed_to_the_bit(demos, prior, tmp_path, monkeypatch) -> None:
    whole = train_rl(offline_config(demos, prior, tmp_path / "whole"))
    config = offline_config(demos, prior, tmp_path / "cut")
    update = Iql.update

    def cut_off(learner: Iql, batch) -> dict[str, float]:
        if learner.updates == 5:
            raise KeyboardInterrupt
        return update(learner, batch)

    monkeypatch.setattr(Iql, "update", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train_rl(config)
    begun = torch.load(tmp_path / "cut/checkpoint.pt", weights_only=True)
    assert begun["learner"]["updates"] == 4 and begun["steps"] == 0
    monkeypatch.setattr(Iql, "update", update)
    cut = train_rl(config)
    first, second = (torch.load(path, weights_only=True)["weights"] for path in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
    one, other = (json.loads((path.parent / "curve.json").read_text()) for path in (whole, cut))
    assert one["episodes"] == other["episodes"]
    assert one["gradient_steps"] == other["gradient_steps"]
    (last,) = one["gradient_steps"]
    assert last["updates"] == 6 and {"critic_loss", "value_loss", "actor_loss"} <= set(last)


def test_learning_that_diverges_is_refused_by_name(recorded, prior, tmp_path) -> None:
    config = offline_config(recorded(1e30), prior, tmp_path / "out")
    says = (
        r"^diverged at step 0: update \d+: the gradient of the critics is (inf|nan); give a lower"
        r" method\.learning_rate \(now [\d.e-]+\)"
    )
    with pytest.raises(DataError, match=says):
        train_rl(config)
    assert not (tmp_path / "out" / "policy.pt").exists()
    assert not (tmp_path / "out" / "curve.json").exists()


def test_a_data_set_without_success_says_what_to_do(recorded, prior, tmp_path) -> None:
    path = recorded(0.0)
    with pytest.raises(DataError, match=r"holds no success in its 6 episodes of Lift.*method=bc"):
        train_rl(offline_config(path, prior, tmp_path / "out"))


def test_a_data_set_without_rewards_says_what_to_do(recorded, prior, tmp_path) -> None:
    path = recorded(1.0)
    group = zarr.open_group(path, mode="a")
    del group["reward"]
    with pytest.raises(DataError, match=r"holds no rewards, and method=iql learns from rewards"):
        train_rl(offline_config(path, prior, tmp_path / "out"))


def test_a_policy_in_the_action_space_is_exported_and_acts_as_its_file_does(
    demos, prior, tmp_path
) -> None:
    config = rl_config(demos, prior, tmp_path / "run", "steps=1", method="bcq")
    path = train_rl(config)
    words = [f"agent={path}", f"out={tmp_path / 'bundle'}", f"demos={demos}", "observations=8"]
    words += ["golden=4", "calls=1", "report=", "metrics="]
    parity = export_policy(load_config(CONF, "export", ExportConfig, words))["parity"]
    assert parity["action"] < 1e-5 and parity["round_trip"] < 1e-4
    bundle, policy, data = (
        load_bundle(tmp_path / "bundle"),
        load_policy(path),
        load_demonstrations(demos),
    )
    for step in (0, 5):
        seen = {"image": data.image[step], "proprio": data.proprio[step]}
        expected = policy.act(seen, np.zeros(7, np.float32))
        np.testing.assert_allclose(bundle.act(seen).action, expected, atol=1e-3)


def test_an_episode_without_success_has_no_future_unless_timeouts_are_bootstrapped(
    demos, prior, tmp_path
) -> None:
    data = load_demonstrations(demos)
    reward = data.reward.copy()
    reward[: data.ends[0]] = 0.0
    save_demonstrations(tmp_path / "data", replace(data, reward=reward), {})
    for timeout_fails in (True, False):
        words = [f"timeout_fails={timeout_fails}"]
        config = offline_config(tmp_path / "data", prior, tmp_path / "out", *words)
        with closing(make_environment(config.task, config, config.target)) as env:
            episodes = OfflineData(config, env).episodes()
        assert [episode.terminated for episode in episodes] == [timeout_fails] + 5 * [True]
        assert all(set(episode.observations) == {"features"} for episode in episodes)


def test_data_is_refused_by_a_method_that_does_not_learn_offline() -> None:
    with pytest.raises(ConfigError, match="data=out/mine is for methods that learn offline"):
        load_config(CONF, "rl", RunConfig, ["method=rlpd", "data=out/mine"])
