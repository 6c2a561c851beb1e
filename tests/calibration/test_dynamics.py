"""Servos: parameters come back, what was held out is predicted, and hidden things stay unsaid."""

from dataclasses import replace

import numpy as np
import pytest

from conure_calibration.benchmarks.motion_cases import draw_motion, draw_servo, motion_errors
from conure_calibration.dynamics.backlash import fit_backlash, play
from conure_calibration.dynamics.fit import NAMES, Recorded, fit_servo
from conure_calibration.dynamics.servo import Servo, simulate
from conure_calibration.poses import Chain
from conure_calibration.results.result import read_result
from conure_core.cli import main
from conure_core.errors import DataError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

SERVO = Servo(300.0, 25.0, 2.0, 90.0, 8.0, 4.0, 0.02)


@pytest.fixture(scope="module")
def drawn():
    return draw_servo(np.random.default_rng(0))


def test_a_servo_droops_by_gravity_over_stiffness():
    times = np.arange(0.0, 5.0, 0.01)
    free = replace(SERVO, coulomb=0.0, gravity_sin=0.0)
    end = simulate(free, times, np.zeros(len(times)), times, 0.0)[-1]
    assert end == pytest.approx(-free.droop_rad, rel=1e-3)


def test_friction_holds_within_its_dead_band():
    times = np.arange(0.0, 3.0, 0.01)
    level = replace(SERVO, gravity_sin=0.0, gravity_cos=0.0)
    held = simulate(level, times, np.full(len(times), 0.9 * level.dead_band_rad), times, 0.0)
    assert (held == 0.0).all()
    moved = simulate(level, times, np.full(len(times), 1.5 * level.dead_band_rad), times, 0.0)
    assert moved[-1] > 0.3 * level.dead_band_rad


def test_the_drive_saturates():
    times = np.arange(0.0, 0.2, 0.002)
    slow = replace(SERVO, limit=20.0, gravity_sin=0.0, gravity_cos=0.0)
    angles = simulate(slow, times, np.full(len(times), 2.0), times, 0.0)
    assert angles[-1] < 0.5 * 20.0 * 0.2**2


def test_a_command_acts_after_its_delay():
    times = np.arange(0.0, 0.5, 0.002)
    angles = simulate(
        replace(SERVO, gravity_sin=0.0, gravity_cos=0.0, delay_s=0.1), np.array([-1.0, 0.0]),
        np.array([0.0, 1.0]), times, 0.0,
    )  # fmt: skip
    assert (angles[times < 0.1] == 0.0).all() and angles[times > 0.12].min() > 0.0


def test_parameters_come_back_and_what_was_held_out_is_predicted(drawn):
    servo, recorded, *_ = drawn
    found = fit_servo(recorded)
    assert np.degrees(found.held_out_rad) < 0.1
    for name in NAMES[:4]:
        assert getattr(found.servo, name) == pytest.approx(getattr(servo, name), rel=0.06), name
    assert found.servo.delay_s == pytest.approx(servo.delay_s, abs=0.003)
    assert found.servo.droop_rad == pytest.approx(servo.droop_rad, rel=0.1)
    assert not found.hidden


def test_a_limit_that_was_never_reached_is_hidden():
    stamps, command = draw_motion(np.random.default_rng(0))
    command = 0.15 * np.sin(2 * np.pi * 0.4 * stamps)
    strong = replace(SERVO, limit=1e4)
    angles = simulate(strong, stamps, command, stamps, 0.0)
    found = fit_servo(Recorded(stamps, command, stamps, angles))
    assert "limit" in found.hidden
    assert np.degrees(found.held_out_rad) < 0.1


@pytest.mark.parametrize("width_deg", [0.0, 0.5, 1.5])
def test_backlash_comes_back(width_deg, drawn):
    _, recorded, *_ = drawn
    rng = np.random.default_rng(0)
    link = play(recorded.angle_rad, np.radians(width_deg)) + 0.1
    link = link + 0.001 * rng.normal(size=len(link))
    found = fit_backlash(recorded.angle_rad, link)
    assert np.degrees(found.radians) == pytest.approx(width_deg, abs=0.05)


def test_a_load_from_one_side_hides_backlash(drawn):
    _, recorded, *_ = drawn
    pressed = recorded.angle_rad - np.radians(0.5)
    found = fit_backlash(recorded.angle_rad, pressed)
    assert not found.observable or found.radians < np.radians(0.02)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"angle_rad": np.zeros(1200)}, "the joint moves by 0.0 degrees"),
        (
            {"stamp_s": np.arange(9.0), "angle_rad": np.arange(9.0)},
            "9 measured angles, at least 200",
        ),
    ],
)
def test_a_joint_that_does_not_move_is_refused(change, reason, drawn):
    with pytest.raises(DataError, match=reason):
        fit_servo(replace(drawn[1], **change))


def save(folder, joint, recorded, link=None):
    arrays = {f"{joint}.{name}": value for name, value in vars(recorded).items()}
    if link is not None:
        arrays[f"{joint}.link_rad"] = link
    np.savez(folder / "dynamics.npz", **arrays)


def test_the_command_reports_a_joint_and_what_it_cannot_tell(drawn, tmp_path):
    servo, recorded, link, width = drawn
    (tmp_path / "data").mkdir()
    save(tmp_path / "data", "elbow", recorded, link)
    words = [f"from={tmp_path / 'data'}", f"out={tmp_path / 'out'}"]
    assert main(["calibrate", "dynamics", *words]) == 0
    result = read_result(tmp_path / "out/result.yaml", "dynamics", "wx250s")
    droop = np.degrees(servo.droop_rad)
    assert result.value("elbow_droop_deg") == pytest.approx(droop, rel=0.1)
    assert result.value("elbow_backlash_deg") == pytest.approx(np.degrees(width), abs=0.1)
    assert result.not_observable[0].startswith("inertia")
    assert "<svg" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("joint", "change", "reason"),
    [
        ("elbows", {}, "has recordings of elbows; expected some of waist, shoulder"),
        (
            "elbow",
            {"angle_rad": np.zeros(3)},
            "elbow: stamps and values must be lists of one length",
        ),
        ("elbow", {"angle_rad": np.full(1200, np.inf)}, "elbow: a value is not finite"),
        ("elbow", {"stamp_s": np.zeros(1200)}, "elbow: stamps must rise"),
        ("elbow", {"angle_rad": np.zeros(1200)}, "elbow: the joint moves by 0.0 degrees"),
    ],
)
def test_a_wrong_recording_is_refused_in_a_line(joint, change, reason, drawn, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    save(tmp_path / "data", joint, replace(drawn[1], **change))
    words = [f"from={tmp_path / 'data'}", f"out={tmp_path / 'out'}"]
    assert main(["calibrate", "dynamics", *words]) == 1
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1


def test_a_tool_is_predicted_far_better_than_without_calibration():
    errors = motion_errors(1, Chain.of(Arm(load_robot("wx250s"))))
    assert errors.tool_ratio < 1 / 3
