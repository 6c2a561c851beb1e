"""How a node receives `stop`: from every publisher, reliable or best effort."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Empty

from conure_ros.comms.qos import ANY, NEWEST, overridable


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
