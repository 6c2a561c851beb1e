"""Two actors: what the targets are, when the second acts, and that it escapes from a prior that
cannot do the task.
"""

import pytest
import torch
from torch import Tensor, nn

from conure_training.rl.learners.feature_sac import FeatureSacConfig
from conure_training.rl.learners.two_actors import TwoActors, build_two_policies
from conure_training.rl.methods.ibrl import Ibrl
from conure_training.rl.methods.latent import LatentConfig, LatentSac
from conure_training.rl.methods.latent_escape import EscapingSac
from conure_training.rl.replay import Batch, Episode, Field, Replay, ReplayConfig

from .toy_reach import TwoObjectFlow

SMALL = {"hidden_width": 64, "batch_size": 128, "critic_pretraining_updates": 200}


class Squash(nn.Module):
    """A flow that knows nothing."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        return torch.tanh(z)


def escaping(prior: nn.Module, config: LatentConfig, margin: float = 0.0) -> EscapingSac:
    policies = build_two_policies(7, 2, config.hidden_dims, 0, float("inf"), seed=0, margin=margin)
    return EscapingSac(prior, Squash(), policies, 7, 2, config)


def imitating(config: FeatureSacConfig) -> Ibrl:
    return Ibrl(build_two_policies(7, 2, config.hidden_dims, 0, float("inf"), seed=0), 7, 2, config)


def batch_of(size: int = 32, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    seen, later = (torch.randn(size, 7, generator=generator) for _ in range(2))
    action = torch.randn(size, 2, generator=generator).tanh()
    reward = (torch.randn(size, generator=generator) > 0.5).float()
    return Batch(
        {"features": seen, "state": seen},
        action,
        reward,
        {"features": later, "state": later},
        torch.full((size,), 0.9),
    )


@pytest.mark.parametrize(("margin", "acts"), [(0.0, TwoObjectFlow), (0.1, Squash)])
def test_the_first_rollouts_are_the_second_actors_where_there_is_a_margin_and_the_priors_without(
    margin, acts
):
    learner = escaping(TwoObjectFlow(), LatentConfig(**SMALL), margin)
    for seed in range(5):
        learner.update(batch_of(seed=seed), critic_only=True)
    features = torch.randn(40, 7)
    noise = torch.randn(40, 2, generator=torch.Generator().manual_seed(3))
    action = learner.act({"features": features}, torch.Generator().manual_seed(3))
    assert torch.equal(action, acts().decode(noise, features))


def next_values(learner: TwoActors, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the actions that both actors will draw at the next observations."""
    seen, twin = batch.next_observation["features"], torch.Generator()
    twin.set_state(learner.generator.get_state())
    drawn = [
        actor(learner.policies, seen, torch.randn(32, 2, generator=twin))
        for actor in (learner._first, learner._second)
    ]
    first, second = (learner.target_critics(seen, action).min(dim=0).values for action, _ in drawn)
    return first, second


@torch.no_grad()
def test_imitations_targets_take_the_better_of_both_actors():
    learner = imitating(FeatureSacConfig(**SMALL))
    with torch.enable_grad():
        for seed in range(30):
            learner.update(batch_of(seed=seed))
    batch = batch_of(seed=99)
    first, second = next_values(learner, batch)
    assert 0 < (first > second).sum() < 32
    expected = (batch.reward + 0.9 * torch.maximum(first, second)).clamp(0.0, 1.0)
    assert torch.allclose(learner._target(batch), expected, atol=1e-6)


@torch.no_grad()
def test_an_escaping_learners_targets_take_the_actor_that_would_act():
    learner = escaping(TwoObjectFlow(), LatentConfig(**SMALL))
    with torch.enable_grad():
        for seed in range(30):
            learner.update(batch_of(seed=seed))
    batch = batch_of(seed=99)
    chosen = learner.policies.chooser(batch.next_observation["features"]) > 0.0
    assert 0 < chosen.sum() < 32
    first, second = next_values(learner, batch)
    expected = (batch.reward + 0.9 * torch.where(chosen, second, first)).clamp(0.0, 1.0)
    assert torch.allclose(learner._target(batch), expected, atol=1e-6)


def judged(first: float, second: float, learner: TwoActors) -> None:
    """Critics that value an action by its first coordinate's sign, as given."""

    class Judge(nn.Module):
        def forward(self, state: Tensor, action: Tensor) -> Tensor:
            return torch.where(action[:, 0] > 0, second, first).expand(2, -1) + 0.0 * action.sum()

    learner.critics = Judge()  # type: ignore[assignment]


def test_the_chooser_learns_who_is_worth_more_and_acts_by_it():
    """The first actor goes left, the second right."""

    class Left(nn.Module):
        def decode(self, z: Tensor, context: Tensor) -> Tensor:
            return torch.full_like(z, -0.5)

    cases = (
        (0.0, (0.2, 0.9), 1),
        (0.0, (0.9, 0.2), -1),
        (0.2, (0.5, 0.4), 1),
        (0.2, (0.9, 0.2), -1),
    )
    for margin, worth, chosen in cases:
        learner = escaping(Left(), LatentConfig(**SMALL, learning_rate=3e-3), margin)
        nn.init.constant_(learner.policies.second.trunk[-1].bias[:2], 1.0)
        learner.policies.second.requires_grad_(False)
        judged(*worth, learner)
        for seed in range(100):
            learner._update_actor(batch_of(seed=seed))
        action = learner.act(
            {"features": torch.randn(50, 7)}, torch.Generator(), deterministic=True
        )
        assert (action[:, 0].sign() == chosen).float().mean() > 0.95


def test_imitation_is_never_trained_further_and_proposes_its_middle():
    learner = imitating(FeatureSacConfig(**SMALL))
    before = {name: value.clone() for name, value in learner.policies.first.state_dict().items()}
    for seed in range(20):
        learner.update(batch_of(seed=seed))
    assert all(
        torch.equal(value, before[name])
        for name, value in learner.policies.first.state_dict().items()
    )
    features = torch.randn(4, 7)
    first, cost = learner._first(learner.policies, features, torch.randn(4, 2))
    assert torch.equal(first, torch.tanh(learner.policies.first(features)[0]))
    assert not cost.any()


def test_latents_stay_where_a_wrong_prior_holds_them_and_a_second_actor_escapes():
    """One step an episode, rewarded for the side that is seen; the prior only ever goes to the
    right.
    """

    class Right(nn.Module):
        def decode(self, z: Tensor, context: Tensor) -> Tensor:
            return torch.sigmoid(2.0 * z)

    generator = torch.Generator().manual_seed(0)
    replay = Replay({"features": Field((7,)), "state": Field((7,))}, 2, ReplayConfig(4000))
    seen = torch.randn(1000, 7, generator=generator)
    action = 2.0 * torch.rand(1000, 2, generator=generator) - 1.0
    reward = (seen[:, 0].sign() * action[:, 0]).clamp(min=0.0)
    for row, chosen, got in zip(seen, action, reward, strict=True):
        pair = {"features": row.expand(2, 7), "state": row.expand(2, 7)}
        replay.add(Episode(pair, chosen[None], got[None], terminated=True))
    config = LatentConfig(hidden_width=32, batch_size=64, learning_rate=3e-3, target_kl_per_dim=0.5)

    def earned(learner: LatentSac | EscapingSac) -> float:
        learner.fit_normalizers(replay)
        for _ in range(300):
            learner.update(replay.sample(64, learner.generator))
        told = torch.randn(500, 7, generator=generator)
        acted = learner.act({"features": told}, generator, deterministic=True)
        return (told[:, 0].sign() * acted[:, 0]).clamp(min=0.0).mean().item()

    held = earned(
        LatentSac(Right(), feature_dim=7, state_dim=7, action_dim=2, config=config, seed=0)
    )
    escaped = earned(escaping(Right(), config))
    assert held < 0.55
    assert escaped > 0.7
