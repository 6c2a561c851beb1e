"""What a calibration records: arm, cameras with their whole images, control in hold, teleoperation,
recorder.

ros2 launch conure_bringup calibrate.launch.py camera_source:=/dev/v4l/by-id/... `arm:=external`
(the arm's own driver runs beside), `arm:=serial port:=/dev/ttyUSB0` or `arm:=sim`; `--show-args`.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("calibrate")
