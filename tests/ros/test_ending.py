"""A node ends with whoever started it, in order, and for what a callback raised; an arm is left in
hold.
"""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import rclpy

from conure_ros.comms.lifecycle import create_or_exit, shut_down, until_shutdown

pytestmark = pytest.mark.nodes

NODE = """
    from conure_ros.comms.lifecycle import ManagedNode, run_node

    class Moving(ManagedNode):
        def __init__(self):
            super().__init__("moving")

        def configure(self):
            self.steady_timer(0.05, self.tick)

        def activate(self):
            print("moves", flush=True)

        def deactivate(self):
            print("holds", flush=True)

        def release(self):
            print("released", flush=True)

        def tick(self):
            {tick}

    def create():
        node = Moving()
        node.trigger_configure()
        node.trigger_activate()
        return node

    run_node(create)
"""
# A launcher that runs the rest of its words as a child, and then what is asked of it.
LAUNCHER = """
    import os, subprocess, sys, threading, time
    child = None
    def start():
        global child
        child = subprocess.Popen(sys.argv[1:], env={**os.environ, "CONURE_LAUNCHER_PID": str(os.getpid())})
        print(child.pid, flush=True)
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    time.sleep(60)
"""
STUBBORN = """
    import signal, time
    from conure_ros.comms import ending
    ending.GRACE_S = 0.3
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending.tie_to_launcher()
    print("tied", flush=True)
    time.sleep(60)
"""


def code(text):
    return [sys.executable, "-c", textwrap.dedent(text)]


def is_there(process):
    try:
        os.kill(process, 0)
        return True
    except ProcessLookupError:
        return False


@pytest.fixture
def begin(domain):
    """Starts a program; its output is read as text."""
    begun = []

    def started(words, **variables):
        process = subprocess.Popen(
            words,
            env={**os.environ, **domain, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield started
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_node_that_is_told_to_end_holds_first_and_a_second_request_changes_nothing(begin, number):
    """The shell's Ctrl-C reaches a node, and `ros2 launch` without a terminal interrupts it again."""
    again = f"    import os; os.kill(os.getpid(), {int(number)})\n"
    process = begin(code(NODE.format(tick="pass") + again))
    assert process.stdout.readline() == "moves\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "holds\nreleased\n"), errors
    assert "Traceback" not in errors


def test_a_node_whose_callback_raises_holds_says_why_and_ends(begin):
    process = begin(code(NODE.format(tick="raise ValueError('no such joint')")))
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "moves\nholds\nreleased\n"), errors
    assert errors.strip().splitlines()[-1].endswith("ended by ValueError: no such joint")


def test_a_node_whose_launcher_is_killed_holds_and_ends(begin, wait_until):
    launcher = begin([*code(LAUNCHER), *code(NODE.format(tick="pass"))])
    node = int(launcher.stdout.readline())
    assert launcher.stdout.readline() == "moves\n", (
        "its launcher lives, though not the thread that started it"
    )
    launcher.send_signal(signal.SIGKILL)
    output, errors = launcher.communicate(timeout=10)
    assert output == "holds\nreleased\n", errors
    wait_until(lambda: not is_there(node), 5)


def test_a_node_that_does_not_end_with_its_launcher_is_killed(begin, wait_until):
    launcher = begin([*code(LAUNCHER), *code(STUBBORN)])
    node = int(launcher.stdout.readline())
    assert launcher.stdout.readline() == "tied\n"
    launcher.send_signal(signal.SIGKILL)
    launcher.wait(5)
    wait_until(lambda: not is_there(node), 5)


def test_where_the_kernel_tells_no_end_of_a_process_its_parents_are_looked_at(begin, wait_until):
    blind = STUBBORN.replace(
        "ending.GRACE_S", "ending._handle = lambda process: None\n    ending.GRACE_S"
    )
    launcher = begin([*code(LAUNCHER), *code(blind)])
    node = int(launcher.stdout.readline())
    assert launcher.stdout.readline() == "tied\n"
    launcher.send_signal(signal.SIGKILL)
    launcher.wait(5)
    wait_until(lambda: not is_there(node), 5)


def test_a_node_does_not_start_without_the_launcher_that_it_was_started_by(begin):
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = begin(code(NODE.format(tick="pass")), CONURE_LAUNCHER_PID=str(gone.pid))
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (1, "")
    assert f"the process {gone.pid} that started this node is gone" in errors


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels choose by themselves")
def test_where_memory_runs_out_the_policy_ends_before_control_and_driver():
    code = """
        from pathlib import Path
        from conure_ros.nodes import policy_node
        policy_node.run_node = lambda node: print(Path("/proc/self/oom_score_adj").read_text())
        policy_node.main()
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(words, capture_output=True, text=True).stdout.strip() == "1000"


@pytest.mark.parametrize("raised", [RuntimeError("context is invalid"), KeyError("x")])
def test_an_interrupt_while_a_node_is_made_ends_it_without_a_traceback_and_without_a_fault(raised):
    """The interrupt has ended the context of ROS; what the middleware then raises is of any kind."""

    def make():
        raise raised

    assert not rclpy.ok()
    with pytest.raises(SystemExit) as ended:
        create_or_exit(make)
    assert ended.value.code == 0


def test_what_a_node_raises_without_an_interrupt_is_not_hidden(context):
    def make():
        raise KeyError("x")

    with pytest.raises(KeyError):
        create_or_exit(make)


INTERRUPTED = """
    import os, sys
    from importlib import abc

    class Interrupt(abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "rclpy":
                os.kill(os.getpid(), int(sys.argv[1]))
                time.sleep(5)

    import time
    sys.meta_path.insert(0, Interrupt())
    sys.argv[0] = "/opt/ros/lib/conure_ros/control_node"
    from conure_ros.bringup.node_process import main
    main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_nodes_executable_that_is_told_to_end_while_it_imports_ends_at_once_and_quietly(
    domain, number
):
    done = subprocess.run(
        [*code(INTERRUPTED), str(int(number))],
        env={**os.environ, **domain},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class LookedBefore(contextlib.ExitStack):
    """rclpy's handle of a context that an interrupt ends between the look and the call."""

    def __init__(self, handle):
        super().__init__()
        self.shutdown, self._looks, self._ok = handle.shutdown, [True], handle.ok

    def ok(self):
        return self._looks.pop() if self._looks else self._ok()


@pytest.mark.parametrize("own", [True, False])
def test_a_context_that_an_interrupt_ended_before_is_shut_down_without_an_error(own, monkeypatch):
    monkeypatch.setattr(rclpy.utilities, "g_default_context", None)
    context = rclpy.Context() if own else rclpy.get_default_context()
    rclpy.init(context=context, domain_id=0)
    context.shutdown()
    handle = LookedBefore(context._Context__context)
    monkeypatch.setattr(context, "_Context__context", handle)
    shut_down(context if own else None)
    assert not handle._looks
    shut_down(context if own else None)


def test_an_error_of_a_call_is_none_once_the_context_has_ended(monkeypatch):
    monkeypatch.setattr(rclpy, "ok", lambda: False)
    with until_shutdown():
        raise RuntimeError("failed to create a wait set: context is shut down")
    monkeypatch.setattr(rclpy, "ok", lambda: True)
    with pytest.raises(RuntimeError, match="wait set"), until_shutdown():
        raise RuntimeError("failed to create a wait set")
