"""What a client is told of the arm on its way: feedback, and the state of the controller."""

from typing import Any

from control_msgs.action import FollowJointTrajectory
from control_msgs.msg import JointTrajectoryControllerState
from trajectory_msgs.msg import JointTrajectoryPoint

from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_ros.comms.messages import to_time
from conure_ros.trajectory.following import Followed


def feedback_message(robot: RobotConfig, followed: Followed, stamp_ns: int) -> Any:
    """Build the feedback of a goal of FollowJointTrajectory.

    Args:
        robot: Names of the joints.
        followed: Where the arm should be, and is.
        stamp_ns: Time of the measurement, ns.
    """
    message = FollowJointTrajectory.Feedback(joint_names=list(robot.joint_names))
    message.header.stamp = to_time(stamp_ns)
    message.desired = _point(followed.desired_rad, followed.speed_rad_s)
    message.actual = _point(followed.measured_rad)
    message.error = _point(followed.desired_rad - followed.measured_rad)
    return message


def state_message(
    robot: RobotConfig, wanted_rad: Array, measured_rad: Array, stamp_ns: int
) -> JointTrajectoryControllerState:
    """Build the state that a trajectory controller publishes.

    Args:
        robot: Names of the joints.
        wanted_rad: The set point, shape (n,), rad.
        measured_rad: Measured angles, shape (n,), rad.
        stamp_ns: Time of the measurement, ns.
    """
    message = JointTrajectoryControllerState(joint_names=list(robot.joint_names))
    message.header.stamp = to_time(stamp_ns)
    message.reference = message.output = _point(wanted_rad)
    message.feedback = _point(measured_rad)
    message.error = _point(wanted_rad - measured_rad)
    message.speed_scaling_factor = 1.0
    return message


def _point(position_rad: Array, speed_rad_s: Array | None = None) -> JointTrajectoryPoint:
    speeds = [] if speed_rad_s is None else speed_rad_s.tolist()
    return JointTrajectoryPoint(positions=position_rad.tolist(), velocities=speeds)
