"""The tool itself: it finds mutants that a weak test lets live and none where the test is strong;
texts stay.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from .operators import mutants_of

ROOT = Path(__file__).resolve().parents[2]
GATE = '''
"""Numbers such as 1.0 in a text are left alone."""
LIMIT = 2.0


def clipped(value: float) -> float:
    """At most LIMIT > 1."""
    if value > LIMIT:
        raise ValueError(f"{value} > {LIMIT}")
    return value
'''
WEAK = """
import pytest
from {module} import clipped

def test_far():
    with pytest.raises(ValueError):
        clipped(100.0)
    assert clipped(0.5) == 0.5
"""
STRONG = """
import math
import pytest
from {module} import clipped

def test_edge():
    assert clipped(2.0) == 2.0
    with pytest.raises(ValueError):
        clipped(math.nextafter(2.0, 3.0))
"""
LOOP = "def lowered(value):\n    while value > 0:\n        value -= 3\n    return value\n"
LOOP_TEST = (
    "from endless import lowered\n\ndef test_it():\n    assert lowered(7) == -2 and lowered(6)"
    " == 0\n"
)
EDGE = "weak_gate.clipped: if value > LIMIT: => if value >= LIMIT:"


@pytest.fixture
def toys(tmp_path):
    """A module that is judged by a weak test, and the same one judged by a strong one."""
    targets = {}
    for name, test in (("weak_gate", WEAK), ("strong_gate", STRONG)):
        (tmp_path / f"{name}.py").write_text(GATE)
        (tmp_path / f"test_{name}.py").write_text(test.format(module=name))
        targets[name] = {"module": name, "tests": [f"test_{name}.py"], "root": "."}
    (tmp_path / "targets.yaml").write_text(yaml.safe_dump({"modules": targets}, sort_keys=False))
    (tmp_path / "equivalent.yaml").write_text("[]")
    return tmp_path


def run(toys, *words):
    files = [
        f"--targets={toys}/targets.yaml",
        f"--equivalent={toys}/equivalent.yaml",
        f"--results={toys}/results.json",
    ]
    command = [sys.executable, "-m", "tests.mutants", *files, *words]
    ended = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=200
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_weak_test_lets_mutants_live_and_a_strong_one_kills_all(toys):
    status, said = run(toys)
    assert status == 1, said
    assert f"survived: {EDGE}" in said
    assert "survived: strong_gate" not in said
    rows = {
        line.split()[0]: line.split()[1:]
        for line in said.splitlines()
        if line.startswith(("weak", "strong"))
    }
    mutants, killed, *others = map(int, rows["strong_gate"])
    assert (killed, others) == (mutants, [0, 0, 0])
    assert int(rows["weak_gate"][0]) == mutants and int(rows["weak_gate"][-1]) > 0
    assert (toys / "weak_gate.py").read_text() == GATE, "no file is changed"

    listed = [
        line.removeprefix("survived: ")
        for line in said.splitlines()
        if line.startswith("survived: ")
    ]
    gone = "weak_gate.clipped: if value < LIMIT: => if value > LIMIT:"
    killed_one = "strong_gate.clipped: if value > LIMIT: => if value >= LIMIT:"
    (toys / "equivalent.yaml").write_text(
        yaml.safe_dump([{"mutants": listed, "reason": "a test of the tool"}])
    )
    assert run(toys)[0] == 0
    entries = [{"mutants": [*listed, gone, killed_one], "reason": "a test of the tool"}]
    (toys / "equivalent.yaml").write_text(yaml.safe_dump(entries))
    status, said = run(toys)
    assert status == 1
    assert f"matches no mutant any more: {gone}" in said
    assert f"is killed after all: {killed_one}" in said


def test_results_are_kept_until_module_or_test_change_and_a_sample_is_the_same_for_the_same_seed(
    toys,
):
    _, first = run(toys, "--module=weak_gate", "--sample=3", "--seed=7")
    results = json.loads((toys / "results.json").read_text())["weak_gate"]["mutants"]
    assert len(results) == 3
    (toys / "test_weak_gate.py").write_text(WEAK.format(module="weak_gate") + "\n# another text\n")
    entry = next(iter(results.values()))
    assert set(entry) == {"status", "test", "seconds", "tests"}
    _, second = run(toys, "--module=weak_gate", "--sample=3", "--seed=7")
    assert sorted(first.splitlines()) == sorted(second.splitlines())
    assert set(json.loads((toys / "results.json").read_text())["weak_gate"]["mutants"]) == set(
        results
    )


def test_a_module_that_is_not_listed_is_refused_with_those_that_are(toys):
    status, said = run(toys, "--module=safty")
    assert status == 2
    assert "no module safty" in said and "weak_gate, strong_gate" in said


def test_tests_that_fail_without_a_mutant_are_not_a_judge(toys):
    (toys / "test_weak_gate.py").write_text(
        "def test_wrong():\n    assert False, 'broken already'\n"
    )
    status, said = run(toys, "--module=weak_gate")
    assert status == 1
    assert "fail without any mutant" in said and "broken already" in said


def running(toys):
    """Processes of a run on these toys, forked ones included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(toys).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_a_run_that_is_killed_leaves_no_process_and_one_beside_it_is_refused(toys):
    endless(toys)
    files = [
        f"--targets={toys}/targets.yaml",
        f"--equivalent={toys}/equivalent.yaml",
        f"--results={toys}/results.json",
    ]
    first = subprocess.Popen(
        [sys.executable, "-m", "tests.mutants", *files, "--slack=100"], cwd=ROOT
    )
    deadline_s = time.monotonic() + 60
    while len(running(toys)) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    status, said = run(toys)
    first.kill()
    first.wait()
    assert status == 1 and "another run writes" in said
    while running(toys) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not running(toys)


def endless(toys):
    (toys / "endless.py").write_text(LOOP)
    (toys / "test_endless.py").write_text(LOOP_TEST)
    targets = {"endless": {"module": "endless", "tests": ["test_endless.py"], "root": "."}}
    (toys / "targets.yaml").write_text(yaml.safe_dump({"modules": targets}))


def test_a_mutant_that_never_ends_is_ended_and_counts_as_killed(toys):
    endless(toys)
    status, said = run(toys, "--slack=2")
    assert status == 0, said
    results = json.loads((toys / "results.json").read_text())["endless"]["mutants"]
    assert results["endless.lowered: value -= 3 => value += 3"]["status"] == "timeout"


SHARED = """
import pytest
from {module} import clipped

@pytest.fixture(scope="{scope}")
def value():
    return clipped(0.5)

def test_first(value):
    pass

def test_second(value):
    assert value == 0.5
"""


@pytest.mark.parametrize("scope", ["module", "session"])
def test_what_a_shared_fixture_executes_is_judged_by_all_that_use_it(toys, scope):
    (toys / "test_weak_gate.py").write_text(SHARED.format(module="weak_gate", scope=scope))
    (toys / "weak_gate.py").write_text("def clipped(value):\n    return value + 0.0\n")
    _, said = run(toys, "--module=weak_gate")
    results = json.loads((toys / "results.json").read_text())["weak_gate"]["mutants"]
    killers = {entry["test"] for entry in results.values()}
    assert "test_weak_gate.py::test_second" in killers, said


def found(source):
    return {
        (mutant.operator, mutant.was, mutant.now) for mutant in mutants_of(source, "toy", "toy.py")
    }


@pytest.mark.parametrize(
    ("was", "operator", "now"),
    [
        ("x = a < b", "comparison", "x = a <= b"),
        ("x = a < b", "comparison", "x = a >= b"),
        ("x = a == b", "comparison", "x = a != b"),
        ("x = a is None", "comparison", "x = a is not None"),
        ("x = a and b and c", "condition dropped", "x = a and c"),
        ("x = a and b", "and, or", "x = a or b"),
        ("x = not a", "not dropped", "x = a"),
        ("x = -a", "minus dropped", "x = a"),
        ("x = a + b", "arithmetic", "x = a - b"),
        ("x += 1", "arithmetic", "x -= 1"),
        ("x = a * b", "arithmetic", "x = a / b"),
        ("x = 0.2", "constant", "x = 0.4"),
        ("x = 0.2", "constant", "x = 0.1"),
        ("x = 0.2", "constant", "x = 0.0"),
        ("x = 3", "constant", "x = 4"),
        ("x = True", "constant", "x = False"),
        ("x = min(a, b)", "function", "x = max(a, b)"),
        ("x = np.maximum(a, b)", "function", "x = np.minimum(a, b)"),
        ("x = abs(a)", "abs dropped", "x = a"),
        ("x = Mode.HOLD", "enum member", "x = Mode.POLICY"),
        ("x = a if b else c", "condition negated", "x = a if not b else c"),
        ("self.x = a", "removed", "pass"),
        ("self.stop()", "removed", "pass"),
        ("raise Error('text')", "removed", "pass"),
    ],
)
def test_each_kind_of_fault_is_made(was, operator, now):
    assert (operator, was, now) in found(was)


@pytest.mark.parametrize(
    "text",
    [
        '"""A docstring with 3 > 2."""',
        "raise Error(f'{x + 1} > {y * 2}', 3)".replace("raise ", "node.get_logger().error(") + ")",
        "x = f'{a + 1:.2f} of {b < 3}'",
        "x: tuple[int, 3] = a",
        "print(a + 1)",
        "from a import b",
    ],
)
def test_texts_and_types_are_left_alone(text):
    assert found(text) == set()


def test_what_reads_the_same_is_told_apart_by_its_number():
    keys = [mutant.key for mutant in mutants_of("def f():\n    a(1)\n    a(1)\n", "toy", "toy.py")]
    assert len(keys) == len(set(keys))
    assert "toy.f: a(1) => pass #1" in keys


def test_a_mutants_code_has_its_fault_and_only_that():
    for mutant in mutants_of("LIMIT = 2\nOTHER = 5\n", "toy", "toy.py"):
        names: dict = {}
        exec(mutant.code, names)
        assert (names["LIMIT"] == 2) != (names["OTHER"] == 5), mutant
