"""The one command, `conure VERB [overrides]`. Verbs live where their work is done and are imported when called."""

import errno
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from conure_core.errors import ConureError, unknown_name


@dataclass(frozen=True)
class Verb:
    """A function `run(overrides: list[str]) -> None` in a module, and the pip extra that brings what it needs."""

    module: str
    extra: str
    summary: str


VERBS = {
    "demo": Verb("conure_training.demo", "all", "the main job, from demonstrations to a report"),
    "demos": Verb("conure_training.collect", "training", "collect scripted demonstrations"),
    "prior": Verb("conure_training.train_prior", "training", "train the behavioral prior"),
    "rl": Verb("conure_training.train_rl", "training", "reinforcement learning, in z or from scratch"),
    "export": Verb("conure_training.export", "training", "write an ONNX bundle"),
    "evaluate": Verb("conure_training.evaluate", "training", "roll a prior, a policy or a bundle out in simulation"),
    "bench": Verb("conure_sim.bench", "sim", "measure: bench sim, the environments"),
    "view": Verb("conure_training.view", "sim", "one episode as a video and a contact sheet, or in a window"),
    "gallery": Verb("conure_sim.gallery", "sim", "a page with every task, arm, preset, object and fixture"),
    "bench bus": Verb("conure_ros.bench_bus", "robot", "measure: the loop of a serial arm, jitter and retries"),
    "up": Verb("conure_ros.up", "robot", "start a set of nodes, as ros2 launch would"),
    "faults": Verb("conure_ros.faults.verb", "robot", "break the live graph in every way of the table; faults gate"),
    "stop": Verb("conure_ros.stop", "robot", "stop the arm at once; stop key=true waits for a key"),
    "doctor": Verb("conure_ros.doctor", "robot", "say what of this machine works"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status: 0 done, 1 refused (one line on stderr says why), 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    try:
        length = 2 if " ".join(words[:2]) in VERBS else 1
        _load(" ".join(words[:length]))(words[length:])
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


def usage() -> str:
    """The verbs, a line each."""
    width = max(map(len, VERBS))
    lines = [f"  {name.ljust(width)}  {verb.summary}" for name, verb in VERBS.items()]
    return "conure VERB [key=value ...]   (conure VERB --help lists a verb's keys)\n\n" + "\n".join(lines)


def _load(name: str) -> Callable[[list[str]], None]:
    if name not in VERBS:
        raise unknown_name("verb", name, VERBS)
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
