"""`make setup` names what is missing, remakes what has changed, and its environment finds its own
ROS packages.
"""

import importlib.util
import os
import shutil
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
        "control_msgs",
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


PACKAGES = ("conure_core", "conure_ros", "conure_bringup")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix that the packages are installed into, in a folder with a space."""
    prefix = tmp_path_factory.mktemp("in here") / "environment"
    folders = [str(SCRIPT.parent / "src" / name) for name in PACKAGES]
    code = "import sys; sys.path.insert(0, sys.argv[1]); import ament_packages, pathlib; "
    code += "ament_packages.install(*[pathlib.Path(sys.argv[2]), [pathlib.Path(p) for p in sys.argv[3:]]])"
    words = [sys.executable, "-c", code, str(SCRIPT.parent), str(prefix), *folders]
    stale = prefix / "share" / "stale"
    stale.mkdir(parents=True)
    (stale / "old.launch.py").write_text("")
    (prefix / "setup").mkdir()
    (prefix / "setup" / "ament_packages.txt").write_text(str(stale / "old.launch.py"))
    subprocess.run(words, check=True)
    return prefix


def test_ros2_pkg_and_ros2_launch_find_every_package_and_each_of_its_files(installed):
    for name in PACKAGES:
        assert (installed / "share/ament_index/resource_index/packages" / name).exists()
        assert f"<name>{name}</name>" in (installed / "share" / name / "package.xml").read_text()
    launched = {path.name for path in (installed / "share/conure_bringup/launch").iterdir()}
    assert launched == {path.name for path in (SCRIPT.parents[1] / "launch").glob("*.launch.py")}
    assert (installed / "share/conure_core/robots/panda/base.obj").is_file()
    assert not (installed / "share/stale/old.launch.py").exists(), "an earlier run's"


def test_ros2_run_finds_programs_that_run(installed):
    run = subprocess.run(
        [installed / "lib/conure_core/conure"], capture_output=True, text=True, env={}
    )
    assert "up" in run.stdout + run.stderr and "Traceback" not in run.stderr, run.stderr
    nodes = {
        path.stem for path in (SCRIPT.parent / "src/conure_ros/conure_ros/nodes").glob("*_node.py")
    }
    assert {path.name for path in (installed / "lib/conure_ros").iterdir()} == nodes


def test_a_copy_of_the_launch_package_alone_installs_all_that_it_has(tmp_path):
    copied = tmp_path / "conure_bringup"
    shutil.copytree(SCRIPT.parents[1] / "launch", copied)
    words = [sys.executable, "setup.py", "--quiet", "install_data", "--install-dir", tmp_path / "x"]
    subprocess.run(words, cwd=copied, check=True, capture_output=True)
    share = tmp_path / "x" / "share" / "conure_bringup"
    for folder in ("config", "layouts"):
        own = {path.name for path in (copied / folder).iterdir() if path.is_file()}
        assert {path.name for path in (share / folder).iterdir()} == own
    assert (share / "launch" / "sim.launch.py").is_file()


def test_no_data_file_lies_outside_its_package():
    """Or `colcon build --symlink-install` links it outside the workspace."""
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import ament_packages
    finally:
        sys.path.remove(str(SCRIPT.parent))
    for name in PACKAGES:
        package = ament_packages.read_setup((SCRIPT.parent / "src" / name).resolve())
        files = [file for _, some in package.data_files for file in some]
        assert files and not [file for file in files if ".." in file or file.startswith("/")]
