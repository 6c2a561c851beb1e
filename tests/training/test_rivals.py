"""What each rival of latent SAC is made of, on problems of a second or two."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.rl.learners.behavior_cloning import clone, clone_flow
from conure_training.rl.learners.feature_sac import FeatureSac, FeatureSacConfig
from conure_training.rl.learners.pretraining import PretrainingConfig, train_once
from conure_training.rl.learners.skill_vae import (
    SkillConfig,
    SkillVae,
    infer_skills,
    train_skills,
)
from conure_training.rl.methods.latent import LatentConfig
from conure_training.rl.methods.prior_explore import PriorExploreSac
from conure_training.rl.methods.skills import SkillEnvironment
from conure_training.rl.methods.steered import (
    FlowMatchingConfig,
    FlowMatchingPolicy,
    SteeredSac,
    train_flow_matching,
)
from conure_training.rl.methods.vae import ImageVae, VaeTraining, train_vae
from conure_training.rl.replay import Batch

FEATURES, STATE, ACTION = 5, 6, 2


def random_batch(size: int = 32, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def seen() -> dict[str, Tensor]:
        shapes = {"features": FEATURES, "state": STATE}
        return {
            name: torch.randn(size, width, generator=generator) for name, width in shapes.items()
        }

    action = torch.randn(size, ACTION, generator=generator).tanh()
    return Batch(
        seen(), action, torch.rand(size, generator=generator), seen(), torch.full((size,), 0.9)
    )


class Constant(nn.Module):
    """A prior that knows one action."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        return torch.full_like(z, 0.25)


# SAC on features, RLPD, Prior-explore.


def test_a_target_of_a_subset_takes_the_least_of_so_many_critics():
    config = FeatureSacConfig(hidden_width=16, ensemble_size=6, target_subset=2)
    sac = FeatureSac(GaussianPolicy(FEATURES, ACTION), STATE, ACTION, config)
    observation, action = random_batch(size=3).observation, torch.zeros(3, ACTION)
    for index, member in enumerate(sac.target_critics.members):
        nn.init.zeros_(member[-1].weight)
        nn.init.constant_(member[-1].bias, float(index))
    found = torch.stack([sac._min_target_q(observation, action) for _ in range(300)])[:, 0]
    shares = [(found == value).float().mean().item() for value in range(6)]
    assert shares == pytest.approx([1 / 3, 4 / 15, 1 / 5, 2 / 15, 1 / 15, 0.0], abs=0.1)
    assert shares[5] == 0.0


def test_the_actor_climbs_the_mean_where_it_is_asked_to():
    observation = random_batch().observation
    action = torch.zeros(32, ACTION)
    for on_mean in (False, True):
        config = FeatureSacConfig(hidden_width=16, ensemble_size=3, actor_on_mean=on_mean)
        sac = FeatureSac(GaussianPolicy(FEATURES, ACTION), STATE, ACTION, config)
        q = sac.critics(observation["state"], action)
        assert torch.equal(
            sac._value(observation, action), q.mean(dim=0) if on_mean else q.min(dim=0).values
        )


def test_the_actors_update_computes_no_gradient_of_the_critics_and_leaves_them_learning():
    sac = FeatureSac(
        GaussianPolicy(FEATURES, ACTION), STATE, ACTION, FeatureSacConfig(hidden_width=16)
    )
    observation = random_batch().observation
    action = torch.zeros(32, ACTION, requires_grad=True)
    sac._value(observation, action).sum().backward()
    assert action.grad is not None and action.grad.abs().max() > 0
    assert all(weight.grad is None and weight.requires_grad for weight in sac.critics.parameters())


def test_symmetric_critics_see_what_the_actor_sees():
    config = FeatureSacConfig(hidden_width=16)
    sac = FeatureSac(
        GaussianPolicy(FEATURES, ACTION), FEATURES, ACTION, config, critic_input="features"
    )
    for seed in range(3):
        batch = random_batch(seed=seed)
        for seen in (batch.observation, batch.next_observation):
            del seen["state"]
        assert np.isfinite(sac.update(batch)["critic_loss"])


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_prior_explore_takes_the_priors_action_as_often_as_epsilon_says_and_never_when_evaluated(
    epsilon,
):
    config = FeatureSacConfig(hidden_width=16)
    sac = PriorExploreSac(
        Constant(), epsilon, GaussianPolicy(FEATURES, ACTION), STATE, ACTION, config
    )
    seen, generator = {"features": torch.randn(4000, FEATURES)}, torch.Generator().manual_seed(0)
    share = (sac.act(seen, generator) == 0.25).all(dim=1).float().mean().item()
    assert share == pytest.approx(epsilon, abs=0.03)
    assert not (sac.act(seen, generator, exploring=False) == 0.25).any()


# Behavior cloning.


def test_cloning_finds_mean_and_deviation_of_what_was_demonstrated():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4000, 3, generator=generator)
    u = 0.5 * features[:, :1] + 0.2 * torch.randn(4000, 1, generator=generator)
    with seeded(0):
        policy = GaussianPolicy(3, 1, (32,))
    clone(
        policy,
        features,
        torch.tanh(u),
        PretrainingConfig(steps=400, feature_noise=0.0, learning_rate=3e-3),
        seed=0,
    )
    told = torch.randn(500, 3, generator=generator)
    mean, std = policy(told)
    assert (mean - 0.5 * told[:, :1]).abs().mean() < 0.04
    assert std.mean().item() == pytest.approx(0.2, abs=0.03)


def test_a_cloned_flow_finds_the_density_of_what_was_demonstrated():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4000, 3, generator=generator)
    action = torch.tanh(0.5 * features[:, :2] + 0.2 * torch.randn(4000, 2, generator=generator))
    with seeded(0):
        flow = ConditionalRealNVP(2, 3, hidden_dims=(32, 32))
    clone_flow(
        flow,
        features,
        action,
        PretrainingConfig(steps=400, feature_noise=0.0, learning_rate=3e-3),
        seed=0,
    )
    told = torch.randn(2000, 3, generator=generator)
    drawn = torch.atanh(
        flow.decode(torch.randn(2000, 2, generator=generator), told).clamp(-0.999, 0.999)
    )
    wrong = drawn - 0.5 * told[:, :2]
    assert wrong.mean().abs() < 0.04
    assert wrong.std().item() == pytest.approx(0.2, abs=0.03)
    assert not any(parameter.requires_grad for parameter in flow.parameters())


def test_cloning_takes_actions_on_the_edge_of_the_box():
    with seeded(0):
        policy = GaussianPolicy(2, 1, (8,))
    clone(policy, torch.randn(50, 2), torch.ones(50, 1), PretrainingConfig(steps=20), seed=0)
    assert all(torch.isfinite(parameter).all() for parameter in policy.parameters())


def test_what_was_trained_once_is_read_again_for_its_own_key_alone(tmp_path):
    calls: list[int] = []

    def train(module: nn.Module) -> None:
        calls.append(1)
        nn.init.constant_(module.weight, float(len(calls)))

    def once(key: str) -> float:
        return train_once(tmp_path / "pretrained.pt", key, nn.Linear(1, 1), train).weight.item()

    assert [once("a"), once("a"), once("b"), once("b")] == [1.0, 1.0, 2.0, 2.0]
    (tmp_path / "pretrained.pt").write_bytes(b"half")
    assert once("b") == 3.0


# A VAE of images.


def test_the_vae_tells_images_apart_by_its_code():
    generator = torch.Generator().manual_seed(0)
    side = torch.randint(0, 2, (300,), generator=generator).bool()
    image = torch.randint(0, 40, (300, 20, 20, 3), generator=generator, dtype=torch.uint8)
    image[side, :, :10] += 180
    image[~side, :, 10:] += 180
    with seeded(0):
        vae = ImageVae(20, 4, code_dim=3)
    before = vae.loss(image, 1.0, torch.Generator().manual_seed(1)).item()
    train_vae(
        vae,
        image,
        torch.randn(300, 4),
        VaeTraining(steps=60, batch_size=32, learning_rate=3e-3, code_dim=3),
        0,
    )
    assert vae.loss(image, 1.0, torch.Generator().manual_seed(1)).item() < 0.3 * before
    features = vae(image, torch.zeros(300, 4))
    assert features.shape == (300, vae.feature_dim) == (300, 7)
    apart = (features[side, :3].mean(dim=0) - features[~side, :3].mean(dim=0)).norm()
    assert apart > 3.0 * features[side, :3].std(dim=0).norm()


# A flow-matching policy, and its steering.


def test_flow_matching_keeps_both_of_two_ways():
    """Demonstrations go left or right; their mean is neither."""
    generator = torch.Generator().manual_seed(0)
    action = 0.6 * (2.0 * torch.randint(0, 2, (2000, 1), generator=generator) - 1.0)
    action = (action + 0.05 * torch.randn(2000, 1, generator=generator)).expand(-1, 2)
    features = torch.randn(2000, 3, generator=generator)
    with seeded(0):
        policy = FlowMatchingPolicy(3, 2, (64, 64), integration_steps=8)
    train_flow_matching(
        policy, features, action, FlowMatchingConfig(steps=500, learning_rate=3e-3), seed=0
    )
    drawn = policy.decode(torch.randn(500, 2, generator=generator), features[:500])[:, 0]
    assert (drawn.abs() > 0.3).float().mean() > 0.8
    assert 0.3 < (drawn > 0).float().mean() < 0.7


def test_steering_starts_as_the_policy_it_steers_and_finds_the_noise_that_pays():
    class Tanh(nn.Module):
        def decode(self, z: Tensor, context: Tensor) -> Tensor:
            with torch.no_grad():  # steering sees no gradient of it
                return torch.tanh(z)

    config = LatentConfig(hidden_width=32, batch_size=64, learning_rate=3e-3, target_kl_per_dim=2.0)
    learner = SteeredSac(Tanh(), FEATURES, STATE, ACTION, config)
    features = torch.randn(20, FEATURES)
    noise = torch.randn(20, ACTION, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        learner.act({"features": features}, torch.Generator().manual_seed(1)), torch.tanh(noise)
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        seen = {
            "features": torch.randn(64, FEATURES, generator=generator),
            "state": torch.zeros(64, STATE),
        }
        action = 2.0 * torch.rand(64, ACTION, generator=generator) - 1.0
        learner.update(Batch(seen, action, (action[:, 0] > 0.3).float(), seen, torch.zeros(64)))
    acted = learner.act({"features": torch.randn(200, FEATURES)}, generator)
    assert (acted[:, 0] > 0.3).float().mean() > 0.85


# Skills.


@pytest.mark.parametrize("closed_loop", [False, True])
def test_skills_tell_demonstrations_again_from_their_latents(closed_loop):
    """Episodes of 7 steps go one of two ways, which their first features do not tell."""
    generator = torch.Generator().manual_seed(0)
    way = 2.0 * torch.randint(0, 2, (120,), generator=generator) - 1.0
    action = (0.7 * way).repeat_interleave(7)[:, None].expand(-1, ACTION).contiguous()
    features = torch.randn(len(action), FEATURES, generator=generator)
    with seeded(0):
        skills = SkillVae(FEATURES, ACTION, horizon=4, closed_loop=closed_loop, width=32)
    config = SkillConfig(steps=250, batch_size=64, learning_rate=3e-3, horizon=4)
    train_skills(skills, features, action, np.arange(7, 841, 7), config, seed=0)
    starts, z = infer_skills(skills, features[:7], action[:7])
    assert starts == [0, 4]
    again = skills.decode(z, features[[0, 4]], 0)
    assert (again - 0.7 * way[0]).abs().max() < 0.25


class CountingEnvironment:
    """Ends with the fifth step, and rewards it."""

    def reset(self, seed: int) -> tuple[dict, dict]:
        self.actions: list[np.ndarray] = []
        return {"step": 0}, {}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        self.actions.append(action)
        ended = len(self.actions) == 5
        return {"step": len(self.actions)}, float(ended), ended, False, {"is_success": ended}


@pytest.mark.parametrize("closed_loop", [False, True])
def test_a_latent_is_carried_out_to_its_end_or_the_episodes(closed_loop):
    def encode(observation: dict) -> Tensor:
        return torch.full((1, FEATURES), float(observation["step"]))

    with seeded(0):
        skills = SkillVae(
            FEATURES, ACTION, horizon=3, closed_loop=closed_loop, width=8
        ).requires_grad_(False)
    bare = CountingEnvironment()
    env = SkillEnvironment(bare, skills, encode)
    env.reset(seed=0)
    z = np.ones(ACTION, dtype=np.float32)
    observation, reward, terminated, _, info = env.step(z)
    assert (observation["step"], reward, terminated, info["env_steps"]) == (3, 0.0, False, 3)
    observation, reward, terminated, _, info = env.step(z)
    assert (observation["step"], reward, terminated, info["env_steps"]) == (5, 1.0, True, 2)
    seen = [0, 1, 2, 3, 4] if closed_loop else [0, 0, 0, 3, 3]
    for step, (action, features) in enumerate(zip(bare.actions, seen, strict=True)):
        expected = skills.decode(torch.ones(1, ACTION), encode({"step": features}), step % 3)
        np.testing.assert_allclose(action, expected[0].numpy(), atol=1e-6)
