"""The one publisher of a topic: a second one is refused, and the first one named."""

import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Empty

from conure_core.errors import RobotError
from conure_ros.comms.lifecycle import ActivePublisher, ManagedNode

SETTLE_S = 0.3
"""How long running nodes take to discover each other's changes."""
DISCOVERY_S = 4.0
"""How long a new process takes to discover the others. FastDDS: until their next announcement,
every 3 s unless a profile sets another period; measured: up to 3.3 s.
"""
NAMED_S = 2.0
"""Further time until they know each other's names."""
PARTICIPANT_BYTES = 12
"""The first bytes of an endpoint's GID identify its process (RTPS specification 2.5, 9.3.1)."""
CLAIM = "claim_"
"""Prefix of a topic that a claiming node opens for a moment."""
UNNAMED = "_UNKNOWN_"
NO_NAME = "a node without a name yet"
REMEDY = "deactivate it or end it first (traces of a killed one vanish within 20 s)"


class SolePublisher(ActivePublisher):
    """Publishes on a topic while it holds the claim to it; otherwise `publish` does nothing.

    Discovery takes time, so claiming has two steps. For a while no other node may publish the
    topic. If several start at the same moment, the one with the lowest GID keeps it.
    """

    def __init__(self, node: ManagedNode, kind: Any, topic: str, quality: Any) -> None:
        super().__init__(node, kind, topic, quality)
        self.topic = node.resolve_topic_name(topic)
        self._created_s, self._own = node.created_s, _participant(node)

    def claim(self) -> None:
        """Claim the topic. Raises: RobotError naming the node that publishes it already."""
        young_s = self._created_s + DISCOVERY_S - time.monotonic()
        for _ in _polls(max(SETTLE_S, young_s)):
            self._refuse_if(self._others())
        self.open()
        for _ in _polls(SETTLE_S):
            mine = min((_gid(info) for info in self._endpoints() if self._is_own(info)), default=())
            self._refuse_if([info for info in self._others() if not mine or _gid(info) < mine])

    def other_publishers(self) -> str:
        """The names of other publishers of the topic, or ''. Never blocks."""
        return _joined(self._others())

    def _refuse_if(self, others: list[Any]) -> None:
        if others:
            self.release()
            raise RobotError(
                f"node {self._names(others)} publishes {self.topic} already, and only one may;"
                f" {REMEDY}"
            )

    def _names(self, others: list[Any]) -> str:
        """Wait until the names are known: endpoints are discovered before the names of their
        nodes.
        """
        gids = {_gid(info) for info in others}
        for _ in _polls(NAMED_S):
            others = [info for info in self._endpoints() if _gid(info) in gids] or others
            if not any(UNNAMED in info.node_name for info in others):
                break
        return ", ".join(sorted({_name(info) for info in others}))

    def _endpoints(self) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def _others(self) -> list[Any]:
        return [info for info in self._endpoints() if not self._is_own(info)]

    def _is_own(self, info: Any) -> bool:
        return _gid(info)[:PARTICIPANT_BYTES] == self._own


class PublisherWatch:
    """Detects that several nodes publish a topic that only one may. Never blocks; for every control
    tick.

    >>> watch = PublisherWatch(node, "joint_states")
    >>> watch.duplicates()  # '' or '/driver, /other_driver'
    """

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self.topic = node, node.resolve_topic_name(topic)

    def duplicates(self) -> str:
        """The names of all publishers, this process's included, if there are several; '' for one or
        none.
        """
        if self._node.count_publishers(self.topic) <= 1:
            return ""
        found = self._node.get_publishers_info_by_topic(self.topic)
        return _joined(found) if len(found) > 1 else ""


def _joined(infos: Iterable[Any]) -> str:
    """The names of their nodes. A node that was just discovered has none yet."""
    names = sorted(_name(info) for info in infos)
    return ", ".join(NO_NAME if UNNAMED in name else name for name in names)


def _polls(seconds: float) -> Iterator[None]:
    """Yield at once, then every 20 ms for this time."""
    until_s = time.monotonic() + seconds
    yield
    while time.monotonic() < until_s:
        time.sleep(0.02)
        yield


def _participant(node: ManagedNode) -> tuple[int, ...]:
    """The first bytes of the GIDs of this process's endpoints, read from a topic that no other node
    has.
    """
    topic = node.resolve_topic_name(f"{CLAIM}{uuid.uuid4().hex}")
    probe = node.create_publisher(Empty, topic, 1)
    try:
        for _ in _polls(NAMED_S):
            for info in node.get_publishers_info_by_topic(topic):
                return _gid(info)[:PARTICIPANT_BYTES]
    finally:
        node.destroy_publisher(probe)
    raise RobotError(
        "the middleware does not show this node's own publishers; is RMW_IMPLEMENTATION one that"
        " works?"
    )


def _gid(info: Any) -> tuple[int, ...]:
    return tuple(info.endpoint_gid)


def _name(info: Any) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
