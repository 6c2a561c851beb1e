import torch
from hypothesis import given
from hypothesis import strategies as st

from conure_training.nn.critic_ensemble import CriticEnsemble
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.image_encoder import SmallImageEncoder
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded


@given(st.integers(0, 2**32), st.floats(0, 1e6), st.integers(1, 9))
def test_an_untrained_policy_is_the_standard_normal_exactly_everywhere(seed, scale, action_dim):
    with seeded(seed):
        policy = GaussianPolicy(11, action_dim)
        mean, std = policy(scale * torch.randn(5, 11))
    assert torch.equal(mean, torch.zeros(5, action_dim))
    assert torch.equal(std, torch.ones(5, action_dim))


def test_an_untrained_policy_can_leave_the_standard_normal():
    policy = GaussianPolicy(11, 2)
    mean, std = policy(torch.randn(5, 11))
    (mean.sum() + std.sum()).backward()
    assert (policy.trunk[-1].weight.grad.abs().amax(dim=1) > 0).all()


def test_deviation_stays_finite_and_positive_for_any_weights():
    policy = GaussianPolicy(3, 2)
    torch.nn.init.constant_(policy.trunk[-1].bias, 1e6)
    high = policy(torch.zeros(1, 3))[1]
    torch.nn.init.constant_(policy.trunk[-1].bias, -1e6)
    low = policy(torch.zeros(1, 3))[1]
    assert torch.isfinite(high).all()
    assert (low > 0.01).all()


def test_normalizer_gives_zero_mean_unit_deviation_and_keeps_constants_finite():
    rows = torch.randn(1000, 3) * torch.tensor([0.02, 5.0, 0.0]) + torch.tensor([0.3, -2.0, 0.7])
    normalize = Normalizer(3)
    normalize.fit(rows)
    out = normalize(rows)
    assert torch.allclose(out.mean(dim=0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(out.std(dim=0)[:2], torch.ones(2), atol=0.01)
    assert normalize(torch.full((1, 3), 1e9)).abs().max() == Normalizer.CLIP


def test_critics_differ_and_each_depends_on_state_and_action():
    critics = CriticEnsemble(4, 2, (16, 16), size=3)
    state, action = torch.randn(6, 4, requires_grad=True), torch.randn(6, 2, requires_grad=True)
    q = critics(state, action)
    assert q.shape == (3, 6)
    assert not torch.allclose(q[0], q[1])
    for member in q:
        for gradient in torch.autograd.grad(member.sum(), (state, action), retain_graph=True):
            assert gradient.abs().sum() > 0


def test_image_encoder_takes_any_size_and_sees_every_corner():
    for height_px, width_px in ((48, 48), (16, 16), (30, 41)):
        encoder = SmallImageEncoder(height_px, width_px, out_dim=8)
        image = torch.full((1, height_px, width_px, 3), 128, dtype=torch.uint8)
        plain = encoder(image)
        assert plain.shape == (1, 8)
        for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            marked = image.clone()
            marked[0, y, x] = 255
            assert not torch.equal(encoder(marked), plain)


def test_seeded_weights_repeat_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    with seeded(3):
        first = torch.randn(4)
    with seeded(3):
        second = torch.randn(4)
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_policy_without_slots_loads_from_files_that_hold_a_slot_s_scale():
    policy, slotted = GaussianPolicy(11, 2), GaussianPolicy(11, 2, slots=1)
    assert not any("slot" in name for name in policy.state_dict())
    idle = {
        name: value
        for name, value in slotted.state_dict().items()
        if name.startswith("normalize_slot.")
    }
    assert idle
    GaussianPolicy(11, 2).load_state_dict({**policy.state_dict(), **idle})
    again = GaussianPolicy(11, 2, slots=1)
    slotted.fit_normalizers(torch.randn(9, 11))
    again.load_state_dict(slotted.state_dict())
    assert torch.equal(again.normalize_slot.mean, slotted.normalize_slot.mean)
