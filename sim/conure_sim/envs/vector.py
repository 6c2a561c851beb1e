"""Several environments in parallel, one process and one physics client each, with observations in
shared memory.
"""

import contextlib
import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from conure_core.control.controller import checked_action
from conure_core.errors import ConfigError, UnsafeCommand, WorkerError, unknown_name
from conure_core.runtime.processes import end_with_parent
from conure_core.types import Array


def make_vector(
    task: str,
    count: int,
    autoreset: str = AutoresetMode.NEXT_STEP.value,
    copy: bool = True,
    **settings: Any,
) -> "ProcessVectorEnv":
    """Start environments `conure/{task}-v0` in processes of their own, which end with this one,
    however it ends.

    `reset(seed=s)` seeds environment i with s + i. Gymnasium starts processes by importing the main
    module: guard a script with `if __name__ == "__main__"`.

    Args:
        task: A name of `TASKS`.
        count: How many environments.
        autoreset: As Gymnasium names it. NextStep: the step after an episode's last one ignores its
            action, resets, and gives reward 0. SameStep: the last step already gives the next
            episode's first observation; the last one itself is `infos["final_obs"]`. Disabled: call
            `reset(options={"reset_mask": mask})`.
        copy: Whether observations are copies, not views that the next step overwrites.
        **settings: Of TabletopEnv.

    Returns:
        The environments, their observations and actions stacked along the first axis.

    Raises:
        ConfigError: The count, the autoreset mode or a setting is not valid.

    >>> with make_vector("Lift", 2, randomization="light") as envs:
    ...     observations, infos = envs.reset(seed=0)
    """
    if count < 1:
        raise ConfigError(f"count must be at least 1 environment, got {count}")
    modes = [mode.value for mode in AutoresetMode]
    if autoreset not in modes:
        raise unknown_name("autoreset mode", autoreset, modes)
    make = partial(_make, task, settings)
    return ProcessVectorEnv(
        [make] * count, context="spawn", worker=_worker, copy=copy, autoreset_mode=autoreset
    )


class ProcessVectorEnv(AsyncVectorEnv):
    """Gymnasium's AsyncVectorEnv whose errors name the environment, and whose processes never
    outlive it.

    An action that no arm may follow is refused before it is sent: the environments stay usable.
    After an environment's own error, or the death of its process, all are closed and WorkerError is
    raised.
    """

    def __enter__(self) -> "ProcessVectorEnv":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._stop() if kind is not None else self.close()

    def reset_async(self, *arguments: Any, **named: Any) -> None:
        with self._alive():
            super().reset_async(*arguments, **named)

    def reset_wait(self, *arguments: Any, **named: Any) -> Any:
        with self._alive():
            return super().reset_wait(*arguments, **named)

    def step_async(self, actions: Array) -> None:
        """Raises: UnsafeCommand for actions of another shape than (count, 7) or with NaN, before
        any motion.
        """
        if len(actions) != self.num_envs:
            raise UnsafeCommand(
                f"expected actions of shape ({self.num_envs}, 7), got {np.shape(actions)}"
            )
        for index, action in enumerate(actions):
            try:
                checked_action(action)
            except UnsafeCommand as error:
                raise UnsafeCommand(f"environment {index}: {error}") from error
        with self._alive():
            super().step_async(actions)

    def step_wait(self, *arguments: Any, **named: Any) -> Any:
        with self._alive():
            return super().step_wait(*arguments, **named)

    def call_async(self, *arguments: Any, **named: Any) -> None:
        with self._alive():
            super().call_async(*arguments, **named)

    def call_wait(self, *arguments: Any, **named: Any) -> Any:
        with self._alive():
            return super().call_wait(*arguments, **named)

    @contextlib.contextmanager
    def _alive(self) -> Any:
        """Turn a broken pipe into an error that names the environment whose process ended."""
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            for process in self.processes:
                process.join(timeout=0.2)
            codes = [process.exitcode for process in self.processes]
            ended = [
                f"environment {index} with exit code {code}"
                for index, code in enumerate(codes)
                if code is not None
            ]
            self._stop()
            names = ", ".join(ended) or "unknown which"
            raise WorkerError(f"a process ended: {names}; all are closed, make new ones") from error

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        failed = list(successes).count(False)
        if not failed:
            return
        errors = [self.error_queue.get() for _ in range(failed)]
        errors.sort(key=lambda error: error[0])
        self._stop()
        messages = [
            f"environment {index}: {kind.__name__}: {value}" for index, kind, value, _ in errors
        ]
        _, _, _, first_trace = errors[0]
        raise WorkerError(
            f"{'; '.join(messages)}. All environments are closed; make new ones.\n{first_trace}"
        )

    def _stop(self) -> None:
        """End every process at once, whatever it is doing."""
        self._state = AsyncState.DEFAULT
        self.close(terminate=True)


def _make(task: str, settings: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(f"conure/{task}-v0", **settings).unwrapped


def _worker(
    index: int,
    make: Callable[..., Any],
    *rest: Any,
) -> None:
    """Gymnasium's worker. It leaves Ctrl-C to its parent, and ends quietly without one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    with contextlib.suppress(EOFError, OSError):
        _async_worker(index, make, *rest)
