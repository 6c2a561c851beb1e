"""A robot is a URDF and a YAML file: names, limits, rates. `load_robot` reads one and checks every field."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from conure_core.errors import ConfigError, unknown_name
from conure_core.fields import checked_fields, read_fields, read_yaml
from conure_core.spec import ActionSpec, Contract, FieldSpec, ObservationSpec

ROBOTS_DIR = Path(__file__).parent / "robots"
ROTATION_6D = 6
CONNECTION_FIELDS = ("arm", "bus", "ros2_control")


@dataclass(frozen=True)
class RobotConfig:
    """Limits and names of one arm. Angles rad, lengths m, times s; frames are links of the URDF.

    Joint limits are the URDF's, tightened by `position_margin_rad`. The gripper is one prismatic joint, given as the
    joint's position; `gripper_mimic` names a second finger (or is ''), which follows as the URDF's <mimic> says.
    The tool frame's x axis points out of the gripper, its y axis from finger to finger.
    """

    name: str
    urdf: Path
    joint_names: tuple[str, ...]
    gripper_joint: str
    gripper_mimic: str
    gripper_closed_m: float
    gripper_open_m: float
    gripper_speed_m_s: float
    base_frame: str
    tool_frame: str
    home_rad: tuple[float, ...]
    control_period_s: float
    settle_fraction: float
    max_translation_m: float
    max_rotation_rad: float
    position_margin_rad: float
    max_speed_rad_s: tuple[float, ...]
    max_acceleration_rad_s2: tuple[float, ...]
    workspace_lower_m: tuple[float, float, float]
    workspace_upper_m: tuple[float, float, float]
    table_height_m: float
    table_clearance_m: float
    self_collision_margin_m: float
    max_start_error_rad: float
    max_input_age_s: float
    slow_singular_value: float = 0.0
    """The arm slows down where the Jacobian's smallest singular value falls below this; 0: nowhere."""
    gripper_squeeze_m: float = 0.0
    """How far beyond its measured position the gripper may be told to close, which bounds its force; 0: any."""
    measurement_margin_rad: float = 0.2
    """How far beyond its URDF limit a joint may be measured; an arm that is measured further out is refused."""
    max_following_error_rad: float = 0.35
    """How far a joint may be measured from where its command is; beyond, the arm holds."""

    def __post_init__(self) -> None:
        joints = len(self.joint_names)
        for name in ("home_rad", "max_speed_rad_s", "max_acceleration_rad_s2"):
            if len(getattr(self, name)) != joints:
                raise ConfigError(f"{self.name}: {name} needs {joints} values, a joint each, got {getattr(self, name)}")
        if not 0.0 < self.settle_fraction <= 1.0:
            raise ConfigError(f"{self.name}: settle_fraction must be in (0, 1], got {self.settle_fraction}")
        if any(np.array(self.workspace_lower_m) >= np.array(self.workspace_upper_m)):
            raise ConfigError(f"{self.name}: the workspace's lower corner must lie below its upper corner")
        if min(*self.max_speed_rad_s, *self.max_acceleration_rad_s2) <= 0.0:
            raise ConfigError(f"{self.name}: max_speed_rad_s and max_acceleration_rad_s2 must be positive")
        if min(self.slow_singular_value, self.gripper_squeeze_m) < 0.0:
            raise ConfigError(f"{self.name}: slow_singular_value and gripper_squeeze_m must not be negative")
        for name in ("measurement_margin_rad", "max_following_error_rad"):
            if not 0.0 < getattr(self, name) < np.pi:
                raise ConfigError(f"{self.name}: {name} must be above 0 and below pi, got {getattr(self, name)}")
        if not self.urdf.is_file():
            raise ConfigError(f"{self.name}: no URDF at {self.urdf}")

    @cached_property
    def finger_multipliers(self) -> tuple[float, ...]:
        """Position of each finger joint for a gripper position of 1, the gripper joint's own first.

        Raises: ConfigError if the URDF does not say how the second finger follows.
        """
        if not self.gripper_mimic:
            return (1.0,)
        try:
            mimic = ElementTree.parse(self.urdf).find(f"./joint[@name='{self.gripper_mimic}']/mimic")
        except ElementTree.ParseError as error:
            raise ConfigError(f"{self.urdf} is not well-formed XML: {error}") from error
        if mimic is None or mimic.get("joint") != self.gripper_joint or float(mimic.get("offset", "0")) != 0.0:
            raise ConfigError(
                f"{self.urdf}: joint '{self.gripper_mimic}' needs <mimic joint=\"{self.gripper_joint}\" "
                'multiplier="..."/> without an offset'
            )
        return (1.0, float(mimic.get("multiplier", "1")))

    @property
    def command_names(self) -> tuple[str, ...]:
        """Joint names in the order of a joint command: the arm's, then the gripper's."""
        return (*self.joint_names, self.gripper_joint)

    @property
    def settle_s(self) -> float:
        """When, after a command's start, its target is to be reached; the rest of the period lets the arm settle."""
        return self.settle_fraction * self.control_period_s

    @property
    def proprio_size(self) -> int:
        """Tool position, tool rotation as two columns (Zhou et al., CVPR 2019), gripper opening, joint angles."""
        return 3 + ROTATION_6D + 1 + len(self.joint_names)

    def contract(self, image_size_px: int) -> Contract:
        """The contract for a policy that sees square images of this size and drives this robot."""
        return Contract(
            robot=self.name,
            joint_names=self.joint_names,
            gripper_joint=self.gripper_joint,
            base_frame=self.base_frame,
            tool_frame=self.tool_frame,
            control_period_s=self.control_period_s,
            observation=ObservationSpec(
                image=FieldSpec("image", (image_size_px, image_size_px, 3), "uint8", "sRGB", "camera"),
                proprio=FieldSpec("proprio", (self.proprio_size,), "float32", "m, 1, fraction, rad", self.base_frame),
            ),
            action=ActionSpec(
                values=FieldSpec("action", (7,), "float32", "fraction", self.base_frame),
                translation_m=self.max_translation_m,
                rotation_rad=self.max_rotation_rad,
            ),
        )


@cache
def load_robot(name: str) -> RobotConfig:
    """The robot of this name, or of the YAML file at this path.

    A file with a field `arm`, the path of another robot's file, is that robot with the fields that it gives itself. How
    the arm is connected is read by `servos.bus_config` (field `bus`) and `ros2_control` (the field of that name).
    Raises: ConfigError for an unknown name (listing the known ones), a missing, unknown or ill-typed field.
    """
    path = robot_file(name)
    own = read_yaml(path)
    if not isinstance(own, dict):
        return read_fields(path, RobotConfig)
    fields = {key: value for key, value in own.items() if key not in CONNECTION_FIELDS}
    if "arm" not in own:
        return checked_fields(fields, RobotConfig, str(path), path.parent)
    base = (path.parent / str(own["arm"])).resolve()
    of_base = {key: value for key, value in read_yaml(base).items() if key not in CONNECTION_FIELDS}
    return checked_fields({**of_base, **fields}, RobotConfig, str(path), base.parent)


def robot_file(name: str) -> Path:
    """The YAML file of the robot of this name or at this path. Raises: ConfigError listing the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else ROBOTS_DIR / f"{name}.yaml"
    if not path.is_file():
        raise unknown_name("robot", name, (p.stem for p in ROBOTS_DIR.glob("*.yaml")))
    return path
