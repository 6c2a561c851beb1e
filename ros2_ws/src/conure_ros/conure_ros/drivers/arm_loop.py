"""The control loop of an arm of servos, 100 times a second: measure, follow, watch."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from conure_core.control.interpolation import LinearFollower
from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.servos.scale import ServoScale
from conure_core.types import Array
from conure_ros.drivers.leap_watch import LeapWatch
from conure_ros.drivers.port import PortLost
from conure_ros.drivers.serial_arm import Measurement, SerialArm, ServoFault
from conure_ros.drivers.serial_devices import slow_adapter
from conure_ros.drivers.servo_bus import ServoSilent, open_bus
from conure_ros.drivers.settings import SettingsWriter
from conure_ros.drivers.speed_limit import SpeedLimit
from conure_ros.drivers.turn_lock import TurnLock

RECONNECT_S = 0.5
MISSES = 3  # a stalled computer is not a lost servo
REPEATS = 5  # a reached goal is sent this often: sync writes are not acknowledged
MOVED_RAD = 0.1
BUSY_S = 1.0
"""How long a call waits for the running cycle. A longer one hangs."""
CUT_POWER = "the servos may still have torque; cut the arm's power"
WINDOW = 6000


class State(Enum):
    """READY measures. ARMED follows commands. LIMP is ARMED without torque. HALTED holds after a
    fault until it is armed again. UNPLUGGED has no port.
    """

    READY = "ready"
    ARMED = "armed"
    LIMP = "limp"
    HALTED = "halted"
    UNPLUGGED = "unplugged"


@dataclass
class CycleTimes:
    """Lateness and duration of the last cycles, s, and counts since the start. `missed` counts
    cycles that were skipped.
    """

    late_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    duration_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    cycles: int = 0
    missed: int = 0
    incomplete: int = 0

    def figures(self) -> dict[str, float]:
        """Percentiles of lateness (jitter) and duration, ms, and the counts."""
        result = {
            "cycles": float(self.cycles),
            "missed": float(self.missed),
            "incomplete": float(self.incomplete),
        }
        for name, values in (("jitter", self.late_s), ("cycle", self.duration_s)):
            p50, p99, worst = np.percentile(np.array(values or [0.0]), [50, 99, 100]) * 1e3
            result |= {f"{name}_p50_ms": p50, f"{name}_p99_ms": p99, f"{name}_worst_ms": worst}
        return {name: float(value) for name, value in result.items()}


class ArmLoop:
    """Runs on its own thread from `start` to `close`. Other threads may call `arm`, `disarm`,
    `command`.

    A command is followed for at most `silence_s`; then the arm holds at its set point, since the
    command stream timed out. No joint's set point moves faster than the robot's limit, whatever is
    commanded. It stays within `max_following_error_rad` of the measured joint, so a blocked arm
    does not wind up.

    `stopped`: why nothing may move now, or ''. The set point stands still within one cycle. Any
    thread may set it.
    """

    def __init__(
        self,
        scale: ServoScale,
        port: str,
        silence_s: float = 0.1,
        on_measurement: Callable[[Measurement], None] = lambda measurement: None,
        on_fault: Callable[[str], None] = lambda why: None,
        writer: SettingsWriter | None = None,
    ) -> None:
        """Open the port and check every servo. Nothing moves.

        Args:
            scale: Converts between servo counts and joint angles; names the bus and the robot.
            port: Path of the serial port.
            silence_s: Time for which one command is followed, s.
            on_measurement: Receives every complete measurement, on the loop's thread.
            on_fault: Receives the reason whenever the arm halts, on the loop's thread.
            writer: Writes settings that differ from the robot's file; None: they are refused.

        Raises:
            RobotError: A servo fails its check; the message names it.
        """
        self.scale, self.config, self.robot = scale, scale.bus, scale.robot
        self.port, self._silence_s = port, silence_s
        self._on_measurement, self._on_fault = on_measurement, on_fault
        self.state, self.fault, self.times = State.READY, "", CycleTimes()
        self.error: BaseException | None = None
        self.stopped = self.behind = ""
        self.lock = TurnLock()
        self._speed_limit, self._leaps, self._leap = (
            SpeedLimit(self.robot),
            LeapWatch(scale.arm, self.config.lost_s),
            "",
        )
        self._writer = writer
        self.servos = SerialArm(open_bus(self.config, port), scale, writer)
        try:
            first = self.servos.check()
        except BaseException:
            self.servos.bus.close()
            raise
        self._follower = LinearFollower(first.positions)
        now_s = time.monotonic()
        self.measured, self._measured_s, self._commanded_s, self._stepped_s = (
            first,
            now_s,
            now_s,
            now_s,
        )
        self._health_s, self._retry_s, self._repeats, self._misses = now_s, now_s, 0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="servo loop", daemon=True)

    @property
    def measured_age_s(self) -> float:
        """Time since the cycle of the last complete measurement began, s."""
        return time.monotonic() - self._measured_s

    def start(self) -> None:
        self._thread.start()

    def close(self, limp: bool = False) -> None:
        """End the loop. The servos hold their last goals; with `limp` they release the torque."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.state is not State.UNPLUGGED:
            try:
                if limp:
                    self.servos.let_go()
            finally:
                self.servos.bus.close()

    # Requests.

    def arm(self) -> None:
        """Check every servo, hold the present pose with torque, and follow commands from now on.
        Raises: RobotError.
        """
        with self.lock:
            self._require_port()
            try:
                self.servos.check(tracked=time.monotonic() - self._measured_s <= self.config.lost_s)
                self._rest(self.servos.hold_present())
            except PortLost as error:
                self._unplugged(error)
                raise
            self.state, self.fault = State.ARMED, ""

    def disarm(self) -> None:
        """Hold at the set point and ignore commands."""
        with self.lock:
            if self.state in (State.ARMED, State.LIMP):
                self._stop_moving()
                self.state = State.READY

    def command(self, command: JointCommand) -> None:
        """Follow a command. Raises: RobotError unless armed, while stopped, and for a command that
        is not finite, or that waited for the cycle in which the process was suspended.
        """
        came_s = time.monotonic()
        values = np.append(command.joint_rad, [command.gripper_m, command.duration_s])
        if not np.isfinite(values).all():
            raise RobotError(f"a command must be finite, got {values.tolist()}; ignored")
        with self.lock:
            waited_s = time.monotonic() - came_s
            if waited_s > self.config.lost_s:
                raise RobotError(f"a command waited {waited_s:.2f} s for the cycle; ignored")
            if self.stopped:
                raise RobotError(f"stopped by {self.stopped}; ignored")
            if self.state is not State.ARMED:
                raise RobotError(
                    f"the arm is {self.state.value}{': ' if self.fault else ''}{self.fault};"
                    " ignored"
                )
            goal = np.clip(
                np.append(command.joint_rad, command.gripper_m), self.scale.lower, self.scale.upper
            )
            self._expect_no_jump()
            shortest_s = self._speed_limit.shortest_s(self._follower.position, goal)
            self._follower.follow(goal, max(command.duration_s, shortest_s))
            self._commanded_s, self._repeats = time.monotonic(), REPEATS
            # The motion starts now: after a long cycle it must not be over at once.
            self._stepped_s = max(self._stepped_s, self._commanded_s - self.config.period_s)

    def let_go(self) -> None:
        """Switch the torque off; the arm must not be armed. Raises: RobotError while armed, or
        naming servos that may still have torque.
        """
        with self._lock_in_time():
            self._require_disarmed("let go")
            self._all_let_go()

    def set_torque(self, on: bool) -> None:
        """Switch the torque of a stopped arm. Off: it falls and follows nothing. On: it holds where
        it is then.

        A halted arm stays halted. Returns or raises within two seconds, whatever the bus does.
        Raises: RobotError unless armed, limp or halted; off, unless every servo confirms that it
        has no torque.
        """
        with self._lock_in_time():
            if self.state is State.UNPLUGGED:
                raise PortLost(f"{self.port} is unplugged: {CUT_POWER}")
            if self.state is State.READY:
                raise RobotError(
                    "the arm is not active; activate it, which puts the torque on, or see"
                    " torque_off"
                )
            if not on:
                self._stop_moving()
                self.state = State.LIMP if self.state is State.ARMED else self.state
                self._all_let_go()
                return
            self._rest(self.servos.hold_present())
            self.state = State.ARMED if self.state is State.LIMP else self.state

    @contextmanager
    def _lock_in_time(self) -> Iterator[None]:
        """Take the lock within BUSY_S. Raises: RobotError if the bus hangs: a caller must not wait
        for ever.
        """
        if not self.lock.acquire(timeout=BUSY_S):
            raise RobotError(f"the servo loop has hung for {BUSY_S} s: {CUT_POWER}")
        try:
            yield
        finally:
            self.lock.release()

    def _all_let_go(self) -> None:
        try:
            self.servos.let_go()
        except PortLost as error:
            self._unplugged(error)
            raise PortLost(f"{error}: {CUT_POWER}") from error

    def reboot_faulty(self) -> list[str]:
        """Reboot the servos that report an error; returns which. Raises: RobotError while armed."""
        with self.lock:
            self._require_disarmed("reboot a servo")
            return [self.config.label(servo_id) for servo_id in self.servos.reboot_faulty()]

    def _require_disarmed(self, what: str) -> None:
        self._require_port()
        if self.state is State.ARMED:
            raise RobotError(f"the arm is armed; deactivate it before you {what}")

    def _require_port(self) -> None:
        if self.state is State.UNPLUGGED:
            raise PortLost(f"{self.port} is unplugged")

    # One cycle.

    def _run(self) -> None:
        period_s, due_s = self.config.period_s, time.monotonic()
        try:
            while not self._ended.is_set():
                began_s = time.monotonic()
                with self.lock:
                    self.step(began_s)
                self._note_times(began_s, due_s)
                due_s += period_s
                behind = int(max(0.0, time.monotonic() - due_s) / period_s)
                self.times.missed += behind
                due_s += behind * period_s
                self._ended.wait(max(0.0, due_s - time.monotonic()))
        except BaseException as error:
            self.error = error

    def _note_times(self, began_s: float, due_s: float) -> None:
        self.times.cycles += 1
        self.times.late_s.append(began_s - due_s)
        self.times.duration_s.append(time.monotonic() - began_s)

    def step(self, now_s: float) -> None:
        """Run one cycle. Faults of the bus end in a state, never in an exception."""
        elapsed_s, self._stepped_s = now_s - self._stepped_s, now_s
        try:
            if self.state is State.UNPLUGGED:
                self._reconnect(now_s)
                return
            self._measure(now_s)
            if time.monotonic() - now_s > self.config.lost_s:  # suspended in the midst of it
                self._stop_moving()
            if self.state is State.ARMED:
                self._follow(now_s, elapsed_s)
            self._watch(now_s)
        except PortLost as error:
            self._unplugged(error)
        except RobotError as error:
            self._halt(str(error))

    def _measure(self, now_s: float) -> None:
        """Measure. A cycle with a silent servo has no measurement; too many of them halt the
        arm.
        """
        try:
            measured = self.servos.measure()
        except ServoSilent:
            self.times.incomplete += 1
            self._misses += 1
            silent = self._misses >= MISSES and now_s - self._measured_s > self.config.lost_s
            if silent and self.state is not State.HALTED:
                self._halt(self._lost())
            return
        self._measured_s, self._misses = now_s, 0
        self._judge(measured, now_s)
        self._on_measurement(measured)

    def _judge(self, measured: Measurement, now_s: float) -> None:
        """Act on a reading only if an armed arm can have moved there, or if readings agree for
        `lost_s`. Others hold it.
        """
        if self.state is not State.ARMED:
            self._leaps.begin(measured.positions[:-1], now_s)
        doubted, self._leap = self._leap, self._leaps.take(measured.positions[:-1], now_s)
        if not self._leap:
            self.measured = measured
        if doubted or self._leap:
            self._stop_moving()
        if self._leap:
            self.behind = f"{self._leap}: this reading was refused"

    def _lost(self) -> str:
        silent = self.servos.silent_servos() or self.servos.missing
        names = ", ".join(self.config.label(servo_id) for servo_id in silent)
        everyone = (
            " (all of them: is the arm powered?)" if len(silent) == len(self.config.ids) else ""
        )
        slow = slow_adapter(self.port, self.config.latency_s)
        why = f"; {slow}" if slow else ""
        return f"lost {names}{everyone}; no intact answer for {self.config.lost_s} s{why}"

    def _follow(self, now_s: float, elapsed_s: float) -> None:
        if self.stopped or now_s - self._commanded_s > self._silence_s:
            self._stop_moving()
        moving = bool(self._follower.speed.any())
        set_point = self._follower.advance(elapsed_s)
        if moving:  # an arm that was moved by hand while it holds is not pulled back
            self._limit_following_error(set_point)
        if moving or self._repeats:
            self._repeats = REPEATS if moving else self._repeats - 1
            self.servos.send_goals(self._follower.position)

    def _limit_following_error(self, set_point: Array) -> None:
        """Move the set point of a joint that lags too far back to `max_following_error_rad`.

        The gripper may press on something; `gripper_squeeze_m` bounds by how much.
        """
        leash = np.append(np.full(len(set_point) - 1, self.robot.max_following_error_rad), np.inf)
        measured = self.measured.positions
        near = np.clip(set_point, measured - leash, measured + leash)
        far = np.flatnonzero(near != set_point)
        if not far.size:
            return
        index = int(np.abs(set_point - measured)[:-1].argmax())
        name, error_rad = self.robot.command_names[index], set_point[index] - measured[index]
        self.behind = (
            f"{name} was {error_rad:+.2f} rad from its command: is it blocked, or too heavy for its"
            " servo?"
        )
        self._follower = LinearFollower(near)

    def _watch(self, now_s: float) -> None:
        if self.state is State.HALTED:
            return
        self.servos.require_no_error()
        if self.state is State.ARMED and not self._leap:
            self._require_within_turn()
        if now_s - self._health_s >= self.config.health_period_s:
            self._health_s = now_s
            self.servos.poll_health(powered=self.state is State.ARMED)

    def _require_within_turn(self) -> None:
        """A servo in single-turn mode that was pushed past its end would return to its goal the
        long way round.
        """
        beyond = self.servos.beyond_turn()
        if beyond:
            self._rest(self.servos.goals_at_present())
            raise ServoFault(
                f"{beyond} was moved past the end of its single turn; move it back by hand, without"
                " torque"
            )

    def _stop_moving(self) -> None:
        self._follower = LinearFollower(self._follower.position)

    def _rest(self, measurement: Measurement) -> None:
        self.measured = measurement
        self._leaps.begin(measurement.positions[:-1], time.monotonic())
        self._follower, self._repeats = LinearFollower(measurement.positions), 0

    def _expect_no_jump(self) -> None:
        """An arm that was moved by hand while it held continues from where it is. The gripper may
        press on something.
        """
        away = self.measured.positions - self._follower.position
        if not self._follower.speed.any() and np.abs(away[:-1]).max() > MOVED_RAD:
            self._rest(self.measured)

    # Faults.

    def _halt(self, why: str) -> None:
        """Stay at the last goals and follow nothing until armed again."""
        if self.state is State.HALTED:
            return
        self._stop_moving()
        self.state, self.fault = State.HALTED, why
        self._on_fault(why)

    def _unplugged(self, error: PortLost) -> None:
        self.servos.bus.close()
        self.state, self.fault = State.UNPLUGGED, str(error)
        self._on_fault(str(error))

    def _reconnect(self, now_s: float) -> None:
        """Try to reopen the port. If it is back, check every servo, let those that hold continue,
        and wait to be armed.
        """
        if now_s - self._retry_s < RECONNECT_S:
            return
        self._retry_s = now_s
        try:
            bus = open_bus(self.config, self.port)
        except PortLost:
            return
        servos, retried = SerialArm(bus, self.scale, self._writer), self.servos.bus.retried
        try:
            servos.check()
            measurement = servos.hold_present(torque=False)
        except RobotError as error:
            bus.close()
            self.fault = f"{self.port} is back, but: {error}"
            return
        bus.retried.update(retried)
        self.servos, self._measured_s = servos, now_s
        self._rest(measurement)
        self.state, self.fault = (
            State.HALTED,
            f"{self.port} was unplugged and is back; activate again",
        )
        self._on_fault(self.fault)
