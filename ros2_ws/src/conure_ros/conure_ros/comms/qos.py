"""Qualities of service. Each can be overridden by the standard `qos_overrides.<topic>...`
parameters.

Images and commands are reliable with a depth of one: the newest always arrives, an older one is
never acted on. Best effort dropped half of the 640x480 images on two busy cores.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Empty

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
PARTS = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
"""What reads joint_states: arm and gripper may come at one moment, and with a depth of one, the
second would replace the first. Readers take all that waits, and use the newest of each.
"""
ANY = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The second reader of `stop`, see subscribe_stop: publishers of a button are often best effort.
"""
STREAM = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
STATE_PERIOD_S = 0.2
"""control_node publishes robot_state at least this often."""
STATE_SILENT_S = 0.5
"""A reader that received no robot_state for so long must treat control as silent."""
STATE = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    deadline=Duration(seconds=STATE_SILENT_S),
    liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
    liveliness_lease_duration=Duration(seconds=STATE_SILENT_S),
)
"""What control_node offers on robot_state; LATCHED subscriptions are compatible with it."""
RECORDED = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
"""Nothing that arrived is overwritten before it is taken, and the middleware reports other losses
(measured with FastDDS; with a depth, it does not report what a reader's own history overwrites).
"""
RECORDED_LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_ALL,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def take_waiting(subscription: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Take the messages that wait behind the one whose callback runs, each with what the middleware
    says of it.
    """
    with subscription.handle:
        while (taken := subscription.handle.take_message(subscription.msg_type, False)) is not None:
            yield taken


def newest_parts(messages: Iterable[Any]) -> list[Any]:
    """Keep of each set of names the newest message.

    Args:
        messages: JointState messages, in the order in which they came.
    """
    newest: dict[frozenset[str], Any] = {}
    for message in messages:
        names = frozenset(message.name)
        newest.pop(names, None)
        newest[names] = message
    return list(newest.values())


def overridable(profile: QoSProfile) -> dict[str, Any]:
    """Let the user's parameters change history, depth and reliability of one publisher or
    subscription.

    rclpy writes what is overridden into the profile that it is given, so each gets its own copy.

    Args:
        profile: Quality where nothing is overridden.

    Returns:
        Keyword arguments of `create_publisher` and `create_subscription`.
    """
    return {
        "qos_profile": copy(profile),
        "qos_overriding_options": QoSOverridingOptions.with_default_policies(),
    }


def subscribe_stop(node: Node, stop: Callable[[], None]) -> list[Any]:
    """Subscribe to `stop` twice: the middleware connects a reliable reader to no best-effort
    publisher, and a best-effort one may lose a message.

    Args:
        node: Node that is to stop.
        stop: Called for every message, twice for one of a reliable publisher.

    Returns:
        The subscriptions.
    """

    def received(_: Empty) -> None:
        stop()

    return [
        node.create_subscription(Empty, "stop", received, **overridable(NEWEST)),
        node.create_subscription(Empty, "stop", received, ANY),
    ]
