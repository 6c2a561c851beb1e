"""The plot of the experiment: returns above, predicted and true values below."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from conure_experiments.off_policy.experiment import BEHAVIORAL
from conure_experiments.off_policy.measures import Results

AGENTS = (BEHAVIORAL, "ddpg", "bcq", "td3_bc", "iql")


def draw_off_policy(by_setting: Mapping[str, Results], colours: Sequence[str]) -> Figure:
    """Draw a column for each experiment, means over seeds, each seed faint.

    Above: the return over updates, dotted those of random actions and of the expert. Below, at the
    first observation of the same episodes: the value that the critic predicts, and dashed the true
    one, the mean discounted return.

    Args:
        by_setting: Results of one environment by experiment.
        colours: One for each agent.

    Returns:
        The figure.
    """
    columns = {setting: results for setting, results in by_setting.items() if results}
    figure = Figure(figsize=(3.3 * len(columns) + 0.6, 5.2))
    axes = figure.subplots(2, len(columns), squeeze=False, sharex="col")
    for column, (setting, results) in enumerate(columns.items()):
        above, below = axes[0][column], axes[1][column]
        for agent, colour in zip(AGENTS, colours, strict=False):
            if agent in results[0]["agents"]:
                _line(above, results, agent, "return", colour, "-")
                _line(below, results, agent, "true", colour, "--")
                _line(below, results, agent, "predicted", colour, "-")
        for name in ("random_return", "expert_return"):
            level = np.mean([result[name] for result in results])
            above.axhline(level, color="#999999", linewidth=0.9, linestyle=":")
        below.axhline(results[0]["largest_return"], color="#222222", linewidth=0.9)
        above.set(title=setting.replace("_", " "))
        below.set(xlabel="updates")
        below.xaxis.set_major_locator(MaxNLocator(4))
    axes[0][0].set(ylabel="return")
    axes[1][0].set(ylabel="value")
    for panel in axes.flat:
        panel.grid(axis="y")
    return figure


def _line(axes: Axes, results: Results, agent: str, name: str, colour: str, style: str) -> None:
    curves = [result["agents"][agent] for result in results]
    if any(name not in entry for curve in curves for entry in curve):
        return
    updates = [entry["updates"] for entry in curves[0]]
    rows = np.array([[entry[name] for entry in curve] for curve in curves])
    if len(updates) == 1:  # the scripted expert does not learn
        axes.axhline(rows.mean(), color=colour, linewidth=1.6, linestyle=style, label=agent)
        return
    for row in rows:
        axes.plot(updates, row, color=colour, linewidth=0.7, alpha=0.35, linestyle=style)
    axes.plot(updates, rows.mean(axis=0), color=colour, linestyle=style, label=agent)
