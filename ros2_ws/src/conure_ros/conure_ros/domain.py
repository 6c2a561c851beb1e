"""A ROS domain of one's own on this machine, so that two graphs never meet. No ROS."""

import contextlib
import fcntl
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conure_core.errors import ConfigError

DOMAINS = range(1, 102)  # beyond 101 the ports collide with those that Linux hands out


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """A domain id that nobody else on this machine has claimed, given back at the end, however that comes.

    Raises: ConfigError if all are taken.
    """
    order = list(DOMAINS)
    random.shuffle(order)
    for number in order:
        handle = _locked(Path(tempfile.gettempdir()) / f"conure-ros-domain-{number}.lock")
        if handle is not None:
            try:
                yield number
            finally:
                os.close(handle)
            return
    raise ConfigError(f"all ROS domains {DOMAINS[0]}..{DOMAINS[-1]} are in use here; end a graph or set ROS_DOMAIN_ID")


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
