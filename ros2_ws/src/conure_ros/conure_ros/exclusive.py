"""The one publisher of a topic: whoever comes second is refused, by name."""

import threading
import time
import uuid
from typing import Any

from std_msgs.msg import Empty

from conure_core.errors import RobotError
from conure_ros.qos import overridable
from conure_ros.running import ManagedNode

SETTLE_S = 0.4
"""How long two nodes that claim at the same moment wait to discover each other."""
PARTICIPANT_BYTES = 12
"""Of an endpoint's GID, these are its process's (RTPS specification 2.5, 9.3.1)."""
REMEDY = "deactivate it or end it first (traces of a killed one vanish within 20 s)"


class SolePublisher:
    """Publishes on a topic while it holds the claim to it; without one, `publish` does nothing.

    Discovery takes time, so claiming has two steps: nobody may publish the topic before; and of those that began at the
    same moment, the one with the lowest GID stays. Any thread may publish.
    """

    def __init__(self, node: ManagedNode, kind: Any, topic: str, quality: Any) -> None:
        self._node, self._kind, self._given, self._quality = node, kind, topic, quality
        self.topic = node.resolve_topic_name(topic)
        self._own = _participant(node)
        self._lock = threading.Lock()
        self._publisher: Any = None

    def claim(self) -> None:
        """Raises: RobotError naming the node that publishes the topic already."""
        self._refuse_if(self._others())
        with self._lock:
            self._publisher = self._node.create_publisher(
                self._kind, self._given, self._quality, qos_overriding_options=overridable()
            )
        until_s = time.monotonic() + SETTLE_S
        while time.monotonic() < until_s:
            mine = min((_gid(info) for info in self._endpoints() if self._is_own(info)), default=())
            self._refuse_if([info for info in self._others() if not mine or _gid(info) < mine])
            time.sleep(0.02)

    def rival(self) -> str:
        """Who else publishes the topic, or ''."""
        return ", ".join(sorted({_name(info) for info in self._others()}))

    def publish(self, message: Any) -> None:
        with self._lock:
            if self._publisher is not None:
                self._publisher.publish(message)

    def release(self) -> None:
        """Give the claim back."""
        with self._lock:
            if self._publisher is not None:
                self._node.destroy_publisher(self._publisher)
                self._publisher = None

    def _refuse_if(self, others: list[Any]) -> None:
        if others:
            self.release()
            names = ", ".join(sorted({_name(info) for info in others}))
            raise RobotError(f"node {names} publishes {self.topic} already, and only one may; {REMEDY}")

    def _endpoints(self) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def _others(self) -> list[Any]:
        return [info for info in self._endpoints() if not self._is_own(info)]

    def _is_own(self, info: Any) -> bool:
        return _gid(info)[:PARTICIPANT_BYTES] == self._own


def _participant(node: ManagedNode) -> tuple[int, ...]:
    """What the GIDs of this process's endpoints begin with, read off a topic that nobody else has."""
    topic = node.resolve_topic_name(f"claim_{uuid.uuid4().hex}")
    probe = node.create_publisher(Empty, topic, 1)
    try:
        until_s = time.monotonic() + 5.0
        while time.monotonic() < until_s:
            for info in node.get_publishers_info_by_topic(topic):
                return _gid(info)[:PARTICIPANT_BYTES]
            time.sleep(0.01)
    finally:
        node.destroy_publisher(probe)
    raise RobotError("the middleware does not show this node's own publishers; is RMW_IMPLEMENTATION one that works?")


def _gid(info: Any) -> tuple[int, ...]:
    return tuple(info.endpoint_gid)


def _name(info: Any) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
