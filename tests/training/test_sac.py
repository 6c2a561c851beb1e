import io
from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from conure_core.errors import DataError, SpecMismatch
from conure_training.nn.gaussian_policy import tanh_normal_log_prob
from conure_training.rl.methods.scratch import Sac, ScratchConfig
from conure_training.rl.replay import Batch, Episode, Field, Replay, ReplayConfig

SIZE, PROPRIO, STATE, ACTION = 12, 3, 4, 2
SMALL = ScratchConfig(hidden_width=32, batch_size=32, image_features=16)


def learner(config: ScratchConfig = SMALL, seed: int = 0) -> Sac:
    return Sac(SIZE, PROPRIO, STATE, ACTION, config, seed)


def random_batch(size: int = 32, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def observation() -> dict[str, torch.Tensor]:
        return {
            "image": torch.randint(
                0, 256, (size, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8
            ),
            "proprio": torch.randn(size, PROPRIO, generator=generator),
            "state": torch.randn(size, STATE, generator=generator),
        }

    action = torch.randn(size, ACTION, generator=generator).tanh()
    return Batch(
        observation(),
        action,
        torch.rand(size, generator=generator),
        observation(),
        torch.full((size,), 0.97),
    )


def test_log_prob_agrees_with_torch_distributions():
    mean, std, noise = (
        torch.randn(60, ACTION),
        torch.rand(60, ACTION) + 0.2,
        torch.randn(60, ACTION),
    )
    u = (mean + std * noise).double()
    squashed = TransformedDistribution(
        Independent(Normal(mean.double(), std.double()), 1), [TanhTransform(cache_size=1)]
    )
    expected = squashed.log_prob(squashed.transforms[0](u))  # the cache spares it the inverse
    assert torch.allclose(
        tanh_normal_log_prob(u, noise.double(), std.double()), expected, atol=1e-5
    )


def test_log_prob_is_finite_far_outside_the_box():
    u = torch.tensor([[40.0, -40.0]])
    assert torch.isfinite(tanh_normal_log_prob(u, torch.zeros(1, 2), torch.ones(1, 2))).all()


def test_actions_lie_in_the_box_and_start_as_tanh_of_the_noise():
    batch = random_batch(50)
    noise = torch.randn(50, ACTION, generator=torch.Generator().manual_seed(4))
    action = learner().act(batch.observation, torch.Generator().manual_seed(4))
    assert torch.equal(action, torch.tanh(noise))
    assert (action.abs() <= 1).all()


def test_alpha_steers_the_entropy_to_its_target():
    sac = learner(replace(SMALL, learning_rate=1e-3, alpha_learning_rate=2e-2))
    batch = random_batch()
    costs = [sac._update_actor(batch)["cost_nats"] for _ in range(500)]
    assert sum(costs[-100:]) / 100 == pytest.approx(-SMALL.target_entropy_per_dim * ACTION, abs=0.4)


def test_a_resumed_learner_repeats_the_uninterrupted_one_bit_by_bit():
    original = learner(seed=1)
    for seed in range(8):
        original.update(random_batch(seed=seed))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    resumed = learner(seed=2)
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for seed in range(8, 16):
        assert original.update(random_batch(seed=seed)) == resumed.update(random_batch(seed=seed))
    for name, value in original.policy.state_dict().items():
        assert torch.equal(value, resumed.policy.state_dict()[name])


def test_a_checkpoint_of_another_image_size_is_refused():
    with pytest.raises(SpecMismatch, match="does not fit this Sac"):
        Sac(3 * SIZE, PROPRIO, STATE, ACTION, SMALL).load_state_dict(learner().state_dict())


def test_a_batch_that_is_not_finite_is_refused():
    sac, batch = learner(), random_batch()
    before = [p.clone() for p in sac.policy.parameters()]
    batch.observation["proprio"][0, 0] = float("nan")
    with pytest.raises(DataError, match="proprio in the batch is not finite"):
        sac.update(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, sac.policy.parameters(), strict=True))


def test_sac_learns_from_pixels_where_the_reward_is_easy():
    """One step an episode: the action is to point to the bright side, which only the image shows to
    the actor.
    """
    generator = torch.Generator().manual_seed(0)
    fields = {
        "image": Field((SIZE, SIZE, 3), torch.uint8),
        "proprio": Field((PROPRIO,)),
        "state": Field((1,)),
    }
    replay = Replay(fields, 1, ReplayConfig(4000))

    def scene(rows: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        side = torch.randint(0, 2, (rows,), generator=generator) * 2.0 - 1.0
        image = torch.randint(0, 60, (rows, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
        image[:, :, : SIZE // 2] += (120 * (side < 0)).to(torch.uint8)[:, None, None, None]
        image[:, :, SIZE // 2 :] += (120 * (side > 0)).to(torch.uint8)[:, None, None, None]
        return side, {"image": image, "proprio": torch.zeros(rows, PROPRIO), "state": side[:, None]}

    side, seen = scene(1000)
    action = torch.rand(1000, 1, generator=generator) * 2.0 - 1.0
    for i in range(1000):
        pair = {name: value[i].expand(2, *value.shape[1:]) for name, value in seen.items()}
        replay.add(
            Episode(pair, action[i : i + 1], (side * action[:, 0])[i : i + 1], terminated=True)
        )
    sac = Sac(SIZE, PROPRIO, 1, 1, replace(SMALL, batch_size=64, learning_rate=1e-3), seed=0)
    for _ in range(400):
        sac.update(replay.sample(64, sac.generator))
    side, seen = scene(200)
    chosen = sac.act(seen, generator, deterministic=True)[:, 0]
    assert ((chosen * side) > 0.5).float().mean() > 0.95
