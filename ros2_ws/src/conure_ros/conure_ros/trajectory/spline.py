"""Positions between the points of a trajectory, as joint_trajectory_controller has them. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from conure_core.types import Array


@dataclass(frozen=True)
class Point:
    """Where the joints are at a time, s: (n,), rad, and rad/s and rad/s2 where they are given."""

    time_s: float
    position: Array
    velocity: Array | None = None
    acceleration: Array | None = None


class Spline:
    """Joint positions over time, through points.

    Quintic between two points with velocities and accelerations, cubic between points with
    velocities, linear between others. It stays at the first point before, at the last one after.

    >>> spline = Spline([Point(0.0, start), Point(2.0, goal)])
    >>> position, velocity = spline.at(1.0)

    Source: joint_trajectory_controller, `Trajectory::interpolate_between_points` (ros2_controllers,
    Jazzy).
    """

    def __init__(self, points: Sequence[Point]) -> None:
        """Connect points.

        Args:
            points: At least one, with increasing times.
        """
        self._times_s = [point.time_s for point in points]
        self._ends = points[0].position, points[-1].position
        pairs = pairwise(points)
        self._segments = [_polynomial(before, after) for before, after in pairs]

    @property
    def end_s(self) -> float:
        """Time of the last point, s."""
        return self._times_s[-1]

    def at(self, time_s: float) -> tuple[Array, Array]:
        """Evaluate the spline.

        Args:
            time_s: Time, s.

        Returns:
            Positions (n,), rad, and velocities (n,), rad/s; these are 0 outside the points.
        """
        before = bisect_right(self._times_s, time_s) - 1
        if before < 0 or time_s >= self.end_s:
            end = self._ends[0 if before < 0 else 1]
            return end.copy(), np.zeros_like(end)
        powers = (time_s - self._times_s[before]) ** np.arange(6)
        slopes = np.arange(1, 6) * powers[:5]
        coefficients = self._segments[before]
        return powers @ coefficients, slopes @ coefficients[1:]


def _polynomial(before: Point, after: Point) -> Array:
    """Coefficients (6, n) of the positions over the time since `before`, lowest power first."""
    length_s = after.time_s - before.time_s
    way = after.position - before.position
    coefficients = np.zeros((6, len(way)))
    coefficients[0] = before.position
    if before.velocity is None or after.velocity is None:
        coefficients[1] = way / length_s
        return coefficients
    start, end = before.velocity * length_s, after.velocity * length_s
    if before.acceleration is None or after.acceleration is None:
        unit = [start, 3 * way - 2 * start - end, start + end - 2 * way]
    else:
        bend, unbend = before.acceleration * length_s**2, after.acceleration * length_s**2
        unit = [
            start,
            bend / 2,
            10 * way - 6 * start - 4 * end - (3 * bend - unbend) / 2,
            -15 * way + 8 * start + 7 * end + (3 * bend - 2 * unbend) / 2,
            6 * way - 3 * (start + end) - (bend - unbend) / 2,
        ]
    for power, coefficient in enumerate(unit, start=1):
        coefficients[power] = coefficient / length_s**power
    return coefficients
