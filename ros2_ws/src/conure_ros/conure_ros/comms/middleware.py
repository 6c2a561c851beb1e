"""What the middleware leaves to its users: who may discover whom, which one it is, memory of the
dead. No ROS.
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
"""Distributions of ROS 2 that know LOCAL_ONLY and not RANGE. Those after them warn about
LOCAL_ONLY.
"""
FIRST_RCLPY_WITH_RANGE = 4


def knows_discovery_range(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this ROS 2 reads ROS_AUTOMATIC_DISCOVERY_RANGE: from Iron on."""
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
    """Keep discovery on this machine, unless the environment says otherwise.

    Somebody who set ROS_AUTOMATIC_DISCOVERY_RANGE to more keeps it, on every distribution. Humble
    does not know that variable and would let the whole network in: there ROS_LOCALHOST_ONLY says
    the same, unless it is set.
    """
    chosen = environment.setdefault(RANGE, "LOCALHOST")
    if chosen in ("LOCALHOST", "OFF") and not knows_discovery_range(environment):
        environment.setdefault(LOCAL_ONLY, "1")


def is_local(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether processes with this environment discover those of this machine only."""
    local_only = environment.get(LOCAL_ONLY) == "1"
    return local_only or (
        knows_discovery_range(environment) and environment.get(RANGE) in ("LOCALHOST", "OFF")
    )


def ways_to_reach(environment: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """Changes to the environment with which, taken together, every graph is reached that it lets be
    reached.

    Those that keep to this machine are always among them: OFF would not even reach these. From Iron
    on, a process whose discovery goes further finds them as well; on Humble nothing promises that.
    """
    if knows_discovery_range(environment):
        return [{RANGE: "LOCALHOST"}] if environment.get(RANGE) == "OFF" else [{}]
    return [{}] if is_local(environment) else [{}, {LOCAL_ONLY: "1"}]


def drop_unknown_middleware() -> str:
    """Take an RMW_IMPLEMENTATION that is not installed out of the environment: with it, rclpy ends
    the process.

    Before rclpy is imported. Returns its name, or ''.
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
    """Remove the shared memory of FastDDS processes that were killed; returns how many segments
    that were.

    A living process holds a lock on its segment's `_el` file. As `fastdds shm clean`, but nothing
    that is just being made is touched.
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
