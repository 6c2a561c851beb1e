"""`report.html`: the results of a demo in one file that opens from disk and fetches nothing."""

import base64
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from conure_core.runtime.atomic_files import write_text
from conure_training.demo import plots
from conure_training.demo.display import duration
from conure_training.demo.summary import (
    INFERENCE_LIMIT_MS,
    Results,
    read_results,
    summarize,
    write_summary,
)
from conure_training.evaluation.robot_trials import RobotTrial, camera_frames

REPORT = "report.html"
FRAMES = 12
FRAME_SCALE = 3
"""Frames are tiny: they are enlarged without smoothing."""


@dataclass(frozen=True)
class Strip:
    """Camera frames of one trial."""

    seed: int
    """Seed of the trial."""

    target: str
    """Object to act on."""

    duration_s: float
    """Duration of the trial."""

    frames: list[str]
    """PNGs as data URIs, in order."""


def write_report(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `report.html`, then `summary.json`, from the results of the other steps.

    Args:
        folder: The demo's.
        config: The demo's, as a dictionary.

    Raises:
        DataError: A result is missing or damaged.
    """
    start_s = time.monotonic()
    results = read_results(folder)
    summary = summarize(results, config)
    page = _render(results, summary)
    write_text(folder / REPORT, page)
    summary["stage_seconds"]["report"] = time.monotonic() - start_s
    summary["total_seconds"] = sum(summary["stage_seconds"].values())
    write_summary(folder, summary)


def _render(results: Results, summary: Mapping[str, Any]) -> str:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, percent=lambda value: f"{100 * value:.1f} %")
    template = environment.from_string((files(__package__) / "template.html").read_text())
    success = _first(results, True)
    failure = _first(results, False)
    traced = success or results.trials[0]
    return template.render(
        summary=summary,
        rates=_rates(summary),
        success=_strip(success),
        failure=_strip(failure),
        traced=traced,
        below_p01=_share_below(results, "01"),
        plots=_plots(results, summary, traced),
    )


def _plots(results: Results, summary: Mapping[str, Any], traced: RobotTrial) -> dict[str, str]:
    """The page's plots as SVG, by name."""
    command_ms = results.busy_capture_to_command_ms
    inference_ms = results.export["inference_ms"]
    period_ms = summary["control_period_ms"]
    return {
        "rates": plots.success_rates(_rates(summary)),
        "curves": plots.learning_curves(results.curves),
        "command": plots.latencies(command_ms, period_ms, "one control period"),
        "inference": plots.latencies(inference_ms, INFERENCE_LIMIT_MS, "limit"),
        "likelihood": plots.likelihood_trace(traced.log_likelihood, results.metrics),
    }


def _rates(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float]]]:
    return [
        ("prior alone, any object", summary["prior_success_any"]),
        ("prior alone, the target", summary["prior_success"]),
        ("SAC from scratch", summary["scratch_success"]),
        ("policy, simulation", summary["policy_success_sim"]),
        ("policy, robot graph", summary["policy_success_ros"]),
    ]


def _first(results: Results, success: bool) -> RobotTrial | None:
    return next((trial for trial in results.trials if trial.success == success), None)


def _strip(trial: RobotTrial | None) -> Strip | None:
    if trial is None:
        return None
    frames = [_data_uri(frame) for frame in camera_frames(trial.recording, FRAMES)]
    return Strip(trial.seed, trial.target, trial.duration_s, frames)


def _data_uri(frame: NDArray[np.uint8]) -> str:
    image = Image.fromarray(frame)
    size = (image.width * FRAME_SCALE, image.height * FRAME_SCALE)
    stream = io.BytesIO()
    image.resize(size, Image.Resampling.NEAREST).save(stream, "PNG")
    encoded = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/png;base64,{encoded}"


def _share_below(results: Results, percent: str) -> float:
    """Share of all ticks of all trials whose log-likelihood is below a held-out quantile."""
    values = np.array([value for trial in results.trials for value in trial.log_likelihood])
    if len(values) == 0:
        return 0.0
    below = values < results.metrics[f"held_out_log_likelihood_p{percent}"]
    return float(below.mean())
