"""Random arms with cameras whose truth is known: poses with noise, corners with noise."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from conure_calibration.boards.board import Board
from conure_calibration.hand_eye.model import ArmNoise
from conure_calibration.hand_eye.proposal import NOISE_PX, choose_poses, draw_visible
from conure_calibration.hand_eye.samples import Samples
from conure_calibration.hand_eye.solve import free_joints
from conure_calibration.intrinsics.fit import place_board, pose_covariance, projected
from conure_calibration.intrinsics.lens import Lens
from conure_calibration.poses import Chain, assembled, inverse, pose
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.types import Array

ARM = "wx250s"
DISPLACED = np.array([0.02] * 3 + [0.08] * 3)
"""Standard deviation of the true places about the nominal ones, m and rad."""
HELD_OUT = 20
POOL = 250
"""Poses that each case chooses from."""
LENS = Lens(
    "plumb_bob",
    640,
    480,
    np.array([[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]]),
    np.array([-0.1, 0.04, 0.0, 0.0, 0.0]),
)
BOARDS = {
    "wrist": Board("charuco", 10, 7, 0.025, 0.025, True),
    "stand": Board("charuco", 6, 4, 0.025, 0.025, True),
}
"""A sheet on the table, and a plate in the gripper."""


FLAT = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])
"""Rotation of a board that lies on the table."""
FACING = np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])
"""Rotation of a board in the gripper that faces up and back where the gripper points forward."""


@dataclass(frozen=True)
class ArmCase:
    """One arm with a camera: the truth, and samples of it."""

    chain: Chain
    samples: Samples
    x: Array
    """True X as far as it can be told: gauge offsets are part of it, shape (4, 4)."""
    offsets_rad: Array
    """True offsets, shape (joints,); 0 for the gauge joints."""
    held_out_rad: Array
    """Measured joint angles at other poses, shape (n, joints)."""
    held_out: Array
    """The board's true poses there in the camera's frame, shape (n, 4, 4)."""


@cache
def reference_arm() -> tuple[Arm, Chain]:
    """The arm of the benchmark, and its chain."""
    arm = Arm(load_robot(ARM))
    return arm, Chain.of(arm)


def looking(eye_m: Array, target_m: Array) -> Array:
    """Build the pose of a camera that looks from a point at another one, its x axis level.

    Args:
        eye_m: Shape (3,).
        target_m: Shape (3,).
    """
    forward = target_m - eye_m
    z = forward / np.linalg.norm(forward)
    level = np.cross(z, [0.0, 0.0, 1.0])
    x = level / np.linalg.norm(level)
    y = np.cross(z, x)
    return assembled(np.stack([x, y, z], axis=1), eye_m)


WRIST_CAMERA = looking(np.array([-0.08, 0.0, 0.06]), np.array([0.12, 0.0, 0.0]))
"""tool_from_camera of one above the gripper that looks out of it and a little down."""
STAND_CAMERA = looking(np.array([0.75, 0.25, 0.45]), np.array([0.25, 0.0, 0.2]))
"""base_from_camera of one beside the arm."""


def nominal_places(mount: str) -> tuple[Array, Array]:
    """X and Z as a drawing would have them, (4, 4) each.

    Args:
        mount: "wrist" or "stand".
    """
    board = BOARDS[mount]
    if mount == "wrist":
        corner = np.array([0.35 + board.height_m / 2, board.width_m / 2, 0.0])
        return WRIST_CAMERA, assembled(FLAT, corner)
    corner = np.array([0.04, board.width_m / 2, -board.height_m / 2])
    return STAND_CAMERA, assembled(FACING, corner)


@cache
def _candidates(mount: str) -> Samples:
    arm, chain = reference_arm()
    rng = np.random.default_rng(7)
    return draw_visible(arm, chain, nominal_places(mount), LENS, BOARDS[mount], mount, rng)


def draw_case(
    rng: np.random.Generator,
    mount: str,
    offset_rad: float,
    poses: int = 15,
    noise: ArmNoise | None = None,
    chosen: bool = True,
) -> ArmCase:
    """Draw an arm with offsets, a displaced camera, and samples with noise.

    Args:
        rng: Where draws come from.
        mount: "wrist" or "stand".
        offset_rad: Standard deviation of every joint's offset.
        poses: Number of samples.
        noise: Of the arm; None: 2 mm and 0.5 degrees.
        chosen: Whether the poses are those that tell most; else any in view.
    """
    _, chain = reference_arm()
    nominal = nominal_places(mount)
    x, z = (place @ pose(DISPLACED * rng.normal(size=6)) for place in nominal)
    offsets = offset_rad * rng.normal(size=chain.joints)
    candidates = _candidates(mount)
    subset = rng.permutation(len(candidates))[:POOL].tolist()
    pool = candidates.chosen(subset)
    picked = choose_poses(chain, pool, nominal, poses) if chosen else list(range(poses))
    others = [index for index in range(len(pool)) if index not in picked][:HELD_OUT]
    taken = pool.chosen(rng.permutation(picked).tolist())
    held_out = pool.chosen(others)
    is_free = np.isin(np.arange(chain.joints), free_joints(chain))
    return ArmCase(
        chain=chain,
        samples=observed(rng, taken, offsets, (x, z), noise or ArmNoise()),
        x=_gauge(chain, mount, offsets) @ x,
        offsets_rad=np.where(is_free, offsets, 0.0),
        held_out_rad=held_out.joint_rad,
        held_out=exact(held_out, offsets, (x, z)),
    )


def _gauge(
    chain: Chain,
    mount: str,
    offsets_rad: Array,
) -> Array:
    """How offsets of the first or the last joint seem to move the camera, (4, 4)."""
    if mount == "wrist":
        return chain.tool_turns(offsets_rad[-1])
    return chain.turns(0, -offsets_rad[0])


def exact(
    samples: Samples,
    offsets_rad: Array,
    places: tuple[Array, Array],
) -> Array:
    """Compute the true board poses (n, 4, 4) in the camera's frame.

    Args:
        samples: For their mount and measured joint angles.
        offsets_rad: True offsets, shape (joints,).
        places: True X and Z.
    """
    _, chain = reference_arm()
    outer = samples.outer_from_inner(chain, samples.joint_rad + offsets_rad)
    return np.asarray(inverse(places[0]) @ inverse(outer) @ places[1])


def observed(
    rng: np.random.Generator,
    samples: Samples,
    offsets_rad: Array,
    places: tuple[Array, Array],
    noise: ArmNoise,
) -> Samples:
    """Measure samples: the tool is not quite where it should be, and corners are seen with noise.

    Args:
        rng: Where noise comes from.
        samples: For their mount and measured joint angles.
        offsets_rad: True offsets, shape (joints,).
        places: True X and Z.
        noise: Of the arm.
    """
    _, chain = reference_arm()
    board = BOARDS[samples.mount]
    deviations = np.sqrt(np.diag(noise.covariance))
    slips = pose(deviations * rng.normal(size=(len(samples), 6)))
    base_from_tool = chain.forward(samples.joint_rad + offsets_rad) @ slips
    outer = base_from_tool if samples.mount == "wrist" else inverse(base_from_tool)
    true = inverse(places[0]) @ inverse(outer) @ places[1]
    found = []
    covariance = []
    for camera_from_board in true:
        exact_px = projected(LENS, camera_from_board, board.points_m)
        pixels = exact_px + NOISE_PX * rng.normal(size=exact_px.shape)
        seen = place_board(LENS, board.points_m, pixels).camera_from_board
        found.append(seen)
        covariance.append(pose_covariance(LENS, seen, board.points_m, NOISE_PX))
    return replace(
        samples,
        camera_from_board=np.array(found),
        covariance=np.array(covariance),
        shares=np.ones(len(samples)),
    )
