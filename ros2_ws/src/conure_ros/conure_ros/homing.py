"""The way home: straight in joint space, within the arm's limits, out of a bad pose first. Pure."""

from collections.abc import Iterator

import numpy as np

from conure_core.arm import Array
from conure_core.control import ControlLoop
from conure_core.controller import JointTarget
from conure_core.errors import UnsafeCommand
from conure_core.safety import JointCommand, SafetyGate, brakeable_speed

ARRIVED_RAD = 1e-6
STUCK_RAD = 1e-7
PROBE_RAD = 1e-3
STRIDE_RAD = 0.1
HARMLESS = ("speed", "acceleration", "braking room", "singularity", "escape")
"""What safety may change on the way: it only makes the arm slower."""


class Homing:
    """Commands one control period apart, each aimed home from the last one; through the gate, as every command.

    >>> homing = Homing(loop, speed_rad_s=0.8)
    >>> while not homing.arrived:
    ...     command = homing.step(age_s=0.0)
    """

    def __init__(self, loop: ControlLoop, speed_rad_s: float) -> None:
        """From the pose that the loop was reset to, at most this fast in any joint, rad/s."""
        config = loop.arm.config
        self._loop = loop
        self._home_rad, self._gripper_m = np.array(config.home_rad), config.gripper_open_m
        self._period_s, self._settle_s = config.control_period_s, config.settle_s
        # Over a whole period; a command moves in its first part.
        fastest = speed_rad_s * config.control_period_s / config.settle_s
        self._limit = np.minimum(np.array(config.max_speed_rad_s), fastest)
        self._change = np.array(config.max_acceleration_rad_s2) * config.control_period_s

    @property
    def _last_rad(self) -> Array:
        return self._loop.gate.last_rad

    @property
    def arrived(self) -> bool:
        """Whether the last command is home; the arm itself may still be on its way."""
        return bool(np.abs(self._home_rad - self._last_rad).max() <= ARRIVED_RAD)

    def step(self, age_s: float) -> JointCommand:
        """The next command, from joints measured `age_s` ago. Raises: UnsafeCommand if it is blocked; StaleInput."""
        escaping = self._loop.gate.violations() is not None
        command = self._out(age_s) if escaping else self._loop.step_joints(self._next(), age_s)
        blocked = [change for change in command.changes if not change.startswith(HARMLESS)]
        if blocked and not escaping:
            raise UnsafeCommand(f"the way home is blocked: {'; '.join(blocked)}")
        return command

    def _next(self) -> JointTarget:
        """Straight on, all joints in proportion, and slow enough to stop at home."""
        way = self._home_rad - self._last_rad
        speed = self._loop.gate.last_speed
        highest = np.minimum(self._limit, brakeable_speed(np.abs(way) / self._settle_s, self._change))
        highest = np.minimum(highest, np.maximum(speed * np.sign(way), 0.0) + self._change)
        moving = np.abs(way) > ARRIVED_RAD
        shares = highest[moving] * self._settle_s / np.abs(way[moving])
        share = min(1.0, float(shares.min(initial=1.0)))
        return JointTarget(self._last_rad + share * way, self._gripper_m)

    def _out(self, age_s: float) -> JointCommand:
        """The first way out of a bad pose that the gate lets through. Raises: UnsafeCommand if none does."""
        before, begun_rad = self._loop.get_state(), self._last_rad
        for direction in self._ways_out(self._loop.gate):
            target = JointTarget(begun_rad + direction, self._gripper_m)
            command = self._loop.step_joints(target, age_s)
            if np.abs(command.joint_rad - begun_rad).max() > STUCK_RAD:
                return command
            self._loop.set_state(before)
        raise UnsafeCommand(
            f"no way out of where the arm is ({self._loop.gate.violations()}); switch its torque off, move it by hand"
        )

    def _ways_out(self, gate: SafetyGate) -> Iterator[Array]:
        """Joint motions (n,), rad: home; against all violations together; against each alone; each joint, both ways."""
        yield self._home_rad - self._last_rad
        gradients = self._gradients(gate)
        if len(gradients):
            yield from (
                -PROBE_RAD * 100 * row / np.abs(row).max() for row in [gradients.sum(axis=0), *gradients] if row.any()
            )
        for joint in np.eye(len(self._last_rad)):
            yield from (joint, -joint)

    def _gradients(self, gate: SafetyGate) -> Array:
        """Of every violated limit's depth, by joint, each of length 1: (violations, n)."""
        now = gate.depths(self._last_rad)
        violated = now > 0.0
        steps = PROBE_RAD * np.eye(len(self._last_rad))
        slopes = [gate.depths(self._last_rad + step) - gate.depths(self._last_rad - step) for step in steps]
        rows = np.array(slopes).T[violated]
        lengths = np.linalg.norm(rows, axis=1)
        return rows[lengths > 0.0] / lengths[lengths > 0.0][:, None]
