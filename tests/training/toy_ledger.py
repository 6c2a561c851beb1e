"""Made-up records for the tests of what is computed from records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conure_experiments.checks.runs import (
    Runs,
)
from conure_experiments.ledger import Record, write_record
from conure_experiments.plan import Entry, Plan

MACHINE = {"cores": 2, "cpu": "made up", "system": "Linux"}


def made_up_record(entry: Entry, reached: float = 1.0, half_at: float = 0.5) -> Record:
    """A record of this entry: curves that go to `reached`, half of it after the share `half_at` of
    the steps.
    """
    configs, results = {}, {}
    for label, command in entry.commands.items():
        configs[label], results[label] = made_up_result(
            command.verb, command.words, reached, half_at
        )
    seed = entry.variables.get("seed")
    return Record(
        entry.experiment, entry.name, entry.scale, entry.variables, None if seed is None else int(seed),
        {label: command.line for label, command in entry.commands.items()}, entry.digest, 40 * "a", "2026-01-01",
        MACHINE, {}, "cpu", dict.fromkeys(entry.commands, 60.0), configs, results,
    )  # fmt: skip


def made_up_result(
    verb: str, words: tuple[str, ...], reached: float, half_at: float
) -> tuple[Any, Any]:
    """(configuration, results) of one command."""
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if verb == "rl":
        steps = int(settings["steps"])
        success = reached / (1 + np.exp(-10 * (np.linspace(0, 1, 6) - half_at)))
        points = zip(np.linspace(0, steps, 6), success, strict=True)
        evaluations = [{"steps": int(x), "success": float(y), "episodes": 20} for x, y in points]
        return {"steps": steps}, {
            "curve": {"steps": [steps], "success": [1]},
            "evaluations": evaluations,
        }
    if verb == "evaluate":
        trials = int(settings["episodes"])
        return {}, {
            "success": {"successes": round(trials * reached), "trials": trials, "rate": reached}
        }
    if verb == "demos":
        return {"image_size": int(settings.get("image_size", 48))}, {"episodes": {"Lift": 100}}
    if verb == "prior":
        return {"static_scenes": 48000}, {"objects_found": 0.9, "object_position_error_mm": None}
    if "off_policy" in words:
        return {}, made_up_agents(settings["setting"])
    if "operator" in words:
        return {}, MADE_UP_OPERATOR
    figures = {"entropy_nats": -16.7, "nll_nats_ours": -16.5, "excess_nats_ours": 0.2}
    return {}, {**figures, "nll_nats_authors": -8.4, "excess_nats_authors": 8.3}


MADE_UP_OPERATOR = {
    "config": {"episodes": 200},
    "recorded": 200,
    "seen_to_succeed": 170,
    "lost_messages": 0,
    "imported": 200,
    "successes_replayed": 168,
    "replays_that_lift": 164,
}


def made_up_agents(setting: str) -> dict[str, Any]:
    """Off-policy DDPG that gets a fifth of the way and promises more than there is."""
    shares = {"behavioral": 1.0, "ddpg": 0.2}
    if setting == "imitation":
        shares |= {"bcq": 0.98, "td3_bc": 0.95, "iql": 0.92}
    agents = {}
    for name, share in shares.items():
        value = {"predicted": 4.0, "predicted_on_data": 5.0, "true": -60.0}
        agents[name] = [
            {"updates": updates, "return": -1100.0 + 1000.0 * share, **value}
            for updates in (1000, 2000)
        ]
    levels = {"random_return": -1100.0, "expert_return": -100.0, "largest_return": 0.0}
    return {**levels, "agents": agents}


def made_up_runs(plan: Plan, scale: str, made: Callable[[Entry], Record | None]) -> Runs:
    """The runs of a scale, with what `made` gives for each entry."""
    records = {entry.key: made(entry) for entry in plan.select(scale)}
    return Runs(
        plan.select(scale), {key: record for key, record in records.items() if record is not None}
    )


def fill_with_made_up(
    plan: Plan, scale: str, results: Path, made: Callable[[Entry], Record | None]
) -> None:
    """Write what `made` gives for each entry, as the ledger would."""
    for record in made_up_runs(plan, scale, made).records.values():
        write_record(results, record)


AS_MEASURED: dict[tuple[str, str], tuple[float | None, float | None]] = {
    ("share", "0"): (0.5, None),
    ("part", "no_cloning"): (0.5, None),
    ("part", "latent"): (None, -0.1),
    ("demonstrations", "4"): (0.6, None),
    ("curriculum", "none"): (0.0, None),
    ("variant", "dqfd"): (None, 0.1),
    ("learner", "original"): (0.02, None),
    ("critic", "features"): (None, 0.9),
    ("critic", "state"): (None, 0.15),
}
"""By a variable's value: success at the end, and where half of it is reached; None: as usual."""


def as_measured(entry: Entry) -> Record:
    """A record whose experiment shows what it must."""
    names, seed = entry.variables, int(entry.variables.get("seed", "0"))
    reached, half_at = 0.97 - 0.02 * (seed % 3), 0.3
    if names.get("method", "latent") != "latent":
        reached = 0.0 if names["method"] in ("scratch", "vae") else 0.5 - 0.1 * seed
    if names.get("variant", "dqfd") != "dqfd":
        reached = 0.4
    if "trajectories" in names:
        half_at = 0.25 + 100 / float(names["trajectories"])
    for (name, value), (success, half) in AS_MEASURED.items():
        if names.get(name) == value:
            reached = reached if success is None else success
            half_at = half_at if half is None else half
    return made_up_record(entry, reached, half_at)
