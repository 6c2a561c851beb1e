"""Mutation testing: `make mutants`, `make mutants MODULE=safety`, `make mutants SAMPLE=20`.

A mutant that the tests let live shows a promise that no test keeps, or a line that nobody needs.
Results go to out/mutants.json. A mutant is judged again when its module changed, when it lived and
a test changed, and when the file of the test that killed it changed.
"""

import argparse
import fcntl
import hashlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .judging import (
    FAILED,
    INTERRUPTED,
    PASSED,
    ROOT,
    TIMED_OUT,
    Baseline,
    Run,
    Target,
    Verdict,
    file_of,
    measure,
    preload,
)
from .operators import Mutant, mutants_of

HERE = Path(__file__).resolve().parent
KILLED, TIMEOUT, SURVIVED, UNCOVERED, EQUIVALENT = (
    "killed",
    "timeout",
    "survived",
    "not executed",
    "equivalent",
)
LIVING = (SURVIVED, UNCOVERED)
CRASHED = (-int(signal.SIGSEGV), -int(signal.SIGABRT), -int(signal.SIGFPE))
POLL_S = 0.005


@dataclass(frozen=True)
class Result:
    """What became of a mutant; `test` killed it."""

    status: str
    test: str = ""
    seconds: float = 0.0


def load_targets(path: Path) -> dict[str, Target]:
    """By name. An entry's `root`, if it has one, is relative to the file."""
    found = {}
    for name, entry in yaml.safe_load(path.read_text())["modules"].items():
        root = (path.parent / entry["root"]).resolve() if "root" in entry else ROOT
        found[name] = Target(entry["module"], tuple(entry["tests"]), root)
    return found


def load_equivalent(path: Path) -> dict[str, str]:
    """Keys of mutants, and the reason why nobody could see each."""
    return {
        key: entry["reason"]
        for entry in yaml.safe_load(path.read_text()) or []
        for key in entry["mutants"]
    }


def find_mutants(target: Target) -> list[Mutant]:
    return mutants_of(target.path.read_text(), target.name, str(target.path))


# What need not be judged again.


class Memory:
    """Results of before, in a JSON file: {module: {"source": digest, "mutants": {key: {...}}}}."""

    def __init__(self, path: Path) -> None:
        """Raises: SystemExit while another run writes there."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(
                f"mutants: another run writes {path}; wait for it, or give --results"
            ) from None
        self._data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def recall(
        self, target: Target, mutants: Iterable[Mutant], now: "Digests"
    ) -> dict[str, Result]:
        """What still holds."""
        before = self._data.get(target.module, {})
        if before.get("source") != now.source:
            return {}
        found = {}
        for mutant in mutants:
            entry = before["mutants"].get(mutant.key)
            if entry is not None and entry["tests"] == now.of(entry["test"]):
                found[mutant.key] = Result(entry["status"], entry["test"], entry["seconds"])
        return found

    def killers(self, target: Target) -> dict[str, str]:
        """The test that killed each mutant the last time, by key, whatever changed since: worth
        trying first.
        """
        known = self._data.get(target.module, {}).get("mutants", {})
        return {key: entry["test"] for key, entry in known.items() if entry["test"]}

    def keep(self, target: Target, results: dict[str, Result], then: "Digests") -> None:
        """`then`: taken before the tests ran, as somebody may write them meanwhile."""
        before = self._data.get(target.module, {})
        entries = dict(before["mutants"]) if before.get("source") == then.source else {}
        for key, result in results.items():
            entries[key] = {**vars(result), "tests": then.of(result.test)}
        self._data[target.module] = {"source": then.source, "mutants": entries}
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._data, indent=1))
        fresh.replace(self._path)


class Digests:
    """What the module and each of its tests say at one time, the helpers and conftests beside them
    included.
    """

    def __init__(self, target: Target) -> None:
        self._root, places = target.root, [target.root / test for test in target.tests]
        files = [
            file
            for place in places
            for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))
        ]
        folders = sorted({file.parent for file in files})
        beside = [
            file for folder in folders for file in sorted(folder.glob("*.py")) if file not in files
        ]
        helpers = [
            file for file in beside if not file.name.startswith("test_") and file != target.path
        ]
        self.source = _digest([target.path])
        self._all = _digest([*files, *helpers])
        self._files = {file: _digest([file, *helpers]) for file in files}

    def of(self, test: str) -> str:
        """Of the file of this test; of all tests for ''."""
        return self._files.get(self._root / file_of(test), "") if test else self._all


def _digest(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()[:16]


# Judging.


def judge(
    target: Target,
    mutants: Sequence[Mutant],
    baseline: Baseline,
    killers: dict[str, str],
    given: argparse.Namespace,
) -> Iterator[tuple[Mutant, Result]]:
    """What becomes of each, as it is found. `killers`: by key, the test to try first."""
    waiting = list(reversed(mutants))
    running: dict[Run, Mutant] = {}
    try:
        while waiting or running:
            while waiting and len(running) < given.workers:
                mutant = waiting.pop()
                tests = baseline.judges(mutant.first_line, mutant.last_line)
                if not tests:
                    yield mutant, Result(UNCOVERED)
                    continue
                killer = killers.get(mutant.key, "")
                if killer in tests:
                    tests = {killer: tests[killer], **tests}
                running[Run(target, mutant.code, tests, given.slack)] = mutant
            for run, mutant in list(running.items()):
                verdict = run.poll()
                if verdict is not None:
                    del running[run]
                    yield mutant, _result(mutant, verdict)
            time.sleep(POLL_S)
    finally:
        for run in running:
            run.abandon()


def _result(mutant: Mutant, verdict: Verdict) -> Result:
    seconds = round(verdict.seconds, 2)
    if verdict.status == PASSED:
        return Result(SURVIVED, "", seconds)
    if verdict.status == TIMED_OUT:
        return Result(TIMEOUT, "", seconds)
    if verdict.status in (FAILED, INTERRUPTED, *CRASHED):
        return Result(KILLED, verdict.failed, seconds)
    raise SystemExit(
        f"mutants: pytest ended with status {verdict.status} on {mutant.key}:\n{verdict.output}"
    )


def sampled(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many, the same for the same seed; all for 0."""
    if not 0 < count < len(mutants):
        return list(mutants)
    chosen = random.Random(seed).sample(range(len(mutants)), count)
    return [mutants[index] for index in sorted(chosen)]


def run_target(target: Target, memory: Memory, given: argparse.Namespace) -> dict[str, Result]:
    """What became of the mutants of one module, by key; says so as it goes."""
    mutants = sampled(find_mutants(target), given.sample, given.seed)
    digests = Digests(target)
    results = {} if given.fresh else memory.recall(target, mutants, digests)
    left = [mutant for mutant in mutants if mutant.key not in results]
    if left:
        baseline, killers = measure(target), memory.killers(target)
        for mutant, result in judge(target, left, baseline, killers, given):
            results[mutant.key] = result
            memory.keep(target, results, digests)
            if result.status in LIVING:
                print(
                    f"{target.path.name}:{mutant.first_line}: {result.status}: {mutant.key}",
                    flush=True,
                )
    return results


# What is told.


def classify(results: dict[str, Result], equivalent: dict[str, str]) -> dict[str, str]:
    """Status by key; a mutant that lives and is listed is equivalent."""
    return {
        key: EQUIVALENT if result.status in LIVING and key in equivalent else result.status
        for key, result in results.items()
    }


def stale_entries(
    equivalent: dict[str, str], known: set[str], statuses: dict[str, str], names: set[str]
) -> list[str]:
    """Entries of the list for these modules that match no mutant, or one that a test kills after
    all.
    """
    said = []
    for key in equivalent:
        if key.partition(".")[0] not in names:
            continue
        if key not in known:
            said.append(f"matches no mutant any more: {key}")
        elif statuses.get(key, EQUIVALENT) != EQUIVALENT:
            said.append(f"is {statuses[key]} after all: {key}")
    return said


def table(statuses: dict[str, dict[str, str]]) -> str:
    rows = [("module", "mutants", "killed", "timed out", "equivalent", "survived")]
    for name, found in statuses.items():
        counts = Counter(found.values())
        living = sum(counts[status] for status in LIVING)
        rows.append(
            (
                name,
                *map(
                    str, (len(found), counts[KILLED], counts[TIMEOUT], counts[EQUIVALENT], living)
                ),
            )
        )
    return "\n".join(f"{row[0]:<16}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make mutants", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--module", default="", help="names in targets.yaml, with commas between; empty: all"
    )
    parser.add_argument(
        "--sample", type=int, default=0, help="so many mutants of each module, by chance; 0: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of that chance")
    parser.add_argument(
        "--workers", type=int, default=2, help="how many mutants are judged at once"
    )
    parser.add_argument(
        "--slack",
        type=float,
        default=30.0,
        help="s that a run may last, beside ten times its usual time",
    )
    parser.add_argument("--fresh", action="store_true", help="judge everything again")
    parser.add_argument(
        "--targets", type=Path, default=HERE / "targets.yaml", help="which tests judge which module"
    )
    parser.add_argument(
        "--equivalent", type=Path, default=HERE / "equivalent.yaml", help="mutants nobody could see"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "out" / "mutants.json", help="where results are kept"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    given = arguments(words)
    targets = load_targets(given.targets)
    names = [name for name in given.module.split(",") if name] or list(targets)
    unknown = [name for name in names if name not in targets]
    if unknown:
        print(
            f"mutants: no module {', '.join(unknown)} in {given.targets.name}; valid:"
            f" {', '.join(targets)}"
        )
        return 2
    preload(yaml.safe_load(given.targets.read_text()).get("preload", ()))
    equivalent, memory = load_equivalent(given.equivalent), Memory(given.results)
    statuses: dict[str, dict[str, str]] = {}
    known: set[str] = set()
    for name in names:
        known |= {mutant.key for mutant in find_mutants(targets[name])}
        results = run_target(targets[name], memory, given)
        statuses[name] = classify(results, equivalent)
    flat = {key: status for found in statuses.values() for key, status in found.items()}
    stale = stale_entries(equivalent, known, flat, {targets[name].name for name in names})
    living = [f"{status}: {key}" for key, status in flat.items() if status in LIVING]
    print("\n".join([*living, *(f"{given.equivalent.name}: {entry}" for entry in stale)]))
    print(table(statuses))
    return 1 if living or stale else 0


if __name__ == "__main__":
    sys.exit(main())
