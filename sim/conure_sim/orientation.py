"""Rotations about the vertical, as angles, quaternions (xyzw) and directions."""

import numpy as np

from conure_core.types import Array


def quaternion_from_yaw(yaw_rad: float, lean_rad: float = 0.0) -> tuple[float, ...]:
    """Compose a lean about y, then a yaw about z.

    Args:
        yaw_rad: Angle about the vertical, rad, counter-clockwise seen from above.
        lean_rad: Angle about y before the yaw, rad; positive leans +z towards +x.

    Returns:
        Unit quaternion (xyzw).
    """
    yaw_sine = np.sin(yaw_rad / 2)
    yaw_cosine = np.cos(yaw_rad / 2)
    lean_sine = np.sin(lean_rad / 2)
    lean_cosine = np.cos(lean_rad / 2)
    return (
        float(-yaw_sine * lean_sine),
        float(yaw_cosine * lean_sine),
        float(yaw_sine * lean_cosine),
        float(yaw_cosine * lean_cosine),
    )


def yaw_of(orientation: Array) -> float:
    """The yaw, rad in [-pi, pi], of a quaternion (xyzw)."""
    x, y, z, w = orientation
    sine = 2 * (w * z + x * y)
    cosine = 1 - 2 * (y * y + z * z)
    return float(np.arctan2(sine, cosine))


def flat_axis(yaw_rad: float) -> Array:
    """The horizontal unit vector (3,) at this yaw, rad."""
    return np.array([np.cos(yaw_rad), np.sin(yaw_rad), 0.0])
