import json
from pathlib import Path

import pytest

from conure_core.cli import main
from conure_training.rl.runs import find_runs


def record(successes: list[bool], **more: object) -> dict:
    episodes = [
        {"steps": 10 * (index + 1), "success": success} for index, success in enumerate(successes)
    ]
    return {
        "config": {"method": "rlpd", "task": "Lift", "target": ""},
        "episodes": episodes,
        **more,
    }


def write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))


def test_runs_are_found_with_the_success_of_their_last_fifty_episodes(
    tmp_path: Path, capsys
) -> None:
    more = {
        "evaluations": [{"steps": 0, "success": 0.1}, {"steps": 9, "success": 0.7}],
        "wall_s": 90,
        "commit": "c" * 40,
    }
    write(tmp_path / "a" / "curve.json", record([True] * 30 + [False] * 40 + [True] * 10, **more))
    write(tmp_path / "b" / "progress.json", record([True, False]))
    write(tmp_path / "c" / "curve.json", "{ half a fi")
    write(tmp_path / "d" / "curve.json", {"of": "something else"})
    whole, cut = find_runs(tmp_path)
    assert (whole.folder, whole.finished, whole.steps, whole.recent_success) == (
        "a",
        True,
        800,
        0.2,
    )
    assert (whole.evaluated_success, whole.wall_s, whole.target) == (0.7, 90, "any")
    assert (cut.finished, cut.recent_success, cut.evaluated_success, cut.wall_s) == (
        False,
        0.5,
        None,
        None,
    )
    assert main(["runs", f"root={tmp_path}"]) == 0
    assert "1.5 min" in capsys.readouterr().out


@pytest.mark.parametrize("exists", [True, False])
def test_no_run_is_said_and_where_it_looked(tmp_path: Path, exists: bool, capsys) -> None:
    root = tmp_path if exists else tmp_path / "absent"
    assert main(["runs", f"root={root}"]) == 1
    assert f"no run of conure rl below {root}" in capsys.readouterr().err
