"""The one command, `conure VERB [overrides]`.

A verb is an entry point of any installed distribution: `name = "module:function [extra]"` in the
group `conure.commands`, where the function takes the list of words after the verb. The module is
imported when the verb is called. What `conure` lists beside the name is the first line of the
function's docstring. The extra of `conure` brings what the verb needs. A verb may be two words:
`conure bench` alone lists every `bench X`.
"""

import errno
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from conure_core.errors import ConfigError, ConureError, unknown_name

HELP = ("-h", "--help", "help")
ADVICE = {
    errno.EACCES: "; give a place that you may read and write",
    errno.EPERM: "; give a place that you may read and write",
    errno.EROFS: "; give a place on a disk that can be written to",
    errno.ENOENT: "; look at the path",
    errno.ENOTDIR: "; a file stands where a folder is needed, give another path",
    errno.EEXIST: "; give another path, or remove it",
    errno.EISDIR: "; a folder stands where a file is needed, give another path",
}
GROUP = "conure.commands"
ANYWHERE = f"{GROUP}.anywhere"
"""The group of verbs that must work even where the current folder was deleted."""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status.

    0 done; 1 refused, one line on stderr says why; 130 interrupted; 143 told to end by SIGTERM.
    """
    return call("conure", _dispatch, sys.argv[1:] if arguments is None else arguments)


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
        The exit status, see `main`.
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


def _dispatch(words: list[str]) -> int | None:
    """Run the verb that these words begin with, or list the verbs. Raises: ConfigError."""
    family = _family(words[0]) if words else []
    length = 2 if family else 1
    if len(words) < length or words[length - 1] in HELP:
        print(_usage(family or list(verbs())))
        return None
    name = " ".join(words[:length])
    verb = _known(name, family or list(verbs()))
    return call(f"conure {verb}", lambda rest: _load(verb)(rest), words[length:])


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


@cache
def verbs() -> dict[str, EntryPoint]:
    """Find the verbs of all installed distributions by name. Nobody else's replaces one of Conure's
    own.

    Raises:
        ConureError: There are none.
    """
    offered = [*entry_points(group=GROUP), *entry_points(group=ANYWHERE)]
    own_last = sorted(offered, key=lambda verb: verb.module.startswith("conure_"))
    found = {verb.name: verb for verb in own_last}
    if not found:
        raise ConureError(
            f"expected installed entry points '{GROUP}', found none: the installation is older"
            " than these sources; run make setup, or in their folder pip install -e ."
        )
    return dict(sorted(found.items()))


def _family(word: str) -> list[str]:
    """The verbs of two words that begin with this one."""
    return [name for name in verbs() if name.startswith(f"{word} ")]


def _usage(names: Sequence[str]) -> str:
    """List these verbs for a person, a line each."""
    width = max(map(len, names))
    lines = [f"  {name.ljust(width)}  {summary(verbs()[name])}" for name in names]
    return "conure VERB [key=value ...]   (conure VERB --help lists a verb's keys)\n\n" + "\n".join(
        lines
    )


def summary(verb: EntryPoint) -> str:
    """Read the first line of the docstring of a verb's function from its source: imports take
    seconds.

    Where there is no such line, it is what the entry point names.
    """
    package, *parts = verb.module.split(".")
    spec = find_spec(package)
    docstring = re.compile(rf'^def {verb.attr}\(.*\n    """(.+?)\.?(?:"""|$)', re.MULTILINE)
    for folder in (spec and spec.submodule_search_locations) or []:
        source = Path(folder, *parts).with_suffix(".py")
        found = docstring.search(source.read_text()) if source.is_file() else None
        if found:
            return found[1]
    return verb.value


def _known(name: str, valid: Sequence[str]) -> str:
    if name not in valid:
        raise unknown_name("verb", name, valid)
    return name


def _load(name: str) -> Callable[[list[str]], None]:
    verb = verbs()[name]
    if verb.group != ANYWHERE:
        _require_current_folder()
    try:
        run: Callable[[list[str]], None] = verb.load()
    except ModuleNotFoundError as error:
        extras = ",".join(verb.extras)
        remedy = f"pip install 'conure[{extras}]', or make setup" if extras else "install it"
        raise ConureError(f"'conure {name}' needs '{error.name}': {remedy}") from error
    return run


def _require_current_folder() -> None:
    """Libraries abort without a word where there is none. Raises: ConfigError."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder was deleted; change into another one") from None


def _fail(name: str, message: str) -> int:
    _tell(f"{name}: {' '.join(message.split())}")
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
