"""One entry at work: its commands one after another, each a process that can be resumed.

The processes end with the runner that started them.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from conure_core.errors import ConureError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.processes import ended_with_this_process
from conure_experiments.ledger import resolve_path, resolve_word
from conure_experiments.plan import Command, Entry

LOCK = ".lock"
STATE = "state.json"
LOG = "log.txt"
GRACE_S = 20.0
SAVE_EVERY_S = 5.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
CONURE = ("-c", "import sys; from conure_core.cli import main; sys.exit(main())")
EXPERIMENT = (str(Path(__file__).resolve().parent.parent / "run.py"), "experiment")


class Held(ConureError):
    """The entry is at work in another process."""


@dataclass(frozen=True)
class State:
    """How far an entry is; `seconds` of work by command, over all interruptions; `failure` empty:
    none.
    """

    digest: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    failure: str = ""


def read_state(out: Path, entry: Entry) -> State:
    """Read the state of this entry.

    Args:
        out: Folder of the runs.
        entry: The entry, as the plan has it now.

    Returns:
        The state; an empty one, without a digest, if there is none or one of other commands.
    """
    with suppress(OSError, ValueError, TypeError):
        state = State(**json.loads((out / entry.key / STATE).read_text()))
        if state.digest == entry.digest:
            return state
    return State()


def is_ready(out: Path, entry: Entry) -> bool:
    """Say whether everything that others may need of this entry is there.

    Args:
        out: Folder of the runs.
        entry: The entry.

    Returns:
        True if the entry is finished and every result exists.
    """
    whole = all(resolve_path(command.result, out).exists() for command in entry.commands.values())
    return whole and read_state(out, entry).finished


def holder(out: Path, entry: Entry) -> int | None:
    """Find the process that has this entry at work.

    Args:
        out: Folder of the runs.
        entry: The entry.

    Returns:
        Its process id, 0 if the lock does not say; None if nobody has it.
    """
    try:
        with (out / entry.key / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        with suppress(OSError, ValueError):
            return int((out / entry.key / LOCK).read_text())
        return 0
    return None


def _remove_outputs(out: Path, entry: Entry) -> None:
    """Remove what the entry's commands wrote, and its state."""
    for command in entry.commands.values():
        path = resolve_path(command.out, out)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    (out / entry.key / STATE).unlink(missing_ok=True)


class Job:
    """An entry, held by a lock, with at most one process of its own at a time.

    Raises: Held if another process has it.
    """

    def __init__(
        self,
        entry: Entry,
        out: Path,
        cores: set[int],
        niceness: int,
    ) -> None:
        self.entry = entry
        self._out = out
        self._cores = cores
        self._niceness = niceness
        self.folder = out / entry.key
        self._lock = _lock_folder(self.folder, entry)
        before = read_state(out, entry)
        if not before.digest:  # what other commands left is not to be mistaken for theirs
            _remove_outputs(out, entry)
        self.state = State(entry.digest, before.seconds)
        self._save()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting = [
            label
            for label, command in entry.commands.items()
            if not resolve_path(command.result, out).exists()
        ]
        self._label = ""
        self._began_s = self._saved_s = time.monotonic()

    @property
    def log(self) -> Path:
        """What the commands printed."""
        return self.folder / LOG

    def advance(self) -> bool:
        """Start what is next; False when the entry is at its end, with or without a failure."""
        if self._process is not None:
            status = self._process.poll()
            self._count(force=status is not None)
            if status is None:
                return True
            self._handle_end(status)
        if self.state.failure or not self._waiting:
            self.state = replace(self.state, finished=not self.state.failure)
            self._save()
            self.close()
            return False
        self._label = self._waiting.pop(0)
        self._start(self.entry.commands[self._label])
        return True

    def stop(self) -> None:
        """Interrupt the process; what it has finished, or checkpointed, is kept."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Returns when no process of the entry is left, and lets go of the lock."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
            self._sweep()
            self._count(force=True)
            self._process = None
        if not self._lock.closed:
            self._lock.truncate(0)
            self._lock.close()

    def _start(self, command: Command) -> None:
        program = EXPERIMENT if command.verb == "experiment" else (*CONURE, command.verb)
        words = (*command.words, f"out={command.out}")
        parts = [sys.executable, *program, *(resolve_word(word, self._out) for word in words)]
        with self.log.open("ab") as log:
            log.write(f"$ conure {command.line}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                parts,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,
                pass_fds=(self._lock.fileno(),),  # the lock lasts as long as the process
                preexec_fn=_prepare_child(self._cores, self._niceness),
            )
        self._began_s = time.monotonic()

    def _handle_end(self, status: int) -> None:
        self._sweep()
        self._process = None
        result = resolve_path(self.entry.commands[self._label].result, self._out)
        if status != 0 or not result.exists():
            said = _last_line(self.log) if status else f"wrote no {result}"
            failure = f"{self._label} ended with status {status}: {said}"
            self.state = replace(self.state, failure=failure)
            self._save()

    def _count(self, force: bool) -> None:
        now_s = time.monotonic()
        if force or now_s - self._saved_s > SAVE_EVERY_S:
            seconds = self.state.seconds.get(self._label, 0.0) + now_s - self._began_s
            self.state = replace(self.state, seconds={**self.state.seconds, self._label: seconds})
            self._began_s = self._saved_s = now_s
            self._save()

    def _sweep(self) -> None:
        """Workers that their parent left behind."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _save(self) -> None:
        write_json(self.folder / STATE, asdict(self.state))


def _lock_folder(folder: Path, entry: Entry) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        lock.close()
        raise Held(
            f"{entry.key} is at work in process {pid}; wait for it, or give another out="
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _prepare_child(cores: set[int], niceness: int) -> Callable[[], None]:
    """Prepare what the child runs before its program.

    It is interrupted when the runner dies, and receives interruptions at all.
    """
    tied = ended_with_this_process(signal.SIGINT)

    def prepare() -> None:
        tied()
        os.sched_setaffinity(0, cores)
        os.nice(niceness)

    return prepare


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    for line in reversed(lines):
        if line.strip():
            return line.strip()[:300]
    return ""
