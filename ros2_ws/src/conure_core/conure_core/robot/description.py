"""A robot is a URDF and a YAML file: names, limits, rates. `load_robot` reads one and checks every
field.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from conure_core.config.yaml_fields import (
    bounded,
    checked_fields,
    path_beside,
    read_mapping,
    require_bounds,
)
from conure_core.contract.action import ACTION_SIZE
from conure_core.contract.spec import ActionSpec, Contract, FieldSpec, ObservationSpec
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.urdf_file import read_urdf

ROBOTS_DIR = Path(__file__).parent.parent / "robots"
ROTATION_6D = 6
SHORTEST_STROKE_M = 0.001
SMALLEST_BOX_M = 0.01
LONGEST_BRAKING_PERIODS = 200
CONNECTION_FIELDS = ("arm", "bus", "ros2_control")


@dataclass(frozen=True, kw_only=True)
class RobotConfig:
    """Limits and names of one arm. Angles rad, lengths m, times s; frames are links of the URDF.

    Joint limits are the URDF's, tightened by `position_margin_rad`. The gripper is one prismatic
    joint, given as the joint's position; `gripper_mimic` names a second finger (or is ''), which
    follows as the URDF's <mimic> says. The tool frame's x axis points out of the gripper, its y
    axis from finger to finger.
    """

    name: str
    urdf: Path
    joint_names: tuple[str, ...]
    gripper_joint: str
    gripper_mimic: str
    base_frame: str
    tool_frame: str
    gripper_closed_m: float = bounded(-1.0, 1.0)
    gripper_open_m: float = bounded(-1.0, 1.0)
    gripper_speed_m_s: float = bounded(0.001, 5.0)
    home_rad: tuple[float, ...] = bounded(-100.0, 100.0)
    control_period_s: float = bounded(0.001, 2.0)
    settle_fraction: float = bounded(0.1, 1.0)
    max_translation_m: float = bounded(1e-4, 0.5)
    max_rotation_rad: float = bounded(1e-4, 1.0)
    position_margin_rad: float = bounded(0.0, 1.0)
    max_speed_rad_s: tuple[float, ...] = bounded(0.001, 20.0)
    max_acceleration_rad_s2: tuple[float, ...] = bounded(0.01, 1000.0)
    workspace_lower_m: tuple[float, float, float] = bounded(-5.0, 5.0)
    workspace_upper_m: tuple[float, float, float] = bounded(-5.0, 5.0)
    table_height_m: float = bounded(-5.0, 5.0)
    table_clearance_m: float = bounded(0.0, 0.5)
    self_collision_margin_m: float = bounded(0.0, 0.2)
    max_start_error_rad: float = bounded(0.001, 3.0)
    max_input_age_s: float = bounded(0.001, 5.0)
    slow_singular_value: float = bounded(0.0, 1.0, default=0.0)
    """The arm slows down where the Jacobian's smallest singular value falls below this; 0: nowhere.
    """
    gripper_squeeze_m: float = bounded(0.0, 1.0, default=0.0)
    """How far beyond its measured position the gripper may be told to close, which bounds its
    force; 0: any.
    """
    measurement_margin_rad: float = bounded(0.001, 0.5, default=0.2)
    """How far beyond its URDF limit a joint may be measured; an arm that is measured further out is
    refused.
    """
    camera_field_of_view_rad: float = bounded(0.0, 3.1, default=0.0)
    """Vertical field of view of the square images that policies of this robot see; 0: not compared
    with the camera's.
    """
    max_following_error_rad: float = bounded(0.02, 2.0, default=0.35)
    """How far a joint may be measured from where its command is; beyond, the arm holds."""

    def __post_init__(self) -> None:
        try:
            require_bounds(self)
            self._require_names()
            self._require_limits()
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error}") from error
        if not self.urdf.is_file():
            raise ConfigError(f"{self.name}: no URDF at {self.urdf}")

    def _require_names(self) -> None:
        """Raises: ConfigError for a text that must not be empty, and a joint that has two parts to
        play.
        """
        for key in ("name", "gripper_joint", "base_frame", "tool_frame"):
            if not getattr(self, key):
                raise ConfigError(f"{key} must be a name, got ''")
        names = self.joint_names
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            raise ConfigError(
                "joint_names must name each joint of the arm once, got"
                f" {twice or 'none'}{' twice' * bool(twice)}"
            )
        for key, others in (("gripper_joint", names), ("gripper_mimic", self.command_names)):
            if getattr(self, key) in others:
                raise ConfigError(
                    f"{key} must be a joint of its own, got '{getattr(self, key)}', which has"
                    " another part"
                )

    def _require_limits(self) -> None:
        """Raises: ConfigError for numbers that make no sense beside each other."""
        joints = len(self.joint_names)
        for key in ("home_rad", "max_speed_rad_s", "max_acceleration_rad_s2"):
            if len(getattr(self, key)) != joints:
                raise ConfigError(
                    f"{key} needs {joints} values, as many as joint_names, got {getattr(self, key)}"
                )
        stroke_m = abs(self.gripper_open_m - self.gripper_closed_m)
        if stroke_m < SHORTEST_STROKE_M:
            raise ConfigError(
                f"gripper_open_m and gripper_closed_m must differ by {SHORTEST_STROKE_M} m or more,"
                f" got {self.gripper_open_m} and {self.gripper_closed_m}"
            )
        if self.gripper_squeeze_m > stroke_m:
            raise ConfigError(
                f"gripper_squeeze_m must be at most the stroke from closed to open, {stroke_m:.4g}"
                f" m, got {self.gripper_squeeze_m}"
            )
        for lower, upper in zip(self.workspace_lower_m, self.workspace_upper_m, strict=True):
            if upper - lower < SMALLEST_BOX_M:
                raise ConfigError(
                    f"workspace_lower_m must lie below workspace_upper_m, by {SMALLEST_BOX_M} m or"
                    f" more along each axis, got {self.workspace_lower_m} and"
                    f" {self.workspace_upper_m}"
                )
        if self.workspace_upper_m[2] <= self.table_height_m + self.table_clearance_m:
            raise ConfigError(
                "workspace_upper_m must reach above the table (table_height_m"
                f" {self.table_height_m}, table_clearance_m {self.table_clearance_m}), got"
                f" {self.workspace_upper_m}"
            )
        self._require_brakes()

    def _require_brakes(self) -> None:
        """The gate looks ahead over every period of braking: too many take longer than the period
        itself.
        """
        for name, speed, acceleration in zip(
            self.joint_names, self.max_speed_rad_s, self.max_acceleration_rad_s2, strict=True
        ):
            periods = speed / (acceleration * self.control_period_s)
            if periods > LONGEST_BRAKING_PERIODS:
                raise ConfigError(
                    f"max_acceleration_rad_s2 of {name} is {acceleration} rad/s^2: stopping from"
                    f" max_speed_rad_s takes {periods:.0f} control periods, at most"
                    f" {LONGEST_BRAKING_PERIODS}; raise it, or lower the speed"
                )

    @cached_property
    def finger_multipliers(self) -> tuple[float, ...]:
        """Position of each finger joint for a gripper position of 1, the gripper joint's own first.

        Raises:
            ConfigError: The URDF does not say how the second finger follows.
        """
        if not self.gripper_mimic:
            return (1.0,)
        joints = read_urdf(self.urdf).iterfind("./joint")
        found = [joint for joint in joints if joint.get("name") == self.gripper_mimic]
        mimic = found[0].find("mimic") if found else None
        given = {} if mimic is None else mimic.attrib
        multiplier = _number(given.get("multiplier", "1"))
        offset = _number(given.get("offset", "0"))
        fits = offset == 0.0 and 0.0 < abs(multiplier) < math.inf
        if given.get("joint") != self.gripper_joint or not fits:
            raise ConfigError(
                f"{self.urdf}: joint '{self.gripper_mimic}' needs <mimic"
                f' joint="{self.gripper_joint}" multiplier="..."/> without an offset'
            )
        return (1.0, multiplier)

    @property
    def command_names(self) -> tuple[str, ...]:
        """Joint names in the order of a joint command: the arm's, then the gripper's."""
        return (*self.joint_names, self.gripper_joint)

    @property
    def settle_s(self) -> float:
        """Time from a command's start until its target is to be reached, s; the rest of the period
        lets the arm settle.
        """
        return self.settle_fraction * self.control_period_s

    @property
    def proprio_size(self) -> int:
        """Tool position, tool rotation as two columns (Zhou et al., CVPR 2019), gripper opening,
        joint angles.
        """
        return 3 + ROTATION_6D + 1 + len(self.joint_names)

    def contract(self, image_size_px: int) -> Contract:
        """Build the contract for a policy that sees square images of this size and drives this
        robot.
        """
        return Contract(
            robot=self.name,
            joint_names=self.joint_names,
            gripper_joint=self.gripper_joint,
            base_frame=self.base_frame,
            tool_frame=self.tool_frame,
            control_period_s=self.control_period_s,
            observation=ObservationSpec(
                image=FieldSpec(
                    "image", (image_size_px, image_size_px, 3), "uint8", "sRGB", "camera"
                ),
                proprio=FieldSpec(
                    "proprio",
                    (self.proprio_size,),
                    "float32",
                    "m, 1, fraction, rad",
                    self.base_frame,
                ),
            ),
            action=ActionSpec(
                values=FieldSpec("action", (ACTION_SIZE,), "float32", "fraction", self.base_frame),
                translation_m=self.max_translation_m,
                rotation_rad=self.max_rotation_rad,
            ),
        )


@cache
def load_robot(name: str) -> RobotConfig:
    """Load the robot of this name, or of the YAML file at this path.

    A file with a field `arm`, the path of another robot's file, is that robot with the fields that
    it gives itself. How the arm is connected is read by `servos.bus_config` (field `bus`) and
    `ros2_control` (the field of that name).

    Raises:
        ConfigError: An unknown name (lists the known ones), or a field that is missing, unknown or
            of the wrong type.
    """
    path = robot_file(name)
    own = read_mapping(path)
    fields = {key: value for key, value in own.items() if key not in CONNECTION_FIELDS}
    if "arm" not in own:
        return checked_fields(fields, RobotConfig, str(path), path.parent)
    base = base_file(path, own["arm"], "arm")
    of_base = read_mapping(base)
    of_base.pop("bus", None)
    of_base.pop("ros2_control", None)
    if "arm" in of_base:
        raise ConfigError(
            f"{path}: arm: {base} has a field 'arm' itself; give the path of that file"
        )
    if isinstance(fields.get("urdf"), str):
        fields["urdf"] = str(path_beside(path.parent, fields["urdf"], f"{path}: urdf"))
    return checked_fields({**of_base, **fields}, RobotConfig, str(path), base.parent)


def base_file(
    path: Path,
    named: Any,
    key: str,
) -> Path:
    """Find the robot's file that a key of another robot's file names.

    Args:
        path: The YAML file that has the key.
        named: The value of the key: a path, relative to that file.
        key: The key's name, for messages.

    Returns:
        The path of the named file, which exists.

    Raises:
        ConfigError: The value is not a text, or there is no such file.
    """
    if not isinstance(named, str):
        raise ConfigError(
            f"{path}: {key} must be the path of another robot's file, got {named!r:.100}"
        )
    base = path_beside(path.parent, named, f"{path}: {key}")
    if not base.is_file():
        raise ConfigError(f"{path}: {key}: no file at {base}; the path is relative to this file")
    return base


def robot_file(name: str) -> Path:
    """Find the YAML file of the robot of this name or at this path.

    Raises:
        ConfigError: There is none; lists the known names.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else ROBOTS_DIR / f"{name}.yaml"
    if not path.is_file():
        raise unknown_name("robot", name, (p.stem for p in ROBOTS_DIR.glob("*.yaml")))
    return path


def _number(text: str) -> float:
    """NaN for a text that is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
