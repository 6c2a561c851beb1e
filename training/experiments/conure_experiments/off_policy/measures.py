"""What the results of the experiment say: returns between random actions and the expert, values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conure_experiments.off_policy.experiment import BEHAVIORAL

Results = Sequence[Mapping[str, Any]]
"""What `run` returned, one a seed."""

REPAIRED = ("bcq", "td3_bc", "iql")
"""Learners that are to stay with the data."""


def normalized_return(result: Mapping[str, Any], agent: str, evaluation: int = -1) -> float:
    """Scale an agent's return so that random actions have 0 and the scripted expert 1.

    Args:
        result: Of one seed.
        agent: Name of the agent.
        evaluation: Which of its evaluations; -1: the last.

    Returns:
        (R - R_random) / (R_expert - R_random).
    """
    reached = result["agents"][agent][evaluation]["return"]
    random = result["random_return"]
    return float((reached - random) / (result["expert_return"] - random))


def mean_return(results: Results, agent: str) -> float:
    """Average the normalized return over seeds.

    Args:
        results: At least one.
        agent: Name of the agent.

    Returns:
        0: as random actions, 1: as the expert.
    """
    return float(np.mean([normalized_return(result, agent) for result in results]))


def share_of_behavioral(results: Results) -> float:
    """The mean normalized return of off-policy DDPG over that of the agent whose data it had."""
    return mean_return(results, "ddpg") / mean_return(results, BEHAVIORAL)


def highest_prediction(results: Results) -> float:
    """The mean over seeds of what DDPG predicts at the data's observations, at its highest."""
    highest = []
    for result in results:
        predictions = [entry["predicted_on_data"] for entry in result["agents"]["ddpg"]]
        highest.append(max(predictions))
    return float(np.mean(highest))


def worst_repaired(results: Results) -> tuple[str, float]:
    """The one of REPAIRED with the lowest mean normalized return, and that return."""
    means = {agent: mean_return(results, agent) for agent in REPAIRED}
    worst = min(means, key=lambda agent: means[agent])
    return worst, means[worst]


def table(by_case: Mapping[tuple[str, str], Results]) -> list[tuple[str, ...]]:
    """Make the page's rows: an agent of a case each.

    Args:
        by_case: Results by environment and setting.

    Returns:
        Environment, setting, agent, return, normalized return, true and predicted value at the
        first observation, predicted value on the data; means over seeds.
    """
    rows = []
    for (environment, setting), results in by_case.items():
        for agent in results[0]["agents"] if results else ():
            last = [result["agents"][agent][-1] for result in results]
            names = ("return", "true", "predicted", "predicted_on_data")
            means = {name: _mean(last, name) for name in names}
            share = f"{mean_return(results, agent):.2f}"
            shown = [means["return"], share, *(means[name] for name in names[1:])]
            rows.append((environment, setting, agent, *shown))
    return rows


def _mean(entries: Sequence[Mapping[str, float]], name: str) -> str:
    values = [entry[name] for entry in entries if name in entry]
    return f"{np.mean(values):.1f}" if values else ""
