"""Simulated arm, control, policy and recorder: ros2 launch conure_bringup sim.launch.py
bundle:=FOLDER.

`robot:=wx250s_serial_sim port:=sim` puts the arm behind simulated servos. All arguments:
`--show-args`.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("sim")
