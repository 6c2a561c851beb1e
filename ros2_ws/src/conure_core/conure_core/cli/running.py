"""How a verb runs, and how it ends: the exit status, and one line on stderr that says why."""

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from conure_core.errors import ConfigError, ConureError, without_passwords

ADVICE = {
    errno.EACCES: "; give a place that you may read and write",
    errno.EPERM: "; give a place that you may read and write",
    errno.EROFS: "; give a place on a disk that can be written to",
    errno.ENOENT: "; look at the path",
    errno.ENOTDIR: "; a file stands where a folder is needed, give another path",
    errno.EEXIST: "; give another path, or remove it",
    errno.EISDIR: "; a folder stands where a file is needed, give another path",
}


def call(
    name: str,
    work: Callable[[list[str]], int | None],
    words: list[str],
) -> int:
    """Run a function as `conure` runs its verbs.

    Args:
        name: Begins every line about it on stderr.
        work: Gets the words; what it returns, if anything, is the exit status.
        words: From the command line.

    Returns:
        The exit status: 0 done, or what `work` returns; 1 refused, one line on stderr says why;
        130 interrupted; 143 told to end by SIGTERM.
    """
    try:
        with _sigterm_raises():
            status = work(_plain(words))
            return _flushed() if status is None else status
    except ConureError as error:
        return _fail(name, str(error))
    except KeyboardInterrupt:
        return _ended(name, "interrupted", 130)
    except Terminated:
        return _ended(name, "told to end (SIGTERM)", 143)
    except BrokenPipeError:
        return _reader_gone(name)
    except OSError as error:
        return _fail(name, _account(error))
    except MemoryError:
        return _fail(
            name,
            "memory ran out; give smaller sizes or fewer workers and run the same command again",
        )


class Terminated(BaseException):
    """SIGTERM came. Every `finally` on the way is gone through, as on Ctrl-C."""


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Terminated, once: what comes while the verb ends is ignored. Only where nobody
    handles it yet.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _plain(words: list[str]) -> list[str]:
    """The words, if they are valid text. Raises: ConfigError naming one that is not."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"argument {word!a} is not valid UTF-8; rename what it names"
            ) from error
    return words


def _flushed() -> int:
    """0, when the reader of stdout has taken everything. Raises: BrokenPipeError, OSError if it has
    not.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    return 0


def _account(error: OSError) -> str:
    """Say for a person what an error of the system means, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.filename or 'while writing'}); free some space and run the"
            " same command again"
        )
    advice = ADVICE.get(error.errno or 0, "")
    return f"{where}{error.strerror or error or type(error).__name__}{advice}"


def _reader_gone(name: str) -> int:
    """`conure runs | head`: what nobody reads is not worth a word; a pipe of ours that broke is."""
    with suppress(OSError, ValueError, AttributeError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if poll.poll(0):
            _discard_stdout()
            return 141
    return _fail(name, "a process that it worked with is gone; run the same command again")


def _discard_stdout() -> None:
    """Python flushes stdout once more when it ends; what cannot be written goes nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ended(name: str, how: str, status: int) -> int:
    _tell(f"\n{name}: {how}; finished work is kept, the same command goes on from there")
    return status


def _fail(name: str, message: str) -> int:
    _tell(f"{name}: {without_passwords(' '.join(message.split()))}")
    return 1


def _tell(line: str) -> None:
    """A line on stderr, after what stdout holds; where neither can be written the exit status must
    do.
    """
    try:
        _flushed()
    except (OSError, ValueError):
        _discard_stdout()
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
