"""Starts a graph's nodes as processes, like `ros2 launch`, and leaves none behind. No ROS."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from conure_core.errors import ConureError
from conure_ros.bringup.bundle_task import differences
from conure_ros.bringup.graph_parameters import file_parameters, node_parameters, write_parameters
from conure_ros.bringup.graphs import NodeSpec, command_line, find_graph, meets_others
from conure_ros.bringup.line_printer import LinePrinter
from conure_ros.comms.domains import claim_domain, describe_domain
from conure_ros.comms.ending import LAUNCHER_VARIABLE
from conure_ros.comms.graph_identity import GRAPH_VARIABLE, new_graph_id
from conure_ros.comms.middleware import add_local_discovery, remove_dead_segments

GRACE_S = 5.0
STACK_DUMP_S = 0.3
LAST_LINES_S = 1.0
"""How long to wait for a dead node's output: its children may hold it open."""
POLL_S = 0.1
OnLine = Callable[[str, str], None]


class GraphError(ConureError):
    """A node refused to start, or ended unexpectedly."""


def run_graph(
    graph: str,
    parameters: Mapping[str, Any] | None = None,
    on_line: OnLine | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a graph until the node that ends it is done, or without such a node until an interrupt.

    Args:
        graph: Name of the graph.
        parameters: Values by graph argument or by `node.parameter`.
        on_line: Receives a node's name and a line of its output; None: print it.
        environment: Variables that are added to the nodes' environment.

    Raises:
        GraphError: A node failed; the message names it and why.
        KeyboardInterrupt: SIGINT came.
        SystemExit: Another signal came; the status is 128 plus its number.
    """
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(_deferred_signals())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conure-")))
        shared = meets_others(graph, parameters)
        variables = {**stack.enter_context(ros_environment(shared)), **(environment or {})}
        on_line = on_line or stack.enter_context(LinePrinter())
        running = RunningGraph(graph, dict(parameters or {}), folder, variables, on_line)
        try:
            on_line("up", describe_domain(variables, shared))
            running.start()
            running.wait(signals)
        except BrokenPipeError as error:
            raise GraphError(
                "the reader of the nodes' output is gone: the graph was ended"
            ) from error
        finally:
            running.stop()
    if signals:
        raise KeyboardInterrupt if signals[0] == signal.SIGINT else SystemExit(128 + signals[0])


class RunningGraph:
    """The processes of one graph. Each has its own session; its output is read line by line."""

    def __init__(
        self,
        graph: str,
        parameters: dict[str, Any],
        folder: Path,
        environment: dict[str, str],
        on_line: OnLine,
    ) -> None:
        self.nodes = find_graph(graph, parameters)
        self._parameters, self._given = node_parameters(graph, parameters), parameters
        self._folder, self._on_line = folder, on_line
        self._environment = {**environment, GRAPH_VARIABLE: new_graph_id()}
        self._lines: queue.Queue[tuple[str, str]] = queue.Queue()
        self._readers: dict[str, threading.Thread] = {}
        self._words = ErrorLog()
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self) -> None:
        for note in differences(self._given):
            self._on_line("conure", note)
        for node in self.nodes:
            self.start_node(node, self._parameters[node.name])

    def start_node(self, node: NodeSpec, parameters: Mapping[str, Any]) -> None:
        """Start one node: one of the graph again, or another beside it.

        Args:
            node: The node.
            parameters: Values by name; they override those in the node's file.
        """
        # One file: with two, ROS silently takes the first value of a parameter if the types differ.
        path = write_parameters(
            self._folder / f"{node.name}.yaml", {**file_parameters(node), **parameters}
        )
        self._start(node, command_line(node, [path], self._given))

    def parameters(self, name: str) -> dict[str, Any]:
        """The parameters that a node was started with, beyond its file."""
        return dict(self._parameters[name])

    def forward_lines(self, timeout_s: float) -> None:
        """Pass waiting output lines on; for callers that poll instead of calling `wait`."""
        self._forward(timeout_s)

    def _start(self, node: NodeSpec, words: list[str]) -> None:
        process = subprocess.Popen(
            words,
            env={**node.environment(), **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.processes[node.name] = process
        reader = threading.Thread(target=self._read, args=(node.name, process.stdout), daemon=True)
        reader.start()
        self._readers[node.name] = reader

    def _read(self, name: str, output: IO[str]) -> None:
        for line in output:
            self._lines.put((name, line.rstrip("\n")))

    def wait(self, interrupted: list[int]) -> None:
        """Wait until the graph ends or a signal came. Raises: GraphError."""
        while not interrupted:
            self._forward(POLL_S)
            for node in self.nodes:
                status = self.processes[node.name].poll()
                if status is None or (status == 0 and node.ends == "when done"):
                    continue
                if status == 0 and node.ends == "the graph":
                    return
                raise GraphError(self._explain(node.name, status))

    def _forward(self, timeout_s: float) -> None:
        """Pass waiting output lines on. Waits at most this long for the first one."""
        with contextlib.suppress(queue.Empty):
            name, line = self._lines.get(timeout=timeout_s)
            while True:
                self._words.add(name, line)
                self._on_line(name, line)
                name, line = self._lines.get_nowait()

    def _explain(self, name: str, status: int) -> str:
        """The failure and every node's last error: the cause is often in another node."""
        self._readers[name].join(LAST_LINES_S)
        for _ in range(3):
            self._forward(POLL_S)
        how = (
            f"was killed by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with status {status}"
        )
        causes = self._words.causes(name)
        return f"node {name} {how}{' - ' + causes if causes else ''}"

    def stop(self) -> None:
        """Send SIGINT to every node, then SIGKILL to those left after GRACE_S. Returns when all
        have ended.

        Before SIGKILL, a node that hangs prints its stacks, see lifecycle.ros_context.
        """
        self._on_line = _without_errors(self._on_line)
        self._signal(signal.SIGINT)
        deadline_s = time.monotonic() + GRACE_S
        while (
            any(process.poll() is None for process in self.processes.values())
            and time.monotonic() < deadline_s
        ):
            self._forward(0.02)
        late = [name for name, process in self.processes.items() if process.poll() is None]
        for name in late:
            self._on_line(name, f"did not end within {GRACE_S:.0f} s: killed")
        if late:
            self._signal(signal.SIGUSR1)
            deadline_s = time.monotonic() + STACK_DUMP_S
            while time.monotonic() < deadline_s:
                self._forward(0.02)
        self._signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()
        for reader in self._readers.values():
            reader.join(1.0)
        self._forward(0.0)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)


@contextlib.contextmanager
def ros_environment(shared: bool = False) -> Iterator[dict[str, str]]:
    """The nodes' environment variables, with local discovery unless a range is set.

    Args:
        shared: Others belong to the graph, so that it uses ROS's default domain. Otherwise it gets
            one of its own. ROS_DOMAIN_ID, where it is set, comes before both.
    """
    remove_dead_segments()
    defaults = {
        # Numerical libraries that spin a thread on every core would starve the control loop.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    fixed = {
        "RCUTILS_CONSOLE_OUTPUT_FORMAT": "[{severity}] {message}",
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "PYTHONUNBUFFERED": "1",
        LAUNCHER_VARIABLE: str(os.getpid()),
        "ROS_LOG_DIR": str(_log_folder()),
    }
    variables = {**defaults, **os.environ, **fixed}
    add_local_discovery(variables)
    with contextlib.ExitStack() as stack:
        if not os.environ.get("ROS_DOMAIN_ID"):
            number = 0 if shared else stack.enter_context(claim_domain())
            variables["ROS_DOMAIN_ID"] = str(number)
        yield variables


def _log_folder() -> Path:
    """Where the nodes write their logs: ROS_LOG_DIR, or out/log/ros, or where neither can be
    written a folder for temporary files. Without one no node starts.
    """
    wanted = Path(os.environ.get("ROS_LOG_DIR") or "out/log/ros").resolve()
    if wanted == Path(os.devnull) or _is_writable(wanted):
        return wanted
    instead = Path(tempfile.gettempdir()) / f"conure-log-{os.getuid()}"
    print(f"logs go to {instead}: {wanted} cannot be written (ROS_LOG_DIR)", file=sys.stderr)
    return instead


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@contextlib.contextmanager
def _deferred_signals() -> Iterator[list[int]]:
    """Note SIGINT, SIGTERM and SIGHUP in the list instead of raising: none may interrupt a start or
    an end. Ctrl-Z does nothing: nodes whose output nobody takes would come to a halt.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    # SIGHUP: a closed terminal; `nohup` ignores it.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda received, _: noted.append(received))
        for number in numbers
    }
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ErrorLog:
    """The lines of the nodes' output that explain why one of them ended."""

    def __init__(self) -> None:
        self._errors: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._in_traceback: set[str] = set()

    def add(self, name: str, line: str) -> None:
        """Note a line if it is logged as an error or ends a traceback.

        Args:
            name: The node.
            line: One line of its output.
        """
        if line.startswith(("[ERROR]", "[FATAL]")):
            self._errors[name] = line.split("] ", 1)[-1]
        elif line.startswith("Traceback (most recent call last)"):
            self._in_traceback.add(name)
        elif name in self._in_traceback and line.strip() and not line[0].isspace():
            self._in_traceback.remove(name)
            self._errors[name] = line
        if line.strip():
            self._last[name] = line.strip()

    def causes(self, ended: str) -> str:
        """Every node's last error. For the node that ended without one: its last line."""
        errors = {**self._errors, ended: self._errors.get(ended) or self._last.get(ended, "")}
        return "; ".join(f"{name}: {error}" for name, error in errors.items() if error)


def _without_errors(on_line: OnLine) -> OnLine:
    """The same function without exceptions, for the shutdown: a reader may be gone, and no node may
    stay behind.
    """

    def forward(name: str, line: str) -> None:
        with contextlib.suppress(Exception):
            on_line(name, line)

    return forward
