"""Arm poses that tell most about a camera's place and the joint offsets."""

import numpy as np

from conure_calibration.boards.board import Board
from conure_calibration.hand_eye.model import OFFSETS, ArmNoise, Loop
from conure_calibration.hand_eye.samples import Samples, outer_from_inner
from conure_calibration.hand_eye.solve import OFFSET_PRIOR_RAD, free_joints
from conure_calibration.intrinsics.fit import pose_covariance, projected
from conure_calibration.intrinsics.lens import Lens
from conure_calibration.poses import Chain, inverse, transformed
from conure_core.errors import DataError
from conure_core.robot.arm import Arm
from conure_core.types import Array

NOISE_PX = 0.3
PLACE_PRIOR = 1.0
"""Standard deviation of places before anything is measured, m and rad."""
LARGEST_TILT_RAD = np.radians(55.0)
NEAREST_M = 0.15
FARTHEST_M = 1.2
BORDER_PX = 10.0
CANDIDATES = 400
MOST_DRAWS = 60_000
BATCH = 2000
STEP_RAD = 0.4


def draw_visible(
    arm: Arm,
    chain: Chain,
    nominal: tuple[Array, Array],
    lens: Lens,
    board: Board,
    mount: str,
    rng: np.random.Generator,
    count: int = CANDIDATES,
) -> Samples:
    """Draw arm poses in which the camera sees the whole board.

    Args:
        arm: For limits and clearances.
        chain: Its kinematics.
        nominal: X and Z as far as they are known, (4, 4) each.
        lens: Of the camera.
        board: Fixed to the tool (stand), or lying still (wrist).
        mount: "wrist" or "stand".
        rng: Where draws come from.
        count: How many poses.

    Returns:
        Samples with the board where it should be seen, and the detector's covariance.

    Raises:
        DataError: Fewer than half as many are found.
    """
    x, z = nominal
    kept: list[Array] = []
    seen: list[Array] = []
    for _ in range(MOST_DRAWS // BATCH):
        joint_rad = _draw_joints(arm, kept, rng)
        outer = outer_from_inner(chain, mount, joint_rad)
        poses = inverse(x) @ inverse(outer) @ z
        for index in np.flatnonzero(_in_front(poses)):
            pose = poses[index]
            if not _in_view(lens, pose, board):
                continue
            if arm.first_collision(joint_rad[index]) is None:
                kept.append(joint_rad[index])
                seen.append(pose)
        if len(kept) >= count:
            break
    if len(kept) < count / 2:
        raise DataError(
            f"the camera sees the board from {len(kept)} of {MOST_DRAWS} poses of the arm; move the"
            " camera or the board so that it is seen from many"
        )
    poses = np.array(seen[:count])
    covariance = [pose_covariance(lens, pose, board.points_m, NOISE_PX) for pose in poses]
    return Samples(
        mount=mount,
        names=tuple(f"pose {index}" for index in range(len(poses))),
        joint_rad=np.array(kept[:count]),
        camera_from_board=poses,
        covariance=np.array(covariance),
        shares=np.ones(len(poses)),
    )


def _draw_joints(
    arm: Arm,
    known: list[Array],
    rng: np.random.Generator,
) -> Array:
    """Joint angles (BATCH, joints) within limits: half of them anywhere, half near good ones."""
    span = arm.upper_rad - arm.lower_rad
    shares = rng.uniform(0.02, 0.98, (BATCH, len(span)))
    joint_rad = arm.lower_rad + span * shares
    # Around what is known to be good there is more of it than anywhere.
    good = np.array([*known, arm.config.home_rad])
    around = good[rng.integers(len(good), size=BATCH // 2)]
    joint_rad[::2] = around + STEP_RAD * rng.normal(size=around.shape)
    return np.clip(joint_rad, arm.lower_rad, arm.upper_rad)


def _in_front(poses: Array) -> Array:
    """Tell which boards (n, 4, 4) face the camera at a good distance."""
    distance_m = poses[:, 2, 3]
    facing = poses[:, 2, 2] > np.cos(LARGEST_TILT_RAD)
    return np.asarray((distance_m > NEAREST_M) & (distance_m < FARTHEST_M) & facing)


def _in_view(
    lens: Lens,
    camera_from_board: Array,
    board: Board,
) -> bool:
    corners = board.outline_m
    seen = transformed(camera_from_board, corners)
    if (seen[:, 2] < 0.5 * NEAREST_M).any():
        return False
    pixels = projected(lens, camera_from_board, corners)
    inside = (pixels > BORDER_PX) & (pixels < np.array(lens.size_px) - BORDER_PX)
    return bool(inside.all())


def choose_poses(
    chain: Chain,
    candidates: Samples,
    nominal: tuple[Array, Array],
    count: int,
    noise: ArmNoise | None = None,
) -> list[int]:
    """Choose poses one after the other, each the one that leaves least uncertainty.

    What counts is the variance of the camera's place, and that of the board's predicted place over
    all candidates.

    Args:
        chain: The arm.
        candidates: Poses with the board in view, see `draw_visible`.
        nominal: X and Z as far as they are known, (4, 4) each.
        count: How many poses.
        noise: Of the arm.

    Returns:
        Indices of candidates, the most telling first.

    Source: greedy I-optimal design, Fedorov, Theory of Optimal Experiments, 1972.
    """
    x, z = nominal
    loop = Loop(chain, candidates, x, z, free_joints(chain), np.zeros(chain.joints))
    whiteners = loop.whiteners(noise or ArmNoise())
    jacobian = loop.jacobian(np.zeros(loop.size))
    gains = _squared(whiteners @ jacobian)
    weights = _variance_weights(jacobian)
    information = _prior_information(loop.size)
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        covariances = np.linalg.inv(information + gains)
        left = np.einsum("nij,ij->n", covariances, weights)
        left[chosen] = np.inf
        chosen.append(int(np.argmin(left)))
        information = information + gains[chosen[-1]]
    return chosen


def _prior_information(size: int) -> Array:
    """Information (size, size) before anything is measured."""
    deviations = np.full(size, PLACE_PRIOR)
    deviations[OFFSETS] = OFFSET_PRIOR_RAD
    return np.diag(deviations**-2.0)


def _variance_weights(jacobian: Array) -> Array:
    """What each covariance of the unknowns counts, (size, size): the board's place and the
    camera's.
    """
    of_board = jacobian[:, :3]
    weights = np.asarray(np.mean(_squared(of_board), axis=0))
    camera = [0, 1, 2]
    weights[camera, camera] += 1.0
    return weights


def _squared(matrices: Array) -> Array:
    """Products A^T A of matrices (n, rows, size), (n, size, size)."""
    return np.asarray(np.swapaxes(matrices, -1, -2) @ matrices)
