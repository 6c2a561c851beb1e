"""Random servos and random delays, recorded as an arm would record them."""

from dataclasses import dataclass

import numpy as np

from conure_calibration.dynamics.backlash import fit_backlash, play
from conure_calibration.dynamics.fit import Recorded, fit_servo
from conure_calibration.dynamics.servo import STEP_S, Servo, simulate
from conure_calibration.latency.recording import Recording
from conure_calibration.latency.response import follow
from conure_calibration.poses import TRANSLATION, Chain
from conure_core.types import Array

ENCODER_RAD = 2 * np.pi / 4096
LINK_NOISE_RAD = 0.001
SECONDS = 12.0
COMMAND_HZ = 100.0
FRAME_S = 1 / 30
FEEDBACK_S = 1 / 50
SCREEN_S = 1 / 60
JITTER_S = 0.002
TURN_RAD = 2 * np.pi


def draw_motion(rng: np.random.Generator, seconds: float = SECONDS) -> tuple[Array, Array]:
    """Draw a chirp with steps, which reaches the servo's limit.

    Args:
        rng: Where draws come from.
        seconds: Of the motion.

    Returns:
        Stamps (n,), s, and angles (n,), rad.
    """
    stamps = np.arange(0.0, seconds, 1 / COMMAND_HZ)
    sweep = TURN_RAD * (0.2 * stamps + 0.5 * 1.8 * stamps**2 / seconds)
    amplitude = rng.uniform(0.25, 0.4)
    phase = rng.uniform(0, TURN_RAD)
    chirp = amplitude * np.sin(sweep + phase)
    levels = rng.uniform(-0.5, 0.5, int(seconds))
    steps = levels[(stamps // 1.0).astype(int)]
    middle = rng.uniform(-0.4, 0.4)
    return stamps, chirp + steps + middle


def draw_servo(rng: np.random.Generator) -> tuple[Servo, Recorded, Array, float]:
    """Draw a servo, and record its commands, encoder and link.

    Args:
        rng: Where draws come from.

    Returns:
        The servo; commands and encoder; the link's angles at the encoder's stamps, as a camera
        would see them; the play, rad.
    """
    stiffness = rng.uniform(150.0, 600.0)
    gravity = stiffness * _radians(rng, 0.5, 4.0)
    phase = rng.uniform(0, TURN_RAD)
    damping_ratio = rng.uniform(0.8, 1.5)
    servo = Servo(
        stiffness=stiffness,
        damping=damping_ratio * np.sqrt(stiffness),
        coulomb=stiffness * _radians(rng, 0.1, 0.8),
        limit=stiffness * _radians(rng, 12.0, 22.0),
        gravity_sin=gravity * np.cos(phase),
        gravity_cos=gravity * np.sin(phase),
        delay_s=rng.uniform(0.002, 0.04),
    )
    stamps, command = draw_motion(rng)
    times = np.arange(0.0, SECONDS, 1 / COMMAND_HZ)
    angles = simulate(servo, stamps, command, times, command[0], STEP_S / 8)
    recorded = Recorded(stamps, command, times, _encoded(angles))
    width = _radians(rng, 0.2, 2.0)
    noise = LINK_NOISE_RAD * rng.normal(size=len(times))
    link = play(angles, width) + noise
    return servo, recorded, link, width


def _radians(
    rng: np.random.Generator,
    low_deg: float,
    high_deg: float,
) -> float:
    """An angle between two in degrees."""
    return float(np.radians(rng.uniform(low_deg, high_deg)))


def _encoded(angles_rad: Array) -> Array:
    """Angles as an encoder gives them."""
    return np.asarray(np.rint(angles_rad / ENCODER_RAD) * ENCODER_RAD)


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
    nod = _nod(stamps)
    times, motion = follow(stamps + command_s, nod, lag_s, seconds + 1.0)
    feedback = _stamps(rng, 0.5, seconds, FEEDBACK_S)
    measured = _encoded(np.interp(feedback - feedback_s, times, motion))
    images = _stamps(rng, 0.7, seconds, FRAME_S)
    angle = np.interp(images - camera_s, times, motion)
    noise = 0.3 * rng.normal(size=len(images))
    pixels = 320 + 400 * np.sin(angle + 0.3) + noise
    filmed, shown = _filmed_clock(rng, seconds, camera_s)
    recording = Recording(
        command_stamp_s=stamps,
        command_rad=nod,
        feedback_stamp_s=feedback,
        feedback_rad=measured,
        camera_stamp_s=images,
        camera_px=pixels,
        clock_stamp_s=filmed,
        clock_shown_s=shown,
    )
    return recording, (camera_s, feedback_s, command_s, lag_s)


def _nod(stamps_s: Array) -> Array:
    """Angles (n,), rad, of an arm that nods with two frequencies."""
    slow = 0.3 * np.sin(TURN_RAD * 0.5 * stamps_s)
    fast = 0.1 * np.sin(TURN_RAD * 1.3 * stamps_s)
    return np.asarray(slow + fast)


def _filmed_clock(
    rng: np.random.Generator,
    seconds: float,
    camera_s: float,
) -> tuple[Array, Array]:
    """Stamps of images of a screen, and the times that they show."""
    # No camera's 30 Hz is a half of a screen's 60 Hz.
    slower = 1 + rng.uniform(0.001, 0.005)
    filmed = _stamps(rng, 0.0, seconds, FRAME_S * slower)
    phase = rng.uniform(0, SCREEN_S)
    exposed = filmed - camera_s
    drawn = np.floor((exposed - phase) / SCREEN_S)
    return filmed, drawn * SCREEN_S + phase


def _stamps(
    rng: np.random.Generator,
    begin_s: float,
    end_s: float,
    period_s: float,
) -> Array:
    """Stamps with jitter, rising."""
    even = np.arange(begin_s, end_s, period_s)
    jitter = JITTER_S * rng.uniform(-1.0, 1.0, len(even))
    return np.sort(even + jitter)


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
    true = []
    predicted = []
    followed = []
    errors_deg = []
    plays_deg = [0.0]
    for _ in range(chain.joints):
        _, recorded, link, width = draw_servo(rng)
        fit = fit_servo(recorded)
        found = fit_backlash(recorded.angle_rad, link)
        errors_deg.append(np.degrees(fit.held_out_rad))
        if found.observable:
            error = abs(found.radians - width)
            plays_deg.append(float(np.degrees(error)))
        later = slice(-len(fit.held_out), None)
        true.append(play(recorded.angle_rad, width)[later])
        predicted.append(play(fit.held_out, found.radians))
        followed.append(recorded.command_rad[later])
    truth = _tool_places(chain, true)
    calibrated = _rms_m(_tool_places(chain, predicted), truth)
    uncalibrated = _rms_m(_tool_places(chain, followed), truth)
    return MotionErrors(max(errors_deg), calibrated / uncalibrated, max(plays_deg))


def _tool_places(chain: Chain, by_joint: list[Array]) -> Array:
    """The tool's places (n, 3), m, for the angles (n,) of each joint."""
    poses = chain.forward(np.stack(by_joint, axis=1))
    return np.asarray(poses[TRANSLATION])


def _rms_m(a: Array, b: Array) -> float:
    squares = ((a - b) ** 2).sum(axis=1)
    return float(np.sqrt(squares.mean()))
