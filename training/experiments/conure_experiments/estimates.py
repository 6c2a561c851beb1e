"""What an entry may cost, before it has run: steps over measured rates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Rates:
    """Of one core while another learner keeps the other busy; see `plan.yaml`.

    Steps a second: of learning, of rollouts, of collecting. `*_minutes`: starting a command,
    training a prior. `method_cost`: learning time relative to latent SAC; `episode_steps`: of an
    episode, by task, some of them failing; `alone_speedup`: of demos and prior with the whole
    machine.
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


def minutes_of(commands: Iterable[_Command], alone: bool, rates: Rates) -> float:
    """Minutes of all commands of an entry."""
    return sum(_minutes(command, alone, rates) for command in commands)


def _minutes(command: _Command, alone: bool, rates: Rates) -> float:
    settings = dict(word.split("=", 1) for word in command.words if "=" in word)
    speedup = rates.alone_speedup if alone and command.verb in ("demos", "prior") else 1.0
    seconds = {"rl": _learning_s, "evaluate": _rollouts_s, "demos": _collecting_s}.get(command.verb)
    if seconds is not None:
        return rates.start_minutes + seconds(settings, rates) / 60 / speedup
    return (rates.prior_minutes if command.verb == "prior" else rates.experiment_minutes) / speedup


def _learning_s(settings: Mapping[str, str], rates: Rates) -> float:
    steps, every = int(settings["steps"]), int(settings.get("evaluate_every", 0))
    cost = rates.method_cost.get(settings.get("method", "latent"), 1.0)
    rounds = steps // every + 1 if every else 0
    tested = rounds * int(settings.get("evaluate_episodes", 0)) * _episode_steps(settings, rates)
    return cost * steps / rates.learning_steps_s + tested / rates.rollout_steps_s


def _rollouts_s(settings: Mapping[str, str], rates: Rates) -> float:
    return int(settings["episodes"]) * _episode_steps(settings, rates) / rates.rollout_steps_s


def _collecting_s(settings: Mapping[str, Any], rates: Rates) -> float:
    counts = {
        key.partition(".")[2]: int(value)
        for key, value in settings.items()
        if ".".join(key.split(".")[:-1]).endswith("episodes")
    }
    steps = sum(count * rates.episode_steps.get(task, 50) / 2 for task, count in counts.items())
    return steps / rates.collecting_steps_s


def _episode_steps(settings: Mapping[str, str], rates: Rates) -> int:
    return rates.episode_steps.get(settings.get("task", "Lift"), 50)
