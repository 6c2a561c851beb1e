import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conure_training.nn.gaussian_policy import KNEE, GaussianPolicy, bound_radially
from conure_training.prior.latent_bound import chi_square_radius, reachable_fraction


@given(st.integers(1, 9), st.floats(0.1, 5.0), st.floats(0.0, 100.0), st.integers(0, 2**31))
def test_nothing_is_longer_than_the_radius_and_nothing_turns(dim, radius, scale, seed):
    z = scale * torch.randn(
        20, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    bounded = bound_radially(z, radius)
    assert (bounded.norm(dim=1) <= radius * (1 + 1e-12)).all()
    cosine = torch.nn.functional.cosine_similarity(z, bounded, dim=1)
    assert ((cosine - 1).abs() < 1e-6)[z.norm(dim=1) > 1e-6].all()


def test_inside_the_knee_z_and_its_gradient_are_untouched_and_the_knee_is_smooth():
    radius = 3.0
    inside = (
        KNEE * radius * 0.999 * torch.nn.functional.normalize(torch.randn(50, 7), dim=1)
    ).requires_grad_()
    bounded = bound_radially(inside, radius)
    assert torch.allclose(bounded, inside, atol=1e-6)
    bounded.sum().backward()
    assert torch.allclose(inside.grad, torch.ones(50, 7), atol=1e-5)
    beyond = torch.tensor([[KNEE * radius + 1e-4]], dtype=torch.float64, requires_grad=True)
    bound_radially(beyond, radius).backward()
    assert beyond.grad.item() == pytest.approx(1.0, abs=1e-3)


def test_longer_stays_longer():
    z = torch.linspace(0.01, 20, 500, dtype=torch.float64)[:, None]
    assert (bound_radially(z, 2.0).diff(dim=0) >= -1e-12).all()


def test_without_a_bound_nothing_happens():
    assert chi_square_radius(1.0, 7) == math.inf
    z = 1e6 * torch.randn(3, 7)
    assert bound_radially(z, math.inf) is z


@pytest.mark.parametrize(("quantile", "dim"), [(0.5, 2), (0.9, 7), (0.99, 7)])
def test_that_share_of_the_base_distribution_lies_in_the_radius(quantile, dim):
    z = torch.randn(100_000, dim, generator=torch.Generator().manual_seed(0))
    inside = (z.norm(dim=1) <= chi_square_radius(quantile, dim)).float().mean().item()
    assert inside == pytest.approx(quantile, abs=0.006)


def test_a_bounded_policy_draws_within_its_bound():
    policy = GaussianPolicy(4, 3, radius=1.5)
    drawn = policy.draw(torch.randn(500, 4), 10.0 * torch.randn(500, 3))
    assert drawn.norm(dim=1).max() <= 1.5 + 1e-6


def test_the_reachable_fraction_of_a_known_flow_is_the_area_of_its_circle():
    class Tripled:
        def encode(self, action: Tensor, context: Tensor) -> Tensor:
            return 3.0 * action

    found = reachable_fraction(Tripled(), torch.zeros(50_000, 1), 2, radius=1.5)
    assert found == pytest.approx(math.pi * 0.25 / 4.0, abs=0.006)
