"""Two cameras alone: ros2 launch conure_bringup cameras.launch.py camera_source:=0
wrist_source:=2.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("cameras")
