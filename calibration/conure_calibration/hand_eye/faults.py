"""What can be wrong with samples, found and named."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import f as fisher

from conure_calibration.hand_eye.linear import mean_pose
from conure_calibration.hand_eye.model import X, Z
from conure_calibration.hand_eye.samples import Samples
from conure_calibration.hand_eye.solve import HandEye, solve_linear
from conure_calibration.poses import ANGULAR, LINEAR, ROTATION, TRANSLATION, Chain, rotation_vector
from conure_core.types import Array

LEAST_SPAN_RAD = np.radians(7.0)
"""Of the rotations, root mean square about the axis that has most of them."""
LEAST_SECOND_SPAN_RAD = np.radians(4.0)
"""The same about the axis that has second most."""
LEAST_SHARE = 0.6
MOST_NOISE_RATIO = 1.6
SURE = 1e-4
"""Chance that a good set is accused, for each test."""
LEAST_SCALE_ERROR = 0.004
SCALE_STEP = 1e-4
LEAST_MOVE_M = 0.002
LEAST_MOVE_RAD = np.radians(0.3)
EDGE = 3
"""A camera is not said to have moved among the first or last samples: too few tell."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with the samples."""

    name: str
    """Short, such as "one axis"."""
    sentence: str
    """What was found and what to do."""


def find_degenerate(chain: Chain, samples: Samples) -> list[Fault]:
    """Find what keeps samples from being solved at all.

    Args:
        chain: The arm.
        samples: Before any fit.
    """
    faults = []
    seen = float(np.median(samples.shares))
    if seen < LEAST_SHARE:
        faults.append(
            Fault(
                "half a board",
                f"half of the images show {seen:.0%} of the board or less, at least"
                f" {LEAST_SHARE:.0%} are needed; bring the whole board into view",
            )
        )
    spans = rotation_spans(samples.outer_from_inner(chain))
    if spans[0] < LEAST_SPAN_RAD:
        faults.append(
            Fault(
                "small span",
                f"the tool turned by {np.degrees(spans[0]):.1f} degrees (rms), at least"
                f" {np.degrees(LEAST_SPAN_RAD):.0f} are needed; turn it by 30 degrees and more",
            )
        )
    elif spans[1] < LEAST_SECOND_SPAN_RAD:
        faults.append(
            Fault(
                "one axis",
                "all rotations of the tool are about one axis"
                f" ({np.degrees(spans[1]):.1f} degrees rms about any other, at least"
                f" {np.degrees(LEAST_SECOND_SPAN_RAD):.0f} are needed); turn it about others too",
            )
        )
    return faults


def rotation_spans(poses: Array) -> Array:
    """Root mean square rotation of poses (n, 4, 4) from their mean about its principal axes, (3,),
    rad, largest first.
    """
    mean = mean_pose(poses)
    turns = rotation_vector(mean[ROTATION].T @ poses[ROTATION])
    lengths = np.linalg.svd(turns, compute_uv=False)
    return np.asarray(lengths / np.sqrt(len(poses)))


def find_wrong(solution: HandEye) -> list[Fault]:
    """Find what a fit shows to be wrong with its samples.

    Each suspicion adds unknowns to the fit; an F test says whether the residuals fall by more than
    chance lets them.
    """
    faults = [_moved(solution), _scaled(solution)]
    found = [fault for fault in faults if fault is not None]
    shifted = _shifted(solution)
    if shifted is not None:
        return [shifted]
    if solution.noise_ratio > MOST_NOISE_RATIO and not found:
        noise = solution.noise
        found.append(
            Fault(
                "large residuals",
                f"residuals are {solution.noise_ratio:.1f} times what an arm with a noise of"
                f" {1000 * noise.translation_m:g} mm and {np.degrees(noise.rotation_rad):.2g}"
                " degrees explains: look for poses that lag behind the images, a loose board, wrong"
                " intrinsics; or give the arm's true noise",
            )
        )
    return found


def _gain(solution: HandEye, extra: Array) -> tuple[float, Array]:
    """Add unknowns with these derivatives (n, 6, k) to a fit.

    Returns: The chance of such a gain if they were 0, and their estimate (k,).
    """
    residuals = solution.whitened.ravel()
    size = solution.loop.size
    base = solution.jacobian.reshape(-1, size)
    added = extra.reshape(len(residuals), -1)
    both = np.concatenate([base, added], axis=1)
    before, _ = _left(base, residuals)
    after, step = _left(both, residuals)
    freedom = max(len(residuals) - both.shape[1], 1)
    count = added.shape[1]
    gain = (before - after) / count
    ratio = gain / (after / freedom)
    chance = float(fisher.sf(ratio, count, freedom))
    return chance, step[size:]


def _left(jacobian: Array, residuals: Array) -> tuple[float, Array]:
    """The sum of squares that a linear fit leaves, and its unknowns."""
    solution, *_ = np.linalg.lstsq(jacobian, residuals, rcond=1e-10)
    step = -np.asarray(solution, dtype=np.float64)
    left = residuals + jacobian @ step
    return float((left**2).sum()), step


def _moved(solution: HandEye) -> Fault | None:
    """A camera, or a board, that moved between two samples."""
    count = len(solution.loop.samples)
    moves = []
    for first in range(EDGE, count - EDGE + 1):
        moves.append(_move(solution, first, X, "camera"))
        moves.append(_move(solution, first, Z, "board"))
    if not moves:
        return None
    move = min(moves, key=lambda one: one.chance)
    first, name = move.first, move.name
    distance_m = float(np.linalg.norm(move.twist[LINEAR]))
    angle_rad = float(np.linalg.norm(move.twist[ANGULAR]))
    small = distance_m < LEAST_MOVE_M and angle_rad < LEAST_MOVE_RAD
    if move.chance * 2 * count > SURE or small:
        return None
    return Fault(
        "camera moved",
        f"the {name} moved by about {1000 * distance_m:.0f} mm and {np.degrees(angle_rad):.1f}"
        f" degrees before {solution.loop.samples.names[first]}; fasten camera and board, and take"
        " the set again",
    )


@dataclass(frozen=True)
class _Move:
    """A suspicion that something moved before a sample."""

    chance: float
    """Of such residuals if nothing moved."""
    first: int
    name: str
    twist: Array
    """Shape (6,)."""


def _move(
    solution: HandEye,
    first: int,
    part: slice,
    name: str,
) -> _Move:
    """Suspect that a part of the unknowns is another one from a sample on."""
    extra = solution.jacobian[..., part].copy()
    extra[:first] = 0.0
    chance, twist = _gain(solution, extra)
    return _Move(chance, first, name, twist)


def _scaled(solution: HandEye) -> Fault | None:
    """A board whose squares have another size."""
    samples = solution.loop.samples
    zero = np.zeros(solution.loop.size)
    whiteners = solution.loop.whiteners(solution.noise)
    larger = samples.camera_from_board.copy()
    larger[TRANSLATION] *= 1.0 + SCALE_STEP
    scaled = solution.loop.of(replace(samples, camera_from_board=larger))
    change = scaled.errors(zero) - solution.loop.errors(zero)
    extra = np.einsum("nij,nj->ni", whiteners, change / SCALE_STEP)
    chance, (error,) = _gain(solution, extra[..., None])
    if chance > SURE or abs(error) < LEAST_SCALE_ERROR:
        return None
    return Fault(
        "wrong square size",
        f"the board's squares are {1.0 + error:.3f} times as large as board.yaml says; measure"
        " the printed board (conure calibrate board measured_mm=[...])",
    )


def _shifted(solution: HandEye) -> Fault | None:
    """Board poses that belong to the arm's pose before or after."""
    samples = solution.loop.samples
    as_given = _spread(solution.loop.chain, samples)
    if solution.noise_ratio < MOST_NOISE_RATIO:
        return None
    count = len(samples)
    for by, word in ((1, "later"), (-1, "earlier")):
        arm = samples.chosen(shifted_indices(count, by))
        board = samples.chosen(shifted_indices(count, -by))
        other = replace(arm, camera_from_board=board.camera_from_board)
        if _spread(solution.loop.chain, other) < 0.4 * as_given:
            return Fault(
                "pairs shifted",
                f"each image belongs to the arm's pose one sample {word}; take image and joint"
                " angles of the same moment, and drop both where one is missing",
            )
    return None


def shifted_indices(count: int, by: int) -> range:
    """Tell which of some samples have a partner that many places before.

    Args:
        count: Number of samples.
        by: How many places; negative: after.
    """
    return range(max(by, 0), count + min(by, 0))


def _spread(chain: Chain, samples: Samples) -> float:
    """Median distance of Z from its mean by the linear solution, m."""
    x, z = solve_linear(chain, samples)
    found = samples.outer_from_inner(chain) @ x @ samples.camera_from_board
    errors_m = found[TRANSLATION] - z[TRANSLATION]
    return float(np.median(np.linalg.norm(errors_m, axis=1)))
