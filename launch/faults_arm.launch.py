"""An arm with somebody else's controllers, which can be broken: ros2 launch conure_bringup
faults_arm.launch.py.

Break it with JSON on `arm_model/do`, such as {"block": "elbow"}; see arm_model_node.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("faults_arm")
