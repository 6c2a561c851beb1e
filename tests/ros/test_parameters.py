"""Parameters of a node as people give them, on the command line and in files."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_ros.bringup.graph_parameters import node_parameters
from conure_ros.commands.up import UpConfig
from conure_ros.comms.lifecycle import ManagedNode
from conure_ros.comms.parameters import declare, parameter, reread

pytestmark = pytest.mark.nodes


@dataclass(frozen=True)
class Some:
    rate_hz: float = parameter(30.0, "rate, Hz", 0.1, 100.0)
    limits_m: tuple[float, ...] = parameter((0.5, 1.0), "limits, m")
    count: int = parameter(1, "a count")
    folder: str = parameter("", "a folder")
    bundle: str = parameter("", "a bundle", until_configured=True)


def declared(**given):
    node = rclpy.create_node(
        "some", parameter_overrides=[Parameter(name, value=value) for name, value in given.items()]
    )
    try:
        return declare(node, Some)
    finally:
        node.destroy_node()


def test_a_whole_number_is_taken_for_a_float(context):
    found = declared(rate_hz=60, limits_m=[1, 2])
    assert found.rate_hz == 60.0 and isinstance(found.rate_hz, float)
    assert found.limits_m == (1.0, 2.0) and all(isinstance(one, float) for one in found.limits_m)


@pytest.mark.parametrize("given", [{"rate_hz": 200}, {"rate_hz": "fast"}, {"count": 1.5}])
def test_what_is_no_such_number_is_still_refused_by_name(context, given):
    with pytest.raises(ConfigError, match=f"parameter {next(iter(given))} of some"):
        declared(**given)


def test_a_parameter_may_change_until_the_node_is_configured_if_it_says_so(context, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    node = ManagedNode("some")
    try:
        given = declare(node, Some)
        (result,) = node.set_parameters([Parameter("bundle", value="~/one")])
        assert result.successful and reread(node, given).bundle == "/home/me/one"
        (result,) = node.set_parameters([Parameter("folder", value="x")])
        assert not result.successful, "others are read-only"
        node.trigger_configure()
        (result,) = node.set_parameters([Parameter("bundle", value="other")])
        assert not result.successful
        assert "bundle can change only while some is unconfigured" in result.reason
        assert reread(node, given).bundle == "/home/me/one"
        node.trigger_cleanup()
        (result,) = node.set_parameters([Parameter("bundle", value="other")])
        assert result.successful and reread(node, given).bundle == "other"
    finally:
        node.destroy_node()


def test_a_path_may_begin_at_home(context, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert declared(folder="~/recordings").folder == "/home/me/recordings"


def test_a_clock_before_zero_is_ignored_and_said_once(context):
    node = rclpy.create_node("some", parameter_overrides=[Parameter("use_sim_time", value=True)])
    try:
        declare(node, Some)
        said: list[str] = []
        node.get_logger = lambda: SimpleNamespace(warning=said.append)
        (clock,) = (one for one in node.subscriptions if one.msg_type is Clock)
        for seconds in (7, -1, -(2**31), 8, -2, 5):
            clock.callback(Clock(clock=Time(sec=seconds)))
            now_ns = node.get_clock().now().nanoseconds
            assert seconds < 0 or now_ns == seconds * 10**9
        assert len(said) == 1 and "/clock" in said[0] and "-1" in said[0]
    finally:
        node.destroy_node()


def up(*words):
    config = load_config("conure_ros.conf", "up", UpConfig, list(words))
    return node_parameters(config.graph, config.given())


@pytest.mark.parametrize("plus", ["", "+"])
def test_up_takes_parameters_of_nodes_with_or_without_plus(plus):
    source = "rtsp://me:secret@camera/x?channel=1&subtype=0"
    values = up(
        "graph=robot",
        "bundle=b=1,2",
        f"{plus}parameters.policy.noise_scale=1",
        f"{plus}parameters.camera.rate_hz=60",
        f"camera_source={source}",
    )
    assert values["policy"]["noise_scale"] == 1.0 and values["policy"]["bundle"] == "b=1,2"
    assert values["camera"]["rate_hz"] == 60.0 and values["camera"]["source"] == source


def test_an_unknown_parameter_lists_those_of_the_node():
    with pytest.raises(ConfigError, match="parameter of policy 'KEY'") as refusal:
        up("graph=robot", "bundle=b", "parameters.policy.KEY=1")
    listed = str(refusal.value).partition("Valid: ")[2]
    assert "image_fit" in listed and "noise_scale" in listed and "camera_source" not in listed
