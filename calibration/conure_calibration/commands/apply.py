"""`conure calibrate apply`: results in robot files, simulated camera and servos, and a preset."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from conure_calibration.apply.camera import simulated_camera
from conure_calibration.apply.measured import CALIBRATIONS, Measured, read_measured
from conure_calibration.apply.preset import NAME, calibrated_preset
from conure_calibration.apply.robot_file import calibrated_fields, calibrated_urdf
from conure_calibration.apply.servos import simulated_servos
from conure_calibration.commands.outputs import with_data
from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.config.yaml_fields import tuples_as_lists
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot, robot_file
from conure_core.runtime.atomic_files import replacing
from conure_core.runtime.claim import claimed

CAMERA = "camera.yaml"
PRESET = f"{NAME}.yaml"
APPLIED = "applied.yaml"


@dataclass(frozen=True)
class ApplyConfig:
    """Configuration of `conure calibrate apply`; see conf/calibrate_apply.yaml."""

    data: str
    """Folder that holds a folder of results for each calibration."""
    robot: str
    """Name of the arm, or path of its YAML file."""
    what: list[str]
    """Calibrations to apply; empty: all that are there."""
    out: str
    """Folder for what is written; its earlier content is replaced as a whole."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        load_robot(self.robot)
        for what in self.what:
            if what not in CALIBRATIONS:
                raise unknown_name("calibration", what, CALIBRATIONS)


def run(overrides: list[str]) -> None:
    """Apply calibrations: robot file, simulated camera and servos, randomization preset."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_apply", ApplyConfig, words)
    folder = Path(config.data).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"from={config.data} is not a folder; give the one with the results")
    robot = load_robot(config.robot)
    with claimed(config.out, "conure calibrate apply") as out:
        measured = read_measured(folder, robot, config.what)
        stem = f"{robot_file(config.robot).stem}_calibrated"
        files, notes = calibrated_files(measured, config.robot, stem)
        _require_own(out, stem)
        with replacing(out) as temporary:
            temporary.mkdir()
            for name, content in files.items():
                (temporary / name).write_text(content)
            _require_arm(temporary / f"{stem}.yaml", out)
    for note in notes:
        print(f"  {note}")
    for name in files:
        print(f"written: {out / name}")


def _require_arm(path: Path, out: Path) -> None:
    """Raises: ConfigError for a robot that cannot be used with what was measured."""
    try:
        Arm(load_robot(str(path)))
    except ConfigError as error:
        text = str(error).replace(str(path.parent), str(out))
        raise ConfigError(
            f"{text}; the results would make this of the robot, look at them"
        ) from error


def _require_own(out: Path, stem: str) -> None:
    """Raises: ConfigError for a folder with files that nobody wrote here."""
    own = {*(f"{stem}{end}" for end in (".yaml", ".sim.yaml", ".urdf")), CAMERA, PRESET, APPLIED}
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in there if name not in own]
    if foreign:
        raise ConfigError(
            f"out={out} holds {foreign[0]}, which is not of this command and would be lost; give"
            " another out="
        )


def calibrated_files(
    measured: Measured,
    robot: str,
    stem: str,
) -> tuple[dict[str, str], list[str]]:
    """Compute everything before anything is written.

    Args:
        measured: The results.
        robot: Name of the arm, or path of its YAML file.
        stem: Of the robot's new files.

    Returns:
        Contents by file name, and what was assumed or left out, a sentence each.
    """
    files: dict[str, str] = {}
    preset, notes = calibrated_preset(measured)
    urdf = calibrated_urdf(measured)
    if urdf is not None:
        files[f"{stem}.urdf"] = urdf
    named = None if urdf is None else f"{stem}.urdf"
    files[f"{stem}.yaml"] = _yaml(calibrated_fields(robot, named, measured))
    is_path = robot.endswith((".yaml", ".yml"))
    simulation: dict[str, Any] = {"arm": str(Path(robot).resolve()) if is_path else robot}
    if "dynamics" in measured.results:
        servos, assumed = simulated_servos(measured)
        simulation |= {"servo": "measured", "servos": servos}
        notes += assumed
    else:
        notes.append("dynamics is not there: the simulated joints follow at once")
    files[f"{stem}.sim.yaml"] = _yaml(simulation)
    if {"camera", "hand_eye"} <= measured.results.keys():
        files[CAMERA] = _yaml(simulated_camera(measured))
    else:
        notes.append("camera or hand_eye is not there: no simulated camera")
    files[PRESET] = _yaml(preset)
    files[APPLIED] = _yaml({"robot": measured.robot.name, "results": _sources(measured)})
    return files, notes


def _sources(measured: Measured) -> dict[str, Any]:
    """Where each value comes from."""
    sources = {}
    for what, result in measured.results.items():
        fields = asdict(result)
        sources[what] = {key: fields[key] for key in ("date", "version", "data", "data_sha256")}
    return sources


def _yaml(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(tuples_as_lists(fields), sort_keys=False, width=100)
