"""The parts of the loss, each (B,), before importance weights.

    J(Q) = J_DQ(Q) + lambda_1 J_n(Q) + lambda_2 J_E(Q) + lambda_3 J_L2(Q)

Source: Hester et al., Deep Q-learning from Demonstrations, arXiv 1704.03732, section 4.
"""

import torch
from torch import Tensor


@torch.no_grad()
def double_target(
    reward: Tensor,
    discount: Tensor,
    next_q: Tensor,
    next_q_target: Tensor,
) -> Tensor:
    """Compute r + discount * Q'(s', argmax_a Q(s', a)): the present network chooses, the target
    network judges.

    Args:
        reward: Sum of discounted rewards until s', (B,).
        discount: gamma to the steps until s', 0 after the end, (B,).
        next_q: Q(s', .), (B, A).
        next_q_target: Q'(s', .), (B, A).

    Returns:
        Shape (B,).

    Source: van Hasselt et al., Deep RL with Double Q-learning, arXiv 1509.06461.
    """
    chosen = next_q.argmax(dim=1, keepdim=True)
    return reward + discount * next_q_target.gather(1, chosen)[:, 0]


def value_of(q: Tensor, action: Tensor) -> Tensor:
    """Pick Q(s, a).

    Args:
        q: Shape (B, A).
        action: Numbers of actions, (B,).

    Returns:
        Shape (B,).
    """
    return q.gather(1, action[:, None])[:, 0]


def margin_loss(q: Tensor, action: Tensor, demonstrated: Tensor, margin: float) -> Tensor:
    """J_E = max_a [Q(s, a) + margin * (a != a_E)] - Q(s, a_E), on demonstrations.

    Args:
        q: Shape (B, A).
        action: Numbers of the actions that were done, (B,).
        demonstrated: Whether these are a_E, bool, (B,).
        margin: By which a_E is to be ahead.

    Returns:
        Shape (B,), 0 where nothing was demonstrated.

    Source: Piot et al., Boosted Bellman Residual Minimization Handling Expert Demonstrations,
    ECML 2014.
    """
    raised = (q + margin).scatter(1, action[:, None], value_of(q, action)[:, None])
    return (raised.amax(dim=1) - value_of(q, action)) * demonstrated


def cross_entropy_loss(q: Tensor, action: Tensor, demonstrated: Tensor) -> Tensor:
    """-log softmax(Q(s, .))[a_E], on demonstrations.

    Args:
        q: Shape (B, A), taken as logits.
        action: Numbers of the actions that were done, (B,).
        demonstrated: Whether these are a_E, bool, (B,).

    Returns:
        Shape (B,), 0 where nothing was demonstrated.
    """
    return (q.logsumexp(dim=1) - value_of(q, action)) * demonstrated


def importance_weights(density: Tensor, beta: float) -> Tensor:
    """(N P(i))^-beta, divided by the largest of the batch.

    Args:
        density: N P(i), (B,).
        beta: 1 corrects the sampling wholly, 0 not at all.

    Returns:
        Shape (B,), in (0, 1].

    Source: Schaul et al., Prioritized Experience Replay, arXiv 1511.05952, section 3.4.
    """
    weights = density.pow(-beta)
    return weights / weights.max()
