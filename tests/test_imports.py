"""The arrows between packages point one way, and what runs on a robot starts without torch and pybullet."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = {
    "conure_core": ROOT / "ros2_ws/src/conure_core/conure_core",
    "conure_ros": ROOT / "ros2_ws/src/conure_ros/conure_ros",
    "conure_sim": ROOT / "sim/conure_sim",
    "conure_training": ROOT / "training/conure_training",
    "conure_calibration": ROOT / "calibration/conure_calibration",
}
OURS = {*PACKAGES, "conure_msgs"}

# Which of our packages each may import, and which foreign ones it may not.
MAY_IMPORT = {
    "conure_core": set(),
    "conure_ros": {"conure_core", "conure_msgs"},
    "conure_sim": {"conure_core"},
    "conure_training": {"conure_core", "conure_sim"},
    "conure_calibration": {"conure_core"},
}
MUST_NOT_IMPORT = {
    "conure_core": {"torch", "pybullet", "rclpy", "gymnasium", "zarr"},
    "conure_ros": {"torch", "pybullet", "gymnasium"},
    "conure_sim": {"torch", "rclpy"},
    "conure_training": {"rclpy"},
    "conure_calibration": {"torch", "pybullet", "rclpy"},
}
# The simulated robot is the one node that needs the simulation; `ros2 launch` is not to be had where ROS is from PyPI.
EXCEPTIONS = {"conure_ros.sim_robot_node": {"conure_sim", "pybullet"}, "conure_ros.launching": set()}
EXCEPTIONS["conure_ros.faults.judge.clearances"] = {"pybullet"}  # the judge measures by other means than the judged
EXCEPTIONS["conure_training.benchmarks.baselines"] = {"stable_baselines3", "zuko"}  # they are what is measured against
ORACLES = {"stable_baselines3", "zuko", "nflows", "imitation"}  # for tests and benchmarks only

ABSENT = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def modules(package):
    """Dotted names and files of all modules of a package, its subpackages included."""
    folder = PACKAGES[package]
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imported(source):
    """Top-level names of everything that a source imports, at whatever depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def wrong_imports(package, module, source):
    names = imported(source)
    wrong = (names & OURS) - MAY_IMPORT[package] - {package}
    wrong |= names & (MUST_NOT_IMPORT[package] | ORACLES)
    return wrong - EXCEPTIONS.get(module, set())


def run_without(absent, code):
    """Run code in a fresh Python in which some packages are absent."""
    program = ABSENT.format(absent=set(absent)) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_where_its_arrows_point(package):
    wrong = {
        module: found
        for module, file in modules(package)
        if (found := wrong_imports(package, module, file.read_text()))
    }
    assert not wrong, f"{package} may import {MAY_IMPORT[package] or 'none'} of ours; wrong: {wrong}"


@pytest.mark.parametrize(
    ("package", "module", "source", "wrong"),
    [
        ("conure_core", "conure_core.spec", "def f():\n    import torch.nn", {"torch"}),
        ("conure_core", "conure_core.spec", "from conure_sim.physics.world import World", {"conure_sim"}),
        ("conure_sim", "conure_sim.physics.world", "from conure_core import spec\nimport pybullet", set()),
        ("conure_ros", "conure_ros.policy_node", "import conure_sim", {"conure_sim"}),
        ("conure_ros", "conure_ros.sim_robot_node", "import conure_sim", set()),
        ("conure_training", "conure_training.prior.flow", "import zuko", {"zuko"}),
    ],
)
def test_wrong_import_is_seen_at_any_depth(package, module, source, wrong):
    assert wrong_imports(package, module, source) == wrong


def test_core_imports_in_half_a_second_without_torch_pybullet_and_rclpy():
    timed = "import time\nstart = time.perf_counter()\nimport conure_core\nprint(time.perf_counter() - start)"
    runs = [run_without({"torch", "pybullet", "rclpy"}, timed) for _ in range(3)]
    assert not any(run.returncode for run in runs), runs[0].stderr
    assert min(float(run.stdout) for run in runs) < 0.5


@pytest.mark.parametrize(
    ("package", "absent"),
    [("conure_core", {"torch", "pybullet", "rclpy", "gymnasium"}), ("conure_ros", {"torch", "pybullet", "gymnasium"})],
)
def test_every_module_on_the_robot_imports_without_torch_and_pybullet(package, absent):
    names = [module for module, _ in modules(package) if module not in EXCEPTIONS and not module.endswith("__main__")]
    code = f"import importlib\nfor name in {names!r}:\n    print(name, flush=True)\n    importlib.import_module(name)\n"
    run = run_without(absent, code)
    assert run.returncode == 0, f"{run.stdout.split()[-1:]}: {run.stderr}"


def test_what_renders_and_collects_in_many_processes_does_not_wait_for_torch():
    run = run_without({"torch"}, "import conure_sim.envs.static_scenes, conure_training.data.collect")
    assert run.returncode == 0, run.stderr
