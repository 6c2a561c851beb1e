"""Whether a camera's frames may be used: not if they are lost, late, repeated, dark or
overexposed.
"""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conure_core.types import Image

STRIDE = 4
NOISE_WINDOW = 300
NOISE_PERCENTILE = 10
NOISE_FRAMES = 30
BURST_PERIODS = 0.25
GAP_PERIODS = 2.0
JITTER_PERIODS = 0.35
SLOW_WINDOW = 15
SLOW_PERIODS, IN_TIME_PERIODS = 1.5, 1.25
"""Median distance of frames, in expected periods: above the first a camera is slow, below the
second it is in time again.
"""
# Slow links and machines cause a single one of these now and then.
TOLERATED = ("late", "repeated")


@dataclass(frozen=True)
class HealthRules:
    """What counts as a bad frame, and when bad frames are a fault.

    Every bad frame is withheld. Only bad frames, or none, for `fault_periods` expected periods are
    a fault. It ends after `resume_s` without a bad frame; single late and repeated ones do not
    count.

    A frame is repeated if it equals the last good one bit by bit, or if their mean difference is
    less than `frozen_noise_fraction` of the sensor's usual noise (below 0: no check). It is dark
    (overexposed) if `dark_fraction` (`bright_fraction`) of its pixels are at or below `dark_level`
    (at or above `bright_level`), of 255; a fraction above 1 turns that off.
    """

    period_s: float
    fault_periods: float = 6.0
    resume_s: float = 1.0
    frozen_noise_fraction: float = 0.1
    dark_level: int = 12
    dark_fraction: float = 0.98
    bright_level: int = 250
    bright_fraction: float = 0.7


class StreamHealth:
    """Judges one camera's frames. One thread adds frames, another reads the fault; times are steady
    seconds.

    `live`: the source sets the pace. Otherwise the reader sets it, and no frame is late.

    >>> health = StreamHealth(HealthRules(period_s=1 / 30, resume_s=0.0), live=True)
    >>> health.fault
    'waiting for good frames'
    """

    def __init__(self, rules: HealthRules, live: bool) -> None:
        self.rules, self.live = rules, live
        self.fault = "waiting for good frames"
        self.withheld: dict[str, int] = {}
        self.missed = 0
        self._lock = threading.Lock()
        self._forget()
        self._last_s: float | None = None

    def _forget(self) -> None:
        """Forget the stream: nothing is known of a new one."""
        self._good_since_s: float | None = None
        self._bad_since_s: float | None = None
        self._sample: NDArray[np.int16] | None = None
        self._whole: Image | None = None
        self._differences: deque[float] = deque(maxlen=NOISE_WINDOW)
        self._behind = False
        self._intervals_s: deque[float] = deque(maxlen=SLOW_WINDOW)
        self._slow = ""

    def frame(self, now_s: float, pixels: Image) -> bool:
        """Judge a frame.

        Args:
            now_s: Time at which it was captured, steady clock, s.
            pixels: The frame, shape (height, width, 3), uint8.

        Returns:
            Whether it may be published.
        """
        with self._lock:
            kind, why = (
                self._too_slow(now_s)
                or self._late(now_s)
                or self._exposure(pixels)
                or self._repeated(pixels)
                or ("", "")
            )
            self._last_s = now_s
            return self._record(now_s, kind, why)

    def reject(self, now_s: float, why: str, kind: str) -> None:
        """Count a frame that is unusable for another reason.

        Args:
            now_s: Time at which it was captured, steady clock, s.
            why: The fault to report, for a person.
            kind: The kind under which it is counted in `withheld`.
        """
        with self._lock:
            self._last_s = now_s
            self._record(now_s, kind, why)

    def lost(self, why: str) -> None:
        """Note that the stream ended. The next frame begins a new one."""
        with self._lock:
            self._forget()
            self._last_s = None
            self.fault = why

    def tick(self, now_s: float) -> str:
        """The present fault, '' if there is none. It also detects a stream that stopped."""
        with self._lock:
            silent_s = 0.0 if self._last_s is None else now_s - self._last_s
            if silent_s >= self.rules.fault_periods * self.rules.period_s:
                self.fault = f"no frame for {self.rules.fault_periods * self.rules.period_s:.2f} s"
                self._good_since_s = None
            return self.fault

    def _record(self, now_s: float, kind: str, why: str) -> bool:
        if kind:
            self.withheld[kind] = self.withheld.get(kind, 0) + 1
            self._bad_since_s = now_s if self._bad_since_s is None else self._bad_since_s
            lasting = now_s - self._bad_since_s >= self.rules.fault_periods * self.rules.period_s
            if lasting or kind not in TOLERATED:
                self._good_since_s = None
                self.fault = why if lasting or self.fault else ""
            return False
        self._bad_since_s = None
        self._good_since_s = now_s if self._good_since_s is None else self._good_since_s
        if now_s - self._good_since_s >= self.rules.resume_s:
            self.fault = ""
        return not self.fault

    def _too_slow(self, now_s: float) -> tuple[str, str] | None:
        """A camera that exposes longer than a period sends fewer frames, evenly. The reason is
        worded once, so that jitter changes neither it nor whether it is a fault.
        """
        if not self.live or self._last_s is None:
            return None
        self._intervals_s.append(now_s - self._last_s)
        if len(self._intervals_s) < SLOW_WINDOW // 2:
            return None
        in_time_s = IN_TIME_PERIODS * self.rules.period_s
        interval_s = float(np.median(self._intervals_s))
        if interval_s < in_time_s:
            self._slow = ""
        elif interval_s > SLOW_PERIODS * self.rules.period_s and not self._slow:
            rate_hz = 1 / float(np.median([one for one in self._intervals_s if one >= in_time_s]))
            rate = f"{rate_hz:.{0 if rate_hz >= 10 else 1}f}"
            self._slow = (
                f"frames come at {rate} Hz instead of the {1 / self.rules.period_s:.4g} Hz of"
                " rate_hz: too little light, or too long an exposure; add light, set exposure_ms,"
                f" or expect rate_hz={rate}"
            )
        return ("slow", self._slow) if self._slow else None

    def _late(self, now_s: float) -> tuple[str, str] | None:
        """A frame after a gap may have waited in a buffer; those that follow at once did. Their
        stamps would be wrong.
        """
        if not self.live or self._last_s is None:
            return None
        periods = (now_s - self._last_s) / self.rules.period_s
        self.missed += max(0, int(periods + JITTER_PERIODS) - 1)
        self._behind = periods > GAP_PERIODS or (self._behind and periods < BURST_PERIODS)
        if periods < BURST_PERIODS or self._behind:
            rate = f"{1 / self.rules.period_s:.4g} Hz that rate_hz expects"
            return (
                "late",
                (
                    f"frames do not come at the {rate}, but {periods:.1f} periods apart; they may"
                    " have waited"
                ),
            )
        return None

    def _exposure(self, pixels: Image) -> tuple[str, str] | None:
        sample, rules = pixels[::STRIDE, ::STRIDE], self.rules
        dark = float((sample.max(axis=2) <= rules.dark_level).mean())
        if dark >= rules.dark_fraction:
            return (
                "dark",
                (
                    f"the image is black: {dark:.0%} of it at most {rules.dark_level} of 255; lens"
                    " cap or light?"
                ),
            )
        bright = float((sample.min(axis=2) >= rules.bright_level).mean())
        if bright >= rules.bright_fraction:
            return (
                "overexposed",
                (
                    f"the image is overexposed: {bright:.0%} of it at least {rules.bright_level}"
                    " of 255"
                ),
            )
        return None

    def _repeated(self, pixels: Image) -> tuple[str, str] | None:
        """Two exposures never have the same noise. How much they differ is learnt from good
        frames.
        """
        if self.rules.frozen_noise_fraction < 0:
            return None
        sample: NDArray[np.int16] = pixels[::STRIDE, ::STRIDE].astype(np.int16)
        last, whole = self._sample, self._whole
        if last is not None and whole is not None and last.shape == sample.shape:
            difference = float(np.abs(sample - last).mean())
            if difference == 0.0 and np.array_equal(pixels, whole):
                return "repeated", "the image is frozen: every frame is identical"
            noise = self._noise()
            if difference < self.rules.frozen_noise_fraction * noise:
                return (
                    "repeated",
                    (
                        f"the image is frozen: frames differ by {difference:.3f}, the sensor by"
                        f" {noise:.3f}"
                    ),
                )
            self._differences.append(difference)
        self._sample, self._whole = sample, pixels
        return None

    def _noise(self) -> float:
        """Mean difference of two frames of a still scene, of 255; 0 until enough frames came."""
        if len(self._differences) < NOISE_FRAMES:
            return 0.0
        return float(np.percentile(self._differences, NOISE_PERCENTILE))
