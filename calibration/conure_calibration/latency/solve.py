"""Delays from a recording: each is fitted, none is read off a cross-correlation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from conure_calibration.latency.recording import Recording
from conure_calibration.latency.response import follow, regressed
from conure_calibration.results.jackknife import jackknife_variance
from conure_core.errors import DataError
from conure_core.types import Array

BLOCKS = 8
LONGEST_S = 0.5
COARSE_S = 0.01
LAGS_S = (0.005, 0.02, 0.06, 0.15)
UNIFORM = np.sqrt(12)
"""Width of a uniform distribution in standard deviations."""
TINY = 1e-12
LEAST_EXPLAINED = 0.9
"""Share of the variance that a fit must explain: below, the signals are not of one motion."""


@dataclass(frozen=True)
class Delay:
    """A delay with its deviation."""

    seconds: float
    deviation_s: float
    jitter_s: float
    """Standard deviation from sample to sample."""

    def minus(self, other: "Delay", jitter_s: float) -> "Delay":
        """Subtract a delay that was measured independently.

        Args:
            other: What is subtracted.
            jitter_s: Of the difference.
        """
        seconds = self.seconds - other.seconds
        deviation = np.hypot(self.deviation_s, other.deviation_s)
        return Delay(seconds, float(deviation), jitter_s)


@dataclass(frozen=True)
class Fit:
    """A fit of one signal by another one."""

    unknowns: Array
    """Where the fit is, shape (k,)."""
    deviations: Array
    """Their standard deviations, shape (k,)."""
    residuals: Array
    """Shape (n,)."""

    def explained(self, values: Array) -> float:
        """Share of the variance of values (n,) that the fit explains."""
        return float(1.0 - self.residuals.var() / values.var())


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
        return self.camera.minus(self.camera_after_feedback, self.command_to_feedback.jitter_s)

    @property
    def command_s(self) -> Delay | None:
        """From sending to the beginning of motion; None without a filmed clock."""
        feedback = self.feedback_s
        if feedback is None:
            return None
        total = self.command_to_feedback
        return total.minus(feedback, total.jitter_s)


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
    motion = _fit_joint(recording)
    image = _fit_camera(recording)
    camera = None
    if len(recording.clock_stamp_s):
        camera = filmed_clock(recording, screen_period_s, drawing_s)
    lag_s = float(np.exp(motion.unknowns[1]))
    return Latency(
        command_to_feedback=_joint_delay(recording, motion),
        lag_s=lag_s,
        lag_deviation_s=float(lag_s * motion.deviations[1]),
        camera_after_feedback=_camera_delay(recording, image),
        camera=camera,
        explained=(
            motion.explained(recording.feedback_rad),
            image.explained(recording.camera_px),
        ),
    )


def _fit_joint(recording: Recording) -> Fit:
    """Fit delay (s) and logarithm of the lag to commands and feedback."""

    def residuals(unknowns: Array) -> Array:
        """Feedback that the commands do not explain."""
        motion = _commanded(recording, unknowns)
        return regressed(_line(motion), recording.feedback_rad)

    starts = []
    for delay in np.arange(0.0, LONGEST_S / 2, 2 * COARSE_S):
        for lag in LAGS_S:
            starts.append(np.array([delay, np.log(lag)]))
    fit = _fitted(residuals, starts, len(recording.feedback_rad))
    _require(fit.explained(recording.feedback_rad), "command_rad", "feedback_rad")
    return fit


def _commanded(recording: Recording, unknowns: Array) -> Array:
    """Angles (m,) that commands make at the stamps of feedback, for delay and log lag."""
    delay, log_lag = unknowns
    stamps = recording.feedback_stamp_s
    times, response = follow(
        recording.command_stamp_s,
        recording.command_rad,
        lag_s=float(np.exp(log_lag)),
        until_s=float(stamps[-1]) + LONGEST_S,
    )
    return np.interp(stamps - delay, times, response)


def _joint_delay(recording: Recording, fit: Fit) -> Delay:
    motion = _commanded(recording, fit.unknowns)
    jitter = _jitter(recording.feedback_stamp_s, fit.residuals, motion)
    return Delay(float(fit.unknowns[0]), float(fit.deviations[0]), jitter)


def _fit_camera(recording: Recording) -> Fit:
    """Fit the delay (s) to feedback and images; a marker's place may bend with the angle."""

    def residuals(unknowns: Array) -> Array:
        """The marker's places that feedback does not explain."""
        angle = _measured(recording, unknowns)
        basis = np.stack([np.ones_like(angle), angle, angle**2], axis=1)
        return regressed(basis, recording.camera_px)

    delays = np.arange(-LONGEST_S / 2, LONGEST_S, COARSE_S)
    starts = [np.array([delay]) for delay in delays]
    fit = _fitted(residuals, starts, len(recording.camera_px))
    _require(fit.explained(recording.camera_px), "feedback_rad", "camera_px")
    return fit


def _measured(recording: Recording, unknowns: Array) -> Array:
    """Angles (k,) that feedback says at the stamps of images, for a delay."""
    stamps = recording.camera_stamp_s - unknowns[0]
    return np.interp(stamps, recording.feedback_stamp_s, recording.feedback_rad)


def _camera_delay(recording: Recording, fit: Fit) -> Delay:
    motion = _measured(recording, fit.unknowns)
    weights = np.linalg.lstsq(_line(motion), recording.camera_px, rcond=None)[0]
    px_a_radian = weights[1]
    jitter = _jitter(recording.camera_stamp_s, fit.residuals / px_a_radian, motion)
    return Delay(float(fit.unknowns[0]), float(fit.deviations[0]), jitter)


def filmed_clock(
    recording: Recording,
    screen_period_s: float,
    drawing_s: float,
) -> Delay:
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
    of_screen = screen_period_s / UNIFORM
    excess = max(spread**2 - of_screen**2, 0.0)
    blocks = [block.mean() for block in np.array_split(ages, BLOCKS)]
    of_mean = float(np.std(blocks, ddof=1) / np.sqrt(BLOCKS))
    not_covered = max(screen_period_s - float(np.ptp(ages)), 0.0)
    deviation = np.hypot(of_mean, not_covered / UNIFORM)
    return Delay(
        seconds=float(np.mean(ages)),
        deviation_s=float(deviation),
        jitter_s=float(np.sqrt(excess)),
    )


def _fitted(
    residuals: Callable[[Array], Array],
    starts: list[Array],
    count: int,
) -> Fit:
    """The best fit from the best of some starts; deviations by leaving out one block of time each.

    Source: Kuensch, Annals of Statistics 17(3), 1989, for blocks.
    """
    sums = [float((residuals(start) ** 2).sum()) for start in starts]
    best = starts[int(np.argmin(sums))]
    blocks = np.array_split(np.arange(count), BLOCKS)
    scale = np.sqrt(min(sums) / count) + TINY

    def _descended(kept: NDArray[np.int64], start: Array) -> Array:
        found = least_squares(
            lambda unknowns: residuals(unknowns)[kept] / scale,
            start,
            diff_step=1e-4,
            x_scale=0.01,
        )
        return np.asarray(found.x)

    everything = np.arange(count)
    whole = _descended(everything, best)
    parts = []
    for block in blocks:
        kept = np.setdiff1d(everything, block)
        parts.append(_descended(kept, whole))
    return Fit(whole, np.sqrt(jackknife_variance(np.array(parts))), residuals(whole))


def _line(values: Array) -> Array:
    return np.stack([np.ones_like(values), values], axis=1)


def _jitter(
    stamps_s: Array,
    residuals: Array,
    motion: Array,
) -> float:
    """Residuals grow with speed by the jitter: r^2 = noise^2 + speed^2 jitter^2."""
    speed = np.gradient(motion, stamps_s)
    basis = np.stack([np.ones_like(speed), speed**2], axis=1)
    scale = basis.mean(axis=0) + TINY
    weights, _ = nnls(basis / scale, residuals**2)
    return float(np.sqrt(weights[1] / scale[1]))


def _require(
    explained: float,
    cause: str,
    effect: str,
) -> None:
    if not explained >= LEAST_EXPLAINED:
        raise DataError(
            f"{effect} follows {cause} by {100 * explained:.0f} % of its variance, at least"
            f" {100 * LEAST_EXPLAINED:.0f} % are needed; let the arm nod by 20 degrees and more,"
            " and take stamps of one clock"
        )
