"""Started in a folder where nothing can be written, a graph keeps its logs elsewhere, and says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conure_ros.bringup.launcher import ros_environment

NOWHERE = "/proc"
"""Nothing can be written there, not by root either."""


@pytest.mark.parametrize("given", ["", "/proc/log"])
def test_logs_go_to_a_folder_that_can_be_written(given, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.setenv("ROS_LOG_DIR", given)
    monkeypatch.chdir(NOWHERE)
    with ros_environment() as variables:
        folder = Path(variables["ROS_LOG_DIR"])
    assert folder.parent == tmp_path
    (line,) = capsys.readouterr().err.splitlines()
    assert str(folder) in line and "/proc" in line and "cannot be written" in line


def test_logs_go_where_they_are_wanted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.delenv("ROS_LOG_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    with ros_environment() as variables:
        assert variables["ROS_LOG_DIR"] == str(tmp_path / "out/log/ros")
    assert not capsys.readouterr().err


def test_a_node_that_cannot_log_ends_with_one_line():
    code = "from conure_ros.comms.lifecycle import ros_context\nwith ros_context(): pass"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ROS_LOG_DIR": "/proc/log"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ROS cannot start:") and "ROS_LOG_DIR" in done.stderr
    assert len(done.stderr.splitlines()) == 1
