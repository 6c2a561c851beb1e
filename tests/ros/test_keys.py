"""`conure keys` and `conure stop key=true` in a terminal of their own, beside a graph of real
processes.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand, RobotState
from conure_ros.bringup.graphs import CONTROL, GRAPHS, SIM_ROBOT, TELEOP, build_graph
from conure_ros.comms.qos import LATCHED
from conure_ros.control.arbiter import Mode
from tests.ros.terminal import CODE, Terminal

pytestmark = pytest.mark.ros
ROBOT = load_robot("wx250s")
HEARTBEAT_S = 2.0


@pytest.fixture(scope="module")
def running(start):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "keyed", build_graph(SIM_ROBOT, CONTROL, TELEOP))
        patience = {
            "control.stale_periods": 6.0,
            "teleop.stale_s": 0.3,
            "control.heartbeat_s": HEARTBEAT_S,
        }
        return start("keyed", start_mode="hold", **patience)


@pytest.fixture(scope="module")
def graph(running, peer):
    return peer.listen(RobotState, "robot_state", LATCHED)


@pytest.fixture
def opened(domain):
    terminals = []

    def open_(*words):
        terminals.append(Terminal(domain, *words))
        return terminals[-1]

    yield open_
    for terminal in terminals:
        terminal.close()


def quiet(commands, quiet_s=0.8):
    """Whether none came for longer than teleop_node takes an input for new: one key press may still
    be on its way.
    """
    count = len(commands)
    time.sleep(quiet_s)
    return len(commands) == count


def test_keys_move_the_arm_stop_it_and_give_the_terminal_back(graph, peer, opened, wait_until):
    states, beats = graph, peer.listen(Empty, "operator/heartbeat")
    wait_until(
        lambda: states and states[-1].stopped, HEARTBEAT_S + 10, "without an operator it stops"
    )
    commands = peer.listen(PolicyCommand, "command/teleop")
    keys = opened("keys", "release_s=0.2")
    wait_until(lambda: beats, 30)
    assert keys.shown.count("\n") <= 2 and "space STOP" in keys.shown
    assert not keys.restored, "keys come without Enter"
    wait_until(lambda: keys.press("\x12") or not states[-1].stopped, 10)
    time.sleep(1.5 * HEARTBEAT_S)
    assert not states[-1].stopped, "the operator is there"

    keys.hold("w", 1.0)
    assert any(state.mode.value == Mode.TELEOP for state in states)
    assert any(command.action[0] > 0.2 and not any(command.action[1:6]) for command in commands)
    wait_until(lambda: quiet(commands) and states[-1].mode.value == Mode.HOLD, 10)
    commands.clear()
    for sequence in ("\x1b[A", "Z", "\x1b[15~", "\x1b[2", "0~", "\x1b[200~wsad1p\x1b[201~"):
        keys.press(sequence)
    time.sleep(0.5)
    assert not commands
    assert "stop_episode" not in keys.shown and "set_mode" not in keys.shown
    keys.press("m")
    wait_until(lambda: commands and commands[-1].action[6] == -1.0, 5)

    keys.press("w ")
    wait_until(lambda: states[-1].stopped, 5)
    assert states[-1].reason == "the stop topic"
    count = len(commands)
    keys.hold("w", 0.5)
    assert len(commands) > count and states[-1].stopped, "a person does not end a stop by moving"
    for sequence in ("C", "W", "\x1b[C", "\x1b", "[C", "\x1b[1;5C", "w\x1b[C"):
        keys.press(sequence)
        time.sleep(0.3)
    assert states[-1].stopped, "neither Caps Lock nor an arrow ends a stop, split or not"
    assert "is Caps Lock on?" in keys.shown
    keys.press("\x12")
    wait_until(lambda: not states[-1].stopped, 5)
    wait_until(lambda: "reset_stop: done" in keys.shown, 5)
    keys.press("p")
    wait_until(lambda: "set_mode: done" in keys.shown, 5)
    keys.press("q")
    assert keys.process.wait(10) == 0
    assert keys.restored
    wait_until(lambda: states[-1].stopped, HEARTBEAT_S + 3)
    assert "the operator's heartbeat, silent" in states[-1].reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_without_its_operator_the_arm_stops_and_the_terminal_is_given_back(
    graph, peer, opened, wait_until, number
):
    beats = peer.listen(Empty, "operator/heartbeat")
    keys = opened("keys")
    wait_until(lambda: beats, 30)
    wait_until(
        lambda: peer.call(Trigger, "control/reset_stop").success and not graph[-1].stopped, 10
    )
    keys.process.send_signal(number)
    keys.process.wait(10)
    assert keys.restored or number == signal.SIGKILL
    wait_until(lambda: graph[-1].stopped, HEARTBEAT_S + 3)
    assert "the operator's heartbeat" in graph[-1].reason


def test_space_is_asked_for_until_a_control_that_hangs_goes_on(
    running, graph, peer, opened, wait_until
):
    beats, control = peer.listen(Empty, "operator/heartbeat"), running.process("control")
    keys = opened("keys")
    wait_until(lambda: beats, 30)
    wait_until(
        lambda: peer.call(Trigger, "control/reset_stop").success and not graph[-1].stopped, 10
    )
    control.send_signal(signal.SIGSTOP)
    try:
        keys.press(" ")
        wait_until(
            lambda: (
                "THE STOP IS NOT CONFIRMED: cut the arm's power (control is silent)" in keys.shown
            ),
            10,
        )
        keys.press("\x12")
        wait_until(lambda: "the stop is not confirmed yet" in keys.shown, 5)
    finally:
        control.send_signal(signal.SIGCONT)
    wait_until(lambda: graph[-1].stopped, 10)
    wait_until(lambda: "stopped: " in keys.shown.rpartition("not confirmed yet")[2], 10)
    keys.press("q")
    assert keys.process.wait(10) == 0


LONG_AWAITED = "x"
"""It comes later than a heartbeat may: waiting for a key keeps the arm from stopping."""


@pytest.mark.parametrize(
    "key", [LONG_AWAITED, "\x1b[C", signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_any_key_stops_the_arm_whose_operator_waits_for_it(
    graph, peer, opened, wait_until, domain, key
):
    """Ctrl-C is one, and whoever is ended by a signal does not leave the arm moving either."""
    beats = peer.listen(Empty, "operator/heartbeat")
    stop = opened("stop", "key=true", f"domains=[{domain['ROS_DOMAIN_ID']}]", "timeout_s=10")
    wait_until(lambda: beats, 30)
    wait_until(
        lambda: peer.call(Trigger, "control/reset_stop").success and not graph[-1].stopped, 10
    )
    if key == LONG_AWAITED:
        time.sleep(1.5 * HEARTBEAT_S)
    assert not graph[-1].stopped
    stop.press(key) if isinstance(key, str) else stop.process.send_signal(key)
    assert stop.process.wait(20) == 0, stop.shown
    assert graph[-1].stopped and graph[-1].reason == "the stop topic"
    wait_until(lambda: "stopped; the service control/reset_stop ends it" in stop.shown, 5)
    assert f"/control on domain {domain['ROS_DOMAIN_ID']}: stopped" in stop.shown and stop.restored


def test_without_a_terminal_keys_are_refused(domain):
    done = subprocess.run(
        [sys.executable, "-c", CODE, "keys"],
        env={**os.environ, **domain},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"needs a terminal" in done.stderr
