"""`make setup` names what is missing, remakes what has changed, and its environment finds its own
ROS packages.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "ros2_ws" / "setup_workspace.py"


@pytest.fixture
def setup():
    spec = importlib.util.spec_from_file_location("setup_workspace", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def interpreter(setup):
    return setup.probe(sys.executable)


def test_unusable_interpreter_is_refused_in_one_line():
    run = subprocess.run(
        [sys.executable, SCRIPT],
        env={**os.environ, "PYTHON": "/no/such/python"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert (
        run.stderr.startswith("setup: PYTHON=/no/such/python") and len(run.stderr.splitlines()) == 1
    )


@pytest.mark.parametrize("version", [[3, 10, 9], [3, 13, 0]])
def test_python_of_another_version_is_named_with_those_that_fit(
    setup, interpreter, monkeypatch, version
):
    monkeypatch.setenv("PYTHON", "other")
    monkeypatch.setattr(setup, "probe", lambda python: {**interpreter, "version": version})
    with pytest.raises(
        setup.SetupError, match=rf"{setup.dotted({'version': version})}; 3.11 or 3.12"
    ):
        setup.choose_interpreter()


RELEASES = {
    "Debian 13": ('ID=debian\nVERSION_ID="13"\n', [3, 13, 5]),
    "Ubuntu 26.04": ('ID=ubuntu\nVERSION_ID="26.04"\n', [3, 14, 2]),
    "Ubuntu 22.04": ('ID=ubuntu\nVERSION_ID="22.04"\n', [3, 10, 12]),
    "none known": (None, [3, 13, 0]),
}


@pytest.mark.parametrize("system", RELEASES)
def test_a_system_with_other_pythons_alone_is_told_in_one_line_how_to_bring_one(
    setup, interpreter, monkeypatch, tmp_path, system
):
    release, version = RELEASES[system]
    if release:
        (tmp_path / "os-release").write_text(release)
    read = setup.os_release
    monkeypatch.setattr(setup, "os_release", lambda: read(tmp_path / "os-release"))
    monkeypatch.setattr(setup, "probe", lambda python: {**interpreter, "version": version})
    monkeypatch.delenv("PYTHON", raising=False)
    with pytest.raises(setup.SetupError) as refusal:
        setup.choose_interpreter()
    said = str(refusal.value)
    assert said.startswith(
        f"Python 3.11 or 3.12 is needed, found: {setup.dotted({'version': version})}"
    )
    assert "uv python install 3.11" in said and "make setup PYTHON=" in said
    assert "apt-get" not in said, "apt has none there"


@pytest.mark.parametrize("release", ['ID=debian\nVERSION_ID="12"', 'ID=ubuntu\nVERSION_ID="24.04"'])
def test_a_system_whose_own_python_fits_is_told_the_apt_line(setup, monkeypatch, tmp_path, release):
    (tmp_path / "os-release").write_text(release)
    read = setup.os_release
    monkeypatch.setattr(setup, "os_release", lambda: read(tmp_path / "os-release"))
    monkeypatch.setattr(setup, "probe", lambda python: None)
    monkeypatch.delenv("PYTHON", raising=False)
    with pytest.raises(setup.SetupError, match="apt-get install python3 python3-dev python3-venv"):
        setup.choose_interpreter()


def test_missing_tools_and_headers_are_named_with_one_apt_line(
    setup, interpreter, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    bare = {**interpreter, "header": str(tmp_path / "Python.h"), "ensurepip": False}
    with pytest.raises(setup.SetupError) as refusal:
        setup.check_system(bare)
    message = str(refusal.value)
    assert message.count("apt-get install") == 1
    packages = message.partition("apt-get install ")[2].split()
    assert {"g++", "gcc", "cmake", "ninja-build"} < set(packages)
    assert [
        package.rpartition("-")[2] for package in packages if package.startswith("python3")
    ] == ["venv", "dev"]


def test_sourced_ros_of_another_python_is_refused(setup, interpreter, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/humble")
    with pytest.raises(setup.SetupError, match="humble is sourced"):
        setup.check_sourced_ros({**interpreter, "rclpy": False})


def test_changed_added_and_renamed_interface_each_change_the_stamp(setup, monkeypatch, tmp_path):
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    (tmp_path / "A.msg").write_text("float64 a")
    stamps = [setup.digest("key", tmp_path)]
    (tmp_path / "A.msg").write_text("float32 a")
    stamps.append(setup.digest("key", tmp_path))
    (tmp_path / "B.msg").write_text("")
    stamps.append(setup.digest("key", tmp_path))
    (tmp_path / "B.msg").rename(tmp_path / "C.msg")
    stamps.append(setup.digest("key", tmp_path))
    assert len(set(stamps)) == 4


def test_standard_interfaces_are_built_only_where_no_ros_brings_them(setup):
    assert [folder.name for folder in setup.interface_packages(uses_installed_ros=False)] == [
        "tf2_msgs",
        "conure_msgs",
    ]
    assert [folder.name for folder in setup.interface_packages(uses_installed_ros=True)] == [
        "conure_msgs"
    ]
    assert (setup.STANDARD / "COLCON_IGNORE").is_file(), (
        "colcon must not put them over the installed ones"
    )


def test_failed_stage_leaves_no_stamp_and_is_made_again(setup, monkeypatch, tmp_path):
    monkeypatch.setattr(setup, "STAMPS", tmp_path)
    made = []

    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError):
        setup.run_stage("stage", "key", fail)
    for _ in range(2):
        setup.run_stage("stage", "key", made.append, "once")
    assert made == ["once"]


@pytest.mark.parametrize(
    "foreign", [{}, {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1", "LD_LIBRARY_PATH": "/elsewhere/lib"}]
)
def test_python_of_the_environment_finds_the_interfaces_with_nothing_sourced(foreign):
    code = (
        "import os, conure_msgs.msg, rclpy;"
        " conure_msgs.msg.RobotState.__class__.__import_type_support__()"
    )
    code += "; print(os.environ['AMENT_PREFIX_PATH'].split(os.pathsep)[0])"
    run = subprocess.run([sys.executable, "-c", code], env=foreign, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == sys.prefix
