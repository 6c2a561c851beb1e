"""What ends a node from outside: signals, and the end of its launcher. No ROS."""

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

LAUNCHER_VARIABLE = "CONURE_LAUNCHER_PID"
"""Id of the process without which a node must not run: `conure up`, or `ros2 launch`."""
GRACE_S = 3.0
"""Time from the interrupt of a node whose launcher is gone until it is killed."""
POLL_S = 0.05
_tied = threading.Event()


def tie_to_launcher() -> None:
    """Interrupt this process when its launcher ends, however it ends; kill it if it does not end
    then.

    The interrupt comes first, so that an arm is left in hold. Linux only; without a launcher
    nothing happens.
    """
    launcher = os.environ.get(LAUNCHER_VARIABLE, "")
    if _tied.is_set() or not launcher.isdecimal() or not sys.platform.startswith("linux"):
        return
    _tied.set()
    # Open the handle first, then check: an ancestor lives, so the number cannot belong to another
    # process by now.
    handle = _handle(int(launcher))
    if not is_ancestor(int(launcher)):
        sys.exit(f"the process {launcher} that started this node is gone")
    threading.Thread(
        target=_end_with, args=(int(launcher), handle), daemon=True, name="launcher's end"
    ).start()


def _handle(process: int) -> int | None:
    """A file descriptor that becomes readable when the process ends; None where the kernel lacks it
    (before 5.3).
    """
    try:
        return os.pidfd_open(process)
    except OSError:
        return None


def _end_with(launcher: int, handle: int | None) -> None:
    if handle is not None:
        select.select([handle], [], [])
    while is_ancestor(launcher):
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def is_ancestor(process: int) -> bool:
    """Whether that process started this one, directly or not. An orphan gets another parent."""
    current = os.getpid()
    while current > 1:
        current = _parent(current)
        if current == process:
            return True
    return False


def _parent(process: int) -> int:
    try:
        # The name, in parentheses, may hold any character.
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def end_first_without_memory() -> None:
    """Let the kernel end this process before all others when the computer's memory runs out.

    For a node that runs what somebody else made, and that cannot move the arm without the others.
    Linux only (proc_pid_oom_score_adj(5)).
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


@contextlib.contextmanager
def end_requests(wake: Callable[[], object]) -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set at once, even while the main thread waits in the
    middleware.

    `wake` is called afterwards, on another thread. For the main thread. The previous handlers
    return at the end, unless one of the signals came: the process is ending then, and a second
    signal must not kill it before it has.
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
    # Python runs a signal handler when the main thread gets to it; the byte is sent at once.
    fd_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked.is_set() else handler)
        signal.set_wakeup_fd(fd_before)
        sender.close()
        listener.join()
        receiver.close()
