"""Prior and policy as they run on a robot: one graph, in float64 (see nn.float64).

Inputs and outputs stay float32.
"""

import math

from torch import Tensor, nn

from conure_training.nn.float64 import in_float64
from conure_training.nn.gaussian_policy import bounded_radially
from conure_training.prior.flow import ConditionalRealNVP


class PolicyGraph(nn.Module):
    """(image, proprio, noise) -> (action, z, log-likelihood): z = mean + std * noise, a = f(z;
    features).

    z is bounded if the policy is. Without a policy z is the noise: the prior itself. The action is
    clipped to the box that the contract promises. Made of copies: the modules that it is given keep
    their device, mode and type. They compute in the type of their floating-point inputs.
    """

    def __init__(
        self, encoder: nn.Module, flow: ConditionalRealNVP, policy: nn.Module | None
    ) -> None:
        super().__init__()
        self.encoder, self.flow = in_float64(encoder), in_float64(flow)
        self.policy = None if policy is None else in_float64(policy)

    def forward(
        self, image: Tensor, proprio: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of (B, H, W, 3) uint8, (B, P) and (B, A) float32: (B, A), (B, A) and (B,) float32."""
        features = self.encoder(image, proprio.double())
        z = noise.double()
        if self.policy is not None:
            mean, std = self.policy(features)
            z = bounded_radially(mean + std * z, getattr(self.policy, "radius", math.inf))
        action, log_likelihood = self.flow.decode_with_log_prob(z, features)
        return action.clamp(-1.0, 1.0).float(), z.float(), log_likelihood.float()


class InverseGraph(nn.Module):
    """(image, proprio, action) -> (z, log-likelihood), of a PolicyGraph's encoder and flow."""

    def __init__(self, graph: PolicyGraph) -> None:
        super().__init__()
        self.encoder, self.flow = graph.encoder, graph.flow

    def forward(self, image: Tensor, proprio: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Of (B, H, W, 3) uint8, (B, P) and (B, A) float32: (B, A) and (B,) float32."""
        z, log_likelihood = self.flow.encode_with_log_prob(
            action.double(), self.encoder(image, proprio.double())
        )
        return z.float(), log_likelihood.float()
