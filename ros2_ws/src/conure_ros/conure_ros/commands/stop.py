"""`conure stop`: every reachable arm stops, and stays stopped until reset_stop. `key=true` waits
for a key first.
"""

import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conure_core.config.loader import load_config
from conure_core.config.values import POSITIVE, bounds
from conure_core.errors import ConureError, RobotError
from conure_ros.comms.domains import MOST
from conure_ros.comms.middleware import drop_unknown_middleware, is_local
from conure_ros.teleop.terminal import keyboard, require_terminal

if TYPE_CHECKING:
    from conure_ros.commands.stopping import Graphs

POLL_S = 0.02
SEARCH_S = 4.0
"""How long a new process may take to discover those of other machines; see
sole_publisher.DISCOVERY_S.
"""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class StopConfig:
    """Options of `conure stop`."""

    key: bool = False
    """Wait for any key; meanwhile send the operator's heartbeat, if `heartbeat`."""
    heartbeat: bool = True
    timeout_s: float = field(default=5.0, metadata=POSITIVE)
    """How long to repeat the request, s."""
    domains: list[int] = field(default_factory=list, metadata=bounds(0, MOST))
    """ROS domains to stop; empty: those of this machine's graphs, of ROS_DOMAIN_ID, and 0.
    """


def run(overrides: list[str]) -> None:
    """Stop the arm at once; stop key=true waits for a key.

    Raises: RobotError unless at least one control node was found, and all of them confirm the
    stop.
    """
    _leave_removed_folder()
    warnings.simplefilter("ignore")  # PYTHONWARNINGS=error would make errors of them
    # Without overrides, skip parsing: the arm moves meanwhile.
    config = (
        load_config("conure_ros.conf", "stop", StopConfig, overrides) if overrides else StopConfig()
    )
    if config.key:
        require_terminal("stop key=true")
    try:
        with open_graphs(config.domains) as graphs:
            if config.key:
                say("any key stops every arm that can be reached, Ctrl-C as well")
                wait_for_key(lambda: graphs.wait(beat=config.heartbeat))
            stop_all(graphs, config.timeout_s)
    except ConureError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RobotError(f"the stop failed ({why}); cut the arm's power") from error
    say("stopped; the service control/reset_stop ends it")


def _leave_removed_folder() -> None:
    """Leave a working folder that was removed: libraries that ask for its name would fail."""
    try:
        Path.cwd()
    except OSError:
        os.chdir("/")


@contextlib.contextmanager
def open_graphs(domains: list[int]) -> Iterator["Graphs"]:
    """Open all reachable graphs. Raises: RobotError if ROS 2 is not installed."""
    unknown = drop_unknown_middleware()
    if unknown:
        say(
            f"RMW_IMPLEMENTATION={unknown} is not installed here: the default middleware is used",
            sys.stderr,
        )
    try:
        from conure_ros.commands.stopping import Graphs
    except ModuleNotFoundError as error:
        raise RobotError(
            f"conure stop needs '{error.name}', which is not installed; cut the arm's power"
        ) from error
    graphs = Graphs(domains)
    try:
        yield graphs
    finally:
        graphs.close()


def stop_all(graphs: "Graphs", timeout_s: float) -> None:
    """Request a stop from every graph until all have confirmed it; print each confirmation.

    Args:
        graphs: The reachable graphs.
        timeout_s: How long to repeat the request, s.

    Raises:
        RobotError: One did not confirm in time; the message names it.
    """
    began_s, local = time.monotonic(), is_local()
    said: set[str] = set()
    while True:
        graphs.ask()
        for line in graphs.confirmed():
            if line not in said:
                said.add(line)
                say(line)
        waited_s = time.monotonic() - began_s
        missing = graphs.missing()
        # This machine's control nodes are known at once; those of others must be discovered.
        if said and not missing and (local or waited_s > min(SEARCH_S, timeout_s)):
            return
        if waited_s > timeout_s:
            raise RobotError(_unconfirmed(missing, graphs, timeout_s))
        time.sleep(POLL_S)


def _unconfirmed(missing: list[str], graphs: "Graphs", timeout_s: float) -> str:
    who = "; ".join(missing) or f"no control node was found on the ROS domains {graphs.domains}"
    return f"not confirmed within {timeout_s:g} s that every arm is stopped: {who}; cut its power"


def wait_for_key(meanwhile: Callable[[], None]) -> None:
    """Wait for any key in this terminal, Ctrl-C, SIGTERM, or the end of the terminal."""
    ended: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _: ended.append(received))
        for number in ENDING
    }
    try:
        with keyboard() as keys:
            while not ended and keys.read(POLL_S) == b"":
                meanwhile()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str, stream: Any = None) -> None:
    """Print a line. A closed output must not keep the arm from being stopped.

    Args:
        text: The line.
        stream: Where to; None: standard output.
    """
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream or sys.stdout, flush=True)
