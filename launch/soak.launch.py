"""The simulated arm under a policy that sees another camera, with faults at hand: the graph of
`conure faults soak`.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("soak")
