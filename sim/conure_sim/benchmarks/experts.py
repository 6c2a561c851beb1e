"""Measure how often the experts succeed, in several processes; an interrupted run resumes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.processes import run_on_processes
from conure_core.runtime.provenance import git_commit
from conure_core.runtime.resume import identity
from conure_sim.envs.expert_success import success_rate

BLOCK_EPISODES = 20


@dataclass(frozen=True)
class Cell:
    """One rate to measure."""

    arm: str
    """Name of a robot."""
    task: str
    """A name of `TASKS`."""
    randomization: str
    """A preset."""

    @property
    def name(self) -> str:
        return f"{self.arm}: expert, {self.task}, randomization {self.randomization}"


Block = tuple[Cell, int, int]
"""Cell, first seed, number of episodes."""


def expert_rates(
    cells: Sequence[Cell], episodes: int, processes: int, kept: Path
) -> Iterator[tuple[Cell, float]]:
    """Measure success rates, and give each as soon as it and those before it are known.

    Args:
        cells: What to measure.
        episodes: Of each cell, seeds from 0.
        processes: How many work at once.
        kept: File with the rates so far, removed at the end. The next call resumes from it if it
            runs the same commit without changes.

    Yields:
        Cell and share of successes, in the order of the cells.
    """
    commit = git_commit()
    run = identity({"commit": commit, "episodes": episodes})
    rates = _read(kept, run) if _certain(commit) else {}
    missing = [cell for cell in cells if cell.name not in rates]
    blocks = [block for cell in missing for block in _blocks(cell, episodes)]
    remaining = dict.fromkeys(missing, episodes)
    successes = dict.fromkeys(missing, 0)
    waiting = list(cells)

    with closing(run_on_processes(_successes, blocks, processes)) as results:
        while waiting:
            while waiting and waiting[0].name in rates:
                cell = waiting.pop(0)
                yield cell, rates[cell.name]

            for (cell, _, count), found in results:
                remaining[cell] -= count
                successes[cell] += found
                if remaining[cell] == 0:
                    rates[cell.name] = successes[cell] / episodes
                    write_json(kept, {"identity": run, "rates": rates})
                    break
    kept.unlink(missing_ok=True)


def _blocks(cell: Cell, episodes: int) -> list[Block]:
    """The episodes of a cell in shares of at most BLOCK_EPISODES."""
    return [
        (cell, first, min(BLOCK_EPISODES, episodes - first))
        for first in range(0, episodes, BLOCK_EPISODES)
    ]


def _successes(block: Block) -> int:
    cell, first, count = block
    found = success_rate(cell.task, cell.arm, cell.randomization, episodes=count, first_seed=first)
    return found.successes


def _read(kept: Path, run: str) -> dict[str, float]:
    """Rates that an interrupted run of this identity left; none if there are none."""
    try:
        earlier = json.loads(kept.read_text())
        return dict(earlier["rates"]) if earlier["identity"] == run else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _certain(commit: str) -> bool:
    return commit != "unknown" and not commit.endswith("-dirty")
