"""Random servos and random delays, recorded as an arm would record them."""

from dataclasses import dataclass

import numpy as np

from conure_calibration.dynamics.backlash import fit_backlash, play
from conure_calibration.dynamics.fit import Recorded, fit_servo
from conure_calibration.dynamics.servo import STEP_S, Servo, simulate
from conure_calibration.latency.recording import Recording
from conure_calibration.latency.response import follow
from conure_calibration.poses import Chain
from conure_core.types import Array

ENCODER_RAD = 2 * np.pi / 4096
LINK_NOISE_RAD = 0.001
SECONDS = 12.0
COMMAND_HZ = 100.0
FRAME_S = 1 / 30
JITTER_S = 0.002


def draw_motion(rng: np.random.Generator, seconds: float = SECONDS) -> tuple[Array, Array]:
    """Draw a chirp with steps, which reaches the servo's limit: stamps (n,), s, and angles (n,)."""
    stamps = np.arange(0.0, seconds, 1 / COMMAND_HZ)
    sweep = 2 * np.pi * (0.2 * stamps + 0.5 * 1.8 * stamps**2 / seconds)
    chirp = rng.uniform(0.25, 0.4) * np.sin(sweep + rng.uniform(0, 2 * np.pi))
    steps = rng.uniform(-0.5, 0.5, int(seconds))[(stamps // 1.0).astype(int)]
    return stamps, chirp + steps + rng.uniform(-0.4, 0.4)


def draw_servo(rng: np.random.Generator) -> tuple[Servo, Recorded, Array, float]:
    """Draw a servo, and record its commands, encoder and link.

    Args:
        rng: Where draws come from.

    Returns:
        The servo; commands and encoder; the link's angles at the encoder's stamps, as a camera
        would see them; the play, rad.
    """
    stiffness = rng.uniform(150.0, 600.0)
    gravity = stiffness * np.radians(rng.uniform(0.5, 4.0))
    phase = rng.uniform(0, 2 * np.pi)
    servo = Servo(
        stiffness=stiffness,
        damping=rng.uniform(0.8, 1.5) * np.sqrt(stiffness),
        coulomb=stiffness * np.radians(rng.uniform(0.1, 0.8)),
        limit=stiffness * np.radians(rng.uniform(12.0, 22.0)),
        gravity_sin=gravity * np.cos(phase),
        gravity_cos=gravity * np.sin(phase),
        delay_s=rng.uniform(0.002, 0.04),
    )
    stamps, command = draw_motion(rng)
    times = np.arange(0.0, SECONDS, 1 / COMMAND_HZ)
    angles = simulate(servo, stamps, command, times, command[0], STEP_S / 8)
    encoder = np.rint(angles / ENCODER_RAD) * ENCODER_RAD
    width = np.radians(rng.uniform(0.2, 2.0))
    link = play(angles, width) + LINK_NOISE_RAD * rng.normal(size=len(times))
    return servo, Recorded(stamps, command, times, encoder), link, float(width)


def draw_latency(
    rng: np.random.Generator, seconds: float = 20.0
) -> tuple[Recording, tuple[float, float, float, float]]:
    """Draw delays, and record an arm that nods in front of a camera of 30 Hz.

    Args:
        rng: Where draws come from.
        seconds: Of the recording.

    Returns:
        The recording; the true delays of camera, feedback and command, and the joint's lag, s.
    """
    camera_s, feedback_s, command_s = rng.uniform([0.03, 0.002, 0.005], [0.17, 0.03, 0.1])
    lag_s = rng.uniform(0.02, 0.08)
    stamps = _stamps(rng, 0.0, seconds, FRAME_S)
    nod = 0.3 * np.sin(2 * np.pi * 0.5 * stamps) + 0.1 * np.sin(2 * np.pi * 1.3 * stamps)
    times, motion = follow(stamps + command_s, nod, lag_s, seconds + 1.0)

    def seen(at: Array) -> Array:
        return np.interp(at, times, motion)

    feedback = _stamps(rng, 0.5, seconds, 1 / 50)
    measured = np.rint(seen(feedback - feedback_s) / ENCODER_RAD) * ENCODER_RAD
    images = _stamps(rng, 0.7, seconds, FRAME_S)
    angle = seen(images - camera_s)
    pixels = 320 + 400 * np.sin(angle + 0.3) + 0.3 * rng.normal(size=len(images))
    # No camera's 30 Hz is a half of a screen's 60 Hz.
    filmed = _stamps(rng, 0.0, seconds, FRAME_S * (1 + rng.uniform(0.001, 0.005)))
    period = 1 / 60
    phase = rng.uniform(0, period)
    shown = np.floor((filmed - camera_s - phase) / period) * period + phase
    recording = Recording(stamps, nod, feedback, measured, images, pixels, filmed, shown)
    return recording, (camera_s, feedback_s, command_s, lag_s)


def _stamps(rng: np.random.Generator, begin_s: float, end_s: float, period_s: float) -> Array:
    """Stamps with jitter, rising."""
    even = np.arange(begin_s, end_s, period_s)
    return np.sort(even + JITTER_S * rng.uniform(-1.0, 1.0, len(even)))


@dataclass(frozen=True)
class MotionErrors:
    """Errors of one simulated arm."""

    held_out_deg: float
    """Of the joint that is predicted worst, root mean square on its held-out third."""
    tool_ratio: float
    """Error of the tool's place against one whose joints follow their commands at once."""
    backlash_deg: float
    """Largest error of the play, of the joints where it is observable."""


def motion_errors(seed: int, chain: Chain) -> MotionErrors:
    """Calibrate the servos of an arm of which each joint moves in turn, and predict its tool.

    Args:
        seed: Of the case.
        chain: The arm.
    """
    rng = np.random.default_rng(seed)
    true, predicted, followed = [], [], []
    errors_deg, plays_deg = [], [0.0]
    for _ in range(chain.joints):
        _, recorded, link, width = draw_servo(rng)
        fit = fit_servo(recorded)
        found = fit_backlash(recorded.angle_rad, link)
        errors_deg.append(np.degrees(fit.held_out_rad))
        if found.observable:
            plays_deg.append(float(np.degrees(abs(found.radians - width))))
        later = slice(-len(fit.held_out), None)
        true.append(play(recorded.angle_rad, width)[later])
        predicted.append(play(fit.held_out, found.radians))
        followed.append(recorded.command_rad[later])
    places = [
        chain.forward(np.stack(angles, axis=1))[:, :3, 3] for angles in (true, predicted, followed)
    ]
    calibrated, uncalibrated = (_rms_m(places[0], other) for other in places[1:])
    return MotionErrors(max(errors_deg), calibrated / uncalibrated, max(plays_deg))


def _rms_m(a: Array, b: Array) -> float:
    return float(np.sqrt(((a - b) ** 2).sum(axis=1).mean()))
