"""A result says what it is of; whoever reads it for something else is told."""

from dataclasses import replace

import pytest

from conure_calibration.results.checks import at_most, unmet
from conure_calibration.results.page import rounded, write_page
from conure_calibration.results.result import (
    Quantity,
    Verdict,
    data_hash,
    new_result,
    read_result,
    write_result,
)
from conure_core.errors import ConfigError, SpecMismatch
from conure_core.runtime.requirement import Requirement


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "image.png").write_bytes(b"pixels")
    return folder


@pytest.fixture
def result(data):
    quantities = (Quantity.of("focal_x_px", 600.0, 0.5),)
    verdict = Verdict(True, "Good.")
    return new_result("camera", data, quantities, verdict, "wx250s", (640, 480), ("depth",))


def test_a_result_is_read_as_it_was_written(result, tmp_path):
    write_result(tmp_path / "result.yaml", result)
    found = read_result(tmp_path / "result.yaml", "camera", "wx250s", (640, 480))
    assert found == result
    assert found.value("focal_x_px") == 600.0
    assert found.quantities[0].low == pytest.approx(600 - 1.6449 * 0.5)
    with pytest.raises(ConfigError, match="no 'focal'"):
        found.value("focal")


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (("hand_eye", "wx250s", (640, 480)), "what must be hand_eye, got camera"),
        (("camera", "panda", (640, 480)), "robot must be panda, got wx250s"),
        (("camera", "wx250s", (320, 240)), r"width_px and height_px must be \(320, 240\)"),
    ],
)
def test_a_result_of_something_else_is_refused(result, tmp_path, expected, reason):
    write_result(tmp_path / "result.yaml", result)
    with pytest.raises(SpecMismatch, match=reason):
        read_result(tmp_path / "result.yaml", *expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"verdict": Verdict(False, "One axis.")}, "not usable: One axis"),
        ({"format": 2}, "format must be 1, got 2"),
    ],
)
def test_a_result_that_nobody_should_use_is_refused(result, tmp_path, change, reason):
    write_result(tmp_path / "result.yaml", replace(result, **change))
    with pytest.raises(ConfigError, match=reason):
        read_result(tmp_path / "result.yaml", "camera")


def test_the_hash_is_of_names_and_contents(data, result):
    assert data_hash(data) == result.data_sha256
    (data / "image.png").write_bytes(b"others")
    assert data_hash(data) != result.data_sha256
    (data / "image.png").write_bytes(b"pixels")
    (data / "image.png").rename(data / "other.png")
    assert data_hash(data) != result.data_sha256


def test_the_page_says_all_and_fetches_nothing(result, tmp_path):
    checks = [Requirement("rms <px>", "at most 1", "0.2", True)]
    write_page(tmp_path / "report.html", result, checks, [])
    page = (tmp_path / "report.html").read_text()
    for text in ("Good.", "focal_x_px", "600", "depth", result.data_sha256, "rms &lt;px&gt;"):
        assert text in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (532.8131, 2.086, "532.8"),
        (-0.046358, 0.00159, "-0.0464"),
        (12345.6, 321.0, "12350"),
        (0.25, 0.0, "0.25"),
        (0.25, float("nan"), "0.25"),
        (float("inf"), 0.1, "inf"),
    ],
)
def test_numbers_have_the_digits_that_their_deviation_leaves(value, deviation, text):
    assert rounded(value, deviation) == text


def test_a_check_that_is_not_met_says_what_was_found_and_wanted():
    checks = [at_most("error", 0.2, 1.0, "px"), at_most("ratio", 1.7, 1.6)]
    assert [row.met for row in checks] == [True, False]
    assert unmet(checks) == ("ratio is 1.7, at most 1.6 wanted",)
