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
    """Maximise log N(u; mean(features), std(features)^2), u = atanh(a), and freeze the policy.

    That is the likelihood of a = tanh(u), whose Jacobian does not depend on the policy. The
    policy's input scales are fitted first.

    Args:
        policy: The policy to train, in place.
        features: Shape (n, F).
        action: Shape (n, A), in [-1, 1]; clipped to +-EDGE.
        config: Steps, rate and noise of the training.
        seed: Of batches and noise.

    Raises:
        DataError: The loss is not finite.

    Source: Pomerleau, ALVINN, NeurIPS 1988; the likelihood as in SAC's policy, arXiv 1812.05905,
    appendix C.
    """
    policy.fit_normalizers(features)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        noisy = with_noise(features[rows], config.feature_noise, generator)
        return negative_log_likelihood(policy, noisy, action[rows]).mean()

    pretrain("behavior cloning", policy, loss, len(features), config, seed)


def negative_log_likelihood(policy: GaussianPolicy, features: Tensor, action: Tensor) -> Tensor:
    """Compute -log N(u; mean(features), std(features)^2), u = atanh(a), up to a constant.

    Args:
        policy: The policy.
        features: Shape (B, F).
        action: Shape (B, A), in [-1, 1]; clipped to +-EDGE.

    Returns:
        Nats, shape (B,).
    """
    unsquashed = torch.atanh(action.clamp(-EDGE, EDGE))
    mean, std = policy(features)
    error = (unsquashed - mean) / std
    nll = 0.5 * error.square() + std.log()
    return nll.sum(dim=-1)


def clone_flow(
    flow: ConditionalRealNVP, features: Tensor, action: Tensor, config: PretrainingConfig, seed: int
) -> None:
    """Maximise log p(action | features), and freeze the flow: a prior of these demonstrations.

    Args:
        flow: The flow to train, in place.
        features: Its context, shape (n, F).
        action: Shape (n, A), in [-1, 1].
        config: Steps, rate and noise of the training.
        seed: Of batches and noise.

    Raises:
        DataError: The loss is not finite.
    """

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return flow_loss(flow, features[rows], action[rows], config.feature_noise, generator)

    pretrain("behavior cloning, a flow", flow, loss, len(features), config, seed)


def clone_once(
    features: Features, policy: GaussianPolicy, cloning: PretrainingConfig
) -> GaussianPolicy:
    """Clone all demonstrations of the run; a resumed run finds the policy as it was.

    Args:
        features: The run's features and demonstrations.
        policy: An untrained policy on them; trained in place.
        cloning: Steps, rate and noise of the training.

    Returns:
        The policy, frozen.
    """

    def train(module: GaussianPolicy) -> None:
        seen, done = features.demonstrated_features, features.demonstrated_actions
        clone(module, seen, done, cloning, features.config.seed)

    return features.train_once(policy, train)
