"""The nodes that request a stop: one in each ROS domain, each in its own context."""

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Empty

from conure_ros.comms.domains import (
    LocalNode,
    domains_in_use,
    domains_of_others,
    own_domain,
    running_nodes,
)
from conure_ros.comms.lifecycle import shut_down
from conure_ros.comms.middleware import WITHOUT_SHARED_MEMORY, ways_to_reach
from conure_ros.comms.qos import NEWEST
from conure_ros.control.control_state import ControlState, describe_state

BEAT_S = 0.1
LOOK_S = 0.1
REFRESH_S = 1.0
CALLBACKS = 8
STATE_TYPE = "conure_msgs/msg/RobotState"
CONTROL = "ControlNode"
UNNAMED = "_UNKNOWN_"
PEERS = "ROS_STATIC_PEERS"
WITHOUT_LOGS = ("--ros-args", "--disable-external-lib-logs", "--disable-rosout-logs")
"""A missing home folder or a full disk must not keep an arm from being stopped."""


def start_ros(namespace: str = "", **options: Any) -> None:
    """Initialise rclpy for a command of a person, without logs.

    Args:
        namespace: Of the graph that it is for; empty: none.
        **options: As rclpy.init takes them.
    """
    name = namespace.strip("/")
    inside = ("-r", f"__ns:=/{name}") if name else ()
    rclpy.init(args=[*WITHOUT_LOGS, *inside], **options)


class Stopper(Node):
    """Publishes `stop`, and `operator/heartbeat` on request. `control` is control's state."""

    def __init__(self, name: str = "stop_key", context: Any = None) -> None:
        super().__init__(name, context=context)
        self._stops = self.create_publisher(Empty, "stop", NEWEST)
        self._beats = self.create_publisher(Empty, "operator/heartbeat", NEWEST)
        self._beat_s = 0.0
        self.control = ControlState(self)

    def ask(self) -> None:
        """Request a stop, once."""
        self._stops.publish(Empty())

    def beat(self) -> None:
        """Send the operator's heartbeat when it is due."""
        if time.monotonic() - self._beat_s > BEAT_S:
            self._beat_s = time.monotonic()
            self._beats.publish(Empty())


MUTE = "it sends no robot_state"
OF_ANOTHER_RELEASE = "it was built against another conure_msgs, so its robot_state cannot be read"
SEVERAL = "several nodes publish {}, so it is unknown which of them stopped"


class Watched:
    """One robot_state topic of the domain: its publishers, and the stop topic beside it."""

    def __init__(self, node: Stopper, topic: str) -> None:
        self._node, self.topic = node, topic
        if topic == node.resolve_topic_name("robot_state"):
            self.control, self.ask = node.control, node.ask
        else:
            self.control = ControlState(node, topic)
            stops = node.create_publisher(Empty, f"{topic.rpartition('/')[0]}/stop", NEWEST)
            self.ask = lambda: stops.publish(Empty())
        self.names: list[str] = []

    def look(self, keep: bool) -> None:
        """Update the publishers. `keep`: known ones stay, as they must confirm or be named."""
        infos = _publishers(self._node, self.topic)
        found = sorted(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos)
        if not keep or len(found) >= len(self.names):
            self.names = found

    def confirmed(self, asked_s: float) -> bool:
        """Whether control confirmed the stop. If several nodes publish the topic, nothing is
        confirmed.
        """
        return len(self.names) == 1 and self.control.confirms_stop(asked_s)

    def why_not(self, asked_s: float) -> str:
        """Why the stop is not confirmed, for a person."""
        if len(self.names) > 1:
            return SEVERAL.format(self.topic)
        if not self.control.is_readable():
            return OF_ANOTHER_RELEASE
        state = self.control.last_since(asked_s)
        return MUTE if state is None else f"it reports: {describe_state(state)}"


class Reach:
    """One ROS domain, reached with one set of environment variables."""

    def __init__(self, domain: int, changes: dict[str, str]) -> None:
        self.domain, self.context = domain, rclpy.Context()
        self.asked_s = math.inf
        """Time of the first request, steady clock, s: an older state confirms nothing.
        """
        with _environment(changes):
            start_ros(context=self.context, domain_id=domain)
            try:
                self.node = Stopper(context=self.context)
            except Exception:
                shut_down(self.context)
                raise
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._watched: dict[str, Watched] = {}
        self._looked_s = -math.inf

    def turn(self) -> None:
        """Receive messages, and update the publishers."""
        for _ in range(CALLBACKS):
            self._executor.spin_once(timeout_sec=0.0)
        if time.monotonic() - self._looked_s > LOOK_S:
            self._looked_s = time.monotonic()
            self._look()

    def ask(self) -> None:
        self.asked_s = min(self.asked_s, time.monotonic())
        self.node.ask()
        for watched in self._watched.values():
            watched.ask()

    def _look(self) -> None:
        for topic, types in self.node.get_topic_names_and_types():
            if STATE_TYPE in types and topic not in self._watched and _publishers(self.node, topic):
                self._watched[topic] = Watched(self.node, topic)
        for watched in self._watched.values():
            watched.look(keep=self.asked_s < math.inf)

    def confirmed(self) -> set[tuple[int, str]]:
        """The control nodes that confirm the stop: domain and name."""
        done = (watched for watched in self._watched.values() if watched.confirmed(self.asked_s))
        return {(self.domain, watched.names[0]) for watched in done}

    def seen(self) -> dict[tuple[int, str], str]:
        """All control nodes, and why each has not confirmed."""
        return {
            (self.domain, name): f"{name} on domain {self.domain}: {watched.why_not(self.asked_s)}"
            for watched in self._watched.values()
            for name in watched.names
        }

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._executor.shutdown(timeout_sec=0.0)
            self.node.destroy_node()
            shut_down(self.context)


def reachable_domains(given: list[int]) -> list[int]:
    """The given domains; or those of ROS_DOMAIN_ID, of this machine's graphs, and 0. The likeliest
    comes first.
    """
    own = own_domain()
    found = [*([] if own is None else [own]), *sorted(domains_in_use()), 0]
    return list(dict.fromkeys(given or found))


class Graphs:
    """All reachable graphs: of this machine, of ROS_DOMAIN_ID, and of domain 0; or of the given
    domains.
    """

    def __init__(self, domains: list[int]) -> None:
        self._given = list(domains)
        self._reaches: list[Reach] = []
        self._failed: dict[int, str] = {}
        self._tried: list[tuple[int, dict[str, str]]] = []
        self._refreshed_s = 0.0
        self._refresh()

    @property
    def domains(self) -> list[int]:
        return sorted({reach.domain for reach in self._reaches} | set(self._failed))

    def _refresh(self) -> None:
        """Open new domains: graphs may start while a person waits for a key."""
        self._refreshed_s = time.monotonic()
        others = domains_of_others()
        for domain in reachable_domains(self._given):
            ways = [*ways_to_reach(), *([WITHOUT_SHARED_MEMORY] if domain in others else [])]
            for changes in ways:
                if (domain, changes) not in self._tried:
                    self._tried.append((domain, changes))
                    self._open(domain, changes)

    def _open(self, domain: int, changes: dict[str, str]) -> None:
        """Open a domain in one way. A failure must not keep the others from being stopped."""
        try:
            self._reaches.append(_open_reach(domain, changes))
        except Exception as error:
            self._failed[domain] = (
                f"ROS domain {domain} cannot be reached ({type(error).__name__}: {error})"
            )

    def wait(self, beat: bool) -> None:
        """Wait for one turn. Heartbeats go to this operator's graphs only."""
        if time.monotonic() - self._refreshed_s > REFRESH_S:
            self._refresh()
        meant = self._meant()
        for reach in self._reaches:
            reach.turn()
            if beat and reach.domain in meant:
                reach.node.beat()

    def _meant(self) -> set[int]:
        own = own_domain()
        if self._given or "ROS_DOMAIN_ID" not in os.environ or own is None:
            return set(self._given) or domains_in_use() or {0}
        return {own}

    def ask(self) -> None:
        """Request a stop from all graphs, once, and receive their states."""
        for reach in self._reaches:
            reach.ask()
        if time.monotonic() - self._refreshed_s > REFRESH_S:
            self._refresh()
        for reach in self._reaches:
            reach.turn()

    def confirmed(self) -> list[str]:
        """A line for each control node that confirms the stop."""
        return [f"{name} on domain {domain}: stopped" for domain, name in sorted(self._confirmed())]

    def missing(self) -> list[str]:
        """A line for each control node that did not confirm, and for each domain that cannot be
        reached.
        """
        announced = self._announced()
        lines = {
            (
                node.domain,
                node.name,
            ): f"{node.name} on domain {node.domain} (process {node.process}): {MUTE}"
            for node in announced
        }
        for reach in self._reaches:
            lines |= reach.seen()
        for domain, name in _duplicates(announced):
            topic = f"{name.rpartition('/')[0]}/robot_state"
            lines[domain, name] = f"{name} on domain {domain}: {SEVERAL.format(topic)}"
        done = self._confirmed()
        return [
            *(line for key, line in sorted(lines.items()) if key not in done),
            *self._failed.values(),
        ]

    def _announced(self) -> list[LocalNode]:
        """This machine's control nodes, including those not discovered yet."""
        return [
            node for node in running_nodes() if node.kind == CONTROL and node.domain in self.domains
        ]

    def _confirmed(self) -> set[tuple[int, str]]:
        """Two nodes of one name cannot be told apart: neither is confirmed."""
        said = set().union(*(reach.confirmed() for reach in self._reaches))
        return said - _duplicates(self._announced())

    def close(self) -> None:
        for reach in self._reaches:
            reach.close()


def _duplicates(nodes: list[LocalNode]) -> set[tuple[int, str]]:
    """Domain and name of nodes that exist more than once."""
    counts = Counter((node.domain, node.name) for node in nodes)
    return {key for key, count in counts.items() if count > 1}


def _open_reach(domain: int, changes: dict[str, str]) -> Reach:
    """Retry without the environment's static peers if they cannot be used: at least this machine is
    reached.
    """
    try:
        return Reach(domain, changes)
    except Exception:
        if not os.environ.get(PEERS):
            raise
        return Reach(domain, {**changes, PEERS: ""})


def _publishers(node: Node, topic: str) -> list[Any]:
    """The publishers whose node's name is known already."""
    return [
        info for info in node.get_publishers_info_by_topic(topic) if UNNAMED not in info.node_name
    ]


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
