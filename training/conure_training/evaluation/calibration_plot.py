"""The plot of a prior report: is the likelihood calibrated?"""

from pathlib import Path

import numpy as np

from conure_core.runtime.atomic_files import replacing
from conure_training.evaluation.prior_metrics import Calibration

BLUE = "#2a6f97"
GREY = "#8d99ae"


def draw_calibration(found: Calibration, count: int, path: Path) -> None:
    """Write a PNG: histogram of the probability integral transform, and its cumulative share.

    Args:
        found: What to draw.
        count: Held-out steps that it is of, for the title.
        path: The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bins = len(found.histogram)
    edges = np.linspace(0.0, 1.0, bins + 1)
    density = np.array(found.histogram) * bins
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.bar(
        edges[:-1],
        density,
        width=1 / bins,
        align="edge",
        color=BLUE,
        edgecolor="white",
    )
    left.axhline(1.0, color=GREY, linestyle="--", label="calibrated")
    left.set(
        xlabel="chi-square probability of |z|²",
        ylabel="density",
        title=f"{count} held-out steps",
        xlim=(0, 1),
    )
    right.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="calibrated")
    right.plot(
        edges, [0.0, *found.reliability], color=BLUE, marker="o", markersize=3, label="this prior"
    )
    title = f"expected error {found.expected_error:.3f}, KS distance {found.ks_distance:.3f}"
    right.set(
        xlabel="expected share of steps",
        ylabel="share found",
        title=title,
        xlim=(0, 1),
        ylim=(0, 1),
    )
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
