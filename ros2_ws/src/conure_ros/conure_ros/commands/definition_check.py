"""Whether the nodes of a graph were built against the same definitions of conure_msgs."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from conure_ros.commands.findings import Missing
from conure_ros.control.control_state import UNKNOWN, definition

OURS = "conure_msgs/"


def check_definitions(node: Any) -> str:
    """Compare the type hashes of all topics of conure_msgs: the middleware compares names only.

    Args:
        node: A node that has discovered the graph.

    Raises:
        Missing: Two nodes hold different definitions of one type.
    """
    ends = []
    for topic, types in node.get_topic_names_and_types():
        if any(name.startswith(OURS) for name in types):
            ends += node.get_publishers_info_by_topic(topic)
            ends += node.get_subscriptions_info_by_topic(topic)
    return compare_definitions(ends)


def compare_definitions(ends: Iterable[Any]) -> str:
    """Compare the definitions that publishers and subscriptions hold.

    Args:
        ends: As rclpy's TopicEndpointInfo; before ROS 2 Iron they tell no hash.

    Raises:
        Missing: Two hold different definitions of one type.
    """
    holders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for end in ends:
        told = definition(end)
        if told != UNKNOWN:
            holders[end.topic_type][told].add(end.node_name)
    for name, by_hash in sorted(holders.items()):
        if len(by_hash) > 1:
            groups = " and ".join(", ".join(sorted(names)) for names in by_hash.values())
            raise Missing(
                f"{groups} were built against different definitions of {name}",
                "build all of them against one conure_msgs; docs/ros.md lists what changed",
            )
    return f"one definition of each of {len(holders)} types"
