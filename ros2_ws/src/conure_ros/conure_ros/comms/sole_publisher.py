"""Who is at the other end of a topic. Of its one publisher: a second one is refused, and the first
one named; of an action's feedback: whether the client that listens is still there.
"""

import math
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
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


APART_S = 0.5
"""How long a publisher may exist before its first message."""
HEARD_S = 2.0
"""How long a publisher counts as heard after a message."""
SEQUENCE = "publication_sequence_number"
"""A publisher's own count of its messages, in the information beside one; since Iron."""


class SplitPublisherWatch(PublisherWatch):
    """The same for joint_states, which arm and gripper may publish apart.

    Several publishers are as good as one if each has joints of its own: no more of them than sets
    of names, no joint of the arm in two sets, and no set from two publishers.

    >>> watch = SplitPublisherWatch(node, "joint_states", robot.command_names)
    >>> watch.note(message.name, info)
    >>> watch.duplicates()
    """

    def __init__(self, node: Node, topic: str, joints: Iterable[str]) -> None:
        """Begin without a message.

        Args:
            node: The node that subscribes.
            topic: The topic.
            joints: Names that only one publisher may use.
        """
        super().__init__(node, topic)
        self._joints = frozenset(joints)
        self._heard_s: dict[frozenset[str], float] = {}
        self._sequence: dict[frozenset[str], int] = {}
        self._twice_s, self._more_since_s = -math.inf, math.inf

    def note(self, names: Iterable[str], info: Mapping[str, Any]) -> None:
        """Note a message.

        Args:
            names: The joints that it names.
            info: What the middleware says of it.
        """
        now_s, joints = time.monotonic(), frozenset(names)
        self._heard_s[joints] = now_s
        number = info.get(SEQUENCE)
        if number is not None and number <= self._sequence.get(joints, -1):
            self._twice_s = now_s
        if number is not None:
            self._sequence[joints] = number

    def duplicates(self) -> str:
        """The names of all publishers if two of them publish the same joints; else ''."""
        count = self._node.count_publishers(self.topic)
        now_s = time.monotonic()
        if count <= 1:
            self._more_since_s = math.inf
            return ""
        self._heard_s = {
            joints: heard_s
            for joints, heard_s in self._heard_s.items()
            if now_s - heard_s <= HEARD_S
        }
        enough = count <= len(self._heard_s)
        self._more_since_s = math.inf if enough else min(self._more_since_s, now_s)
        silent = now_s - self._more_since_s > APART_S
        twice = now_s - self._twice_s <= HEARD_S
        return super().duplicates() if silent or twice or self._overlap() else ""

    def _overlap(self) -> bool:
        """Whether a joint of the arm is in two sets."""
        own = [joints & self._joints for joints in self._heard_s]
        return sum(map(len, own)) > len(frozenset[str]().union(*own))


UNSEEN_S = 10.0
"""How long a client may take to be seen, s. One that was killed before never is."""


class ClientWatch:
    """Detects that the client of an action's goal was killed, which cancels nothing: its
    subscription to the feedback vanishes, or was never seen.

    >>> watch = ClientWatch(node, "~/run_trial")  # when the goal is accepted
    >>> watch.is_gone()
    """

    def __init__(self, node: Node, action: str) -> None:
        """Begin to watch.

        Args:
            node: The node that offers the action.
            action: Its name, as the node offers it.
        """
        self._node, self._feedback = node, f"{action}/_action/feedback"
        self._began_s, self._seen = time.monotonic(), False

    def is_gone(self) -> bool:
        """Whether nobody listens any more. Every client does, in any language."""
        if self._node.count_subscribers(self._feedback):
            self._seen = True
            return False
        return self._seen or time.monotonic() - self._began_s > UNSEEN_S


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
