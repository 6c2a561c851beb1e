"""`conure stop`: every arm that can be reached stops and stays stopped until reset_stop. `key=true`
waits for a key.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, RobotError
from conure_ros.comms.domains import MOST
from conure_ros.comms.middleware import drop_unknown_middleware, is_local
from conure_ros.teleop.terminal import keyboard, require_terminal

if TYPE_CHECKING:
    from conure_ros.commands.stopping import Graphs

POLL_S = 0.02
SEARCH_S = 4.0
"""How long a process that has just begun may take to discover those of other machines; see
exclusive.DISCOVERY_S.
"""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class StopConfig:
    """What `conure stop` does."""

    key: bool = False
    """Wait for any key; meanwhile send the operator's heartbeat, if `heartbeat`."""
    heartbeat: bool = True
    timeout_s: float = 5.0
    """How long to ask for a confirmation."""
    domains: list[int] = field(default_factory=list)
    """The ROS domains to stop; empty: every one with a graph of this machine, that of
    ROS_DOMAIN_ID, and 0.
    """

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s must be positive, got {self.timeout_s}")
        wrong = [number for number in self.domains if not 0 <= number <= MOST]
        if wrong:
            raise ConfigError(f"domains must be 0 to {MOST}, got {wrong}")


def run(overrides: list[str]) -> None:
    """Stop the arm at once; stop key=true waits for a key.

    Raises: RobotError if not every control node that was seen, or none at all, says that its arm
    is stopped.
    """
    _leave_removed_folder()
    # Without overrides nothing is parsed: the arm moves meanwhile.
    config = (
        load_config("conure_ros.conf", "stop", StopConfig, overrides) if overrides else StopConfig()
    )
    if config.key:
        require_terminal("stop key=true")
    with opened_graphs(config.domains) as graphs:
        if config.key:
            say("any key stops every arm that can be reached, Ctrl-C as well")
            wait_for_key(lambda: graphs.wait(beat=config.heartbeat))
        stop_all(graphs, config.timeout_s)
    say("stopped; the service reset_stop ends it")


def _leave_removed_folder() -> None:
    """A working folder that was removed ends whoever asks for its name."""
    try:
        Path.cwd()
    except OSError:
        os.chdir("/")


@contextlib.contextmanager
def opened_graphs(domains: list[int]) -> Iterator["Graphs"]:
    """Raises: RobotError where ROS 2 is not installed."""
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
    """Ask every graph until all have confirmed, and say who did. Raises: RobotError if one has not
    in time.
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
        # All control nodes of this machine are known from the first; those of others have to be
        # discovered.
        if said and not missing and (local or waited_s > min(SEARCH_S, timeout_s)):
            return
        if waited_s > timeout_s:
            raise RobotError(_unconfirmed(missing, graphs, timeout_s))
        time.sleep(POLL_S)


def _unconfirmed(missing: list[str], graphs: "Graphs", timeout_s: float) -> str:
    who = "; ".join(missing) or f"no control node was found on the ROS domains {graphs.domains}"
    return f"not confirmed within {timeout_s:g} s that every arm is stopped: {who}; cut its power"


def wait_for_key(meanwhile: Callable[[], None]) -> None:
    """Returns with the first key pressed in this terminal, at Ctrl-C and SIGTERM, or when the
    terminal is gone.
    """
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
    """Print a line; an output that is gone must not keep the arm from being stopped."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream or sys.stdout, flush=True)
