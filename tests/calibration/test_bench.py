"""`conure bench calibration` runs its rows on few cases, and the truth is the one that it drew."""

import json

import pytest

from conure_core.cli import main


def rows_of(path):
    return {row["name"]: row["value"] for row in json.loads(path.read_text())["rows"]}


def test_delays_of_three_cases_are_within_5_ms(tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert main(["bench", "calibration", "rows=[latency]", "cases=3", f"out={out}"]) == 0
    rows = rows_of(out)
    assert len(rows) == 6 and max(rows.values()) < 5.0
    assert "camera delay" in capsys.readouterr().out


def test_hand_eye_and_its_intervals_share_their_cases(tmp_path):
    out = tmp_path / "bench.json"
    words = ["rows=[hand_eye,intervals]", "cases=3", f"out={out}"]
    assert main(["bench", "calibration", *words]) == 0
    rows = rows_of(out)
    for mount in ("stand", "wrist"):
        assert rows[f"{mount}, offsets 1 deg: camera error, median"] < 4.0
        park = rows[f"{mount}, offsets 3 deg: the same, Park alone, median"]
        assert rows[f"{mount}, offsets 3 deg: camera error, median"] < 0.5 * park
        covered = rows[f"{mount}, offsets 3 deg, camera: 90 % intervals that hold the truth"]
        assert 0.5 < covered <= 1.0


def test_an_unknown_row_is_refused_in_a_line(capsys):
    assert main(["bench", "calibration", "rows=[hand]"]) == 1
    assert "unknown row of conure bench calibration 'hand'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["calibrate hand_eye", "calibrate camera", "bench calibration"])
def test_help_names_the_verb_as_it_is_written(verb, capsys):
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    assert capsys.readouterr().out.startswith(f"conure {verb} [key=value ...]")
