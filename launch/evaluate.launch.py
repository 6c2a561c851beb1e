"""The same and the evaluator: ros2 launch conure_bringup evaluate.launch.py bundle:=FOLDER trials:=10."""

from launch import LaunchDescription

from conure_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("evaluate")
