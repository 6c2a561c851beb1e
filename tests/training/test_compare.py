"""`conure compare A B`, `conure power` and `conure bench statistics`: claims, tables, refusals."""

import json
from pathlib import Path

import pytest

from conure_core.cli import main
from conure_ros.recording.trials import InvalidTrial, Measures, Settings, Trial, TrialsFile
from conure_training.evaluation.comparison import Comparison, compare_evaluations
from conure_training.evaluation.outcomes import load_evaluation

SCENE = {
    "task": "Lift", "arm": "wx250s", "objects": "test", "containers": "train", "target": "",
    "distractors": 2, "randomization": {"preset": "none"},
}  # fmt: skip
TARGETS = ("mug", "pear")


def simulated(path: Path, successes: str, first_seed: int = 0, **settings: object) -> Path:
    """Write what `conure evaluate` writes: "1" is a success; targets take turns."""
    episodes = [
        {"seed": seed, "steps": 9, "target": TARGETS[seed % 2], "success": sign == "1"}
        for seed, sign in enumerate(successes, first_seed)
    ]
    path.write_text(json.dumps({"config": {**SCENE, **settings}, "episodes": episodes}))
    return path


def through_the_graph(folder: Path, successes: str, target: str = "mug") -> Path:
    """Write what the evaluator node writes."""
    file = TrialsFile(folder, Settings("Lift", target, 0, 0.0, "hash"))
    for seed, sign in enumerate(successes):
        name = f"{seed}.mcap"
        file.add(Trial(seed, target, sign == "1", 2.0, name, "", Measures()))
    file.add_invalid(InvalidTrial(len(successes), "homing failed"))
    return folder


def compared(first: Path, second: Path) -> Comparison:
    return compare_evaluations(load_evaluation(first), load_evaluation(second))


def test_the_claim_with_its_interval_comes_first(tmp_path, capsys) -> None:
    worse = simulated(tmp_path / "a.json", "1110" * 10 + "0" * 10)
    better = simulated(tmp_path / "b.json", "1111" * 10 + "1" * 10)
    assert main(["compare", str(worse), str(better)]) == 0
    claim, *rest = capsys.readouterr().out.splitlines()
    assert claim.startswith(f"{better} succeeds more often than {worse}, by 40.0 points (95 % int")
    assert claim.endswith("100.0% against 60.0%, 50 pairs of the same scenes")
    text = "\n".join(rest)
    for part in ("all", *TARGETS, "30/50", "50/50", "-40.0 [", "A alone 0, B alone 20"):
        assert part in text, part
    assert f"looked at after every pair: {better} better after" in text


def test_the_claim_turns_with_the_sides_and_is_written(tmp_path) -> None:
    worse = simulated(tmp_path / "a.json", "1110" * 10)
    better = simulated(tmp_path / "b.json", "1111" * 10)
    one, other = compared(worse, better), compared(better, worse)
    assert one.claim == other.claim and one.is_shown
    assert one.rows[0].difference == -other.rows[0].difference
    assert one.probability_first_better == pytest.approx(1 - other.probability_first_better)
    out = tmp_path / "comparison.json"
    assert main(["compare", str(worse), str(better), f"out={out}"]) == 0
    written = json.loads(out.read_text())
    assert written["claim"] == one.claim
    assert written["pairs"]["only_second"] == 10
    assert written["rows"][0]["difference"]["value"] == -0.25


def test_thousands_of_lopsided_trials_have_a_claim(tmp_path) -> None:
    worse = simulated(tmp_path / "a.json", "0" * 3000)
    better = simulated(tmp_path / "b.json", "1" * 3000)
    found = compared(worse, better)
    assert found.is_shown and "by 100.0 points" in found.claim
    assert found.sequential.e_values == (0.0, pytest.approx(1e300))
    assert 0.0 <= found.p_value < 1e-12 and found.probability_first_better < 1e-12
    apart = compared(worse, simulated(tmp_path / "c.json", "1" * 3000, first_seed=5000))
    assert apart.is_shown and apart.probability_first_better < 1e-12


def test_two_policies_that_are_alike_are_not_told_apart(tmp_path) -> None:
    first = simulated(tmp_path / "a.json", "1101" * 10)
    second = simulated(tmp_path / "b.json", "1110" * 10)
    found = compared(first, second)
    assert found.claim.startswith("no difference is shown: ")
    assert not found.is_shown
    assert found.sequential.decided_after is None
    assert found.rows[0].difference.low < 0 < found.rows[0].difference.high


@pytest.mark.parametrize(
    ("settings", "because"),
    [
        ({"objects": "train"}, "the scenes differ: objects"),
        ({"randomization": {"preset": "full"}, "distractors": 0}, "distractors, randomization"),
        ({"first_seed": 1000}, "they have no seed in common"),
        ({"first_seed": 1}, ""),
    ],
)
def test_trials_are_pairs_only_where_their_scenes_are_the_same(tmp_path, settings, because) -> None:
    first = simulated(tmp_path / "a.json", "1110" * 10)
    second = simulated(tmp_path / "b.json", "1111" * 10, **settings)
    found = compared(first, second)
    if because:
        assert because in found.unpaired_because and because in found.claim
        assert found.pairs is None and found.sequential is None
        assert found.rows[0].first.trials == found.rows[0].second.trials == 40
    else:
        assert found.pairs.pairs == 39 and found.left_out == (1, 1)


def test_trials_of_the_graph_are_read_with_their_invalid_ones(tmp_path) -> None:
    first = through_the_graph(tmp_path / "a", "1100" * 5)
    second = through_the_graph(tmp_path / "b", "1111" * 5)
    found = compared(first, second / "trials.json")
    assert found.pairs.only_second == 10 and found.is_shown
    assert found.invalid == (1, 1)
    assert [row.condition for row in found.rows] == ["all"]


def test_graph_and_simulation_are_not_pairs(tmp_path) -> None:
    first = simulated(tmp_path / "a.json", "1110" * 5)
    second = through_the_graph(tmp_path / "b", "1111" * 5)
    found = compared(first, second)
    assert found.unpaired_because == (
        "one ran in simulation, the other through the graph, and the scenes differ: target"
    )
    pear = next(row for row in found.rows if row.condition == "pear")
    assert pear.second is None and pear.difference is None


def test_equal_seeds_with_another_target_are_not_pairs(tmp_path) -> None:
    first = simulated(tmp_path / "a.json", "1110")
    data = json.loads(first.read_text())
    data["episodes"][2]["target"] = "pear"
    second = tmp_path / "b.json"
    second.write_text(json.dumps(data))
    assert (
        compared(first, second).unpaired_because == "the scenes differ: seed 2 has another target"
    )


WRONG = {
    "empty": ("", "is damaged (it is empty); remove it"),
    "half": ('{"config": {"task"', "is damaged"),
    "number": ("5", "holds no evaluation: expected 'episodes'"),
    "other": ('{"rows": []}', "holds no evaluation: expected 'episodes'"),
    "no config": ('{"episodes": []}', "is damaged (no key 'config')"),
    "text": ('{"episodes": 5, "config": {"task": "Lift"}}', "is damaged"),
    "nothing run": ('{"episodes": [], "config": {"task": "Lift"}}', "holds no finished trial"),
    "format": ('{"format": 7, "trials": []}', "has format 7, this program reads 1"),
    "task": ('{"episodes": [ROW], "config": {"task": "Stack"}}', "expected one task, got 'Lift'"),
    "twice": ('{"episodes": [ROW, ROW], "config": {"task": "Lift"}}', "holds seed 3 2 times"),
    "word": ('{"episodes": [WORD], "config": {"task": "Lift"}}', "success 'yes', expected"),
    "list": ('{"episodes": [[1]], "config": {"task": "Lift"}}', "is damaged"),
}
ROW = '{"seed": 3, "target": "mug", "success": true}'


@pytest.mark.parametrize(("content", "said"), WRONG.values(), ids=WRONG)
def test_a_file_that_does_not_fit_is_one_line(tmp_path, capsys, content, said) -> None:
    good = simulated(tmp_path / "a.json", "1110")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(content.replace("ROW", ROW).replace("WORD", ROW.replace("true", '"yes"')))
    assert main(["compare", str(good), str(wrong)]) == 1
    error = capsys.readouterr().err
    assert said in error and str(wrong) in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected two evaluations, got first='' and second=''"),
        (["{a}"], "second=''"),
        (["{a}", "{a}"], "was given twice; give two evaluations"),
        (["{a}", "{a}", "{a}"], "takes two evaluations, got 3"),
        (["{a}", "{folder}/none"], "there is no {folder}/none; give the out= of conure evaluate"),
        (["{a}", "{folder}"], "there is no {folder}/trials.json"),
        (["{a}", "{a}", "alpha=1"], "unknown key"),
        (["{a}", "{b}", "out={folder}"], "is a folder, and a file is written"),
    ],
)
def test_wrong_words_are_one_line(tmp_path, capsys, words, said) -> None:
    places = {"a": simulated(tmp_path / "a.json", "1110"), "folder": tmp_path}
    places["b"] = simulated(tmp_path / "b.json", "1110")
    assert main(["compare", *(word.format_map(places) for word in words)]) == 1
    error = capsys.readouterr().err
    assert said.format_map(places) in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["it's (1), [2] & more.json", "lr=3/a,b.json", "$HOME #a.json"])
def test_files_may_have_any_name(tmp_path, monkeypatch, capsys, name) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    first = simulated(Path(name), "1110")
    second = simulated(Path("b.json"), "1111")
    assert main(["compare", f"./{first}", str(second)]) == 0, capsys.readouterr().err
    assert f"{second} minus {first} is" in capsys.readouterr().out


def test_the_page_shows_what_power_prints(capsys) -> None:
    command = "conure power rate=0.8 other=0.9 correlation=0.3"
    assert main(command.split()[1:]) == 0
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text()
    assert f"$ {command}\n{capsys.readouterr().out}" in page


def test_power_of_equal_rates_is_refused(capsys) -> None:
    assert main(["power", "rate=0.8", "other=0.8"]) == 1
    error = capsys.readouterr().err
    assert "the lower one first, got 0.8 and 0.8" in error and error.count("\n") == 1


def test_every_row_of_the_bench_is_measured_and_the_same_again(tmp_path) -> None:
    reports = []
    for name in ("one.json", "again.json"):
        words = [f"out={tmp_path / name}", "evaluations=200", "trials=[20]", "correlations=[0.3]"]
        assert main(["bench", "statistics", *words]) == 0
        reports.append(json.loads((tmp_path / name).read_text())["rows"])
    assert reports[0] == reports[1]
    rows = {row["name"]: row for row in reports[0]}
    for part in ("exact, n = 20", "Wilson, n = 20", "type I error, correlation 0.3", "saved at"):
        assert any(part in name for name in rows), part
    enumerated = [
        row for name, row in rows.items() if "enumerated" in name and row["met"] is not None
    ]
    assert len(enumerated) == 2 and all(row["met"] for row in enumerated)


def test_an_unknown_row_of_the_bench_is_refused(capsys) -> None:
    assert main(["bench", "statistics", "rows=[nope]"]) == 1
    assert "unknown row of conure bench statistics 'nope'" in capsys.readouterr().err
