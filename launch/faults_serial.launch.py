"""The arm on simulated servos, with faults at hand: ros2 launch conure_bringup
faults_serial.launch.py bundle:=FOLDER.

`python -m conure_sim.servos.inject PORT faults '{"corrupt": 0.05}'`; see docs/serial_arm.md.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("faults_serial")
