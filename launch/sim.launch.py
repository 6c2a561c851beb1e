"""Simulated robot, control, policy and recorder: ros2 launch conure_bringup sim.launch.py bundle:=FOLDER."""

from conure_ros.launching import launch_description
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description("sim")
