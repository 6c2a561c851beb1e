"""`conure calibrate scene`: the table's plane, the reached part of it, light and colour."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from conure_calibration.commands.outputs import data_folder, with_data, write_outputs
from conure_calibration.results.checks import at_most, unmet
from conure_calibration.results.page import Figure
from conure_calibration.results.plots import bars
from conure_calibration.results.result import Quantity, Verdict, new_result
from conure_calibration.scene.light import Light, measure_light
from conure_calibration.scene.recording import SceneRecording, read_scene
from conure_calibration.scene.table import Table, fit_table
from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import DataError
from conure_core.runtime.claim import claimed
from conure_core.runtime.requirement import Requirement

MOST_TILT_DEG = 1.0
CHANNELS = ("red", "green", "blue")
MIDDLE = 0.25
"""Share of an image's sides that its middle half leaves out on each side."""


@dataclass(frozen=True)
class SceneConfig:
    """Configuration of `conure calibrate scene`; see conf/calibrate_scene.yaml."""

    data: str
    """Folder with scene.yaml."""
    most_residual_mm: float = field(metadata=bounds(0.1, 100.0))
    """Largest scatter (rms) of points about the table's plane."""
    out: str
    """Folder for result.yaml and report.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Calibrate the scene: table plane from touches or a board, light from images of it empty."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_scene", SceneConfig, words)
    folder = data_folder(config.data, config.out)
    with claimed(config.out, "conure calibrate scene") as out:
        recording = read_scene(folder)
        try:
            table = _table(recording)
            light = _light(recording)
        except DataError as error:
            raise DataError(f"{folder}: {error}") from error
        checks = judge(table, light, config.most_residual_mm)
        size = (0, 0) if light is None else recording.images.shape[2:0:-1]
        result = new_result(
            "scene",
            folder,
            (*table_quantities(recording, table), *light_quantities(light)),
            _verdict(checks, recording, table, light),
            recording.robot.name,
            (int(size[0]), int(size[1])),
            _hidden(table, light),
        )
        write_outputs(out, result, checks, _figures(recording, table, light))


def _table(recording: SceneRecording) -> Table | None:
    if not len(recording.points_m):
        return None
    robot = recording.robot
    corners = np.array([robot.workspace_lower_m, robot.workspace_upper_m])
    centre_m = corners.mean(axis=0)[:2]
    return fit_table(recording.points_m, centre_m, recording.file.noise_m)


def _light(recording: SceneRecording) -> Light | None:
    """Of the image's middle half, where the table is."""
    if not recording.file.empty:
        return None
    height, width = recording.images.shape[1:3]
    region = np.zeros((height, width), dtype=bool)
    rows = slice(int(MIDDLE * height), int((1 - MIDDLE) * height))
    columns = slice(int(MIDDLE * width), int((1 - MIDDLE) * width))
    region[rows, columns] = True
    return measure_light(recording.images, region)


def table_quantities(recording: SceneRecording, table: Table | None) -> list[Quantity]:
    """Height, tilt, and the part of the table where points were taken.

    Args:
        recording: Whose points.
        table: Fitted to them.
    """
    if table is None:
        return []
    noise_m = recording.file.noise_m
    tilt = np.degrees([table.tilt_rad, table.tilt_deviation_rad])
    found = [
        Quantity.of("table_height_m", table.height_m, table.height_deviation_m),
        Quantity.of("table_tilt_deg", *tilt),
    ]
    for axis, name in enumerate("xy"):
        values = recording.points_m[:, axis]
        found.append(Quantity.of(f"reached_{name}_low_m", values.min(), noise_m))
        found.append(Quantity.of(f"reached_{name}_high_m", values.max(), noise_m))
    return found


def light_quantities(light: Light | None) -> list[Quantity]:
    """Colour, exposure and noise, with how well so few images tell them."""
    if light is None:
        return []
    count = len(light.exposure)
    of_spread = light.exposure_spread / np.sqrt(2 * (count - 1))
    of_noise = light.noise_levels / np.sqrt(2 * (count - 1))
    found = [
        Quantity.of("exposure_spread", light.exposure_spread, of_spread),
        Quantity.of("image_noise_levels", light.noise_levels, of_noise),
    ]
    rows = zip(CHANNELS, light.colour, light.colour_spread, strict=True)
    return [*found, *(Quantity.of(f"table_{name}", value, spread) for name, value, spread in rows)]


def judge(
    table: Table | None,
    light: Light | None,
    most_residual_mm: float,
) -> list[Requirement]:
    """Compare the scene with what good ones have.

    Args:
        table: None where it was not measured.
        light: None where there are no images.
        most_residual_mm: Largest scatter about the plane.
    """
    checks = []
    if table is not None:
        tilt_deg = float(np.degrees(table.tilt_rad))
        checks.append(
            at_most("scatter about the plane (rms)", 1000 * table.rms_m, most_residual_mm, "mm")
        )
        checks.append(at_most("tilt of the table", tilt_deg, MOST_TILT_DEG, "deg"))
    if light is not None:
        checks.append(at_most("images in which something moved", len(light.moved), 0))
    return checks


def _verdict(
    checks: list[Requirement],
    recording: SceneRecording,
    table: Table | None,
    light: Light | None,
) -> Verdict:
    problems = unmet(checks)
    if table is not None and table.outlier is not None:
        name = recording.names[table.outlier]
        far_mm = 1000 * abs(table.residuals_m[table.outlier])
        problems = (f"{name} is {far_mm:.1f} mm off the plane of the others; repeat it", *problems)
    if light is not None and light.moved:
        moved = ", ".join(recording.file.empty[index] for index in light.moved)
        problems = (
            f"something moved in {moved}; take the images of the empty scene again",
            *problems,
        )
    if problems:
        return Verdict(False, f"{problems[0]}.", problems)
    parts = []
    if table is not None:
        parts.append(f"table {1000 * table.height_m:.1f} mm above the base frame's origin")
    if light is not None:
        parts.append(f"brightness varies by {100 * light.exposure_spread:.1f} %")
    return Verdict(True, f"Good: {', '.join(parts)}.")


def _hidden(table: Table | None, light: Light | None) -> tuple[str, ...]:
    lines = []
    if table is None:
        lines.append("table: neither touches nor a board")
    if light is None:
        lines.append("light: no images of the empty scene")
    else:
        lines.append("direction of the light: an empty table throws no shadow")
    return tuple(lines)


def _figures(
    recording: SceneRecording,
    table: Table | None,
    light: Light | None,
) -> list[Figure]:
    found = []
    if table is not None:
        heights = 1000 * table.residuals_m
        numbered = {
            f"{name} #{index}": float(value)
            for index, (name, value) in enumerate(zip(recording.names, heights, strict=True))
        }
        found.append(bars(numbered, "mm", "Height of each point over the fitted plane."))
    if light is not None:
        names = [Path(name).name for name in recording.file.empty]
        percent = (100 * (light.exposure - 1.0)).tolist()
        found.append(bars(dict(zip(names, percent, strict=True)), "%", "Brightness of each image."))
    return found
