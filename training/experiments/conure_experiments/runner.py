"""Runs the missing entries: in the plan's order, after what they need, several side by side."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conure_experiments.job import Held, Job, holder, is_ready
from conure_experiments.ledger import Record, make_record, read_records, write_record
from conure_experiments.plan import Entry, Plan, hours

POLL_S = 0.1


@dataclass(frozen=True)
class Places:
    """`out`: what the commands write; `results`: the records; `jobs`: entries side by side;
    `niceness`: of them all.
    """

    out: Path
    results: Path
    jobs: int
    niceness: int


@dataclass
class Outcome:
    """What became of the missing entries, by key; `failed` with the last line of the log."""

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def missing_entries(
    plan: Plan,
    wanted: Sequence[Entry],
    places: Places,
) -> list[Entry]:
    """List the wanted entries without a record, each after what it needs and what is not there.

    Args:
        plan: The plan.
        wanted: Entries to have records of.
        places: Folders of the runs and the records.

    Returns:
        Entries in an order in which they can run.
    """
    recorded = read_records(places.results, wanted)
    chosen: dict[str, Entry] = {}

    def choose(entry: Entry) -> None:
        for need in entry.needs:
            if not is_ready(places.out, plan.entries[need]):
                choose(plan.entries[need])
        chosen[entry.key] = entry

    for entry in wanted:
        if entry.key not in recorded:
            choose(entry)
    return list(chosen.values())


class Runner:
    """Runs what is missing; a failure does not stop the others.

    Cores are dealt out to the entries side by side, so that none gets in another's way; one that
    runs alone has all.
    """

    def __init__(
        self,
        plan: Plan,
        places: Places,
        provenance: dict[str, Any],
    ) -> None:
        self._plan = plan
        self._places = places
        self._provenance = provenance
        self._running: dict[int, Job] = {}  # by slot
        self._pending: list[Entry] = []
        self.outcome = Outcome()

    def run(self, wanted: Sequence[Entry]) -> Outcome:
        """Until nothing more can be done. An interruption ends the entries at work, which keep what
        they have.
        """
        self._pending = missing_entries(self._plan, wanted, self._places)
        _say(
            f"{len(self._pending)} entries to run, about"
            f" {hours(self._pending, self._places.jobs):.1f} h"
        )
        try:
            while self._pending or self._running:
                self._start_what_can()
                if not self._running and not self._held_briefly():
                    break
                self._advance()
                time.sleep(POLL_S)
        finally:
            for job in self._running.values():
                job.stop()
            for job in self._running.values():
                job.close()
        for entry in self._pending:
            self.outcome.skipped.setdefault(entry.key, "waits for another process's entry")
        return self.outcome

    def _start_what_can(self) -> None:
        for entry in list(self._pending):
            unready = [
                need
                for need in entry.needs
                if not is_ready(self._places.out, self._plan.entries[need])
            ]
            lost = [
                need
                for need in unready
                if need in self.outcome.failed or need in self.outcome.skipped
            ]
            if lost:
                self._skip(entry, f"needs {lost[0]}")
            elif unready:
                continue
            elif not self._has_room(entry):
                return
            else:
                self._start(entry)

    def _has_room(self, entry: Entry) -> bool:
        if entry.alone or any(job.entry.alone for job in self._running.values()):
            return not self._running
        return len(self._running) < self._places.jobs

    def _start(self, entry: Entry) -> None:
        slot = min(set(range(self._places.jobs)) - set(self._running))
        try:
            cores = _choose_cores(slot, self._places.jobs, entry.alone)
            job = Job(entry, self._places.out, cores, self._places.niceness)
        except Held as error:
            if _alive(holder(self._places.out, entry)):
                self._skip(entry, str(error))
            return
        self._pending.remove(entry)
        self._running[slot] = job
        _say(
            f"{entry.key}: begun, {len(self._pending)} more, about"
            f" {hours(self._pending, self._places.jobs):.1f} h"
        )

    def _advance(self) -> None:
        for slot, job in list(self._running.items()):
            if job.advance():
                continue
            del self._running[slot]
            if job.state.failure:
                self.outcome.failed[job.entry.key] = f"{job.state.failure}; log: {job.log}"
                _say(f"{job.entry.key}: failed, {job.state.failure}")
            else:
                self._record(job)

    def _record(self, job: Job) -> None:
        record = make_record(job.entry, self._places.out, job.state.seconds, self._provenance)
        write_record(self._places.results, record)
        self.outcome.finished.append(record.key)
        minutes = sum(record.seconds.values()) / 60
        _say(f"{record.key}: finished after {minutes:.1f} min{_success(record)}")

    def _skip(self, entry: Entry, why: str) -> None:
        self._pending.remove(entry)
        self.outcome.skipped[entry.key] = why
        _say(f"{entry.key}: left out, {why}")

    def _held_briefly(self) -> bool:
        """Whether a process of a runner that died still lets go of what comes next."""
        return any(holder(self._places.out, entry) is not None for entry in self._pending)


def _choose_cores(
    slot: int,
    jobs: int,
    alone: bool,
) -> set[int]:
    """The cores of the slot-th of `jobs` entries side by side; all of them for one that runs
    alone.
    """
    cores = sorted(os.sched_getaffinity(0))
    if alone:
        return set(cores)
    first = slot % len(cores)
    return set(cores[first::jobs])


def _alive(pid: int | None) -> bool:
    return pid is not None and pid > 0 and Path(f"/proc/{pid}").exists()


def _success(record: Record) -> str:
    evaluations = record.results.get("rl", {}).get("evaluations")
    return f", success {evaluations[-1]['success']:.0%}" if evaluations else ""


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M')} {line}", flush=True, file=sys.stdout)
