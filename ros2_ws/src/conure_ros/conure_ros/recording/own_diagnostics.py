"""Whose diagnostics a recording holds: `/diagnostics` is one topic for all robots of a domain."""

from collections.abc import Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message

ROOT = "/"


@dataclass(frozen=True)
class Graph:
    """Nodes that a recorder sees: (name, namespace) of each, and the recorder itself."""

    recorder: str
    namespace: str
    nodes: Sequence[tuple[str, str]]

    def owns(self, namespace: str) -> bool:
        """Whether nodes of a namespace are this recorder's.

        They are where no other recorder is nearer above them, and in namespaces above this one
        that no recorder is in.
        """
        recorders = {space for name, space in self.nodes if name == self.recorder}
        above = [space for space in {*recorders, self.namespace} if _contains(space, namespace)]
        if not above:
            return _contains(namespace, self.namespace)
        return max(above, key=len) == self.namespace

    def owns_status(self, name: str) -> bool:
        """Whether a status is this robot's, by the node that its name begins with (REP 107).

        What names no node that is known is kept.
        """
        subject = name.partition(":")[0].strip().strip("/")
        space, _, node = f"/{subject}".rpartition("/")
        if space:
            known = any(_contains(space, other) for _, other in self.nodes)
            return self.owns(space) if known else True
        spaces = [space for other, space in self.nodes if other == node]
        return not spaces or any(map(self.owns, spaces))


def _contains(namespace: str, other: str) -> bool:
    return namespace in (ROOT, other) or other.startswith(f"{namespace}/")


def seen_graph(node: Node) -> Graph:
    """The graph as this recorder sees it now."""
    return Graph(node.get_name(), node.get_namespace(), node.get_node_names_and_namespaces())


def keep_own(cdr: bytes, graph: Graph) -> bytes | None:
    """Leave out what belongs to other robots.

    Args:
        cdr: A DiagnosticArray, serialized.
        graph: The recorder's graph.

    Returns:
        The message with the recorder's own statuses; None if there are none.
    """
    message = deserialize_message(cdr, DiagnosticArray)
    own = [status for status in message.status if graph.owns_status(status.name)]
    if len(own) == len(message.status):
        return cdr
    message.status = own
    return bytes(serialize_message(message)) if own else None
