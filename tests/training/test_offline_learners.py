"""Learners from a fixed data set: losses and targets by hand, DDPG against stable-baselines3's,
and toys that each of them solves.
"""

from copy import deepcopy

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import DDPG
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn

from conure_core.errors import DataError, SpecMismatch
from conure_training.rl.offline.action_vae import LATENT_LIMIT, ActionVae
from conure_training.rl.offline.bcq import Bcq, BcqConfig
from conure_training.rl.offline.ddpg import Ddpg, DdpgConfig
from conure_training.rl.offline.iql import Iql, IqlConfig, advantage_weight, expectile_loss
from conure_training.rl.offline.learner import SEEN, OfflineLearner
from conure_training.rl.offline.td3_bc import Td3Bc, Td3BcConfig
from conure_training.rl.replay import Batch, Episode, Field, Replay, ReplayConfig

torch.set_num_threads(1)
F, A = 3, 2


def small(kind: type, **settings):
    configs = {Ddpg: DdpgConfig, Bcq: BcqConfig, Td3Bc: Td3BcConfig, Iql: IqlConfig}
    if kind is Bcq:
        settings = {"vae_width": 32, "candidates": 20, **settings}
    return configs[kind](hidden_width=32, batch_size=32, **settings)


def batch_of(rows: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    seen, following = (torch.randn(rows, F, generator=generator) for _ in range(2))
    action = torch.rand(rows, A, generator=generator) * 1.8 - 0.9
    reward = torch.randn(rows, generator=generator)
    discount = 0.9 * (torch.rand(rows, generator=generator) < 0.7)
    return Batch({SEEN: seen}, action, reward, {SEEN: following}, discount)


def two_rows() -> Batch:
    """Rewards 1 and 2; the first is bootstrapped from, the second ended its episode."""
    batch = batch_of(2)
    return Batch(
        batch.observation,
        batch.action,
        torch.tensor([1.0, 2.0]),
        batch.next_observation,
        torch.tensor([0.9, 0.0]),
    )


def given(*values: float):
    """A critic that says this, whatever it is asked: a row of numbers a member."""
    return lambda features, action, asked=None: torch.tensor(values)


# Targets, by hand: the episode's end has no future.


def test_ddpg_bootstraps_from_its_one_target_critic() -> None:
    learner = Ddpg(F, A, small(Ddpg))
    learner.target_critics = given((10.0, 20.0))
    assert learner._target(two_rows()).tolist() == pytest.approx([1.0 + 0.9 * 10.0, 2.0])


def test_td3_bc_bootstraps_from_the_smaller_of_two_target_critics() -> None:
    learner = Td3Bc(F, A, small(Td3Bc))
    learner.target_critics = given((10.0, 20.0), (4.0, 30.0))
    assert learner._target(two_rows()).tolist() == pytest.approx([1.0 + 0.9 * 4.0, 2.0])


def test_td3_bc_asks_its_target_critics_about_the_target_actor_s_action_with_clipped_noise() -> (
    None
):
    learner = Td3Bc(F, A, small(Td3Bc, target_noise=10.0, target_noise_limit=0.25))
    asked = []
    learner.target_critics = lambda features, action: (
        asked.append(action),
        torch.zeros(2, len(action)),
    )[1]
    for weight in learner.averaged_policy.parameters():
        nn.init.zeros_(weight)
    learner._target(batch_of(200))
    assert asked[0].abs().max() == 0.25, "the actor says 0, so that the action is the noise"
    assert len(asked[0].unique()) > 2 and asked[0].mean().abs() < 0.05


def test_bcq_bootstraps_from_the_best_candidate_of_a_weighted_minimum() -> None:
    learner = Bcq(F, A, small(Bcq, target_candidates=2))
    learner.target_critics = given((1.0, 4.0, 2.0, 0.0), (3.0, 2.0, 8.0, 0.0))
    # 0.75 * 1 + 0.25 * 3 = 1.5 and 0.75 * 2 + 0.25 * 4 = 2.5
    assert learner._target(two_rows()).tolist() == pytest.approx([1.0 + 0.9 * 2.5, 2.0])
    batch = two_rows()
    open_ended = Batch(
        batch.observation, batch.action, batch.reward, batch.next_observation, torch.ones(2)
    )
    assert learner._target(open_ended).tolist() == pytest.approx([3.5, 2.0 + 3.5])


def test_iql_bootstraps_from_the_value_of_the_next_observation() -> None:
    learner = Iql(F, A, small(Iql))
    learner.value = lambda features: torch.tensor([10.0, 20.0])
    assert learner._target(two_rows()).tolist() == pytest.approx([1.0 + 0.9 * 10.0, 2.0])


# Losses, by hand.


def test_td3_bc_s_actor_climbs_the_scaled_critic_and_pays_for_leaving_the_data() -> None:
    learner = Td3Bc(F, A, small(Td3Bc))
    learner._first_value = lambda features, action: torch.tensor([2.0, -4.0])
    seen = batch_of(2).observation[SEEN]
    action = learner.policy.act(seen).detach() + torch.tensor([[0.1, 0.2], [0.0, -0.3]])
    # lambda = 2.5 / 3, mean Q = -1, mean square = (0.01 + 0.04 + 0 + 0.09) / 4
    assert learner._actor_loss(seen, action).item() == pytest.approx(2.5 / 3.0 + 0.035, abs=1e-5)


def test_iql_s_value_regresses_to_an_expectile() -> None:
    loss = expectile_loss(torch.tensor([2.0, -1.0]), 0.7)
    assert loss.item() == pytest.approx((0.7 * 4.0 + 0.3 * 1.0) / 2.0)
    samples = torch.tensor([0.0, 1.0, 2.0, 7.0])
    value = torch.zeros((), requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(expectile_loss(samples - value, 0.8), value)
        with torch.no_grad():
            value -= 0.05 * gradient
    above, below = ((side * (samples - value)).clamp(min=0).sum().item() for side in (1.0, -1.0))
    assert 0.8 * above == pytest.approx(0.2 * below, rel=1e-3), "the expectile's definition"


def test_iql_s_actor_follows_better_actions_more() -> None:
    weights = advantage_weight(torch.tensor([0.0, 0.5, -0.5, 10.0]), 3.0)
    assert weights.tolist() == pytest.approx([1.0, 4.481689, 0.223130, 100.0], rel=1e-5)
    learner = Iql(F, A, small(Iql))
    learner.target_critics = given((5.0, 1.0), (3.0, 2.0))
    learner.value = lambda features: torch.tensor([1.0, 1.0])
    assert learner._advantage(two_rows()).tolist() == [2.0, 0.0]


def test_iql_s_actor_learns_the_action_that_the_critics_prefer() -> None:
    learner = Iql(F, 1, small(Iql, learning_rate=3e-3))
    seen = {SEEN: torch.zeros(2, F)}
    action = torch.tensor([[0.5], [-0.5]])
    batch = Batch(seen, action, torch.zeros(2), seen, torch.zeros(2))
    learner.target_critics = lambda features, action: action.T.expand(2, -1)
    learner.value = lambda features: torch.zeros(len(features))
    for _ in range(300):
        learner._update_actor(batch)
    # Weights exp(1.5) and exp(-1.5): the mean of the cloned u = +-atanh(0.5) is 0.905 of it.
    mean, _ = learner.policy(seen[SEEN])
    assert mean[0].item() == pytest.approx(np.tanh(1.5) * np.arctanh(0.5), abs=0.02)


def test_the_autoencoder_s_loss_is_reconstruction_and_half_the_divergence() -> None:
    vae = ActionVae(F, A, 16)
    batch, noise = batch_of(8), torch.randn(8, 2 * A)
    seen = batch.observation[SEEN]
    mean, std = vae.infer(seen, batch.action)
    posterior, unit = torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(posterior, unit).mean()
    rebuilt = vae.decode(seen, mean + std * noise)
    expected = nn.functional.mse_loss(rebuilt, batch.action) + 0.5 * divergence
    torch.testing.assert_close(vae.loss(seen, batch.action, noise), expected)


def test_bcq_acts_by_the_best_candidate_near_the_decoder_s_actions() -> None:
    learner = Bcq(F, A, small(Bcq))
    policy = learner.policy
    assert policy.latents.abs().max() <= LATENT_LIMIT and policy.latents.shape == (20, 2 * A)
    seen = batch_of(4).observation[SEEN]
    rows = seen.repeat_interleave(20, dim=0)
    candidates = policy.propose(rows, policy.latents.repeat(4, 1))
    decoded = policy.vae.decode(policy.normalize(rows), policy.latents.repeat(4, 1))
    assert 0.0 < (candidates - decoded).abs().max() <= 0.05 + 1e-6
    q = learner.critics(rows, candidates, [0])[0].reshape(4, 20)
    best = candidates.reshape(4, 20, A)[torch.arange(4), q.argmax(dim=1)]
    torch.testing.assert_close(policy.act(seen), best)
    assert len(q.argmax(dim=1).unique()) > 1, "the choice depends on what is seen"


def test_bcq_s_perturbation_climbs_the_critic_as_far_as_it_may() -> None:
    learner = Bcq(F, A, small(Bcq, learning_rate=1e-2))
    learner._first_value = lambda features, action: action.sum(dim=1)
    batch = batch_of(32)
    for _ in range(40):
        learner._update_actor(batch)
    seen, z = batch.observation[SEEN], torch.zeros(32, 2 * A)
    decoded = learner.policy.vae.decode(seen, z)
    assert (learner.policy.propose(seen, z) - decoded).min() > 0.04, "at most 0.05"


# DDPG against a library.


class Rows(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (F,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (A,), np.float32)


class Given:
    """A replay that hands out this one batch, in stable-baselines3's form."""

    def __init__(self, batch: Batch) -> None:
        done = (batch.discount == 0).float()[:, None]
        seen, following = batch.observation[SEEN], batch.next_observation[SEEN]
        self.samples = ReplayBufferSamples(
            seen, batch.action, following, done, batch.reward[:, None]
        )

    def sample(self, *_, **__) -> ReplayBufferSamples:
        return self.samples


def test_ddpg_updates_as_stable_baselines_does() -> None:
    config = small(Ddpg, learning_rate=1e-3, polyak=0.5)
    ours = Ddpg(F, A, config)
    theirs = DDPG(
        "MlpPolicy",
        Rows(),
        gamma=0.9,
        tau=config.polyak,
        learning_rate=1e-3,
        policy_kwargs={"net_arch": [32, 32]},
        device="cpu",
    )
    theirs.set_logger(Logger(None, []))
    pairs = [
        (ours.policy.trunk, theirs.actor.mu),
        (ours.averaged_policy.trunk, theirs.actor_target.mu),
        (ours.critics.members[0], theirs.critic.qf0),
        (ours.target_critics.members[0], theirs.critic_target.qf0),
    ]
    for mine, twin in pairs:
        twin.load_state_dict(mine.state_dict(), strict=True)
    theirs.critic.optimizer = torch.optim.Adam(
        theirs.critic.parameters(), 1e-3, weight_decay=config.critic_decay
    )
    for seed in range(5):
        batch = batch_of(32, seed)
        ours.update(batch)
        theirs.replay_buffer = Given(batch)
        theirs.train(1, 32)
    for mine, twin in pairs:
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, twin.state_dict()[name], rtol=0, atol=1e-4)


# A toy: a point on a line, pushed for four steps, each of which costs its distance from the middle.

HORIZON = 4
STEP = 0.5


def push(place: Tensor, action: Tensor) -> Tensor:
    return (place + STEP * action).clamp(-1.5, 1.5)


def features_of(place: Tensor, left: int) -> Tensor:
    return torch.stack([place, torch.full_like(place, left / HORIZON)], dim=1)


def toy_data(episodes: int = 150) -> Replay:
    """Episodes of a controller of which half the steps are noise."""
    generator = torch.Generator().manual_seed(0)
    place = torch.rand(episodes, generator=generator) * 2.0 - 1.0
    seen, actions, rewards = [features_of(place, HORIZON)], [], []
    for step in range(HORIZON):
        good = (-place / STEP).clamp(-1.0, 1.0)
        noise = torch.rand(episodes, generator=generator) * 2.0 - 1.0
        actions.append(torch.where(noise > 0, good, noise))
        place = push(place, actions[-1])
        rewards.append(-place.abs())
        seen.append(features_of(place, HORIZON - 1 - step))
    replay = Replay(
        {SEEN: Field((2,))}, 1, ReplayConfig(episodes * (HORIZON + 1), n_step=1, gamma=0.99)
    )
    for index in range(episodes):
        rows = torch.stack([row[index] for row in seen])
        action = torch.stack([row[index] for row in actions])[:, None]
        replay.add(Episode({SEEN: rows}, action, torch.stack([r[index] for r in rewards]), True))
    return replay


def toy_return(act) -> float:
    place = torch.linspace(-1.0, 1.0, 21)
    total = torch.zeros(21)
    for step in range(HORIZON):
        place = push(place, act(features_of(place, HORIZON - step)))
        total -= place.abs()
    return total.mean().item()


def trained(kind: type, updates: int, **settings) -> OfflineLearner:
    learner = kind(2, 1, small(kind, **settings))
    replay = toy_data()
    learner.fit_normalizers(replay)
    for _ in range(updates):
        learner.update(replay.sample(32, learner.generator))
    return learner


def learned_return(learner: OfflineLearner) -> float:
    generator = torch.Generator()
    return toy_return(lambda seen: learner.act({SEEN: seen}, generator, True)[:, 0])


QUICK = {"learning_rate": 3e-3, "polyak": 0.05}


@pytest.mark.parametrize(
    ("kind", "updates", "settings"),
    [
        (Ddpg, 400, {"critic_learning_rate": 3e-3}),
        (Bcq, 150, {"polyak": 0.1}),
        (Td3Bc, 250, {"polyak": 0.1}),
        (Iql, 150, {"polyak": 0.1, "temperature": 10.0}),
    ],
)
def test_each_learner_solves_a_toy_whose_data_are_half_noise(kind, updates, settings) -> None:
    best = toy_return(lambda seen: (-seen[:, 0] / STEP).clamp(-1.0, 1.0))
    idle = toy_return(lambda seen: torch.zeros(len(seen)))
    recorded = toy_data()._columns["return"].sum().item() / 150

    def share(value: float) -> float:
        """Of what the best controller gains over doing nothing."""
        return (value - idle) / (best - idle)

    learned = share(learned_return(trained(kind, updates, **{**QUICK, **settings})))
    assert learned > 0.8 and share(recorded) < 0.6, (learned, share(recorded))


# To the bit.

KINDS = [Ddpg, Bcq, Td3Bc, Iql]


def tensors(data: object) -> list[Tensor]:
    if isinstance(data, Tensor):
        return [data]
    if isinstance(data, dict):
        data = list(data.values())
    return [t for value in data for t in tensors(value)] if isinstance(data, list) else []


@pytest.mark.parametrize("kind", KINDS)
def test_a_learner_repeats_itself_to_the_bit_also_after_an_interruption(kind) -> None:
    replay, states = toy_data(), []
    for cut in (None, None, 7):
        learner = kind(2, 1, small(kind))
        learner.fit_normalizers(replay)
        for step in range(12):
            if step == cut:
                kept = deepcopy(learner.state_dict())
                learner = kind(2, 1, small(kind), seed=5)
                learner.load_state_dict(kept)
            learner.update(replay.sample(32, learner.generator))
        states.append(tensors(learner.state_dict()))
    assert len(states[0]) > 20
    for other in states[1:]:
        assert all(torch.equal(a, b) for a, b in zip(states[0], other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_learned_from_a_batch_that_is_not_finite(kind) -> None:
    learner = kind(F, A, small(kind))
    batch = batch_of(4)
    batch.reward[2] = torch.nan
    before = deepcopy(tensors(learner.state_dict()))
    with pytest.raises(DataError, match="reward in the batch is not finite"):
        learner.update(batch)
    assert all(
        torch.equal(a, b) for a, b in zip(before, tensors(learner.state_dict()), strict=True)
    )


def test_the_checkpoint_of_another_learner_is_refused() -> None:
    with pytest.raises(SpecMismatch, match="does not fit this Iql"):
        Iql(F, A, small(Iql)).load_state_dict(Td3Bc(F, A, small(Td3Bc)).state_dict())
