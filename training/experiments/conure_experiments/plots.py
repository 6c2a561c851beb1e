"""Plots of the experiments' records, as SVG files that are the same whenever the records are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from conure_core.runtime.atomic_files import replacing
from conure_experiments.checks.demonstrations import (
    imitation_results,
    off_policy_results,
    reward_mixtures,
)
from conure_experiments.checks.priors import (
    labels_of,
    sizes_of_data,
)
from conure_experiments.checks.runs import (
    Runs,
    areas,
    budget,
    curves,
    finals,
)
from conure_experiments.ledger import Record
from conure_experiments.off_policy.figure import AGENTS, draw_off_policy
from conure_training.evaluation.intervals import stratified_interval

GRID_POINTS = 21
LETTER_IN = 0.075
"""Width of one letter of a label."""
GROUPS_A_ROW = 4
BAND_RESAMPLES = 300
COLOURS = (
    "#1f6fb4",
    "#d9792b",
    "#3f9e6b",
    "#b5463c",
    "#7a5ea8",
    "#8a6d3b",
    "#c65c9c",
    "#5b6770",
    "#9aa32a",
    "#2aa3a3",
    "#444444",
)
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.edgecolor": "#888888",
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
}
Groups = Mapping[str, Mapping[str, Sequence[Record]]]
"""Records by panel, or group of bars, and then by line or bar."""


def write_plots(runs: Runs, folder: Path) -> dict[str, list[str]]:
    """Write every plot that has something to show, and remove those that no longer have.

    Args:
        runs: Entries and records of a scale.
        folder: Where the SVG files lie.

    Returns:
        File names by experiment.
    """
    written: dict[str, list[str]] = {}
    for name, (experiment, figure) in _draw_plots(runs).items():
        if figure is not None:
            _save(figure, folder / f"{name}.svg")
            written.setdefault(experiment, []).append(f"{name}.svg")
        else:
            (folder / f"{name}.svg").unlink(missing_ok=True)
    return written


def _draw_plots(runs: Runs) -> dict[str, tuple[str, Figure | None]]:
    by_method = _group(runs, "headline", "method")
    final = {task: _final(lines) for task, lines in by_method.items()}
    sizes = {task: sizes_of_data(runs, task) for task in _list_started_tasks(runs, "data_size")}
    by_learner = _group(runs, "mismatch", "learner")
    by_critic = _group(runs, "asymmetric", "critic")
    for_key = {
        label: runs.of("montezuma", curriculum=curriculum)
        for curriculum, label in (("reverse", "demonstration resets"), ("none", "plain PPO"))
    }
    by_variant = {
        setting: {
            variant: runs.of("dqfd", setting=setting, variant=variant)
            for variant in runs.values("dqfd", "variant")
        }
        for setting in runs.values("dqfd", "setting")
    }
    in_drawer = {
        label: runs.of("drawer", curriculum=curriculum)
        for curriculum, label in (
            ("reverse_forward", "demonstration resets"),
            ("uniform", "uniform resets"),
            ("none", "plain PPO"),
        )
    }
    by_labels = {}
    for task in _list_started_tasks(runs, "auxiliary"):
        lines = _label_counts(labels_of(runs, task))
        by_labels[task] = _final(lines)
    return {
        "headline-curves": ("headline", _plot_learning_curves(by_method)),
        "headline-final": ("headline", _plot_bars(final)),
        "data-size": ("data_size", _plot_against_count(sizes, "trajectories of the prior")),
        "mismatch": ("mismatch", _plot_learning_curves(by_learner)),
        **_plot_off_policy(runs),
        "asymmetric": ("asymmetric", _plot_learning_curves(by_critic)),
        "transfer": ("transfer", _plot_bars(_worlds(runs))),
        "auxiliary": ("auxiliary", _plot_bars(by_labels)),
        "montezuma": ("montezuma", _plot_learning_curves({"first key": for_key})),
        "drawer": ("drawer", _plot_learning_curves({"PlaceInDrawer": in_drawer})),
        "gail": ("gail", _plot_bars(_imitated(runs))),
        "gail-task-reward": ("gail_task_reward", _plot_learning_curves(_rewarded(runs))),
        "visuomotor": ("visuomotor", _plot_learning_curves(_lifted(runs))),
        "dqfd": ("dqfd", _plot_learning_curves(by_variant)),
    }


def _plot_off_policy(runs: Runs) -> dict[str, tuple[str, Figure | None]]:
    """Returns and values of every environment, see draw_off_policy."""
    plots: dict[str, tuple[str, Figure | None]] = {}
    for environment in runs.values("off_policy", "environment"):
        by_setting = {}
        for setting in runs.values("off_policy", "setting"):
            case = {"environment": environment, "setting": setting}
            by_setting[setting] = off_policy_results(runs, **case)
        figure = None
        if any(by_setting.values()):
            with mpl.rc_context(STYLE):
                figure = draw_off_policy(by_setting, COLOURS)
                _legend(figure, AGENTS)
        name = environment.replace("_", "-")
        plots[f"off-policy-{name}"] = ("off_policy", figure)
    return plots


def _list_started_tasks(runs: Runs, experiment: str) -> list[str]:
    """The tasks of an experiment on which it has runs of its own, not only the headline's that it
    shares.
    """
    tasks = runs.values(experiment, "evaluation")
    return [task for task in tasks if runs.of(experiment, evaluation=task)]


def _group(
    runs: Runs,
    experiment: str,
    variable: str,
) -> Groups:
    groups = {}
    for task in runs.values(experiment, "evaluation"):
        lines = {}
        for value in runs.values(experiment, variable):
            lines[value] = runs.of(experiment, evaluation=task, **{variable: value})
        groups[task] = lines
    return groups


def _final(lines: Mapping[str, Sequence[Record]]) -> dict[str, list[float]]:
    return {label: finals(records) for label, records in lines.items()}


def _label_counts(lines: Mapping[str, Sequence[Record]]) -> dict[str, Sequence[Record]]:
    return {f"{int(count):,} labels": records for count, records in lines.items()}


def _worlds(runs: Runs) -> dict[str, dict[str, list[float]]]:
    groups = {}
    for world in ("calm", "perturbed"):
        rates = {}
        for training in runs.values("transfer", "training"):
            records = runs.of("transfer", training=training)
            results = [record.results[world] for record in records]
            rates[f"trained {training}"] = [result["success"]["rate"] for result in results]
        groups[f"tested {world}"] = rates
    return groups


def _imitated(runs: Runs) -> dict[str, dict[str, list[float]]]:
    groups = {}
    for task in runs.values("gail", "imitated"):
        for count in runs.values("gail", "demonstrations"):
            groups[f"{task}, {count}"] = imitation_results(runs, task, count)
    return groups


def _rewarded(runs: Runs) -> Groups:
    if not runs.of("gail_task_reward"):
        return {}
    mixtures = reward_mixtures(runs)
    lines = {f"lambda {share}": mixtures[share] for share in sorted(mixtures, key=float)}
    return {"BlockLift, 4 demonstrations": lines}


def _lifted(runs: Runs) -> Groups:
    lines = {}
    for part in runs.values("visuomotor", "part"):
        lines[part.replace("_", " ")] = runs.of("visuomotor", part=part)
    return {"BlockLift from pixels": lines}


def _labels_in(groups: Mapping[str, Mapping[str, Sequence[Any]]]) -> list[str]:
    """Every label that has something in a group, once, in their order."""
    found: dict[str, None] = {}
    for lines in groups.values():
        for label, values in lines.items():
            if values:
                found[label] = None
    return list(found)


def _plot_learning_curves(groups: Groups) -> Figure | None:
    """Success over environment steps, a panel a task: mean of the seeds, with its bootstrap
    interval as a band.
    """
    groups = {task: lines for task, lines in groups.items() if any(lines.values())}
    if not groups:
        return None
    labels = _labels_in(groups)
    with mpl.rc_context(STYLE):
        columns = min(2, len(groups))
        rows = -(-len(groups) // columns)
        figure = Figure(figsize=(4.2 * columns + 0.4, 2.6 * rows + 0.7))
        panels = figure.subplots(
            rows,
            columns,
            squeeze=False,
            sharey=True,
        ).flat
        for axes, (task, lines) in zip(panels, groups.items(), strict=False):
            for label, records in lines.items():
                if records:
                    place = labels.index(label)
                    _line(axes, records, label, COLOURS[place % len(COLOURS)])
            axes.set(
                title=task,
                ylim=(-3, 103),
                xlabel="environment steps",
            )
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(lambda steps, _: f"{steps:,.0f}")
            axes.grid(axis="y")
        figure.supylabel("success, %", fontsize=10)
        _hide_empty(figure)
        _legend(figure, labels)
        return figure


def _line(
    axes: Axes,
    records: Sequence[Record],
    label: str,
    colour: str,
) -> None:
    grid = np.linspace(0, budget(records), GRID_POINTS)
    rows = np.stack([np.interp(grid, curve.steps, curve.success) for curve in curves(records)])
    low, high = _band(rows)
    ours = label == "latent"
    axes.fill_between(
        grid,
        100 * low,
        100 * high,
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
    axes.plot(
        grid,
        100 * rows.mean(axis=0),
        color=colour,
        linewidth=2.6 if ours else 1.6,
        zorder=3 if ours else 2,
        label=label,
    )


def _band(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ends = np.array([stratified_interval([column], resamples=BAND_RESAMPLES) for column in rows.T])
    return ends[:, 0], ends[:, 1]


def _plot_bars(groups: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure | None:
    """Success of each series, %, side by side within each group, with bootstrap intervals over the
    runs.
    """
    groups = {name: group for name, group in groups.items() if any(group.values())}
    if not groups:
        return None
    labels = _labels_in(groups)
    names = list(groups)
    rows = [names[start : start + GROUPS_A_ROW] for start in range(0, len(names), GROUPS_A_ROW)]
    with mpl.rc_context(STYLE):
        group_in = max(0.24 * (len(labels) + 2), LETTER_IN * (2 + max(map(len, names))))
        width_in = max(4.6, group_in * len(rows[0]) + 1.0)
        figure = Figure(figsize=(width_in, 2.4 * len(rows) + 0.6))
        for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False).flat, rows, strict=True):
            for place, name in enumerate(row):
                _bar_group(axes, place, groups[name], labels)
            axes.set_xticks(range(len(row)), row)
            axes.tick_params(axis="x", length=0)
            axes.set(
                xlim=(-0.55, len(rows[0]) - 0.45),
                ylim=(0, 103),
                ylabel="success, %",
            )
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        _legend(figure, labels)
        return figure


def _bar_group(
    axes: Axes, place: int, group: Mapping[str, Sequence[float]], labels: Sequence[str]
) -> None:
    width = 0.85 / len(labels)
    for index, label in enumerate(labels):
        values = group.get(label)
        if not values:
            continue
        offset = index - (len(labels) - 1) / 2
        x = place + offset * width
        mean = float(np.mean(values))
        colour = COLOURS[index]
        low, high = stratified_interval([np.array(values)])
        axes.bar(
            x,
            100 * mean,
            0.9 * width,
            color=colour,
            label=label,
        )
        axes.plot(
            [x, x],
            [100 * low, 100 * high],
            color="#222222",
            linewidth=1.1,
        )
        if mean == 0:
            axes.plot(
                x,
                0,
                "o",
                color=colour,
                markersize=4,
                clip_on=False,
            )


def _plot_against_count(
    groups: Mapping[str, Mapping[str, Sequence[Record]]], what: str
) -> Figure | None:
    """Area under the curve over a count, logarithmic, a line a task, with bootstrap intervals over
    the runs.
    """
    filled = {}
    for task, lines in groups.items():
        kept = {count: records for count, records in lines.items() if records}
        if kept:
            filled[task] = kept
    groups = filled
    if not groups:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.0))
        axes = figure.subplots()
        for (task, lines), colour in zip(groups.items(), COLOURS, strict=False):
            counts = [int(count) for count in lines]
            scores = [np.array(areas(records)) for records in lines.values()]
            for count, values in zip(counts, scores, strict=True):
                axes.plot(
                    [count, count],
                    stratified_interval([values]),
                    color=colour,
                    linewidth=4,
                    alpha=0.35,
                )
            axes.plot(
                counts,
                [values.mean() for values in scores],
                "o-",
                color=colour,
                markersize=5,
                label=task,
            )
        ticks = sorted({int(count) for lines in groups.values() for count in lines})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set(
            ylim=(0, 1.02),
            xlabel=what,
            ylabel="area under the curve",
        )
        axes.grid(axis="y")
        _legend(figure, list(groups))
        return figure


def _hide_empty(figure: Figure) -> None:
    for axes in figure.axes:
        if not axes.lines:
            axes.set_visible(False)


def _legend(figure: Figure, labels: Sequence[str]) -> None:
    """One legend below all panels, every label once."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    shown = [label for label in labels if label in handles]
    longest = max(len(label) for label in shown)
    label_in = 0.6 + 0.085 * longest
    fitting = max(1, int(figure.get_figwidth() / label_in))
    figure.legend(
        [handles[label] for label in shown],
        shown,
        loc="outside lower center",
        ncols=min(len(shown), fitting),
    )


def _save(figure: Figure, path: Path) -> None:
    with mpl.rc_context({"svg.hashsalt": path.stem}), replacing(path) as temporary:
        figure.savefig(
            temporary,
            format="svg",
            metadata={"Date": None},
        )
