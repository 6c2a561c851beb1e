#!/usr/bin/env python3
"""`make setup`: the project's own environment in .venv, with pinned packages and the ROS interfaces
built.

Only the standard library, because it runs before anything is installed, under whatever python3
there is. Each stage leaves a stamp with the hash of what it was made from, so that a second run has
nothing to do. With a ROS 2 sourced, that one is used; without, ROS 2 comes as wheels from PyPI, and
conure_msgs is built against them.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "setup"
MESSAGES = ROOT / "ros2_ws" / "src" / "conure_msgs"
STANDARD = ROOT / "ros2_ws" / "interfaces"  # standard ROS interfaces that PyPI has no wheels of
PYTHON_PACKAGES = [
    ROOT / "ros2_ws" / "src" / name for name in ("conure_core", "conure_ros", "conure_bringup")
]
AMENT_PACKAGES = ROOT / "ros2_ws" / "ament_packages.py"
SUPPORTED = ((3, 11), (3, 12))
HAVE_ONE_THAT_FITS = (("debian", "12"), ("ubuntu", "24.04"))
EXTRAS = ["robot", "sim", "training", "calibration", "dev"]
WHEEL_EXTRAS = ["ros", "ros-build"]
DOCUMENTATION = "docs/install.md"
APT_INSTALL = "apt-get install" if os.geteuid() == 0 else "sudo apt-get install"

PROBE = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(sys._base_executable),
    "version": list(sys.version_info[:3]),
    "header": os.path.join(sysconfig.get_paths()["include"], "Python.h"),
    "ensurepip": importlib.util.find_spec("ensurepip") is not None,
    "rclpy": importlib.util.find_spec("rclpy") is not None,
}))
"""


class SetupError(Exception):
    """One line for a person: what is missing and what brings it."""


# --- The interpreter ------------------------------------------------------------------------------


def probe(python):
    """What an interpreter is and has, as a dict; None where it does not run (pyenv leaves such
    shims).
    """
    if shutil.which(python) is None:
        return None
    run = subprocess.run(
        [python, "-c", PROBE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(),
    )
    return json.loads(run.stdout) if run.returncode == 0 else None


def sourced_ros():
    """The distribution whose setup file was sourced in this shell, or None."""
    return os.environ.get("ROS_DISTRO") if os.environ.get("AMENT_PREFIX_PATH") else None


def is_supported(found):
    return tuple(found["version"][:2]) in SUPPORTED


def has_headers(found):
    return Path(found["header"]).is_file()


def choose_interpreter():
    """The first interpreter that fits: the one in $PYTHON, or else the best of those on the
    path.
    """
    asked = os.environ.get("PYTHON")
    if asked:
        found = probe(asked)
        if found is None:
            raise SetupError(
                f"PYTHON={asked} does not run; leave it out, or name a Python 3.11 or 3.12"
            )
        if not is_supported(found):
            raise SetupError(f"PYTHON={asked} is Python {dotted(found)}; 3.11 or 3.12 is needed")
        return found
    candidates = ["python3.11", "python3.12", "python3", "/usr/bin/python3"]
    found = [interpreter for interpreter in map(probe, candidates) if interpreter]
    fitting = [interpreter for interpreter in found if is_supported(interpreter)]
    if not fitting:
        raise SetupError(no_interpreter(found))
    uses_installed_ros = sourced_ros() is not None
    return max(
        fitting,
        key=lambda it: (it["rclpy"] == uses_installed_ros, has_headers(it), it["ensurepip"]),
    )


def no_interpreter(found):
    seen = ", ".join(sorted({dotted(interpreter) for interpreter in found})) or "none"
    return f"Python 3.11 or 3.12 is needed, found: {seen}; {advice()} ({DOCUMENTATION})"


def advice():
    """What brings an interpreter that fits, on the system at hand."""
    system = os_release()
    if (system.get("ID"), system.get("VERSION_ID")) in HAVE_ONE_THAT_FITS:
        return f"{APT_INSTALL} python3 python3-dev python3-venv"
    return (
        "bring one by python3 -m venv ~/uv && ~/uv/bin/pip install uv && ~/uv/bin/uv python"
        ' install 3.11, then make setup PYTHON="$(~/uv/bin/uv python find 3.11)"'
    )


def os_release(path="/etc/os-release"):
    """What the system calls itself, by key."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key: value.strip("\"'") for key, _, value in pairs}


def dotted(found):
    return ".".join(str(part) for part in found["version"])


def check_sourced_ros(found):
    """A sourced ROS puts its own rclpy on PYTHONPATH: another Python's would be imported instead of
    the wheels.
    """
    if sourced_ros() and not found["rclpy"]:
        raise SetupError(
            f"ROS 2 {sourced_ros()} is sourced, but Python {dotted(found)} cannot import its rclpy;"
            " use a shell where no ROS is sourced (ROS 2 then comes from PyPI), or name that ROS's"
            f" Python: make setup PYTHON=/usr/bin/python3 ({DOCUMENTATION})"
        )


# --- What the system must bring -------------------------------------------------------------------


def missing_packages(found):
    """Pairs of what is missing and the apt package that brings it."""
    prefix = python_package(found)
    needs = [
        ("the ensurepip module", f"{prefix}-venv", found["ensurepip"]),
        ("Python.h", f"{prefix}-dev", has_headers(found)),
        (
            "a C++ compiler",
            "g++",
            shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++"),
        ),
        ("a C compiler", "gcc", shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")),
        ("cmake", "cmake", shutil.which("cmake")),
        ("ninja", "ninja-build", shutil.which("ninja")),
    ]
    return [(what, package) for what, package, there in needs if not there]


def python_package(found):
    """Apt's name of an interpreter: python3 for the distribution's default, python3.12 for
    another.
    """
    default = Path("/usr/bin/python3").resolve().name
    own = f"python{found['version'][0]}.{found['version'][1]}"
    return "python3" if own == default else own


def check_system(found):
    missing = missing_packages(found)
    if missing:
        names = ", ".join(what for what, _ in missing)
        packages = " ".join(package for _, package in missing)
        raise SetupError(f"missing: {names}; install with: {APT_INSTALL} {packages}")


# --- Stamps ---------------------------------------------------------------------------------------


def digest(*parts):
    """A hash of strings and of the contents of files and folders."""
    sha = hashlib.sha256()
    for part in parts:
        files = (
            sorted(path for path in part.rglob("*") if path.is_file())
            if isinstance(part, Path)
            else []
        )
        if isinstance(part, Path) and part.is_file():
            files = [part]
        sha.update(str(len(files)).encode() if isinstance(part, Path) else part.encode())
        for file in files:
            sha.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return sha.hexdigest()


def read_stamp(stage):
    stamp = STAMPS / stage
    return stamp.read_text() if stamp.is_file() else None


def run_stage(stage, key, make, *arguments):
    """Make a stage unless its stamp says it was made from the same things. Returns its key, for
    those that follow.
    """
    if read_stamp(stage) != key:
        started = time.monotonic()
        (STAMPS / stage).unlink(missing_ok=True)
        make(*arguments)
        STAMPS.mkdir(parents=True, exist_ok=True)
        (STAMPS / stage).write_text(key)
        print(f"setup: {stage} done in {time.monotonic() - started:.0f} s", flush=True)
    return key


# --- Stages ---------------------------------------------------------------------------------------


def clean_environment(**more):
    """The environment for a child: nothing of another virtual environment reaches it."""
    dropped = {"PYTHONHOME", "VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    if not sourced_ros():
        dropped |= {"PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**environment, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}


def execute(command, log, **environment):
    """Run a command with its output in a log in .venv; SetupError with the log's end where it
    fails.
    """
    STAMPS.mkdir(parents=True, exist_ok=True)
    path = STAMPS / f"{log}.log"
    with path.open("w") as stream:
        arguments = [str(part) for part in command]
        run = subprocess.run(
            arguments, stdout=stream, stderr=stream, cwd=ROOT, env=clean_environment(**environment)
        )
    if run.returncode:
        print("\n".join(path.read_text(errors="replace").splitlines()[-30:]), file=sys.stderr)
        raise SetupError(
            f"{log} failed with {run.returncode}; all of its output: {path.relative_to(ROOT)}"
        )


def make_venv(found, uses_installed_ros):
    print(f"setup: virtual environment with Python {dotted(found)} ...", flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    site = ["--system-site-packages"] if uses_installed_ros else []
    execute([found["executable"], "-m", "venv", *site, VENV], "venv")


def site_packages():
    return next((VENV / "lib").glob("python3.*/site-packages"))


def install_environment_hook():
    """Let every Python of this environment find the ROS packages in it: see venv_environment.py."""
    shutil.copyfile(
        ROOT / "ros2_ws" / "venv_environment.py", site_packages() / "conure_environment.py"
    )
    (site_packages() / "conure_environment.pth").write_text("import conure_environment\n")


def install_packages(uses_installed_ros):
    print(
        "setup: pinned packages, 1 to 4 GB to download; to watch: tail -f .venv/setup/pip.log ...",
        flush=True,
    )
    extras = ",".join(EXTRAS + ([] if uses_installed_ros else WHEEL_EXTRAS))
    pip = [VENV_PYTHON, "-m", "pip", "install", "--constraint", "constraints.txt"]
    execute([*pip, "setuptools"], "pip-setuptools")
    execute([*pip, "--no-build-isolation", "--editable", f".[{extras}]"], "pip")
    shutil.rmtree(
        ROOT / "conure.egg-info", ignore_errors=True
    )  # a by-product; the environment has its own copy


def relocate_wheels():
    """Put this Python's include paths where the wheels name those of the machine that built
    them.
    """
    paths = json.loads(
        subprocess.check_output(
            [VENV_PYTHON, "-c", "import json, numpy, sysconfig\n"
             "print(json.dumps([sysconfig.get_paths()['include'], numpy.get_include()]))"],
            env=clean_environment(), text=True,
        )
    )  # fmt: skip
    python = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")
    numpy = re.compile(
        r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/(_core|core)/include"
    )
    for file in (VENV / "share").glob("*/cmake/*.cmake"):
        text = file.read_text()
        if "/opt/python/" in text:
            file.write_text(numpy.sub(paths[1], python.sub(paths[0], text)))


def remove_built_messages(build):
    """Take away what an earlier build installed: a deleted interface must not live on."""
    manifest = build / "install_manifest.txt"
    if manifest.is_file():
        for line in manifest.read_text().splitlines():
            if Path(line).is_relative_to(VENV):
                Path(line).unlink(missing_ok=True)
    shutil.rmtree(build, ignore_errors=True)


def interface_packages(uses_installed_ros):
    """The folders to build: an installed ROS has the standard ones already."""
    standard = (
        []
        if uses_installed_ros
        else [manifest.parent for manifest in STANDARD.glob("*/package.xml")]
    )
    return [*sorted(standard), MESSAGES]


def build_messages(uses_installed_ros):
    folders = interface_packages(uses_installed_ros)
    names = ", ".join(folder.name for folder in folders)
    print(f"setup: building {names} (half a minute each) ...", flush=True)
    if not uses_installed_ros:
        relocate_wheels()
    for folder in folders:
        build_package(folder, uses_installed_ros)


def build_package(source, uses_installed_ros):
    build = VENV / "build" / source.name
    remove_built_messages(build)
    build.mkdir(parents=True)
    prefixes = [str(VENV)] + (
        os.environ["AMENT_PREFIX_PATH"].split(os.pathsep) if uses_installed_ros else []
    )
    environment = {
        "AMENT_PREFIX_PATH": os.pathsep.join(prefixes),
        "CMAKE_PREFIX_PATH": os.pathsep.join(prefixes),
        "PATH": os.pathsep.join([str(VENV / "bin"), os.environ["PATH"]]),
    }
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        f"-DCMAKE_INSTALL_PREFIX={VENV}",
        f"-DPython3_EXECUTABLE={VENV_PYTHON}",
    ]
    log = f"messages-{source.name}"
    execute(
        ["cmake", "-G", "Ninja", "-S", source, "-B", build, *options],
        f"{log}-configure",
        **environment,
    )
    execute(["cmake", "--build", build, "--target", "install"], f"{log}-build", **environment)


def ament_key(venv):
    """What the files that ROS looks for are made from: links follow a file's content by
    themselves.
    """
    names = [
        path.relative_to(ROOT).as_posix()
        for folder in PYTHON_PACKAGES
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts and ".egg-info" not in str(path)
    ]
    setups = [folder.resolve() / "setup.py" for folder in PYTHON_PACKAGES]
    return digest(venv, AMENT_PACKAGES, *setups, *sorted(names))


def install_for_ros():
    """Let `ros2 pkg`, `ros2 run` and `ros2 launch` find the packages in this environment."""
    execute([VENV_PYTHON, AMENT_PACKAGES, *PYTHON_PACKAGES], "ament")


def packaging():
    """What pyproject.toml says about the distribution, without the settings of the checking tools
    after it.
    """
    return (ROOT / "pyproject.toml").read_text().partition("[tool.pytest")[0]


# --- All of it ------------------------------------------------------------------------------------


def kept_interpreter():
    """The interpreter of a finished .venv, where nothing asks for another; None where a new one has
    to be chosen.
    """
    found = (
        probe(str(VENV_PYTHON)) if VENV_PYTHON.exists() and not os.environ.get("PYTHON") else None
    )
    kept = read_stamp("venv")
    return (
        found if found and kept == venv_key(found, uses_installed_ros=bool(sourced_ros())) else None
    )


def venv_key(found, uses_installed_ros):
    ros = f"{sourced_ros()} {os.environ['AMENT_PREFIX_PATH']}" if uses_installed_ros else "wheels"
    return digest(str(ROOT), found["executable"], dotted(found), ros)


def set_up():
    uses_installed_ros = sourced_ros() is not None
    found = kept_interpreter()
    venv = found and read_stamp("venv")
    if venv is None:
        found = choose_interpreter()
        check_sourced_ros(found)
        venv = venv_key(found, uses_installed_ros)
    packages = digest(venv, packaging(), ROOT / "constraints.txt")
    interfaces = interface_packages(uses_installed_ros)
    messages = digest(venv, ROOT / "constraints.txt", *interfaces)
    if read_stamp("messages") != messages:
        check_system(found)
    run_stage("venv", venv, make_venv, found, uses_installed_ros)
    run_stage(
        "hook", digest(venv, ROOT / "ros2_ws" / "venv_environment.py"), install_environment_hook
    )
    run_stage("packages", packages, install_packages, uses_installed_ros)
    run_stage("messages", messages, build_messages, uses_installed_ros)
    run_stage("ament", digest(packages, ament_key(venv)), install_for_ros)


def main():
    with (ROOT / "pyproject.toml").open("r+") as lock:
        fcntl.flock(
            lock, fcntl.LOCK_EX
        )  # a second `make` waits here instead of installing over the first
        try:
            set_up()
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            print(
                f"setup: {error}; mend that and run it again, finished stages are kept",
                file=sys.stderr,
            )
            return 1
        except KeyboardInterrupt:
            print(
                "\nsetup: interrupted; run it again to go on, finished stages are kept",
                file=sys.stderr,
            )
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
