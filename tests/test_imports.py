"""The arrows between packages point one way, and what runs on a robot starts without torch and pybullet."""

import ast
import graphlib
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

# The folders and loose modules of a package, lowest first: each may import itself and those before it.
# The package's own `__init__` lies above them all.
LAYERS = {
    "conure_sim": [
        "conf",
        "quiet",
        "cached_files",
        "orientation",
        "vision",
        "objects",
        "randomization",
        "physics",
        "servos",
        "scenes",
        "experts",
        "tasks",
        "envs",
        "tools",
        "benchmarks",
    ],
}

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


def import_graph(sources):
    """For each module, by its dotted name, the modules among them that its source imports, at whatever depth."""
    graph = {}
    for module, source in sources.items():
        names = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} imports by a relative name; write the whole one"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in sources else node.module for name in inner}
        graph[module] = names & sources.keys()
    return graph


def upward_imports(layers, graph):
    """Pairs of modules, the first of which imports the second from a higher layer."""

    def layer(module):
        _, *inside = module.split(".")
        return layers.index(inside[0]) if inside else len(layers)

    return [(module, other) for module in graph for other in graph[module] if layer(other) > layer(module)]


def circle(graph):
    """Modules that import one another in a circle, the first also the last; empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


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


@pytest.mark.parametrize("package", LAYERS)
def test_imports_inside_a_package_go_down_its_layers_and_in_no_circle(package):
    graph = import_graph({module: file.read_text() for module, file in modules(package)})
    assert {name for module in graph for name in module.split(".")[1:2]} == set(LAYERS[package])
    assert not upward_imports(LAYERS[package], graph)
    assert not circle(graph)


@pytest.mark.parametrize(
    "source",
    [
        "from p.high.b import B",
        "from p.high import b",
        "def f():\n    import p.high.b",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.high.b import B",
    ],
)
def test_upward_import_is_seen_in_every_form(source):
    graph = import_graph({"p.low.a": source, "p.high.b": "import p.low.a", "p": "import p.high.b"})
    assert upward_imports(["low", "high"], graph) == [("p.low.a", "p.high.b")]
    assert len(circle(graph)) == 3


def test_import_of_the_package_itself_goes_up():
    graph = import_graph({"p": "from p.high import b", "p.high.b": "import p"})
    assert upward_imports(["high"], graph) == [("p.high.b", "p")]


def test_circle_within_one_layer_is_seen():
    graph = import_graph({"p.low.a": "from p.low.b import B", "p.low.b": "import p.low.c", "p.low.c": "import p.low.a"})
    assert not upward_imports(["low"], graph)
    assert len(circle(graph)) == 4
    assert not circle({**graph, "p.low.c": set()})


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
