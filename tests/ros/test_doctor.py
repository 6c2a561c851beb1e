from dataclasses import replace
from pathlib import Path

import pytest

from conure_core.cli import main
from conure_ros.cameras import devices
from conure_ros.cameras.devices import VideoDevice
from conure_ros.commands import doctor
from conure_ros.commands.doctor import Missing

pytestmark = pytest.mark.nodes


def test_this_machine_is_ready(bundle, capfd):
    assert main(["doctor", f"bundle={bundle}"]) == 0
    lines = capfd.readouterr().out.splitlines()
    subjects = {line[9:28].strip(): line for line in lines if line[:2] in ("OK", "MI", "no")}
    for subject in ("Python", "ROS 2", "conure_msgs", "middleware", "onnxruntime", "bundle"):
        assert subjects[subject].startswith("OK"), subjects[subject]


def test_a_missing_bundle_fails_by_name(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(doctor, "middleware", lambda: "left out")
    assert main(["doctor", f"bundle={tmp_path / 'nothing'}"]) == 1
    said = capfd.readouterr()
    assert "MISSING  bundle" in said.out
    assert "not ready: bundle" in said.err


def test_a_missing_part_that_is_not_required_does_not_fail(monkeypatch, capfd):
    def absent():
        raise Missing("no video device", "connect one")

    monkeypatch.setattr(doctor, "middleware", lambda: "left out")
    monkeypatch.setattr(doctor, "cameras", absent)
    assert main(["doctor"]) == 0
    assert "connect one" in capfd.readouterr().out


def test_a_check_that_fails_in_an_unforeseen_way_is_a_line_as_well(monkeypatch, capfd):
    monkeypatch.setattr(doctor, "middleware", lambda: 1 / 0)
    assert main(["doctor"]) == 1
    assert "ZeroDivisionError" in capfd.readouterr().out


def test_every_arm_is_described_with_its_joints(monkeypatch, capfd):
    monkeypatch.setattr(doctor, "middleware", lambda: "left out")
    assert main(["doctor", "robot=panda"]) == 0
    assert "panda: 7 joints" in capfd.readouterr().out


def test_cameras_are_listed_as_camera_node_takes_them(monkeypatch):
    table = VideoDevice(
        Path("/dev/video2"), "Table", Path("/dev/v4l/by-id/usb-table-index0"), accessible=True
    )
    monkeypatch.setattr(devices, "video_devices", lambda: [table])
    assert doctor.cameras().startswith("/dev/v4l/by-id/usb-table-index0 (Table); OpenCV ")
    monkeypatch.setattr(devices, "video_devices", lambda: [replace(table, accessible=False)])
    with pytest.raises(Missing, match="no access to /dev/video2"):
        doctor.cameras()
    monkeypatch.setattr(devices, "video_devices", list)
    with pytest.raises(Missing, match="no video device; OpenCV"):
        doctor.cameras()
