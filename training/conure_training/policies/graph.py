"""Prior and policy as they run on a robot: one graph, in float64 (see nn.float64).

Inputs and outputs stay float32.
"""

from torch import Tensor, nn

from conure_training.nn.float64 import in_float64
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.module import PolicyModule, PriorModule
from conure_training.policies.recurrent import RecurrentGraph
from conure_training.prior.flow import ConditionalRealNVP


class PolicyGraph(nn.Module):
    """z = mean + std * noise, bounded if the policy is; a = f(z; features).

    Without a policy z is the noise: the prior itself. The action is clipped to the contract's box.
    The graph is made of copies: the given modules keep their device, mode and dtype. They compute
    in the dtype of their floating-point inputs.
    """

    memory_size = 0
    """Values that it remembers; only a RecurrentGraph has some."""
    has_prior = True
    """Whether it gives z and a log-likelihood, and has encoder and flow to invert an action."""

    def __init__(
        self, encoder: nn.Module, flow: ConditionalRealNVP, policy: GaussianPolicy | None
    ) -> None:
        """Copy the modules in float64.

        Args:
            encoder: (image, proprio) to features (B, F).
            flow: z (B, A) and features to actions.
            policy: Draws z for features; None: the prior alone.
        """
        super().__init__()
        self.encoder = in_float64(encoder)
        self.flow = in_float64(flow)
        self.policy = None if policy is None else in_float64(policy)

    @property
    def action_dim(self) -> int:
        """Values of an action, A."""
        return self.flow.action_dim

    def forward(
        self, image: Tensor, proprio: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decide.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P), float32.
            noise: Shape (B, A), float32: standard normal to sample, zeros for the mean.

        Returns:
            Actions in [-1, 1], shape (B, A), z, shape (B, A), and the actions' log-likelihood under
            the prior, shape (B,), nats; all float32.
        """
        features = self.encoder(image, proprio.double())
        z = noise.double()
        if self.policy is not None:
            z = self.policy.draw(features, z)
        action, log_likelihood = self.flow.decode_with_log_prob(z, features)
        return action.clamp(-1.0, 1.0).float(), z.float(), log_likelihood.float()


class PriorModuleGraph(PolicyGraph):
    """a = decide(features, noise), clipped; z and the log-likelihood are what the prior says of a.

    For policies whose actions are no flow's alone, but that have a prior's features.
    """

    def __init__(self, module: PriorModule) -> None:
        """Copy the module, with its prior, in float64."""
        nn.Module.__init__(self)
        self.module = in_float64(module)
        self.encoder = self.module.prior.encoder
        self.flow = self.module.prior.flow

    def forward(
        self, image: Tensor, proprio: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        features = self.encoder(image, proprio.double())
        decided = self.module.decide_from(image, proprio.double(), features, noise.double())
        action = decided.clamp(-1.0, 1.0)
        z, log_likelihood = self.flow.encode_with_log_prob(action, features)
        return action.float(), z.float(), log_likelihood.float()


class ModuleGraph(RecurrentGraph):
    """a = module(image, proprio, noise), clipped; for policies that have no prior and no memory."""

    def __init__(self, module: PolicyModule, action_dim: int) -> None:
        """Copy the module in float64.

        Args:
            module: Acts.
            action_dim: Values of an action, A.
        """
        super().__init__(None, action_dim)
        self.module = in_float64(module)

    def forward(
        self, image: Tensor, proprio: Tensor, noise: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        action = self.module(image, proprio.double(), noise.double())
        return (action.clamp(-1.0, 1.0).float(),)


ActingGraph = PolicyGraph | RecurrentGraph
"""What a bundle is made of."""


class InverseGraph(nn.Module):
    """z = f^-1(a; features), by the encoder and flow of a graph that has a prior."""

    def __init__(self, graph: ActingGraph) -> None:
        super().__init__()
        self.encoder = graph.encoder
        self.flow = graph.flow

    def forward(self, image: Tensor, proprio: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Invert.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P), float32.
            action: In [-1, 1], shape (B, A), float32.

        Returns:
            z, shape (B, A), and the actions' log-likelihood, shape (B,), nats; both float32.
        """
        features = self.encoder(image, proprio.double())
        z, log_likelihood = self.flow.encode_with_log_prob(action.double(), features)
        return z.float(), log_likelihood.float()
