"""The randomization preset `calibrated`: what was measured varies by its interval, the rest as in
`full`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from conure_calibration.apply.measured import Measured
from conure_calibration.results.result import Quantity

NAME = "calibrated"
SERVO_FACTORS = {
    "servo_stiffness_scale": "stiffness_1_s2",
    "servo_damping_scale": "damping_1_s",
    "servo_friction_scale": "coulomb_rad_s2",
    "servo_limit_scale": "limit_rad_s2",
    "servo_delay_scale": "delay_ms",
    "backlash_scale": "backlash_deg",
}
"""Factors of randomization, and the quantity of `dynamics` whose interval each takes."""
SMALLEST_SCALE = 0.05
SHIFTS = ("camera_x_m", "camera_y_m", "camera_z_m")
TURNS = ("camera_rotation_x_deg", "camera_rotation_y_deg", "camera_rotation_z_deg")


def calibrated_preset(measured: Measured) -> tuple[dict[str, Any], list[str]]:
    """Build the preset.

    Args:
        measured: The results.

    Returns:
        The preset, and what the simulator cannot show of what was measured, a sentence each.
    """
    notes: list[str] = []
    ranges: dict[str, Any] = {"name": NAME, "preset": "full"}
    ranges.update(_camera(measured))
    if measured.offsets:
        ranges["joint_offset_rad"] = _around_zero(np.radians(_widest(measured.offsets)))
    if "dynamics" in measured.results:
        ranges.update(_servos(measured))
    for factor, low, high in _delays(measured):
        period_s = measured.robot.control_period_s
        if high > period_s:
            notes.append(
                f"{factor}: measured {1000 * low:.0f} to {1000 * high:.0f} ms; the simulator shows"
                f" at most a control period, {1000 * period_s:.0f} ms"
            )
        ranges[factor] = [min(low, period_s), min(high, period_s)]
    ranges.update(_light(measured))
    return ranges, notes


def _widest(quantities: Iterable[Quantity | None]) -> float:
    """Half the widest interval of some quantities; 0 where there is none."""
    found = [quantity for quantity in quantities if quantity is not None]
    return max(((quantity.high - quantity.low) / 2 for quantity in found), default=0.0)


def _around_zero(half: float) -> list[float]:
    return [-float(half), float(half)]


def _around_one(half: float) -> list[float]:
    return [max(1.0 - float(half), SMALLEST_SCALE), 1.0 + float(half)]


def _camera(measured: Measured) -> dict[str, list[float]]:
    """How far the camera may be from where it was measured."""
    ranges = {}
    if "hand_eye" in measured.results:
        shift_m = _widest(measured.find("hand_eye", name) for name in SHIFTS)
        turn_deg = _widest(measured.find("hand_eye", name) for name in TURNS)
        ranges["camera_shift_m"] = _around_zero(shift_m)
        ranges["camera_turn_rad"] = _around_zero(np.radians(turn_deg))
    focal = [measured.find("camera", f"focal_{axis}_px") for axis in "xy"]
    known = [quantity for quantity in focal if quantity is not None]
    if known:
        ranges["focal_scale"] = _around_one(_widest(known) / known[0].value)
    return ranges


def _servos(measured: Measured) -> dict[str, list[float]]:
    """Each factor takes the widest relative interval of all joints."""
    # What the measured servos have already.
    ranges: dict[str, list[float]] = {
        "gain_scale": [1.0, 1.0],
        "joint_damping": [0.0, 0.0],
        "command_delay_s": [0.0, 0.0],
    }
    for factor, name in SERVO_FACTORS.items():
        halves = [0.0]
        for joint in measured.robot.joint_names:
            found = measured.find("dynamics", f"{joint}_{name}")
            if found is not None and found.value > 0.0:
                halves.append(_widest([found]) / found.value)
        ranges[factor] = _around_one(max(halves))
    return ranges


def _delays(measured: Measured) -> Iterator[tuple[str, float, float]]:
    """Factors of delays and their intervals, s."""
    factors = {"frame_delay_s": "camera_delay_ms", "proprio_delay_s": "feedback_delay_ms"}
    if "dynamics" not in measured.results:
        factors["command_delay_s"] = "command_delay_ms"
    for factor, name in factors.items():
        found = measured.find("latency", name)
        if found is not None:
            yield factor, max(found.low, 0.0) / 1000, max(found.high, 0.0) / 1000


def _light(measured: Measured) -> dict[str, Any]:
    """Brightness and noise of the images of the empty scene."""
    ranges: dict[str, Any] = {}
    noise = measured.find("scene", "image_noise_levels")
    if noise is not None:
        ranges["image_noise"] = float(noise.value)
    spread = measured.find("scene", "exposure_spread")
    if spread is not None:
        ranges["exposure"] = _around_one(spread.high)
    return ranges
