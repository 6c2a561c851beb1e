"""An arm of servos: its checks, measurements and goals. Every motion starts from the present
pose.
"""

import time
from dataclasses import dataclass

import numpy as np

from conure_core.errors import RobotError
from conure_core.robot.measured_range import implausible
from conure_core.servos.bus_config import ServoConfig
from conure_core.servos.scale import Counts, Encoders, ServoScale
from conure_core.types import Array
from conure_ros.drivers.servo_bus import ServoBus, ServoRefused, ServoSilent
from conure_ros.drivers.settings import (
    RESTORE,
    SettingsWriter,
    describe,
    find_changes,
    lock_all,
    read_settings,
    require_models,
)

LET_GO_S = 0.6
"""How long to wait for servos to confirm that they have no torque."""


ACCORD_TURNS = 1 / 128
"""How far a joint may move between two readings in a row that agree: a falling arm does."""


class ServoFault(RobotError):
    """A servo reports an error, is too hot, or lost its torque."""


@dataclass(frozen=True)
class Measurement:
    """Positions (n + 1,) of the joints in `robot.command_names`, rad and m; speeds (n,) rad/s of
    the arm's.
    """

    positions: Array
    speeds: Array


class SerialArm:
    """The servos of one arm, on an open bus.

    >>> arm = SerialArm(open_bus(config, "/dev/ttyDXL"), ServoScale(config, robot))
    >>> arm.check(); arm.hold_present(); arm.send_goals(arm.measure().positions)
    """

    def __init__(
        self, bus: ServoBus, scale: ServoScale, writer: SettingsWriter | None = None
    ) -> None:
        """Take an open bus.

        Args:
            bus: Of the servos that `scale` converts.
            scale: Converts between counts and positions.
            writer: Writes settings that differ from the robot's file; None: they are refused.
        """
        self.bus, self.scale, self.config, self.table = bus, scale, bus.config, bus.table
        self._writer = writer
        self.health: dict[int, dict[str, int]] = {servo_id: {} for servo_id in self.config.ids}
        self.missing: list[int] = []
        self._encoders: Encoders | None = None
        self._goal_limits: dict[int, tuple[int, int]] = {}  # of servos in single-turn mode
        self._polls = 0

    def check(self, tracked: bool = False) -> Measurement:
        """Check models, settings, limits, errors, range, and agreement of double servos. Nothing
        moves and no torque changes.

        Settings that differ are refused, or written by the `writer`. `tracked`: the
        servos were read continuously until now, so each one's turn is known. Otherwise it must
        follow from the joint's range. Raises: ServoSilent, ServoRefused, ServoFault, RobotError
        naming the servo by its joint.
        """
        with self.bus.patient():
            require_models(self.bus)
            self._check_settings()
            for servo in self.config.servos:
                self._check_limits(servo)
            if not tracked:
                self._encoders = None
            measurement = self._measure_in_agreement()
        self._require_plausible(measurement)
        return measurement

    def _require_plausible(self, measurement: Measurement) -> None:
        positions = measurement.positions
        texts = implausible(self.scale.arm, positions[:-1], float(positions[-1]))
        if texts:
            raise RobotError(
                f"{'; '.join(texts)}; move it by hand into its range, without torque, or correct"
                " zero_counts, direction or homing_offset_counts"
            )

    def _measure_in_agreement(self) -> Measurement:
        """Measure until the two servos of each joint agree. While a joint moves, a retried read
        makes them look apart.
        """
        for _ in range(self.config.retries + 1):
            measurement = self.measure()
            self.require_no_error()
            apart = self.scale.disagreement(self._unwrapped())
            if apart.max() <= self.config.max_disagreement_rad:
                return measurement
        worst = int(apart.argmax())
        raise ServoFault(
            f"{self.config.label(self.config.ids[worst])} is {apart[worst]:.3f} rad off the joint's"
            f" first servo (limit {self.config.max_disagreement_rad}): they would work"
            " against each other; correct zero_counts or direction"
        )

    def _check_settings(self) -> None:
        """Compare what all servos keep without power with the robot's file, and write it where that
        is allowed.
        """
        lock_all(self.bus)
        wanted = {servo.id: self.config.settings(servo) for servo in self.config.servos}
        held = read_settings(self.bus, wanted)
        changes = find_changes(held, wanted)
        if not changes:
            return
        if self._writer is None:
            texts = "; ".join(describe(self.config, changes))
            raise RobotError(
                f"the servos hold other settings than the robot's file: {texts}. Nothing was"
                " written: correct the file, or start once with write_settings=true, which writes"
                f" them, and keeps the old ones in a file for {RESTORE}"
            )
        self._writer.write(self.bus, held, wanted)

    def _check_limits(self, servo: ServoConfig) -> None:
        """In some modes a servo stops silently at its own position limits; they must contain the
        joint's range.
        """
        if not self.config.is_single_turn(servo):
            return
        limits = (
            self.bus.read(servo.id, "min_position_limit"),
            self.bus.read(servo.id, "max_position_limit"),
        )
        if limits == self.table.no_limits:
            self._goal_limits.pop(servo.id, None)
            return
        self._goal_limits[servo.id] = low, high = limits
        index = self.config.ids.index(servo.id)
        wanted = int(self.scale.lowest_goal[index]), int(self.scale.highest_goal[index])
        if wanted[0] < low or high < wanted[1]:
            raise RobotError(
                f"{self.config.label(servo.id)} limits itself to {low} to {high} counts"
                f" (min_position_limit, max_position_limit), and its joint needs {wanted[0]} to"
                f" {wanted[1]}; give min_position_counts and max_position_counts in the robot's"
                " file, which are written to the servo, or narrow the joint's limits in the URDF"
            )

    def measure(self) -> Measurement:
        """Measure the joints. Raises: ServoSilent naming the first servo that did not answer
        (`missing` lists all); at the first reading also RobotError naming servos whose turn is not
        known.
        """
        raw, velocities = self._read_state()
        if self._encoders is None:
            self._encoders = Encoders(raw, self.scale.unwrapped(raw), self.table.counts_per_turn)
        counts = self._encoders.update(raw)
        return Measurement(self.scale.positions(counts), self.scale.speeds(velocities))

    def _read_state(self) -> tuple[Counts, Array]:
        found, self.missing = self.bus.read_block(self.table.state)
        if self.missing:
            raise ServoSilent(f"{self.config.label(self.missing[0])} did not answer")

        def column(name: str) -> list[int]:
            return [
                self.table.value(name, self.table.state, found[servo_id])
                for servo_id in self.config.ids
            ]

        return np.array(column("present_position"), dtype=np.int64), np.array(
            column("present_velocity"), np.float64
        )

    def hold_present(self, torque: bool = True) -> Measurement:
        """Set every goal to the present position, verify it, and only then switch the torque on.

        Without `torque`, servos that hold keep holding, there. Raises: ServoSilent, ServoRefused,
        RobotError.
        """
        with self.bus.patient():
            for servo in self.config.servos:
                self._clear_leftovers(servo)
                if torque:
                    self._require_reachable(servo)
            measurement = self.goals_at_present()
            if torque:
                # All at once, before a limp arm sinks away from its goals; then verify each.
                self.bus.write_all("torque_enable", dict.fromkeys(self.config.ids, 1))
                for servo_id in self.config.ids:
                    if not self.bus.read(servo_id, "torque_enable"):
                        self.bus.write(servo_id, "torque_enable", 1)
            return measurement

    def _clear_leftovers(self, servo: ServoConfig) -> None:
        for name, value in self.table.at_rest.items():
            self.bus.write(servo.id, name, value)
        for name, largest in self.table.full.items():
            self.bus.write(servo.id, name, self.bus.read(servo.id, largest))

    def _require_reachable(self, servo: ServoConfig) -> None:
        """A servo in single-turn mode compares numbers: from 4090 to 100 it turns the long way, and
        it jumps to its limits.

        Raises: RobotError for one that stands where its goals cannot hold it or bring it into its
        range.
        """
        if servo.id not in self._goal_limits:
            return
        low, high = self._goal_limits[servo.id]
        counts = int(self._unwrapped()[self.config.ids.index(servo.id)])
        if not low <= counts <= high:
            raise RobotError(
                f"{self.config.label(servo.id)} stands at {counts} counts, and in mode"
                f" '{self.config.mode(servo)}' it can be driven between {low} and {high} only;"
                " without torque, move the joint by hand into its range, or correct"
                " homing_offset_counts or the servo's limits"
            )

    def goals_at_present(self) -> Measurement:
        """Set every goal to the present position, and verify it. Servos that hold keep holding,
        there.

        Two readings in a row must agree: one that is wrong would become the goal.
        """
        for _ in range(self.config.retries + 1):
            measurement = self._measure_in_accord()
            goals = self._goals(self._unwrapped())
            self.bus.write_all("goal_position", goals)
            ends = ("goal_position", "goal_position")
            found, _ = self.bus.read_block(ends)
            kept = {
                servo_id: self.table.value("goal_position", ends, data)
                for servo_id, data in found.items()
            }
            if kept == goals:
                return measurement
        names = ", ".join(
            self.config.label(servo_id)
            for servo_id in goals
            if kept.get(servo_id) != goals[servo_id]
        )
        raise RobotError(
            f"{names} did not take the present position as goal; the torque stays as it is"
        )

    def _measure_in_accord(self) -> Measurement:
        """Measure until two readings in a row agree: a limp arm may still fall. Raises: ServoFault
        naming a servo whose readings do not agree within `lost_s`.
        """
        self.measure()
        near = self.table.counts_per_turn * ACCORD_TURNS
        began_s = time.monotonic()
        apart = None
        while apart is None or time.monotonic() - began_s < self.config.lost_s:
            before = self._unwrapped()
            measurement = self.measure()
            apart = np.abs(self._unwrapped() - before)
            if apart.max() <= near:
                return measurement
        worst = self.config.ids[int(apart.argmax())]
        raise ServoFault(
            f"{self.config.label(worst)} reads {apart.max()} counts apart from one moment to the"
            " next; hold the arm still, or check its encoder"
        )

    def beyond_turn(self) -> str:
        """Names of servos that were pushed past the end of their single turn; '' for none."""
        moved = [
            self.config.label(servo_id)
            for servo_id, turns in zip(self.config.ids, self._tracked().turns, strict=True)
            if turns and servo_id in self._goal_limits
        ]
        return ", ".join(moved)

    def _tracked(self) -> Encoders:
        if self._encoders is None:
            raise RobotError("the encoders were not read; check the arm first")
        return self._encoders

    def _unwrapped(self) -> Counts:
        return self._tracked().counts

    def _goals(self, counts: Counts) -> dict[int, int]:
        """Goal registers by servo id for unwrapped counts (m,)."""
        return dict(zip(self.config.ids, self._tracked().register(counts).tolist(), strict=True))

    def send_goals(self, positions: Array) -> None:
        """Send joint positions (n + 1,), rad and m, to all servos, clipped to their limits."""
        within = np.clip(positions, self.scale.lower, self.scale.upper)
        self.bus.write_all("goal_position", self._goals(self.scale.counts(within)))

    def let_go(self, within_s: float = LET_GO_S) -> None:
        """Switch the torque of every servo off; the arm falls. Each is read back and asked again
        for `within_s`; those that were silent before come last.

        Raises: ServoSilent naming those whose torque may still be on.
        """
        until_s = time.monotonic() + within_s
        holding = sorted(self.config.ids, key=lambda servo_id: servo_id in self.missing)
        while True:
            self.bus.write_all("torque_enable", dict.fromkeys(holding, 0))
            holding = [
                servo_id
                for servo_id in holding
                if time.monotonic() > until_s or not self._let_go(servo_id)
            ]
            if not holding:
                return
            if time.monotonic() > until_s:
                names = ", ".join(map(self.config.label, holding))
                raise ServoSilent(
                    f"{names} did not answer, and may still have torque; cut the arm's power"
                )

    def _let_go(self, servo_id: int) -> bool:
        """Whether the servo confirms that it has no torque."""
        try:
            self.bus.write(servo_id, "torque_enable", 0)
            return self.bus.read(servo_id, "torque_enable") == 0
        except (ServoSilent, ServoRefused):
            return False

    # Health.

    def require_no_error(self) -> None:
        """Raises: ServoFault naming every servo that reports a hardware error."""
        faulty = [servo_id for servo_id, alert in self.bus.alerts.items() if alert]
        if faulty:
            raise ServoFault(
                "; ".join(
                    f"{self.config.label(servo_id)}: {self._error(servo_id)}" for servo_id in faulty
                )
            )

    def _error(self, servo_id: int) -> str:
        bits = self.bus.read(servo_id, "hardware_error")
        self.health[servo_id]["hardware_error"] = bits
        return self.table.error_texts(bits) or "an error that is over"

    def poll_health(self, powered: bool) -> None:
        """Read the next block of health registers. Raises: ServoFault for a servo with an error,
        too hot or, if `powered`, without torque.
        """
        ends = self.table.health[self._polls % len(self.table.health)]
        self._polls += 1
        found, _ = self.bus.read_block(ends)
        read = {servo_id: self.table.values(ends, data) for servo_id, data in found.items()}
        for servo_id, values in read.items():
            self.health[servo_id].update(values)
        self.require_no_error()  # an error explains a lost torque
        for servo_id, values in read.items():  # not older readings: the fault may be over
            if values.get("present_temperature", 0) > self.config.max_temperature_c:
                raise ServoFault(
                    f"{self.config.label(servo_id)} is at {values['present_temperature']} deg C "
                    f"(limit {self.config.max_temperature_c:.0f}); let it cool down"
                )
            if powered and not values.get("torque_enable", 1):
                raise ServoFault(
                    f"{self.config.label(servo_id)} has no torque any more; did it lose its power?"
                )

    def silent_servos(self) -> list[int]:
        """Of the servos missing in the last measurement, those that do not answer a ping either."""
        silent = []
        for servo_id in self.missing:
            try:
                self.bus.ping(servo_id)
            except ServoSilent:
                silent.append(servo_id)
        return silent

    def reboot_faulty(self) -> list[int]:
        """Reboot the servos that report an error; returns their ids. They have no torque
        afterwards.
        """
        self.bus.read_block(self.table.state)
        faulty = [servo_id for servo_id, alert in self.bus.alerts.items() if alert]
        for servo_id in faulty:
            self.bus.reboot(servo_id)
            self.bus.alerts[servo_id] = 0
        return faulty
