"""The arrows between packages and between their parts point one way; a robot needs neither torch
nor pybullet.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = {
    "conure_core": ROOT / "ros2_ws/src/conure_core/conure_core",
    "conure_ros": ROOT / "ros2_ws/src/conure_ros/conure_ros",
    "conure_sim": ROOT / "sim/conure_sim",
    "conure_training": ROOT / "training/conure_training",
    "conure_calibration": ROOT / "calibration/conure_calibration",
    "conure_experiments": ROOT / "training/experiments/conure_experiments",
}
OURS = {*PACKAGES, "conure_msgs"}

# What a distribution consists of, lowest first: an import goes to the same or a lower one.
LAYERS = {
    "conure_core": [
        "errors",
        "types",
        "runtime",
        "config",
        "contract",
        "robot",
        "servos",
        "control",
        "cli",
        "__main__",
    ],
    "conure_ros": [
        "conf",
        "comms",
        "control",
        "trajectory",
        "teleop",
        "cameras",
        "drivers",
        "recording",
        "bringup",
        "faults",
        "nodes",
        "commands",
        "trials",
    ],
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
    "conure_training": [
        "conf",
        "runtime",
        "nn",
        "data",
        "prior",
        "formats",
        "curation",
        "policies",
        "rl",
        "export",
        "evaluation",
        "demo",
        "benchmarks",
        "moved",
    ],
    "conure_calibration": [
        "conf",
        "poses",
        "results",
        "boards",
        "intrinsics",
        "hand_eye",
        "latency",
        "dynamics",
        "scene",
        "apply",
        "commands",
        "benchmarks",
    ],
    "conure_experiments": [
        "conf",
        "estimates",
        "plan",
        "ledger",
        "measures",
        "provenance",
        "off_policy",
        "operator",
        "checks",
        "plots",
        "page",
        "readme",
        "standalone",
        "precise_demonstrations",
        "job",
        "runner",
        "command",
    ],
}

# Which of our packages each may import, and which foreign ones it may not.
MAY_IMPORT = {
    "conure_core": set(),
    "conure_ros": {"conure_core", "conure_msgs"},
    "conure_sim": {"conure_core"},
    "conure_training": {"conure_core", "conure_sim"},
    "conure_calibration": {"conure_core"},
    "conure_experiments": {"conure_core", "conure_sim", "conure_training"},
}
MUST_NOT_IMPORT = {
    "conure_core": {"torch", "pybullet", "rclpy", "gymnasium", "zarr"},
    "conure_ros": {"torch", "pybullet", "gymnasium"},
    "conure_sim": {"torch", "rclpy"},
    "conure_training": {"rclpy"},
    "conure_experiments": {"rclpy"},
    "conure_calibration": {"torch", "pybullet", "rclpy"},
}
# The simulated robot is the one node that needs the simulation; `ros2 launch` is not to be had
# where ROS is from PyPI.
EXCEPTIONS = {
    "conure_ros.nodes.sim_robot_node": {"conure_sim", "pybullet"},
    "conure_ros.bringup.launch_description": set(),
}
EXCEPTIONS["conure_ros.faults.judge.clearances"] = {
    "pybullet"
}  # the judge measures by other means than the judged
# It stands in for a person at the running graph.
EXCEPTIONS["conure_experiments.operator.experiment"] = {"conure_ros", "conure_msgs"}
EXCEPTIONS["conure_experiments.operator.seat"] = {"conure_ros", "conure_msgs", "rclpy"}
EXCEPTIONS["conure_training.moved"] = {"conure_experiments"}  # the old name of its command
EXCEPTIONS["conure_training.curation.recordings"] = {"conure_ros"}  # its reading takes no ROS
EXCEPTIONS["conure_training.evaluation.planned_trials"] = {"conure_ros"}  # nor does this
EXCEPTIONS["conure_training.benchmarks.baselines"] = {
    "stable_baselines3",
    "zuko",
}  # they are what is measured against
# For tests and benchmarks only.
ORACLES = {"stable_baselines3", "zuko", "nflows", "imitation", "lerobot", "robomimic"}

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


def own_imports(module, sources):
    """Modules among these sources that this one imports, at whatever depth, for type checking alone
    too.
    """
    found = set()
    for node in ast.walk(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= set(sources) else {node.module, *names}
    return (found & set(sources)) - {module}


def layer(module):
    """The part of its distribution that a module lies in; empty: the distribution's own face, above
    all.
    """
    return module.split(".")[1] if "." in module else ""


def upward_imports(layers, sources):
    """Imports that do not go to the same or a lower layer, as "module -> module"."""
    height = {name: index for index, name in enumerate([*layers, ""])}
    return [
        f"{module} -> {target}"
        for module in sources
        for target in sorted(own_imports(module, sources))
        if height[layer(target)] > height[layer(module)]
    ]


def circle(sources):
    """Modules that import one another in a circle, if there are any."""
    try:
        TopologicalSorter({module: own_imports(module, sources) for module in sources}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def wrong_imports(package, module, source):
    names = imported(source)
    wrong = (names & OURS) - MAY_IMPORT[package] - {package}
    wrong |= names & (MUST_NOT_IMPORT[package] | ORACLES)
    return wrong - EXCEPTIONS.get(module, set())


def run_without(absent, code):
    """Run code in a fresh Python in which some packages are absent."""
    program = ABSENT.format(absent=set(absent)) + code
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_where_its_arrows_point(package):
    wrong = {
        module: found
        for module, file in modules(package)
        if (found := wrong_imports(package, module, file.read_text()))
    }
    assert not wrong, (
        f"{package} may import {MAY_IMPORT[package] or 'none'} of ours; wrong: {wrong}"
    )


@pytest.mark.parametrize(
    ("package", "module", "source", "wrong"),
    [
        ("conure_core", "conure_core.contract.spec", "def f():\n    import torch.nn", {"torch"}),
        (
            "conure_core",
            "conure_core.contract.spec",
            "from conure_sim.physics.world import World",
            {"conure_sim"},
        ),
        (
            "conure_sim",
            "conure_sim.physics.world",
            "from conure_core.contract import spec\nimport pybullet",
            set(),
        ),
        ("conure_ros", "conure_ros.nodes.policy_node", "import conure_sim", {"conure_sim"}),
        ("conure_ros", "conure_ros.nodes.sim_robot_node", "import conure_sim", set()),
        ("conure_training", "conure_training.prior.flow", "import zuko", {"zuko"}),
    ],
)
def test_wrong_import_is_seen_at_any_depth(package, module, source, wrong):
    assert wrong_imports(package, module, source) == wrong


@pytest.mark.parametrize("package", LAYERS)
def test_imports_within_a_package_go_down_its_layers(package):
    sources = {module: file.read_text() for module, file in modules(package)}
    assert {layer(module) for module in sources} - {""} == set(LAYERS[package]), (
        "LAYERS must name every part once"
    )
    assert not upward_imports(LAYERS[package], sources), (
        f"the order is {' < '.join(LAYERS[package])}"
    )


@pytest.mark.parametrize("package", LAYERS)
def test_no_files_of_a_package_import_one_another_in_a_circle(package):
    assert not circle({module: file.read_text() for module, file in modules(package)})


HIDDEN = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.high.b import B"


@pytest.mark.parametrize(
    ("source", "upward", "circular"),
    [
        ("import math", [], False),
        ("import toy.high.b", ["toy.low.a -> toy.high.b"], True),
        ("from toy.high.b import B", ["toy.low.a -> toy.high.b"], True),
        ("from toy.high import b", ["toy.low.a -> toy.high.b"], True),
        ("def f():\n    from toy.high.b import B", ["toy.low.a -> toy.high.b"], True),
        (HIDDEN, ["toy.low.a -> toy.high.b"], True),
        ("from toy import load", ["toy.low.a -> toy"], False),
        ("from toy.low.c import C", [], False),
        ("from toy.low.d import D", [], True),
    ],
)
def test_an_upward_import_and_a_circle_are_seen_however_they_are_written(source, upward, circular):
    toy = {
        "toy": "",
        "toy.low": "",
        "toy.low.a": source,
        "toy.low.c": "",
        "toy.low.d": "import toy.low.a",
        "toy.high": "",
        "toy.high.b": "from toy.low.a import A",
    }
    assert upward_imports(["low", "high"], toy) == upward
    assert bool(circle(toy)) == circular


def strings(source):
    """Every string in the code of a source; docstrings are not code."""
    nodes = list(ast.walk(ast.parse(source)))
    said = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]


def test_core_names_none_of_the_packages_above_it():
    above = OURS - {"conure_core"}
    naming = {
        module: text
        for module, file in modules("conure_core")
        for text in strings(file.read_text())
        if any(package in text for package in above)
    }
    assert not naming


def test_core_imports_in_half_a_second_without_torch_pybullet_and_rclpy():
    timed = (
        "import time\nstart = time.perf_counter()\nimport conure_core\nprint(time.perf_counter() -"
        " start)"
    )
    runs = [run_without({"torch", "pybullet", "rclpy"}, timed) for _ in range(3)]
    assert not any(run.returncode for run in runs), runs[0].stderr
    assert min(float(run.stdout) for run in runs) < 0.5


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("conure_core", {"torch", "pybullet", "rclpy", "gymnasium"}),
        ("conure_ros", {"torch", "pybullet", "gymnasium"}),
    ],
)
def test_every_module_on_the_robot_imports_without_torch_and_pybullet(package, absent):
    names = [
        module
        for module, _ in modules(package)
        if module not in EXCEPTIONS and not module.endswith("__main__")
    ]
    code = (
        f"import importlib\nfor name in {names!r}:\n    print(name, flush=True)\n   "
        " importlib.import_module(name)\n"
    )
    run = run_without(absent, code)
    assert run.returncode == 0, f"{run.stdout.split()[-1:]}: {run.stderr}"


def test_what_renders_and_collects_in_many_processes_does_not_wait_for_torch():
    run = run_without(
        {"torch"}, "import conure_sim.envs.static_scenes, conure_training.data.collect"
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("package", LAYERS)
def test_the_page_on_the_architecture_lists_the_parts_of_a_package_in_their_order(package):
    section = (
        (ROOT / "docs/architecture.md")
        .read_text()
        .partition(f"### {package}\n")[2]
        .partition("\n#")[0]
    )
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in row.split("`")[1::2]] == LAYERS[package]
