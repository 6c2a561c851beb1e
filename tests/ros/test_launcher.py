"""However the launcher ends, no process stays behind."""

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
import uuid
from dataclasses import replace

import pytest

from conure_core.errors import ConfigError, ConureError
from conure_ros.bringup import launcher
from conure_ros.bringup.graphs import CONTROL, GRAPHS, RECORDER, build_graph
from conure_ros.bringup.launcher import (
    ErrorLog,
    GraphError,
    RunningGraph,
    ros_environment,
    run_graph,
)
from conure_ros.bringup.line_printer import LinePrinter
from conure_ros.comms.domains import claim_domain
from conure_ros.comms.middleware import remove_dead_segments
from conure_ros.recording.trials import FILE_NAME, read_trials

pytestmark = pytest.mark.ros
GONE_S = 10.0
"""What a busy machine takes to end processes that end by themselves."""


@pytest.fixture
def mark():
    return f"CONURE_TEST_MARK={uuid.uuid4()}"


@pytest.fixture
def environment(mark, tmp_path):
    """With a domain that is this test's own: on ROS's default one, several tests would meet."""
    name, value = mark.split("=")
    with claim_domain() as number:
        yield {name: value, "ROS_LOG_DIR": str(tmp_path / "log"), "ROS_DOMAIN_ID": str(number)}


@pytest.mark.parametrize(
    ("number", "status", "graph", "nodes"),
    [
        (signal.SIGINT, 130, "sim", 5),
        (signal.SIGTERM, 143, "teleop", 3),
        (signal.SIGHUP, 129, "teleop", 3),
        (signal.SIGKILL, -signal.SIGKILL, "sim", 5),
    ],
)
def test_no_process_outlives_conure_up(
    number, status, graph, nodes, mark, environment, request, tmp_path, processes_with, wait_until
):
    words = ["up", f"graph={graph}", f"folder={tmp_path}"]
    if graph == "sim":
        words.append(f"bundle={request.getfixturevalue('bundle')}")
    code = "import sys; from conure_core.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        for line in process.stdout:
            if "up: " in line:
                break
        wait_until(
            lambda: len(processes_with(mark)) == 1 + nodes,
            GONE_S,
            "the launcher and its nodes; the manager has ended",
        )
        process.send_signal(number)
        assert process.wait(20) == status
    wait_until(lambda: not processes_with(mark), GONE_S)


def test_an_interrupted_evaluation_ends_at_once_and_keeps_its_trials(
    mark, environment, bundle, tmp_path, processes_with, wait_until
):
    code = "import sys; from conure_core.cli import main; sys.exit(main())"
    words = [
        "up",
        "graph=evaluate",
        f"bundle={bundle}",
        f"folder={tmp_path / 'trials'}",
        "timeout_s=0.5",
        "trials=50",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "trial 2/50" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert not [line for line in lines if "killed" in line or "Traceback" in line], "".join(lines)
    wait_until(lambda: not processes_with(mark), GONE_S)
    _, trials = read_trials(tmp_path / "trials" / FILE_NAME)
    assert [trial.seed for trial in trials[:2]] == [0, 1]
    assert all((tmp_path / "trials" / trial.recording).is_file() for trial in trials)


@pytest.fixture
def small_graph(monkeypatch):
    monkeypatch.setitem(GRAPHS, "small", build_graph(CONTROL, RECORDER))
    monkeypatch.setattr(launcher, "GRACE_S", 0.5)


def test_a_node_that_hangs_is_killed(small_graph, mark, environment, tmp_path, processes_with):
    with ros_environment() as variables:
        printer = LinePrinter()
        running = RunningGraph("small", {}, tmp_path, {**variables, **environment}, printer)
        running.start()
        for process in running.processes.values():
            process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        running.stop()
    assert time.monotonic() - began_s < 5
    assert not processes_with(mark)


def test_a_process_says_where_it_hangs_when_it_is_asked(environment):
    code = (
        "import time, conure_ros.comms.lifecycle as r\nwith r.ros_context():\n print(1,"
        " flush=True)\n time.sleep(9)"
    )
    words = [sys.executable, "-c", code]
    variables = {**os.environ, **environment}
    with subprocess.Popen(
        words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGUSR1)
        assert "most recent call first" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_a_node_that_dies_ends_the_graph_and_is_named(
    small_graph, mark, environment, processes_with
):
    with pytest.raises(GraphError, match=r"recorder ended with status 1 .*parameter folder"):
        run_graph("small", {"recorder.folder": 5}, environment=environment)
    assert not processes_with(mark)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("stale_period", 3.0, "stale_period'; did you mean 'stale_periods'"),
        ("stale_periods", "x", "parameter stale_periods of control"),
        ("stale_periods", 1000.0, "parameter stale_periods of control"),
    ],
)
def test_a_parameter_that_a_node_cannot_use_is_refused_by_name(
    small_graph, environment, name, value, reason
):
    with pytest.raises(ConureError, match=reason):
        run_graph("small", {f"control.{name}": value}, environment=environment)


def test_a_node_that_ends_with_a_traceback_is_told_with_its_last_line(
    monkeypatch, environment, processes_with, mark
):
    """The recorder's own error is logged; this one is nobody's, and comes before ROS begins."""
    monkeypatch.setitem(
        GRAPHS, "broken", build_graph(replace(RECORDER, module="conure_ros.no_such_module"))
    )
    wanted = (
        r"node recorder ended with status 1 - recorder: ModuleNotFoundError: No module named"
        r" .*no_such_module"
    )
    with pytest.raises(GraphError, match=wanted):
        run_graph("broken", environment=environment)
    assert not processes_with(mark)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["[INFO] fine", "[ERROR] no camera", "bye"], "n: no camera"),
        (
            [
                "Traceback (most recent call last):",
                '  File "x.py"',
                "TypeError: no",
                "",
                "[INFO] x",
            ],
            "n: TypeError: no",
        ),
        (
            ["[ERROR] first", "Traceback (most recent call last):", "  x", "KeyError: 1"],
            "n: KeyError: 1",
        ),
        (["libc: aborted"], "n: libc: aborted"),
        ([], ""),
    ],
)
def test_of_a_nodes_output_the_line_that_says_why_it_ended_is_told(lines, told):
    words = ErrorLog()
    for line in lines:
        words.add("n", line)
    assert words.causes("n") == told


def test_every_nodes_last_error_is_told_for_the_cause_is_often_anothers():
    words = ErrorLog()
    words.add("driver", "[ERROR] no port")
    words.add("manager", "[INFO] waiting")
    assert words.causes("manager") == "driver: no port; manager: [INFO] waiting"


def test_a_graph_whose_output_nobody_reads_any_more_ends_whole(
    small_graph, mark, environment, processes_with
):
    def closed(name, line):
        raise BrokenPipeError

    with pytest.raises(GraphError, match="the reader of the nodes' output is gone"):
        run_graph("small", {"recorder.folder": 5, "control.robot": "nope"}, closed, environment)
    assert not processes_with(mark)


NOISY = "while True: print('x' * 1000, flush=True)"
TO_NOBODY = f"""
import sys
from conure_ros.bringup import launcher
from conure_ros.bringup.graphs import CONTROL, GRAPHS, build_graph
GRAPHS["noisy"] = build_graph(CONTROL)
launcher.command_line = lambda *_: [sys.executable, "-c", {NOISY!r}]
print("starts", flush=True)
launcher.run_graph("noisy")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_graph_ends_when_told_to_though_its_output_is_a_page_that_nobody_turns(
    number, mark, environment, processes_with, wait_until
):
    """`conure up | less`, and a terminal that was stopped by Ctrl-Z does not stop it."""
    with subprocess.Popen(
        [sys.executable, "-c", TO_NOBODY],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline() == b"starts\n"
        wait_until(lambda: len(processes_with(mark)) == 3, 10, "control and manager")
        process.send_signal(signal.SIGTSTP)
        full = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ) - 4096
        waiting = array.array("i", [0])
        wait_until(
            lambda: (
                fcntl.ioctl(process.stdout, termios.FIONREAD, waiting) == 0 and waiting[0] > full
            ),
            10,
            "the pipe is full",
        )
        process.send_signal(number)
        assert process.wait(15) != 0
    assert not processes_with(mark)


def test_lines_are_printed_in_order_and_a_reader_that_is_gone_is_said(capfd, wait_until):
    with LinePrinter() as printer:
        for number in range(3):
            printer("control", f"line {number}")
    assert capfd.readouterr().out == "".join(f"   control | line {number}\n" for number in range(3))
    printer = LinePrinter()
    printer._gone = True
    with pytest.raises(BrokenPipeError):
        printer("control", "more")


@pytest.mark.parametrize(
    ("graph", "parameters", "reason"),
    [
        ("smi", {}, "did you mean 'sim'"),
        ("sim", {"bundel": "x"}, "did you mean 'bundle'"),
        ("sim", {"trials": 3}, "unknown argument of graph sim 'trials'"),
        ("sim", {"image_size_px": "large"}, "image_size_px must be of type int"),
    ],
)
def test_what_the_graph_does_not_know_is_refused_before_anything_starts(graph, parameters, reason):
    with pytest.raises(ConfigError, match=reason):
        run_graph(graph, parameters)


def test_a_domain_that_was_given_is_kept(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "77")
    with ros_environment() as variables:
        assert variables["ROS_DOMAIN_ID"] == "77"


def test_only_the_shared_memory_of_the_dead_is_removed(tmp_path):
    living, dead = f"fastrtps_{'a' * 16}", f"fastrtps_{'b' * 16}"
    for name in (living, dead):
        (tmp_path / name).write_bytes(b"segment")
        (tmp_path / f"{name}_el").touch()
    (tmp_path / "fastrtps_port7411_el").touch()
    assert remove_dead_segments(tmp_path) == 0, "too young to judge"
    with (tmp_path / f"{living}_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path, older_than_s=-1) == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        living,
        f"{living}_el",
        "fastrtps_port7411_el",
    }
