"""`conure faults`: break the live graph in every way of the table, and check that it reacts safely.

`conure faults gate`: safety gate and stops in simulated time, without a graph. `conure faults
soak`: a long run with large images.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, POSITIVE, SEED
from conure_core.errors import ConfigError, ConureError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.runtime.provenance import git_commit, machine
from conure_core.servos.bus_config import load_bus
from conure_ros.faults.gate import run_gate
from conure_ros.faults.report import format_line, write_report
from conure_ros.faults.table import (
    FOREIGN,
    GRAPHS,
    SERIAL,
    SIMULATED,
    Case,
    Outcome,
    Result,
    Sizes,
    choose_cases,
    run_case,
)

GATE, SOAK = "gate", "soak"
SOAK_MUST = "no missed hold, memory flat, p99 capture to command under 50 ms, no lost command"
GATE_MUST = (
    "no command outside a limit of position, speed, acceleration, workspace or clearance; out of a"
    " violating pose slowly"
)
STOPS_MUST = (
    "no motion later than 60 ms after the request beyond braking, none while stopped; speed"
    " within 5 %"
)
LIMITS, LIMITS_MUST = (
    "{} arm during all faults",
    "never beyond a limit of position, speed or workspace",
)
QUIET, QUIET_MUST = "no fault", "command jitter and CPU load of each node; only reported"


@dataclass(frozen=True)
class FaultsConfig:
    """What to break, and how often; see conf/faults.yaml.

    `serial_robot`: the robot of the rows that need servos on a bus.
    """

    bundle: str = ""
    robot: str = "wx250s"
    serial_robot: str = "wx250s_serial_sim"
    noise_scale: float = 0.5
    only: list[str] = field(default_factory=list)
    stops: int = field(default=200, metadata=COUNT)
    stop_p99_ms: float = field(default=20.0, metadata=POSITIVE)
    jitter_s: float = field(default=20.0, metadata=POSITIVE)
    commands: int = field(default=20_000, metadata=COUNT)
    simulated_stops: int = field(default=500, metadata=COUNT)
    workers: int = field(default=1, metadata=COUNT)
    minutes: float = field(default=30.0, metadata=POSITIVE)
    warm_up_s: float = field(default=60.0, metadata=POSITIVE)
    seed: int = field(default=0, metadata=SEED)
    out: str = "out/faults.html"

    def __post_init__(self) -> None:
        load_robot(self.robot)
        load_bus(self.serial_robot)
        choose_cases(self.only)

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.stops, self.stop_p99_ms, self.jitter_s, self.seed)


def run(overrides: list[str]) -> None:
    """Break the live graph in every way of the table; `faults gate` needs no graph.

    Raises: ConureError naming the failed rows; the report is written
    first.
    """
    word = overrides[0] if overrides[:1] in ([GATE], [SOAK]) else ""
    config = load_config(
        "conure_ros.conf", "faults", FaultsConfig, overrides[1:] if word else overrides
    )
    if word != GATE and not config.bundle:
        raise ConfigError(
            "conure faults needs a policy: bundle=FOLDER; or run 'conure faults gate', which needs"
            " no graph"
        )
    results = {GATE: _without_graph, SOAK: _soak}.get(word, _table)(config)
    about = {"robot": config.robot, "commit": git_commit(), **machine()}
    write_report(Path(config.out), results, about)
    print(f"wrote {config.out} and {Path(config.out).with_suffix('.json')}")
    failed = [result.name for result in results if not result.passed]
    if failed:
        raise ConureError(f"{len(failed)} of {len(results)} faults failed: {', '.join(failed)}")


def _run_timed(name: str, must: str, work: Callable[[], Outcome]) -> Result:
    began_s = time.monotonic()
    outcome = work()
    result = Result(name, must, outcome, round(time.monotonic() - began_s, 2))
    print(format_line(result), flush=True)
    return result


def _table(config: FaultsConfig) -> list[Result]:
    return [*(result for arm in GRAPHS for result in _graph(config, arm)), *_without_graph(config)]


def _without_graph(config: FaultsConfig) -> list[Result]:
    """The rows in simulated time."""
    return [_gate(config), _stops(config)]


def _soak(config: FaultsConfig) -> list[Result]:
    from conure_ros.faults.session import running_session
    from conure_ros.faults.soak import GRAPH, RATE_HZ, run_soak, write_video

    with tempfile.TemporaryDirectory(prefix="conure-") as folder:
        video = write_video(Path(folder) / "camera.mp4", config.seed)
        camera = {"camera_source": str(video), "camera.rate_hz": float(RATE_HZ)}
        with running_session(GRAPH, {**_policy_of(config), **camera}) as session:
            return [
                _run_timed(
                    SOAK, SOAK_MUST, lambda: run_soak(session, config.minutes, config.warm_up_s)
                )
            ]


def _policy_of(config: FaultsConfig) -> dict[str, Any]:
    bundle = str(Path(config.bundle).resolve())
    return {"bundle": bundle, "robot": config.robot, "noise_scale": config.noise_scale}


def _gate(config: FaultsConfig) -> Result:
    def work() -> Outcome:
        run = run_gate(config.robot, config.commands, config.seed, workers=config.workers)
        slow = run_gate(
            config.robot, max(1, config.commands // 10), config.seed, 0.1, config.workers
        )
        both = run.merge(slow)
        return Outcome(both.kept, both.figures(), ", ".join(both.broken))

    return _run_timed(f"random commands through the {GATE}", GATE_MUST, work)


def _stops(config: FaultsConfig) -> Result:
    from conure_ros.faults.stop_trials import ARMS, SENDERS, run_stop_trials
    from conure_ros.faults.supervised import SupervisedArm

    def work() -> Outcome:
        trials = run_stop_trials(SupervisedArm, config.robot, config.simulated_stops, config.seed)
        return Outcome(
            trials.kept,
            trials.figures(),
            ", ".join(dict.fromkeys(what for what, _ in trials.failures)),
        )

    return _run_timed(
        f"stops under {len(SENDERS)} kinds of sender, {len(ARMS)} arms", STOPS_MUST, work
    )


def _graph(config: FaultsConfig, arm: str) -> list[Result]:
    """Run the chosen cases of one arm on its graph, then judge the motion during all of them."""
    from conure_ros.faults.cases.serial import Servos
    from conure_ros.faults.idle import measure_jitter_and_cpu
    from conure_ros.faults.motion import collect_motion, judge_motion
    from conure_ros.faults.session import running_session

    cases = [case for case in choose_cases(config.only) if case.arm == arm]
    if not cases:
        return []
    robot = config.serial_robot if arm == SERIAL else config.robot
    parameters = {"robot": robot} if arm == FOREIGN else {**_policy_of(config), "robot": robot}
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(running_session(GRAPHS[arm], parameters))
        truth = stack.enter_context(Servos(session).record()) if arm == SERIAL else None
        quiet = arm == SIMULATED and not config.only
        results = (
            [_run_timed(QUIET, QUIET_MUST, lambda: measure_jitter_and_cpu(session, config.sizes))]
            if quiet
            else []
        )
        results += [_run(case, session, config.sizes) for case in cases]
        if arm != FOREIGN:  # which is moved by hand; each of its rows judges its own motion
            recorded = collect_motion(
                session.robot, session.trajectories, session.joints, truth.motion if truth else None
            )
            results.append(
                _run_timed(
                    LIMITS.format(arm),
                    LIMITS_MUST,
                    lambda: judge_motion(Arm(session.robot), recorded),
                )
            )
    return results


def _run(case: Case, session: Any, sizes: Sizes) -> Result:
    return _run_timed(case.name, case.must, lambda: run_case(case, session, sizes))
