"""Delays from a recording: each is fitted, none is read off a cross-correlation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from conure_calibration.latency.recording import Recording
from conure_calibration.latency.response import follow, regressed
from conure_core.errors import DataError
from conure_core.types import Array

BLOCKS = 8
LONGEST_S = 0.5
COARSE_S = 0.01
LAGS_S = (0.005, 0.02, 0.06, 0.15)
LEAST_EXPLAINED = 0.9
"""Share of the variance that a fit must explain: below, the signals are not of one motion."""


@dataclass(frozen=True)
class Delay:
    """A delay with its deviation."""

    seconds: float
    deviation_s: float
    jitter_s: float
    """Standard deviation from sample to sample."""


@dataclass(frozen=True)
class Latency:
    """What a recording tells."""

    command_to_feedback: Delay
    """Command and feedback delay together."""
    lag_s: float
    """Time constant of the joint."""
    lag_deviation_s: float
    camera_after_feedback: Delay
    """Camera minus feedback delay; may be negative."""
    camera: Delay | None
    """From exposure to stamp, by a filmed clock; None: there is no clock."""
    explained: tuple[float, float]
    """Share of the variance that the fits explain: command to feedback, feedback to camera."""

    @property
    def feedback_s(self) -> Delay | None:
        """From measurement to stamp; None without a filmed clock."""
        if self.camera is None:
            return None
        seconds = self.camera.seconds - self.camera_after_feedback.seconds
        deviation = np.hypot(self.camera.deviation_s, self.camera_after_feedback.deviation_s)
        return Delay(seconds, float(deviation), self.command_to_feedback.jitter_s)

    @property
    def command_s(self) -> Delay | None:
        """From sending to the beginning of motion; None without a filmed clock."""
        if self.feedback_s is None:
            return None
        seconds = self.command_to_feedback.seconds - self.feedback_s.seconds
        deviation = np.hypot(self.command_to_feedback.deviation_s, self.feedback_s.deviation_s)
        return Delay(seconds, float(deviation), self.command_to_feedback.jitter_s)


def solve_latency(
    recording: Recording,
    screen_period_s: float = 1 / 60,
    drawing_s: float = 0.0,
) -> Latency:
    """Estimate delays.

    Command and feedback tell the sum of their delays, feedback and camera the difference of theirs:
    the three delays themselves take one that is known, the camera's by a filmed clock.

    Args:
        recording: An arm that nods.
        screen_period_s: Of the screen that shows the clock.
        drawing_s: From the clock's reading to light on the screen.

    Raises:
        DataError: Signals that are not of one motion; names them.
    """
    total, lag = _command_to_feedback(recording)
    relative, explained = _camera_after_feedback(recording)
    camera = None
    if len(recording.clock_stamp_s):
        camera = filmed_clock(recording, screen_period_s, drawing_s)
    return Latency(total[0], lag[0], lag[1], relative, camera, (total[1], explained))


def _command_to_feedback(
    recording: Recording,
) -> tuple[tuple[Delay, float], tuple[float, float]]:
    stamps, values = recording.feedback_stamp_s, recording.feedback_rad
    until = float(stamps[-1]) + LONGEST_S

    def predicted(unknowns: Array) -> Array:
        delay, lag = unknowns
        times, response = follow(
            recording.command_stamp_s, recording.command_rad, float(np.exp(lag)), until
        )
        return np.interp(stamps - delay, times, response)

    def residuals(unknowns: Array) -> Array:
        return regressed(_line(predicted(unknowns)), values)

    starts = [
        np.array([delay, np.log(lag)])
        for delay in np.arange(0.0, LONGEST_S / 2, 2 * COARSE_S)
        for lag in LAGS_S
    ]
    found, deviations = _fitted(residuals, starts, len(values))
    left = residuals(found)
    explained = 1.0 - left.var() / values.var()
    _require(explained, "command_rad", "feedback_rad")
    jitter = _jitter(stamps, left, predicted(found))
    lag = float(np.exp(found[1]))
    delay = Delay(float(found[0]), float(deviations[0]), jitter)
    return (delay, float(explained)), (lag, float(lag * deviations[1]))


def _camera_after_feedback(recording: Recording) -> tuple[Delay, float]:
    stamps, values = recording.camera_stamp_s, recording.camera_px

    def predicted(unknowns: Array) -> Array:
        return np.interp(stamps - unknowns[0], recording.feedback_stamp_s, recording.feedback_rad)

    def residuals(unknowns: Array) -> Array:
        angle = predicted(unknowns)
        return regressed(np.stack([np.ones_like(angle), angle, angle**2], axis=1), values)

    starts = [np.array([delay]) for delay in np.arange(-LONGEST_S / 2, LONGEST_S, COARSE_S)]
    found, deviations = _fitted(residuals, starts, len(values))
    left = residuals(found)
    explained = 1.0 - left.var() / values.var()
    _require(explained, "feedback_rad", "camera_px")
    basis = _line(predicted(found))
    gain = np.linalg.lstsq(basis, values, rcond=None)[0][1]
    jitter = _jitter(stamps, left / gain, predicted(found))
    return Delay(float(found[0]), float(deviations[0]), jitter), float(explained)


def filmed_clock(recording: Recording, screen_period_s: float, drawing_s: float) -> Delay:
    """Estimate the camera's delay from images of a screen that shows the computer's time.

    A reading is up to one period of the screen old when it is seen, half of it on average. Where
    camera and screen run in step, all readings are equally old, and nobody knows how old: what the
    ages do not cover of a period adds to the deviation.

    Args:
        recording: With `clock_stamp_s` and `clock_shown_s`.
        screen_period_s: Of the screen.
        drawing_s: From the clock's reading to light on the screen.
    """
    ages = recording.clock_stamp_s - recording.clock_shown_s - drawing_s - screen_period_s / 2
    spread = float(ages.std(ddof=1))
    of_screen = screen_period_s / np.sqrt(12)
    jitter = float(np.sqrt(max(spread**2 - of_screen**2, 0.0)))
    blocks = [block.mean() for block in np.array_split(ages, BLOCKS)]
    deviation = float(np.std(blocks, ddof=1) / np.sqrt(BLOCKS))
    in_step = max(screen_period_s - float(np.ptp(ages)), 0.0) / np.sqrt(12)
    return Delay(float(np.mean(ages)), float(np.hypot(deviation, in_step)), jitter)


def _fitted(
    residuals: Callable[[Array], Array], starts: list[Array], count: int
) -> tuple[Array, Array]:
    """The best fit from the best of some starts; deviations by leaving out one block of time each.

    Source: Kuensch, Annals of Statistics 17(3), 1989, for blocks.
    """
    sums = [float((residuals(start) ** 2).sum()) for start in starts]
    best = starts[int(np.argmin(sums))]
    blocks = np.array_split(np.arange(count), BLOCKS)
    scale = np.sqrt(min(sums) / count) + 1e-12

    def fit(kept: NDArray[np.int64], start: Array) -> Array:
        found = least_squares(
            lambda unknowns: residuals(unknowns)[kept] / scale, start, diff_step=1e-4, x_scale=0.01
        )
        return np.asarray(found.x)

    whole = fit(np.arange(count), best)
    parts = np.array([fit(np.setdiff1d(np.arange(count), block), whole) for block in blocks])
    spread = (BLOCKS - 1) / BLOCKS * ((parts - parts.mean(axis=0)) ** 2).sum(axis=0)
    return whole, np.sqrt(spread)


def _line(values: Array) -> Array:
    return np.stack([np.ones_like(values), values], axis=1)


def _jitter(stamps_s: Array, residuals: Array, motion: Array) -> float:
    """Residuals grow with speed by the jitter: r^2 = noise^2 + speed^2 jitter^2."""
    speed = np.gradient(motion, stamps_s)
    basis = np.stack([np.ones_like(speed), speed**2], axis=1)
    scale = basis.mean(axis=0) + 1e-12
    weights, _ = nnls(basis / scale, residuals**2)
    return float(np.sqrt(weights[1] / scale[1]))


def _require(explained: float, cause: str, effect: str) -> None:
    if not explained >= LEAST_EXPLAINED:
        raise DataError(
            f"{effect} follows {cause} by {100 * explained:.0f} % of its variance, at least"
            f" {100 * LEAST_EXPLAINED:.0f} % are needed; let the arm nod by 20 degrees and more,"
            " and take stamps of one clock"
        )
