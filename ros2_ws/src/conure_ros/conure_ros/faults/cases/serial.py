"""Faults of an arm on a serial bus: driver, servos, line. The servos are simulated, the driver is
real.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from conure_core.errors import RobotError
from conure_core.servos.bus_config import SIMULATED, BusConfig, load_bus, port_path
from conure_core.servos.control_channel import ask
from conure_core.types import Array
from conure_ros.faults.cases.input import measure_hold
from conure_ros.faults.cases.process import DRIVER_HOLD_S, RETURN_S, STILL_RAD, largest_move_rad
from conure_ros.faults.session import Session
from conure_ros.faults.table import SERIAL, Case, Outcome, Sizes

DRIVER = "serial_arm"
SAMPLE_S = 0.01
CORRUPT, CORRUPT_S = 0.05, 5.0
TOLD_S = 2.0
SUSPENSIONS, SUSPENDED_S = 4, 2.0
LAST_CYCLE_RAD = 0.05
"""One cycle at full speed, and the lag of the servos."""
ELBOW, WAIST = 4, 1  # the elbow has a second servo that holds it; nothing pulls at the waist


@dataclass
class TrueJoints:
    """The true positions of the simulated joints: times, ns, and angles (n,), rad.

    `goals`: the servos' goals, in their own counts (m,). `elapsed_s`: the simulation's own time,
    which stalls and catches up on a busy machine.
    """

    stamps_ns: list[int] = field(default_factory=list)
    elapsed_s: list[float] = field(default_factory=list)
    joints_rad: list[Array] = field(default_factory=list)
    goals: list[list[int]] = field(default_factory=list)

    @property
    def motion(self) -> tuple[Array, Array]:
        """Times (rows,), s, of the simulation, and joints (rows, n), rad, so far."""
        rows = len(self.stamps_ns)  # appended last in each sample
        return np.array(self.elapsed_s[:rows]), np.array(self.joints_rad[:rows])

    @property
    def moved_rad(self) -> float:
        return largest_move_rad(self.joints_rad)

    def last_motion_s(self, since_ns: int) -> float:
        """The last time at which a joint was further than STILL_RAD from its final position, s
        after `since_ns`.
        """
        return self._last_s(
            np.abs(np.array(self.joints_rad) - self.joints_rad[-1]).max(axis=1) > STILL_RAD,
            since_ns,
        )

    def last_goal_s(self, since_ns: int) -> float:
        """The last time at which a servo had another goal than its final one, s after
        `since_ns`.
        """
        return self._last_s((np.array(self.goals) != self.goals[-1]).any(axis=1), since_ns)

    def _last_s(self, other: NDArray[np.bool_], since_ns: int) -> float:
        return float(((np.array(self.stamps_ns) - since_ns) / 1e9)[other].max(initial=0.0))


class Servos:
    """The simulated servos of a session's arm."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.config: BusConfig = load_bus(session.graph.parameters(DRIVER)["robot"])
        self.port: Path = port_path(SIMULATED, self.config, str(session.domain))

    def ask(self, command: str, **words: Any) -> dict[str, Any]:
        return ask(self.port, command, **words)

    @contextlib.contextmanager
    def record(self) -> Iterator[TrueJoints]:
        """Record the joints' true motion during the context."""
        seen, ended = TrueJoints(), threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLE_S):
                state = self.ask("state")
                seen.joints_rad.append(np.array(state["positions"][:-1]))
                seen.goals.append(state["goals"])
                seen.elapsed_s.append(state["elapsed_s"])
                seen.stamps_ns.append(self._session.now_ns())

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


@dataclass(frozen=True)
class Fault:
    """A fault of servos or line: how it begins and ends (words for the control channel), and the
    driver's text.

    `within_s`: how long the driver may take to detect it; None: control must hold within two
    control periods.
    """

    begin: tuple[str, dict[str, Any]]
    end: tuple[str, dict[str, Any]]
    said: str
    within_s: float | None = None
    reboot: bool = False


def _driver_stops(fault: Fault, session: Session, sizes: Sizes) -> Outcome:
    """The fault, the latched stop, the fault's end without motion, and a person's recovery."""
    servos = Servos(session)
    session.let_policy_move()
    lines, began_ns = len(session.lines), session.now_ns()
    servos.ask(fault.begin[0], **fault.begin[1])
    try:
        in_time, figures, reason = measure_hold(session, began_ns)
        session.wait(lambda: session.states[-1].stopped, TOLD_S, "the driver stops control")
        said = _find_log_line(session, lines, fault.said)
    finally:
        with servos.record() as seen:
            servos.ask(fault.end[0], **fault.end[1])
            _recover(session, fault.reboot)
    if fault.within_s is not None:
        in_time = figures["hold after, ms"] <= fault.within_s * 1e3
    session.let_policy_move()
    figures["motion on return, rad"] = seen.moved_rad
    return Outcome(in_time and said != "" and seen.moved_rad <= STILL_RAD, figures, said or reason)


def _find_log_line(session: Session, start: int, text: str) -> str:
    """The driver's log line with this text since then; '' if none comes."""

    def found() -> str:
        return next(
            (line for node, line in session.lines[start:] if node == DRIVER and text in line), ""
        )

    with contextlib.suppress(RobotError):
        session.wait(found, TOLD_S, f"the driver logs '{text}'")
    return found()


def _recover(session: Session, reboot: bool = False) -> None:
    """A person's recovery: deactivate, repair, activate, reset the stop. Then wait whether anything
    moves.
    """
    session.change(DRIVER, Transition.TRANSITION_DEACTIVATE)
    if reboot:
        session.call_once(Trigger, f"{DRIVER}/reboot_servos")
    session.activate(DRIVER)
    session.call("reset_stop")
    time.sleep(RETURN_S)


def _driver_killed(session: Session, sizes: Sizes) -> Outcome:
    """The servos hold their last goals; the restarted driver holds where the arm is."""
    servos = Servos(session)
    session.let_policy_move()
    with servos.record() as seen:
        killed_ns = session.now_ns()
        session.graph.processes[DRIVER].kill()
        in_time, figures, reason = measure_hold(session, killed_ns)
        time.sleep(RETURN_S)
    last_s = seen.last_motion_s(killed_ns)
    session.choose("hold")
    with servos.record() as back:
        session.restart(DRIVER)
        time.sleep(RETURN_S)
    session.let_policy_move()
    figures |= {
        "last motion after the kill, ms": last_s * 1e3,
        "motion on return, rad": back.moved_rad,
    }
    return Outcome(
        in_time and last_s <= DRIVER_HOLD_S and back.moved_rad <= STILL_RAD, figures, reason
    )


def _control_killed(session: Session, sizes: Sizes) -> Outcome:
    """The driver sends no new goals; the joints reach their servos' goals, each with its lag."""
    session.let_policy_move()
    with Servos(session).record() as seen:
        killed_ns = session.now_ns()
        session.graph.processes["control"].kill()
        time.sleep(RETURN_S)
    session.restart_control()
    session.let_policy_move()
    goal_s, motion_s = seen.last_goal_s(killed_ns), seen.last_motion_s(killed_ns)
    figures = {
        "last new goal after the kill, ms": goal_s * 1e3,
        "last motion after the kill, ms": motion_s * 1e3,
    }
    return Outcome(goal_s <= DRIVER_HOLD_S, figures, "")


def _packets_corrupted(session: Session, sizes: Sizes) -> Outcome:
    """The policy keeps moving the arm; packets are retried and counted."""
    servos, reports = Servos(session), list[dict[str, str]]()
    listening = session.node.create_subscription(
        DiagnosticArray, "/diagnostics", partial(_take, reports), 10
    )
    try:
        session.let_policy_move()
        before = session.wait(lambda: reports and reports[-1], TOLD_S, "the driver's diagnostics")
        servos.ask("faults", corrupt=CORRUPT)
        time.sleep(CORRUPT_S)
        session.require_motion()
        count = len(reports)
        after = session.wait(
            lambda: len(reports) > count and reports[-1], TOLD_S, "the driver's diagnostics"
        )
    finally:
        servos.ask("faults")
        session.destroy(listening)
    names = {
        "retried": "packets retried",
        "cycles": "cycles",
        "incomplete": "cycles without a measurement",
    }
    figures = {what: float(after[name]) - float(before[name]) for name, what in names.items()}
    figures["jitter, p99, ms"] = float(after["jitter_p99_ms"])
    passed = after["state"] == "armed" and figures["packets retried"] > 0 and figures["cycles"] > 0
    return Outcome(passed, figures, f"the driver is {after['state']}")


def _take(reports: list[dict[str, str]], message: DiagnosticArray) -> None:
    """The driver's own status, which comes first."""
    if message.status[0].name == f"{DRIVER}: bus":
        reports.append({pair.key: pair.value for pair in message.status[0].values})


def _servo_too_hot(session: Session, sizes: Sizes) -> Outcome:
    """A servo above the driver's limit, which is below its own. The driver reads it every few
    health periods.
    """
    config = Servos(session).config
    looked_s = (
        config.health_period_s * len(config.table.health) + 2 * session.robot.control_period_s
    )
    hot = ("servo", {"servo_id": WAIST, "temperature_c": round(config.max_temperature_c) + 5})
    cool = ("servo", {"servo_id": WAIST, "temperature_c": 35})
    return _driver_stops(Fault(hot, cool, f"waist (servo {WAIST}) is at", looked_s), session, sizes)


def _case(name: str, must: str, run: Callable[[Session, Sizes], Outcome]) -> Case:
    return Case(f"serial arm: {name}", must, partial(_run_twice, run), SERIAL)


def _run_twice(run: Callable[[Session, Sizes], Outcome], session: Session, sizes: Sizes) -> Outcome:
    """Run a row, and leave the next ones an arm that can move, whatever happens.

    A row that raises is run once more: a machine on which even the simulated servos stall stops the
    arm, as it must, without the fault.
    """
    try:
        return _run_once(run, session, sizes)
    except RobotError:
        outcome = _run_once(run, session, sizes)
        outcome.figures["broke off before"] = 1.0
        return outcome


def _run_once(run: Callable[[Session, Sizes], Outcome], session: Session, sizes: Sizes) -> Outcome:
    outcome = None
    try:
        outcome = run(session, sizes)
        return outcome
    finally:
        if outcome is None or not outcome.passed:
            Servos(session).ask("faults")
            _recover(session, reboot=True)


STOPS = "hold within 2 control periods, latched stop, servo named; no jump on return"
LOST = Fault(("faults", {"lost": [ELBOW]}), ("faults", {}), f"lost elbow (servo {ELBOW})")
OVERLOAD = Fault(
    ("servo", {"servo_id": ELBOW, "overload": True}),
    ("state", {}),
    f"elbow (servo {ELBOW}): overload",
    reboot=True,
)
UNPLUGGED = Fault(("plug", {"plugged": False}), ("plug", {"plugged": True}), "the arm stopped: ")


def _driver_suspended(session: Session, sizes: Sizes) -> Outcome:
    """A stop comes meanwhile. The command that waits in the driver's queue is older than it."""
    servos, moved_rad = Servos(session), 0.0
    for _ in range(SUSPENSIONS):
        session.let_policy_move()
        process = session.graph.processes[DRIVER]
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(SUSPENDED_S)
            session.call("stop")
            with servos.record() as seen:
                process.send_signal(signal.SIGCONT)
                time.sleep(RETURN_S)
        finally:
            process.send_signal(signal.SIGCONT)
        moved_rad = max(moved_rad, seen.moved_rad)
        session.call("reset_stop")
    session.let_policy_move()
    return Outcome(moved_rad <= LAST_CYCLE_RAD, {"motion when it goes on, rad": moved_rad})


CASES = (
    _case("5 % of the packets corrupted", "retried and counted; no hold", _packets_corrupted),
    _case("servo lost", STOPS, partial(_driver_stops, LOST)),
    _case("servo overloaded", STOPS, partial(_driver_stops, OVERLOAD)),
    _case(
        "servo too hot",
        "latched stop at the next reading, servo named; no jump on return",
        _servo_too_hot,
    ),
    _case("unplugged and back", STOPS.replace("servo", "port"), partial(_driver_stops, UNPLUGGED)),
    _case(
        "stop while the driver is suspended (SIGSTOP)",
        "when it goes on, nothing moves beyond the cycle that was interrupted",
        _driver_suspended,
    ),
    _case(
        "driver killed (SIGKILL)",
        "servos hold within 100 ms, control within 2 periods; no jump",
        _driver_killed,
    ),
    _case(
        "control killed (SIGKILL)",
        "the driver holds within 100 ms; restarted, it continues",
        _control_killed,
    ),
)
