"""`conure calibrate dynamics`: how each joint's servo moves."""

from dataclasses import dataclass, field

import numpy as np

from conure_calibration.commands.outputs import data_folder, with_data, write_outputs
from conure_calibration.dynamics.backlash import Backlash, fit_backlash
from conure_calibration.dynamics.fit import HELD_OUT, Recorded, ServoFit, fit_servo
from conure_calibration.dynamics.recording import read_dynamics
from conure_calibration.results.checks import at_most, unmet
from conure_calibration.results.page import Figure
from conure_calibration.results.plots import curves
from conure_calibration.results.result import Quantity, Verdict, new_result
from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import DataError
from conure_core.robot.description import load_robot
from conure_core.runtime.claim import claimed
from conure_core.runtime.requirement import Requirement

UNITS = {
    "stiffness": "1_s2",
    "damping": "1_s",
    "coulomb": "rad_s2",
    "limit": "rad_s2",
    "gravity_sin": "rad_s2",
    "gravity_cos": "rad_s2",
}


@dataclass(frozen=True)
class DynamicsConfig:
    """Configuration of `conure calibrate dynamics`; see conf/calibrate_dynamics.yaml."""

    data: str
    """Folder with dynamics.npz."""
    robot: str
    """Name of the arm, or path of its YAML file."""
    most_error_deg: float = field(metadata=bounds(0.001, 10.0))
    """Largest error (rms) on the held-out third."""
    out: str
    """Folder for result.yaml and report.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        load_robot(self.robot)


def run(overrides: list[str]) -> None:
    """Calibrate stiffness, damping, friction, backlash and droop of each joint from a recording."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_dynamics", DynamicsConfig, words)
    folder = data_folder(config.data, config.out)
    robot = load_robot(config.robot)
    with claimed(config.out, "conure calibrate dynamics") as out:
        recordings = read_dynamics(folder, robot.joint_names)
        quantities: list[Quantity] = []
        hidden: list[str] = ["inertia: positions tell every torque divided by it"]
        checks = []
        figures = []
        for joint, (recorded, link) in recordings.items():
            fit = _fitted(recorded, f"{folder}: {joint}")
            play = None if link is None else fit_backlash(recorded.angle_rad, link)
            quantities += joint_quantities(joint, fit, play)
            hidden += _hidden(joint, fit, play)
            checks.append(_check(joint, fit, config.most_error_deg))
            figures.append(_figure(joint, recorded, fit))
        result = new_result(
            "dynamics",
            folder,
            tuple(quantities),
            _verdict(checks),
            robot.name,
            not_observable=tuple(hidden),
        )
        write_outputs(out, result, checks, figures)


def _fitted(recorded: Recorded, where: str) -> ServoFit:
    """Raises: DataError that begins with the folder and the joint."""
    try:
        return fit_servo(recorded)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def joint_quantities(
    joint: str,
    fit: ServoFit,
    play: Backlash | None,
) -> list[Quantity]:
    """What was measured of a joint, without what is not observable.

    Args:
        joint: Its name.
        fit: Of its servo.
        play: Of its gear, if something watched the link.
    """
    servo = fit.servo
    rows = []
    for name, unit in UNITS.items():
        if name not in fit.hidden:
            rows.append((f"{name}_{unit}", getattr(servo, name), fit.deviations[name]))
    rows.append(("delay_ms", 1000 * servo.delay_s, 1000 * fit.deviations["delay_s"]))
    gravity = max(fit.deviations["gravity_sin"], fit.deviations["gravity_cos"])
    droop_deg = np.degrees([servo.droop_rad, gravity / servo.stiffness])
    rows.append(("droop_deg", *droop_deg))
    if play is not None and play.observable:
        backlash_deg = np.degrees([play.radians, play.deviation_rad])
        rows.append(("backlash_deg", *backlash_deg))
    return [Quantity.of(f"{joint}_{name}", value, deviation) for name, value, deviation in rows]


def _hidden(
    joint: str,
    fit: ServoFit,
    play: Backlash | None,
) -> list[str]:
    lines = [f"{joint}: {name}: this motion does not tell it" for name in fit.hidden]
    if play is None:
        lines.append(f"{joint}: backlash: nothing watched the link (link_rad)")
    elif not play.observable:
        lines.append(f"{joint}: backlash: the load presses the gear to one side all the time")
    return lines


def _check(
    joint: str,
    fit: ServoFit,
    most_error_deg: float,
) -> Requirement:
    error_deg = float(np.degrees(fit.held_out_rad))
    what = f"{joint}: error on the held-out third (rms)"
    return at_most(what, error_deg, most_error_deg, "deg")


def _verdict(checks: list[Requirement]) -> Verdict:
    problems = unmet(checks)
    if problems:
        return Verdict(False, f"{problems[0]}; look at the plot, and record again.", problems)
    return Verdict(True, f"Every joint ({len(checks)}) is predicted on what was held out.")


def _figure(
    joint: str,
    recorded: Recorded,
    fit: ServoFit,
) -> Figure:
    split = int(len(recorded.stamp_s) * (1 - HELD_OUT))
    times = recorded.stamp_s[split:]
    lines = {
        "measured": np.degrees(recorded.angle_rad[split:]),
        "predicted": np.degrees(fit.held_out),
    }
    return curves(times - times[0], lines, "deg", f"{joint}: the held-out third.")
