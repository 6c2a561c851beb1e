"""What a folder says of the scene: touches or a board on the table, and images of it empty."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_calibration.boards.board import read_board
from conure_calibration.boards.detection import find_corners, why_missing
from conure_calibration.hand_eye.place import read_place
from conure_calibration.hand_eye.recording import CAMERA, place_or_explain
from conure_calibration.intrinsics.frames import image_size_px, read_grey
from conure_calibration.intrinsics.lens import Lens, read_lens
from conure_calibration.poses import ROTATION, TRANSLATION
from conure_core.config.yaml_fields import bounded, read_fields, require_bounds
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig, load_robot
from conure_core.types import Array

SCENE = "scene.yaml"
POSE = "pose.yaml"


@dataclass(frozen=True)
class SceneFile:
    """The file `scene.yaml`."""

    robot: str
    """Name of the arm, or path of its YAML file."""
    touches: tuple[tuple[float, ...], ...] = ()
    """Joint angles with the tool's tip on the table, rad."""
    tip_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The tip in the tool frame."""
    board: tuple[str, ...] = ()
    """Images of a board that lies on the table, by a camera whose pose.yaml is here."""
    board_thickness_m: float = bounded(0.0, 0.1, default=0.0)
    """From the table to the board's print."""
    empty: tuple[str, ...] = ()
    """Images of the empty scene, by a camera that stands still."""
    noise_m: float = bounded(1e-5, 0.1, default=0.002)
    """How far a point on the table is from where the arm puts it."""

    def __post_init__(self) -> None:
        require_bounds(self)
        if not (self.touches or self.board or self.empty):
            raise ConfigError("expected touches or board, and empty; nothing is given")


@dataclass(frozen=True)
class SceneRecording:
    """All that a folder says."""

    file: SceneFile
    robot: RobotConfig
    points_m: Array
    """On the table, base frame, shape (n, 3)."""
    names: tuple[str, ...]
    """Of each point."""
    images: NDArray[np.uint8]
    """Of the empty scene, rgb, shape (n, h, w, 3)."""


def read_scene(folder: Path) -> SceneRecording:
    """Read a folder with scene.yaml and what it names.

    Raises:
        ConfigError: A file is missing or wrong; names file and field.
    """
    path = folder / SCENE
    if not path.is_file():
        raise ConfigError(f"{path} is missing; expected robot, touches or board, and empty")
    scene = read_fields(path, SceneFile)
    robot = load_robot(scene.robot)
    points: list[Array] = []
    names: list[str] = []
    arm = Arm(robot)
    for index, angles in enumerate(scene.touches):
        if len(angles) != len(robot.joint_names):
            raise ConfigError(
                f"{path}: touches[{index}] must have {len(robot.joint_names)} values, one for each"
                f" of {', '.join(robot.joint_names)}, got {len(angles)}"
            )
        base_from_tool = arm.forward(np.array(angles))
        points.append(base_from_tool[:3, :3] @ scene.tip_m + base_from_tool[:3, 3])
        names.append(f"touch {index}")
    for name in scene.board:
        corners = _board_corners(folder, name, robot)
        points += list(corners - [0.0, 0.0, scene.board_thickness_m])
        names += [name] * len(corners)
    return SceneRecording(
        file=scene,
        robot=robot,
        points_m=np.array(points).reshape(-1, 3),
        names=tuple(names),
        images=_images(folder, scene.empty),
    )


def _board_corners(
    folder: Path,
    name: str,
    robot: RobotConfig,
) -> Array:
    """The outer corners of a board on the table, base frame, (4, 3)."""
    lens = read_lens(folder / CAMERA)
    board = read_board(folder)
    if not board.measured:
        raise ConfigError(f"{folder / 'board.yaml'}: measured must be true; measure the print")
    parent, base_from_camera = read_place(folder / POSE)
    if parent != robot.base_frame:
        raise ConfigError(
            f"{folder / POSE}: parent must be {robot.base_frame}, got {parent}: a camera that"
            " stands still sees the board on the table; with one on the wrist, take touches"
        )
    grey = _of_lens(folder / name, lens)
    found = find_corners(grey, board)
    if found is None:
        raise ConfigError(f"{folder / name}: {why_missing(grey, board) or 'no board in view'}")
    placed = place_or_explain(lens, board, found.ids, found.pixels)
    if isinstance(placed, str):
        raise ConfigError(f"{folder / name}: {placed}")
    pose = base_from_camera @ placed.camera_from_board
    return np.asarray(board.outline_m @ pose[ROTATION].T + pose[TRANSLATION])


def _of_lens(path: Path, lens: Lens) -> NDArray[np.uint8]:
    """An image, of the size that its lens is calibrated for."""
    grey = read_grey(path)
    if image_size_px(grey) != lens.size_px:
        width, height = image_size_px(grey)
        raise ConfigError(
            f"{path} has {width}x{height} px, {CAMERA} is for {lens.width_px}x{lens.height_px}"
        )
    return grey


def _images(folder: Path, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Images of one size, (n, h, w, 3) rgb."""
    found: list[NDArray[np.uint8]] = []
    for name in names:
        image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if image is None:
            raise ConfigError(f"{folder / name} cannot be read as an image, and {SCENE} names it")
        if found and image.shape != found[0].shape:
            height, width = image.shape[:2]
            other = f"{found[0].shape[1]}x{found[0].shape[0]}"
            raise ConfigError(f"{folder / name} has {width}x{height} px, {names[0]} has {other}")
        found.append(np.asarray(image[..., ::-1], dtype=np.uint8))
    return np.array(found, dtype=np.uint8)
