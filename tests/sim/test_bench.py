"""`conure bench sim` at toy size: every row, measured and judged by its figure."""

import json

import pytest

from conure_core.cli import main
from conure_core.errors import ConfigError
from conure_sim.bench import Row, run
from conure_sim.bench_measures import memory_growth_mb, reset_median_s

TOY = [
    "image_sizes=[48]", "steps=30", "resets=10", "memory_resets=20", "determinism_tasks=[Lift]", "determinism_steps=8",
    "delta_steps=10", "expert_tasks=[Lift]", "expert_episodes=2", "demonstration_episodes=4",
]  # fmt: skip


def test_every_row_is_measured_and_written(tmp_path, capsys) -> None:
    out = tmp_path / "sim.json"
    assert main(["bench", "sim", f"out={out}", *TOY]) == 0
    report = json.loads(out.read_text())
    assert report["config"]["steps"] == 30
    assert report["machine"]["cores"] >= 1
    names = " ".join(row["name"] for row in report["rows"])
    for part in ("steps/s", "bare", "reset", "memory", "processes", "alike", "end-effector", "expert", "50,000"):
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
        (["simm"], "did you mean 'sim'"),
        ([], "Valid: bus, sim"),
        (["sim", "rows=[sped]"], "did you mean 'speed'"),
        (["sim", "expert_tasks=[Lft]"], "did you mean 'Lift'"),
        (["sim", "randomization=lght"], "did you mean 'light'"),
        (["sim", "steps=0"], "at least 1"),
        (["sim", "stps=3"], "did you mean 'steps'"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(words, expected) -> None:
    with pytest.raises(ConfigError, match=expected):
        run(words)


def test_resets_do_not_leak() -> None:
    """20,000 resets may add 20 MB, so 1,000 no more than 1, beside what an allocator keeps."""
    assert memory_growth_mb(1000, randomization="full") < 3.0


def test_a_reset_takes_milliseconds() -> None:
    assert reset_median_s(20, randomization="full") < 0.05
