"""What an entry may cost, before it has run: steps over measured rates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

EPISODE_STEPS = 50
"""Steps of an episode of a task that the rates do not name."""


@dataclass(frozen=True)
class Rates:
    """Of one core while another learner keeps the other busy; see `plan.yaml`.

    Steps a second: of learning, of rollouts, of collecting. `*_minutes`: starting a command,
    training a prior. `method_cost`: learning time relative to latent SAC, by method, or
    by method and task; `episode_steps`: of an episode, by task, some of them failing;
    `alone_speedup`: of demos and prior with the whole machine.
    """

    learning_steps_s: float
    rollout_steps_s: float
    collecting_steps_s: float
    start_minutes: float
    prior_minutes: float
    experiment_minutes: float
    alone_speedup: float
    method_cost: dict[str, float] = field(default_factory=dict)
    episode_steps: dict[str, int] = field(default_factory=dict)


class _Command(Protocol):
    @property
    def verb(self) -> str: ...
    @property
    def words(self) -> tuple[str, ...]: ...


def minutes_of(
    commands: Iterable[_Command],
    alone: bool,
    rates: Rates,
) -> float:
    """Estimate the minutes of all commands of an entry.

    Args:
        commands: The commands, one after another.
        alone: The entry has the whole machine.
        rates: Measured rates of one core.

    Returns:
        Minutes of one core, or of the whole machine if alone.
    """
    return sum(_minutes(command, alone, rates) for command in commands)


def _minutes(
    command: _Command,
    alone: bool,
    rates: Rates,
) -> float:
    settings = dict(word.split("=", 1) for word in command.words if "=" in word)
    speedup = 1.0
    if alone and command.verb in ("demos", "prior"):
        speedup = rates.alone_speedup
    seconds = SECONDS.get(command.verb)
    if seconds is not None:
        return rates.start_minutes + seconds(settings, rates) / 60 / speedup
    if command.verb == "prior":
        return rates.prior_minutes / speedup
    return rates.experiment_minutes / speedup


def _learning_s(settings: Mapping[str, str], rates: Rates) -> float:
    steps = int(settings["steps"])
    method = settings.get("method", "latent")
    of_method = rates.method_cost.get(method, 1.0)
    factor = rates.method_cost.get(f"{method} {settings.get('task', 'Lift')}", of_method)
    learning_s = factor * steps / rates.learning_steps_s
    every = int(settings.get("evaluate_every", 0))
    rounds = steps // every + 1 if every else 0
    episodes = rounds * int(settings.get("evaluate_episodes", 0))
    evaluation_steps = episodes * _episode_steps(settings, rates)
    return learning_s + evaluation_steps / rates.rollout_steps_s


def _rollouts_s(settings: Mapping[str, str], rates: Rates) -> float:
    episodes = int(settings["episodes"])
    steps = episodes * _episode_steps(settings, rates)
    return steps / rates.rollout_steps_s


def _collecting_s(settings: Mapping[str, Any], rates: Rates) -> float:
    steps = []
    for key, value in settings.items():
        group, _, _ = key.rpartition(".")
        if group.endswith("episodes"):
            _, _, task = key.partition(".")
            episode_steps = rates.episode_steps.get(task, EPISODE_STEPS)
            steps.append(int(value) * episode_steps / 2)
    return sum(steps) / rates.collecting_steps_s


def _episode_steps(settings: Mapping[str, str], rates: Rates) -> int:
    task = settings.get("task", "Lift")
    return rates.episode_steps.get(task, EPISODE_STEPS)


SECONDS = {
    "rl": _learning_s,
    "evaluate": _rollouts_s,
    "demos": _collecting_s,
}
"""What estimates a command's seconds, by its verb."""
