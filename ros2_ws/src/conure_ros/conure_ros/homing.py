"""The way home: straight in joint space, within the arm's limits, out of a bad pose first. Pure."""

from collections.abc import Iterator

import numpy as np

from conure_core.arm import Array, moved, pose_error
from conure_core.control import ControlLoop
from conure_core.controller import JointTarget
from conure_core.errors import UnsafeCommand
from conure_core.safety import JointCommand, brakeable_speed

ARRIVED_RAD = 1e-6
STUCK_RAD = 1e-5
MIXTURE_STEPS = 300
PROBE_RAD = 1e-3
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
        if self._loop.gate.violations() is not None:
            return self._first_that_moves(self._ways_out(), age_s)
        before = self._loop.get_state()
        command = self._loop.step_joints(self._next(), age_s)
        if not _blocked_by(command):
            return command
        self._loop.set_state(before)
        return self._by_tool(age_s)

    def _next(self) -> JointTarget:
        """Straight on, all joints in proportion, and slow enough to stop at home."""
        way = self._home_rad - self._last_rad
        speed = self._loop.gate.last_speed
        highest = np.minimum(self._limit, brakeable_speed(np.abs(way) / self._settle_s, self._change))
        highest = np.minimum(highest, np.maximum(speed * np.sign(way), 0.0) + self._change)
        moving = np.abs(way) > ARRIVED_RAD
        shares = highest[moving] * self._settle_s / np.abs(way[moving])
        share = float(shares.min(initial=1.0))
        return JointTarget(self._last_rad + share * way, self._gripper_m)

    def _by_tool(self, age_s: float) -> JointCommand:
        """The tool straight home, which stays inside the box, where the joints' straight way does not."""
        arm, config = self._loop.arm, self._loop.arm.config
        pose = arm.forward(self._last_rad).copy()
        way = pose_error(pose, arm.forward(self._home_rad))
        steps = max(
            np.linalg.norm(way[:3]) / config.max_translation_m, np.linalg.norm(way[3:]) / config.max_rotation_rad
        )
        share = 1.0 / max(1.0, float(steps))
        goal_rad = arm.solve(moved(pose, share * way[:3], share * way[3:]), self._last_rad)
        ahead = np.abs(goal_rad - self._last_rad) / (self._limit * self._settle_s)
        target_rad = self._last_rad + (goal_rad - self._last_rad) / max(1.0, float(ahead.max()))
        return self._first_that_moves(iter([target_rad - self._last_rad]), age_s)

    def _first_that_moves(self, ways: Iterator[Array], age_s: float) -> JointCommand:
        """The first way, (n,) rad, that the gate lets through. Raises: UnsafeCommand saying what blocks them."""
        before, begun_rad = self._loop.get_state(), self._last_rad
        blocked = "there is no way out"
        for way in ways:
            command = self._loop.step_joints(JointTarget(begun_rad + way, self._gripper_m), age_s)
            if np.abs(command.joint_rad - begun_rad).max() > STUCK_RAD:
                return command
            blocked = _blocked_by(command) or blocked
            self._loop.set_state(before)
        raise UnsafeCommand(f"the way home is blocked: {blocked}; move the arm by hand, or as a person who sees it")

    def _ways_out(self) -> Iterator[Array]:
        """Joint motions (n,), rad, out of a pose that may not be: against all violations at once, or else home."""
        gradients = self._gradients()
        ways = [-_smallest_mixture(gradients)] if len(gradients) else []
        for way in (*ways, self._home_rad - self._last_rad):
            fastest = float((np.abs(way) / (self._loop.gate.escape_limit * self._settle_s)).max())
            if fastest > STUCK_RAD:
                yield way / fastest

    def _gradients(self) -> Array:
        """Of every violated limit's depth, by joint, each of length 1: (violations, n)."""
        depths = self._loop.gate.depths
        violated = depths(self._last_rad) > 0.0
        steps = PROBE_RAD * np.eye(len(self._last_rad))
        slopes = [depths(self._last_rad + step) - depths(self._last_rad - step) for step in steps]
        rows = np.array(slopes).T[violated]
        lengths = np.linalg.norm(rows, axis=1)
        return np.asarray(rows[lengths > 0.0] / lengths[lengths > 0.0][:, None])


def _blocked_by(command: JointCommand) -> str:
    """What safety cut the command short for, beyond making it slower; '' if nothing."""
    return "; ".join(change for change in command.changes if not change.startswith(HARMLESS))


def _smallest_mixture(rows: Array) -> Array:
    """The shortest vector (n,) among the mixtures of rows (m, n): against it, all of them fall. 0: none is.

    By Frank and Wolfe's steps. Source: Desideri, Comptes Rendus Mathematique 350, 2012 (multiple gradient descent).
    """
    mixture = rows.mean(axis=0)
    for _ in range(MIXTURE_STEPS):
        row = rows[int((rows @ mixture).argmin())]
        away = mixture - row
        length = float(away @ away)
        if length < 1e-12:
            break
        mixture = mixture - np.clip(float(mixture @ away) / length, 0.0, 1.0) * away
    return np.asarray(mixture)
