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
from conure_calibration.intrinsics.frames import image_size_px, read_grey
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
CHI_SQUARE_MEDIAN = 0.455
"""Of one degree of freedom: outliers move a median less than a mean."""


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
    seen, refused = _look_at_all(folder, session, lens, board)
    if not seen:
        raise DataError(f"{folder}: {_why_none(session, refused)}")
    placed = tuple(one.placed for one in seen)
    noise_px = _noise_px(placed)
    return HandEyeRecording(
        session=session,
        robot=robot,
        lens=lens,
        board=board,
        samples=_samples(session.mount, seen, lens, board, noise_px),
        placed=placed,
        corners=tuple(one.corners for one in seen),
        noise_px=noise_px,
        refused=refused,
    )


@dataclass(frozen=True)
class _Seen:
    """A pair whose image shows the board."""

    pair: Pair
    corners: Corners
    placed: Placed


def _look_at_all(
    folder: Path,
    session: Session,
    lens: Lens,
    board: Board,
) -> tuple[list[_Seen], dict[str, str]]:
    """The pairs whose images show the board, and why the others do not, by name."""
    seen: list[_Seen] = []
    refused: dict[str, str] = {}
    for pair in session.samples:
        found = _look(folder, pair, lens, board)
        if isinstance(found, str):
            refused[pair.image] = found
        else:
            seen.append(found)
    return seen, refused


def _why_none(session: Session, refused: dict[str, str]) -> str:
    """Say that no image can be used, with the reason that is given most."""
    reason = "there are no samples"
    if refused:
        reason = Counter(refused.values()).most_common(1)[0][0]
    return f"the board is in none of the {len(session.samples)} images ({reason})"


def _samples(
    mount: str,
    seen: list[_Seen],
    lens: Lens,
    board: Board,
    noise_px: float,
) -> Samples:
    covariance = []
    for one in seen:
        points_m = one.corners.points_m(board)
        pose = one.placed.camera_from_board
        covariance.append(pose_covariance(lens, pose, points_m, noise_px))
    return Samples(
        mount=mount,
        names=tuple(one.pair.image for one in seen),
        joint_rad=np.array([one.pair.joint_rad for one in seen]),
        camera_from_board=np.array([one.placed.camera_from_board for one in seen]),
        covariance=np.array(covariance),
        shares=np.array([one.corners.share(board) for one in seen]),
    )


def _require_joints(
    session: Session,
    robot: RobotConfig,
    path: Path,
) -> None:
    """Raises: ConfigError for joint angles of another arm."""
    count = len(robot.joint_names)
    for index, pair in enumerate(session.samples):
        if len(pair.joint_rad) != count:
            raise ConfigError(
                f"{path}: samples[{index}].joint_rad must have {count} values, one for each of"
                f" {', '.join(robot.joint_names)}, got {len(pair.joint_rad)}"
            )
    images = Counter(pair.image for pair in session.samples)
    for image, times in images.items():
        if times > 1:
            raise ConfigError(f"{path}: samples: {image} is given twice; an image has one pose")


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


def _look(
    folder: Path,
    pair: Pair,
    lens: Lens,
    board: Board,
) -> _Seen | str:
    """The board in a pair's image, or why there is none."""
    path = folder / pair.image
    if not path.is_file():
        raise ConfigError(f"{path} is missing, and {SESSION} names it; remove it there")
    grey = read_grey(path)
    width, height = image_size_px(grey)
    if (width, height) != lens.size_px:
        raise ConfigError(
            f"{path} has {width}x{height} px, {CAMERA} is for {lens.width_px}x{lens.height_px};"
            " calibrate the camera at the size that it gives"
        )
    corners = find_corners(grey, board)
    if corners is None:
        return why_missing(grey, board) or "no board in view"
    placed = place_or_explain(lens, board, corners.ids, corners.pixels)
    return placed if isinstance(placed, str) else _Seen(pair, corners, placed)


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


def _try(
    lens: Lens,
    board: Board,
    ids: NDArray[np.int64],
    pixels: Array,
) -> Placed | None:
    try:
        return place_board(lens, board.points_m[ids], pixels)
    except DataError:
        return None


def _noise_px(placed: tuple[Placed, ...]) -> float:
    squares = np.concatenate([one.residuals_px.ravel() ** 2 for one in placed])
    variance = np.median(squares) / CHI_SQUARE_MEDIAN
    return max(float(np.sqrt(variance)), LEAST_NOISE_PX)
