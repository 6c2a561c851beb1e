"""Demonstrated actions as chunks: the next h actions from every step on, which a prior learns as
one.

Source: Zhao et al., Learning fine-grained bimanual manipulation with low-cost hardware, RSS 2023.
"""

import numpy as np
from numpy.typing import NDArray

HOLD_NOISE = 0.05


def chunk_targets(
    action: NDArray[np.float32], ends: NDArray[np.int64], chunk: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The `chunk` actions from every step on, (n, chunk * a), of actions (n, a); and where all were
    demonstrated, (n,).

    Beyond an episode's end the arm holds: no motion, the gripper as it was last. Actions are steps
    of the tool, so that the last one repeated would teach to go on after success, and a prior that
    never saw an end would know no chunk to give near it. Held steps carry noise of HOLD_NOISE, for
    a density on an exact value has no bound.
    """
    step, last = np.arange(len(action)), np.repeat(ends - 1, np.diff(ends, prepend=0))
    index = step[:, None] + np.arange(chunk)
    beyond = index > last[:, None]
    targets = action[np.minimum(index, last[:, None])]
    noise = (
        np.random.default_rng(seed)
        .normal(scale=HOLD_NOISE, size=targets[beyond].shape)
        .astype(action.dtype)
    )
    targets[beyond] = np.concatenate([noise[:, :-1], targets[beyond][:, -1:]], axis=1)
    return targets.reshape(len(action), -1), ~beyond[:, -1]
