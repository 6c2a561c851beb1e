"""Intrinsics from views: the model by held-out views, the deviation by views and by detectors."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from conure_calibration.boards.board import Board
from conure_calibration.boards.detection import by_other_detectors
from conure_calibration.intrinsics.fit import Placed, fit_lens, place_board
from conure_calibration.intrinsics.frames import View
from conure_calibration.intrinsics.lens import COEFFICIENTS, Lens
from conure_calibration.results.jackknife import jackknife_variance
from conure_core.errors import DataError
from conure_core.types import Array

FOLDS = 8
FEWEST_VIEWS = 6
SIMPLER_WITHIN = 1.03
"""A model with fewer coefficients is taken if its held-out error is at most this factor larger."""
LEAST_SEEN = 0.8
"""Share of the views that another detector must find to be compared."""
PARAMETERS = ("focal_x_px", "focal_y_px", "centre_x_px", "centre_y_px")
FOCAL = slice(0, 2)
CENTRE = slice(2, 4)


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
        return dict(zip(PARAMETERS, parameters(self.lens).tolist(), strict=True))


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
    """
    if len(views) < FEWEST_VIEWS:
        raise DataError(
            f"{len(views)} good views of the board, at least {FEWEST_VIEWS} are needed; 25 that"
            " differ in place, distance and tilt are good"
        )
    fits, errors = _try_models(views, size_px, models)
    chosen = _simplest(errors)
    lens = fit_lens(views, size_px, chosen, _start(views, size_px))
    others = _by_detector(views, size_px, board, lens)
    return Intrinsics(
        lens=lens,
        held_out_px=errors,
        placed=tuple(_place(lens, views)),
        deviations=_deviations(fits[chosen], [lens, *others.values()]),
        by_detector={name: float(other.matrix[0, 0]) for name, other in others.items()},
    )


def _try_models(
    views: Sequence[View],
    size_px: tuple[int, int],
    models: Sequence[str],
) -> tuple[dict[str, list[Lens]], dict[str, float]]:
    """The fits of `_leave_out` and their errors, by model that fits, simplest model first."""
    fits: dict[str, list[Lens]] = {}
    errors: dict[str, float] = {}
    failures = []
    for model in COEFFICIENTS:
        if model not in models:
            continue
        try:
            fits[model], errors[model] = _leave_out(views, size_px, model)
        except DataError as error:
            failures.append(str(error))
    if not errors:
        raise DataError(f"no lens model fits: {'; '.join(failures)}")
    return fits, errors


def _leave_out(
    views: Sequence[View],
    size_px: tuple[int, int],
    model: str,
) -> tuple[list[Lens], float]:
    """The fits that lack one part of the views each, and their error on that part."""
    folds = min(FOLDS, len(views))
    start = _start(views, size_px)
    fits = []
    held_out = []
    for fold in range(folds):
        kept = [view for index, view in enumerate(views) if index % folds != fold]
        lens = fit_lens(kept, size_px, model, start)
        fits.append(lens)
        held_out += _place(lens, views[fold::folds])
    return fits, _rms(held_out)


def _place(lens: Lens, views: Sequence[View]) -> list[Placed]:
    """Where the board stands in each view."""
    return [place_board(lens, view.points_m, view.corners.pixels) for view in views]


def _start(views: Sequence[View], size_px: tuple[int, int]) -> Lens:
    """Where the fits of every model begin."""
    return fit_lens(views, size_px, "plumb_bob")


def _simplest(errors: Mapping[str, float]) -> str:
    best = min(errors.values())
    return next(model for model, error in errors.items() if error <= SIMPLER_WITHIN * best)


def _by_detector(
    views: Sequence[View],
    size_px: tuple[int, int],
    board: Board,
    lens: Lens,
) -> dict[str, Lens]:
    """The lens that other detectors give on these views."""
    seen: dict[str, list[View]] = {}
    for view in views:
        for name, corners in by_other_detectors(view.grey, board, view.corners).items():
            seen.setdefault(name, []).append(replace(view, corners=corners))
    found = {}
    for name, others in seen.items():
        if len(others) < LEAST_SEEN * len(views):
            continue
        with suppress(DataError):
            found[name] = fit_lens(others, size_px, lens.model, lens)
    return found


def _deviations(without_a_part: Sequence[Lens], by_detector: Sequence[Lens]) -> dict[str, float]:
    """Jackknife over the views, and spread between detectors, added as independent errors."""
    parts = np.array([parameters(lens) for lens in without_a_part])
    detectors = np.array([parameters(lens) for lens in by_detector])
    spread = np.zeros(len(PARAMETERS))
    if len(detectors) > 1:
        spread = detectors.var(axis=0, ddof=1)
    deviations = np.sqrt(jackknife_variance(parts) + spread)
    return dict(zip(PARAMETERS, deviations.tolist(), strict=True))


def parameters(lens: Lens) -> Array:
    """Focal lengths and centre, px, in the order of `PARAMETERS`."""
    focal_px = np.diag(lens.matrix)[:2]
    centre_px = lens.matrix[:2, 2]
    return np.concatenate([focal_px, centre_px])


def _rms(placed: Sequence[Placed]) -> float:
    squares = [(one.residuals_px**2).sum(axis=1) for one in placed]
    return float(np.sqrt(np.concatenate(squares).mean()))
