"""The simulation of an arm and its table, beyond the robot's description: one YAML file an arm."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.config.yaml_fields import checked_fields, path_beside, read_mapping
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import load_robot
from conure_core.types import Array
from conure_sim.physics.servo_model import Servo
from conure_sim.vision.camera import Camera, looking_at

ARMS_DIR = Path(__file__).parent.parent / "arms"
SUFFIX = ".sim.yaml"
IDEAL = "ideal"
MEASURED = "measured"
POSITIVE = (
    "joint_force_nm",
    "joint_gain",
    "gripper_force_n",
    "gripper_gain",
    "finger_friction",
    "table_size_m",
    "tilt_height_m",
)


@dataclass(frozen=True)
class ArmSimulation:
    """Motors, fingers, table, camera and the regions of one arm's table. Base frame; lengths m,
    angles rad.
    """

    joint_force_nm: tuple[float, ...]
    """The largest torque of each joint's motor, (n,) N m."""
    joint_gain: tuple[float, ...]
    """Position gain of each joint's motor, (n,), as PyBullet takes it: share of the error that a
    physics step corrects."""
    gripper_force_n: float
    """The largest force of a finger's motor."""
    gripper_gain: float
    """Position gain of a finger's motor."""
    finger_friction: float
    """Lateral friction of the finger links."""
    finger_pad_m: float
    """Distance of a finger's inner face inside the position of its joint. The gap between the
    fingers is 2 (position - finger_pad_m), or half of that where one finger moves alone towards a
    fixed one."""
    grasp_lowest_m: float
    """The tool's height above the table in the lowest grasp."""
    table_centre_m: tuple[float, float]
    """Centre of the table top (x, y)."""
    table_size_m: tuple[float, float]
    """Size of the table top (x, y)."""
    objects_lower_m: tuple[float, float]
    """Lower corner (x, y) of the region where objects are put."""
    objects_upper_m: tuple[float, float]
    """Its upper corner."""
    tool_lower_m: tuple[float, float, float]
    """Lower corner (x, y, z) of the box in which the tool may start or be posed, pointing down."""
    tool_upper_m: tuple[float, float, float]
    """Its upper corner."""
    camera_eye_m: tuple[float, float, float]
    """Position of the fixed camera."""
    camera_gaze_m: tuple[float, float, float]
    """The point it looks at."""
    camera_field_of_view_rad: float
    """Its vertical field of view."""
    fingers_coupled: bool = False
    """Whether a gear keeps both fingers equally far from the centre. Without it each is driven
    alone, and what they hold can move between them."""
    tilt_height_m: float = 0.135
    """Height of the tool above the table at which it can lie on its side, hand and wrist clear of
    a cup and the table; higher for a broader hand."""
    contact_slop_m: float = 0.0
    """Depth by which bodies may stay in each other; 0: Bullet's own. Bullet looks for contacts
    between boxes only while they overlap, and else keeps the old normals, which are wrong once a
    grip has turned."""
    servo: str = IDEAL
    """How joints follow their commands: `ideal`, PyBullet's velocity constraint, or `measured`, by
    `servos`."""
    servos: tuple[Servo, ...] = ()
    """Each joint's servo, from data sheets or as `conure calibrate apply` writes them; none: not
    known. MuJoCo's joints follow by them whatever `servo` says."""

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if np.min(getattr(self, name), initial=np.inf) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if self.servo not in (IDEAL, MEASURED):
            raise unknown_name("servo", self.servo, (IDEAL, MEASURED))
        if self.servo == MEASURED and not self.servos:
            raise ConfigError("servo: measured needs servos, a joint each; or servo: ideal")
        if self.contact_slop_m < 0:
            raise ConfigError(f"contact_slop_m must be at least 0, got {self.contact_slop_m}")
        for region in ("objects", "tool"):
            lower = getattr(self, f"{region}_lower_m")
            upper = getattr(self, f"{region}_upper_m")
            if np.any(np.array(lower) >= np.array(upper)):
                raise ConfigError(
                    f"{region}_lower_m must lie below {region}_upper_m, got {lower} and {upper}"
                )
        if not 0 < self.camera_field_of_view_rad < np.pi:
            raise ConfigError(
                f"camera_field_of_view_rad must be in (0, pi), got {self.camera_field_of_view_rad}"
            )
        if np.allclose(self.camera_eye_m[:2], self.camera_gaze_m[:2]):
            raise ConfigError(
                "camera_eye_m and camera_gaze_m must differ in x or y; the image's up is undefined"
            )

    @property
    def region(self) -> tuple[Array, Array]:
        """Lower and upper corner, (2,) each, m, of the part of the table where objects are put."""
        return np.array(self.objects_lower_m), np.array(self.objects_upper_m)


@cache
def load_arm_simulation(arm: str) -> ArmSimulation:
    """The simulation of the robot of this name, or of the YAML file at this path.

    The file is arms/NAME.yaml here. For a robot given by path, FILE.sim.yaml beside FILE.yaml comes
    first. A file with a field `arm`, a robot's name or path, is the simulation of that robot with
    the fields that it gives itself.
    Raises: ConfigError if there is none, naming where it was looked for; or if a field is wrong.
    """
    robot = load_robot(arm)
    found = _file(arm)
    fields = read_mapping(found)
    if "arm" in fields:
        fields = {**_fields_of_base(found, fields.pop("arm")), **fields}
    simulation = checked_fields(fields, ArmSimulation, str(found), found.parent)
    joints = len(robot.joint_names)
    if not len(simulation.joint_force_nm) == len(simulation.joint_gain) == joints:
        raise ConfigError(
            f"{found}: joint_force_nm and joint_gain need {joints} values, a joint of"
            f" '{robot.name}' each"
        )
    if len(simulation.servos) not in (0, joints):
        raise ConfigError(
            f"{found}: servos needs {joints} entries, a joint of '{robot.name}' each, got"
            f" {len(simulation.servos)}"
        )
    return simulation


def _file(arm: str) -> Path:
    """The YAML file of an arm's simulation."""
    built_in = ARMS_DIR / f"{load_robot(arm).name}.yaml"
    beside = Path(arm).with_suffix(SUFFIX) if arm.endswith((".yaml", ".yml")) else built_in
    for path in (beside, built_in):
        if path.is_file():
            return path
    raise ConfigError(
        f"'{load_robot(arm).name}' cannot be simulated: neither {beside} nor {built_in} exists;"
        f" copy {ARMS_DIR / 'wx250s.yaml'}"
    )


def _fields_of_base(path: Path, named: Any) -> dict[Any, Any]:
    """The fields of the simulation that another one begins with.

    Args:
        path: The file that names it.
        named: The value of its field `arm`.
    """
    if not isinstance(named, str):
        raise ConfigError(f"{path}: arm must be a robot's name or path, got {named!r:.100}")
    is_path = named.endswith((".yaml", ".yml"))
    base = _file(str(path_beside(path.parent, named, f"{path}: arm")) if is_path else named)
    fields = read_mapping(base)
    if "arm" in fields or base.samefile(path):
        raise ConfigError(f"{path}: arm: {base} begins with another one; give that one's arm")
    return fields


def table_camera(size_px: int, arm: str = "wx250s") -> Camera:
    """The fixed camera opposite the arm, looking down at the table.

    Its principal point is half a pixel to the right of the image's middle and above it, at any
    size: trained policies know these images.

    Args:
        size_px: Width and height of its square images, px.
        arm: Name of a robot, or the path of its YAML file.

    Returns:
        The camera in the arm's base frame.

    Raises:
        ConfigError: The arm is unknown or cannot be simulated.
    """
    simulation = load_arm_simulation(arm)
    eye = np.array(simulation.camera_eye_m)
    gaze = np.array(simulation.camera_gaze_m)
    camera = looking_at(eye, gaze, size_px, size_px, simulation.camera_field_of_view_rad)
    return replace(camera, intrinsics=camera.intrinsics.shifted(0.5, -0.5))
