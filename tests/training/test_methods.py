"""Every method of `conure rl` at toy size: it resumes to the bit, evaluates itself, and hands out what it evaluated."""

import json
from pathlib import Path

import pytest
import torch

from conure_training.methods import METHODS
from conure_training.train_rl import RlConfig, train_rl

from .toy_runs import TINY_RIVALS, rl_config

VARIANTS = {
    **{name: (f"method={name}",) for name in METHODS},
    "escape": ("escape=true",),
    "escape_cloned": ("escape=true", "escape_cloned=true"),
    "in_z": ("demonstrations_in=z",),
    "finetuned": ("finetune_encoder=true", "latent.updates_per_step=0.1"),
    "symmetric_bounded": ("critic=features", "latent.z_bound_quantile=0.9", "latent.cost=entropy"),
}


def config_of(variant: str, demos: Path, prior: Path, out: Path, *words: str) -> RlConfig:
    evaluations = ("evaluate_every=60", "evaluate_episodes=1")
    return rl_config(demos, prior, out, *TINY_RIVALS, *evaluations, *VARIANTS[variant], *words)


class Stop(Exception):
    """Stands for a power cut."""


def stop(episode: dict) -> None:
    if episode["steps"] > 60:
        raise Stop


def tensors(data: object) -> list[torch.Tensor]:
    if isinstance(data, torch.Tensor):
        return [data]
    return [t for value in data.values() for t in tensors(value)] if isinstance(data, dict) else []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resumed_run_ends_as_an_uninterrupted_one(variant: str, demos: Path, prior: Path, tmp_path: Path) -> None:
    whole = train_rl(config_of(variant, demos, prior, tmp_path / "whole"))
    config = config_of(variant, demos, prior, tmp_path / "cut")
    with pytest.raises(Stop):
        train_rl(config, stop)
    cut = train_rl(config)
    first, second = (tensors(torch.load(path, weights_only=True)) for path in (whole, cut))
    assert len(first) == len(second) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    one, other = (json.loads((path.parent / "curve.json").read_text()) for path in (whole, cut))
    assert one["episodes"] == other["episodes"]
    assert one["evaluations"] == other["evaluations"]
    assert one["evaluations"][0]["steps"] == 0
    assert sorted(path.name for path in whole.parent.iterdir()) == ["curve.json", "policy.pt"]
