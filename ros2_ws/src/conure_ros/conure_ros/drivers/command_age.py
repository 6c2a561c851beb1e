"""How old a command may be when a driver takes it."""

from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import StaleInput
from conure_ros.comms.messages import NANOSECONDS, to_ns

OLDEST_PERIODS = 2.0


def require_recent(message: JointTrajectory, now_ns: int, period_s: float) -> None:
    """Refuse a command that waited: a driver that was suspended finds one of before a stop first.

    As for joint_trajectory_controller, a stamp of 0 means now.

    Args:
        message: The command, with the stamp of when it was sent.
        now_ns: Present time on the driver's ROS clock, ns.
        period_s: The control period, s.

    Raises:
        StaleInput: It is older than `OLDEST_PERIODS` control periods.
    """
    stamp_ns, oldest_s = to_ns(message.header.stamp), OLDEST_PERIODS * period_s
    age_s = (now_ns - stamp_ns) / NANOSECONDS
    if stamp_ns and age_s > oldest_s:
        raise StaleInput(
            f"a command was {age_s:.2f} s old when it came (limit {oldest_s:g} s) and is ignored:"
            " this process did not run, or its clock differs from control's"
        )
