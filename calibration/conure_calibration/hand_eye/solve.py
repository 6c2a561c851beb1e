"""Hand-eye and joint offsets by weighted least squares, with intervals and held-out poses."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from conure_calibration.hand_eye.linear import solve_park
from conure_calibration.hand_eye.model import OFFSETS, ArmNoise, Loop, X
from conure_calibration.hand_eye.samples import Samples
from conure_calibration.poses import ANGULAR, LINEAR, ROTATION, Chain
from conure_core.errors import DataError
from conure_core.types import Array

OFFSET_PRIOR_RAD = np.radians(5.0)
"""Standard deviation of joint offsets before anything is measured."""
OBSERVABLE = 0.5
"""An offset is observable if the data leave at most this share of its prior deviation."""
ROUNDS = 2
FOLDS = 5
FEWEST_POSES = 8


@dataclass(frozen=True)
class HandEye:
    """A solution, what it rests on, and how sure it is."""

    loop: Loop
    """With X, Z and offsets where the solution is."""
    noise: ArmNoise
    covariance: Array
    """Of the unknowns, shape (size, size), m and rad, scaled to the residuals."""
    noise_ratio: float
    """Residuals over expected noise: 1 where the arm is as expected."""
    freedom: int
    """Degrees of freedom of the residuals."""
    whitened: Array
    """Residuals of unit variance, shape (n, 6)."""
    jacobian: Array
    """Derivatives of the whitened residuals, shape (n, 6, size)."""

    @property
    def x(self) -> Array:
        """wrist: tool_from_camera; stand: base_from_camera. Shape (4, 4), metres."""
        return self.loop.x

    @property
    def z(self) -> Array:
        """wrist: base_from_board; stand: tool_from_board. Shape (4, 4), metres."""
        return self.loop.z

    @property
    def offsets_rad(self) -> Array:
        """Offset of every joint, (joints,): true angle minus measured angle; gauge joints 0."""
        return self.loop.offsets_rad

    @property
    def quantile(self) -> float:
        """Half width of a 90 % interval in standard deviations."""
        return float(student.ppf(0.95, self.freedom))

    @property
    def deviations(self) -> Array:
        """Standard deviations of the unknowns, (size,): X's twist, Z's twist, free offsets."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def translation_deviation_m(self) -> Array:
        """Standard deviations of X's translation along the axes of its outer frame, (3,)."""
        turned = self.x[ROTATION]
        covariance = self.covariance[X, X][:3, :3]
        return np.sqrt(np.diag(turned @ covariance @ turned.T))

    @property
    def hidden(self) -> tuple[int, ...]:
        """Free joints whose offsets the data do not tell."""
        most = OBSERVABLE * OFFSET_PRIOR_RAD
        pairs = zip(self.loop.free, self.deviations[OFFSETS], strict=True)
        return tuple(joint for joint, deviation in pairs if deviation > most)


@dataclass(frozen=True)
class HeldOut:
    """Errors at poses that the fit did not see; the arm's own noise is part of them."""

    translation_m: Array
    """Distances of the board from where it was predicted, shape (n,)."""
    rotation_rad: Array
    """Angles, shape (n,)."""
    ratio: float
    """Root mean square over expected noise: 1 where nothing but noise is left."""


def free_joints(chain: Chain) -> tuple[int, ...]:
    """The joints whose offsets can be told from the frames of base and tool."""
    return tuple(range(1, chain.joints - 1))


def solve_linear(chain: Chain, samples: Samples) -> tuple[Array, Array]:
    """Solve by Park and Martin alone: X and Z, (4, 4) each; see `solve_park`.

    Args:
        chain: The arm.
        samples: 3 or more.
    """
    return solve_park(samples.outer_from_inner(chain), samples.camera_from_board)


def solve_hand_eye(
    chain: Chain,
    samples: Samples,
    noise: ArmNoise | None = None,
    with_offsets: bool = True,
    start: Loop | None = None,
) -> HandEye:
    """Estimate a camera's place, the board's, and the arm's joint offsets together.

    Maximum likelihood: the twist between measured and predicted board pose is whitened by the arm's
    noise, carried to the board, plus the detector's.

    Args:
        chain: The arm.
        samples: Poses of arm and board, 8 or more.
        noise: Of the arm; None: a hobby arm's.
        with_offsets: Whether joint offsets are unknowns; without them they count as 0.
        start: Where to begin; None: at Park and Martin's solution.

    Raises:
        DataError: Too few poses.
    """
    noise = noise or ArmNoise()
    if len(samples) < FEWEST_POSES and start is None:
        raise DataError(f"{len(samples)} poses, at least {FEWEST_POSES} are needed; 15 are good")
    free = free_joints(chain) if with_offsets else ()
    if start is None:
        x, z = solve_linear(chain, samples)
        loop = Loop(chain, samples, x, z, free, np.zeros(chain.joints))
    else:
        loop = start.of(samples)
    for _ in range(ROUNDS):
        whiteners = loop.whiteners(noise)
        loop = loop.moved(_descended(loop, whiteners))
    return _judged(loop, noise, loop.whiteners(noise))


def _descended(loop: Loop, whiteners: Array) -> Array:
    """The unknowns of least squares."""

    def residuals(unknowns: Array) -> Array:
        """Errors of unit variance, then the offsets' in units of their prior."""
        errors = loop.whitened(whiteners, unknowns)
        return np.concatenate([errors.ravel(), _of_prior(loop, unknowns)])

    def jacobian(unknowns: Array) -> Array:
        """Derivatives of `residuals`."""
        of_data = (whiteners @ loop.jacobian(unknowns)).reshape(-1, loop.size)
        return np.concatenate([of_data, _prior_rows(loop)])

    found = least_squares(
        residuals,
        np.zeros(loop.size),
        jac=jacobian,
        method="lm",
        x_scale="jac",
        xtol=1e-10,
    )
    return np.asarray(found.x)


def _of_prior(loop: Loop, unknowns: Array) -> Array:
    offsets = loop.offsets_rad[list(loop.free)] + unknowns[OFFSETS]
    return np.asarray(offsets / OFFSET_PRIOR_RAD)


def _prior_rows(loop: Loop) -> Array:
    """Derivatives of `_of_prior`, shape (free, size)."""
    rows = np.zeros((len(loop.free), loop.size))
    rows[:, OFFSETS] = np.eye(len(loop.free)) / OFFSET_PRIOR_RAD
    return rows


def _judged(
    loop: Loop,
    noise: ArmNoise,
    whiteners: Array,
) -> HandEye:
    zero = np.zeros(loop.size)
    whitened = loop.whitened(whiteners, zero)
    jacobian = whiteners @ loop.jacobian(zero)
    flat = jacobian.reshape(-1, loop.size)
    prior = _prior_rows(loop)
    freedom = max(whitened.size - loop.size, 1)
    ratio_squared = float((whitened**2).sum() / freedom)
    information = flat.T @ flat / ratio_squared + prior.T @ prior
    covariance = np.asarray(np.linalg.pinv(information, hermitian=True), dtype=np.float64)
    return HandEye(
        loop=loop,
        noise=noise,
        covariance=covariance,
        noise_ratio=float(np.sqrt(ratio_squared)),
        freedom=freedom,
        whitened=whitened,
        jacobian=jacobian,
    )


def hold_out(solution: HandEye, folds: int = FOLDS) -> HeldOut:
    """Predict each sample by a fit to the others.

    Args:
        solution: Of all samples; each fit begins there.
        folds: Into how many parts the samples are divided.
    """
    loop = solution.loop
    count = len(loop.samples)
    errors = np.zeros((count, 6))
    whitened = np.zeros((count, 6))
    for fold in range(min(folds, count)):
        out = [index for index in range(count) if index % folds == fold]
        kept = [index for index in range(count) if index % folds != fold]
        fit = solve_hand_eye(
            loop.chain,
            loop.samples.chosen(kept),
            solution.noise,
            with_offsets=bool(loop.free),
            start=loop,
        )
        rest = fit.loop.of(loop.samples.chosen(out))
        zero = np.zeros(rest.size)
        errors[out] = rest.errors(zero)
        whitened[out] = rest.whitened(rest.whiteners(solution.noise), zero)
    return HeldOut(
        translation_m=np.linalg.norm(errors[LINEAR], axis=1),
        rotation_rad=np.linalg.norm(errors[ANGULAR], axis=1),
        ratio=float(np.sqrt((whitened**2).mean())),
    )
