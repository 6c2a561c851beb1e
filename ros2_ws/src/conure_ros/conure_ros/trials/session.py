"""A series of planned trials in a folder: what comes next, what was said, resumed after any end.
No ROS.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import read_json, write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import identity, require_same
from conure_ros.trials.journal import Journal, Label
from conure_ros.trials.order import PlannedTrial, order_trials
from conure_ros.trials.plan import LoadedPlan

PLAN_FILE, KEY_FILE, JOURNAL_FILE = "plan.json", "key.json", "journal.jsonl"
FORMAT = 1
REMEDY = "restore it from a copy"
INTERRUPTED = "the session was interrupted"


class Session:
    """Plan, order and journal of one series.

    >>> with open_session(load_plan(Path("PLAN.yaml")), Path("out/trials")) as session:
    ...     session.describe(session.next_trial())
    'trial 1 of 60, scene 12, red'
    """

    def __init__(self, loaded: LoadedPlan, folder: Path, journal: Journal) -> None:
        self.loaded, self.folder, self.journal = loaded, folder, journal
        self.plan = loaded.plan
        self.was_interrupted = False
        """Whether a trial ran when an earlier session ended; the recorder may still record it."""
        self.trials = order_trials(loaded.hash, list(loaded.bundles), self.plan.trials)

    def next_trial(self) -> PlannedTrial | None:
        """The trial to label or to run next; None: all are finished."""
        states = [(trial, self.journal.state(trial.number)) for trial in self.trials]
        waiting = [trial for trial, state in states if state.awaits_label]
        unfinished = [trial for trial, state in states if not state.is_finished]
        return next(iter([*waiting, *unfinished]), None)

    @property
    def finished(self) -> int:
        """Trials with a label that counts."""
        return sum(self.journal.state(trial.number).is_finished for trial in self.trials)

    def describe(self, trial: PlannedTrial) -> str:
        """What the operator may know of a trial, one line."""
        text = f"trial {trial.number} of {len(self.trials)}, {self.plan.scene(trial.scene)}"
        return text if self.plan.blinded else f"{text}, policy {trial.policy}"

    def bundle(self, trial: PlannedTrial) -> Path:
        """Folder of the bundle that runs in a trial."""
        return self.loaded.bundles[trial.policy]

    def metadata(self, trial: PlannedTrial) -> dict[str, Any]:
        """What the trial's recording says about it: nothing that names the policy."""
        scene = self.plan.scene(trial.scene)
        shown = {} if self.plan.blinded else {"policy": trial.policy}
        return {
            "trial": trial.number,
            "scene": scene.number,
            "seed": scene.seed,
            "condition": scene.condition,
            "task": self.plan.task,
            "code": trial.code,
            "plan_hash": self.loaded.hash,
            **shown,
        }

    def file_name(self, recording: str) -> str:
        """How the journal names a recording: relative to the folder where it lies in it."""
        inside = bool(recording) and Path(recording).resolve().is_relative_to(self.folder)
        return os.path.relpath(Path(recording).resolve(), self.folder) if inside else recording

    @property
    def reasons(self) -> list[str]:
        """Reasons of a failure to choose from: those of the plan, then those given since."""
        return list(dict.fromkeys([*self.plan.failure_reasons, *self.journal.reasons]))


@contextmanager
def open_session(loaded: LoadedPlan, folder: Path) -> Iterator[Session]:
    """Open a series of trials, new or interrupted. Nobody else does so meanwhile.

    Args:
        loaded: The plan.
        folder: Where plan, key and journal lie.

    Yields:
        The session. A trial that an interruption cut off is invalid, and runs again.

    Raises:
        ConfigError: Another process holds the folder, or its trials were begun under another plan.
        DataError: A file in it is damaged.
    """
    with claimed_folder(folder, "conure trials run") as path:
        path.mkdir(parents=True, exist_ok=True)
        journal = Journal(path / JOURNAL_FILE)
        _keep_plan(loaded, path, journal)
        session = Session(loaded, path, journal)
        write_json(path / KEY_FILE, _key(session))
        for trial in session.trials:
            if journal.state(trial.number).is_open:
                journal.cut_off(trial.number, INTERRUPTED)
                session.was_interrupted = True
        yield session


@contextmanager
def claimed_folder(folder: Path, verb: str) -> Iterator[Path]:
    """Hold a folder of trials: one operator at a time.

    Args:
        folder: The folder.
        verb: Who holds it, for the message to the second one.

    Raises:
        ConfigError: Another process holds it.
    """
    try:
        with claimed(folder, verb) as path:
            yield path
    except ConfigError as error:
        if "is being written by" not in str(error):
            raise
        raise ConfigError(f"one operator at a time: {error}".replace("out=", "folder=")) from error


def _keep_plan(loaded: LoadedPlan, folder: Path, journal: Journal) -> None:
    """Keep the plan beside the journal. Raises: ConfigError if trials began under another one."""
    path, wanted = folder / PLAN_FILE, _plan_record(loaded)
    if not journal.is_empty:
        remedy = (
            f"trials of a plan that changed are another series: give {loaded.path} back as it was,"
            " or another folder="
        )
        saved = read_plan_record(folder)
        require_same(path, saved, identity(wanted), remedy)
    write_json(path, wanted)


def _plan_record(loaded: LoadedPlan) -> dict[str, Any]:
    return {"format": FORMAT, "hash": loaded.hash, **loaded.content}


def read_plan_record(folder: Path) -> dict[str, Any]:
    """Read `plan.json`: format, hash, plan and the bundles' hashes.

    Raises: DataError if it is missing or damaged.
    """
    return _read(folder / PLAN_FILE)


def read_key(folder: Path) -> list[PlannedTrial]:
    """Read `key.json`: which policy ran in which trial. Whoever reads it is no longer blinded.

    Raises: DataError if it is missing, damaged, or of another plan.
    """
    path = folder / KEY_FILE
    data, plan_hash = _read(path), read_plan_record(folder)["hash"]
    try:
        trials = [PlannedTrial(**trial) for trial in data["trials"]]
        key_hash = data["plan_hash"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); {REMEDY}") from error
    if key_hash != plan_hash:
        raise DataError(f"{path} is of the plan {key_hash}, expected {plan_hash}; {REMEDY}")
    return trials


def _key(session: Session) -> dict[str, Any]:
    trials = [vars(trial) for trial in session.trials]
    return {"format": FORMAT, "plan_hash": session.loaded.hash, "trials": trials}


def _read(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = read_json(path, REMEDY)
        if data["format"] != FORMAT:
            raise DataError(f"{path} has format {data['format']}, this program reads {FORMAT}")
    except FileNotFoundError:
        raise DataError(
            f"there is no {path}; give the folder= of conure trials run, whole"
        ) from None
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); {REMEDY}") from error
    return data


def relabel(folder: Path, trial: int, label: Label) -> None:
    """Label a finished trial after the fact; the first label stays beside it.

    Args:
        folder: Folder of the trials.
        trial: Number of the trial.
        label: The label.

    Raises:
        ConfigError: There is no such trial, it has no first label yet, or another process holds the
            folder.
        DataError: A file in the folder is missing or damaged.
    """
    with claimed_folder(folder, "conure trials label") as path:
        record = read_plan_record(path)
        total = record["plan"]["trials"] * len(record["bundles"])
        if not 1 <= trial <= total:
            raise ConfigError(f"trial must be from 1 to {total}, got {trial}")
        Journal(path / JOURNAL_FILE).relabel(trial, label)
