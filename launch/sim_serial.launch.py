"""The graph sim, its arm behind simulated servos: ros2 launch conure_bringup sim_serial.launch.py bundle:=FOLDER."""

from launch import LaunchDescription

from conure_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("sim_serial")
