"""The ROS domains that Conure's graphs use on this machine. No ROS.

Claims and announcements are names of abstract Unix sockets. No file is left behind: the kernel
frees a name when its process ends. Every user of the machine sees it, as far as the middleware
reaches (both end with the network namespace). Linux only; elsewhere nothing is announced, and a
graph needs ROS_DOMAIN_ID.
"""

import contextlib
import errno
import os
import random
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from conure_core.errors import ConfigError
from conure_ros.comms.middleware import RANGE, add_local_discovery, is_local

PREFIX = "conure-ros-domain-"
DOMAINS = range(1, 102)  # above 101 the ports collide with Linux's ephemeral ports
SOCKET_NAMES = Path("/proc/net/unix")
NAME_BYTES = 107
MOST = 232
"""The last domain whose ports exist. FastDDS ends a process that uses a larger one."""


@dataclass(frozen=True)
class LocalNode:
    """A node announced by a process of this machine. `kind` is the node's class, `name` its full
    name.
    """

    domain: int
    process: int
    kind: str
    name: str


def own_domain() -> int | None:
    """The domain in ROS_DOMAIN_ID; 0 if it is not set, None if it is not a valid domain."""
    given = os.environ.get("ROS_DOMAIN_ID", "").strip() or "0"
    return int(given) if _is_domain(given) else None


def describe_domain(variables: Mapping[str, str], shared: bool) -> str:
    """One line for a person: where the graph listens, and how others meet it.

    Args:
        variables: The nodes' environment variables.
        shared: Others belong to the graph.
    """
    number = variables["ROS_DOMAIN_ID"]
    if is_local(variables):
        reach = f"this machine only ({RANGE}=SUBNET reaches others)"
    else:
        reach = f"{RANGE} {variables.get(RANGE) or 'SUBNET'}"
    begun = "what belongs to it" if shared else "what is to meet it"
    return f"ROS domain {number}, {reach}; start {begun} with ROS_DOMAIN_ID={number}"


@contextlib.contextmanager
def claim_domain() -> Iterator[int]:
    """Claim a domain id that no other process on this machine uses, until the context ends.

    Among the free ids it prefers one that this user did not use recently: other processes have
    forgotten the last graph on it. Raises: ConfigError if all are taken.
    """
    taken = domains_in_use()
    used = {number: _last_used_s(number) for number in DOMAINS}
    for number in sorted(DOMAINS, key=lambda number: (used[number], random.random())):
        claim = None if number in taken else _bound(f"{PREFIX}{number}")
        if claim is not None:
            try:
                yield number
            finally:
                _note_use(number)
                claim.close()
            return
    raise ConfigError(
        f"all ROS domains {DOMAINS[0]}..{DOMAINS[-1]} are in use here; end a graph or set"
        " ROS_DOMAIN_ID"
    )


@contextlib.contextmanager
def announce_node(kind: str, name: str) -> Iterator[None]:
    """Let `conure stop` find this process's node, on whichever domain it runs. Never fails.

    Args:
        kind: Class name of the node, such as "ControlNode".
        name: Full name of the node, such as "/control".
    """
    token = secrets.token_hex(2)
    text = f"{PREFIX}{own_domain()}/{os.getpid()}.{token}/{kind}{name}"
    handle = None
    with contextlib.suppress(ConfigError):
        handle = _bound(text)
    try:
        yield
    finally:
        if handle is not None:
            handle.close()


def running_nodes() -> list[LocalNode]:
    """All nodes announced on this machine, including those that hang."""
    nodes = []
    for text in _names():
        domain, _, rest = text.partition("/")
        process, _, rest = rest.partition("/")
        kind, slash, name = rest.partition("/")
        number = process.partition(".")[0]
        if slash and _is_domain(domain) and number.isdecimal():
            nodes.append(LocalNode(int(domain), int(number), kind, f"/{name}"))
    return nodes


def domains_in_use() -> set[int]:
    """The domains on which a graph of this machine, of any user, runs or starts."""
    numbers = (text.partition("/")[0] for text in _names())
    return {int(number) for number in numbers if _is_domain(number)}


def domains_of_others() -> set[int]:
    """The domains on which a node of another user of this machine runs."""
    return {node.domain for node in running_nodes() if _is_of_another_user(node.process)}


def _is_of_another_user(process: int) -> bool:
    try:
        return Path(f"/proc/{process}").stat().st_uid != os.getuid()
    except OSError:
        return False


def join_running_graph() -> None:
    """Set this process's ROS domain to that of the graph that runs here, unless ROS_DOMAIN_ID is
    set.

    Call it before rclpy starts. Without a claimed domain on this machine, ROS's default stays.
    Raises: ConfigError naming the domains if there are several.
    """
    if "ROS_DOMAIN_ID" in os.environ:
        return
    taken = sorted(domains_in_use())
    if len(taken) > 1:
        raise ConfigError(
            f"several graphs run here, on ROS domains {taken}; set ROS_DOMAIN_ID to one of them"
        )
    if taken and taken != [0]:
        os.environ["ROS_DOMAIN_ID"] = str(taken[0])
        add_local_discovery(os.environ)


def _is_domain(text: str) -> bool:
    return text.isdecimal() and int(text) <= MOST


def _bound(name: str) -> socket.socket | None:
    """A socket that holds this name while it is open; None if the name is taken."""
    handle = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        handle.bind(b"\0" + name.encode(errors="replace")[:NAME_BYTES])
        return handle
    except OSError as error:
        handle.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise ConfigError(
            f"a ROS domain cannot be claimed here ({error}); set ROS_DOMAIN_ID"
        ) from error


def _names() -> Iterator[str]:
    """The part after PREFIX in the names of all sockets."""
    try:
        lines = SOCKET_NAMES.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, found, text = line.partition(f" @{PREFIX}")
        if found:
            yield text


def _own_folder() -> Path | None:
    """A folder of this user that no other user can write to; None if there is none."""
    folder = (
        Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"conure-{os.getuid()}"
    )
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if own else None


def _last_used_s(number: int) -> float:
    """Seconds since the epoch; 0 if the domain was never used, as far as known."""
    folder = _own_folder()
    try:
        return 0.0 if folder is None else (folder / f"domain-{number}").stat().st_mtime
    except OSError:
        return 0.0


def _note_use(number: int) -> None:
    folder = _own_folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            (folder / f"domain-{number}").touch()
