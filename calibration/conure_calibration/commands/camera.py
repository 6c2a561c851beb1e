"""`conure calibrate camera`: intrinsics from a folder of images of a board."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from conure_calibration.boards.board import Board, read_board
from conure_calibration.commands.outputs import data_folder, with_data, write_outputs
from conure_calibration.intrinsics.calibrate import Intrinsics, calibrate_lens
from conure_calibration.intrinsics.fit import Placed
from conure_calibration.intrinsics.frames import (
    Frames,
    View,
    choose_views,
    coverage,
    find_views,
    image_paths,
    read_grey,
)
from conure_calibration.intrinsics.lens import COEFFICIENTS, write_lens
from conure_calibration.results.page import Figure, picture
from conure_calibration.results.plots import bars, residual_map
from conure_calibration.results.result import Quantity, Verdict, new_result
from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import DataError, unknown_name
from conure_core.runtime.claim import claimed
from conure_core.runtime.requirement import Requirement, is_met

CAMERA = "camera.yaml"
LEAST_COVERAGE = 0.5
MOST_RMS_PX = 1.0
GOOD_RMS_PX = 0.5
MOST_FOCAL_DEVIATION = 0.005
"""Standard deviation of the focal length, as a share of it: beyond, the board was not tilted."""


@dataclass(frozen=True)
class CameraConfig:
    """Configuration of `conure calibrate camera`; see conf/calibrate_camera.yaml."""

    data: str
    """Folder with images and board.yaml."""
    name: str
    """The camera's name, for its file."""
    frames: int = field(metadata=bounds(6, 1000))
    """How many frames are taken at most."""
    models: list[str]
    """Lens models to choose from."""
    out: str
    """Folder for camera.yaml, result.yaml and report.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for model in self.models:
            if model not in COEFFICIENTS:
                raise unknown_name("model", model, COEFFICIENTS)


def run(overrides: list[str]) -> None:
    """Calibrate a camera's lens from a folder of images of a board."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_camera", CameraConfig, words)
    folder = data_folder(config.data, config.out)
    board = read_board(folder)
    with claimed(config.out, "conure calibrate camera") as out:
        paths = image_paths(folder)
        frames = find_views(((path.name, read_grey(path)) for path in paths), board)
        views = choose_views(frames.good, frames.size_px, config.frames)
        try:
            found = calibrate_lens(views, frames.size_px, board, config.models)
        except DataError as error:
            raise DataError(f"{folder}: {error}{_most_refused(frames)}") from error
        _write(config, out, folder, board, frames, views, found)


def _most_refused(frames: Frames) -> str:
    """Why images were refused, for a message."""
    shown = [f"{name}: {reason}" for name, reason in frames.refused.items()][:3]
    return f"; refused {len(frames.refused)} ({'; '.join(shown)})" if shown else ""


def _write(
    config: CameraConfig,
    out: Path,
    folder: Path,
    board: Board,
    frames: Frames,
    views: list[View],
    found: Intrinsics,
) -> None:
    checks = judge(found, views, frames)
    verdict = _verdict(found, checks, frames)
    quantities = tuple(
        Quantity.of(name, value, found.deviations[name]) for name, value in found.values.items()
    )
    result = new_result("camera", folder, quantities, verdict, size_px=frames.size_px)
    (out / CAMERA).unlink(missing_ok=True)  # of an earlier run: it would outlive a bad verdict
    if verdict.usable:
        write_lens(out / CAMERA, found.lens, config.name)
        print(f"written: {out / CAMERA}")
    write_outputs(out, result, checks, _figures(board, views, found))


def judge(found: Intrinsics, views: list[View], frames: Frames) -> list[Requirement]:
    """Compare a calibration with what good ones have.

    Args:
        found: The calibration.
        views: That it was made of.
        frames: All frames.

    Returns:
        One row for each property.
    """
    covered = coverage(views, frames.size_px)
    relative = found.deviations["focal_x_px"] / found.values["focal_x_px"]
    held_out = found.held_out_px[found.lens.model]
    rows = [
        ("reprojection error (rms)", found.rms_px, MOST_RMS_PX, "px"),
        ("the same on held-out views", held_out, MOST_RMS_PX, "px"),
        ("deviation of the focal length", 100 * relative, 100 * MOST_FOCAL_DEVIATION, "%"),
    ]
    checks = [
        Requirement(
            name, f"at most {most:g} {unit}", f"{value:.3g} {unit}", is_met(value, at_most=most)
        )
        for name, value, most, unit in rows
    ]
    checks.append(
        Requirement(
            "share of the image that the board covered",
            f"at least {100 * LEAST_COVERAGE:g} %",
            f"{100 * covered:.0f} %",
            is_met(covered, at_least=LEAST_COVERAGE),
        )
    )
    tried = ", ".join(f"{model} {error:.3f} px" for model, error in found.held_out_px.items())
    checks.append(Requirement("model, by held-out views", tried, found.lens.model, None))
    used = f"{len(views)} of {len(frames.good) + len(frames.refused)}"
    checks.append(Requirement("frames used", "", used, None))
    return checks


def _verdict(found: Intrinsics, checks: list[Requirement], frames: Frames) -> Verdict:
    wrong = [row for row in checks if row.met is False]
    problems = [f"{row.what} is {row.found}, {row.wanted} wanted" for row in wrong]
    if len(frames.refused) > len(frames.good):
        problems.append(f"more frames were refused than used{_most_refused(frames)}")
    if wrong:
        advice = "take more frames: all corners of the image, near and far, tilted by 30 degrees"
        return Verdict(False, f"{problems[0]}; {advice}.", tuple(problems))
    kind = "Good" if found.rms_px <= GOOD_RMS_PX else "Fair"
    sentence = (
        f"{kind}: {found.lens.model}, held-out error {found.held_out_px[found.lens.model]:.2f} px."
    )
    return Verdict(True, sentence, tuple(problems))


def _figures(board: Board, views: list[View], found: Intrinsics) -> list[Figure]:
    points = np.concatenate([view.corners.pixels for view in views])
    residuals = np.concatenate([placed.residuals_px for placed in found.placed])
    by_view = {view.name: placed.rms_px for view, placed in zip(views, found.placed, strict=True)}
    focal = {found.lens.model: found.values["focal_x_px"], **found.by_detector}
    caption = "Where corners were seen, with residuals enlarged 100 times."
    worst = int(np.argmax(list(by_view.values())))
    return [
        residual_map(points, residuals, found.lens.size_px, 100.0, caption),
        bars(by_view, "px", "Reprojection error (rms) of each frame."),
        bars(focal, "px", "Focal length along x by this and by other corner detectors."),
        picture(_drawn(views[worst], found.placed[worst]), f"Worst frame: {views[worst].name}."),
    ]


def _drawn(view: View, placed: Placed) -> np.ndarray:
    """The frame with corners in green and where they are predicted in red."""
    pixels = np.repeat(view.grey[..., None], 3, axis=2).copy()
    for seen, residual in zip(view.corners.pixels, placed.residuals_px, strict=True):
        for place, colour in ((seen, (0, 200, 0)), (seen - residual, (220, 0, 0))):
            x, y = np.rint(place).astype(int)
            cv2.circle(pixels, (int(x), int(y)), 4, colour, 1)
    return pixels
