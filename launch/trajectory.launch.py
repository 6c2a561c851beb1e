"""MoveIt and others move the arm through the safety gate: arm, cameras, control, trajectories,
teleoperation, recorder. No policy, no bundle.

ros2 launch conure_bringup trajectory.launch.py `arm:=external` (the arm's own driver runs beside),
`arm:=serial port:=/dev/ttyUSB0` or `arm:=sim start_mode:=trajectory`; `--show-args`.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("trajectory")
