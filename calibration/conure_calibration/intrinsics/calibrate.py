"""Intrinsics from views: the model by held-out views, the deviation by views and by detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conure_calibration.boards.board import Board
from conure_calibration.boards.detection import by_other_detectors
from conure_calibration.intrinsics.fit import Placed, fit_lens, place_board
from conure_calibration.intrinsics.frames import View
from conure_calibration.intrinsics.lens import COEFFICIENTS, Lens
from conure_core.errors import DataError
from conure_core.types import Array

FOLDS = 8
FEWEST_VIEWS = 6
SIMPLER_WITHIN = 1.03
"""A model with fewer coefficients is taken if its held-out error is at most this factor larger."""
PARAMETERS = ("focal_x_px", "focal_y_px", "centre_x_px", "centre_y_px")


@dataclass(frozen=True)
class Intrinsics:
    """A calibrated lens, and what is known of its errors."""

    lens: Lens
    held_out_px: dict[str, float]
    """Root mean square error on views that the fit did not see, by model that was tried."""
    placed: tuple[Placed, ...]
    """Where the board stood in each view."""
    deviations: dict[str, float]
    """Standard deviation of focal lengths and centre, px, by name."""
    by_detector: dict[str, float]
    """Focal length along x that other detectors give, px, by their name."""

    @property
    def rms_px(self) -> float:
        """Root mean square of all residuals, as OpenCV counts it."""
        return _rms(self.placed)

    @property
    def values(self) -> dict[str, float]:
        """Focal lengths and centre, px, by name."""
        return dict(zip(PARAMETERS, _parameters(self.lens).tolist(), strict=True))


def calibrate_lens(
    views: Sequence[View],
    size_px: tuple[int, int],
    board: Board,
    models: Sequence[str] = tuple(COEFFICIENTS),
) -> Intrinsics:
    """Calibrate a lens.

    Each model is fitted without one part of the views at a time; the error on the views that were
    left out chooses. The same fits give the standard deviation by the jackknife, to which the
    spread between detectors is added: views alone do not show an error that all of them share.

    Args:
        views: Good frames of the board, 6 or more.
        size_px: Width and height of the images.
        board: What they show.
        models: Models to choose from.

    Raises:
        DataError: Too few views, or no model fits.

    Source: Efron & Stein, Annals of Statistics 9(3), 1981, for the jackknife.
    """
    if len(views) < FEWEST_VIEWS:
        raise DataError(
            f"{len(views)} good views of the board, at least {FEWEST_VIEWS} are needed; 25 that"
            " differ in place, distance and tilt are good"
        )
    fits: dict[str, list[Lens]] = {}
    errors: dict[str, float] = {}
    failures = []
    for model in (model for model in COEFFICIENTS if model in models):
        try:
            fits[model], errors[model] = _leave_out(views, size_px, model)
        except DataError as error:
            failures.append(str(error))
    if not errors:
        raise DataError(f"no lens model fits: {'; '.join(failures)}")
    chosen = _simplest(errors)
    lens = fit_lens(views, size_px, chosen, _start(views, size_px, chosen))
    placed = tuple(place_board(lens, view.points_m, view.corners.pixels) for view in views)
    others = _by_detector(views, size_px, board, lens)
    deviations = _deviations(fits[chosen], [lens, *others.values()])
    focal = {name: float(other.matrix[0, 0]) for name, other in others.items()}
    return Intrinsics(lens, errors, placed, deviations, focal)


def _leave_out(
    views: Sequence[View], size_px: tuple[int, int], model: str
) -> tuple[list[Lens], float]:
    """The fits that lack one part of the views each, and their error on that part."""
    folds = min(FOLDS, len(views))
    start = _start(views, size_px, model)
    fits = []
    held_out = []
    for fold in range(folds):
        kept = [view for index, view in enumerate(views) if index % folds != fold]
        lens = fit_lens(kept, size_px, model, start)
        fits.append(lens)
        left_out = views[fold::folds]
        held_out += [place_board(lens, view.points_m, view.corners.pixels) for view in left_out]
    return fits, _rms(held_out)


def _start(views: Sequence[View], size_px: tuple[int, int], model: str) -> Lens | None:
    """Where the fits of a model begin."""
    simple = fit_lens(views, size_px, "plumb_bob")
    return replace(simple, distortion=simple.distortion[:5])


def _simplest(errors: Mapping[str, float]) -> str:
    best = min(errors.values())
    return next(model for model, error in errors.items() if error <= SIMPLER_WITHIN * best)


def _by_detector(
    views: Sequence[View], size_px: tuple[int, int], board: Board, lens: Lens
) -> dict[str, Lens]:
    """The lens that other detectors give on these views."""
    seen: dict[str, list[View]] = {}
    for view in views:
        for name, corners in by_other_detectors(view.grey, board, view.corners).items():
            seen.setdefault(name, []).append(replace(view, corners=corners))
    found = {}
    for name, others in seen.items():
        if len(others) >= 0.8 * len(views):
            try:
                found[name] = fit_lens(others, size_px, lens.model, lens)
            except DataError:
                continue
    return found


def _deviations(without_a_part: Sequence[Lens], by_detector: Sequence[Lens]) -> dict[str, float]:
    """Jackknife over the views, and spread between detectors, added as independent errors."""
    parts = np.array([_parameters(lens) for lens in without_a_part])
    count = len(parts)
    jackknife = (count - 1) / count * ((parts - parts.mean(axis=0)) ** 2).sum(axis=0)
    detectors = np.array([_parameters(lens) for lens in by_detector])
    spread = detectors.var(axis=0, ddof=1) if len(detectors) > 1 else np.zeros(len(PARAMETERS))
    return dict(zip(PARAMETERS, np.sqrt(jackknife + spread).tolist(), strict=True))


def _parameters(lens: Lens) -> Array:
    matrix = lens.matrix
    return np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]])


def _rms(placed: Sequence[Placed]) -> float:
    squares = np.concatenate([(one.residuals_px**2).sum(axis=1) for one in placed])
    return float(np.sqrt(squares.mean()))
