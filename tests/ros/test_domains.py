"""Which domain a graph gets, who finds it, and how far discovery goes."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from conure_core.errors import ConfigError
from conure_ros.bringup.graphs import meets_others
from conure_ros.bringup.launcher import ros_environment
from conure_ros.comms import domains
from conure_ros.comms.domains import (
    announce_node,
    claim_domain,
    describe_domain,
    domains_in_use,
    join_running_graph,
    running_nodes,
)
from conure_ros.comms.middleware import (
    add_local_discovery,
    drop_unknown_middleware,
    is_local,
    ways_to_reach,
)

CLAIM = """
from conure_ros.comms.domains import claim_domain
with claim_domain() as number: print(number, flush=True); input()
"""


@pytest.fixture
def prefix(monkeypatch):
    """Names of this test's own: other graphs may run on this machine."""
    text = f"conure-test-{os.getpid()}-"
    monkeypatch.setattr(domains, "PREFIX", text)
    return text


SHARED = "start what belongs to it with ROS_DOMAIN_ID="


@pytest.mark.parametrize(
    ("graph", "given", "shared"),
    [
        ("sim", {}, False),
        ("evaluate", {}, False),
        ("evaluate", {"arm": "external"}, True),
        ("robot", {"arm": "external"}, True),
        ("robot", {"arm": "sim"}, True),
        ("teleop", {"arm": "serial"}, True),
        ("policy", {"arm": "serial"}, True),
        ("policy", {"arm": "serial", "camera_source": "0"}, False),
        ("policy", {"arm": "serial", "wrist_source": "0"}, True),
        ("policy", {"port": "sim", "arm": "serial"}, False),
        ("camera", {}, True),
        ("faults", {}, False),
        ("faults_arm", {}, False),
    ],
)
def test_a_graph_to_which_others_belong_is_where_they_are(
    prefix, no_domain, monkeypatch, graph, given, shared
):
    """Others: a driver, a joystick or a camera in another terminal, with no variable set."""
    assert meets_others(graph, given) == shared
    with ros_environment(shared) as variables:
        assert (variables["ROS_DOMAIN_ID"] == "0") == shared
        text = describe_domain(variables, shared)
        assert text.startswith(f"ROS domain {variables['ROS_DOMAIN_ID']}, this machine only")
        assert (SHARED in text) == shared
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    with ros_environment(shared) as variables:
        assert variables["ROS_DOMAIN_ID"] == "42"
        assert "ROS domain 42, ROS_AUTOMATIC_DISCOVERY_RANGE SUBNET;" in describe_domain(
            variables, shared
        )


@pytest.fixture
def no_domain(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")  # deleting what is not there would not be undone
    monkeypatch.delenv("ROS_DOMAIN_ID")


def test_claimed_domains_never_meet_and_are_free_again_when_their_process_was_killed():
    with subprocess.Popen([sys.executable, "-c", CLAIM], stdin=-1, stdout=-1, text=True) as other:
        elsewhere = int(other.stdout.readline())
        with claim_domain() as first, claim_domain() as second:
            assert len({first, second, elsewhere}) == 3
            assert {first, second, elsewhere} <= domains_in_use()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert elsewhere not in domains_in_use()


def test_all_domains_can_be_taken_and_are_then_refused(prefix):
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(claim_domain()) for _ in domains.DOMAINS]
        assert sorted(taken) == list(domains.DOMAINS)
        with pytest.raises(ConfigError, match=r"all ROS domains 1\.\.101 are in use"):
            stack.enter_context(claim_domain())
    assert not domains_in_use()


def test_a_domain_that_was_set_by_hand_is_not_given_to_another_graph(prefix, monkeypatch):
    with contextlib.ExitStack() as stack:
        for number in domains.DOMAINS:
            if number != 42:
                monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
                stack.enter_context(announce_node("ControlNode", "/control"))
        assert stack.enter_context(claim_domain()) == 42


def test_leftovers_and_links_where_files_of_others_may_lie_change_nothing(
    prefix, monkeypatch, tmp_path
):
    """The lock files of before, and the folder that remembers which domains were used, as a link to
    somewhere else.
    """
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(domains.tempfile, "gettempdir", lambda: str(tmp_path))
    for number in domains.DOMAINS:
        (tmp_path / f"conure-ros-domain-{number}.lock").touch(0o000)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"conure-{os.getuid()}").symlink_to(elsewhere)
    assert not domains_in_use()
    with claim_domain() as number:
        assert number in domains.DOMAINS
    assert not list(elsewhere.iterdir())


def test_the_domain_that_was_used_last_comes_last(prefix, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    seen = set()
    for _ in range(20):
        with claim_domain() as number:
            seen.add(number)
    assert len(seen) == 20
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_announced_node_is_found_by_name_for_as_long_as_its_process_lives(prefix, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "77")
    with announce_node("ControlNode", "/left/control"):
        (node,) = running_nodes()
        assert (node.domain, node.process, node.kind, node.name) == (
            77,
            os.getpid(),
            "ControlNode",
            "/left/control",
        )
        with announce_node("ControlNode", "/left/control"):
            assert len(running_nodes()) == 2
    assert not running_nodes()


@pytest.mark.parametrize("domain", ["", "x", "-1", "99999999999"])
def test_a_domain_that_is_no_number_keeps_no_node_from_starting(prefix, monkeypatch, domain):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    with announce_node("ControlNode", "/" + 300 * "x"):
        assert domains_in_use() <= {0}


def test_keys_join_the_one_graph_that_runs_here(prefix, no_domain, monkeypatch):
    join_running_graph()
    assert "ROS_DOMAIN_ID" not in os.environ
    with claim_domain() as number:
        join_running_graph()
        assert os.environ["ROS_DOMAIN_ID"] == str(number)
        monkeypatch.delenv("ROS_DOMAIN_ID")
        with claim_domain(), pytest.raises(ConfigError, match="several graphs run here"):
            join_running_graph()
        monkeypatch.setenv("ROS_DOMAIN_ID", "77")
        join_running_graph()
        assert os.environ["ROS_DOMAIN_ID"] == "77"


RANGE, LOCAL = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"


@pytest.mark.parametrize(
    ("distribution", "given", "becomes"),
    [
        ("jazzy", {}, {RANGE: "LOCALHOST"}),
        ("humble", {}, {RANGE: "LOCALHOST", LOCAL: "1"}),
        ("humble", {RANGE: "LOCALHOST"}, {RANGE: "LOCALHOST", LOCAL: "1"}),
        ("humble", {RANGE: "OFF"}, {RANGE: "OFF", LOCAL: "1"}),
        ("humble", {RANGE: "SUBNET"}, {RANGE: "SUBNET"}),
        ("humble", {LOCAL: "0"}, {RANGE: "LOCALHOST", LOCAL: "0"}),
        ("jazzy", {RANGE: "SUBNET"}, {RANGE: "SUBNET"}),
    ],
)
def test_discovery_stays_on_this_machine_unless_somebody_chose_otherwise(
    distribution, given, becomes
):
    environment = {"ROS_DISTRO": distribution, **given}
    add_local_discovery(environment)
    assert environment == {"ROS_DISTRO": distribution, **becomes}


@pytest.mark.parametrize(
    ("given", "local", "ways"),
    [
        ({"ROS_DISTRO": "jazzy"}, False, [{}]),
        ({"ROS_DISTRO": "jazzy", RANGE: "OFF"}, True, [{RANGE: "LOCALHOST"}]),
        ({"ROS_DISTRO": "jazzy", RANGE: "LOCALHOST"}, True, [{}]),
        ({"ROS_DISTRO": "humble", RANGE: "LOCALHOST"}, False, [{}, {LOCAL: "1"}]),
        ({"ROS_DISTRO": "humble", LOCAL: "1"}, True, [{}]),
    ],
)
def test_a_stop_reaches_this_machine_whatever_the_environment_says(given, local, ways):
    assert is_local(given) == local
    assert ways_to_reach(given) == ways


def test_a_middleware_that_is_not_installed_is_dropped_and_one_that_is_stays(monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    assert drop_unknown_middleware() == ""
    assert os.environ["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_nobody_has")
    assert drop_unknown_middleware() == "rmw_nobody_has"
    assert "RMW_IMPLEMENTATION" not in os.environ
