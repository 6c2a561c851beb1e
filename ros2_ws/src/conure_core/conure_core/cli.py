"""The one command, `conure VERB [overrides]`. Verbs live where their work is done and are imported
when called.
"""

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from conure_core.errors import ConfigError, ConureError, unknown_name


@dataclass(frozen=True)
class Verb:
    """A function `run(overrides: list[str]) -> None` in a module, and the pip extra that brings
    what it needs.

    A verb may be two words: `conure bench` alone lists every `bench X`.
    """

    module: str
    extra: str
    summary: str
    anywhere: bool = False
    """Whether it must work even where the current folder was deleted."""


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
VERBS = {
    "demo": Verb(
        "conure_training.demo.demo", "all", "the main job, from demonstrations to a report"
    ),
    "demos": Verb("conure_training.data.collect", "training", "collect scripted demonstrations"),
    "prior": Verb("conure_training.prior.train", "training", "train the behavioral prior"),
    "card": Verb(
        "conure_training.evaluation.prior_report",
        "training",
        "the score card of a prior, before any reinforcement learning",
    ),
    "rl": Verb(
        "conure_training.rl.train", "training", "reinforcement learning, in z or from scratch"
    ),
    "runs": Verb("conure_training.rl.runs", "training", "list runs with their key figures"),
    "export": Verb("conure_training.export.export", "training", "write an ONNX bundle"),
    "evaluate": Verb(
        "conure_training.evaluation.evaluate",
        "training",
        "roll a prior, a policy or a bundle out in simulation",
    ),
    "results": Verb(
        "conure_training.results.verb", "training", "the ledger of experiments: fill it, show it"
    ),
    "view": Verb(
        "conure_training.evaluation.view",
        "sim",
        "one episode as a video and a contact sheet, or in a window",
    ),
    "gallery": Verb(
        "conure_sim.tools.gallery", "sim", "a page with every task, arm, preset, object and fixture"
    ),
    "pictures": Verb(
        "conure_training.demo.pictures",
        "training",
        "the pictures of README and docs, from a finished demo",
    ),
    "bench sim": Verb(
        "conure_sim.benchmarks.command",
        "sim",
        "measure the environments: speed, resets, memory, experts",
    ),
    "bench training": Verb(
        "conure_training.benchmarks.command",
        "training,dev",
        "measure flow, prior, learner against their peers",
    ),
    "bench bus": Verb(
        "conure_ros.commands.bench_bus",
        "robot",
        "measure the loop of a serial arm, jitter and retries",
    ),
    "up": Verb("conure_ros.commands.up", "robot", "start a set of nodes, as ros2 launch would"),
    "faults": Verb(
        "conure_ros.faults.verb",
        "robot",
        "break the live graph in every way of the table; faults gate",
    ),
    "keys": Verb(
        "conure_ros.commands.keys",
        "robot",
        "move the arm by this terminal's keyboard; space stops it",
        True,
    ),
    "stop": Verb(
        "conure_ros.commands.stop",
        "robot",
        "stop the arm at once; stop key=true waits for a key",
        True,
    ),
    "recordings recover": Verb(
        "conure_ros.recording.recover",
        "robot",
        "finished recordings of what a killed recorder left",
    ),
    "doctor": Verb("conure_ros.commands.doctor", "robot", "say what of this machine works"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status.

    0 done; 1 refused, one line on stderr says why; 130 interrupted; 143 told to end by SIGTERM.
    """
    name = "conure"
    try:
        with _sigterm_raises():
            words = _plain(sys.argv[1:] if arguments is None else arguments)
            family = _family(words[0]) if words else []
            length = 2 if family else 1
            if len(words) < length or words[length - 1] in HELP:
                print(usage(family or list(VERBS)))
                return _flushed()
            verb = _known(" ".join(words[:length]), family or list(VERBS))
            name = f"conure {verb}"
            _load(verb)(words[length:])
            return _flushed()
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
    """What an error of the system says to a person, and what to do."""
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


def _family(word: str) -> list[str]:
    """The verbs of two words that begin with this one."""
    return [name for name in VERBS if name.startswith(f"{word} ")]


def usage(names: Sequence[str] = tuple(VERBS)) -> str:
    """These verbs, a line each."""
    width = max(map(len, names))
    lines = [f"  {name.ljust(width)}  {VERBS[name].summary}" for name in names]
    return "conure VERB [key=value ...]   (conure VERB --help lists a verb's keys)\n\n" + "\n".join(
        lines
    )


def _known(name: str, valid: Sequence[str]) -> str:
    if name not in valid:
        raise unknown_name("verb", name, valid)
    return name


def _load(name: str) -> Callable[[list[str]], None]:
    verb = VERBS[name]
    if not verb.anywhere:
        _require_current_folder()
    try:
        run: Callable[[list[str]], None] = import_module(verb.module).run
    except ModuleNotFoundError as error:
        remedy = f"pip install 'conure[{verb.extra}]', or make setup"
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
