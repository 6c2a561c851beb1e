"""Generalized advantage estimation.

    delta_t = r_t + gamma V(s_{t+1}) - V(s_t)
    A_t = delta_t + gamma lambda A_{t+1},     A_T = 0

Source: Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage Estimation,
arXiv 1506.02438.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def estimate_advantages(
    reward: Array, value: Array, terminated: bool, gamma: float, lam: float
) -> Array:
    """Estimate the advantages of one episode's actions.

    Every episode is estimated alone, so that nothing leaks from one into another.

    Args:
        reward: Of each action, shape (T,).
        value: V of the observation before each action and after the last, shape (T + 1,).
        terminated: True where the last observation has no future: its value counts as 0. False
            where the episode was only cut off: it is bootstrapped from.
        gamma: Discount of a step.
        lam: Weight of longer estimates; 0: one step, 1: the whole episode.

    Returns:
        A, shape (T,). A + value[:-1] are the targets of the value function.
    """
    following = value[1:].copy()
    if terminated:
        following[-1] = 0.0
    delta = reward + gamma * following - value[:-1]

    advantage = np.zeros_like(delta)
    later = 0.0
    for step in reversed(range(len(delta))):
        later = delta[step] + gamma * lam * later
        advantage[step] = later
    return advantage
