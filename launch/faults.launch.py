"""The simulated robot with faults at hand: ros2 launch conure_bringup faults.launch.py
bundle:=FOLDER.

`ros2 topic pub --once faults/inject std_msgs/String "data: camera frozen"`; an empty text ends the
fault.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("faults")
