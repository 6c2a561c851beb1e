"""Hand-eye against the truth: errors, intervals, and sets in which something is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from conure_calibration.benchmarks.arm_cases import (
    BOARDS,
    LENS,
    ArmCase,
    draw_case,
    nominal_places,
    observed,
    reference_arm,
)
from conure_calibration.hand_eye.faults import shifted_indices
from conure_calibration.hand_eye.judge import calibrate_hand_eye
from conure_calibration.hand_eye.linear import mean_pose
from conure_calibration.hand_eye.model import OFFSETS, ArmNoise, Loop
from conure_calibration.hand_eye.proposal import NOISE_PX
from conure_calibration.hand_eye.recording import place_or_explain
from conure_calibration.hand_eye.samples import Samples
from conure_calibration.hand_eye.solve import solve_hand_eye, solve_linear
from conure_calibration.intrinsics.fit import projected
from conure_calibration.poses import ANGULAR, LINEAR, TRANSLATION, pose
from conure_core.errors import DataError
from conure_core.types import Array

MOUNTS = ("stand", "wrist")
BOUND_DRAWS = 200


@dataclass(frozen=True)
class HandEyeErrors:
    """Errors of one case."""

    camera_mm: float
    """Of the camera's place."""
    camera_park_mm: float
    """The same of Park and Martin's solution alone."""
    held_out_mm: float
    """Of the board's centre at other poses, without noise, median over the poses."""
    held_out_park_mm: float
    camera_bound_mm: float
    """Median error of the camera that noise and poses leave to any unbiased solver (Cramer-Rao)."""
    held_out_bound_mm: float
    """The same of the board's centre at other poses, median over the poses."""
    offsets_deg: tuple[float, ...]
    """Errors of the observable joint offsets."""
    covered: tuple[bool, ...]
    """Whether each 90 % interval of the camera's place holds the truth."""
    offsets_covered: tuple[bool, ...]
    """The same of the joint offsets."""


def hand_eye_errors(
    seed: int,
    mount: str,
    offset_rad: float,
    poses: int = 15,
) -> HandEyeErrors:
    """Calibrate one random arm.

    Args:
        seed: Of the case.
        mount: "wrist" or "stand".
        offset_rad: Standard deviation of the joint offsets.
        poses: Number of samples.
    """
    case = draw_case(np.random.default_rng(seed), mount, offset_rad, poses)
    solution = solve_hand_eye(case.chain, case.samples)
    x, z = solve_linear(case.chain, case.samples)
    park = Loop(case.chain, case.samples, x, z, (), np.zeros(case.chain.joints))
    error_m = np.abs(solution.x - case.x)[TRANSLATION]
    half_m = solution.quantile * solution.translation_deviation_m
    told = [joint not in solution.hidden for joint in solution.loop.free]
    free = list(solution.loop.free)
    offset_errors = np.abs(solution.offsets_rad - case.offsets_rad)[free]
    half_rad = solution.quantile * solution.deviations[OFFSETS]
    offsets_covered = offset_errors <= half_rad
    camera_bound_mm, held_out_bound_mm = _bounds_mm(case, solution.loop)
    return HandEyeErrors(
        camera_mm=_distance_mm(solution.x, case.x),
        camera_park_mm=_distance_mm(x, case.x),
        held_out_mm=_held_out_mm(case, solution.loop),
        held_out_park_mm=_held_out_mm(case, park),
        camera_bound_mm=camera_bound_mm,
        held_out_bound_mm=held_out_bound_mm,
        offsets_deg=tuple(np.degrees(offset_errors[told]).tolist()),
        covered=tuple((error_m <= half_m).tolist()),
        offsets_covered=tuple(offsets_covered[told].tolist()),
    )


def _distance_mm(found: Array, true: Array) -> float:
    """How far apart two poses are."""
    return 1000 * float(np.linalg.norm(found[TRANSLATION] - true[TRANSLATION]))


def _held_out_mm(case: ArmCase, loop: Loop) -> float:
    others = loop.of(_other_poses(case))
    errors = (others.predicted(np.zeros(loop.size)) - case.held_out) @ _board_centre(case)
    distances_m = np.linalg.norm(errors[LINEAR], axis=1)
    return 1000 * float(np.median(distances_m))


def _other_poses(case: ArmCase) -> Samples:
    """The poses that no solver saw, without noise."""
    return replace(
        case.samples,
        names=tuple(map(str, range(len(case.held_out)))),
        joint_rad=case.held_out_rad,
        camera_from_board=case.held_out,
    )


def _board_centre(case: ArmCase) -> Array:
    """In the board's frame, homogeneous, (4,) m."""
    board = BOARDS[case.samples.mount]
    return np.array([board.width_m / 2, board.height_m / 2, 0.0, 1.0])


def _bounds_mm(case: ArmCase, loop: Loop) -> tuple[float, float]:
    """Median errors of camera and held-out board that the noise of these poses leaves at least.

    Draws from the inverse of Fisher's information at the solution, under the noise as it is.

    Args:
        case: For its other poses.
        loop: At the solution.
    """
    zero = np.zeros(loop.size)
    jacobian = (loop.whiteners(ArmNoise()) @ loop.jacobian(zero)).reshape(-1, loop.size)
    covariance = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    drawn = np.random.default_rng(0).multivariate_normal(zero, covariance, BOUND_DRAWS)
    camera_m = np.linalg.norm(drawn[:, :3], axis=1)
    others = loop.of(_other_poses(case))
    centre = _board_centre(case)
    predicted = others.predicted(drawn) @ centre
    errors = predicted - others.predicted(zero) @ centre
    board_m = np.median(np.linalg.norm(errors[LINEAR], axis=-1), axis=-1)
    return 1000 * float(np.median(camera_m)), 1000 * float(np.median(board_m))


def fault_found(
    seed: int,
    fault: str,
    mount: str,
) -> bool:
    """Spoil one random set, and see whether it is refused or found by the name of its fault.

    Args:
        seed: Of the case.
        fault: One of `FAULTS`, or "none".
        mount: "wrist" or "stand".

    Returns:
        Whether the verdict names the fault; of "none", whether it is not accused of any.
    """
    rng = np.random.default_rng(seed)
    if fault == "swapped rows and columns":
        return _swapped_is_named(rng, mount)
    samples = SPOILED[fault](rng, mount)
    try:
        verdict = calibrate_hand_eye(reference_arm()[1], samples).verdict
    except DataError as error:
        return str(error).startswith(fault)
    if fault == "none":
        return verdict.usable
    return any(problem.startswith(fault) for problem in verdict.problems)


def _good(rng: np.random.Generator, mount: str) -> Samples:
    return draw_case(rng, mount, np.radians(1.0)).samples


def _one_axis(rng: np.random.Generator, mount: str) -> Samples:
    """The first or the last joint turns, and nothing else does."""
    _, chain = reference_arm()
    good = _good(rng, mount)
    joint = int(rng.choice([0, chain.joints - 1]))
    moves = np.zeros_like(good.joint_rad)
    moves[:, joint] = rng.uniform(-0.7, 0.7, len(good))
    return _around_first(rng, mount, good, moves)


def _small_span(rng: np.random.Generator, mount: str) -> Samples:
    """Every joint moves a little."""
    good = _good(rng, mount)
    moves = rng.uniform(-0.08, 0.08, good.joint_rad.shape)
    return _around_first(rng, mount, good, moves)


def _around_first(
    rng: np.random.Generator,
    mount: str,
    good: Samples,
    moves_rad: Array,
) -> Samples:
    """Samples of poses that lie about the first one of good samples."""
    arm, chain = reference_arm()
    joint_rad = np.clip(good.joint_rad[:1] + moves_rad, arm.lower_rad, arm.upper_rad)
    template = replace(good, joint_rad=joint_rad)
    return observed(rng, template, np.zeros(chain.joints), nominal_places(mount), ArmNoise())


def _half_a_board(rng: np.random.Generator, mount: str) -> Samples:
    samples = _good(rng, mount)
    return replace(samples, shares=rng.uniform(0.3, 0.55, len(samples)))


def _shifted(rng: np.random.Generator, mount: str) -> Samples:
    samples = _good(rng, mount)
    by = int(rng.choice([-1, 1]))
    arm = samples.chosen(shifted_indices(len(samples), by))
    board = samples.chosen(shifted_indices(len(samples), -by))
    return replace(board, joint_rad=arm.joint_rad)


def _moved(rng: np.random.Generator, mount: str) -> Samples:
    """A camera that somebody touched: 10 to 50 mm and 2 to 10 degrees."""
    samples = _good(rng, mount)
    first = int(rng.integers(4, len(samples) - 3))
    step = np.zeros(6)
    step[LINEAR] = _direction(rng) * rng.uniform(0.01, 0.05)
    step[ANGULAR] = _direction(rng) * np.radians(rng.uniform(2.0, 10.0))
    poses = samples.camera_from_board.copy()
    poses[first:] = pose(step) @ poses[first:]
    return replace(samples, camera_from_board=poses)


def _direction(rng: np.random.Generator) -> Array:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _wrong_size(rng: np.random.Generator, mount: str) -> Samples:
    """Squares that are 4 to 20 % larger or smaller than board.yaml says."""
    samples = _good(rng, mount)
    poses = samples.camera_from_board.copy()
    sign = rng.choice([-1, 1])
    poses[TRANSLATION] *= 1.0 + sign * rng.uniform(0.04, 0.2)
    return replace(samples, camera_from_board=poses)


def _swapped_is_named(rng: np.random.Generator, mount: str) -> bool:
    """Corners of a board that board.yaml has with rows for columns."""
    case = draw_case(rng, mount, 0.0)
    board = BOARDS[mount]
    told = replace(board, columns=board.rows, rows=board.columns)
    camera_from_board = mean_pose(case.samples.camera_from_board[:1])
    exact = projected(LENS, camera_from_board, board.points_m)
    pixels = exact + NOISE_PX * rng.normal(size=exact.shape)
    found = place_or_explain(LENS, told, np.arange(board.corners), pixels)
    return isinstance(found, str) and found.startswith("rows and columns")


SPOILED: dict[str, Callable[[np.random.Generator, str], Samples]] = {
    "none": _good,
    "one axis": _one_axis,
    "small span": _small_span,
    "half a board": _half_a_board,
    "pairs shifted": _shifted,
    "camera moved": _moved,
    "wrong square size": _wrong_size,
}
FAULTS = (*(name for name in SPOILED if name != "none"), "swapped rows and columns")
