"""Learners side by side: one process each, which sends its episodes to the parent.

No process is left behind.
"""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.errors import ConureError
from conure_core.runtime.processes import TIED
from conure_training.rl.config import RunConfig
from conure_training.rl.train import RECENT_EPISODES, train_rl
from conure_training.runtime.parallel import progress_bar

GRACE_S = 10.0


def train_side_by_side(configs: Mapping[str, RunConfig]) -> None:
    """Train every learner that has no finished curve yet; each writes under its config's `out`.

    Raises: ConureError as a learner raised it, or naming the log of one that crashed; the others
    are ended then.
    """
    waiting = {
        name: config
        for name, config in configs.items()
        if not (Path(config.out) / "curve.json").is_file()
    }
    learners = {name: _Learner(config) for name, config in waiting.items()}
    try:
        for learner in learners.values():
            learner.start()
        _follow(learners)
    finally:
        for learner in learners.values():
            learner.end()


def _follow(learners: dict[str, "_Learner"]) -> None:
    with progress_bar() as bar:
        tasks = {
            name: bar.add_task(name, total=learner.config.steps, note="")
            for name, learner in learners.items()
        }
        running = {learner.receiver: name for name, learner in learners.items()}
        while running:
            for receiver in wait(list(running)):
                name = running[receiver]  # type: ignore[index]
                message = learners[name].receive()
                if message is None:
                    bar.update(tasks[name], completed=learners[name].config.steps)
                    del running[receiver]  # type: ignore[arg-type]
                    continue
                recent = np.mean(
                    [episode["success"] for episode in learners[name].episodes[-RECENT_EPISODES:]]
                )
                bar.update(tasks[name], completed=message["steps"], note=f"success {recent:.0%}")


class _Learner:
    """One process that trains, and the pipe on which it sends every episode."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.log = Path(config.out).with_suffix(".log")
        self.episodes: list[dict[str, Any]] = []
        self.receiver, self._sender = TIED.Pipe(duplex=False)
        self._process = TIED.Process(
            target=_train, args=(config, self._sender, self.log), daemon=True
        )

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process.start()
        self._sender.close()

    def receive(self) -> dict[str, Any] | None:
        """The next episode; None when training is finished. Raises: what the learner raised."""
        try:
            message = self.receiver.recv()
        except EOFError:
            self._process.join()
            raise ConureError(
                f"a learner ended with status {self._process.exitcode}; {self.log} says why"
            ) from None
        if isinstance(message, BaseException):
            raise message
        if message is not None:
            self.episodes.append(message)
        return message

    def end(self) -> None:
        """Returns when the process is gone."""
        if self._process.pid is None:
            return
        self._process.terminate()  # one that is finished has nothing left to do either
        self._process.join(GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _train(config: RunConfig, sender: Connection, log: Path) -> None:
    """In the child. Ctrl-C is the parent's to handle; a tied child does not outlive a parent that
    is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with log.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        train_rl(config, on_episode=sender.send)
        sender.send(None)
    except (ConureError, OSError) as error:
        with suppress(OSError):
            sender.send(error)
        sys.exit(1)
