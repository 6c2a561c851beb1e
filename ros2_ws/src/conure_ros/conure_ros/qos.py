"""Qualities of service. Each can be overridden by the standard `qos_overrides.<topic>...` parameters.

Images and commands are reliable with a depth of one: the newest always arrives, an older one is never acted on. Best
effort dropped half of the 640x480 images on two busy cores.
"""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
STREAM = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RECORDED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
RECORDED_LATCHED = QoSProfile(
    depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


def overridable() -> QoSOverridingOptions:
    """Lets the user's parameters change history, depth and reliability of one publisher or subscription."""
    return QoSOverridingOptions.with_default_policies()
