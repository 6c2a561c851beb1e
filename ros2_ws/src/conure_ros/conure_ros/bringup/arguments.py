"""The arguments of graphs: keys of `conure up`, and launch arguments of `ros2 launch`. No ROS."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Argument:
    """An argument of graphs: a key of `conure up`, and a launch argument of `ros2 launch`.

    `choices`: its values, where no others are possible. `pattern`: what its text must match; '':
    anything.
    """

    name: str
    type: type
    default: Any
    description: str
    choices: tuple[Any, ...] = ()
    pattern: str = ""


ARMS = ("sim", "serial", "external")
START_MODES = ("hold", "policy", "trajectory")
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
ROS_NAME = r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*"
OF_EVERY_GRAPH = ("namespace", "use_sim_time", "log_level", "params_file")
ARGUMENTS = {
    argument.name: argument
    for argument in (
        Argument("robot", str, "wx250s", "name of a robot, or the path of its YAML file"),
        Argument(
            "arm",
            str,
            "sim",
            "sim: simulated; serial: servos on a port; external: its own driver runs beside",
            ARMS,
        ),
        Argument(
            "port",
            str,
            "",
            "a serial arm's port; empty: the one in the robot's file; sim: simulated servos",
        ),
        Argument(
            "write_settings",
            bool,
            False,
            "write what a serial arm's servos keep without power where it differs from the file",
        ),
        Argument("bundle", str, "", "folder of the policy bundle"),
        Argument(
            "task", str, "", "name of the task; empty: the one of the bundle's policy, else Lift"
        ),
        Argument(
            "target",
            str,
            "",
            "name of the object meant; empty: that of the bundle's policy, else drawn by the seed",
        ),
        Argument(
            "objects",
            str,
            "",
            "which objects: train or test; empty: those of the bundle's policy, else test",
        ),
        Argument(
            "physics",
            str,
            "pybullet",
            "engine of the simulated robot: pybullet, or mujoco, which stands in for reality",
            ("pybullet", "mujoco"),
        ),
        Argument("image_size_px", int, 48, "side of the square images that the policy sees, px"),
        Argument(
            "noise_scale",
            float,
            0.0,
            "standard deviation of the policy's noise; 0 takes the mean z",
        ),
        Argument(
            "start_mode",
            str,
            "",
            "who may move a simulated arm at first; empty: the graph's own",
            ("", *START_MODES),
        ),
        Argument("folder", str, "out/recordings", "where recordings and trials.json are written"),
        Argument("trials", int, 10, "how many trials to run"),
        Argument("first_seed", int, 0, "seed of the first trial's scene"),
        Argument(
            "camera_source",
            str,
            "",
            "the camera: device, stream, file or folder; empty: another driver's",
        ),
        Argument(
            "camera_calibration",
            str,
            "",
            "its calibration, a YAML file in ROS's camera_info format",
        ),
        Argument("wrist_source", str, "", "the same for the camera on the wrist; empty: none"),
        Argument("wrist_calibration", str, "", "its calibration"),
        Argument(
            "timeout_s", float, 0.0, "longest time under policy control, s; 0: the task's own limit"
        ),
        Argument(
            "publish_tf",
            str,
            "auto",
            "whether robot_description and the arm's /tf are published; auto: unless arm is"
            " external, whose driver does it",
            ("auto", "true", "false"),
        ),
        Argument(
            "frame_prefix",
            str,
            "",
            "put before the names of all frames in /tf: left/ and right/",
            pattern=f"{ROS_NAME}/?",
        ),
        Argument(
            "namespace",
            str,
            "",
            "namespace of all nodes, for two robots on one ROS domain",
            pattern=f"/?{ROS_NAME}/?",
        ),
        Argument("use_sim_time", bool, False, "whether stamps are those of /clock", (False, True)),
        Argument("log_level", str, "info", "the least severe level that is logged", LOG_LEVELS),
        Argument("params_file", str, "", "a ROS parameter file, applied last; empty: none"),
    )
}
