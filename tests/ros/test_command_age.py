"""A driver follows a command only while it is recent, and says how old its measurements are."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import StaleInput
from conure_core.robot.description import load_robot
from conure_ros.comms.messages import to_ns, to_time
from conure_ros.drivers.command_age import OLDEST_PERIODS, require_recent
from conure_ros.drivers.serial_arm import Measurement
from conure_ros.nodes.serial_arm_node import SerialArmNode

NOW_NS = 1_700_000_000_000_000_000
PERIOD_S = 0.1
OLDEST_NS = round(OLDEST_PERIODS * PERIOD_S * 1e9)


def sent(ago_ns):
    message = JointTrajectory()
    message.header.stamp = to_time(NOW_NS - ago_ns)
    return message


@given(st.integers(-(10**12), OLDEST_NS))
def test_a_recent_one_is_followed_also_if_the_clock_was_set_back_since(ago_ns):
    require_recent(sent(ago_ns), NOW_NS, PERIOD_S)


@given(st.integers(OLDEST_NS + 1000, 10**18))
def test_an_older_one_is_refused_with_its_age(ago_ns):
    with pytest.raises(StaleInput, match=r"old when it came \(limit 0.2 s\)"):
        require_recent(sent(ago_ns), NOW_NS, PERIOD_S)


def test_one_without_a_stamp_means_now():
    require_recent(JointTrajectory(), NOW_NS, PERIOD_S)


def test_a_measurement_has_the_stamp_of_its_cycle_however_late_it_is_published():
    """One of before a suspension must not look new to control."""
    robot, published = load_robot("wx250s_serial"), []
    node = SimpleNamespace(
        active=True,
        robot=robot,
        loop=SimpleNamespace(measured_age_s=2.0),
        joint_states=SimpleNamespace(publish=published.append),
        now_ns=lambda: NOW_NS,
    )
    joints = len(robot.joint_names)
    SerialArmNode._on_measurement(node, Measurement(np.zeros(joints + 1), np.zeros(joints)))
    assert to_ns(published[0].header.stamp) == NOW_NS - 2_000_000_000
