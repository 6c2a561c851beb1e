"""Delays: the injected ones come back, and what a recording cannot tell is not reported."""

from dataclasses import replace

import numpy as np
import pytest

from conure_calibration.benchmarks.motion_cases import draw_latency
from conure_calibration.latency.recording import read_recording
from conure_calibration.latency.response import follow
from conure_calibration.latency.solve import filmed_clock, solve_latency
from conure_calibration.results.result import read_result
from conure_core.cli import main
from conure_core.errors import DataError


@pytest.fixture(scope="module")
def recorded():
    return draw_latency(np.random.default_rng(3))


def save(folder, recording, **changes):
    folder.mkdir(exist_ok=True)
    arrays = {
        name: value for name, value in (vars(recording) | changes).items() if value is not None
    }
    np.savez(folder / "latency.npz", **arrays)
    return folder


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_three_delays_and_the_lag_come_back(seed):
    recording, (camera_s, feedback_s, command_s, lag_s) = draw_latency(np.random.default_rng(seed))
    found = solve_latency(recording)
    assert found.camera.seconds == pytest.approx(camera_s, abs=0.005)
    assert found.feedback_s.seconds == pytest.approx(feedback_s, abs=0.005)
    assert found.command_s.seconds == pytest.approx(command_s, abs=0.005)
    assert found.lag_s == pytest.approx(lag_s, abs=0.003)


def test_delay_and_lag_are_told_apart():
    """A cross-correlation reads their sum."""
    stamps = np.arange(0.0, 12.0, 0.01)
    nod = 0.3 * np.sin(2 * np.pi * (0.3 + 0.08 * stamps) * stamps)
    times, motion = follow(stamps, nod, 0.03, 13.0)
    feedback = np.arange(0.5, 12.0, 0.01)
    measured = np.interp(feedback - 0.02, times, motion)
    recording, _ = draw_latency(np.random.default_rng(0))
    recording = replace(
        recording,
        command_stamp_s=stamps,
        command_rad=nod,
        feedback_stamp_s=feedback,
        feedback_rad=measured,
        camera_stamp_s=feedback + 0.1,
        camera_px=100 * measured,
    )
    found = solve_latency(recording)
    assert found.command_to_feedback.seconds == pytest.approx(0.02, abs=0.002)
    assert found.lag_s == pytest.approx(0.03, abs=0.002)
    assert found.camera_after_feedback.seconds == pytest.approx(0.1, abs=0.001)


def test_jitter_is_seen(recorded):
    recording, _ = recorded
    rng = np.random.default_rng(0)
    shaken = np.sort(recording.camera_stamp_s + 0.008 * rng.normal(size=len(recording.camera_px)))
    found = solve_latency(replace(recording, camera_stamp_s=shaken))
    calm = solve_latency(recording)
    assert calm.camera_after_feedback.jitter_s < 0.004 < found.camera_after_feedback.jitter_s


def test_a_screen_in_step_with_the_camera_widens_the_interval(recorded):
    recording, _ = recorded
    stamps = np.arange(0.0, 10.0, 1 / 30)
    period = 1 / 60
    shown = np.floor((stamps - 0.1) / period + 0.4) * period
    in_step = filmed_clock(
        replace(recording, clock_stamp_s=stamps, clock_shown_s=shown), period, 0.0
    )
    assert abs(in_step.seconds - 0.1) < 2 * in_step.deviation_s
    assert in_step.deviation_s > 0.003


def test_without_a_clock_sum_and_difference_alone_are_reported(recorded, tmp_path, capsys):
    recording, (camera_s, feedback_s, command_s, _) = recorded
    folder = save(tmp_path / "data", recording, clock_stamp_s=None, clock_shown_s=None)
    out = tmp_path / "out"
    assert main(["calibrate", "latency", f"from={folder}", f"out={out}"]) == 0
    result = read_result(out / "result.yaml", "latency")
    names = {quantity.name for quantity in result.quantities}
    assert names == {
        "command_plus_feedback_delay_ms",
        "camera_minus_feedback_delay_ms",
        "joint_lag_ms",
    }
    total = result.value("command_plus_feedback_delay_ms")
    assert total == pytest.approx(1000 * (command_s + feedback_s), abs=5.0)
    difference = result.value("camera_minus_feedback_delay_ms")
    assert difference == pytest.approx(1000 * (camera_s - feedback_s), abs=5.0)
    assert "film a screen" in result.not_observable[0]


def test_the_command_reports_all_three_with_a_clock(recorded, tmp_path):
    recording, (camera_s, *_) = recorded
    folder = save(tmp_path / "data", recording)
    assert main(["calibrate", "latency", f"from={folder}", f"out={tmp_path / 'out'}"]) == 0
    result = read_result(tmp_path / "out/result.yaml", "latency")
    assert result.value("camera_delay_ms") == pytest.approx(1000 * camera_s, abs=5.0)
    assert not result.not_observable
    assert "<svg" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"command_rad": np.zeros(3)},
            "command_stamp_s and command_rad must be lists of one length",
        ),
        ({"camera_px": None}, "lacks camera_px"),
        (
            {"camera_stamp_s": np.zeros(5), "camera_px": np.zeros(5)},
            "camera_stamp_s has 5 values, 30 are needed",
        ),
    ],
)
def test_a_wrong_recording_is_refused_by_array(change, reason, recorded, tmp_path):
    save(tmp_path, recorded[0], **change)
    with pytest.raises(DataError, match=reason):
        read_recording(tmp_path)


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("feedback_rad", lambda values: np.where(values > 0.2, np.nan, values), "not finite"),
        ("feedback_stamp_s", lambda values: values[::-1], "feedback_stamp_s must rise"),
    ],
)
def test_wrong_values_are_refused_by_array(name, spoil, reason, recorded, tmp_path):
    save(tmp_path, recorded[0], **{name: spoil(getattr(recorded[0], name))})
    with pytest.raises(DataError, match=reason):
        read_recording(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("feedback_rad", "feedback_rad follows command_rad by"),
        ("camera_px", "camera_px follows feedback_rad by"),
    ],
)
def test_signals_of_two_motions_are_refused(name, reason, recorded):
    recording, _ = recorded
    noise = np.random.default_rng(0).normal(size=len(getattr(recording, name)))
    with pytest.raises(DataError, match=reason):
        solve_latency(replace(recording, **{name: noise}))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"not numpy"])
def test_a_damaged_file_is_refused_in_a_line(content, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/latency.npz").write_bytes(content)
    words = [f"from={tmp_path / 'data'}", f"out={tmp_path / 'out'}"]
    assert main(["calibrate", "latency", *words]) == 1
    said = capsys.readouterr().err
    assert "latency.npz is damaged" in said and said.count("\n") == 1
