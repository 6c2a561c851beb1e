"""A person moves the arm, and records: arm, cameras, control, teleoperation, recorder. No policy,
no bundle.

ros2 launch conure_bringup teleop.launch.py camera_source:=/dev/v4l/by-id/... `arm:=external` (the
arm's own driver runs beside), `arm:=serial port:=/dev/ttyUSB0` or `arm:=sim`; `--show-args`. Beside
it a driver publishes `joy` or `teleop/twist`, or `conure keys` runs.
"""

from launch import LaunchDescription

from conure_ros.bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("teleop")
