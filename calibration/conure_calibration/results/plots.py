"""Plots as inline SVG in the page's text colour, for light and dark pages."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from conure_calibration.results.page import Figure
from conure_core.types import Array

BLUE = "#3b82c4"
ORANGE = "#d9792b"
TEXT = "#010203"
"""Replaced by the page's text colour."""
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def residual_map(
    points_px: Array,
    residuals_px: Array,
    size_px: tuple[int, int],
    enlarged: float,
    caption: str,
) -> Figure:
    """Draw where in the image corners were, with their residuals: coverage and lens errors.

    Args:
        points_px: Corners, shape (n, 2).
        residuals_px: Seen minus predicted, shape (n, 2).
        size_px: Width and height of the image.
        enlarged: Factor of the residuals' length.
        caption: Text under the plot.
    """
    width_px, height_px = size_px
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 7.2 * height_px / width_px))
        axes = canvas.subplots()
        axes.quiver(
            *points_px.T,
            *(enlarged * residuals_px).T,
            angles="xy",
            scale_units="xy",
            scale=1.0,
            width=0.0015,
            color=BLUE,
        )
        axes.set(xlim=(0, width_px), ylim=(height_px, 0), xlabel="px", ylabel="px", aspect="equal")
        return Figure(caption, svg=_svg(canvas))


def bars(
    values: Mapping[str, float],
    unit: str,
    caption: str,
) -> Figure:
    """Draw one bar for each name.

    Args:
        values: Lengths by name, from left to right.
        unit: Of the values.
        caption: Text under the plot.
    """
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 2.4))
        axes = canvas.subplots()
        axes.bar(range(len(values)), list(values.values()), color=BLUE)
        axes.set_xticks(
            range(len(values)),
            list(values),
            rotation=60,
            ha="right",
            fontsize=8,
        )
        axes.set_ylabel(unit)
        return Figure(caption, svg=_svg(canvas))


def dots(
    values: Mapping[str, float],
    unit: str,
    caption: str,
) -> Figure:
    """Draw a dot for each name on an axis that begins near the values: what differs by little.

    Args:
        values: Places by name, from top to bottom.
        unit: Of the values.
        caption: Text under the plot.
    """
    rows = range(len(values))
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 0.8 + 0.28 * len(values)))
        axes = canvas.subplots()
        axes.plot(list(values.values()), rows, "o", color=BLUE)
        axes.set_yticks(rows, list(values))
        axes.set(xlabel=unit, ylim=(len(values) - 0.5, -0.5))
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.grid(axis="y", linewidth=0.3)
        return Figure(caption, svg=_svg(canvas))


def curves(
    time_s: Array,
    lines: Mapping[str, Array],
    unit: str,
    caption: str,
) -> Figure:
    """Draw lines over time.

    Args:
        time_s: Shape (n,).
        lines: Values (n,) by label.
        unit: Of the values.
        caption: Text under the plot.
    """
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 2.6))
        axes: Axes = canvas.subplots()
        looks = ((BLUE, 2.6), (ORANGE, 1.0), (TEXT, 0.6))
        for (label, values), (colour, width) in zip(lines.items(), looks, strict=False):
            axes.plot(time_s, values, color=colour, linewidth=width, label=label)
        axes.set(xlabel="s", ylabel=unit)
        if len(lines) > 1:
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(lines))
        return Figure(caption, svg=_svg(canvas))


def _svg(canvas: Canvas) -> str:
    stream = io.StringIO()
    canvas.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(TEXT, "currentColor")
