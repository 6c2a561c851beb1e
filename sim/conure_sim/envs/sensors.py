"""Which cameras an environment has, and what of the world they and the encoders report, late,
blurred or not at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig
from conure_core.robot.proprioception import proprioception
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

TABLE, WRIST = "table", "wrist"
WRIST_EYE_M, WRIST_GAZE_M, WRIST_VIEW_RAD = (-0.06, 0.0, 0.08), (0.06, 0.0, 0.0), 1.1
FIXED_KEYS, MOUNTED_KEYS = {"base_from_camera"}, {"link", "link_from_camera"}
OPTICS_KEYS = {"width_px", "height_px", "matrix", "distortion"}


def wrist_camera(robot: RobotConfig, size_px: int) -> MountedCamera:
    """The camera above the gripper, in the tool's frame (x forward), that looks at what the fingers
    close on.
    """
    pose = looking_pose(np.array(WRIST_EYE_M), np.array(WRIST_GAZE_M))
    return MountedCamera(
        centred_intrinsics(size_px, size_px, WRIST_VIEW_RAD), robot.tool_frame, pose
    )


def choose_cameras(
    wanted: Sequence[str] | Mapping[str, Any], table: Camera, robot: RobotConfig
) -> dict[str, AnyCamera]:
    """Cameras by name. A mapping's values are cameras, mappings as for `configured_camera`, or None
    for the usual one.

    Raises: ConfigError for an unknown name without a camera, or if `table` is not among them.
    """
    usual: dict[str, AnyCamera] = {TABLE: table, WRIST: wrist_camera(robot, table.width_px)}
    given = dict(wanted) if isinstance(wanted, Mapping) else dict.fromkeys(wanted)
    if isinstance(wanted, str) or TABLE not in given:
        raise ConfigError(f"cameras must be names or a mapping that hold '{TABLE}', got {wanted!r}")
    chosen: dict[str, AnyCamera] = {}
    for name, camera in given.items():
        if camera is None and name not in usual:
            raise unknown_name("camera", name, usual)
        chosen[name] = (
            configured_camera(camera) if isinstance(camera, Mapping) else camera or usual[name]
        )
    return chosen


def configured_camera(config: Mapping[str, Any]) -> AnyCamera:
    """A calibrated camera: width_px, height_px, matrix (3, 3), distortion (k1, k2, p1, p2, k3), and
    its pose.

    The pose is `base_from_camera` (4, 4), or `link` and `link_from_camera`; metres, optical frame.
    Raises: ConfigError for missing, unknown or ill-shaped fields.
    """
    for key in config:
        if key not in OPTICS_KEYS | FIXED_KEYS | MOUNTED_KEYS:
            raise unknown_name(
                "field of a camera", str(key), OPTICS_KEYS | FIXED_KEYS | MOUNTED_KEYS
            )
    pose_keys = MOUNTED_KEYS if "link" in config else FIXED_KEYS
    missing = sorted((OPTICS_KEYS - {"distortion"} | pose_keys) - config.keys())
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
    """Raises: ConfigError for a camera that sees neither table nor arm."""
    for name, camera in cameras.items():
        bodies = world.view(camera, bodies=True).bodies
        if bodies is None or (bodies == NOTHING).all():
            pose = world.placed(camera).base_from_camera
            raise ConfigError(
                f"camera '{name}' at {np.round(pose[:3, 3], 3).tolist()} m, looking along "
                f"{np.round(pose[:3, 2], 3).tolist()} (base frame), sees nothing; its pose must be "
                "base_from_camera with z forward and y down, not its inverse"
            )


class Sensors:
    """Frames and joint angles as last captured; when that is, the environment decides.

    Keys: `image` of the table camera, `image_NAME` of another; likewise `depth` and `segmentation`
    if asked for.
    """

    def __init__(
        self, world: World, cameras: Mapping[str, AnyCamera], depth: bool, segmentation: bool
    ) -> None:
        self.world, self.cameras = world, dict(cameras)
        self._depth, self._segmentation = depth, segmentation
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
        proprio = self.world.robot.proprio_size
        return {**found, "proprio": spaces.Box(-np.inf, np.inf, (proprio,), np.float32)}

    def start(self, sample: RandomizationSample, rng: np.random.Generator) -> None:
        """Begin an episode: the first frame is never dropped."""
        self.sample, self._frames = sample, {}
        self._displaced = {name: sample.displaced(camera) for name, camera in self.cameras.items()}
        self.capture_frames(rng)
        self.capture_joints()

    def capture_frames(self, rng: np.random.Generator) -> None:
        """Let every camera take a picture, unless this one is dropped."""
        dropped = self.sample.frame_drop_chance > 0 and rng.random() < self.sample.frame_drop_chance
        if dropped and self._frames:
            return
        self._frames = {}
        for name, camera in self._displaced.items():
            view = self.world.view(camera, self._depth, self._segmentation)
            self._frames[_key("image", name)] = self.sample.degraded(view.image, rng)
            if view.depth_m is not None:
                self._frames[_key("depth", name)] = view.depth_m
            if view.bodies is not None:
                self._frames[_key("segmentation", name)] = self.world.segmentation(view)

    def capture_joints(self) -> None:
        """Let the encoders report."""
        joints = self.world.joint_state()
        self._proprio = proprioception(self.world.arm, joints.joint_rad, joints.gripper_m)

    def observation(self) -> dict[str, NDArray[Any]]:
        """What was captured last; arrays of their own."""
        return {
            **{key: frame.copy() for key, frame in self._frames.items()},
            "proprio": self._proprio.copy(),
        }

    def get_state(self) -> dict[str, NDArray[Any]]:
        """What a saved environment has to keep of this."""
        return self.observation()

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Back to what `get_state` gave, within the same episode."""
        self._frames = {key: value.copy() for key, value in state.items() if key != "proprio"}
        self._proprio = state["proprio"].copy()


def _key(kind: str, camera: str) -> str:
    return kind if camera == TABLE else f"{kind}_{camera}"


def _pose(values: Any) -> NDArray[np.float64]:
    pose = np.array(values, dtype=np.float64)
    if pose.shape != (4, 4) or np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() > 1e-3:
        raise ConfigError(
            f"expected a pose (4, 4) with a rotation in it, got {np.array(values).tolist()}"
        )
    return pose
