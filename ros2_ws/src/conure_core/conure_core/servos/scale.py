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


def crank_angle(
    position_m: Array,
    crank_m: Array,
    rod_m: Array,
) -> Array:
    """Compute the crank's angle for a finger's distance from the axis, by the law of cosines.

    Args:
        position_m: Distance of the finger from the servo's axis, m, above 0.
        crank_m: Length of the crank, m, above 0; the shapes of all three broadcast.
        rod_m: Length of the rod, m, longer than the crank.

    Returns:
        Angle, rad in [-pi/2, pi/2]; a distance out of reach gives the nearest end.
    """
    difference = position_m**2 + crank_m**2 - rod_m**2
    sine = difference / (2 * position_m * crank_m)
    within_reach = np.clip(sine, -1.0, 1.0)
    return np.asarray(np.arcsin(within_reach))


def crank_position(
    angle_rad: Array,
    crank_m: Array,
    rod_m: Array,
) -> Array:
    """Compute a finger's distance from the axis for the crank's angle; inverse of `crank_angle`.

    Args:
        angle_rad: Angle of the crank, rad; 0 where it is at a right angle to the finger's line.
        crank_m: Length of the crank, m; the shapes of all three broadcast.
        rod_m: Length of the rod, m, longer than the crank.

    Returns:
        Distance of the finger from the servo's axis, m.
    """
    along_m = crank_m * np.sin(angle_rad)
    across_m = crank_m * np.cos(angle_rad)
    return np.asarray(along_m + np.sqrt(rod_m**2 - across_m**2))


class ServoScale:
    """Counts (m,) of all servos, in the bus's order, and positions (n + 1,) of all joints, in
    `robot.command_names`.

    >>> scale = ServoScale(load_bus("wx250s_serial"), load_robot("wx250s_serial"))
    >>> scale.positions(scale.counts(positions))  # positions, to half a count
    """

    def __init__(self, bus: BusConfig, robot: RobotConfig) -> None:
        """Prepare the conversion of one robot's servos.

        Args:
            bus: The servos, which drive every joint of the robot.
            robot: The robot, for the joints' names and limits.

        Raises:
            ConfigError: A joint's range does not fit into the single turn of its servo's mode.
        """
        names = robot.command_names
        servos = bus.servos
        self.bus = bus
        self.robot = robot
        joint = [names.index(servo.joint) for servo in servos]
        self.joint = np.array(joint)
        self.first = np.array([joint.index(index) for index in range(len(names))])
        self._direction = np.array([servo.direction for servo in servos], dtype=np.float64)
        self._zero = np.array([servo.zero_counts for servo in servos], dtype=np.float64)
        self._crank = np.array([servo.crank_m for servo in servos])
        self._rod = np.array([servo.rod_m for servo in servos])
        self._cranked = self._crank > 0
        self._lever = np.array([servo.lever_m or 1.0 for servo in servos])
        self._per_rad = bus.table.counts_per_turn / (2 * np.pi)
        self.arm = Arm(robot)
        lower_m, upper_m = sorted((robot.gripper_closed_m, robot.gripper_open_m))
        self.lower = np.append(self.arm.lower_rad, lower_m)
        self.upper = np.append(self.arm.upper_rad, upper_m)
        ends = np.sort([self._exact(self.lower), self._exact(self.upper)], axis=0)
        self.lowest_goal, self.highest_goal = ends.round().astype(np.int64)
        self.lowest, self.highest = self._measured_counts(self.arm)
        self._require_single_turns()

    def _measured_counts(self, arm: Arm) -> tuple[Array, Array]:
        """Lowest and highest counts (m,) that the servos may read, a crank's as far as it turns to
        either side.
        """
        ends = [self._exact(positions) for positions in measured_range(arm)]
        quarter = self.bus.table.counts_per_turn / 4
        for side, end in zip((-1, 1), ends, strict=True):
            turned = self._zero + side * self._direction * quarter
            end[self._cranked] = turned[self._cranked]
        low, high = np.sort(ends, axis=0)
        return low, high

    def _require_single_turns(self) -> None:
        bus = self.bus
        turn = bus.table.counts_per_turn
        rows = zip(bus.servos, self.lowest_goal, self.highest_goal, strict=True)
        for servo, low, high in rows:
            if bus.is_single_turn(servo) and not 0 <= low <= high < turn:
                raise ConfigError(
                    f"{bus.label(servo.id)}: the joint's range is {low} to {high} counts,"
                    f" beyond the one turn of mode '{bus.mode(servo)}' (0 to {turn - 1});"
                    " change zero_counts or the mode"
                )

    def unwrapped(self, raw: Counts) -> Counts:
        """Add to what registers (m,) read the whole turns that put each servo into its joint's
        range.

        Raises:
            RobotError: No turn puts a servo there, or more than one does; names each.
        """
        turn = self.bus.table.counts_per_turn
        first = np.ceil((self.lowest - raw) / turn).astype(np.int64)
        last = np.floor((self.highest - raw) / turn).astype(np.int64)
        wrong = np.flatnonzero(first != last)
        if wrong.size:
            texts = [self._unknown_turn(index, raw, first, last) for index in wrong.tolist()]
            raise RobotError("; ".join(texts))
        return np.asarray(raw + first * turn)

    def nearest(self, raw: Counts) -> Counts:
        """Add to what registers (m,) read the whole turns that bring each servo nearest to the
        middle of its joint's range, which it may be outside of.
        """
        turn = self.bus.table.counts_per_turn
        middle = (self.lowest + self.highest) / 2
        turns = np.round((middle - raw) / turn).astype(np.int64)
        return np.asarray(raw + turns * turn)

    def other_turn(self, index: int, counts: int) -> float | None:
        """Find another place in a joint's range that reads the same.

        Args:
            index: The servo's place on the bus.
            counts: Where it may be, as `nearest` says.

        Returns:
            Its joint's position a turn away, rad or m; None if that is outside the range.
        """
        turn = self.bus.table.counts_per_turn
        for other in (counts - turn, counts + turn):
            if self.lowest[index] <= other <= self.highest[index]:
                all_counts = self._zero.copy()
                all_counts[index] = other
                return float(self.servo_positions(all_counts)[index])
        return None

    def _unknown_turn(
        self,
        index: int,
        raw: Counts,
        first: Counts,
        last: Counts,
    ) -> str:
        servo = self.bus.servos[index]
        label = self.bus.label(servo.id)
        counts = raw[index]
        says = f"{label} reads {counts} counts, {self._text(index, counts)}"
        ends = [self.lowest[index], self.highest[index]]
        if servo.direction < 0:
            ends.reverse()
        limits = " to ".join(self._text(index, end) for end in ends)
        if first[index] > last[index]:
            return (
                f"{says}: outside the joint's range with its margin ({limits}), also a turn away;"
                " move the joint by hand into its range, without power, or correct zero_counts,"
                " direction or homing_offset_counts"
            )
        turn = self.bus.table.counts_per_turn
        turns = range(first[index], last[index] + 1)
        places = " or ".join(self._text(index, counts + k * turn) for k in turns)
        return (
            f"{says}, and a turn away is in the joint's range too: it may be at"
            f" {places}; without power, move the joint by hand away from the ends of"
            " its range"
        )

    def _text(self, index: int, counts: float) -> str:
        """'+3.130 rad', for messages."""
        all_counts = self._zero.copy()
        all_counts[index] = counts
        value = self.servo_positions(all_counts)[index]
        is_gripper = self.joint[index] == len(self.robot.joint_names)
        unit = "m" if is_gripper else "rad"
        return f"{value:+.3f} {unit}"

    def counts(self, positions: Array) -> Counts:
        """Compute the goals (m,), counts, that put the joints at these positions (n + 1,)."""
        return np.round(self._exact(positions)).astype(np.int64)

    def _exact(self, positions: Array) -> Array:
        of_servos = np.asarray(positions, dtype=np.float64)[self.joint]
        angle = of_servos / self._lever
        cranked = self._cranked
        angle[cranked] = crank_angle(angle[cranked], self._crank[cranked], self._rod[cranked])
        return np.asarray(self._zero + self._direction * angle * self._per_rad)

    def servo_positions(self, counts: Array | Counts) -> Array:
        """Each servo's own opinion (m,) of where its joint is, rad or m."""
        from_zero = np.asarray(counts, dtype=np.float64) - self._zero
        angle = self._direction * from_zero / self._per_rad
        cranked = self._cranked
        angle[cranked] = crank_position(angle[cranked], self._crank[cranked], self._rod[cranked])
        return np.asarray(angle * self._lever)

    def positions(self, counts: Array | Counts) -> Array:
        """Positions (n + 1,) of the joints, by the first servo of each."""
        opinions = self.servo_positions(counts)
        return np.asarray(opinions[self.first])

    def speeds(self, units: Array) -> Array:
        """Speeds (n,) rad/s of the arm's joints, for the servos' velocities (m,) in their own
        unit.
        """
        speeds = self._direction * units * self.bus.table.velocity_unit_rad_s
        return np.asarray(speeds[self.first][:-1])

    def disagreement(self, counts: Array | Counts) -> Array:
        """Distance (m,) of each servo from the first of its joint, rad or m."""
        opinions = self.servo_positions(counts)
        measured = opinions[self.first]
        return np.asarray(np.abs(opinions - measured[self.joint]))


class Encoders:
    """Counts that do not wrap: the register's, plus whole turns.

    It starts from a reading whose turn is known, see `ServoScale.unwrapped`; from then on a step of
    more than half a turn between two readings is a wrap.
    """

    def __init__(
        self,
        raw: Counts,
        counts: Counts,
        counts_per_turn: int,
    ) -> None:
        self._turn = counts_per_turn
        self._raw = np.array(raw)
        self.counts: Counts = np.array(counts)

    def update(self, counts: Counts) -> Counts:
        """Return the unwrapped counts (m,) for newly read ones (m,), less than half a turn away
        from the last.
        """
        half = self._turn // 2
        step = (counts - self._raw + half) % self._turn - half
        self.counts = self.counts + step
        self._raw = np.array(counts)
        return self.counts

    @property
    def turns(self) -> Counts:
        """Whole turns (m,) between the counts and what the registers read."""
        return (self.counts - self._raw) // self._turn

    def register(self, counts: Counts) -> Counts:
        """Compute what to write into the goal registers for unwrapped goals (m,)."""
        away = self.counts - self._raw
        return counts - away
