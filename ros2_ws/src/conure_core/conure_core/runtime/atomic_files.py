"""Replace a file or a folder as a whole, so that neither a kill nor a power cut leaves half of it.

The new content is written beside the old one and forced to the disk; then it takes the old one's
name. Of a folder the old content is set aside first: between the two renames only that copy exists,
and `last_whole` finds it. Names of temporary files carry the process that made them; the next write
in that folder removes what dead processes left.
"""

import contextlib
import errno
import functools
import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from conure_core.errors import DataError
from conure_core.runtime.json_text import json_text

TEMPORARY = "tmp"
ASIDE = "old"
OWNER = r"[A-Za-z0-9]+-\w+-\d+-\d+"
LEFTOVER = re.compile(
    rf"\.(?P<target>.+)\.(?P<owner>{OWNER})\.\d+\.(?P<kind>{TEMPORARY}|{ASIDE})(\.\w+)?"
)
OTHER_IS_FASTER = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
ATTEMPTS = 20
_numbers = itertools.count()
Result = TypeVar("Result")


@contextlib.contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a temporary sibling to write a file or a folder to; it takes the final name when the
    block ends well.

    Args:
        path: The final name. A symbolic link is followed: what it points to is replaced.
        suffix: How the temporary name must end, for writers that choose the format by it.

    Raises:
        OSError: The disk refused; the old content is still there.
    """
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = _sibling(path, TEMPORARY, suffix)
    try:
        yield temporary
        _sync_tree(temporary)
        if temporary.is_dir() or path.is_dir():
            _swap(temporary, path)
        else:
            temporary.replace(path)
            sync(path.parent)
    finally:
        _remove(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Args:
        path: The final name; what lies there is replaced, a missing folder is made.
        content: All bytes of the file.

    Raises:
        OSError: The disk refused; the old content is still there.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all.

    Args:
        path: The final name; what lies there is replaced, a missing folder is made.
        text: All of the text; no line end is added.

    Raises:
        OSError: The disk refused; the old content is still there.
    """
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all; a number that is not finite becomes null.

    Args:
        path: The final name; what lies there is replaced, a missing folder is made.
        data: Mappings, lists, texts, numbers, True, False or None.

    Raises:
        OSError: The disk refused; the old content is still there.
        TypeError: The data holds something else.
    """
    write_text(path, json_text(data, indent=1))


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file.

    Args:
        path: The file, in UTF-8.
        remedy: Ends the message about a damaged file: what to do, such as "train it again".

    Returns:
        The parsed content.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is damaged, or cannot be read.
    """

    def parse() -> Any:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=lambda _: None)  # NaN, of earlier versions

    return reading(path, parse, remedy)


def reading(
    path: Path,
    read: Callable[[], Result],
    remedy: str,
) -> Result:
    """Parse a file, and give whatever a parser raises one form.

    Args:
        path: The file, for messages.
        read: Opens and parses the file.
        remedy: Ends the message about a damaged file: what to do, such as "train it again".

    Returns:
        The result of `read`.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is damaged, whatever the parser made of that: empty, truncated, of something
            else. Or it may not be read.
    """
    try:
        return read()
    except (FileNotFoundError, MemoryError, DataError):
        raise
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:
        raise damaged(path, error, remedy) from error


def damaged(
    path: Path,
    error: BaseException,
    remedy: str,
) -> DataError:
    """Build the one error for a file that cannot be used.

    Args:
        path: The file.
        error: What its parser raised; an empty file is reported as such instead.
        remedy: What to do, such as "train it again".

    Returns:
        The error, for the caller to raise.
    """
    return DataError(f"{path} is damaged ({_reason(path, error)}); {remedy}")


def _reason(path: Path, error: BaseException) -> str:
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size == 0:
            return "it is empty"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return f"no key {lines[0]}" if isinstance(error, KeyError) else lines[0]


def last_whole(path: Path) -> Path:
    """Find where the last whole content of a folder or file lies: `path`, unless a kill came while
    it was replaced.

    Then the old content takes its name again if that is allowed here; if not, this gives the copy
    that was set aside.
    """
    if path.exists():
        return path
    for leftover in _leftovers(path.parent):
        if leftover.kind != ASIDE or leftover.target != path.name:
            continue
        if leftover.is_dead():
            with contextlib.suppress(OSError):
                leftover.path.rename(path)
        if not path.exists() and leftover.path.exists():
            return leftover.path
        break
    return path


def sweep(folder: Path) -> None:
    """Clear away what dead processes left in this folder; old content that has lost its name gets
    it again.
    """
    for leftover in _leftovers(folder):
        if not leftover.is_dead():
            continue
        target = folder / leftover.target
        if leftover.kind == ASIDE and not target.exists():
            with contextlib.suppress(OSError):
                leftover.path.rename(target)
                sync(folder)
        else:
            _remove(leftover.path)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk.

    Raises:
        OSError: The disk refused.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # A file system that cannot: pipes, some network shares.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _sync_tree(path: Path) -> None:
    """Force a file, or a folder with all that it holds, to the disk. Raises: OSError."""
    for folder, _, names in os.walk(path):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))
    if not path.is_dir():
        sync(path)


def _swap(temporary: Path, path: Path) -> None:
    """Set what is there aside, put the new content in its place, then remove the old one."""
    for _ in range(ATTEMPTS):
        aside = _sibling(path, ASIDE)
        try:
            with contextlib.suppress(FileNotFoundError):
                path.rename(aside)
            temporary.rename(path)
        except BaseException as error:  # an interrupt too: the old content takes its name again
            other_was_faster = (
                isinstance(error, OSError) and error.errno in OTHER_IS_FASTER and path.exists()
            )
            if not path.exists() and aside.exists():
                aside.rename(path)
            _remove(aside)
            if other_was_faster:
                # Another process put its own content there meanwhile: that is the old one now.
                continue
            raise
        sync(path.parent)
        _remove(aside)
        return
    raise DataError(
        f"{path} is being written by other processes all the time; give each run its own folder"
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Leftover:
    """A temporary or set-aside entry of a folder, and who made it."""

    path: Path
    target: str
    owner: str
    kind: str

    def is_dead(self) -> bool:
        """Tell whether its process is certainly gone. A process of another machine may be alive."""
        machine, boot, process, start = self.owner.split("-")
        if machine != _machine():
            return False
        return boot != _boot() or _start_time(int(process)) != start


def _leftovers(folder: Path) -> list[_Leftover]:
    """Newest first."""
    found = []
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    for name in names:
        match = LEFTOVER.fullmatch(name)
        if match:
            found.append(_Leftover(folder / name, match["target"], match["owner"], match["kind"]))
    return sorted(found, key=_changed_ns, reverse=True)


def _changed_ns(leftover: _Leftover) -> int:
    try:
        return leftover.path.lstat().st_ctime_ns
    except OSError:
        return 0


def _sibling(path: Path, kind: str, suffix: str = "") -> Path:
    process = os.getpid()
    owner = f"{_machine()}-{_boot()}-{process}-{_start_time(process)}"
    return path.with_name(f".{path.name}.{owner}.{next(_numbers)}.{kind}{suffix}")


@functools.cache
def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname()) or "unnamed"


@functools.cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "unknown"


def _start_time(process: int) -> str:
    """When a living process began, in the kernel's ticks since boot; empty if there is none."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
