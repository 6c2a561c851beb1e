"""Statistics of each column, as LeRobot's training normalizes by them; exact over all rows."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
LEVELS = 256


@dataclass
class PixelStatistics:
    """Of the pixels of one camera, collected image by image."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, LEVELS), np.int64))
    """How often each level is there, by channel, shape (3, 256)."""
    images: int = 0
    """How many."""

    def add(self, images: NDArray[np.uint8]) -> None:
        """Count the pixels of images, shape (n, h, w, 3)."""
        for channel in range(3):
            levels = images[..., channel].ravel()
            self.counts[channel] += np.bincount(levels, minlength=LEVELS)
        self.images += len(images)

    def summary(self) -> dict[str, Any]:
        """Each statistic by name, shape (3, 1, 1), for values in [0, 1]."""
        levels = np.arange(LEVELS) / (LEVELS - 1)
        share = self.counts / self.counts.sum(axis=1, keepdims=True)
        mean = share @ levels
        deviation = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0.0))
        present = self.counts > 0
        found = {
            "min": levels[present.argmax(axis=1)],
            "max": levels[LEVELS - 1 - present[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": deviation,
        }
        below = share.cumsum(axis=1)
        for name, quantile in QUANTILES.items():
            found[name] = levels[(below >= quantile - 1e-12).argmax(axis=1)]
        shaped = {name: values.reshape(3, 1, 1).tolist() for name, values in found.items()}
        return {**shaped, "count": [self.images]}


def summarize(rows: NDArray[Any]) -> dict[str, Any]:
    """Summarize a column of numbers.

    Args:
        rows: Shape (n, d); what is NaN was not recorded, and does not count.

    Returns:
        Each statistic by name, shape (d,).
    """
    values = rows.astype(np.float64)
    known = np.where(np.isfinite(values).any(axis=0), values, 0.0)
    found = {
        "min": np.nanmin(known, axis=0),
        "max": np.nanmax(known, axis=0),
        "mean": np.nanmean(known, axis=0),
        "std": np.nanstd(known, axis=0),
    }
    for name, quantile in QUANTILES.items():
        found[name] = np.nanquantile(known, quantile, axis=0)
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(rows)]}
