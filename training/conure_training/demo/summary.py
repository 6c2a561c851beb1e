"""`summary.json`: the results of a demo's steps, and whether they meet the requirements."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.errors import DataError
from conure_core.robot.description import load_robot
from conure_core.runtime.atomic_files import damaged, read_json, write_json
from conure_core.runtime.provenance import git_commit, machine
from conure_core.runtime.requirement import Requirement, is_met
from conure_training.demo.pipeline import read_record
from conure_training.evaluation.intervals import estimate_rate
from conure_training.evaluation.robot_trials import LOAD_FILE, RobotTrial, read_trials

SUMMARY = "summary.json"
STAGES = ("demonstrations", "prior", "rl", "export", "robot")
"""Names of the steps before the report."""
PACKAGES = (
    "conure",
    "numpy",
    "torch",
    "onnxruntime",
    "pybullet",
    "pin",
    "gymnasium",
    "ros-jazzy-rclpy",
)
QUANTILES = tuple(f"held_out_log_likelihood_p{percent}" for percent in ("01", "05", "50"))
INFERENCE_LIMIT_MS = 2.0
DEMO_LIMIT_S = 900.0


@dataclass(frozen=True)
class Results:
    """The results of all steps before the report."""

    prior: dict[str, Any]
    """The prior's rollouts, see `evaluate`."""

    policy: dict[str, Any]
    """The latent policy's rollouts, see `evaluate`."""

    scratch: dict[str, Any]
    """Rollouts of the policy from scratch, see `evaluate`."""

    curves: dict[str, list[dict[str, Any]]]
    """Episodes of training, by method."""

    export: dict[str, Any]
    """Parity and inference times, see `export_policy`."""

    metrics: dict[str, float]
    """Metrics of the prior's training."""

    trials: list[RobotTrial]
    """On the robot graph."""

    busy_trials: list[RobotTrial]
    """On the robot graph, beside simulations on every core."""

    busy_cores: float
    """Mean number of busy cores during these."""

    stage_seconds: dict[str, float]
    """Work by step."""

    stage_commits: dict[str, str] = field(default_factory=dict)
    """Commit of the sources by step."""

    @property
    def capture_to_command_ms(self) -> list[float]:
        """Latencies of all ticks of all trials."""
        return [value for trial in self.trials for value in trial.capture_to_command_ms]

    @property
    def busy_capture_to_command_ms(self) -> list[float]:
        """Latencies of all ticks beside simulations on every core."""
        return [value for trial in self.busy_trials for value in trial.capture_to_command_ms]

    @property
    def robot_inference_ms(self) -> list[float]:
        """Inference times of all ticks of all trials, in the policy node."""
        return [value for trial in self.trials for value in trial.inference_ms]


def read_results(folder: Path) -> Results:
    """Read the results of all steps.

    Raises: DataError names the file that is missing, damaged or incomplete, and what to do.
    """
    trials = _trials(folder / "trials")
    busy_trials = _trials(folder / "busy_trials")
    records = {name: record for name in STAGES if (record := read_record(folder, name))}
    prior = folder / "prior"
    rl = folder / "rl"
    load = _json(folder / "busy_trials" / LOAD_FILE, ("busy_cores",))
    return Results(
        prior=_evaluation(prior / "rollouts.json"),
        policy=_evaluation(rl / "rollouts.json"),
        scratch=_evaluation(rl / "scratch_rollouts.json"),
        curves={name: _curve(rl / name / "curve.json") for name in ("latent", "scratch")},
        export=_json(folder / "export.json", ("parity", "inference_ms")),
        metrics=_json(prior / "metrics.json", QUANTILES),
        trials=trials,
        busy_trials=busy_trials,
        busy_cores=float(load["busy_cores"]),
        stage_seconds={name: record.seconds for name, record in records.items()},
        stage_commits={name: record.commit for name, record in records.items() if record.commit},
    )


def summarize(results: Results, config: Mapping[str, Any]) -> dict[str, Any]:
    """Condense results into the content of `summary.json`.

    Args:
        results: Of all steps.
        config: The demo's, as a dictionary.

    Returns:
        Metrics by name, and `required`: every requirement with its verdict.
    """
    parity = results.export["parity"]
    ros = estimate_rate([trial.success for trial in results.trials])
    policy = results.policy["success"]
    scenes = int(results.metrics.get("labelled_scenes", config["prior"]["static_scenes"]))
    robot = load_robot(config["robot"]["robot"])
    summary: dict[str, Any] = {
        "prior_success_any": results.prior["any_lifted"],
        "prior_success": results.prior["success"],
        "scratch_success": results.scratch["success"],
        "policy_success_sim": policy,
        "policy_success_ros": ros,
        "ros_not_below_simulation": ros["rate"] >= policy["low"],
        "onnx_observations": parity["count"],
        "onnx_action_max_abs_diff": parity["action"],
        "onnx_log_likelihood_max_abs_diff": parity["log_likelihood"],
        "onnx_inverse_log_likelihood_max_abs_diff": parity["inverse_log_likelihood"],
        "round_trip_max_abs_diff": parity["round_trip"],
        **_percentiles("inference_ms", results.export["inference_ms"]),
        "inference_calls": len(results.export["inference_ms"]),
        **_percentiles("capture_to_command_ms", results.busy_capture_to_command_ms),
        "capture_to_command_ticks": len(results.busy_capture_to_command_ms),
        **_percentiles("trials_capture_to_command_ms", results.capture_to_command_ms),
        **_percentiles("robot_inference_ms", results.robot_inference_ms),
        "control_period_ms": 1000 * robot.control_period_s,
        "busy_cores": results.busy_cores,
        "safety_changes": sum(trial.safety_changes for trial in results.trials),
        "auxiliary_task": auxiliary_task(results.metrics, scenes),
        "target": config["target"],
        "noise_scale": config["noise_scale"],
        "demonstrations": config["demos"]["episodes"],
        "rl_steps": {name: curve[-1]["steps"] for name, curve in results.curves.items()},
        "stage_seconds": results.stage_seconds,
        "total_seconds": sum(results.stage_seconds.values()),
        "seed": config["seed"],
        "commit": git_commit(),
        "stage_commits": results.stage_commits,
        "versions": versions(),
        "machine": machine(),
    }
    summary["required"] = [asdict(requirement) for requirement in requirements(summary)]
    return summary


def requirements(summary: Mapping[str, Any]) -> list[Requirement]:
    """Compare every metric that has a limit with it."""
    ros = summary["policy_success_ros"]
    simulation = summary["policy_success_sim"]
    period_ms = summary["control_period_ms"]
    return [
        _at_least("prior alone, any object lifted", summary["prior_success_any"], 0.60),
        _at_least("policy in simulation, target lifted", simulation, 0.85),
        _at_least("policy on the robot graph, target lifted", ros, 0.80),
        Requirement(
            "robot graph not below the simulation's 95 % interval",
            f"at least {_percent(simulation['low'])}, {_least_count(simulation, ros['trials'])}",
            _percent(ros["rate"]),
            bool(summary["ros_not_below_simulation"]),
        ),
        _at_most("ONNX against torch, action", summary["onnx_action_max_abs_diff"], 1e-5),
        _at_most(
            "ONNX against torch, log-likelihood, nats",
            summary["onnx_log_likelihood_max_abs_diff"],
            1e-4,
        ),
        _at_most("round trip f(f⁻¹(a)) to a", summary["round_trip_max_abs_diff"], 1e-4),
        _below("inference on one core, p99", summary["inference_ms_p99"], INFERENCE_LIMIT_MS, "ms"),
        _below(
            "capture to joint command, p99, all cores busy",
            summary["capture_to_command_ms_p99"],
            period_ms,
            "ms",
        ),
        _below("all stages", summary["total_seconds"], DEMO_LIMIT_S, "s"),
    ]


def _least_count(interval: Mapping[str, float], trials: int) -> str:
    """The least successes, of so few trials, whose rate is not below the interval."""
    least = next(count for count in range(trials + 1) if count / trials >= interval["low"])
    return f"{least} of {trials}"


def _at_least(what: str, rate: Mapping[str, float], least: float) -> Requirement:
    found = rate["rate"]
    met = is_met(found, at_least=least)
    return Requirement(what, f"at least {100 * least:.0f} %", _percent(found), met)


def _at_most(what: str, value: float | None, most: float) -> Requirement:
    value = _as_number(value)
    met = is_met(value, at_most=most)
    return Requirement(what, f"at most {most:.0e}", f"{value:.1e}", met)


def _below(what: str, value: float | None, limit: float, unit: str) -> Requirement:
    value = _as_number(value)
    digits = 2 if unit == "ms" else 0
    met = is_met(value, below=limit)
    return Requirement(what, f"under {limit:g} {unit}", f"{value:.{digits}f} {unit}", met)


def _as_number(value: float | None) -> float:
    """A measured value as JSON holds it: NaN stands there as null."""
    return np.nan if value is None else value


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    """The metrics `name_p50`, `name_p99` and `name_worst`."""
    p50, p99 = np.percentile(values, (50, 99))
    return {
        f"{name}_p50": float(p50),
        f"{name}_p99": float(p99),
        f"{name}_worst": float(max(values)),
    }


def auxiliary_task(metrics: Mapping[str, float], scenes: int) -> dict[str, Any]:
    """Describe the labels that the prior's encoder had beyond the demonstrations.

    Wherever results are shown, this note is shown too.

    Args:
        metrics: Of the prior's training.
        scenes: Labelled static scenes.

    Returns:
        `labelled_scenes` and `note`; with scenes also `objects_found`, a share, and
        `object_position_error_mm`, None if not measured.
    """
    if scenes == 0:
        return {
            "labelled_scenes": 0,
            "note": "The prior's encoder was trained without labelled static scenes.",
        }
    found = metrics.get("objects_found")
    error_mm = metrics.get("object_position_error_mm")
    measured = ""
    if found is not None and error_mm is not None:
        measured = (
            f"; it finds {100 * found:.0f} % of the objects in held-out demonstrations, median"
            f" error {error_mm:.1f} mm"
        )
    note = (
        "The prior's encoder is helped by object positions in static scenes of the simulator "
        f"({scenes:,} labelled scenes{measured})."
    )
    return {
        "labelled_scenes": scenes,
        "objects_found": found,
        "object_position_error_mm": error_mm,
        "note": note,
    }


def versions() -> dict[str, str]:
    """Look up the versions of Python and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`, whole or not at all.

    Args:
        folder: The demo's.
        summary: Its content, see `summarize`.
    """
    write_json(folder / SUMMARY, summary)


def read_summary(folder: Path) -> dict[str, Any]:
    """Read `summary.json`. Raises: DataError if it cannot be read."""
    return _json(
        folder / SUMMARY, ("required", "policy_success_sim", "policy_success_ros", "auxiliary_task")
    )


def _trials(folder: Path) -> list[RobotTrial]:
    trials = read_trials(folder)
    if not any(trial.capture_to_command_ms for trial in trials):
        raise DataError(
            f"{folder}: no trial holds a single command; remove the folder and run the demo again"
        )
    return trials


def _evaluation(path: Path) -> dict[str, Any]:
    return _json(path, ("success", "any_lifted", "episodes"))


def _curve(path: Path) -> list[dict[str, Any]]:
    episodes: list[dict[str, Any]] = _json(path, ("episodes",))["episodes"]
    if not episodes:
        raise DataError(f"{path} holds no episode; remove it and run the demo again")
    return episodes


def _json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    remedy = "remove it and run the demo again"
    try:
        data: dict[str, Any] = read_json(path, remedy)
        missing = [key for key in keys if key not in data]
    except (OSError, ValueError, TypeError) as error:
        raise damaged(path, error, remedy) from error
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; remove it and run the demo again")
    return data
