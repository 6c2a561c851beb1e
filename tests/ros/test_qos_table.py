"""docs/ros.md lists every topic of the running graph with its ends and its quality of service, every
service and action with its type and its node, and no other.
"""

import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy

from conure_ros.bringup.graphs import (
    CAMERA,
    CONTROL,
    EVALUATOR,
    GRAPHS,
    POLICY,
    RECORDER,
    ROBOT_STATE_PUBLISHER,
    SIM_ROBOT,
    TELEOP,
    TRAJECTORY,
    build_graph,
)
from conure_ros.comms import qos
from conure_ros.comms.service_names import OLD_NAMES

pytestmark = pytest.mark.ros
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ros.md").read_text()
# Every ROS node has these; an action's own topics are the middleware's business.
COMMON = re.compile(r"/(parameter_events|rosout|.*transition_event|.*/_action/.*)")


OF_EVERY_NODE = re.compile(
    r".*/((describe|get|list|set)_parameters(_atomically)?|get_parameter_types"
    r"|get_type_description|get_(available_(states|transitions)|state|transition_graph)"
    r"|change_state|_action/.*)"
)


def section(title, level="##"):
    """The rows of the first table under a heading, without its head."""
    part = PAGE.partition(f"\n{level} {title}\n")[2].partition("\n#")[0]
    table = next(block for block in part.strip().split("\n\n") if block.startswith("| "))
    return table.splitlines()[2:]


def cells(row):
    return [cell.strip(" `") for cell in row.strip("|").split("|")]


def words(profiles):
    """The qualities of the ends of a topic, each once."""
    found = {
        f"{profile.reliability.name.lower()}, {profile.durability.name.lower().replace('_', ' ')}"
        for profile in profiles
    }
    return " / ".join(sorted(found))


def rows(node):
    """A row for each topic, as the graph itself tells it now."""
    found = []
    for topic, types in sorted(node.get_topic_names_and_types()):
        ends = [
            [end for end in ask(topic) if end.node_name != "test"]
            for ask in (node.get_publishers_info_by_topic, node.get_subscriptions_info_by_topic)
        ]
        if COMMON.fullmatch(topic) or not any(ends):
            continue
        names = [", ".join(sorted({end.node_name for end in some})) or "-" for some in ends]
        kind = types[0].replace("/msg/", "/")
        quality = words(end.qos_profile for some in ends for end in some)
        found.append(f"| `{topic}` | {kind} | {names[0]} | {names[1]} | {quality} |")
    return found


def offered(node):
    """Type and node of each service and action that the graph offers now, by name."""
    ask = (
        lambda name: node.get_service_names_and_types_by_node(name, "/"),
        lambda name: get_action_server_names_and_types_by_node(node, name, "/"),
    )
    return {
        service: (re.sub("/(srv|action)/", "/", types[0]), name)
        for name in {*node.get_node_names()} - {"test"}
        for found in ask
        for service, types in found(name)
        if not OF_EVERY_NODE.fullmatch(service)
    }


def told_services():
    rows = [cells(row) for row in section("Services and actions")]
    return {name: (kind, offered_by) for name, kind, offered_by, _ in rows}


def old_names():
    """The answered ones by their new names; and all others."""
    rows = [cells(row) for row in section("Old names", "###")]
    answered = {new: old for old, new, _, what in rows if what.startswith("answered")}
    return answered, {old for old, new, *_ in rows if new not in answered}


def told_with_old_names():
    told, (answered, _) = told_services(), old_names()
    return {**told, **{old: told[new] for new, old in answered.items()}}


def test_the_old_names_that_are_answered_are_those_of_the_code():
    answered, gone = old_names()
    own = {name.replace("~", "/control"): old for name, old in OLD_NAMES.items()}
    assert answered == {f"/{name.lstrip('/')}": f"/{old}" for name, old in own.items()}
    assert not gone & set(answered.values())


def test_the_tables_are_the_running_graph(start, bundle, peer, tmp_path, monkeypatch):
    above = (
        CAMERA,
        CONTROL,
        POLICY,
        TELEOP,
        TRAJECTORY,
        RECORDER,
        EVALUATOR,
        ROBOT_STATE_PUBLISHER,
    )
    monkeypatch.setitem(GRAPHS, "all", build_graph(SIM_ROBOT, *above))
    cv2.imwrite(
        str(tmp_path / "image.png"),
        np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8),
    )
    pose = tmp_path / "pose.yaml"
    pose.write_text(
        "parent: base_link\ntranslation_m: [0.0, 0.0, 0.5]\nrotation_xyzw: [1.0, 0.0, 0.0, 0.0]\n"
    )
    given = {
        "bundle": str(bundle),
        "folder": str(tmp_path / "trials"),
        "trials": 0,
        "camera_source": str(tmp_path),
    }
    start("all", **given, **{"camera.pose": str(pose)})
    deadline_s = time.monotonic() + 20.0

    def told():
        return rows(peer.node) == section("Topics") and offered(peer.node) == told_with_old_names()

    while not told() and time.monotonic() < deadline_s:
        time.sleep(0.2)
    now = rows(peer.node)
    assert offered(peer.node) == told_with_old_names()
    assert now == section("Topics"), "docs/ros.md, Topics, must be:\n" + "\n".join(now)


def test_the_profiles_are_those_of_the_code():
    profiles = {
        name: value for name, value in vars(qos).items() if isinstance(value, qos.QoSProfile)
    }
    told = {}
    for row in section("Profiles"):
        name, reliability, durability, depth, *_ = cells(row)
        told[name] = (reliability, durability, depth)
    assert told == {
        name: (
            ReliabilityPolicy(profile.reliability).name.lower(),
            DurabilityPolicy(profile.durability).name.lower().replace("_", " "),
            "all" if profile.history == HistoryPolicy.KEEP_ALL else str(profile.depth),
        )
        for name, profile in profiles.items()
    }
