"""`conure bench sim` at toy size: every row, measured and judged by its figure."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conure_core.cli import main
from conure_core.cli.bench_report import Row
from conure_core.errors import ConfigError
from conure_core.runtime.resume import identity
from conure_sim.benchmarks.command import MEASUREMENTS, run
from conure_sim.benchmarks.experts import Cell, expert_rates
from conure_sim.benchmarks.measurements import memory_growth_mb, reset_median_s
from conure_sim.envs.expert_success import success_rate

TOY = [
    "image_sizes=[48]", "steps=30", "resets=10", "memory_resets=20", "determinism_tasks=[Lift]", "determinism_steps=8",
    "delta_steps=10", "expert_tasks=[Lift]", "expert_episodes=2", "demonstration_episodes=4",
    "restore_tasks=[BlockLift]", "restore_episodes=1",
]  # fmt: skip


def test_every_row_is_measured_and_written(tmp_path, capsys) -> None:
    out = tmp_path / "sim.json"
    assert main(["bench", "sim", f"out={out}", *TOY]) == 0
    report = json.loads(out.read_text())
    assert report["config"]["steps"] == 30
    assert report["machine"]["cores"] >= 1
    names = " ".join(row["name"] for row in report["rows"])
    for part in (
        "steps/s",
        "bare",
        "images=false",
        "snapshot",
        "identical",
        "reset",
        "memory",
        "processes",
        "alike",
        "end-effector",
        "expert",
        "50,000",
    ):
        assert part in names
    for row in report["rows"]:
        assert row["value"] is not None or row["note"]
    assert "asked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "met"),
    [
        (2, 1, None, True),
        (0.5, 1, None, False),
        (2, None, 1, False),
        (1, 1, 1, True),
        (None, 1, None, None),
        (1, None, None, None),
    ],
)
def test_a_row_is_judged_by_its_value(value, at_least, at_most, met) -> None:
    assert Row("x", value, "", at_least, at_most).met is met


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rows=[sped]"], "did you mean 'speed'"),
        (["expert_tasks=[Lft]"], "did you mean 'Lift'"),
        (["restore_tasks=[Por]"], "did you mean 'Pour'"),
        (["randomization=lght"], "did you mean 'light'"),
        (["steps=0"], "steps must be a whole number from 1"),
        (["stps=3"], "did you mean 'steps'"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(words, expected) -> None:
    with pytest.raises(ConfigError, match=expected):
        run(words)


CELLS = [Cell("wx250s", task, "none") for task in ("PressButton", "PushToGoal", "Lift")]


def test_experts_are_measured_over_processes_as_in_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("conure_sim.benchmarks.experts.BLOCK_EPISODES", 4)
    kept = tmp_path / "kept.json"
    rates = dict(expert_rates(CELLS[:2], 6, 2, kept))
    assert list(rates) == CELLS[:2]
    assert rates == {cell: success_rate(cell.task, episodes=6).rate for cell in CELLS[:2]}
    assert not kept.exists()


def test_an_interrupted_run_keeps_what_was_measured_and_goes_on(
    tmp_path: Path, monkeypatch
) -> None:
    kept = tmp_path / "kept.json"
    monkeypatch.setattr("conure_sim.benchmarks.experts.git_commit", lambda: "a" * 40)
    begun = expert_rates(CELLS, 2, 1, kept)
    first = next(begun)
    begun.close()
    marked = json.loads(kept.read_text())
    assert marked["rates"][first[0].name] == first[1]
    marked["rates"] = {first[0].name: 0.125}
    kept.write_text(json.dumps(marked))
    assert next(expert_rates(CELLS[:1], 2, 1, kept)) == (first[0], 0.125)
    assert next(expert_rates(CELLS[:1], 3, 1, kept)) != (first[0], 0.125)


@pytest.mark.parametrize("commit", ["unknown", "a" * 40 + "-dirty", "b" * 40])
def test_rates_of_other_sources_are_measured_again(
    tmp_path: Path, monkeypatch, commit: str
) -> None:
    kept = tmp_path / "kept.json"
    earlier = "a" * 40 if commit == "b" * 40 else commit
    run = identity({"commit": earlier, "episodes": 1})
    kept.write_text(json.dumps({"identity": run, "rates": {CELLS[0].name: 0.125}}))
    monkeypatch.setattr("conure_sim.benchmarks.experts.git_commit", lambda: commit)
    assert next(expert_rates(CELLS[:1], 1, 1, kept)) != (CELLS[0], 0.125)


def test_each_row_is_written_before_the_next_is_measured(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "sim.json"

    def interrupted(_: object) -> Iterator[Row]:
        yield Row("measured", 1.0, "")
        assert [row["name"] for row in json.loads(out.read_text())["rows"]] == ["measured"]
        raise KeyboardInterrupt

    monkeypatch.setitem(MEASUREMENTS, "reset", interrupted)
    assert main(["bench", "sim", f"out={out}", "rows=[reset]"]) == 130
    assert len(json.loads(out.read_text())["rows"]) == 1


def test_resets_do_not_leak() -> None:
    """20,000 resets may add 20 MB, so 1,000 no more than 1, beside what an allocator keeps."""
    assert memory_growth_mb(1000, randomization="full") < 3.0


def test_a_reset_takes_milliseconds(monkeypatch) -> None:
    """Of processor time: other tests' load is not a reset's."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    assert reset_median_s(20, randomization="full") < 0.05
