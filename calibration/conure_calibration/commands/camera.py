"""`conure calibrate camera`: intrinsics from a folder of images of a board."""

from dataclasses import dataclass, field
from pathlib import Path

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
from conure_calibration.results.checks import at_most, unmet
from conure_calibration.results.page import (
    COLOURS,
    PREDICTED_RGB,
    SEEN_RGB,
    Figure,
    draw_circles,
    picture,
)
from conure_calibration.results.plots import bars, dots, residual_map
from conure_calibration.results.result import Quantity, Verdict, new_result
from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import DataError, unknown_name
from conure_core.runtime.claim import claimed
from conure_core.runtime.requirement import Requirement, is_met
from conure_core.types import Image

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
    reasons = [f"{name}: {reason}" for name, reason in frames.refused.items()]
    if not reasons:
        return ""
    return f"; refused {len(reasons)} ({'; '.join(reasons[:3])})"


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
    quantities = []
    for name, value in found.values.items():
        quantities.append(Quantity.of(name, value, found.deviations[name]))
    result = new_result("camera", folder, tuple(quantities), verdict, size_px=frames.size_px)
    (out / CAMERA).unlink(missing_ok=True)  # of an earlier run: it would outlive a bad verdict
    if verdict.usable:
        write_lens(out / CAMERA, found.lens, config.name)
        print(f"written: {out / CAMERA}")
    write_outputs(out, result, checks, _figures(board, views, found))


def judge(
    found: Intrinsics,
    views: list[View],
    frames: Frames,
) -> list[Requirement]:
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
    shown = len(frames.good) + len(frames.refused)
    tried = [
        Requirement(f"held-out error with {model}", "", f"{error:.3g} px", None)
        for model, error in found.held_out_px.items()
    ]
    return [
        at_most("reprojection error (rms)", found.rms_px, MOST_RMS_PX, "px"),
        at_most("the same on held-out views", held_out, MOST_RMS_PX, "px"),
        at_most("deviation of the focal length", 100 * relative, 100 * MOST_FOCAL_DEVIATION, "%"),
        Requirement(
            "share of the image that the board covered",
            f"at least {100 * LEAST_COVERAGE:g} %",
            f"{100 * covered:.0f} %",
            is_met(covered, at_least=LEAST_COVERAGE),
        ),
        *tried,
        Requirement("frames used", "", f"{len(views)} of {shown}", None),
    ]


def _verdict(
    found: Intrinsics,
    checks: list[Requirement],
    frames: Frames,
) -> Verdict:
    wrong = unmet(checks)
    problems = wrong
    if len(frames.refused) > len(frames.good):
        problems += (f"more frames were refused than used{_most_refused(frames)}",)
    if wrong:
        advice = "take more frames: all corners of the image, near and far, tilted by 30 degrees"
        return Verdict(False, f"{wrong[0]}; {advice}.", problems)
    kind = "Good" if found.rms_px <= GOOD_RMS_PX else "Fair"
    model = found.lens.model
    sentence = f"{kind}: {model}, held-out error {found.held_out_px[model]:.2f} px."
    return Verdict(True, sentence, problems)


def _figures(
    board: Board,
    views: list[View],
    found: Intrinsics,
) -> list[Figure]:
    points = np.concatenate([view.corners.pixels for view in views])
    residuals = np.concatenate([placed.residuals_px for placed in found.placed])
    names = [view.name for view in views]
    errors_px = [placed.rms_px for placed in found.placed]
    focal = {found.lens.model: found.values["focal_x_px"], **found.by_detector}
    caption = "Where corners were seen, with residuals enlarged 100 times."
    worst = int(np.argmax(errors_px))
    drawn = _drawn(views[worst], found.placed[worst])
    return [
        residual_map(points, residuals, found.lens.size_px, 100.0, caption),
        bars(
            dict(zip(names, errors_px, strict=True)),
            "px",
            "Reprojection error (rms) of each frame.",
        ),
        dots(focal, "px", "Focal length along x by this and by other corner detectors."),
        picture(drawn, f"Worst frame, {names[worst]}: {COLOURS}."),
    ]


def _drawn(view: View, placed: Placed) -> Image:
    """The frame with corners in green and where they are predicted in red."""
    pixels: Image = np.repeat(view.grey[..., None], 3, axis=2).copy()
    seen = view.corners.pixels
    draw_circles(pixels, seen, SEEN_RGB)
    draw_circles(pixels, seen - placed.residuals_px, PREDICTED_RGB)
    return pixels
