"""Hand-eye in closed form: no start needed, no noise model, no joint offsets."""

import numpy as np

from conure_calibration.poses import ROTATION, TRANSLATION, assembled, inverse, rotation_vector
from conure_core.types import Array


def solve_park(outer_from_inner: Array, camera_from_board: Array) -> tuple[Array, Array]:
    """Solve G_i X C_i = Z for X and Z.

    Args:
        outer_from_inner: The arm's poses G, shape (n, 4, 4), metres, n >= 3, not all about one
            axis; see `Samples.outer_from_inner`.
        camera_from_board: Board poses C in the same order, shape (n, 4, 4), metres.

    Returns:
        X and Z, shape (4, 4) each.

    Source: Park and Martin, IEEE T-RA 10(5), 1994; the rotation by SVD, as Horn, JOSA A 4(4), 1987.
    """
    count = len(outer_from_inner)
    first, second = np.triu_indices(count, 1)
    a = inverse(outer_from_inner[second]) @ outer_from_inner[first]
    b = camera_from_board[second] @ inverse(camera_from_board[first])
    alpha = rotation_vector(a[ROTATION])
    beta = rotation_vector(b[ROTATION])
    turned = nearest_rotation(alpha.T @ beta)
    # (R_A - I) t_X = R_X t_B - t_A, for every pair of samples.
    left = a[ROTATION] - np.eye(3)
    right = b[TRANSLATION] @ turned.T - a[TRANSLATION]
    shift, *_ = np.linalg.lstsq(left.reshape(-1, 3), right.ravel(), rcond=None)
    x = assembled(turned, np.asarray(shift, dtype=np.float64))
    z = mean_pose(outer_from_inner @ x @ camera_from_board)
    return x, z


def nearest_rotation(matrix: Array) -> Array:
    """The rotation nearest to a matrix (3, 3), in the sense of least squares."""
    u, _, vt = np.linalg.svd(matrix)
    handedness = np.linalg.det(u @ vt)
    sign = np.diag([1.0, 1.0, handedness])
    return np.asarray(u @ sign @ vt)


def mean_pose(poses: Array) -> Array:
    """The mean of poses (n, 4, 4): of translations, and of rotations in the chordal sense."""
    rotations = poses[ROTATION]
    translations_m = poses[TRANSLATION]
    mean_rotation = nearest_rotation(rotations.mean(axis=0))
    return assembled(mean_rotation, translations_m.mean(axis=0))
