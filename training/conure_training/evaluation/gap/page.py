"""The page of `conure gap evaluations`: the claim first, plots, tables."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from conure_core.runtime.atomic_files import write_text
from conure_training.evaluation.comparison import Rate, shown
from conure_training.evaluation.gap.sensitivity import FactorEffect

TEMPLATE = Path(__file__).with_name("page.html")
BLUE = "#2a6f97"
GREY = "#8d99ae"
RatePair = tuple[Rate, Rate]


def write_page(
    path: Path,
    claim: str,
    names: Sequence[str],
    rates: Sequence[RatePair],
    effects: Sequence[FactorEffect],
) -> None:
    """Write one HTML file that needs no other.

    Args:
        path: The file.
        claim: In words.
        names: Of the policies.
        rates: Of each policy, simulated and real.
        effects: Of the factors.
    """
    plots: list[dict[str, str]] = []
    if rates:
        plots.append({"title": "success, simulated and real", "png": _png(_draw_rates, rates)})
    if effects:
        plots.append({"title": "change by factor", "png": _png(_draw_effects, effects)})
    policies = [
        {"name": name, "simulated": shown(one), "real": shown(other)}
        for name, (one, other) in zip(names, rates, strict=True)
    ]
    template = Environment(autoescape=True, undefined=StrictUndefined)
    page = template.from_string(TEMPLATE.read_text())
    write_text(path, page.render(claim=claim, plots=plots, policies=policies, effects=effects))


def _png(draw: Any, values: Sequence[Any]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes, values)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return base64.b64encode(stream.getvalue()).decode()


def _draw_rates(axes: Any, rates: Sequence[RatePair]) -> None:
    """A point a policy, numbered as in the table, with both intervals."""
    axes.plot([0, 100], [0, 100], color=GREY, linestyle="--")
    for number, (one, other) in enumerate(rates, start=1):
        x, y = 100 * one.rate, 100 * other.rate
        x_err = [[x - 100 * one.low], [100 * one.high - x]]
        y_err = [[y - 100 * other.low], [100 * other.high - y]]
        axes.errorbar(x, y, xerr=x_err, yerr=y_err, fmt="o", color=BLUE, elinewidth=0.8)
        axes.annotate(str(number), (x, y), xytext=(4, 4), textcoords="offset points")
    axes.set(
        xlabel="success in simulation, %",
        ylabel="success in reality, %",
        xlim=(-3, 103),
        ylim=(-3, 103),
    )


def _draw_effects(axes: Any, effects: Sequence[FactorEffect]) -> None:
    """A bar a factor, the most harmful on top."""
    listed = list(effects)[::-1]
    changes = [100 * effect.change.value for effect in listed]
    below = [100 * (effect.change.value - effect.change.low) for effect in listed]
    above = [100 * (effect.change.high - effect.change.value) for effect in listed]
    axes.barh([effect.factor for effect in listed], changes, xerr=[below, above], color=BLUE)
    axes.axvline(0.0, color=GREY)
    axes.set(xlabel="change of success, points")
