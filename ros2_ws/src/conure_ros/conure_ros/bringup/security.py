"""Each node's rights as an SROS 2 policy. `python -m conure_ros.bringup.security` prints those of
the running graph.

Format: https://design.ros2.org/articles/ros2_access_control_policies.html, version 0.2.0.
docs/security.md.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rclpy
from rclpy.action import (
    get_action_client_names_and_types_by_node,
    get_action_server_names_and_types_by_node,
)

from conure_ros.bringup.graphs import ENCLAVES
from conure_ros.comms.domains import join_running_graph
from conure_ros.comms.lifecycle import ros_context
from conure_ros.comms.service_names import SET_MODE
from conure_ros.comms.sole_publisher import CLAIM, DISCOVERY_S

HIDDEN = "/_action/"
OWN = "security"


@dataclass(frozen=True)
class Profile:
    """One node's rights, as full names. The rights of an action include its topics and services."""

    publish: frozenset[str] = frozenset()
    subscribe: frozenset[str] = frozenset()
    reply: frozenset[str] = frozenset()
    request: frozenset[str] = frozenset()
    execute: frozenset[str] = frozenset()
    call: frozenset[str] = frozenset()

    def __or__(self, other: "Profile") -> "Profile":
        return Profile(
            *(getattr(self, field.name) | getattr(other, field.name) for field in fields(self))
        )


ELEMENTS = {"publish": "topic", "subscribe": "topic", "reply": "service", "request": "service"}
ELEMENTS |= {"execute": "action", "call": "action"}
CLAIMED = {"/command/policy", "/command/teleop", "/command/trajectory", "/joint_trajectory"}
# Too short-lived to be visible in a running graph.
CLAIMING = Profile(publish=frozenset({f"/{CLAIM}*"}))


def manager_profile(lifecycle_nodes: Iterable[str]) -> Profile:
    """The services of the nodes that manager_node brings up, which it calls meanwhile."""
    services = ("change_state", "get_parameters", "get_state")
    of_nodes = frozenset(f"/{name}/{service}" for name in lifecycle_nodes for service in services)
    return Profile(request=of_nodes | {f"/{SET_MODE}"})


def live_profile(node: Any, name: str) -> Profile:
    """The rights that a running node uses now.

    Args:
        node: A node that has discovered the graph.
        name: Name of the node to look at, in the root namespace.
    """

    def names(found: Iterable[tuple[str, Any]]) -> frozenset[str]:
        return frozenset(
            topic for topic, _ in found if HIDDEN not in topic and f"/{CLAIM}" not in topic
        )

    return Profile(
        publish=names(node.get_publisher_names_and_types_by_node(name, "/")),
        subscribe=names(node.get_subscriber_names_and_types_by_node(name, "/")),
        reply=names(node.get_service_names_and_types_by_node(name, "/")),
        request=names(node.get_client_names_and_types_by_node(name, "/")),
        execute=names(get_action_server_names_and_types_by_node(node, name, "/")),
        call=names(get_action_client_names_and_types_by_node(node, name, "/")),
    )


def policy_text(profiles: dict[str, Profile]) -> str:
    """The policy as XML. Each node has its own enclave with its own keys."""
    policy = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(policy, "enclaves")
    for name, profile in sorted(profiles.items()):
        enclave = ElementTree.SubElement(enclaves, "enclave", path=f"{ENCLAVES}/{name}")
        element = ElementTree.SubElement(
            ElementTree.SubElement(enclave, "profiles"), "profile", ns="/", node=name
        )
        for right, kind in ELEMENTS.items():
            allowed = sorted(getattr(profile, right))
            if allowed:
                listed = ElementTree.SubElement(element, f"{kind}s", {right: "ALLOW"})
                for topic in allowed:
                    ElementTree.SubElement(listed, kind).text = topic
    ElementTree.indent(policy)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + ElementTree.tostring(policy, encoding="unicode")
        + "\n"
    )


def read_policy(path: Path) -> dict[str, Profile]:
    """Inverse of `policy_text`: profiles by node."""
    profiles: dict[str, Profile] = {}
    for element in ElementTree.parse(path).iter("profile"):
        rights = {
            right: frozenset(
                str(item.text)
                for listed in element
                if listed.get(right) == "ALLOW"
                for item in listed
            )
            for right in ELEMENTS
        }
        profiles[str(element.get("node"))] = Profile(**rights)
    return profiles


def live_policy(node: Any, names: Iterable[str]) -> dict[str, Profile]:
    """The profiles of running nodes, by name.

    Args:
        node: A node that has discovered the graph.
        names: Names of the nodes to look at, in the root namespace.
    """
    found = {name: live_profile(node, name) for name in names}
    claiming = [name for name, profile in found.items() if profile.publish & CLAIMED]
    found |= {name: found[name] | CLAIMING for name in claiming}
    return found


def main() -> None:
    """Print the policy of the graph that runs here."""
    join_running_graph()
    with ros_context():
        node = rclpy.create_node(OWN)
        time.sleep(DISCOVERY_S)
        names = {
            name for name, namespace in node.get_node_names_and_namespaces() if namespace == "/"
        }
        print(policy_text(live_policy(node, names - {OWN})), end="")


if __name__ == "__main__":
    main()
