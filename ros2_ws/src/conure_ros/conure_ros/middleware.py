"""What the middleware leaves to its users: a ROS domain that nobody else has, and shared memory of the dead. No ROS."""

import contextlib
import fcntl
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from conure_core.errors import ConfigError

SHARED_MEMORY = Path("/dev/shm")
SEGMENT_LOCKS = "fastrtps_" + "[0-9a-f]" * 16 + "_el"
DOMAINS = range(1, 102)  # beyond 101 the ports collide with those that Linux hands out


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """A domain id that nobody else on this machine has claimed, given back at the end, however that comes.

    Of the free ones, one that was not used for long: what the last graph on it left is forgotten by then.
    Raises: ConfigError if all are taken.
    """
    for number in sorted(DOMAINS, key=lambda number: (_last_used_s(_lock_file(number)), random.random())):
        handle = _locked(_lock_file(number))
        if handle is not None:
            try:
                yield number
            finally:
                os.utime(handle)
                os.close(handle)
            return
    raise ConfigError(f"all ROS domains {DOMAINS[0]}..{DOMAINS[-1]} are in use here; end a graph or set ROS_DOMAIN_ID")


def join_running_graph() -> None:
    """Set this process's ROS domain to that of the graph that `conure up` runs here, unless one is set.

    Before rclpy begins. Where no graph of this machine has a domain of its own, ROS's default stays.
    Raises: ConfigError naming the domains if there are several.
    """
    if "ROS_DOMAIN_ID" in os.environ:
        return
    taken = [number for number in DOMAINS if _lock_file(number).exists() and _is_locked(_lock_file(number))]
    if len(taken) > 1:
        raise ConfigError(
            f"several graphs run here, on ROS domains {taken}; set ROS_DOMAIN_ID to the one that is meant"
        )
    for number in taken:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def _last_used_s(path: Path) -> float:
    """Seconds since the epoch; 0 for a domain that never was."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; it is not taken."""
    handle = _locked(path)
    if handle is None:
        return True
    os.close(handle)
    return False


def _lock_file(number: int) -> Path:
    return Path(tempfile.gettempdir()) / f"conure-ros-domain-{number}.lock"


def _locked(path: Path) -> int | None:
    """A handle that holds the lock until it is closed; None if another process, or another user, has it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    except OSError:
        os.close(handle)
        return None


def remove_dead_segments(folder: Path = SHARED_MEMORY, older_than_s: float = 60.0) -> int:
    """Remove the shared memory of FastDDS processes that were killed; returns how many segments that were.

    A living process holds a lock on its segment's `_el` file. As `fastdds shm clean`, but nothing that is just being
    made is touched.
    """
    removed = 0
    for path in folder.glob(SEGMENT_LOCKS):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if time.time() - path.stat().st_mtime > older_than_s:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.with_name(path.name.removesuffix("_el")).unlink(missing_ok=True)
                    path.unlink()
                    removed += 1
            finally:
                os.close(handle)
    return removed
