"""Run tests against a module as it is or with a fault, each time in a forked process of its own.

The parent imports what the tests share of other people's packages, once; the child imports ours,
the mutant in place of the module. Nothing in the tree is changed.
"""

import contextlib
import ctypes
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PYTEST_PLUGINS = ("xdist.plugin", "_hypothesis_pytestplugin")
"""Other packages bring some of their own, which take seconds to import; pytest-timeout would take
the alarm clock.
"""
MEMORY_BYTES = 16 * 2**30
"""Of addresses: a mutant that loops for ever may fill lists on the way."""
PASSED, FAILED, INTERRUPTED = 0, 1, 2
"""pytest's exit statuses; a module that cannot even be imported interrupts the collection."""
TIMED_OUT = -int(signal.SIGALRM)
PR_SET_PDEATHSIG = 1
"""linux/prctl.h: a child ends with its parent, however that ends."""
SLOWDOWN = 10.0
"""A test may take so many times as long as it took before: other work may keep the machine busy."""


@dataclass(frozen=True)
class Target:
    """A module, and the tests that judge it (files or folders, relative to `root`)."""

    module: str
    tests: tuple[str, ...]
    root: Path = ROOT
    """Where the tests are found; and the module, where it is not this repository."""

    @property
    def name(self) -> str:
        return self.module.rpartition(".")[2]

    @property
    def path(self) -> Path:
        """The module's file, found without importing the module."""
        names = self.module.split(".")
        places = None if self.root == ROOT else [str(self.root)]
        for index, _ in enumerate(names):
            name = ".".join(names[: index + 1])
            found = importlib.machinery.PathFinder.find_spec(
                name, places
            ) or importlib.util.find_spec(name)
            if found is None:
                raise SystemExit(
                    f"mutants: there is no module {self.module} (tests/mutants/targets.yaml)"
                )
            places = list(found.submodule_search_locations or [])
        return Path(str(found.origin))


@dataclass
class Baseline:
    """What the tests of the unchanged module execute: seconds and lines of each test, by its id."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, set[int]] = field(default_factory=dict)
    files: dict[str, set[int]] = field(default_factory=dict)
    """Lines that fixtures execute which a file's tests share, by file."""
    everywhere: set[int] = field(default_factory=set)
    """Lines that run when modules are imported."""

    def judges(self, first_line: int, last_line: int) -> dict[str, float]:
        """The tests that execute one of these lines, the fastest first, and how long each took."""
        wanted = set(range(first_line, last_line + 1))
        if wanted & self.everywhere:
            found = list(self.seconds)
        else:
            shared = {file for file, lines in self.files.items() if wanted & lines}
            found = [
                test
                for test, lines in self.lines.items()
                if wanted & lines or file_of(test) in shared
            ]
        return {
            test: self.seconds[test] for test in sorted(found, key=lambda test: self.seconds[test])
        }


@dataclass
class Verdict:
    """How the tests ended: pytest's status or TIMED_OUT, the first test that failed, the end of
    what was printed.
    """

    status: int
    failed: str = ""
    seconds: float = 0.0
    output: str = ""


def file_of(test: str) -> str:
    return test.partition("::")[0]


def preload(packages: Iterable[str]) -> None:
    """Import what children share. Absent packages are left to the tests, which say what they
    need.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in (*packages, "pytest", *PYTEST_PLUGINS):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


# In the child.


class _Overlay(importlib.machinery.PathFinder):
    """Gives one module other code than its file's."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self._module, self._path, self._code = module, path, code

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # type: ignore[override]
        if name != self._module:
            return None
        loader = _MutantLoader(name, str(self._path))
        loader.mutant = self._code
        return importlib.util.spec_from_file_location(name, self._path, loader=loader)


class _MutantLoader(importlib.machinery.SourceFileLoader):
    mutant: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.mutant


class _Plugin:
    """Picks the tests in their order, notes the first that fails, and what each executes of a
    file.
    """

    def __init__(
        self, wanted: Mapping[str, float] | None, traced: str | None, slack_s: float
    ) -> None:
        self.wanted, self._slack_s = wanted, slack_s
        self._places = {test: place for place, test in enumerate(wanted or ())}
        self.failed, self.baseline = "", Baseline()
        self._traced, self._sink = traced, self.baseline.everywhere
        self._began_s = 0.0

    def trace(self) -> None:
        if self._traced is not None:
            threading.settrace(self._global)
            sys.settrace(self._global)

    def _global(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._traced:
            return None
        self._sink.add(frame.f_lineno)
        return self._local

    def _local(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._sink.add(frame.f_lineno)
        return self._local

    def pytest_sessionstart(self) -> None:
        """After the conftests, before the tests' modules: examples are the same at every run, and
        never remembered.
        """
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(
            "mutants", settings(), derandomize=True, database=None, phases=phases
        )
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.wanted is not None:
            found = [item for item in items if item.nodeid in self._places]
            items[:] = sorted(found, key=lambda item: self._places[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._began_s = time.monotonic()
        self.limit(nodeid)
        self._sink = self.baseline.lines.setdefault(nodeid, set())

    def limit(self, test: str = "") -> None:
        """The alarm ends the process, wherever it hangs, unless this test ends in time."""
        if self.wanted is not None:
            signal.setitimer(
                signal.ITIMER_REAL, self._slack_s + SLOWDOWN * self.wanted.get(test, 0.0)
            )

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.baseline.seconds[nodeid] = time.monotonic() - self._began_s
        self._sink = self.baseline.everywhere

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


class _SharedFixtures:
    """What a fixture executes that several tests share counts for all tests of its file."""

    def __init__(self, plugin: _Plugin) -> None:
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
            if fixturedef.scope == "function":
                return (yield)
            before = plugin._sink
            file = file_of(request.node.nodeid)
            shared = plugin.baseline.files.setdefault(file, set())
            plugin._sink = shared if file.endswith(".py") else plugin.baseline.everywhere
            try:
                return (yield)
            finally:
                plugin._sink = before

        self.pytest_fixture_setup = pytest_fixture_setup


def _child(
    target: Target,
    code: CodeType | None,
    tests: Mapping[str, float] | None,
    slack_s: float,
    report: Path,
) -> int:
    """In the forked process: pytest's exit status, and the report as JSON."""
    import pytest

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.chdir(target.root)
    if target.root != ROOT:
        sys.path.insert(0, str(target.root))
    if code is not None:
        sys.meta_path.insert(0, _Overlay(target.module, target.path, code))
    plugin = _Plugin(tests, str(target.path) if code is None else None, slack_s)
    files = target.tests if tests is None else sorted({file_of(test) for test in tests})
    options = [
        "-q",
        "-x",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=--import-mode=importlib",
    ]
    options += ["--assert=plain", *(word for plugin in PYTEST_PLUGINS for word in ("-p", plugin))]
    options += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(target.root), "--tb=short"]
    plugin.trace()
    plugin.limit()
    status = int(pytest.main([*options, *files], plugins=[plugin, _SharedFixtures(plugin)]))
    sys.settrace(None)
    found = plugin.baseline
    data = {
        "failed": plugin.failed,
        "seconds": found.seconds,
        "lines": {test: sorted(lines) for test, lines in found.lines.items()},
        "files": {file: sorted(lines) for file, lines in found.files.items()},
        "everywhere": sorted(found.everywhere),
    }
    report.write_text(json.dumps(data))
    return status


# In the parent.


class Run:
    """One forked run of tests: of these, each with the seconds that it took before, or of all of
    the target's.

    Each may take `slack_s` beside `SLOWDOWN` times its seconds.
    """

    def __init__(
        self,
        target: Target,
        code: CodeType | None,
        tests: Mapping[str, float] | None,
        slack_s: float,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="conure-mutant-")
        self._report, self._log = (
            Path(self._folder.name) / name for name in ("report.json", "output.txt")
        )
        self._began_s = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self._process = os.fork()
        if self._process == 0:
            self._run(target, code, tests, slack_s)

    def _run(
        self,
        target: Target,
        code: CodeType | None,
        tests: Mapping[str, float] | None,
        slack_s: float,
    ) -> None:
        """Never returns."""
        status = 70
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            log = os.open(self._log, os.O_CREAT | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = _child(target, code, tests, slack_s, self._report)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def poll(self) -> Verdict | None:
        """None while it runs."""
        ended, status = os.waitpid(self._process, os.WNOHANG)
        if not ended:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)  # what the tests left behind
        verdict = self._verdict(os.waitstatus_to_exitcode(status), time.monotonic() - self._began_s)
        self._folder.cleanup()
        return verdict

    def _verdict(self, status: int, seconds: float) -> Verdict:
        output = self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""
        self.data = json.loads(self._report.read_text()) if self._report.exists() else {}
        return Verdict(status, self.data.get("failed", ""), seconds, output)

    def wait(self) -> Verdict:
        while (verdict := self.poll()) is None:
            time.sleep(0.01)
        return verdict

    def abandon(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.killpg(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        self._folder.cleanup()


def measure(target: Target) -> Baseline:
    """The tests of the unchanged module, which must pass."""
    run = Run(target, None, None, 0.0)
    try:
        verdict = run.wait()
    except BaseException:
        run.abandon()
        raise
    if verdict.status != PASSED:
        raise SystemExit(
            f"mutants: the tests of {target.module} fail without any mutant:\n{verdict.output}"
        )
    data = run.data
    return Baseline(
        data["seconds"],
        {test: set(lines) for test, lines in data["lines"].items()},
        {file: set(lines) for file, lines in data["files"].items()},
        set(data["everywhere"]),
    )
