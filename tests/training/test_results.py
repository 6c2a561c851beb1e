"""The plan, the checks and the page: what is shown follows from the records and from nothing
else.
"""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conure_experiments import ledger
from conure_experiments.checks import CHECKS
from conure_experiments.checks.priors import (
    fresh_starts,
)
from conure_experiments.ledger import read_records, record_path, resolve_word
from conure_experiments.page import write_page
from conure_experiments.plan import PACKAGE, SCALES, hours, load_plan
from conure_experiments.readme import results_table

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_sim.envs.evaluation_sets import HELD_OUT
from conure_sim.randomization.dynamics import SERVO_FACTORS
from conure_sim.randomization.factors import find_randomization
from conure_training.data.collect import DemosConfig
from conure_training.evaluation.evaluate import EvaluateConfig
from conure_training.prior.train import PriorConfig
from conure_training.rl.train import RunConfig

from .toy_ledger import as_measured, fill_with_made_up, made_up_record, made_up_runs

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {"demos": DemosConfig, "prior": PriorConfig, "rl": RunConfig, "evaluate": EvaluateConfig}
PLAN = load_plan()
FROM_DEMONSTRATIONS = [
    "off_policy",
    "montezuma",
    "drawer",
    "gail",
    "gail_task_reward",
    "dqfd",
    "visuomotor",
]
"""Experiments that may take eight hours together."""


def accepted(experiments):
    """Every command of these experiments, read by its verb; each kind of words once."""
    seen = set()
    for entry in PLAN.select("second"):
        for command in entry.commands.values():
            words = [
                resolve_word(word, Path("out")) for word in (*command.words, f"out={command.out}")
            ]
            method = [word for word in words if word.startswith("method=")]
            kind = (command.verb, *method, *(word.split("=")[0] for word in words))
            if entry.experiment in experiments and command.verb in SCHEMAS and kind not in seen:
                seen.add(kind)
                load_config("conure_training.conf", command.verb, SCHEMAS[command.verb], words)
    return seen


def test_commands_of_the_plan_are_ones_that_their_verbs_take():
    assert accepted({"first_rollouts", "transfer"})


def test_every_command_of_the_plan_is_one_that_its_verb_takes(capsys):
    assert accepted({"shared", *CHECKS})
    assert capsys.readouterr().err == ""  # no old name of a key among them


def test_a_word_that_has_another_name_now_leaves_the_digest_of_its_entry(tmp_path):
    group = """
rates: {learning_steps_s: 1, rollout_steps_s: 1, collecting_steps_s: 1, start_minutes: 0, prior_minutes: 1, experiment_minutes: 1, alone_speedup: 1}
groups:
  - {experiment: toy, name: toy, over: {first: {}}, commands: {rl: rl WORD steps=1}}
"""
    earlier = "earlier_names: {method=new: method=old flag=true}"

    def digest(text):
        (tmp_path / "plan.yaml").write_text(text)
        return load_plan(str(tmp_path / "plan.yaml")).entries["toy/toy"].digest

    before = digest(group.replace("WORD", "method=old flag=true"))
    renamed = group.replace("WORD", "method=new")
    assert digest(earlier + renamed) == before != digest(renamed)


def test_the_first_pass_is_what_was_asked_for_and_the_second_holds_it():
    first, second = (PLAN.select(scale) for scale in SCALES)
    assert {entry.key for entry in first} < {entry.key for entry in second}
    for scale, tasks, seeds, methods in (("first", 4, 3, 7), ("second", 8, 5, 11)):
        headline = PLAN.select(scale, "headline")
        for variable, count in (("evaluation", tasks), ("seed", seeds), ("method", methods)):
            assert len({entry.variables[variable] for entry in headline}) == count
        assert len(headline) == tasks * seeds * methods
    assert [name for name in PLAN.experiments if name != "shared"] == list(CHECKS)
    assert (
        len(
            [
                entry
                for entry in PLAN.select("first", "fresh_start")
                if "evaluation" in entry.variables
            ]
        )
        == 9
    )
    learned = [entry for entry in first if entry.experiment in FROM_DEMONSTRATIONS]
    assert hours(learned, 2) < 8.0
    assert hours([entry for entry in first if entry not in learned], 2) < 10.0


def test_every_method_of_the_headline_gets_the_same_task_and_steps():
    for task in HELD_OUT:
        entries = [
            entry
            for entry in PLAN.select("second", "headline")
            if entry.variables["evaluation"] == task
        ]
        shared = {
            tuple(word for word in entry.commands["rl"].words if _of_the_task(word))
            for entry in entries
        }
        assert len(shared) == 1, shared
        assert f"target={HELD_OUT[task].target}" in shared.pop()


def test_mismatched_learners_get_the_same_prior_and_steps_and_the_original_no_demonstration():
    entries = PLAN.select("first", "mismatch")
    commands = {entry.variables["learner"]: entry.commands["rl"].words for entry in entries}
    assert list(commands) == ["escape", "original", "latent"]
    for needed in ("steps=", "prior=", "target="):
        assert (
            len({word for words in commands.values() for word in words if word.startswith(needed)})
            == 1
        )
    assert "demonstration_share=0" in commands["original"]


def _of_the_task(word):
    return word.split("=")[0] in (
        "task",
        "target",
        "objects",
        "containers",
        "distractors",
        "steps",
        "evaluate_every",
    )


def test_what_an_entry_needs_is_in_its_digest(tmp_path):
    text = (ROOT / "training/experiments/conure_experiments/plan.yaml").read_text()
    other = tmp_path / "plan.yaml"
    other.write_text(text.replace("episodes.Lift=4000", "episodes.Lift=4001"))
    changed = load_plan(str(other))
    differ = {
        key for key, entry in PLAN.entries.items() if entry.digest != changed.entries[key].digest
    }
    assert {"shared/demos", "shared/prior", "headline/latent-pick_azure-0"} <= differ
    assert not any(key.startswith(("precise", "fresh_start", "asymmetric")) for key in differ)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "needs: {demos: shared/demos}",
            "needs: {demos: shared/dmos}",
            "did you mean 'shared/demos'",
        ),
        (
            "needs: {demos: shared/demos}",
            "needs: {demos: shared/prior}",
            "shared/prior needs shared/prior",
        ),
        ("pick_azure", "pick_azur", "did you mean 'pick_azure'"),
        ("first: {}", "frist: {}", "Valid: first, second"),
        ("demos={demos}/demos", "demos={dmos}/demos", "'dmos' is not a variable, need or key"),
        ("prior demos=", "prio demos=", "did you mean 'prior'"),
        ("rates:", "rats:", "expected a plan with rates and groups"),
    ],
)
def test_a_plan_that_cannot_be_says_why(tmp_path, old, new, error):
    text = (ROOT / "training/experiments/conure_experiments/plan.yaml").read_text()
    (tmp_path / "plan.yaml").write_text(
        text.replace(old, new, 1) if old != "pick_azure" else text.replace(old, new)
    )
    with pytest.raises(ConfigError, match=re.escape(error)):
        load_plan(str(tmp_path / "plan.yaml"))


def test_perturbed_worlds_lie_outside_the_ranges_of_full():
    full, perturbed = (
        find_randomization("full"),
        find_randomization(resolve_word(f"{PACKAGE}/perturbed.yaml", Path())),
    )
    of_measured_servos = set(SERVO_FACTORS.values())  # the plan's arms have none
    for name, known in vars(full).items():
        if name in of_measured_servos:
            continue
        new = getattr(perturbed, name)
        if isinstance(known, tuple):
            assert new[0] >= known[1] or new[1] <= known[0], f"{name}: {new} inside {known}"
            assert new != known
        else:
            assert new > known, name


def states(scale, made):
    runs = made_up_runs(PLAN, scale, made)
    return {check.what: check.met for checks in CHECKS.values() for check in checks(runs)}


@pytest.mark.parametrize("scale", SCALES)
def test_checks_are_met_by_records_that_show_what_they_must(scale):
    assert set(states(scale, as_measured).values()) == {True}


def test_a_miss_shows_as_a_miss():
    found = states("first", lambda entry: made_up_record(entry, 0.5))
    for what in ("area under the curve, latent minus rlpd", "final success of scratch, any task"):
        assert found[what] is False
    for what in (
        "final success of latent, pick",
        "final success, original",
        "final success, escape",
    ):
        assert found[what] is False
    assert found["steps to 80 %, critic on state or features, pick_azure"] is False
    assert found["from no data to 90 % on Lift, median"] is False
    assert found["success after GAIL, 30 demonstrations of BlockLift"] is False
    assert found["success with GAIL's and the task's reward"] is False


def test_one_task_behind_misses_the_whole_headline():
    def made(entry):
        behind = (
            entry.variables.get("method") == "ibrl"
            and entry.variables["evaluation"] == "pick_orange"
        )
        return made_up_record(entry, 0.99, 0.1) if behind else as_measured(entry)

    found = states("first", made)
    assert found["area under the curve, latent minus ibrl"] is False
    assert found["area under the curve, latent minus rlpd"] is True


def test_one_missing_entry_makes_its_checks_incomplete_and_no_others():
    def made(entry):
        return (
            None
            if entry.key in ("headline/rlpd-pick_azure-1", "transfer/none-pick_azure-2")
            else as_measured(entry)
        )

    found = states("first", made)
    incomplete = {what for what, state in found.items() if state is None}
    assert incomplete == {
        "area under the curve, latent minus rlpd",
        "success calm / perturbed, by training",
    }
    assert set(states("first", lambda entry: None).values()) <= {None}


def test_fresh_start_adds_demonstrations_prior_and_learning_until_the_level():
    def made(entry):
        record = as_measured(entry)
        seconds = {"demos": 120.0, "prior": 240.0}.get(next(iter(record.seconds)), 300.0)
        return replace(record, seconds=dict.fromkeys(record.seconds, seconds))

    runs = made_up_runs(PLAN, "first", made)
    parts = fresh_starts(runs)
    assert len(parts) == 9
    assert all(
        seconds[:2] == (120.0, 240.0) and 0 <= seconds[2] <= 300 for seconds in parts.values()
    )
    (check,) = CHECKS["fresh_start"](runs)
    minutes = float(check.found.split()[0])
    assert 6.0 < minutes < 11.0
    assert (minutes < 10) == check.met


def test_a_record_of_another_plan_does_not_count_and_a_damaged_one_is_named(tmp_path):
    entries = PLAN.select("first", "precise")
    fill_with_made_up(
        PLAN, "first", tmp_path, lambda entry: made_up_record(entry) if entry in entries else None
    )
    assert set(read_records(tmp_path, entries)) == {entry.key for entry in entries}
    assert not read_records(tmp_path, [replace(entry, digest="other") for entry in entries])
    record_path(tmp_path, entries[0].key).write_text("{}")
    with pytest.raises(DataError, match=re.escape(str(record_path(tmp_path, entries[0].key)))):
        read_records(tmp_path, entries)


def test_records_are_strict_json_without_this_machines_folders(tmp_path):
    out = tmp_path / "runs"
    entry = PLAN.entries["precise/0"]
    path = ledger.resolve_path(entry.commands["figures"].result, out)
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"config": {"where": f"{out}/shared"}, "excess_nats_ours": math.nan})
    )
    origin = {"commit": "a", "machine": {}, "versions": {}, "device": "cpu"}
    ledger.write_record(tmp_path, ledger.make_record(entry, out, {"figures": 1.0}, origin))
    text = record_path(tmp_path, entry.key).read_text()
    assert str(tmp_path) not in text
    assert "NaN" not in text
    assert json.loads(text)["results"] == {"figures": {"excess_nats_ours": None}}


def test_the_page_is_the_same_whenever_the_records_are_and_shows_each_figure(tmp_path):
    for name in ("one", "two"):
        fill_with_made_up(PLAN, "first", tmp_path / name, as_measured)
        write_page(PLAN, tmp_path / name)
    one, two = (
        {
            path.name: path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.suffix in (".md", ".svg")
        }
        for name in ("one", "two")
    )
    assert one == two
    page = one["README.md"].decode()
    pictures = set(re.findall(r"figures/([\w-]+\.svg)", page))
    assert pictures == {name for name in one if name.endswith(".svg")}
    assert pictures
    assert "48,000 labelled scenes" in page
    assert "| full | 96 | 90% | nan |" in page, (
        "the rows on randomization say what their priors see"
    )


def test_a_figure_that_has_nothing_to_show_any_more_is_removed(tmp_path):
    fill_with_made_up(PLAN, "first", tmp_path, as_measured)
    write_page(PLAN, tmp_path)
    assert (tmp_path / "figures/transfer.svg").is_file()
    for record in (tmp_path / "runs/transfer").glob("*.json"):
        record.unlink()
    write_page(PLAN, tmp_path)
    assert (
        not (tmp_path / "figures/transfer.svg").exists()
        and (tmp_path / "figures/mismatch.svg").is_file()
    )


def test_a_figure_shows_no_task_before_its_experiment_has_begun_it(tmp_path):
    def page_and_pictures():
        page = write_page(PLAN, tmp_path).read_text()
        return page, [
            (tmp_path / "figures" / name).read_bytes()
            for name in ("auxiliary.svg", "data-size.svg")
        ]

    fill_with_made_up(PLAN, "first", tmp_path, as_measured)
    first_page, first_pictures = page_and_pictures()
    ledger.write_record(tmp_path, as_measured(PLAN.entries["precise/3"]))
    page, pictures = page_and_pictures()
    assert "second pass" in page and "second pass" not in first_page
    assert pictures == first_pictures


def test_the_committed_page_is_what_the_committed_records_make(tmp_path):
    committed = ROOT / "docs/results"
    copy = tmp_path / "results"
    for record in sorted((committed / "runs").rglob("*.json")):
        target = copy / record.relative_to(committed)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(record.read_bytes())
    page = write_page(PLAN, copy).read_text()
    assert (committed / "README.md").read_text() == page, (
        "python training/experiments/run.py page writes it anew"
    )
    names = [{path.name for path in (folder / "figures").glob("*")} for folder in (committed, copy)]
    assert names[0] == names[1]


def test_the_table_of_the_readme_has_a_row_for_what_is_complete_and_for_nothing_else(tmp_path):
    fill_with_made_up(PLAN, "first", tmp_path, as_measured)
    whole = results_table(PLAN, tmp_path)
    assert all(word in whole for word in ("SAC from scratch", "minutes", "`randomization=none`"))
    assert "-core" in whole.splitlines()[2], "what it cost, and on which machine"
    next((tmp_path / "runs/fresh_start").glob("*.json")).unlink()
    next((tmp_path / "runs/headline").glob("scratch-*.json")).unlink()
    rest = results_table(PLAN, tmp_path)
    assert "minutes" not in rest
    assert "SAC from scratch" not in rest
    assert "`randomization=none`" in rest
    assert "wait for runs" in rest
