"""Demonstrated actions as chunks: the next h actions from every step on, learned as one.

Source: Zhao et al., Learning fine-grained bimanual manipulation with low-cost hardware, RSS 2023.
"""

import numpy as np
from numpy.typing import NDArray

HOLD_NOISE = 0.05


def chunk_targets(
    action: NDArray[np.float32], ends: NDArray[np.int64], chunk: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Collect the chunk of actions that begins at every step.

    Beyond an episode's end the arm holds: no motion, the gripper as it was last. Actions are
    displacements of the tool, so a repeated last action would teach to continue after success, and
    a prior that never saw an end would know no chunk to give near it. Held steps carry noise of
    HOLD_NOISE, because a density on an exact value has no bound.

    Args:
        action: Actions of all episodes, shape (n, a), the gripper's last.
        ends: One past each episode's last step, shape (e,).
        chunk: Actions in a chunk, h.
        seed: Decides the noise.

    Returns:
        Chunks, shape (n, h * a), and whether all of a chunk was demonstrated, shape (n,).
    """
    step = np.arange(len(action))
    lengths = np.diff(ends, prepend=0)
    last = np.repeat(ends - 1, lengths)
    index = step[:, None] + np.arange(chunk)
    beyond = index > last[:, None]
    targets = action[np.minimum(index, last[:, None])]

    held = targets[beyond]
    noise = np.random.default_rng(seed).normal(scale=HOLD_NOISE, size=held.shape)
    motion = noise.astype(action.dtype)[:, :-1]
    targets[beyond] = np.concatenate([motion, held[:, -1:]], axis=1)
    return targets.reshape(len(action), -1), ~beyond[:, -1]
