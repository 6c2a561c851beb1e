"""`conure trials report`: the key is opened at the end, claims come first."""

import json

import pytest

from conure_core.cli import main
from conure_core.errors import ConfigError, DataError
from conure_ros.trials.journal import FAILURE, INVALID, SUCCESS, Journal, Label
from conure_ros.trials.session import JOURNAL_FILE, open_session, relabel
from conure_training.evaluation.planned_trials import report_trials, run
from tests.ros.test_trial_session import plan, run_one

SCENES = 12
DROP, BAD = Label(FAILURE, "ada", "dropped"), Label(INVALID, "ada", "a hand")


def labelled(folder, until=None, **changes):
    """A series in which `policy` always succeeds and `prior` never does, but in scene 1."""
    with open_session(plan(trials=SCENES, **changes), folder) as session:
        run_one(session, BAD)
        while (trial := session.next_trial()) and session.finished != until:
            wins = trial.policy == "policy" or trial.scene == 1
            run_one(session, Label(SUCCESS, "ada") if wins else DROP)
    return folder


def test_the_better_policy_is_claimed_with_its_interval_and_every_trial_counts_once(tmp_path):
    report = report_trials(labelled(tmp_path / "t", conditions=("red", "blue")))
    comparison = report.comparisons[0]
    assert comparison.claim.startswith("policy succeeds more often than prior, by 91.7 points")
    assert comparison.is_shown and comparison.pairs.pairs == SCENES
    results = {result.policy: result for result in report.policies}
    assert results["prior"].failures == {"dropped": SCENES - 1}
    assert {name: rate.trials for name, rate in results["policy"].rates.items()} == {
        "all": SCENES,
        "red": SCENES // 2,
        "blue": SCENES // 2,
    }
    assert sum(result.evaluation.invalid for result in report.policies) == 1
    assert Journal(tmp_path / "t" / JOURNAL_FILE).is_opened


def test_a_look_before_the_end_is_refused_unless_asked_for_and_then_said(tmp_path, capsys):
    folder = labelled(tmp_path / "t", until=6)
    with pytest.raises(ConfigError, match=r"6 of 24 trials in .* are labelled, and a look"):
        report_trials(folder)
    assert not Journal(folder / JOURNAL_FILE).is_opened
    run([f"folder={folder}", "early=true"])
    assert "the key was opened after 6 of 24 trials" in capsys.readouterr().out
    assert Journal(folder / JOURNAL_FILE).is_opened


def test_the_report_says_what_a_person_needs_and_the_json_holds_every_trial(tmp_path, capsys):
    folder = labelled(tmp_path / "t", rule="sequential")
    relabel(folder, 1, DROP)
    run([f"folder={folder}"])
    text = capsys.readouterr().out
    assert text.startswith("policy succeeds more often than prior")
    assert "prior: failures: 11 dropped" in text and "labelled again: " in text
    assert "looked at after every pair, better: policy after" in text
    data = json.loads((folder / "report.json").read_text())
    assert [len(policy["trials"]) for policy in data["policies"]] == [SCENES, SCENES]
    assert data["plan_hash"] == plan(trials=SCENES, rule="sequential").hash


def test_a_folder_that_holds_no_such_trials_or_is_in_use_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*plan\.json"):
        report_trials(tmp_path / "nowhere")
    with (
        open_session(plan(), tmp_path / "t"),
        pytest.raises(ConfigError, match="one operator at a time"),
    ):
        report_trials(tmp_path / "t", early=True)
    with pytest.raises(DataError, match="holds no finished trial of 'p"):
        report_trials(tmp_path / "t", early=True)


@pytest.mark.parametrize("verb", ["trials run", "evaluate graph=robot"])
def test_a_plan_that_is_missing_is_named_by_either_verb(tmp_path, capsys, verb):
    path = tmp_path / "PLAN.yaml"
    assert main([*verb.split(), f"plan={path}"]) == 1
    assert f"{path} cannot be read" in capsys.readouterr().err


def test_a_session_without_a_plan_and_a_label_without_a_name_are_refused(capsys):
    assert main(["trials", "run"]) == 1
    assert "needs a plan: plan=PLAN.yaml" in capsys.readouterr().err
    assert main(["trials", "label", "trial=1", "label=success"]) == 1
    assert "operator must name who labels" in capsys.readouterr().err
