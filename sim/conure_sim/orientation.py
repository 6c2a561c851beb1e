"""Turns about the vertical, as angles, quaternions (xyzw) and directions."""

import numpy as np

from conure_core.types import Array


def turned(yaw_rad: float, lean_rad: float = 0.0) -> tuple[float, ...]:
    """Quaternion (xyzw): leaned outwards about y, then turned about z."""
    s, c, sl, cl = (
        np.sin(yaw_rad / 2),
        np.cos(yaw_rad / 2),
        np.sin(lean_rad / 2),
        np.cos(lean_rad / 2),
    )
    return (float(-s * sl), float(c * sl), float(s * cl), float(c * cl))


def yaw_of(orientation: Array) -> float:
    """The turn about the vertical, rad, of a quaternion (xyzw)."""
    x, y, z, w = orientation
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def flat_axis(yaw_rad: float) -> Array:
    """The horizontal unit vector (3,) in a direction."""
    return np.array([np.cos(yaw_rad), np.sin(yaw_rad), 0.0])
