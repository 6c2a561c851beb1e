"""A parameter `qos_overrides.<topic>...` changes the quality of that topic alone."""

from pathlib import Path

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

import conure_ros
from conure_ros.nodes.control_node import ControlNode
from conure_ros.nodes.teleop_node import TeleopNode

pytestmark = pytest.mark.nodes
PREFIX = "qos_overrides."


def qualities(kind, **given):
    """Reliability of every end of a configured node, and the names of its overrides."""
    node = kind()
    node.created_s -= 60.0  # as if it had run for long: no claim waits for anybody's discovery
    try:
        for name, value in given.items():
            node._parameter_overrides[name] = Parameter(name, value=value)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        ends = [
            *((f"{end.topic_name}.subscription", end) for end in node.subscriptions),
            *((f"{node.resolve_topic_name(end.topic)}.publisher", end) for end in node.publishers),
        ]
        found = [(name, end.qos_profile.reliability) for name, end in ends]
        names = [name for name in node._parameters if name.startswith(PREFIX)]
        return sorted(found), names
    finally:
        node.end()
        node.destroy_node()


@pytest.mark.parametrize("kind", [ControlNode, TeleopNode])
def test_an_override_on_each_topic_leaves_the_others_as_they_are(context, kind):
    plain, names = qualities(kind)
    overrides = [name for name in names if name.endswith(".reliability")]
    assert len(overrides) >= 5, "of joint states, commands, ..."
    for name in overrides:
        end = name.removeprefix(PREFIX).removesuffix(".reliability")
        now, _ = qualities(kind, **{name: "best_effort"})
        changed = {before for before, after in zip(plain, now, strict=True) if before != after}
        assert changed == {(end, ReliabilityPolicy.RELIABLE)}


def test_nobody_can_offer_overrides_of_a_shared_profile():
    source = Path(conure_ros.__file__).parent
    users = {
        path.name for path in source.rglob("*.py") if "qos_overriding_options" in path.read_text()
    }
    assert users == {"qos.py"}, "others take the keywords of qos.overridable, which copies"
