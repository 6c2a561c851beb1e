"""The table's plane in the arm's base frame, from points on it."""

from dataclasses import dataclass

import numpy as np

from conure_core.errors import DataError
from conure_core.types import Array

FEWEST = 3
LEAST_SPREAD_M = 0.03
"""Root mean square distance of the points from the line through them, below which they tell no
plane."""
FAR = 4.0
"""Of the usual distance from the plane, from which a point is an outlier."""
LEAST_OUTLIER_M = 0.004


@dataclass(frozen=True)
class Table:
    """A plane z = height + slope (x, y), base frame."""

    height_m: float
    """At the point it is asked for."""
    height_deviation_m: float
    tilt_rad: float
    """Against the base's horizontal plane."""
    tilt_deviation_rad: float
    residuals_m: Array
    """Of each point, along z, shape (n,)."""
    outlier: int | None
    """The point without which the others lie far better in a plane."""

    @property
    def rms_m(self) -> float:
        """Root mean square of the residuals, per degree of freedom."""
        freedom = max(len(self.residuals_m) - FEWEST, 1)
        return float(np.sqrt((self.residuals_m**2).sum() / freedom))


def fit_table(
    points_m: Array,
    centre_m: Array,
    noise_m: float,
) -> Table:
    """Fit a plane by least squares along z.

    Args:
        points_m: Points on the table, base frame, shape (n, 3), n >= 3.
        centre_m: Where its height is wanted (x, y).
        noise_m: Standard deviation of a point's height; a smaller scatter does not lower it.

    Raises:
        DataError: Too few points, or all near one line.
    """
    if len(points_m) < FEWEST:
        raise DataError(f"{len(points_m)} points on the table, at least {FEWEST} are needed")
    around = points_m[:, :2] - points_m[:, :2].mean(axis=0)
    spread_m = np.linalg.svd(around, compute_uv=False)[-1] / np.sqrt(len(points_m))
    if spread_m < LEAST_SPREAD_M:
        raise DataError(
            f"the points lie within {1000 * spread_m:.0f} mm (rms) of one line, at least"
            f" {1000 * LEAST_SPREAD_M:.0f} are needed; touch the table at its corners too"
        )
    unknowns, residuals, spread = _least_squares(points_m, centre_m)
    freedom = len(points_m) - FEWEST
    scatter = float(np.sqrt((residuals**2).sum() / freedom)) if freedom else 0.0
    deviations = max(scatter, noise_m) * np.sqrt(np.diag(spread))
    slope = unknowns[1:]
    return Table(
        height_m=float(unknowns[0]),
        height_deviation_m=float(deviations[0]),
        tilt_rad=float(np.arctan(np.linalg.norm(slope))),
        tilt_deviation_rad=float(deviations[1:].max()),
        residuals_m=residuals,
        outlier=_outlier(points_m, centre_m, noise_m),
    )


def _least_squares(points_m: Array, centre_m: Array) -> tuple[Array, Array, Array]:
    """Height and slopes (3,), residuals (n,), and the inverse of the normal matrix (3, 3)."""
    ones = np.ones(len(points_m))
    design = np.column_stack([ones, points_m[:, :2] - centre_m])
    spread = np.linalg.pinv(design.T @ design)
    unknowns = spread @ design.T @ points_m[:, 2]
    return unknowns, points_m[:, 2] - design @ unknowns, spread


def _outlier(
    points_m: Array,
    centre_m: Array,
    noise_m: float,
) -> int | None:
    """The point that is farthest from the plane of the others, if it is far."""
    everything = np.arange(len(points_m))
    if len(points_m) < FEWEST + 2:
        return None
    distances = []
    scatters = []
    for left_out in everything:
        kept = points_m[everything != left_out]
        unknowns, residuals, _ = _least_squares(kept, centre_m)
        here = unknowns @ [1.0, *(points_m[left_out, :2] - centre_m)]
        distances.append(abs(points_m[left_out, 2] - here))
        scatters.append(np.sqrt((residuals**2).sum() / max(len(kept) - FEWEST, 1)))
    worst = int(np.argmin(scatters))
    usual = max(float(scatters[worst]), noise_m)
    far = distances[worst] > max(FAR * usual, LEAST_OUTLIER_M)
    return worst if far else None
