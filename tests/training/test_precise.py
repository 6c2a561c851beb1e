"""What runs on a robot is what was trained, in float64."""

import pytest
import torch
from torch import nn

from conure_core.robot.description import load_robot
from conure_training.nn.float64 import MatrixConv2d, in_float64
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.graph import InverseGraph, PolicyGraph
from conure_training.prior.model import Prior, PriorSize

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(5, 2, 2), (3, 1, 1), (1, 1, 0), ((3, 2), (1, 3), (0, 2))]
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_as_a_matrix_product_is_the_same_convolution(
    kernel, stride, padding, bias
) -> None:
    convolution = nn.Conv2d(3, 4, kernel, stride, padding, bias=bias).double()
    x = torch.randn(2, 3, 11, 9, dtype=torch.float64)
    torch.testing.assert_close(MatrixConv2d(convolution)(x), convolution(x), rtol=1e-12, atol=1e-12)


def policy_modules() -> tuple[Prior, GaussianPolicy]:
    torch.manual_seed(0)
    prior = Prior(load_robot("wx250s").contract(48), PriorSize(hidden=(16, 16)))
    policy = GaussianPolicy(prior.encoder.feature_dim, prior.action_dim, (16,), slots=3)
    for layer in (
        prior.flow.affine,
        *(coupling.last for coupling in prior.flow.couplings),
        policy.trunk[-1],
    ):
        nn.init.normal_(layer.weight, std=0.1)
    return prior, policy


def test_the_graph_computes_what_was_trained_and_leaves_it_as_it_was() -> None:
    prior, policy = policy_modules()
    image = torch.randint(0, 256, (5, 48, 48, 3), dtype=torch.uint8)
    proprio, noise = torch.randn(5, 16), torch.randn(5, 7)
    graph = PolicyGraph(prior.encoder, prior.flow, policy)
    action, z, log_likelihood = graph(image, proprio, noise)
    with torch.no_grad():
        features = prior.encoder(image, proprio)
        mean, std = policy(features)
        wanted = prior.flow.decode_with_log_prob(mean + std * noise, features)
    torch.testing.assert_close(z, mean + std * noise, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(action, wanted[0].clamp(-1, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_likelihood, wanted[1], atol=1e-2, rtol=1e-3)
    inverse_z, inverse_log_likelihood = InverseGraph(graph)(image, proprio, action)
    inside = (action.abs() < 0.99).all(dim=1)
    torch.testing.assert_close(inverse_z[inside], z[inside], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        inverse_log_likelihood[inside], log_likelihood[inside], atol=1e-3, rtol=1e-3
    )
    for module in (prior, policy):
        assert all(
            parameter.dtype == torch.float32 and parameter.requires_grad
            for parameter in module.parameters()
        )
        assert module.training


def test_everything_in_the_copy_is_float64_and_frozen() -> None:
    copy = in_float64(policy_modules()[0])
    tensors = [*copy.parameters(), *copy.buffers()]
    assert all(tensor.dtype == torch.float64 for tensor in tensors if tensor.is_floating_point())
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert not copy.training
