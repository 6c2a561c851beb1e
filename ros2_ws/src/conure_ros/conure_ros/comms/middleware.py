"""Settings of the middleware: discovery range, RMW implementation, shared memory of dead processes.
No ROS.
"""

import contextlib
import ctypes
import fcntl
import importlib.metadata
import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
SEGMENT_LOCKS = "fastrtps_" + "[0-9a-f]" * 16 + "_el"
RANGE, LOCAL_ONLY, RMW = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "RMW_IMPLEMENTATION"
WITHOUT_RANGE = ("foxy", "galactic", "humble")
"""Distributions of ROS 2 that know LOCAL_ONLY but not RANGE. Later ones warn about LOCAL_ONLY.
"""
FIRST_RCLPY_WITH_RANGE = 4


def knows_discovery_range(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this ROS 2 reads ROS_AUTOMATIC_DISCOVERY_RANGE: since Iron."""
    name = environment.get("ROS_DISTRO", "")
    if name:
        return name not in WITHOUT_RANGE
    try:
        version = importlib.metadata.version("rclpy")
    except importlib.metadata.PackageNotFoundError:
        return True
    major = version.partition(".")[0]
    return not major.isdecimal() or int(major) >= FIRST_RCLPY_WITH_RANGE


def add_local_discovery(environment: MutableMapping[str, str]) -> None:
    """Limit discovery to this machine, unless the environment sets a range.

    A larger ROS_AUTOMATIC_DISCOVERY_RANGE stays, on every distribution. Humble does not know that
    variable and would discover the whole network: there ROS_LOCALHOST_ONLY has the same effect,
    unless it is set.
    """
    chosen = environment.setdefault(RANGE, "LOCALHOST")
    if chosen in ("LOCALHOST", "OFF") and not knows_discovery_range(environment):
        environment.setdefault(LOCAL_ONLY, "1")


def is_local(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether processes with this environment discover only those of this machine."""
    local_only = environment.get(LOCAL_ONLY) == "1"
    return local_only or (
        knows_discovery_range(environment) and environment.get(RANGE) in ("LOCALHOST", "OFF")
    )


WITHOUT_SHARED_MEMORY = {RANGE: "SYSTEM_DEFAULT", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
"""Changes to the environment that reach another user's processes, whose shared memory may not be
written to. Discovery within the machine only would use it all the same. FastDDS 2.11 and later.
"""


def ways_to_reach(environment: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """Changes to the environment that, together, reach every graph that this environment can reach.

    Discovery within this machine is always among them: OFF would not even reach that. Since Iron, a
    process with a wider range finds local ones as well; on Humble this is not guaranteed.
    """
    if knows_discovery_range(environment):
        return [{RANGE: "LOCALHOST"}] if environment.get(RANGE) == "OFF" else [{}]
    return [{}] if is_local(environment) else [{}, {LOCAL_ONLY: "1"}]


def drop_unknown_middleware() -> str:
    """Remove an RMW_IMPLEMENTATION that is not installed from the environment: rclpy would end the
    process.

    Call it before rclpy is imported. Returns its name, or ''.
    """
    name = os.environ.get(RMW, "")
    if not name:
        return ""
    try:
        ctypes.CDLL(f"lib{name}.{'dylib' if sys.platform == 'darwin' else 'so'}")
        return ""
    except OSError:
        del os.environ[RMW]
        return name


def remove_dead_segments(folder: Path = SHARED_MEMORY, older_than_s: float = 60.0) -> int:
    """Remove the shared memory of FastDDS processes that were killed.

    A living process holds a lock on its segment's `_el` file. Like `fastdds shm clean`, but
    segments that are just being made stay.

    Args:
        folder: Folder of the shared-memory files.
        older_than_s: Smallest age of a segment to remove, s.

    Returns:
        The number of removed segments.
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
