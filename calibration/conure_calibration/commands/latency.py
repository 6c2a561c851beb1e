"""`conure calibrate latency`: delays of camera, joint feedback and commands."""

from dataclasses import dataclass, field

import numpy as np

from conure_calibration.commands.outputs import data_folder, with_data, write_outputs
from conure_calibration.latency.recording import Recording, read_recording
from conure_calibration.latency.solve import Delay, Latency, solve_latency
from conure_calibration.results.checks import unmet
from conure_calibration.results.page import Figure, rounded
from conure_calibration.results.plots import curves
from conure_calibration.results.result import Quantity, Verdict, new_result
from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.runtime.claim import claimed
from conure_core.runtime.requirement import Requirement, is_met

MOST_DEVIATION_S = 0.005
NO_CLOCK = (
    "camera, feedback and command delay each: the motion tells command + feedback and camera -"
    " feedback alone; film a screen that shows this computer's time (clock_stamp_s, clock_shown_s)"
)


@dataclass(frozen=True)
class LatencyConfig:
    """Configuration of `conure calibrate latency`; see conf/calibrate_latency.yaml."""

    data: str
    """Folder with latency.npz."""
    screen_hz: float = field(metadata=bounds(1.0, 1000.0))
    """Of the screen that showed the clock."""
    drawing_s: float = field(metadata=bounds(0.0, 1.0))
    """From the clock's reading to light on the screen."""
    out: str
    """Folder for result.yaml and report.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Calibrate the delays of camera, joint feedback and commands from a recording."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_latency", LatencyConfig, words)
    folder = data_folder(config.data, config.out)
    with claimed(config.out, "conure calibrate latency") as out:
        recording = read_recording(folder)
        found = solve_latency(recording, 1 / config.screen_hz, config.drawing_s)
        rows = delays(found)
        checks = [_check(name, delay) for name, delay in rows.items()]
        quantities = [
            Quantity.of(f"{name}_ms", 1000 * delay.seconds, 1000 * delay.deviation_s)
            for name, delay in rows.items()
        ]
        quantities.append(
            Quantity.of("joint_lag_ms", 1000 * found.lag_s, 1000 * found.lag_deviation_s)
        )
        hidden = () if found.camera else (NO_CLOCK,)
        result = new_result(
            "latency", folder, tuple(quantities), _verdict(checks), not_observable=hidden
        )
        write_outputs(out, result, checks, _figures(recording))


def delays(found: Latency) -> dict[str, Delay]:
    """What is known, by name: the three delays with a filmed clock, sum and difference without."""
    parts = {
        "camera_delay": found.camera,
        "feedback_delay": found.feedback_s,
        "command_delay": found.command_s,
    }
    known = {name: delay for name, delay in parts.items() if delay is not None}
    return {
        "command_plus_feedback_delay": found.command_to_feedback,
        "camera_minus_feedback_delay": found.camera_after_feedback,
        **known,
    }


def _check(name: str, delay: Delay) -> Requirement:
    parts = np.array([delay.seconds, delay.deviation_s, delay.jitter_s])
    value_ms, deviation_ms, jitter_ms = 1000 * parts
    value = rounded(value_ms, deviation_ms)
    deviation = rounded(deviation_ms, deviation_ms)
    found = f"{value} +- {deviation} ms, jitter {jitter_ms:.2g} ms"
    met = is_met(delay.deviation_s, at_most=MOST_DEVIATION_S)
    wanted = f"deviation at most {1000 * MOST_DEVIATION_S:g} ms"
    return Requirement(name.replace("_", " "), wanted, found, met)


def _verdict(checks: list[Requirement]) -> Verdict:
    problems = unmet(checks)
    if problems:
        return Verdict(False, f"{problems[0]}; let the arm nod longer and faster.", problems)
    last = checks[-1]
    return Verdict(True, f"{last.what.capitalize()}: {last.found}.")


def _figures(recording: Recording) -> list[Figure]:
    stamps = recording.feedback_stamp_s
    lines = {"measured": recording.feedback_rad}
    return [curves(stamps - stamps[0], lines, "rad", "How the joint nodded.")]
