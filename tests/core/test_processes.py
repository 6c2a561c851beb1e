"""However a command ends, none of its processes outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conure_core.runtime.processes import TIED

GONE_S = 10.0
WORKERS = """
import os, signal, sys, time
from pathlib import Path

def sleep(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(1000.0)
"""
STARTS = {
    "a pool": "for _ in run_on_processes(workers.sleep, [folder, folder], 2): pass",
    "a process": (
        """
for _ in range(2):
    TIED.Process(target=workers.sleep, args=(folder,), daemon=True).start()
signal.pause()"""
    ),
    "processes of a thread that ended": (
        """
def start():
    for _ in range(2):
        TIED.Process(target=workers.sleep, args=(folder,), daemon=True).start()
thread = threading.Thread(target=start)
thread.start()
thread.join()
signal.pause()"""
    ),
    "commands": (
        """
for _ in range(2):
    subprocess.Popen([sys.executable, "-c", "import sys, workers; workers.sleep(sys.argv[1])", folder],
        preexec_fn=ended_with_this_process())
signal.pause()"""
    ),
}
PROGRAM = """
import signal, subprocess, sys, threading
import workers
from conure_core.cli.running import _sigterm_raises
from conure_core.runtime.processes import TIED, ended_with_this_process, run_on_processes
folder = sys.argv[1]
with _sigterm_raises():
"""


def ends(pid: int) -> bool:
    """Whether the process is gone, or only waits to be reaped, within a time."""
    until_s = time.monotonic() + GONE_S
    while time.monotonic() < until_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def started(tmp_path: Path, start: str) -> "tuple[subprocess.Popen[str], list[int]]":
    """A command and its two workers, at work."""
    (tmp_path / "workers.py").write_text(WORKERS)
    (tmp_path / "pids").mkdir()
    indented = "\n".join(f"    {line}" for line in STARTS[start].splitlines())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = [sys.executable, "-c", PROGRAM + indented, str(tmp_path / "pids")]
    process = subprocess.Popen(
        program, env=environment, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    until_s = time.monotonic() + 60.0
    while len(list((tmp_path / "pids").iterdir())) < 2:
        assert process.poll() is None and time.monotonic() < until_s, "the workers did not come up"
        time.sleep(0.02)
    return process, [int(path.name) for path in (tmp_path / "pids").iterdir()]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_to_a_command_leaves_its_workers(
    tmp_path: Path, start: str, number: signal.Signals
) -> None:
    process, workers = started(tmp_path, start)
    try:
        os.kill(process.pid, number)
        process.wait(GONE_S)
        assert [pid for pid in workers if not ends(pid)] == []
    finally:
        for pid in [process.pid, *workers]:
            if not ends_now(pid):
                os.kill(pid, signal.SIGKILL)


def ends_now(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_stopped_worker_goes_with_its_killed_parent_too(tmp_path: Path) -> None:
    """Only the kernel reaches a process that does not run."""
    process, workers = started(tmp_path, "a pool")
    try:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(GONE_S)
        assert [pid for pid in workers if not ends(pid)] == []
    finally:
        for pid in workers:
            if not ends_now(pid):
                os.kill(pid, signal.SIGKILL)


def test_workers_outlive_the_thread_that_started_them(tmp_path: Path) -> None:
    process, workers = started(tmp_path, "processes of a thread that ended")
    time.sleep(0.5)  # a death would have to be seen: there is no event for its absence
    try:
        assert not any(ends_now(pid) for pid in workers)
    finally:
        process.kill()
        process.wait()
    assert [pid for pid in workers if not ends(pid)] == []


def test_a_worker_that_is_killed_is_a_refusal_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(
        "import os, signal\ndef die(_): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    program = """
import workers
from conure_core.errors import WorkerError
from conure_core.runtime.processes import run_on_processes
try:
    list(run_on_processes(workers.die, [1], 1))
except WorkerError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert "a worker process was killed" in done.stdout


class InterruptsItsMaker:
    """Ctrl-C comes while a process is being started."""

    def __reduce__(self):
        signal.raise_signal(signal.SIGINT)
        return int, ()


def test_a_child_whose_start_was_interrupted_is_killed_because_nobody_knows_of_it():
    process = TIED.Process(target=time.sleep, args=(60,), kwargs={})
    process._interrupt = InterruptsItsMaker()
    with pytest.raises(KeyboardInterrupt):
        process.start()
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
