"""A real serial arm, control and recorder: ros2 launch conure_bringup serial.launch.py port:=/dev/ttyUSB0."""

from launch import LaunchDescription

from conure_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("serial")
