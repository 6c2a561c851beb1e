import io
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from conure_core.errors import ConfigError, ConureError, DataError, SpecMismatch
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.rl.learners.actor_critic import LearnerConfig
from conure_training.rl.methods.latent import LatentConfig, LatentSac, kl_to_standard_normal
from conure_training.rl.methods.scratch import Sac, ScratchConfig
from conure_training.rl.replay import Batch, MixedReplay, Replay, ReplayConfig

from .toy_reach import IMAGE_SIZE, TwoObjectFlow, demonstrations, fields, success_rate, train

FEATURES, STATE, ACTION = 12, 9, 7
SMALL = LatentConfig(hidden_width=32, batch_size=32)


def flow(seed: int = 0) -> ConditionalRealNVP:
    """A flow whose every layer matters (its last layers start at zero)."""
    prior = ConditionalRealNVP(ACTION, FEATURES, hidden_dims=(16, 16))
    generator = torch.Generator().manual_seed(seed)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return prior


def learner(
    config: LatentConfig = SMALL, seed: int = 0, prior: ConditionalRealNVP | None = None
) -> LatentSac:
    return LatentSac(prior or flow(), FEATURES, STATE, ACTION, config, seed)


def random_batch(size: int = 32, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Batch(
        {"features": draw(size, FEATURES), "state": draw(size, STATE)},
        draw(size, ACTION).tanh(),
        (draw(size) > 1.0).float(),
        {"features": draw(size, FEATURES), "state": draw(size, STATE)},
        0.97 * (draw(size) > -1.0).float(),
    )


def weights(of: LatentSac) -> dict[str, torch.Tensor]:
    modules = {"policy": of.policy, "critics": of.critics, "target": of.target_critics}
    return {
        f"{part}.{name}": value.clone()
        for part, module in modules.items()
        for name, value in module.state_dict().items()
    }


def only(part: str, of: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in of.items() if name.startswith(part)}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


# The start is the prior.


def test_first_rollouts_are_the_priors_samples_for_the_same_noise_even_after_critic_pretraining():
    sac = learner()
    for seed in range(5):
        sac.update(random_batch(seed=seed), critic_only=True)
    features = 3.0 * torch.randn(40, FEATURES)
    noise = torch.randn(40, ACTION, generator=torch.Generator().manual_seed(7))
    seen = {"features": features}
    assert torch.equal(sac.policy.draw(features, noise), noise)
    assert torch.equal(
        sac.act(seen, torch.Generator().manual_seed(7)), flow().decode(noise, features)
    )


def test_deterministic_action_decodes_the_mean():
    sac = learner()
    for seed in range(20):
        sac.update(random_batch(seed=seed))
    features = torch.randn(40, FEATURES)
    mean, std = sac.policy(features)
    assert not torch.equal(mean, torch.zeros_like(mean))
    assert not torch.equal(std, torch.ones_like(std))
    acted = sac.act({"features": features}, torch.Generator(), deterministic=True)
    assert torch.equal(acted, sac.prior.decode(mean, features))


# The update.


def test_kl_agrees_with_torch_distributions():
    mean, std = torch.randn(50, ACTION), torch.rand(50, ACTION) + 0.1
    standard = Independent(Normal(torch.zeros(ACTION), torch.ones(ACTION)), 1)
    expected = kl_divergence(Independent(Normal(mean, std), 1), standard.expand((50,)))
    assert torch.allclose(kl_to_standard_normal(mean, std), expected, atol=1e-4)


@pytest.mark.parametrize("cost_in_target", [False, True])
@pytest.mark.parametrize("bound", [0.3, 1.0])
def test_critics_regress_to_the_clipped_target_of_the_slow_critics(cost_in_target, bound):
    sac = learner(replace(SMALL, cost_in_target=cost_in_target, target_max=bound))
    for seed in range(20):
        sac.update(random_batch(seed=seed))
    batch = random_batch(seed=99)
    twin = torch.Generator()
    twin.set_state(sac.generator.get_state())
    with torch.no_grad():
        mean, std = sac.policy(batch.next_observation["features"])
        z = mean + std * torch.randn(32, ACTION, generator=twin)
        action = sac.prior.decode(z, batch.next_observation["features"])
        value = sac.target_critics(batch.next_observation["state"], action).min(dim=0).values
        value -= cost_in_target * sac.alpha * kl_to_standard_normal(mean, std)
        target = (batch.reward + batch.discount * value).clamp(0.0, bound)
        loss = sum(
            ((q - target) ** 2).mean()
            for q in sac.critics(batch.observation["state"], batch.action)
        )
    metrics = sac.update(batch, critic_only=True)
    assert metrics["target_q"] == pytest.approx(target.mean().item(), abs=1e-6)
    assert metrics["critic_loss"] == pytest.approx(loss.item(), rel=1e-4)


def test_slow_critics_follow_by_the_polyak_share():
    sac = learner(replace(SMALL, polyak=0.25))
    before = [parameter.clone() for parameter in sac.target_critics.parameters()]
    sac.update(random_batch())
    for old, slow, new in zip(
        before, sac.target_critics.parameters(), sac.critics.parameters(), strict=True
    ):
        assert torch.allclose(slow, 0.75 * old + 0.25 * new)
        assert not torch.equal(new, old)


def test_normalizers_are_fitted_to_the_demonstrations_alike_in_policy_and_all_critics():
    demonstrated = demonstrations(5, seed=0)
    latent = LatentSac(TwoObjectFlow(), feature_dim=7, state_dim=7, action_dim=2, config=SMALL)
    latent.fit_normalizers(MixedReplay(Replay(fields(image=False), 2), demonstrated))
    mean = demonstrated.rows("features").mean(dim=0)
    for network in (latent.policy, latent.critics, latent.target_critics):
        assert torch.allclose(network.normalize.mean, mean)


def test_actor_climbs_the_critics_through_the_flow_and_changes_neither():
    sac = learner(replace(SMALL, learning_rate=3e-3, initial_alpha=1e-3, target_kl_per_dim=1e6))
    batch = random_batch()
    before = weights(sac)
    first = sac._update_actor(batch)["actor_q"]
    for _ in range(60):
        last = sac._update_actor(batch)["actor_q"]
    assert last > first + 0.1
    assert_same(only("critics", weights(sac)), only("critics", before))
    assert_same(sac.prior.state_dict(), flow().state_dict())
    assert not any(parameter.requires_grad for parameter in sac.prior.parameters())


@pytest.mark.parametrize("target", [0.1, 0.6])
def test_alpha_steers_the_kl_to_its_target(target):
    sac = learner(
        replace(SMALL, target_kl_per_dim=target, learning_rate=1e-3, alpha_learning_rate=2e-2)
    )
    batch = random_batch(64)
    costs = [sac._update_actor(batch)["cost_nats"] for _ in range(400)]
    assert sum(costs[-200:]) / 200 == pytest.approx(target * ACTION, rel=0.15)


def test_actor_period_leaves_out_actor_updates():
    sac = learner(replace(SMALL, actor_period=3))
    acted = ["actor_loss" in sac.update(random_batch(seed=seed)) for seed in range(6)]
    assert acted == [True, False, False, True, False, False]


@pytest.mark.parametrize("name", list(random_batch().named_tensors()))
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_batch_that_is_not_finite_is_refused_before_it_poisons_the_networks(name, bad):
    sac = learner()
    sac.update(random_batch())
    before, batch = weights(sac), random_batch()
    batch.named_tensors()[name].view(-1)[5] = bad
    with pytest.raises(ConureError, match=f"{name} in the batch is not finite"):
        sac.update(batch)
    assert_same(weights(sac), before)
    sac.update(random_batch(seed=1))


def test_a_gradient_that_overflows_is_refused_before_it_poisons_the_networks():
    sac = learner(replace(SMALL, target_max=float("inf")))
    sac.update(random_batch())  # with momentum, even a gradient of zero would move the weights
    before, batch = weights(sac), random_batch()
    batch.reward[3] = 1e30
    with pytest.raises(DataError, match="gradient of the critics"):
        sac.update(batch)
    assert_same(weights(sac), before)


def test_an_observation_that_is_not_finite_gets_no_action():
    with pytest.raises(DataError, match="not finite"):
        learner().act({"features": torch.full((1, FEATURES), float("nan"))}, torch.Generator())


# Saving and resuming.


def test_a_resumed_learner_repeats_the_uninterrupted_one_bit_by_bit():
    original = learner(seed=1)
    for seed in range(15):
        original.update(random_batch(seed=seed))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    resumed = learner(seed=2)
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for seed in range(15, 30):
        assert original.update(random_batch(seed=seed)) == resumed.update(random_batch(seed=seed))
    assert_same(weights(original), weights(resumed))
    assert original.updates == resumed.updates == 30


def test_a_saved_state_does_not_move_with_the_learner_that_loaded_it():
    original = learner()
    original.update(random_batch())
    state = original.state_dict()
    kept = io.BytesIO()
    torch.save(state, kept)
    loaded = learner(seed=5)
    loaded.load_state_dict(torch.load(io.BytesIO(kept.getvalue()), weights_only=True))
    again = learner(seed=6)
    again.load_state_dict(loaded.state_dict())
    loaded.update(random_batch(seed=1))
    original.update(random_batch(seed=1))
    again.update(random_batch(seed=1))
    assert_same(weights(again), weights(original))


def test_a_checkpoint_of_another_size_is_refused():
    state = learner().state_dict()
    with pytest.raises(SpecMismatch, match="does not fit this LatentSac"):
        learner(replace(SMALL, hidden_width=16)).load_state_dict(state)


# The configuration.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_width", 0),
        ("batch_size", 0),
        ("actor_period", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("polyak", 1.5),
        ("target_min", 2.0),
        ("updates_per_step", -0.5),
        ("critic_pretraining_updates", -1),
        ("target_kl_per_dim", 0.0),
    ],
)
def test_an_unusable_value_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"method.{name} must be"):
        LatentConfig(**{name: value})


@given(st.floats(0, 4), st.lists(st.integers(0, 20), max_size=20))
def test_no_update_is_lost_or_done_twice_however_the_steps_come(updates_per_step, chunks):
    config = LearnerConfig(updates_per_step=updates_per_step)
    steps = updates = 0
    for chunk in chunks:
        updates += config.updates_due(steps, steps + chunk)
        steps += chunk
    assert updates == config.updates_due(0, steps)
    assert abs(updates - steps * updates_per_step) <= 1


# A whole task.


def test_latent_sac_solves_a_sparse_task_that_sac_from_scratch_does_not_in_the_same_steps():
    steps = 1000
    small = {"hidden_width": 64, "batch_size": 128}
    config = LatentConfig(
        **small, critic_pretraining_updates=200, updates_per_step=0.5, target_kl_per_dim=0.5
    )
    latent = LatentSac(
        TwoObjectFlow(), feature_dim=7, state_dim=7, action_dim=2, config=config, seed=0
    )
    before = success_rate(latent, image=False)
    size = ReplayConfig(10_000, n_step=3, gamma=0.99)
    online = Replay(fields(image=False), 2, size)
    train(latent, MixedReplay(online, demonstrations(200, seed=0)), steps, image=False, seed=0)
    scratch = Sac(
        IMAGE_SIZE, proprio_dim=2, state_dim=7, action_dim=2, config=ScratchConfig(**small), seed=0
    )
    train(scratch, Replay(fields(image=True), 2, size), steps, image=True, seed=0)
    assert before < 0.4
    assert success_rate(latent, image=False) > 0.9
    assert success_rate(latent, image=False, deterministic=True) > 0.9
    assert success_rate(scratch, image=True) < 0.5
