"""The graph evaluate, its arm behind simulated servos: ros2 launch conure_bringup evaluate_serial.launch.py."""

from launch import LaunchDescription

from conure_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("evaluate_serial")
