"""From a joint target to a joint command that the arm may follow, or a refusal. Pure: no clock, no
I/O.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from conure_core.control.controller import JointTarget
from conure_core.errors import StaleInput, UnsafeCommand
from conure_core.robot.arm import Arm, within
from conure_core.types import Array

BISECTIONS = 5
BOX_TOLERANCE_M = 1e-3
"""Targets are clipped to the box before inverse kinematics, whose rest error must not count as
leaving it.
"""
SLOWEST_FRACTION = 0.1
"""Of the speed, at a singularity: the arm may still crawl through it."""
ESCAPE_FRACTION = 0.1
"""Of the speed, out of a pose that leaves the limits of space."""
BETWEEN_RAD = 0.1
"""Sum of the joints' motions between two poses of a way that are judged: the tool then leaves the
straight line between them by less than a millimetre.
"""
NO_WORSE = 1e-6
"""m and rad: how much deeper a pose may lie beyond a limit of space and count as no deeper."""


@dataclass(frozen=True)
class JointCommand:
    """A command for the arm: angles (n,) rad, gripper m, reached `duration_s` after its start; and
    the limits that changed it.
    """

    joint_rad: Array
    gripper_m: float
    duration_s: float
    changes: tuple[str, ...] = ()
    requested_rad: Array | None = None
    """(n,) rad, the target before safety; None where nothing was asked for."""


@dataclass(frozen=True)
class Violations:
    """Depths at which a pose lies beyond each limit of space: box, m; joints, rad; clearances of
    pairs, m. 0: it does not.
    """

    names: tuple[str, ...]
    depths: Array

    def any(self) -> bool:
        """Tell whether the pose lies beyond any limit."""
        return bool((self.depths > NO_WORSE).any())

    def or_less(self, before: "Violations | None") -> "Violations":
        """Keep the smaller depth of each limit: what was better once must not become as bad again,
        however slowly.
        """
        return (
            self if before is None else replace(self, depths=np.minimum(self.depths, before.depths))
        )

    def worse_than(self, before: "Violations") -> str | None:
        """Name the limit beyond which this pose lies deeper than the one before, by most; or
        None.
        """
        deeper = self.depths - before.depths
        worst = int(deeper.argmax())
        return (
            None
            if deeper[worst] <= NO_WORSE
            else f"clearance or limit: {self.names[worst]} would get worse"
        )

    def __str__(self) -> str:
        """The deepest ones by name."""
        order = np.argsort(-self.depths)[:3]
        return ", ".join(
            f"{self.names[i]} by {self.depths[i]:.3f}" for i in order if self.depths[i] > NO_WORSE
        )


Judged = tuple[JointCommand | None, Violations | None]


class SafetyGate:
    """Finite, fresh, joint position, speed, acceleration, singularity, workspace box,
    self-collision, table clearance.

    Speed and acceleration are those of a command that moves from the last command to the new one in
    `config.settle_s`; the speed changes by at most acceleration times control period. Every command
    leaves room to brake so inside all limits: u is admissible if u + (u - c)+ + (u - 2c)+ + ...
    stays within the room that is left (c: the largest change of speed). So the gate never has to
    choose between an acceleration and a wall; only `hold` stops at once.

    An arm may be switched on, or have fallen, where a joint, the box or a clearance is violated
    already. From there moves are let through, at a tenth of the speed, that make none of these
    violations deeper and add none.

    >>> gate = SafetyGate(arm)
    >>> gate.reset(measured_rad, gripper_m)
    >>> command = gate.check(target, age_s=0.02)
    """

    def __init__(self, arm: Arm) -> None:
        self.arm, config = arm, arm.config
        self._last: JointCommand | None = None
        self._last_speed: Array = np.zeros(len(config.joint_names))
        self._speed_limit: Array = np.array(config.max_speed_rad_s)
        self._largest_change: Array = (
            np.array(config.max_acceleration_rad_s2) * config.control_period_s
        )
        # rad/s (n,), out of a bad pose: so slow that the arm can stop within one command.
        self.escape_limit: Array = np.minimum(
            ESCAPE_FRACTION * self._speed_limit, self._largest_change
        )
        self._judged: Judged = (None, None)
        self._judges_ways = False

    def reset(self, joint_rad: Array, gripper_m: float) -> JointCommand:
        """Start at rest from the measured pose.

        Args:
            joint_rad: Measured joint angles, shape (n,), rad; they may lie outside the limits.
            gripper_m: Measured position of the gripper joint, m.

        Returns:
            The command that holds this pose.

        Raises:
            UnsafeCommand: A value is not finite.
        """
        joint_rad = np.array(joint_rad, dtype=np.float64)
        _require_finite(joint_rad, gripper_m)
        self._last = JointCommand(joint_rad, float(gripper_m), self.arm.config.settle_s)
        self._last_speed = np.zeros(len(self.arm.config.joint_names))
        self._judged = (None, None)
        return self._last

    def hold(self) -> JointCommand:
        """Repeat the last command: the arm stays where it was told.

        Raises:
            UnsafeCommand: Before the first reset.
        """
        self._last_speed = np.zeros_like(self._last_speed)
        return replace(self._started(), changes=("hold",), requested_rad=None)

    @property
    def last(self) -> JointCommand:
        """The last command.

        Raises:
            UnsafeCommand: Before the first reset.
        """
        return self._started()

    @property
    def last_rad(self) -> Array:
        """The last command, (n,) rad.

        Raises:
            UnsafeCommand: Before the first reset.
        """
        return self._started().joint_rad

    @property
    def last_speed(self) -> Array:
        """Speed of the last command, (n,) rad/s."""
        return self._last_speed.copy()

    def get_state(self) -> tuple[JointCommand | None, Array, Judged]:
        """Return all that the next command depends on: the last one, its speed, (n,) rad/s, and the
        limits that it violates.
        """
        return self._last, self._last_speed.copy(), self._judged

    def set_state(self, state: tuple[JointCommand | None, Array, Judged]) -> None:
        """Continue from what `get_state` gave."""
        last, speed, judged = state
        self._last, self._last_speed, self._judged = last, speed.copy(), judged

    def violations(self) -> "Violations | None":
        """Return the limits that the last command violates, or None: an arm was switched on there.

        The depths are the smallest ones since the reset.

        Raises:
            UnsafeCommand: Before the first reset.
        """
        last = self._started()
        judged, least = self._judged
        if judged is not last:
            found = self._violations_of(last.joint_rad)
            least = found.or_less(least) if found.any() else None
            self._judged = (last, least)
        return least

    def check(
        self,
        target: JointTarget,
        age_s: float,
        measured_gripper_m: float | None = None,
        judge_way: bool = False,
    ) -> JointCommand:
        """Compute the safe command nearest to a target; after an error, call `hold` instead.

        Args:
            target: Joint angles (n,), rad, and gripper position, m.
            age_s: Age of the observation that the target answers, s, from minus one control period
                to `config.max_input_age_s`.
            measured_gripper_m: Measured position of the gripper joint, m, which bounds how hard the
                gripper is closed; None: not known, so it is not bounded.
            judge_way: Whether the poses on the way to the command count too. A step of a policy is
                short; that of a joint target may be long, and leave the box between its ends.

        Returns:
            The command, reached in `config.settle_s`, with the names of the limits that changed it.

        Raises:
            UnsafeCommand: The target is not finite or has another shape, or nothing was reset yet.
            StaleInput: The observation is too old or from the future.
        """
        last, config = self._started(), self.arm.config
        self._judges_ways = judge_way
        _require_finite(target.joint_rad, target.gripper_m)
        if target.joint_rad.shape != last.joint_rad.shape:
            raise UnsafeCommand(
                f"expected {last.joint_rad.shape} joint angles, got {target.joint_rad.shape}"
            )
        if age_s < -config.control_period_s:
            raise StaleInput(
                f"the observation is stamped {-age_s:.3f} s in the future; set both clocks alike;"
                " holding"
            )
        if not age_s <= config.max_input_age_s:
            raise StaleInput(
                f"the observation is {age_s:.3f} s old, limit {config.max_input_age_s} s; holding"
            )
        changes: list[str] = []
        violations = self.violations()
        limit = self._speed_limit
        if violations is not None:
            limit = self.escape_limit
            changes.append(
                f"escape (the arm is where it must not be: {violations}; it may only move out,"
                " slowly)"
            )
        wanted = self._within(
            target.joint_rad, self.arm.lower_rad, self.arm.upper_rad, "joint position", changes
        )
        speed = self._within_speed(wanted, last.joint_rad, limit, changes)
        speed = self._slowed(speed, last.joint_rad, changes)
        speed = self._within_space(speed, last.joint_rad, violations, changes)
        gripper_m = self._gripper(target.gripper_m, last.gripper_m, measured_gripper_m, changes)
        joint_rad = last.joint_rad + speed * config.settle_s
        self._last_speed = speed
        self._last = JointCommand(
            joint_rad, gripper_m, config.settle_s, tuple(changes), target.joint_rad
        )
        if violations is None:  # what keeps all limits leads to where they are kept
            self._judged = (self._last, None)
        return self._last

    def _started(self) -> JointCommand:
        if self._last is None:
            raise UnsafeCommand(
                "the safety gate was not reset to the measured pose; nothing may move"
            )
        return self._last

    def _within(
        self, values: Array, lower: Array, upper: Array, what: str, changes: list[str]
    ) -> Array:
        clipped = within(values, lower, upper)
        for index in (np.abs(clipped - values) > 1e-9).nonzero()[0]:
            changes.append(f"{what} {self.arm.config.joint_names[index]}")
        return clipped

    def _within_speed(
        self, wanted_rad: Array, last_rad: Array, limit: Array, changes: list[str]
    ) -> Array:
        """Speed (n,), rad/s: clipped to its limit, to its largest change in one period, and to
        leave room to brake.
        """
        arm, change = self.arm, self._largest_change
        settle_s = arm.config.settle_s
        speed = self._within((wanted_rad - last_rad) / settle_s, -limit, limit, "speed", changes)
        lower, upper = (
            np.maximum(self._last_speed - change, -limit),
            np.minimum(self._last_speed + change, limit),
        )
        speed = self._within(speed, lower, upper, "acceleration", changes)
        rooms = np.stack([last_rad - arm.lower_rad, arm.upper_rad - last_rad])
        below, above = brakeable_speed(rooms / settle_s, change)
        return self._within(
            speed, np.maximum(lower, -below), np.minimum(upper, above), "braking room", changes
        )

    def _braked(self, speed: Array) -> Array:
        """The speed one period later when braking as hard as allowed."""
        return np.sign(speed) * np.maximum(np.abs(speed) - self._largest_change, 0.0)

    def _towards(self, fraction: float, speed: Array) -> Array:
        """Between braking (0), which is always allowed, and a speed (1); all limits that hold for
        both hold between.
        """
        brake = self._braked(self._last_speed)
        return brake + fraction * (speed - brake)

    def _slowed(self, speed: Array, last_rad: Array, changes: list[str]) -> Array:
        """Slower towards a singularity, in proportion to the Jacobian's smallest singular value;
        free to leave it.

        Source: Nakamura & Hanafusa, JDSMC 108(3), 1986, with the smallest singular value for the
        manipulability.
        """
        config = self.arm.config
        if config.slow_singular_value <= 0.0:
            return speed
        ahead = self.arm.smallest_singular_value(last_rad + speed * config.settle_s)
        if ahead >= config.slow_singular_value or ahead >= self.arm.smallest_singular_value(
            last_rad
        ):
            return speed
        changes.append(
            f"singularity (smallest singular value {ahead:.4f}, slow below"
            f" {config.slow_singular_value})"
        )
        return self._towards(max(SLOWEST_FRACTION, ahead / config.slow_singular_value), speed)

    def _within_space(
        self, speed: Array, last_rad: Array, violations: "Violations | None", changes: list[str]
    ) -> Array:
        """The fastest speed towards the one given that keeps the box and the clearances; braking if
        none does.
        """
        reason = self._violation_ahead(speed, last_rad, violations)
        if reason is None:
            return speed
        changes.append(reason)
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            centre = (low + high) / 2
            if self._violation_ahead(self._towards(centre, speed), last_rad, violations) is None:
                low = centre
            else:
                high = centre
        return self._towards(low, speed)

    def _violation_ahead(
        self, speed: Array, last_rad: Array, violations: "Violations | None"
    ) -> str | None:
        """Name what the next command, or braking after it, would violate first."""
        way_rad = speed * self.arm.config.settle_s
        while (reason := self._violation_on_way(last_rad, way_rad, violations)) is None:
            last_rad, speed = last_rad + way_rad, self._braked(speed)
            if not speed.any():
                return None
            way_rad = speed * self.arm.config.settle_s
        return reason

    def _violation_on_way(
        self, last_rad: Array, way_rad: Array, violations: "Violations | None"
    ) -> str | None:
        """Name what the end of a way violates, or, where they count, a pose on it."""
        between = math.ceil(np.abs(way_rad).sum() / BETWEEN_RAD) if self._judges_ways else 1
        poses = (last_rad + way_rad * (step / between) for step in range(1, between))
        reasons = (self._violation(pose, violations) for pose in (*poses, last_rad + way_rad))
        return next(filter(None, reasons), None)

    def _violation(self, joint_rad: Array, violations: "Violations | None") -> str | None:
        """Name what a pose violates; beside `violations`, where these are there already: what it
        adds or makes deeper.
        """
        if violations is not None:
            return self._violations_of(joint_rad).worse_than(violations)
        position = self.arm.forward(joint_rad)[:3, 3]
        if _outside(position, *self.arm.workspace_m) > BOX_TOLERANCE_M:
            return f"workspace (tool at {np.round(position, 3).tolist()} m)"
        pair = self.arm.first_collision(joint_rad)
        return None if pair is None else f"clearance {pair}"

    def depths(self, joint_rad: Array) -> Array:
        """Measure how deep a pose (n,) rad lies beyond each limit of space; see `Violations`."""
        return self._violations_of(joint_rad).depths

    @cached_property
    def _limits_of_space(self) -> tuple[str, ...]:
        joints = (f"joint position {name}" for name in self.arm.config.joint_names)
        return "workspace", *joints, *self.arm.pair_names

    def _violations_of(self, joint_rad: Array) -> "Violations":
        arm = self.arm
        outside = _outside(arm.forward(joint_rad)[:3, 3], *arm.workspace_m)
        return Violations(
            self._limits_of_space,
            np.concatenate(
                [
                    [outside if outside > BOX_TOLERANCE_M else 0.0],
                    np.maximum(
                        np.maximum(arm.lower_rad - joint_rad, joint_rad - arm.upper_rad), 0.0
                    ),
                    arm.clearance_deficits(joint_rad),
                ]
            ),
        )

    def _gripper(
        self, wanted_m: float, last_m: float, measured_m: float | None, changes: list[str]
    ) -> float:
        """Within the stroke and the speed, and no further ahead of what is measured than the
        squeeze allows.

        A position-controlled gripper presses with its stiffness times that distance.
        """
        config = self.arm.config
        lower, upper = sorted((config.gripper_closed_m, config.gripper_open_m))
        allowed_m = min(max(wanted_m, lower), upper)
        if measured_m is not None and config.gripper_squeeze_m > 0.0:
            closing = math.copysign(1.0, config.gripper_closed_m - config.gripper_open_m)
            furthest_m = measured_m + closing * config.gripper_squeeze_m
            if closing * (allowed_m - furthest_m) > 0.0:
                changes.append("gripper force")
                allowed_m = min(max(furthest_m, lower), upper)
        step_m = config.gripper_speed_m_s * config.control_period_s
        return min(max(allowed_m, last_m - step_m), last_m + step_m)


def brakeable_speed(room: Array, change: Array) -> Array:
    """Compute the largest speeds from which braking needs no more than the room that is left.

    They are the largest u with u + (u - change)+ + (u - 2 change)+ + ... <= room. With k terms,
    k u - change k (k - 1) / 2 = room; the sum reaches change k (k + 1) / 2 where u = k change.

    Args:
        room: Distance to each limit over the duration of a command, rad/s; negative counts as none.
        change: Largest change of each joint's speed in one control period, rad/s, above 0; its
            shape (n,) and that of `room` broadcast.

    Returns:
        Speeds, rad/s, in the shape of `room`; 0 where no room is left.
    """
    room = np.maximum(room, 0.0)
    terms = np.maximum(np.ceil((np.sqrt(1.0 + 8.0 * room / change) - 1.0) / 2.0), 1.0)
    return (room + change * terms * (terms - 1.0) / 2.0) / terms


def reachable(command: JointCommand, measured_rad: Array, farthest_rad: Array) -> JointCommand:
    """Limit a command to what lies near the measured arm: the last step before an arm.

    Args:
        command: The command of the gate.
        measured_rad: Measured joint angles, shape (n,), rad.
        farthest_rad: Largest distance from the measured angle for each joint, shape (n,), rad, 0 or
            more.

    Returns:
        The command itself where every joint is near enough; else a copy that says so in `changes`.
    """
    joint_rad = within(command.joint_rad, measured_rad - farthest_rad, measured_rad + farthest_rad)
    if np.array_equal(joint_rad, command.joint_rad):
        return command
    return replace(
        command, joint_rad=joint_rad, changes=(*command.changes, "out of the measured arm's reach")
    )


def _outside(position: Array, lower: Array, upper: Array) -> float:
    """How far, m, a point lies from a box; 0 inside."""
    return float(np.linalg.norm(position - within(position, lower, upper)))


def _require_finite(joint_rad: Array, gripper_m: float) -> None:
    if not (np.isfinite(joint_rad).all() and np.isfinite(gripper_m)):
        raise UnsafeCommand(
            f"joint target {joint_rad} rad, gripper {gripper_m} m is not finite; holding position"
        )
