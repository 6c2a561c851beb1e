"""Experiments at toy size: what they compute is what they say."""

import math

import pytest
import torch
from conure_experiments import precise_demonstrations
from conure_experiments.precise_demonstrations import PreciseDemonstrations, run

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError

TOY = PreciseDemonstrations(
    action_dim=4,
    context_dim=2,
    demonstrations=4000,
    held_out=2000,
    hidden=(48, 48),
    steps=400,
    rate=8e-3,
)


def test_ours_comes_near_the_entropy_and_the_authors_clamp_does_not():
    before = torch.get_rng_state()
    figures = run(TOY)
    assert torch.equal(before, torch.get_rng_state())
    assert figures["entropy_nats"] == pytest.approx(
        4 * (math.log(0.03) + 0.5 * math.log(2 * math.pi * math.e))
    )
    for name in ("ours", "authors"):
        assert (
            figures[f"excess_nats_{name}"] == figures[f"nll_nats_{name}"] - figures["entropy_nats"]
        )
        assert figures[f"excess_nats_{name}"] > -4 * figures[f"nll_standard_error_nats_{name}"]
    assert figures["excess_nats_ours"] < 1.0 < 2.0 < figures["excess_nats_authors"]


def test_both_flows_learn_from_the_same_demonstrations_and_repeat_by_seed(monkeypatch):
    seen = []
    monkeypatch.setattr(
        precise_demonstrations, "_fit", lambda flow, action, *rest: seen.append(action)
    )
    first, again = run(TOY), run(TOY)
    assert first == again
    assert all(torch.equal(seen[0], action) for action in seen)


def test_demonstrations_have_the_sigma_that_is_asked_for():
    torch.manual_seed(0)
    (action, context), held_out = precise_demonstrations._demonstrations(TOY)
    assert len(action) == 4000 and len(held_out[0]) == 2000
    assert action.abs().max() < 1.0
    near = (context - context[0]).norm(dim=1) < 0.05
    assert 0.01 < action[near].std(dim=0).mean() < 0.06


def test_settings_of_the_file_are_the_defaults():
    assert load_config(
        "conure_experiments.conf", "precise_demonstrations", PreciseDemonstrations, []
    ).__dict__ == {
        **PreciseDemonstrations().__dict__,
        "hidden": [256, 256],
    }


@pytest.mark.parametrize("word", ["sigma=0.2", "sigma=0", "steps=1"])
def test_impossible_settings_are_refused(word):
    with pytest.raises(ConfigError):
        load_config(
            "conure_experiments.conf", "precise_demonstrations", PreciseDemonstrations, [word]
        )
