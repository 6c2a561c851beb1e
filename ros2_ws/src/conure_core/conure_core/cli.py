"""The one command, `conure VERB [overrides]`. Verbs live where their work is done and are imported when called."""

import errno
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from conure_core.errors import ConureError, unknown_name


@dataclass(frozen=True)
class Verb:
    """A function `run(overrides: list[str]) -> None` in a module, and the pip extra that brings what it needs.

    A verb may be two words: `conure bench` alone lists every `bench X`.
    """

    module: str
    extra: str
    summary: str


HELP = ("-h", "--help", "help")
VERBS = {
    "demo": Verb("conure_training.demo", "all", "the main job, from demonstrations to a report"),
    "demos": Verb("conure_training.collect", "training", "collect scripted demonstrations"),
    "prior": Verb("conure_training.train_prior", "training", "train the behavioral prior"),
    "card": Verb("conure_training.card", "training", "the score card of a prior, before any reinforcement learning"),
    "rl": Verb("conure_training.train_rl", "training", "reinforcement learning, in z or from scratch"),
    "runs": Verb("conure_training.runs", "training", "list runs with their key figures"),
    "export": Verb("conure_training.export", "training", "write an ONNX bundle"),
    "evaluate": Verb("conure_training.evaluate", "training", "roll a prior, a policy or a bundle out in simulation"),
    "results": Verb("conure_training.results.verb", "training", "the ledger of experiments: fill it, show it"),
    "view": Verb("conure_training.view", "sim", "one episode as a video and a contact sheet, or in a window"),
    "gallery": Verb("conure_sim.gallery", "sim", "a page with every task, arm, preset, object and fixture"),
    "bench sim": Verb("conure_sim.bench", "sim", "measure the environments: speed, resets, memory, experts"),
    "bench training": Verb("conure_training.bench", "training,dev", "measure flow, prior, learner against their peers"),
    "bench bus": Verb("conure_ros.bench_bus", "robot", "measure the loop of a serial arm, jitter and retries"),
    "up": Verb("conure_ros.up", "robot", "start a set of nodes, as ros2 launch would"),
    "faults": Verb("conure_ros.faults.verb", "robot", "break the live graph in every way of the table; faults gate"),
    "keys": Verb("conure_ros.keys", "robot", "move the arm by this terminal's keyboard; space stops it"),
    "stop": Verb("conure_ros.stop", "robot", "stop the arm at once; stop key=true waits for a key"),
    "recordings recover": Verb("conure_ros.recordings", "robot", "finished recordings of what a killed recorder left"),
    "doctor": Verb("conure_ros.doctor", "robot", "say what of this machine works"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status: 0 done, 1 refused (one line on stderr says why), 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    family = _family(words[0]) if words else []
    length = 2 if family else 1
    if len(words) < length or words[length - 1] in HELP:
        print(usage(family or list(VERBS)))
        return 0
    try:
        _load(" ".join(words[:length]), family or list(VERBS))(words[length:])
        return 0
    except ConureError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\nconure: interrupted; finished work is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or "while writing"
            return _fail(f"the disk is full ({where}); free some space and run the same command again")
        raise


def _family(word: str) -> list[str]:
    """The verbs of two words that begin with this one."""
    return [name for name in VERBS if name.startswith(f"{word} ")]


def usage(names: Sequence[str] = tuple(VERBS)) -> str:
    """These verbs, a line each."""
    width = max(map(len, names))
    lines = [f"  {name.ljust(width)}  {VERBS[name].summary}" for name in names]
    return "conure VERB [key=value ...]   (conure VERB --help lists a verb's keys)\n\n" + "\n".join(lines)


def _load(name: str, valid: Sequence[str]) -> Callable[[list[str]], None]:
    if name not in valid:
        raise unknown_name("verb", name, valid)
    verb = VERBS[name]
    try:
        run: Callable[[list[str]], None] = import_module(verb.module).run
    except ModuleNotFoundError as error:
        remedy = f"pip install 'conure[{verb.extra}]', or make setup"
        raise ConureError(f"'conure {name}' needs '{error.name}': {remedy}") from error
    return run


def _fail(message: str) -> int:
    print(f"conure: {' '.join(message.split())}", file=sys.stderr)
    return 1
