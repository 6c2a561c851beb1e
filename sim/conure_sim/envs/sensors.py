"""The sensors of an environment: cameras and encoders, with delays, blur and dropped frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from conure_core.config.yaml_fields import read_mapping
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig
from conure_core.robot.proprioception import proprioception
from conure_core.types import Array
from conure_sim.physics.world import World
from conure_sim.randomization.factors import RandomizationSample
from conure_sim.vision.camera import (
    FAR_M,
    AnyCamera,
    Camera,
    MountedCamera,
    calibrated_intrinsics,
    centred_intrinsics,
    looking_pose,
)
from conure_sim.vision.rendering import NOTHING

TABLE = "table"
WRIST = "wrist"
WRIST_EYE_M = (-0.06, 0.0, 0.08)
WRIST_GAZE_M = (0.06, 0.0, 0.0)
WRIST_VIEW_RAD = 1.1
FIXED_KEYS = {"base_from_camera"}
MOUNTED_KEYS = {"link", "link_from_camera"}
OPTICS_KEYS = {"width_px", "height_px", "matrix", "distortion"}


def wrist_camera(robot: RobotConfig, size_px: int) -> MountedCamera:
    """The camera above the gripper that looks at what the fingers close on.

    Args:
        robot: Whose tool frame it is mounted on.
        size_px: Width and height of its square images, px.

    Returns:
        The camera in the tool's frame, x forward.
    """
    intrinsics = centred_intrinsics(size_px, size_px, WRIST_VIEW_RAD)
    pose = looking_pose(np.array(WRIST_EYE_M), np.array(WRIST_GAZE_M))
    return MountedCamera(intrinsics, robot.tool_frame, pose)


def choose_cameras(
    wanted: Sequence[str] | Mapping[str, Any], table: Camera, robot: RobotConfig
) -> dict[str, AnyCamera]:
    """The cameras of an environment, by name.

    Args:
        wanted: Names of built-in cameras, or a mapping whose values are cameras, calibrations (see
            docs/simulate.md) or the paths of their YAML files, or None for the built-in one of the
            name.
        table: The built-in camera `table`.
        robot: Whose tool frame carries the built-in camera `wrist`.

    Returns:
        The cameras, `table` among them.

    Raises:
        ConfigError: A name without a camera is unknown, `table` is missing, or a calibration is
            wrong.
    """
    built_in: dict[str, AnyCamera] = {TABLE: table, WRIST: wrist_camera(robot, table.width_px)}
    given = dict(wanted) if isinstance(wanted, Mapping) else dict.fromkeys(wanted)
    if isinstance(wanted, str) or TABLE not in given:
        raise ConfigError(f"cameras must be names or a mapping that hold '{TABLE}', got {wanted!r}")

    chosen: dict[str, AnyCamera] = {}
    for name, camera in given.items():
        if camera is None and name not in built_in:
            raise unknown_name("camera", name, built_in)
        if isinstance(camera, str):
            camera = read_mapping(Path(camera))
        if isinstance(camera, Mapping):
            chosen[name] = _configured_camera(camera)
        else:
            chosen[name] = camera or built_in[name]
    return chosen


def observing_cameras(
    cameras: dict[str, AnyCamera], images: bool, labelled: bool
) -> dict[str, AnyCamera]:
    """The cameras whose images are observed.

    Args:
        cameras: All of an environment.
        images: Whether observations hold images.
        labelled: Whether they shall hold depth or segmentation.

    Returns:
        All cameras, or none.

    Raises:
        ConfigError: Depth or segmentation without images.
    """
    if labelled and not images:
        raise ConfigError(
            "images=False observes no camera, but depth or segmentation is asked for; make the"
            " environment with images=True, or without these"
        )
    return cameras if images else {}


def _configured_camera(config: Mapping[str, Any]) -> AnyCamera:
    """A calibrated camera: width_px, height_px, matrix (3, 3), distortion (k1, k2, p1, p2, k3), and
    its pose.

    The pose is `base_from_camera` (4, 4), or `link` and `link_from_camera`; metres, optical frame.
    Raises: ConfigError for missing, unknown or ill-shaped fields.
    """
    known = OPTICS_KEYS | FIXED_KEYS | MOUNTED_KEYS
    for key in config:
        if key not in known:
            raise unknown_name("field of a camera", str(key), known)

    pose_keys = MOUNTED_KEYS if "link" in config else FIXED_KEYS
    required = OPTICS_KEYS - {"distortion"} | pose_keys
    missing = sorted(required - config.keys())
    if missing:
        raise ConfigError(f"a camera lacks {missing}; it needs its size, its matrix and its pose")

    optics = calibrated_intrinsics(
        int(config["width_px"]),
        int(config["height_px"]),
        np.array(config["matrix"]),
        config.get("distortion"),
    )
    if "link" in config:
        return MountedCamera(optics, str(config["link"]), _pose(config["link_from_camera"]))
    return Camera(optics, _pose(config["base_from_camera"]))


def require_sight(world: World, cameras: Mapping[str, AnyCamera]) -> None:
    """Check that every camera sees table or arm.

    Args:
        world: After a reset.
        cameras: By name.

    Raises:
        ConfigError: A camera sees neither; most often its pose is inverted.
    """
    for name, camera in cameras.items():
        bodies = world.view(camera, bodies=True).bodies
        if bodies is None or (bodies == NOTHING).all():
            pose = world.camera_in_base(camera).base_from_camera
            raise ConfigError(
                f"camera '{name}' at {np.round(pose[:3, 3], 3).tolist()} m, looking along "
                f"{np.round(pose[:3, 2], 3).tolist()} (base frame), sees nothing; its pose must be "
                "base_from_camera with z forward and y down, not its inverse"
            )


class Sensors:
    """The last captured frames and joint angles; the environment decides when to capture.

    Keys: `image` of the table camera, `image_NAME` of another; likewise `depth` and `segmentation`
    if asked for.
    """

    def __init__(
        self, world: World, cameras: Mapping[str, AnyCamera], depth: bool, segmentation: bool
    ) -> None:
        self.world = world
        self.cameras = dict(cameras)
        self._depth = depth
        self._segmentation = segmentation
        self._frames: dict[str, NDArray[Any]] = {}

    def spaces(self) -> dict[str, spaces.Space[Any]]:
        """The observation spaces of everything captured."""
        found: dict[str, spaces.Space[Any]] = {}
        for name, camera in self.cameras.items():
            shape = (camera.intrinsics.height_px, camera.intrinsics.width_px)
            found[_key("image", name)] = spaces.Box(0, 255, (*shape, 3), np.uint8)
            if self._depth:
                found[_key("depth", name)] = spaces.Box(0.0, FAR_M, shape, np.float32)
            if self._segmentation:
                found[_key("segmentation", name)] = spaces.Box(0, 255, shape, np.uint8)
        size = self.world.robot.proprio_size
        found["proprio"] = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        return found

    def start(self, sample: RandomizationSample, rng: np.random.Generator) -> None:
        """Begin an episode and capture frames and joints; the first frame is never dropped.

        Args:
            sample: The episode's randomization.
            rng: Where dropped frames and image noise are drawn from.
        """
        self.sample = sample
        self._frames = {}
        self._displaced = {name: sample.displace(camera) for name, camera in self.cameras.items()}
        self.capture_frames(rng)
        self.capture_joints()

    def capture_frames(self, rng: np.random.Generator) -> None:
        """Let every camera take a picture, unless this one is dropped."""
        chance = self.sample.frame_drop_chance
        dropped = chance > 0 and rng.random() < chance
        if dropped and self._frames:
            return
        self._frames = {}
        for name, camera in self._displaced.items():
            view = self.world.view(camera, self._depth, self._segmentation)
            self._frames[_key("image", name)] = self.sample.degrade(view.image, rng)
            if view.depth_m is not None:
                self._frames[_key("depth", name)] = view.depth_m
            if view.bodies is not None:
                self._frames[_key("segmentation", name)] = self.world.segmentation(view)

    def capture_joints(self) -> None:
        """Read the encoders."""
        joints = self.world.joint_state()
        self._proprio = proprioception(self.world.arm, joints.joint_rad, joints.gripper_m)

    def observation(self) -> dict[str, NDArray[Any]]:
        """Copies of what was captured last."""
        copies = {key: frame.copy() for key, frame in self._frames.items()}
        copies["proprio"] = self._proprio.copy()
        return copies

    def get_state(self) -> dict[str, NDArray[Any]]:
        """A copy of what was captured last, for a saved environment."""
        return self.observation()

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `get_state` gave, within the same episode."""
        copies = {key: value.copy() for key, value in state.items()}
        self._proprio = copies.pop("proprio")
        self._frames = copies


def _key(kind: str, camera: str) -> str:
    return kind if camera == TABLE else f"{kind}_{camera}"


def _pose(values: Any) -> Array:
    pose = np.array(values, dtype=np.float64)
    if pose.shape != (4, 4) or not _is_rotation(pose[:3, :3]):
        raise ConfigError(
            f"expected a pose (4, 4) with a rotation in it, got {np.array(values).tolist()}"
        )
    return pose


def _is_rotation(matrix: Array) -> bool:
    return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() <= 1e-3)
