"""Backlash: the play between a motor, which the encoder sees, and the link, which a camera sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from conure_core.types import Array

LARGEST_RAD = np.radians(5.0)
LEAST_SHARE = 0.1
"""Of the time that the link must lie against each side, for the play to show."""
BLOCKS = 6


@dataclass(frozen=True)
class Backlash:
    """The play of a gear."""

    radians: float
    """From one side to the other."""
    deviation_rad: float
    residual_rad: float
    """Root mean square of what the play leaves."""
    observable: bool
    """Whether the link lay against both sides; a load from one side hides the play."""


def play(motor_rad: Array, width_rad: float) -> Array:
    """Let a link follow a motor with play, friction holding it in between.

    Args:
        motor_rad: Shape (n,).
        width_rad: From one side to the other.

    Returns:
        The link's angles, shape (n,), beginning in the middle of the play.
    """
    half = width_rad / 2
    link = float(motor_rad[0])
    angles = []
    for motor in motor_rad.tolist():
        link = min(max(link, motor - half), motor + half)
        angles.append(link)
    return np.array(angles)


def fit_backlash(motor_rad: Array, link_rad: Array) -> Backlash:
    """Estimate the play.

    Args:
        motor_rad: The encoder's angles, shape (n,).
        link_rad: The link's angles at the same times, up to a constant, shape (n,).
    """

    def left(width: float, kept: NDArray[np.int64]) -> Array:
        errors = link_rad[kept] - play(motor_rad, width)[kept]
        return np.asarray(errors - errors.mean())

    def best(kept: NDArray[np.int64]) -> float:
        widths = np.linspace(0.0, LARGEST_RAD, 41)
        sums = [float((left(width, kept) ** 2).sum()) for width in widths]
        middle = widths[int(np.argmin(sums))]
        step = widths[1]
        found = minimize_scalar(
            lambda width: float((left(width, kept) ** 2).sum()),
            bounds=(max(middle - step, 0.0), middle + step),
            method="bounded",
            options={"xatol": 1e-6},
        )
        return float(found.x)

    everything = np.arange(len(motor_rad))
    width = best(everything)
    parts = [best(np.setdiff1d(everything, block)) for block in np.array_split(everything, BLOCKS)]
    deviation = np.sqrt((BLOCKS - 1) / BLOCKS * ((np.array(parts) - np.mean(parts)) ** 2).sum())
    side = play(motor_rad, width) - motor_rad
    shares = [(side > 0.4 * width).mean(), (side < -0.4 * width).mean()]
    residual = left(width, everything)
    return Backlash(
        width,
        float(deviation),
        float(np.sqrt((residual**2).mean())),
        bool(min(shares) >= LEAST_SHARE),
    )
