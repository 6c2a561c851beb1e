"""The journal of planned trials: nothing is lost, nothing is changed, one operator at a time."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.errors import ConfigError, DataError
from conure_ros.trials.journal import FAILURE, INVALID, SUCCESS, Journal, Label
from conure_ros.trials.plan import LoadedPlan, Plan
from conure_ros.trials.session import (
    INTERRUPTED,
    JOURNAL_FILE,
    KEY_FILE,
    PLAN_FILE,
    open_session,
    read_key,
    relabel,
)

WIN, DROP = Label(SUCCESS, "ada"), Label(FAILURE, "ada", "dropped")
BAD = Label(INVALID, "ada", "a hand in the picture")


def plan(**changes):
    fields = {"operator": "ada", "robot": "wx250s", "trials": 2, **changes}
    bundles = {"prior": Path("/a"), "policy": Path("/b")}
    hashes = {name: name[0] * 64 for name in bundles}
    return LoadedPlan(Path("PLAN.yaml"), Plan(**fields), bundles, hashes)


def run_one(session, label):
    """As the session does it; the number of the trial."""
    trial = session.next_trial().number
    if not session.journal.state(trial).awaits_label:
        session.journal.begin(trial, "ada")
        session.journal.end(trial, f"{trial}.mcap", 1.5)
    session.journal.label(trial, label)
    return trial


def test_a_series_runs_to_its_end_and_every_label_can_be_read_with_its_policy(tmp_path):
    with open_session(plan(), tmp_path / "t") as session:
        assert [run_one(session, label) for label in (WIN, DROP, WIN, DROP)] == [1, 2, 3, 4]
        assert session.next_trial() is None and session.finished == 4
    key = read_key(tmp_path / "t")
    assert sorted(trial.policy for trial in key) == ["policy", "policy", "prior", "prior"]
    journal = Journal(tmp_path / "t" / JOURNAL_FILE)
    assert [journal.state(trial.number).label for trial in key] == [WIN, DROP, WIN, DROP]


def test_the_operator_reads_trial_and_scene_and_never_the_policy(tmp_path):
    with open_session(plan(conditions=("red", "blue")), tmp_path / "t") as session:
        shown = [session.describe(trial) for trial in session.trials]
        shown += [json.dumps(session.metadata(trial)) for trial in session.trials]
        for label in (WIN, DROP, WIN, DROP):
            run_one(session, label)
    shown.append((tmp_path / "t" / JOURNAL_FILE).read_text())
    assert not [text for text in shown if "prior" in text or "policy" in text]
    assert shown[0].startswith("trial 1 of 4, scene ")
    assert "policy" in (tmp_path / "t" / KEY_FILE).read_text()
    with open_session(plan(blinded=False), tmp_path / "u") as session:
        assert "policy" in session.describe(session.trials[0])


def test_an_invalid_trial_runs_again_and_its_reason_is_kept(tmp_path):
    with open_session(plan(), tmp_path / "t") as session:
        assert [run_one(session, label) for label in (BAD, BAD, WIN, WIN)] == [1, 1, 1, 2]
        state = session.journal.state(1)
        assert (state.attempts, state.label, state.invalid) == (3, WIN, [BAD, BAD])


def test_undo_withdraws_one_label_after_the_other_and_asks_for_it_again(tmp_path):
    with open_session(plan(), tmp_path / "t") as session:
        journal = session.journal
        assert journal.undo("ada") is None
        run_one(session, WIN), run_one(session, WIN)
        assert (journal.undo("ada"), journal.undo("ada"), journal.undo("ada")) == (2, 1, None)
        assert [run_one(session, label) for label in (DROP, WIN)] == [1, 2]
        assert journal.state(1).attempts == 1, "it did not run again"
        run_one(session, BAD)
        journal.begin(3, "ada")
        journal.cut_off(3, "the camera was lost")
        assert journal.undo("ada") == 2, "what made a trial invalid by itself is not undone"
        kinds = [event["event"] for event in journal.events]
        assert kinds.count("undone") == 3 and kinds.count("labelled") == 5, "all is kept"


def test_what_does_not_fit_the_trials_state_is_refused(tmp_path):
    with open_session(plan(), tmp_path / "t") as session:
        journal = session.journal
        with pytest.raises(ConfigError, match="trial 1 is not run"):
            journal.label(1, WIN)
        with pytest.raises(ConfigError, match="trial 1 does not run"):
            journal.end(1, "x", 1.0)
        with pytest.raises(ConfigError, match="trial 1 has no label yet"):
            journal.relabel(1, WIN)
        run_one(session, WIN)
        with pytest.raises(ConfigError, match="trial 1 is labelled success already"):
            journal.label(1, DROP)
        with pytest.raises(ConfigError, match="trial 1 was run already"):
            journal.begin(1, "ada")
        before = len(journal.events)
    assert len(Journal(tmp_path / "t" / JOURNAL_FILE).events) == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("maybe", "ada"), "label must be one of success, failure, invalid, got 'maybe'"),
        (("failure", "ada"), "the label failure needs a reason of one line, got ''"),
        (("invalid", "ada", " "), "the label invalid needs a reason"),
        (("success", "ada", "luck"), "the label success needs no reason, got 'luck'"),
        (("failure", "ada", "x" * 300), "the label failure needs a reason"),
    ],
)
def test_a_label_that_makes_no_sense_is_refused(words, reason):
    with pytest.raises(ConfigError, match=reason):
        Label(*words)


def test_a_later_label_stays_beside_the_first_and_says_whether_the_key_was_known(tmp_path):
    with open_session(plan(), tmp_path / "t") as session:
        run_one(session, WIN)
    relabel(tmp_path / "t", 1, Label(FAILURE, "bob", "dropped"))
    journal = Journal(tmp_path / "t" / JOURNAL_FILE)
    journal.open("ada")
    relabel(tmp_path / "t", 1, Label(SUCCESS, "eve"))
    journal = Journal(tmp_path / "t" / JOURNAL_FILE)
    assert journal.state(1).label == WIN and len(journal.state(1).relabels) == 2
    assert [event.get("after_opening") for event in journal.events[-3:]] == [False, None, True]
    for number in (0, 5):
        with pytest.raises(ConfigError, match=f"trial must be from 1 to 4, got {number}"):
            relabel(tmp_path / "t", number, WIN)
    with pytest.raises(ConfigError, match="trial 2 has no label yet"):
        relabel(tmp_path / "t", 2, WIN)
    with pytest.raises(DataError, match="there is no"):
        relabel(tmp_path / "nowhere", 1, WIN)


def test_a_plan_that_changed_after_the_first_trial_is_refused_with_both_hashes(tmp_path):
    first, other = plan(), plan(trials=3)
    with open_session(first, tmp_path / "t"):
        pass
    with open_session(other, tmp_path / "t") as session:
        run_one(session, WIN)
    with (
        pytest.raises(ConfigError, match=r"its plan\.trials is 3, not 2") as refused,
        open_session(first, tmp_path / "t"),
    ):
        pass
    assert first.hash in str(refused.value) and other.hash in str(refused.value)
    with open_session(other, tmp_path / "t") as session:
        assert session.finished == 1


def test_two_operators_cannot_label_one_series(tmp_path):
    with open_session(plan(), tmp_path / "t") as session:
        run_one(session, WIN)
        with (
            pytest.raises(ConfigError, match=r"one operator at a time: .*conure trials run"),
            open_session(plan(), tmp_path / "t"),
        ):
            pass
        with pytest.raises(ConfigError, match="one operator at a time"):
            relabel(tmp_path / "t", 1, DROP)


KILLED = """
    import os, sys
    from tests.ros.test_trial_session import *
    with open_session(plan(), Path(sys.argv[1])) as session:
        run_one(session, WIN)
        session.journal.begin(2, "ada")
        if sys.argv[2] == "ended":
            session.journal.end(2, "2.mcap", 1.0)
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("when", ["running", "ended"])
def test_a_session_that_is_killed_goes_on_and_no_trial_is_lost(tmp_path, when):
    words = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "t"), when]
    root = Path(__file__).parents[2]
    killed = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(root)}, timeout=120)
    assert killed.returncode == -9
    with open_session(plan(), tmp_path / "t") as session:
        state = session.journal.state(2)
        assert session.journal.state(1).label == WIN and session.next_trial().number == 2
        if when == "ended":
            assert state.awaits_label and state.recording == "2.mcap"
        else:
            assert state.label == Label(INVALID, "", INTERRUPTED)
        run_one(session, DROP)
        assert state.attempts == (1 if when == "ended" else 2)


@settings(max_examples=15)
@given(st.data())
def test_whatever_a_kill_left_of_the_last_line_the_whole_lines_count(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("t")
    with open_session(plan(), folder) as session:
        for label in (WIN, BAD, DROP):
            run_one(session, label)
        lines = (folder / JOURNAL_FILE).read_bytes()
    cut = data.draw(st.integers(0, len(lines)))
    (folder / JOURNAL_FILE).write_bytes(lines[:cut])
    whole = lines[:cut].count(b"\n")
    with open_session(plan(), folder) as session:
        assert len([e for e in session.journal.events if e["event"] != "cut_off"]) == whole
        while session.next_trial():
            run_one(session, WIN)
        assert session.finished == 4
    events = [json.loads(line) for line in (folder / JOURNAL_FILE).read_text().splitlines()]
    assert [event["line"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("damage", [b"nonsense\n", b'{"event": "begun"}\n', b'["begun"]\n'])
def test_a_damaged_line_and_files_that_do_not_belong_are_named(tmp_path, damage):
    with open_session(plan(), tmp_path) as session:
        run_one(session, WIN)
    journal, key = tmp_path / JOURNAL_FILE, tmp_path / KEY_FILE
    text = journal.read_bytes()
    journal.write_bytes(damage + text)
    with pytest.raises(DataError, match="is damaged in line 1"), open_session(plan(), tmp_path):
        pass
    journal.write_bytes(text)
    stored = json.loads(key.read_text())
    key.write_text(json.dumps({**stored, "plan_hash": "f" * 64}))
    with pytest.raises(DataError, match="is of the plan ffff"):
        read_key(tmp_path)
    (tmp_path / PLAN_FILE).write_text("{}")
    with pytest.raises(DataError, match=r"plan\.json is damaged"):
        read_key(tmp_path)
