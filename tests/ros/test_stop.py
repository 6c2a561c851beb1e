"""`conure stop` beside graphs of all kinds: it says who stopped, and returns 0 only if everybody
did.

Every graph here is one process that stands for control_node. The domains are this test's own and
are named, so that a robot that runs on this machine meanwhile goes on.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from conure_core.cli import main
from conure_ros.commands import stop
from conure_ros.commands.stopping import reachable_domains
from conure_ros.comms import domains
from conure_ros.comms.domains import announce_node, claim_domain

pytestmark = pytest.mark.nodes
STOP = "import sys; from conure_core.cli import main; sys.exit(main(['stop', *sys.argv[1:]]))"
CONTROL = """
import sys
import rclpy
from rclpy.executors import ExternalShutdownException
from std_msgs.msg import Empty
from conure_msgs.msg import Mode, RobotState
from conure_ros.comms.domains import announce_node
from conure_ros.comms.qos import NEWEST, STATE, STATE_PERIOD_S
from conure_ros.comms.lifecycle import ros_context

name, how = sys.argv[1:]
with ros_context():
    node = rclpy.create_node("control", namespace=name)
    state = RobotState(mode=Mode(value=Mode.HOLD), stopped=how == "mute")
    states = node.create_publisher(RobotState, "robot_state", STATE)

    def stop(_):
        if how == "deaf" or state.stopped:
            return
        state.mode.value, state.stopped = Mode.STOPPED, True
        state.alarm = "torque off not confirmed" if how == "limp" else ""
        states.publish(state)
        print("stopped", flush=True)

    node.create_subscription(Empty, "stop", stop, NEWEST)
    states.publish(state)
    if how != "mute":
        node.create_timer(STATE_PERIOD_S, lambda: states.publish(state))
    print("up", flush=True)
    kind = "Unannounced" if how == "foreign" else "ControlNode"
    with announce_node(kind, node.get_fully_qualified_name()):
        try:
            rclpy.spin(node)
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
"""


@pytest.fixture
def number():
    with claim_domain() as number:
        yield number


@pytest.fixture
def other_number():
    with claim_domain() as number:
        yield number


@pytest.fixture
def control(domain):
    """Begins a stand-in for control_node; the process's output says when it stopped."""
    with contextlib.ExitStack() as stack:

        def begin(number, how="well", namespace="/"):
            process = subprocess.Popen(
                [sys.executable, "-c", CONTROL, namespace, how],
                env={**domain, "ROS_DOMAIN_ID": str(number)},
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout.readline() == "up\n"
            return process

        yield begin


@pytest.fixture
def conure_stop(domain):
    """Runs the verb on these domains."""

    def run(*numbers, timeout_s=4.0, **given):
        environment = {**domain, **given.pop("environment", {})}
        words = [sys.executable, "-c", STOP, f"domains={list(numbers)}", f"timeout_s={timeout_s}"]
        if "shell" in given:
            words = ["bash", "-c", given.pop("shell") + shlex.join(words)]
        given = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **given,
        }
        return subprocess.run(words, env=environment, text=True, **given)

    return run


def test_every_graph_is_stopped_and_who_confirmed_is_said(
    control, conure_stop, number, other_number
):
    controls = [control(number), control(other_number, namespace="/left")]
    done = conure_stop(number, other_number, timeout_s=20)
    assert done.returncode == 0, done.stderr
    assert f"/control on domain {number}: stopped" in done.stdout
    assert f"/left/control on domain {other_number}: stopped" in done.stdout
    for process in controls:
        assert process.stdout.readline() == "stopped\n"
    assert conure_stop(number, other_number, timeout_s=20).returncode == 0, "stopped already"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("deaf", "it reports: hold"),
        ("mute", "it sends no robot_state"),
        ("limp", "ALARM: torque off not confirmed"),
    ],
)
def test_one_graph_that_does_not_confirm_is_named_and_the_others_stop(
    control, conure_stop, number, other_number, how, reason
):
    """`mute` said once that it is stopped, before anybody asked, and nothing since."""
    control(number, how)
    well = control(other_number)
    done = conure_stop(number, other_number)
    assert done.returncode == 1
    assert f"/control on domain {number}" in done.stderr and reason in done.stderr
    assert "cut its power" in done.stderr
    assert f"/control on domain {other_number}: stopped" in done.stdout
    assert f"domain {other_number}:" not in done.stderr
    assert well.stdout.readline() == "stopped\n"


def test_a_control_that_hangs_is_named_and_asked_until_it_goes_on(
    control, conure_stop, number, other_number
):
    hung = control(number)
    control(other_number)
    hung.send_signal(signal.SIGSTOP)
    done = conure_stop(number, other_number)
    assert done.returncode == 1
    assert (
        f"/control on domain {number} (process {hung.pid}): it sends no robot_state" in done.stderr
    )

    words = [sys.executable, "-c", STOP, f"domains=[{number}]", "timeout_s=60"]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(number)}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as stop:
        time.sleep(3.0)
        assert stop.poll() is None, "it still asks"
        hung.send_signal(signal.SIGCONT)
        said, failed = stop.communicate(timeout=60)
    assert stop.returncode == 0, failed
    assert f"/control on domain {number}: stopped" in said
    assert hung.stdout.readline() == "stopped\n"


def test_it_needs_no_home_no_logs_no_folder_no_output_and_no_middleware_of_that_name(
    control, conure_stop, number, tmp_path
):
    """Nothing can be written below /proc, not by root either."""
    nowhere = {
        "HOME": "/proc/home",
        "ROS_HOME": "/proc/ros",
        "ROS_LOG_DIR": "/proc/log",
        "XDG_RUNTIME_DIR": "/proc/run",
    }
    nowhere |= {
        "RMW_IMPLEMENTATION": "rmw_nobody_has",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF",
        "PYTHONWARNINGS": "error",
        "TMPDIR": "/proc/tmp",
    }
    nowhere |= {"ROS_DOMAIN_ID": "233", "ROS_STATIC_PEERS": ";;no such peer"}
    process = control(number)
    done = conure_stop(number, timeout_s=20, environment=nowhere, cwd="/proc", stdin=None)
    assert done.returncode == 0, done.stderr
    assert f"/control on domain {number}: stopped" in done.stdout
    assert "RMW_IMPLEMENTATION=rmw_nobody_has is not installed here" in done.stderr
    assert "Traceback" not in done.stderr
    assert process.stdout.readline() == "stopped\n"

    reader, writer = os.pipe()
    os.close(reader)
    again = control(number, namespace="/again")
    words = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; exec "
    conure_stop(number, timeout_s=20, stdout=writer, stderr=writer, shell=words)
    os.close(writer)
    assert again.stdout.readline() == "stopped\n", "what is printed goes nowhere"


ANOTHER_USER = "exec setpriv --reuid 65534 --regid 65534 --clear-groups "


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_users_graph_is_stopped(control, conure_stop, number):
    """Shared memory connects the processes of one user only."""
    process = control(number)
    done = conure_stop(number, timeout_s=20, shell=ANOTHER_USER)
    assert done.returncode == 0, done.stderr
    assert f"/control on domain {number}: stopped" in done.stdout
    assert process.stdout.readline() == "stopped\n"


def test_a_failure_of_any_kind_is_one_line_that_says_to_cut_the_power(monkeypatch, capfd):
    def fail(domains):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(stop, "open_graphs", fail)
    assert main(["stop"]) == 1
    said = capfd.readouterr().err
    assert "Too many open files" in said and "cut the arm's power" in said


def test_of_two_nodes_on_one_topic_nothing_is_believed(control, conure_stop, number):
    control(number), control(number)
    done = conure_stop(number)
    assert done.returncode == 1
    assert "several nodes publish /robot_state" in done.stderr


def test_nobody_to_stop_is_a_failure(conure_stop, number):
    done = conure_stop(number, timeout_s=1.0)
    assert done.returncode == 1
    assert f"no control node was found on the ROS domains [{number}]; cut its power" in done.stderr


def test_a_domain_that_cannot_be_is_refused_by_name(capfd):
    assert main(["stop", "domains=[1,233]"]) == 1
    assert "domains[1] must be a whole number from 0 up to 232, got 233" in capfd.readouterr().err


def test_a_control_node_of_another_make_is_waited_for_and_believed(control, conure_stop, number):
    """Its process is not announced: as one on another machine, it has to be discovered."""
    process = control(number, "foreign")
    environment = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    began_s = time.monotonic()
    assert conure_stop(number, timeout_s=20, environment=environment).returncode == 0
    assert time.monotonic() - began_s > 4.0, "others may be found until then"
    assert process.stdout.readline() == "stopped\n"


def test_all_domains_with_a_graph_of_this_machine_the_chosen_one_and_zero_are_stopped(monkeypatch):
    monkeypatch.setattr(domains, "PREFIX", f"conure-test-{os.getpid()}-")
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    with announce_node("ControlNode", "/control"), claim_domain() as claimed:
        chosen = 77 if claimed != 77 else 78
        monkeypatch.setenv("ROS_DOMAIN_ID", str(chosen))
        assert reachable_domains([]) == [chosen, *sorted({42, claimed}), 0]
        for nonsense in ("nonsense", "-1", "233"):
            monkeypatch.setenv("ROS_DOMAIN_ID", nonsense)
            assert reachable_domains([]) == [*sorted({42, claimed}), 0]
        assert reachable_domains([5]) == [5]
