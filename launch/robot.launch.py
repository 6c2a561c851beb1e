"""All that runs on a robot: arm, cameras, control, policy, teleoperation, recorder. It begins in
hold.

ros2 launch conure_bringup robot.launch.py bundle:=FOLDER camera_source:=/dev/v4l/by-id/...
`arm:=external` (the arm's own driver runs beside), `arm:=serial port:=/dev/ttyUSB0` or `arm:=sim`;
`--show-args`.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("robot")
