"""One writer at a time: a verb claims its `out=` before it works, and nobody else writes there
meanwhile.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from conure_core.errors import ConfigError


@contextmanager
def claimed(
    out: str | Path,
    verb: str,
    kind: Literal["folder", "file"] = "folder",
) -> Iterator[Path]:
    """Hold `out` for as long as the block lasts; the kernel lets go of it when this process ends,
    however it ends.

    The lock is the file `.NAME.lock` beside `out`: what replaces `out` as a whole leaves it alone.
    An orderly end removes it; one that is left over locks nothing.

    Args:
        out: The folder or the file that is written to.
        verb: Who writes, for the message to the second one.
        kind: What `out` must be, if it exists.

    Raises:
        ConfigError: Another process holds it, it is of the other kind, or it cannot be written to.
    """
    try:
        path = Path(out).resolve()
        _require_writable(path, kind)
        lock = _locked(path, verb)
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        yield path
    finally:
        with suppress(OSError):
            _lock_path(path).unlink()
        os.close(lock)


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _require_writable(path: Path, kind: str) -> None:
    if not path.name:
        raise ConfigError(f"out={path} is no place to write to; give a folder of its own")
    if path.is_dir() and kind == "file":
        raise ConfigError(f"out={path} is a folder, and a file is written; give the name of a file")
    if path.exists() and not path.is_dir() and kind == "folder":
        raise ConfigError(
            f"out={path} is a file, and a folder is written; give another out=, or remove the file"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(13, "Permission denied", str(path))


def _locked(path: Path, verb: str) -> int:
    """The descriptor that holds the lock. Raises: ConfigError naming who holds it."""
    place = _lock_path(path)
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(descriptor, place):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {verb}".encode())
                return descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace")
            os.close(descriptor)
            raise ConfigError(_taken(path, holder)) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder removed it between open and lock


def _is_still_there(descriptor: int, place: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), place.stat())
    return False


def _taken(path: Path, holder: str) -> str:
    pid, _, verb = holder.partition(" ")
    who = f"'{verb}' (process {pid})" if verb else "another process"
    return f"{path} is being written by {who}; wait for it, end it, or give another out="


def _unwritable(out: str | Path, error: OSError) -> ConfigError:
    where = ""
    if error.filename and str(error.filename) != str(out):
        where = f" ({error.filename})"
    return ConfigError(
        f"out={out} cannot be written to: {error.strerror}{where}; give another out="
    )
