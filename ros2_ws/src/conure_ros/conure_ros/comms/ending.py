"""What ends a node from outside: signals, and the end of the process that started it. No ROS."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

STARTER_VARIABLE = "CONURE_STARTER_PID"
"""The process without which a node must not run: `conure up`, or `ros2 launch`."""
GRACE_S = 3.0
"""From the interrupt of a node whose starter is gone until it is killed."""
POLL_S = 0.05
_tied = threading.Event()


def tie_to_starter() -> None:
    """From now on this process is interrupted when its starter ends, however that ends, and killed
    if it goes on.

    An interrupt first, so that an arm is left in hold. Linux; elsewhere, or without a starter,
    nothing happens.
    """
    starter = os.environ.get(STARTER_VARIABLE, "")
    if _tied.is_set() or not starter.isdecimal() or not sys.platform.startswith("linux"):
        return
    _tied.set()
    # First the handle, then the look: an ancestor lives, so that the number cannot be another
    # process's by now.
    handle = _handle(int(starter))
    if not is_ancestor(int(starter)):
        sys.exit(f"the process {starter} that started this node is gone")
    threading.Thread(
        target=_end_with, args=(int(starter), handle), daemon=True, name="starter's end"
    ).start()


def _handle(process: int) -> int | None:
    """What becomes readable at the end of the process; None where the kernel has no such thing
    (before 5.3).
    """
    try:
        return os.pidfd_open(process)
    except OSError:
        return None


def _end_with(starter: int, handle: int | None) -> None:
    if handle is not None:
        select.select([handle], [], [])
    while is_ancestor(starter):
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def is_ancestor(process: int) -> bool:
    """Whether that process started this one, directly or not. Whoever loses its parent gets
    another.
    """
    current = os.getpid()
    while current > 1:
        current = _parent(current)
        if current == process:
            return True
    return False


def _parent(process: int) -> int:
    try:
        # The name, in brackets, may hold anything.
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


@contextlib.contextmanager
def end_requests(wake: Callable[[], object]) -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set at once, even while the main thread waits in the
    middleware.

    `wake` is called after it, on another thread. For the main thread; the handlers of before are
    back at the end.
    """
    asked = threading.Event()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def listen() -> None:
        while receiver.recv(1):
            asked.set()
            wake()

    listener = threading.Thread(target=listen, daemon=True, name="signals")
    listener.start()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    # Python's own part of a signal is done when the main thread comes to it; the byte is sent at
    # once.
    fd_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd_before)
        sender.close()
        listener.join()
        receiver.close()
