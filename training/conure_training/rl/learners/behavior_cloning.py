"""Behavior cloning: a Gaussian policy or a flow by maximum likelihood on demonstrations."""

import torch
from torch import Tensor

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.prior.flow import ConditionalRealNVP, flow_loss, with_noise
from conure_training.rl.learners.pretraining import PretrainingConfig, pretrain
from conure_training.rl.prior_features import Features

EDGE = 0.98
"""Demonstrated actions are clipped to this: tanh reaches 1 nowhere, and a gripper's actions are
exactly 1.
"""


def clone(
    policy: GaussianPolicy, features: Tensor, action: Tensor, config: PretrainingConfig, seed: int
) -> None:
    """Maximise log N(u; mean(features), std(features)^2), u = atanh(a), over (features (n, F), a
    (n, A)).

    That is the likelihood of a = tanh(u), whose Jacobian does not depend on the policy. Leaves it
    frozen, input scales fitted. Source: Pomerleau, ALVINN, NeurIPS 1988; the likelihood as in SAC's
    policy, arXiv 1812.05905.
    """
    policy.fit_normalizers(features)
    unsquashed = torch.atanh(action.clamp(-EDGE, EDGE))

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = policy(with_noise(features[rows], config.feature_noise, generator))
        return (0.5 * ((unsquashed[rows] - mean) / std).square() + std.log()).sum(dim=-1).mean()

    pretrain("behavior cloning", policy, loss, len(features), config, seed)


def clone_flow(
    flow: ConditionalRealNVP, features: Tensor, action: Tensor, config: PretrainingConfig, seed: int
) -> None:
    """Maximise log p(action | features), (n, A) and (n, F), and freeze the flow: a prior of these
    demonstrations.
    """

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return flow_loss(flow, features[rows], action[rows], config.feature_noise, generator)

    pretrain("behavior cloning, a flow", flow, loss, len(features), config, seed)


def clone_once(
    features: Features, policy: GaussianPolicy, cloning: PretrainingConfig
) -> GaussianPolicy:
    """The policy, cloned from all demonstrations of the run; a resumed run finds it as it was."""

    def train(module: GaussianPolicy) -> None:
        seen, done = features.demonstrated_features, features.demonstrated_actions
        clone(module, seen, done, cloning, features.config.seed)

    return features.trained_once(policy, train)
