"""PPO and TRPO: numbers computed by hand, stable-baselines3's update on the same weights, a toy, and
the same run twice.
"""

from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import nn

from conure_training.nn.divergence import Diverged
from conure_training.nn.running_normalizer import RunningNormalizer
from conure_training.nn.weights import seeded
from conure_training.rl.on_policy.collection import Block, CollectBlock, collect
from conure_training.rl.on_policy.distributions import Categorical, Gaussian
from conure_training.rl.on_policy.gae import estimate_advantages
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize, size_for
from conure_training.rl.on_policy.ppo import Ppo, PpoConfig, ppo_loss
from conure_training.rl.on_policy.trajectories import Batch, Trajectory, make_batch
from conure_training.rl.on_policy.trpo import Trpo, TrpoConfig, conjugate_gradient
from conure_training.rl.on_policy.workers import open_workers
from conure_training.runtime.parallel import Engine

from .toy_corridor import Corridor, DiesOnce, make_corridors

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]
DISCRETE = NetworkSize(3, 2, discrete=True, hidden=(16, 16))
CONTINUOUS = NetworkSize(3, 2, discrete=False, hidden=(16, 16))
WITH_MEMORY = NetworkSize(3, 2, discrete=True, hidden=(16, 16), memory=8)


def network(size, seed=0):
    with seeded(seed):
        made = ActorCriticNetwork(size)
        nn.init.normal_(made.actor[-1].weight)  # away from the uniform policy
    return made


def trajectory(size, steps, seed=0, terminated=True, burn_in=0):
    rng = np.random.default_rng(seed)
    discrete = rng.integers(size.actions, size=steps)
    action = discrete if size.discrete else rng.normal(size=(steps, size.actions))
    return Trajectory(
        rng.normal(size=(steps + 1, size.observation)).astype(np.float32),
        action if size.discrete else action.astype(np.float32),
        rng.normal(size=steps).astype(np.float32),
        terminated,
        burn_in,
    )


# Generalized advantage estimation.


REWARD = np.array([1.0, 0.0, 2.0], np.float32)
VALUE = np.array([0.5, 1.0, -1.0, 4.0], np.float32)


def test_advantages_of_a_terminated_episode_are_those_computed_by_hand():
    # delta = 1 + 0.5 * 1 - 0.5, 0 + 0.5 * -1 - 1, 2 - -1 = 1, -1.5, 3; each next one counts 0.25.
    found = estimate_advantages(REWARD, VALUE, terminated=True, gamma=0.5, lam=0.5)
    np.testing.assert_allclose(found, [1 - 0.25 * 0.75, -1.5 + 0.25 * 3, 3.0])


def test_an_episode_that_was_cut_off_is_bootstrapped_from_its_last_observation():
    found = estimate_advantages(REWARD, VALUE, terminated=False, gamma=0.5, lam=0.5)
    # delta of the last step: 2 + 0.5 * 4 - -1 = 5.
    np.testing.assert_allclose(found, [1 + 0.25 * (-1.5 + 0.25 * 5), -1.5 + 0.25 * 5, 5.0])


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_no_advantage_leaks_from_one_episode_into_another(first, second, terminated):
    net = network(DISCRETE)
    one = trajectory(DISCRETE, first, 1, terminated)
    together = make_batch(net, [one, trajectory(DISCRETE, second, 2)], 0.9, 0.8)
    alone = make_batch(net, [one], 0.9, 0.8)
    torch.testing.assert_close(together.advantage[:first], alone.advantage, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.target[:first], alone.target, rtol=1e-5, atol=1e-6)


# Distributions and the normalizer.


def test_densities_entropies_and_divergences_are_torchs():
    mean, std = torch.randn(5, 3), torch.rand(5, 3) + 0.5
    other = torch.randn(5, 3), torch.rand(5, 3) + 0.5
    ours, theirs = Gaussian(mean, std), torch.distributions.Normal(mean, std)
    action = torch.randn(5, 3)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action).sum(-1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy().sum(-1))
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(*other), theirs).sum(-1)
    torch.testing.assert_close(ours.kl_from(Gaussian(*other)), kl)

    logits, before = torch.randn(5, 4), torch.randn(5, 4)
    discrete, reference = Categorical(logits), torch.distributions.Categorical(logits=logits)
    chosen = torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(discrete.log_prob(chosen), reference.log_prob(chosen))
    torch.testing.assert_close(discrete.entropy(), reference.entropy())
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=before), reference
    )
    torch.testing.assert_close(discrete.kl_from(Categorical(before)), kl)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_a_running_normalizer_has_the_mean_and_deviation_of_all_rows(sizes):
    rows = torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(len(sizes)))
    rows = 100.0 + rows * torch.tensor([1.0, 5.0, 0.0])
    running = RunningNormalizer(3)
    for part in rows.split(sizes):
        running.update(part)
    at_once = RunningNormalizer(3)
    at_once.fit(rows.double())
    torch.testing.assert_close(running.mean, at_once.mean)
    if len(rows) > 1:
        torch.testing.assert_close(running.scale, at_once.scale, rtol=1e-4, atol=1e-4)


# PPO.


class _Still(gymnasium.Env):
    """What stable-baselines3 asks an environment for."""

    def __init__(self, size):
        self.observation_space = gymnasium.spaces.Box(-9.0, 9.0, (size.observation,), np.float32)
        self.action_space = (
            gymnasium.spaces.Discrete(size.actions)
            if size.discrete
            else gymnasium.spaces.Box(-1.0, 1.0, (size.actions,), np.float32)
        )

    def reset(self, *, seed=None, options=None):
        return np.zeros(self.observation_space.shape, np.float32), {}


@pytest.mark.parametrize("size", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_an_update_is_that_of_stable_baselines3(size):
    steps = 64
    config = PpoConfig(epochs=3, minibatch=steps, clip=0.1, entropy_weight=0.02, learning_rate=3e-3)
    ours = network(size)
    batch = make_batch(ours, [trajectory(size, steps, 3)], 0.9, 0.8)

    theirs = PPO(
        "MlpPolicy",
        _Still(size),
        n_steps=steps,
        batch_size=steps,
        n_epochs=3,
        learning_rate=3e-3,
        clip_range=0.1,
        ent_coef=0.02,
        policy_kwargs={"net_arch": [16, 16], "activation_fn": nn.ReLU},
        device="cpu",
    )
    theirs.set_logger(Logger(None, []))
    policy = theirs.policy
    pairs = [
        (policy.mlp_extractor.policy_net[0], ours.actor[0]),
        (policy.mlp_extractor.policy_net[2], ours.actor[2]),
        (policy.action_net, ours.actor[4]),
        (policy.mlp_extractor.value_net[0], ours.critic[0]),
        (policy.mlp_extractor.value_net[2], ours.critic[2]),
        (policy.value_net, ours.critic[4]),
    ]
    for their, our in pairs:
        their.load_state_dict(our.state_dict())
    buffer = theirs.rollout_buffer
    buffer.observations[:, 0] = batch.observation
    buffer.actions[:, 0] = batch.action.reshape(steps, -1)
    buffer.log_probs[:, 0] = batch.log_prob
    buffer.advantages[:, 0] = batch.advantage
    buffer.returns[:, 0] = batch.target
    buffer.values[:, 0] = batch.target - batch.advantage
    buffer.full = True
    theirs.train()

    before = ours.actor[0].weight.clone()
    Ppo(ours, config, seed=0).update(batch)
    assert not torch.allclose(before, ours.actor[0].weight, atol=1e-4)
    for their, our in pairs:
        torch.testing.assert_close(their.weight, our.weight, rtol=1e-3, atol=1e-4)
    if not size.discrete:
        torch.testing.assert_close(policy.log_std, ours.log_std, rtol=1e-3, atol=1e-4)


def test_a_better_action_becomes_more_likely():
    net = network(DISCRETE)
    item = trajectory(DISCRETE, 32)
    item.reward[:] = item.action == 1
    batch = make_batch(net, [item], 0.0, 0.0)
    before = net.distribution(net.features(batch.observation, ())).log_prob(torch.ones(32).long())
    for learner in (Ppo(net, PpoConfig(), 0), Trpo(net, TrpoConfig(), 0)):
        learner.update(make_batch(net, [item], 0.0, 0.0))
        features = net.features(batch.observation, ())
        after = net.distribution(features).log_prob(torch.ones(32).long())
        assert after.mean() > before.mean()
        before = after


@pytest.mark.parametrize("size", [DISCRETE, WITH_MEMORY], ids=["without", "with memory"])
def test_steps_of_a_burn_in_change_no_gradient(size):
    """But for what they do to the memory."""
    net = network(size)
    parts = [trajectory(size, 12, 1, burn_in=5), trajectory(size, 7, 2, burn_in=2)]
    batch = make_batch(net, parts, 0.9, 0.8)
    assert batch.trained.sum() == 12

    def gradients(changed: Batch):
        net.zero_grad()
        ppo_loss(net, changed, PpoConfig())[0].backward()
        return [weight.grad.clone() for weight in net.parameters()]

    masked = torch.nonzero(~batch.trained)[:, 0]
    other = batch.rows(torch.arange(len(batch)), batch.lengths)
    other.action[masked] = 1 - other.action[masked]
    other.advantage[masked] += 100.0
    other.target[masked] += 100.0
    other.log_prob[masked] -= 3.0
    for one, two in zip(gradients(batch), gradients(other), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("learner", [Ppo, Trpo])
def test_a_learner_ignores_steps_of_a_burn_in(learner):
    """In minibatches and in the value function too."""
    results = []
    for extra in (0.0, 50.0):
        net = network(WITH_MEMORY)
        batch = make_batch(net, [trajectory(WITH_MEMORY, 12, 1, burn_in=5)], 0.9, 0.8)
        batch.target[:5] += extra
        batch.advantage[:5] += extra
        config = PpoConfig() if learner is Ppo else TrpoConfig()
        learner(net, config, 0).update(batch)
        results.append(net.state_dict())
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


@pytest.mark.parametrize(
    ("learner", "config", "setting"),
    [
        (Ppo, PpoConfig(), r"PPO's loss is nan; give a lower method\.ppo\.learning_rate \(now 0"),
        (Trpo, TrpoConfig(), r"TRPO's objective is nan; give a lower method\.trpo\.max_kl"),
    ],
)
def test_learning_that_diverged_ends_with_the_setting_to_lower_and_moves_no_weight(
    learner, config, setting
):
    net = network(DISCRETE)
    batch = make_batch(net, [trajectory(DISCRETE, 12)], 0.9, 0.8)
    batch.advantage[3] = float("nan")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(Diverged, match=setting):
        learner(net, config, 0).update(batch)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# A memory.


def test_a_memory_sees_the_steps_before_and_no_other_episode():
    net = network(WITH_MEMORY)
    rows = torch.randn(9, 3)
    together = net.features(rows, (4, 5)).actor
    for rows_of_one, found in zip(rows.split((4, 5)), together.split((4, 5)), strict=True):
        stepped, memory = [], net.begin(1)
        for row in rows_of_one:
            _, memory = net.decide(row[None], memory)
            stepped.append(memory)
        torch.testing.assert_close(found, torch.cat(stepped))


# TRPO.


def test_conjugate_gradients_solve_a_linear_system():
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    matrix = root @ root.T + torch.eye(6)
    target = torch.arange(6.0)
    found = conjugate_gradient(lambda v: matrix @ v, target, 20)
    torch.testing.assert_close(matrix @ found, target, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [DISCRETE, CONTINUOUS, WITH_MEMORY], ids=str)
def test_a_step_of_trpo_uses_its_kl_limit_and_keeps_it(size):
    net = network(size)
    batch = make_batch(net, [trajectory(size, 200, seed) for seed in range(3)], 0.9, 0.8)
    old = net.distribution(net.features(batch.observation, batch.lengths)).detached()
    metrics = Trpo(net, TrpoConfig(max_kl=0.01, damping=0.01), 0).update(batch)
    new = net.distribution(net.features(batch.observation, batch.lengths))
    kl = new.kl_from(old).mean().item()
    assert kl == pytest.approx(metrics["kl"], rel=1e-3)
    assert 0.0005 < kl <= 0.01


# Episodes, and learning from them.


def learn(algorithm, discrete, updates=20):
    env = Corridor(discrete)
    size = size_for(env, (32, 32))
    net = network(size)
    config = PpoConfig(learning_rate=3e-3) if algorithm is Ppo else TrpoConfig(max_kl=0.05)
    learner = algorithm(net, config, 0)
    environments = make_corridors(discrete, 8)
    rates = []
    for update in range(updates):
        episodes = collect(environments, net, Block((0, update), 8, 48), {})
        batch = make_batch(net, episodes, 0.95, 0.95)
        learner.update(batch)
        net.normalize.update(batch.observation)
        rates.append(np.mean([item.info["is_success"] for item in episodes]))
    return rates, net.state_dict()


@pytest.mark.parametrize("discrete", [True, False], ids=["discrete", "continuous"])
@pytest.mark.parametrize("algorithm", [Ppo, Trpo])
def test_a_corridor_is_learned_in_seconds(algorithm, discrete):
    rates, _ = learn(algorithm, discrete)
    assert rates[0] < 0.7
    assert np.mean(rates[-3:]) > 0.95


def test_the_same_seed_learns_the_same_to_the_bit():
    (_, first), (_, again) = learn(Ppo, True, 3), learn(Ppo, True, 3)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_episodes_are_whole_and_say_whether_they_were_cut_off():
    net = network(size_for(Corridor(), (8,)))
    for item in collect(make_corridors(True, 4), net, Block((0,), 4, 50), {}):
        assert len(item) == 24 or item.info["is_success"]
        assert item.terminated == item.info["is_success"]
        assert item.observation.shape == (len(item) + 1, 2)


def _same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a.observation, b.observation) and np.array_equal(a.action, b.action)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_no_episode_is_lost_when_a_worker_dies(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # where the workers import the toy from
    net = network(size_for(Corridor(), (8,)))
    blocks = [Block((0, 0, index), 2, 30) for index in range(3)]
    here = CollectBlock("here", partial(make_corridors, True), net.size, net.state_dict(), {})
    with open_workers(Engine(workers=1)) as workers:
        expected = workers.collect(here, blocks)
    dying = CollectBlock("dying", DiesOnce(tmp_path / "died"), net.size, net.state_dict(), {})
    with open_workers(Engine(name, workers=2)) as workers:
        found = workers.collect(dying, blocks)
    assert (tmp_path / "died").exists()
    assert all(_same(one, two) for one, two in zip(found, expected, strict=True))
