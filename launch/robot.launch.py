"""Camera, control, policy and recorder; the arm's driver runs beside them: docs/cameras.md.

ros2 launch conure_bringup robot.launch.py bundle:=FOLDER camera_source:=/dev/v4l/by-id/...
"""

from launch import LaunchDescription

from conure_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("robot")
