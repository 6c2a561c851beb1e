"""A folder of images with the arm's joint angles, as samples."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conure_calibration.boards.board import BOARD, Board, read_board
from conure_calibration.boards.detection import Corners, find_corners, why_missing
from conure_calibration.hand_eye.samples import MOUNTS, Samples
from conure_calibration.intrinsics.fit import Placed, place_board, pose_covariance
from conure_calibration.intrinsics.frames import read_grey
from conure_calibration.intrinsics.lens import Lens, read_lens
from conure_core.config.yaml_fields import bounded, read_fields, require_bounds
from conure_core.errors import ConfigError, DataError, unknown_name
from conure_core.robot.description import RobotConfig, load_robot
from conure_core.types import Array

SESSION = "session.yaml"
CAMERA = "camera.yaml"
MOST_RMS_PX = 3.0
"""Of one image: beyond, corners were taken for others, or the intrinsics are of another lens."""
LEAST_NOISE_PX = 0.1


@dataclass(frozen=True)
class Pair:
    """An image and where the arm stood."""

    image: str
    """File name in the folder."""
    joint_rad: tuple[float, ...]
    """In the order of the robot's `joint_names`."""


@dataclass(frozen=True)
class Session:
    """The file `session.yaml` of a hand-eye recording."""

    robot: str
    """Name of the arm, or path of its YAML file."""
    mount: str
    """"wrist": the camera rides on the tool; "stand": the board is fixed to the tool."""
    samples: tuple[Pair, ...]
    arm_noise_m: float = bounded(1e-5, 0.1, default=0.002)
    """How far the tool is from where the kinematics put it, along each axis."""
    arm_noise_rad: float = bounded(1e-5, 0.2, default=0.00873)
    """The same about each axis."""

    def __post_init__(self) -> None:
        require_bounds(self)
        if self.mount not in MOUNTS:
            raise unknown_name("mount", self.mount, MOUNTS)


@dataclass(frozen=True)
class HandEyeRecording:
    """All that a folder says."""

    session: Session
    robot: RobotConfig
    lens: Lens
    board: Board
    samples: Samples
    placed: tuple[Placed, ...]
    corners: tuple[Corners, ...]
    noise_px: float
    """Standard deviation of a corner along each axis."""
    refused: dict[str, str]
    """Why an image was dropped, with its joint angles, by name."""


def read_hand_eye(folder: Path) -> HandEyeRecording:
    """Read a folder with session.yaml, board.yaml, camera.yaml and images.

    Raises:
        ConfigError: A file is missing or wrong, the board was not measured, or it looks the same
            after half a turn; names file and field.
        DataError: The board is in none of the images; says why.
    """
    path = folder / SESSION
    if not path.is_file():
        raise ConfigError(f"{path} is missing; expected robot, mount and samples")
    session = read_fields(path, Session)
    robot = load_robot(session.robot)
    _require_joints(session, robot, path)
    lens = read_lens(folder / CAMERA)
    board = read_board(folder)
    _require_board(board, folder / BOARD)
    names, joints, corners, placed, refused = [], [], [], [], {}
    for pair in session.samples:
        found = _placed(folder / pair.image, lens, board)
        if isinstance(found, str):
            refused[pair.image] = found
            continue
        names.append(pair.image)
        joints.append(pair.joint_rad)
        corners.append(found[0])
        placed.append(found[1])
    if not names:
        reason = Counter(refused.values()).most_common(1)
        raise DataError(
            f"{folder}: the board is in none of the {len(session.samples)} images"
            f" ({reason[0][0] if reason else 'there are no samples'})"
        )
    noise_px = _noise_px(placed)
    covariance = [
        pose_covariance(lens, one.camera_from_board, seen.points_m(board), noise_px)
        for one, seen in zip(placed, corners, strict=True)
    ]
    samples = Samples(
        session.mount,
        tuple(names),
        np.array(joints),
        np.array([one.camera_from_board for one in placed]),
        np.array(covariance),
        np.array([seen.share(board) for seen in corners]),
    )
    return HandEyeRecording(
        session, robot, lens, board, samples, tuple(placed), tuple(corners), noise_px, refused
    )


def _require_joints(session: Session, robot: RobotConfig, path: Path) -> None:
    """Raises: ConfigError for joint angles of another arm."""
    count = len(robot.joint_names)
    for index, pair in enumerate(session.samples):
        if len(pair.joint_rad) != count:
            raise ConfigError(
                f"{path}: samples[{index}].joint_rad must have {count} values, one for each of"
                f" {', '.join(robot.joint_names)}, got {len(pair.joint_rad)}"
            )
    twice = [name for name, times in Counter(p.image for p in session.samples).items() if times > 1]
    if twice:
        raise ConfigError(f"{path}: samples: {twice[0]} is given twice; an image has one pose")


def _require_board(board: Board, path: Path) -> None:
    if not board.measured:
        raise ConfigError(
            f"{path}: measured must be true: every length comes from the board's; measure the print"
            " (conure calibrate board measured_mm=[WIDTH,HEIGHT])"
        )
    if board.is_ambiguous:
        raise ConfigError(
            f"{path}: a chessboard of {board.columns}x{board.rows} squares looks the same after"
            " half a turn; take a ChArUco board, or one more row"
        )


def _placed(path: Path, lens: Lens, board: Board) -> tuple[Corners, Placed] | str:
    """The board in an image, or why there is none."""
    if not path.is_file():
        raise ConfigError(f"{path} is missing, and {SESSION} names it; remove it there")
    grey = read_grey(path)
    size = (grey.shape[1], grey.shape[0])
    if size != lens.size_px:
        raise ConfigError(
            f"{path} has {size[0]}x{size[1]} px, {CAMERA} is for {lens.width_px}x{lens.height_px};"
            " calibrate the camera at the size that it gives"
        )
    corners = find_corners(grey, board)
    if corners is None:
        return why_missing(grey, board) or "no board in view"
    placed = place_or_explain(lens, board, corners.ids, corners.pixels)
    return placed if isinstance(placed, str) else (corners, placed)


def place_or_explain(
    lens: Lens,
    board: Board,
    ids: NDArray[np.int64],
    pixels: Array,
) -> Placed | str:
    """Place a board, or say why its corners do not lie where the board has them.

    Args:
        lens: Of the camera.
        board: The board.
        ids: Which of its corners were seen, shape (n,).
        pixels: Where, shape (n, 2).
    """
    placed = _try(lens, board, ids, pixels)
    if placed is not None and placed.rms_px <= MOST_RMS_PX:
        return placed
    swapped = replace(board, columns=board.rows, rows=board.columns)
    other = _try(lens, swapped, ids, pixels)
    if other is not None and other.rms_px <= MOST_RMS_PX:
        return f"rows and columns are swapped: the board has {swapped.columns} columns"
    far = "anywhere" if placed is None else f"{placed.rms_px:.1f} px from there"
    return (
        f"corners are not where board and lens put them ({far}); calibrate the lens, look at"
        f" {BOARD}"
    )


def _try(lens: Lens, board: Board, ids: NDArray[np.int64], pixels: Array) -> Placed | None:
    try:
        return place_board(lens, board.points_m[ids], pixels)
    except DataError:
        return None


def _noise_px(placed: list[Placed]) -> float:
    squares = np.concatenate([one.residuals_px.ravel() ** 2 for one in placed])
    return max(float(np.sqrt(np.median(squares) / 0.455)), LEAST_NOISE_PX)
