"""The flow is exactly invertible, its likelihood is the true one, and it can be precise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nflows.distributions.normal import StandardNormal
from nflows.flows import Flow
from nflows.transforms import (
    AffineCouplingTransform,
    CompositeTransform,
    InverseTransform,
    PointwiseAffineTransform,
    Tanh,
)
from torch import Tensor, nn
from torch.distributions import Normal

from conure_core.errors import ConfigError, SpecMismatch
from conure_training.benchmarks.baselines import (
    PlainConditioner,
    moved_masks,
    scale_and_shift,
    zuko_twin,
)
from conure_training.prior.flow import ACTION_RANGE, ConditionalRealNVP

torch.set_num_threads(1)
CONTEXT_DIM = 6


def random_flow(action_dim: int, seed: int = 0, gain: float = 0.5, **options) -> ConditionalRealNVP:
    """A flow whose last layers are far from the zeros that they start with."""
    torch.manual_seed(seed)
    flow = ConditionalRealNVP(action_dim, CONTEXT_DIM, hidden_dims=(24, 24), **options)
    for module in [
        *(coupling.last for coupling in flow.couplings),
        *([flow.affine] if flow.affine else []),
    ]:
        nn.init.normal_(module.weight, std=gain / math.sqrt(module.in_features))
        nn.init.normal_(module.bias, std=gain)
    return flow.requires_grad_(False)


# --- invertible
# --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(dim=st.integers(1, 9), seed=st.integers(0, 10_000), data=st.data())
def test_every_action_of_the_closed_box_survives_the_inverse_and_back(dim, seed, data):
    value = st.one_of(st.floats(-1, 1, width=32), st.sampled_from([-1.0, 1.0, 0.0]))
    action = torch.tensor(
        data.draw(st.lists(st.lists(value, min_size=dim, max_size=dim), min_size=1, max_size=4))
    )
    flow, context = random_flow(dim, seed), torch.randn(len(action), CONTEXT_DIM)
    z, log_prob = flow.encode_with_log_prob(action, context)
    assert torch.isfinite(z).all() and torch.isfinite(log_prob).all()
    assert (flow.decode(z, context) - action).abs().max() < 1e-4


@settings(max_examples=40, deadline=None)
@given(dim=st.integers(1, 9), seed=st.integers(0, 10_000), couplings=st.integers(1, 5))
def test_every_latent_whose_action_lies_in_the_box_survives_the_way_there_and_back(
    dim, seed, couplings
):
    flow = random_flow(dim, seed, num_couplings=couplings)
    z, context = torch.randn(64, dim), torch.randn(64, CONTEXT_DIM)
    action = flow.decode(z, context)
    inside = (action.abs() <= 1.0).all(-1)
    error = (flow.encode(action, context) - z).abs() / (1.0 + z.abs())
    assert error[inside].numel() == 0 or error[inside].max() < 1e-2
    assert error[inside].numel() == 0 or error[inside].median() < 1e-5


@pytest.mark.parametrize("dim", range(1, 10))
def test_every_dimension_is_moved_by_its_own_latent_and_none_is_left_out(dim):
    flow = random_flow(dim, num_couplings=2, final_affine=False)
    z, context = torch.randn(1, dim), torch.randn(1, CONTEXT_DIM)
    moved = flow.decode(z, context) - ACTION_RANGE * torch.tanh(z)
    assert (moved.abs() > 1e-4).all()


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_one_pass_gives_what_the_separate_methods_give(dim):
    flow = random_flow(dim, gain=0.2).double()
    z, context = 0.5 * torch.randn(16, dim).double(), torch.randn(16, CONTEXT_DIM).double()
    action, forward = flow.decode_with_log_prob(z, context)
    latent, inverse = flow.encode_with_log_prob(action, context)
    torch.testing.assert_close(flow.decode(z, context), action)
    torch.testing.assert_close(flow.encode(action, context), latent)
    torch.testing.assert_close(flow.log_prob(action, context), inverse)
    torch.testing.assert_close(forward, inverse)


# --- the true likelihood
# ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(dim=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_log_prob_is_the_change_of_variables_with_the_jacobian_by_autograd(dim, seed):
    flow = random_flow(dim, seed, gain=0.2).double()
    z, context = 0.5 * torch.randn(1, dim).double(), torch.randn(1, CONTEXT_DIM).double()
    jacobian = torch.autograd.functional.jacobian(
        lambda values: flow.decode(values[None], context)[0], z[0]
    )
    expected = Normal(0.0, 1.0).log_prob(z).sum() - torch.linalg.slogdet(jacobian).logabsdet
    action, log_prob = flow.decode_with_log_prob(z, context)
    torch.testing.assert_close(log_prob[0], expected, rtol=1e-6, atol=1e-6)
    if action.abs().max() <= 1.0:
        torch.testing.assert_close(
            flow.log_prob(action, context)[0], expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(dim):
    flow, cells = random_flow(dim, seed=3, gain=0.3).double(), 2001 if dim == 1 else 401
    flow.affine.bias[:dim] = -1.0
    axis = torch.linspace(-7.0, 7.0, cells, dtype=torch.float64)
    unsquashed = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    context = torch.full((len(unsquashed), CONTEXT_DIM), 0.4).double()
    volume = (ACTION_RANGE * (1 - torch.tanh(unsquashed) ** 2)).prod(-1)
    density = flow.log_prob(ACTION_RANGE * torch.tanh(unsquashed), context).exp() * volume
    for _ in range(dim):
        density = torch.trapezoid(density.reshape(-1, cells), axis, dim=-1)
    assert density.item() == pytest.approx(1.0, abs=1e-3)


def by_zuko(
    flow: ConditionalRealNVP, action: Tensor, z: Tensor, context: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probability of the actions, and the actions that the latents become."""
    twin = zuko_twin(flow, context)
    return twin.log_prob(action), twin.transforms[0](z)


class NflowsCoupling(AffineCouplingTransform):
    """nflows' coupling with our clamp instead of its sigmoid; nflows passes (kept, context) to the
    net.
    """

    def _scale_and_shift(self, transform_params):
        return scale_and_shift(transform_params)


class ContextOnly(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, kept: Tensor, context: Tensor) -> Tensor:
        return self.layer(context)


def by_nflows(
    flow: ConditionalRealNVP, action: Tensor, z: Tensor, context: Tensor
) -> tuple[Tensor, Tensor]:
    """The same, by nflows."""
    couplings = [
        NflowsCoupling(moved.int(), lambda kept, out, index=index: PlainConditioner(flow, index))
        for index, moved in enumerate(moved_masks(flow))
    ]
    affine = NflowsCoupling(torch.ones(flow.action_dim), lambda kept, out: ContextOnly(flow.affine))
    squash = PointwiseAffineTransform(scale=torch.tensor(ACTION_RANGE, dtype=torch.float64))
    decode = CompositeTransform([*couplings, affine, Tanh(), squash])
    whole = Flow(InverseTransform(decode), StandardNormal([flow.action_dim])).to(context.dtype)
    return whole.log_prob(action, context), decode(z, context)[0]


@pytest.mark.parametrize("oracle", [by_zuko, by_nflows])
@pytest.mark.parametrize("dim", [2, 7, 8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_other_libraries_give_the_same_log_prob_and_samples_for_the_same_weights(
    oracle, dim, dtype, tolerance
):
    flow = random_flow(dim, seed=dim).to(dtype)
    action = torch.rand(64, dim).to(dtype) * 2 - 1
    z, context = torch.randn(64, dim).to(dtype), torch.randn(64, CONTEXT_DIM).to(dtype)
    log_prob, sample = oracle(flow, action, z, context)
    torch.testing.assert_close(
        flow.log_prob(action, context), log_prob, rtol=tolerance, atol=tolerance
    )
    torch.testing.assert_close(flow.decode(z, context), sample, rtol=0, atol=tolerance)


# --- how it starts, what it can learn, what it refuses
# ----------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 7])
def test_untrained_flow_is_a_standard_normal_before_the_squash(dim):
    flow = ConditionalRealNVP(dim, CONTEXT_DIM)
    z, context = torch.randn(256, dim), torch.randn(256, CONTEXT_DIM)
    torch.testing.assert_close(flow.decode(z, context), ACTION_RANGE * torch.tanh(z))
    inside = z.clamp(-1.8, 1.8)
    torch.testing.assert_close(
        flow.encode(ACTION_RANGE * torch.tanh(inside), context), inside, rtol=1e-4, atol=1e-5
    )


def excess_nats(sigma: float, steps: int = 900, **options) -> float:
    """How far above its entropy a flow's negative log-likelihood of data a = m(c) + sigma * noise
    ends.
    """
    dim = 8
    torch.manual_seed(0)
    flow, mixing = ConditionalRealNVP(dim, 4, hidden_dims=(64, 64), **options), torch.randn(4, dim)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        context = torch.rand(count, 4) * 2 - 1
        return 0.6 * torch.sin(context @ mixing) + sigma * torch.randn(count, dim), context

    optimizer = torch.optim.Adam(flow.parameters(), 8e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(steps):
        loss = -flow.log_prob(*draw(256)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    entropy = dim * (math.log(sigma) + 0.5 * math.log(2 * math.pi * math.e))
    with torch.no_grad():
        return -flow.log_prob(*draw(4096)).mean().item() - entropy


def test_precise_demonstrations_are_learned_to_within_half_a_nat_where_the_authors_clamp_misses_by_five():
    assert excess_nats(0.03) < 0.5
    assert excess_nats(0.03, log_scale_bound=1.0, final_affine=False) > 5.0


def test_gradients_are_finite_where_the_gripper_sits_at_the_edge_of_the_box():
    flow = random_flow(7).requires_grad_(True)
    action = torch.tensor(
        np.array(np.meshgrid(*[[-1.0, 1.0]] * 7)).reshape(7, -1).T, dtype=torch.float32
    )
    action.requires_grad_(True)
    flow.log_prob(action, torch.randn(len(action), CONTEXT_DIM)).sum().backward()
    gradients = [action.grad, *(parameter.grad for parameter in flow.parameters())]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("beyond", [1.05, -1.05, 1.2, -40.0])
def test_log_prob_stays_finite_beyond_the_range(beyond):
    assert torch.isfinite(
        random_flow(3).log_prob(torch.full((1, 3), beyond), torch.zeros(1, CONTEXT_DIM))
    ).all()


def test_nan_actions_are_not_hidden():
    assert (
        random_flow(3)
        .log_prob(torch.full((1, 3), torch.nan), torch.zeros(1, CONTEXT_DIM))
        .isnan()
        .all()
    )


def test_weights_saved_and_loaded_give_the_same_flow():
    flow, other = random_flow(7, seed=1), random_flow(7, seed=2)
    other.load_state_dict(flow.state_dict())
    z, context = torch.randn(4, 7), torch.randn(4, CONTEXT_DIM)
    assert torch.equal(flow.decode(z, context), other.decode(z, context))


@pytest.mark.parametrize("shape", [(5, 6), (4, 7), (7,)])
def test_wrong_shapes_are_refused_by_name(shape):
    with pytest.raises(SpecMismatch, match=r"\(batch, 7\).*got"):
        random_flow(7).log_prob(torch.zeros(shape), torch.zeros(5, CONTEXT_DIM))


@pytest.mark.parametrize(
    "sizes", [(0, 4, 4, (8,)), (7, 0, 4, (8,)), (7, 4, 0, (8,)), (7, 4, 4, ())]
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ConfigError, match="at least 1"):
        ConditionalRealNVP(*sizes)


def test_the_example_in_the_docstring_runs():
    import doctest

    import conure_training.prior.flow as module

    assert doctest.testmod(module, extraglobs={"torch": torch}).failed == 0
