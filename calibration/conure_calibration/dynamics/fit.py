"""A servo's parameters from a recording of its commands and angles, judged by its last part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from conure_calibration.dynamics.servo import Servo, simulate
from conure_core.errors import DataError
from conure_core.types import Array

NAMES = ("stiffness", "damping", "coulomb", "limit", "gravity_sin", "gravity_cos", "delay_s")
POSITIVE = slice(0, 4)
"""These are fitted as logarithms."""
START = np.array([np.log(300.0), np.log(25.0), np.log(1.0), np.log(150.0), 0.0, 0.0, 0.01])
STIFFNESSES = (60.0, 250.0, 1000.0)
"""Where fits begin."""
TRIED = 2
"""Of these, those that begin nearest; the best fit counts."""
LOWER = np.array([*np.log([1.0, 0.01, 1e-3, 0.1]), -500.0, -500.0, 0.0])
UPPER = np.array([*np.log([1e5, 1e4, 1e3, 1e5]), 500.0, 500.0, 0.3])
HELD_OUT = 1 / 3
LEAST_MOTION_RAD = np.radians(3.0)
FEWEST = 200
MOST_RELATIVE = 0.3
"""A parameter with a larger relative deviation is not observable."""


@dataclass(frozen=True)
class Recorded:
    """Commands and angles of one joint while the others stand still."""

    command_stamp_s: Array
    """Shape (n,)."""
    command_rad: Array
    """Shape (n,)."""
    stamp_s: Array
    """Shape (m,)."""
    angle_rad: Array
    """Measured on the motor's side of the gear, shape (m,)."""


@dataclass(frozen=True)
class ServoFit:
    """A fitted servo."""

    servo: Servo
    deviations: dict[str, float]
    """Standard deviation by name of `NAMES`, in the parameter's unit."""
    residual_rad: float
    """Root mean square error on what was fitted."""
    held_out_rad: float
    """The same on the last third, which was not."""
    held_out: Array
    """Predicted angles there, shape (k,), rad."""
    saturated: float
    """Share of the fitted time for which the drive was at its limit."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of parameters that the recording does not tell."""
        names = []
        for name in NAMES[POSITIVE]:
            if self.deviations[name] > MOST_RELATIVE * getattr(self.servo, name):
                names.append(name)
        if not self.saturated and "limit" not in names:
            names.append("limit")
        return tuple(names)


def fit_servo(recorded: Recorded) -> ServoFit:
    """Fit a servo.

    Args:
        recorded: Chirp and steps; the last third is held out.

    Raises:
        DataError: Too short, or the joint hardly moves.
    """
    count = len(recorded.stamp_s)
    if count < FEWEST:
        raise DataError(f"{count} measured angles, at least {FEWEST} are needed")
    motion_rad = recorded.angle_rad.std()
    if motion_rad < LEAST_MOTION_RAD:
        raise DataError(
            f"the joint moves by {np.degrees(motion_rad):.1f} degrees (rms), at least"
            f" {np.degrees(LEAST_MOTION_RAD):.0f} are needed: is its torque on?"
        )
    split = int(count * (1 - HELD_OUT))
    times = recorded.stamp_s[:split]
    angles = recorded.angle_rad[:split]

    def residuals(unknowns: Array) -> Array:
        """Predicted minus measured angles of the part that is fitted."""
        return _predicted(_servo(unknowns), recorded, times) - angles

    found = _best_fit(residuals)
    servo = _servo(found.x)
    left = residuals(found.x)
    held_out = _predicted(servo, recorded, recorded.stamp_s)[split:]
    errors = held_out - recorded.angle_rad[split:]
    command = np.interp(times - servo.delay_s, recorded.command_stamp_s, recorded.command_rad)
    drive = servo.stiffness * (command - angles)
    saturated = np.abs(drive) > servo.limit
    return ServoFit(
        servo=servo,
        deviations=_deviations(servo, found.jac, left),
        residual_rad=float(np.sqrt((left**2).mean())),
        held_out_rad=float(np.sqrt((errors**2).mean())),
        held_out=held_out,
        saturated=float(saturated.mean()),
    )


def _best_fit(residuals: Callable[[Array], Array]) -> Any:
    """Scipy's best result from the starts that begin nearest."""
    starts = [_start(stiffness) for stiffness in STIFFNESSES]
    ordered = sorted(starts, key=lambda start: float((residuals(start) ** 2).sum()))
    fits = [_descended(residuals, start) for start in ordered[:TRIED]]
    return min(fits, key=lambda fit: fit.cost)


def _deviations(
    servo: Servo,
    jacobian: Array,
    residuals: Array,
) -> dict[str, float]:
    """Standard deviations by name, in the parameter's unit."""
    information = jacobian.T @ jacobian
    covariance = np.linalg.pinv(information, hermitian=True) * residuals.var()
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    values = np.array([getattr(servo, name) for name in NAMES])
    deviations[POSITIVE] *= values[POSITIVE]
    return dict(zip(NAMES, deviations.tolist(), strict=True))


def _start(stiffness: float) -> Array:
    start = START.copy()
    start[0] = np.log(stiffness)
    return start


def _descended(residuals: Callable[[Array], Array], start: Array) -> Any:
    """Scipy's result of a fit, robust against what the model does not have."""
    return least_squares(
        residuals,
        start,
        bounds=(LOWER, UPPER),
        x_scale=np.array([0.3, 0.3, 0.3, 0.3, 5.0, 5.0, 0.005]),
        diff_step=1e-4,
        loss="soft_l1",
        f_scale=0.02,
        max_nfev=100,
    )


def _servo(unknowns: Array) -> Servo:
    values = np.array(unknowns)
    values[POSITIVE] = np.exp(values[POSITIVE])
    return Servo(*(float(value) for value in values))


def _predicted(
    servo: Servo,
    recorded: Recorded,
    times_s: Array,
) -> Array:
    """Angles at some times, of which the first is the recording's."""
    return simulate(
        servo,
        recorded.command_stamp_s,
        recorded.command_rad,
        times_s,
        start_rad=recorded.angle_rad[0],
    )
