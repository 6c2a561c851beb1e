"""Between encoder counts of servos and joint positions (rad, and m for the gripper)."""

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError, RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.robot.measured_range import measured_range
from conure_core.servos.bus_config import BusConfig
from conure_core.types import Array

Counts = NDArray[np.int64]


def crank_angle(position_m: Array, crank_m: Array, rod_m: Array) -> Array:
    """Angle of the crank, rad in [-pi/2, pi/2], for a finger's distance from the axis: the law of
    cosines.
    """
    sine = (position_m**2 + crank_m**2 - rod_m**2) / (2 * position_m * crank_m)
    return np.asarray(np.arcsin(np.clip(sine, -1.0, 1.0)))


def crank_position(angle_rad: Array, crank_m: Array, rod_m: Array) -> Array:
    """A finger's distance from the servo's axis, m; inverse of `crank_angle`."""
    return np.asarray(
        crank_m * np.sin(angle_rad) + np.sqrt(rod_m**2 - (crank_m * np.cos(angle_rad)) ** 2)
    )


class ServoScale:
    """Counts (m,) of all servos, in the bus's order, and positions (n + 1,) of all joints, in
    `robot.command_names`.

    >>> scale = ServoScale(load_bus("wx250s_serial"), load_robot("wx250s_serial"))
    >>> scale.positions(scale.counts(positions))  # positions, to half a count
    """

    def __init__(self, bus: BusConfig, robot: RobotConfig) -> None:
        """Raises: ConfigError if a joint's range does not fit into the single turn of its servo's
        mode.
        """
        names, servos = robot.command_names, bus.servos
        self.bus, self.robot = bus, robot
        self.joint = np.array([names.index(servo.joint) for servo in servos])
        self.first = np.array([list(self.joint).index(index) for index in range(len(names))])
        self._direction = np.array([servo.direction for servo in servos], dtype=np.float64)
        self._zero = np.array([servo.zero_counts for servo in servos], dtype=np.float64)
        self._crank = np.array([servo.crank_m for servo in servos])
        self._rod = np.array([servo.rod_m for servo in servos])
        self._cranked = self._crank > 0
        self._lever = np.array([servo.lever_m or 1.0 for servo in servos])
        self._per_rad = bus.table.counts_per_turn / (2 * np.pi)
        self.arm = arm = Arm(robot)
        grip = sorted((robot.gripper_closed_m, robot.gripper_open_m))
        self.lower, self.upper = (
            np.append(arm.lower_rad, grip[0]),
            np.append(arm.upper_rad, grip[1]),
        )
        ends = (
            np.sort([self._exact(self.lower), self._exact(self.upper)], axis=0)
            .round()
            .astype(np.int64)
        )
        self.lowest_goal, self.highest_goal = ends
        self.lowest, self.highest = self._measured_counts(arm)
        self._require_single_turns()

    def _measured_counts(self, arm: Arm) -> tuple[Array, Array]:
        """Lowest and highest counts (m,) that the servos may read, a crank's as far as it turns to
        either side.
        """
        ends = [self._exact(positions) for positions in measured_range(arm)]
        quarter = self.bus.table.counts_per_turn / 4
        for side, end in zip((-1, 1), ends, strict=True):
            end[self._cranked] = (self._zero + side * self._direction * quarter)[self._cranked]
        low, high = np.sort(ends, axis=0)
        return low, high

    def _require_single_turns(self) -> None:
        turn = self.bus.table.counts_per_turn
        for servo, low, high in zip(
            self.bus.servos, self.lowest_goal, self.highest_goal, strict=True
        ):
            if self.bus.is_single_turn(servo) and not 0 <= low <= high < turn:
                raise ConfigError(
                    f"{self.bus.label(servo.id)}: the joint's range is {low} to {high} counts,"
                    f" beyond the one turn of mode '{self.bus.mode(servo)}' (0 to {turn - 1});"
                    " change zero_counts or the mode"
                )

    def unwrapped(self, raw: Counts) -> Counts:
        """What registers (m,) read, with the whole turns that put each servo into its joint's
        range.

        Raises: RobotError naming each servo that no turn puts there, or more than one.
        """
        turn = self.bus.table.counts_per_turn
        first = np.ceil((self.lowest - raw) / turn).astype(np.int64)
        last = np.floor((self.highest - raw) / turn).astype(np.int64)
        wrong = np.flatnonzero(first != last)
        if wrong.size:
            raise RobotError(
                "; ".join(self._unknown_turn(index, raw, first, last) for index in wrong.tolist())
            )
        return np.asarray(raw + first * turn)

    def _unknown_turn(self, index: int, raw: Counts, first: Counts, last: Counts) -> str:
        servo = self.bus.servos[index]
        says = (
            f"{self.bus.label(servo.id)} reads {raw[index]} counts, {self._text(index, raw[index])}"
        )
        ends = (self.lowest[index], self.highest[index])[:: servo.direction]
        limits = " to ".join(self._text(index, end) for end in ends)
        if first[index] > last[index]:
            return (
                f"{says}: outside the joint's range with its margin ({limits}), also a turn away;"
                " move the joint by hand into its range, without power, or correct zero_counts,"
                " direction or homing_offset_counts"
            )
        turn = self.bus.table.counts_per_turn
        angles = [
            self._text(index, raw[index] + k * turn) for k in range(first[index], last[index] + 1)
        ]
        return (
            f"{says}, and a turn away is in the joint's range too: it may be at"
            f" {' or '.join(angles)}; without power, move the joint by hand away from the ends of"
            " its range"
        )

    def _text(self, index: int, counts: float) -> str:
        """'+3.130 rad', for messages."""
        value = self.servo_positions(
            np.where(np.arange(len(self.joint)) == index, counts, self._zero)
        )[index]
        return f"{value:+.3f} {'rad' if self.joint[index] < len(self.robot.joint_names) else 'm'}"

    def counts(self, positions: Array) -> Counts:
        """The goals (m,), counts, that put the joints at these positions (n + 1,)."""
        return np.round(self._exact(positions)).astype(np.int64)

    def _exact(self, positions: Array) -> Array:
        angle = np.asarray(positions, dtype=np.float64)[self.joint] / self._lever
        cranked = self._cranked
        angle[cranked] = crank_angle(angle[cranked], self._crank[cranked], self._rod[cranked])
        return np.asarray(self._zero + self._direction * angle * self._per_rad)

    def servo_positions(self, counts: Array | Counts) -> Array:
        """Each servo's own opinion (m,) of where its joint is, rad or m."""
        angle = (
            self._direction * (np.asarray(counts, dtype=np.float64) - self._zero) / self._per_rad
        )
        cranked = self._cranked
        angle[cranked] = crank_position(angle[cranked], self._crank[cranked], self._rod[cranked])
        return np.asarray(angle * self._lever)

    def positions(self, counts: Array | Counts) -> Array:
        """Positions (n + 1,) of the joints, by the first servo of each."""
        return np.asarray(self.servo_positions(counts)[self.first])

    def speeds(self, units: Array) -> Array:
        """Speeds (n,) rad/s of the arm's joints, for the servos' velocities (m,) in their own
        unit.
        """
        speeds = self._direction * units * self.bus.table.velocity_unit_rad_s
        return np.asarray(speeds[self.first][:-1])

    def disagreement(self, counts: Array | Counts) -> Array:
        """(m,) how far each servo is from the first of its joint, rad or m."""
        opinions = self.servo_positions(counts)
        return np.asarray(np.abs(opinions - opinions[self.first][self.joint]))


class Encoders:
    """Counts that do not wrap: the register's, plus whole turns.

    It starts from a reading whose turn is known, see `ServoScale.unwrapped`; from then on a step of
    more than half a turn between two readings is a wrap.
    """

    def __init__(self, raw: Counts, counts: Counts, counts_per_turn: int) -> None:
        self._turn, self._raw = counts_per_turn, np.array(raw)
        self.counts: Counts = np.array(counts)

    def update(self, counts: Counts) -> Counts:
        """The unwrapped counts (m,) for newly read ones."""
        half = self._turn // 2
        self.counts = self.counts + (counts - self._raw + half) % self._turn - half
        self._raw = np.array(counts)
        return self.counts

    @property
    def turns(self) -> Counts:
        """Whole turns (m,) between the counts and what the registers read."""
        return (self.counts - self._raw) // self._turn

    def register(self, counts: Counts) -> Counts:
        """What to write into the goal registers for unwrapped goals (m,)."""
        return counts - (self.counts - self._raw)
