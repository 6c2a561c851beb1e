"""The parameters of control_node, and the controllers that they choose."""

from dataclasses import dataclass

from conure_core.errors import unknown_name
from conure_core.robot.ros2_control import Ros2ControlConfig, load_ros2_control
from conure_ros.comms.parameters import parameter

OUTPUTS = ("robot", "trajectory", "positions")
ON_STOP = ("hold", "limp")


@dataclass(frozen=True)
class ControlParameters:
    """Parameters of control_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    bundle: str = parameter(
        "",
        "folder of the policy bundle; only its commands are accepted. Empty: any policy's",
        until_configured=True,
    )
    bundle_alias: str = parameter(
        "",
        "what the log and diagnostics call the bundle, in blinded trials; '': its own name",
        until_configured=True,
    )
    stale_periods: float = parameter(
        1.85, "age of the last good command, in control periods, at which the arm holds", 1.0, 10.0
    )
    stall_s: float = parameter(
        1.0, "time without running, s, after which control holds until a mode is chosen", 0.1, 10.0
    )
    home_speed_rad_s: float = parameter(
        0.8, "speed of the fastest joint while homing, rad/s", 0.05, 2.0
    )
    home_tolerance_rad: float = parameter(
        0.05, "how near to home every joint must come, rad", 0.001, 0.5
    )
    home_settle_s: float = parameter(
        2.0, "how long the arm may take to settle at home, s", 0.1, 30.0
    )
    output: str = parameter(
        "robot", "how commands leave: as the robot's file says, trajectory, or positions (100 Hz)"
    )
    position_joints: tuple[str, ...] = parameter(
        ("",), "with positions: the controller's joints in order; '': all"
    )
    on_stop: str = parameter(
        "hold", "what a stopped arm does: hold, or limp (the driver's service 'torque')"
    )
    heartbeat_s: float = parameter(
        0.0, "longest silence of operator/heartbeat, s, until a stop; 0: no limit", 0.0, 10.0
    )
    monitor: bool = parameter(
        True, "whether the prior judges the policy's actions, where the bundle has thresholds"
    )
    slow_ticks: int = parameter(
        5, "unlikely actions in a row until the arm slows; 0: never", 0, 1000
    )
    slow_margin_nats: float = parameter(
        10.0, "how far below p05 an action is unlikely, nats", 0.0, 1000.0
    )
    slow_fraction: float = parameter(0.5, "factor on every step while slow", 0.05, 1.0)
    hold_ticks: int = parameter(
        10, "very unlikely actions in a row until the arm holds; 0: never", 0, 1000
    )
    hold_margin_nats: float = parameter(
        30.0, "how far below p01 an action is very unlikely, nats", 0.0, 1000.0
    )
    hand_over_ticks: int = parameter(
        0, "very unlikely actions in a row until a person must choose; 0: never", 0, 1000
    )

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise unknown_name("output", self.output, OUTPUTS)
        if self.on_stop not in ON_STOP:
            raise unknown_name("on_stop", self.on_stop, ON_STOP)


def choose_controllers(parameters: ControlParameters) -> Ros2ControlConfig:
    """The controllers that receive commands: from `output`, or from the robot's file. Raises:
    ConfigError.
    """
    if parameters.output == "robot":
        return load_ros2_control(parameters.robot)
    joints = (
        tuple(filter(None, parameters.position_joints)) if parameters.output == "positions" else ()
    )
    return Ros2ControlConfig(parameters.output, joints=joints)
