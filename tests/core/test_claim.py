"""An `out=` has one writer at a time, and a dead one holds nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conure_core.errors import ConfigError
from conure_core.runtime.claim import claimed

HOLDER = """
import signal, sys
from conure_core.runtime.claim import claimed
with claimed(sys.argv[1], "conure prior"):
    print("held", flush=True)
    signal.pause()
"""


def holder(out: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_writer_is_told_who_the_first_is_and_a_killed_one_holds_nothing(
    tmp_path: Path,
) -> None:
    out = tmp_path / "new" / "prior"
    (tmp_path / "link").symlink_to(tmp_path / "new")
    with holder(out) as first:
        try:
            for name in (out, tmp_path / "link" / "prior"):
                with pytest.raises(
                    ConfigError, match=rf"'conure prior' \(process {first.pid}\); .*another out="
                ):
                    claimed(name, "conure rl").__enter__()
        finally:
            os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with claimed(out, "conure rl"):
        assert (out.parent / ".prior.lock").read_text() == f"{os.getpid()} conure rl"
    assert list(out.parent.iterdir()) == []


def test_a_claim_outlasts_the_replacement_of_what_is_claimed(tmp_path: Path) -> None:
    out = tmp_path / "demos"
    out.mkdir()
    with claimed(out, "conure demos"):
        out.rmdir()
        out.mkdir()
        with pytest.raises(ConfigError, match="is being written"):
            claimed(out, "conure demos").__enter__()
    with claimed(out, "conure demos"):
        pass


def test_who_waited_for_a_lock_that_was_removed_meanwhile_takes_the_new_one(
    tmp_path: Path, monkeypatch
) -> None:
    """Between open and lock the last holder ends: a lock on its removed file would let two in."""
    from conure_core.runtime import claim

    flock, removed = claim.fcntl.flock, []

    def removed_just_before(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(True)
            (tmp_path / ".out.lock").unlink()
        flock(descriptor, how)

    monkeypatch.setattr(claim.fcntl, "flock", removed_just_before)
    with claimed(tmp_path / "out", "conure rl"):
        assert (tmp_path / ".out.lock").is_file()
        with pytest.raises(ConfigError, match="is being written"):
            claimed(tmp_path / "out", "conure rl").__enter__()


@pytest.mark.parametrize(
    ("out", "kind", "said"),
    [
        ("file", "folder", "is a file, and a folder is written"),
        ("folder", "file", "is a folder, and a file is written"),
        ("file/below", "folder", r"cannot be written to: .*\(.*/file\); give another out="),
        ("/", "folder", "no place to write to"),
        ("/proc/nowhere/out", "folder", "cannot be written to"),
        ("x" * 300, "folder", "File name too long"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, out: str, kind, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=said):
        claimed(tmp_path / out, "conure rl", kind).__enter__()
