"""Backlash: the play between a motor, which the encoder sees, and the link, which a camera sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from conure_calibration.results.jackknife import jackknife_variance
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

    everything = np.arange(len(motor_rad))
    width = _best_width(motor_rad, link_rad, everything)
    parts = []
    for block in np.array_split(everything, BLOCKS):
        kept = np.setdiff1d(everything, block)
        parts.append(_best_width(motor_rad, link_rad, kept))
    residual = _unexplained(motor_rad, link_rad, width, everything)
    return Backlash(
        radians=width,
        deviation_rad=float(np.sqrt(jackknife_variance(np.array(parts)))),
        residual_rad=float(np.sqrt((residual**2).mean())),
        observable=_lies_on_both_sides(motor_rad, width),
    )


def _best_width(
    motor_rad: Array,
    link_rad: Array,
    kept: NDArray[np.int64],
) -> float:
    """The play that fits some of the samples best: the best of a grid, then descended."""

    def left(width: float) -> float:
        """The sum of squares that a play leaves."""
        return float((_unexplained(motor_rad, link_rad, width, kept) ** 2).sum())

    widths = np.linspace(0.0, LARGEST_RAD, 41)
    sums = [left(width) for width in widths]
    middle = widths[int(np.argmin(sums))]
    step = widths[1]
    found = minimize_scalar(
        left,
        bounds=(max(middle - step, 0.0), middle + step),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(found.x)


def _unexplained(
    motor_rad: Array,
    link_rad: Array,
    width_rad: float,
    kept: NDArray[np.int64],
) -> Array:
    """What a play leaves of some of the link's angles, up to a constant."""
    errors = link_rad[kept] - play(motor_rad, width_rad)[kept]
    return np.asarray(errors - errors.mean())


def _lies_on_both_sides(motor_rad: Array, width_rad: float) -> bool:
    """Whether the link lies against both sides of a play for long enough to show it."""
    side = play(motor_rad, width_rad) - motor_rad
    above = (side > 0.4 * width_rad).mean()
    below = (side < -0.4 * width_rad).mean()
    return bool(min(above, below) >= LEAST_SHARE)
