"""Plots as inline SVG in the page's own font and text colour, for light and dark pages."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

ROLLING_EPISODES = 50
TEXT = "#010203"
"""Replaced by the page's text colour."""
FAINT = "#040506"
"""Replaced by the page's faint colour."""
BLUE = "#3b82c4"
ORANGE = "#d9792b"
GREEN = "#3f9e6b"
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def success_rates(rates: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Draw (label, rate) pairs as dots with 95 % intervals, from top to bottom."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.45 * len(rates) + 0.75))
        axes = figure.subplots()
        for row, (_, rate) in enumerate(rates):
            interval = [100 * rate["low"], 100 * rate["high"]]
            axes.plot(interval, [row, row], color=BLUE, linewidth=5, alpha=0.4)
            axes.plot(100 * rate["rate"], row, "o", color=BLUE, markersize=8, clip_on=False)
        axes.set(xlim=(-1, 101), ylim=(len(rates) - 0.5, -0.5), xlabel="success, % of episodes")
        axes.set_yticks(range(len(rates)), [label for label, _ in rates])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        _grid(axes, "x")
        return _svg(figure, "rates")


def learning_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Draw the learners' rolling success in training, over environment steps.

    `curves` holds each learner's episodes, with `steps` and `success`.
    """
    labels = {"latent": ("latent SAC, in z", BLUE), "scratch": ("SAC from scratch", ORANGE)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.9))
        axes = figure.subplots()
        for name, episodes in curves.items():
            label, colour = labels[name]
            outcomes = [float(episode["success"]) for episode in episodes]
            steps = [episode["steps"] for episode in episodes]
            percent = 100 * rolling_mean(outcomes, ROLLING_EPISODES)
            axes.plot(steps, percent, color=colour, linewidth=2, label=label)
        axes.set(
            ylim=(-3, 103),
            xlabel="environment steps",
            ylabel=f"success, %, last {ROLLING_EPISODES} episodes",
        )
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda steps, _: f"{steps:,.0f}")
        axes.legend(loc="upper left")
        _grid(axes, "y")
        return _svg(figure, "curves")


def latencies(values_ms: Sequence[float], limit_ms: float, limit_label: str) -> str:
    """Draw a histogram with p50, p99, the worst value and a limit.

    Args:
        values_ms: The latencies.
        limit_ms: Where a line shows the limit.
        limit_label: Of that line; unique on the page.

    Returns:
        The <svg> element; counts are logarithmic, so that the tail shows.
    """
    values = np.asarray(values_ms)
    marks = {
        "p50": ("-", np.percentile(values, 50)),
        "p99": ("--", np.percentile(values, 99)),
        "worst": (":", values.max()),
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.5))
        axes = figure.subplots()
        right = 1.04 * max(float(values.max()), limit_ms)
        axes.hist(values, bins=np.linspace(0, right, 90).tolist(), color=BLUE, alpha=0.75)
        axes.set_yscale("log")
        axes.set(xlim=(0, right), xlabel="ms", ylabel="count")
        axes.set_ylim(0.7, 3 * axes.get_ylim()[1])
        for label, (dashes, value) in marks.items():
            text = f"{label}: {value:.3g} ms"
            axes.axvline(value, color=GREEN, linewidth=1.5, linestyle=dashes, label=text)
        axes.axvline(limit_ms, color=ORANGE, linewidth=2, label=f"{limit_label}: {limit_ms:g} ms")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return _svg(figure, f"latency-{limit_label}")


def likelihood_trace(log_likelihood: Sequence[float], metrics: Mapping[str, float]) -> str:
    """Draw the log-likelihood of one trial's actions.

    Args:
        log_likelihood: Of every tick's action, nats.
        metrics: The prior's, with held-out quantiles, which are drawn as lines.

    Returns:
        The <svg> element.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.7))
        axes = figure.subplots()
        for percent in ("50", "05", "01"):
            value = metrics[f"held_out_log_likelihood_p{percent}"]
            axes.axhline(value, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                f"{int(percent)} %",
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=ORANGE,
            )
        ticks = np.arange(1, len(log_likelihood) + 1)
        axes.plot(ticks, log_likelihood, color=BLUE, linewidth=1.8, marker="o", markersize=3.5)
        axes.set(xlabel="tick", ylabel="log-likelihood, nats")
        _grid(axes, "y")
        return _svg(figure, "likelihood")


def rolling_mean(values: Sequence[float], window: int) -> NDArray[np.float64]:
    """Average the last values up to every one.

    Args:
        values: n of them.
        window: How many to average; fewer at the beginning.

    Returns:
        Shape (n,).
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - window)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _grid(axes: Axes, axis: Any) -> None:
    axes.grid(axis=axis, color=FAINT, linewidth=0.6, alpha=0.35)
    axes.set_axisbelow(True)


def _svg(figure: Figure, salt: str) -> str:
    """The <svg> element; the salt keeps the identifiers of a page's plots apart."""
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace("sans-serif", "var(--font)")
    return text.replace(TEXT, "currentColor").replace(FAINT, "var(--faint)")
