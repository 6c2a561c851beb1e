"""The table of faults: each fault, what must happen, and what happened. No ROS.

A module of cases offers `CASES: tuple[Case, ...]`; its name in `MODULES` adds it to the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from conure_core.errors import ConfigError, ConureError, unknown_name

MODULES = (
    "conure_ros.faults.cases.input",
    "conure_ros.faults.cases.stop",
    "conure_ros.faults.cases.process",
    "conure_ros.faults.cases.serial",
    "conure_ros.faults.cases.arm",
    "conure_ros.faults.cases.control",
    "conure_ros.faults.cases.trajectory",
    "conure_ros.faults.cases.graph",
)
SIMULATED, SERIAL, FOREIGN = "simulated", "serial", "foreign"
GRAPHS = {SIMULATED: "faults", SERIAL: "faults_serial", FOREIGN: "faults_arm"}
"""The graph for the rows of each arm."""


@dataclass(frozen=True)
class Sizes:
    """How often or how long the rows run."""

    stops: int = 200
    stop_p99_ms: float = 20.0
    jitter_s: float = 20.0
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """The result of a row. `figures`: measurements by name, with the unit in the name. `detail`:
    text for a person, such as the published reason.
    """

    passed: bool
    figures: dict[str, float] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """One row. `run` breaks the live graph of its `arm` and checks it; afterwards the graph must
    work again.
    """

    name: str
    must: str
    run: Callable[[Any, Sizes], Outcome]
    arm: str = SIMULATED


@dataclass(frozen=True)
class Result:
    """A row that was run. `passed` also requires that no limit was exceeded meanwhile."""

    name: str
    must: str
    outcome: Outcome
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.outcome.passed


def all_cases() -> dict[str, Case]:
    """Every case by name, in the table's order."""
    return {case.name: case for module in MODULES for case in import_module(module).CASES}


def choose_cases(names: list[str]) -> list[Case]:
    """The cases of these names in the table's order; without names, all. Raises: ConfigError for an
    unknown one.
    """
    cases = all_cases()
    for name in names:
        if name not in cases:
            raise unknown_name("fault", name, cases)
    return [case for case in cases.values() if not names or case.name in names]


def run_case(case: Case, session: Any, sizes: Sizes) -> Outcome:
    """Run a row. A failure of the graph is an outcome too.

    Args:
        case: The row.
        session: The running graph.
        sizes: How often or how long it runs.

    Returns:
        The row's outcome; not passed, with the reason, if a ConureError came.

    Raises:
        ConfigError: The request itself is wrong.
    """
    try:
        return case.run(session, sizes)
    except ConfigError:
        raise
    except ConureError as error:
        return Outcome(False, detail=str(error))
