"""Homing: straight in joint space, within the arm's limits, out of a bad pose first. Pure."""

import numpy as np
from numpy.typing import NDArray

from conure_core.control.controller import JointTarget
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand, brakeable_speed
from conure_core.errors import UnsafeCommand
from conure_core.robot.arm import moved, pose_error
from conure_core.types import Array

ARRIVED_RAD = 1e-6
STUCK_RAD = 1e-5
MIXTURE_STEPS = 300
PROBE_RAD = 1e-3
ATTEMPTS = 4
PATIENCE, SHRINKS = 50, 1e-3
THERE_STEPS = 1e-2
WAYS = ("joints", "position", "joints", "pose", "joints")
"""Tried in this order, each when the one before leads no further: joints straight, the tool's
position, its pose.
"""
BY_HAND = "move the arm by hand, or teleoperate it in view"
HARMLESS = ("speed", "acceleration", "braking room", "singularity", "escape")
"""Changes by safety that only make the arm slower."""


class Homing:
    """Commands one control period apart. Each aims from the last one to home, through the safety
    gate.

    >>> homing = Homing(loop, speed_rad_s=0.8)
    >>> while not homing.arrived:
    ...     command = homing.step(age_s=0.0)
    """

    def __init__(self, loop: ControlLoop, speed_rad_s: float) -> None:
        """Start from the pose that the loop was reset to.

        Args:
            loop: Controller and gate of the arm.
            speed_rad_s: Largest mean speed of any joint over a control period, rad/s.
        """
        config = loop.arm.config
        self._loop = loop
        self._home_rad, self._gripper_m = np.array(config.home_rad), config.gripper_open_m
        self._settle_s = config.settle_s
        # Mean over a whole period; a command moves in its first part.
        fastest = speed_rad_s * config.control_period_s / config.settle_s
        self._limit = np.minimum(np.array(config.max_speed_rad_s), fastest)
        self._change = np.array(config.max_acceleration_rad_s2) * config.control_period_s
        self._ways: tuple[str, ...] = WAYS
        self._patience, self._patience_out = _Patience(), _Patience()

    @property
    def slow_rad_s(self) -> Array:
        """Speeds (n,), rad/s, at which the arm may start and stop at once."""
        return np.minimum(self._limit, self._change)

    @property
    def _last_rad(self) -> Array:
        return self._loop.gate.last_rad

    @property
    def arrived(self) -> bool:
        """Whether the last command is home. The arm itself may still be moving."""
        return bool(np.abs(self._home_rad - self._last_rad).max() <= ARRIVED_RAD)

    def step(self, age_s: float) -> JointCommand:
        """The next command, from joints measured `age_s` ago. Raises: UnsafeCommand naming what
        blocks it; StaleInput.
        """
        if self._loop.gate.violations() is not None:
            return self._way_out(age_s)
        blocked = ""
        while self._ways:
            try:
                return self._along(self._ways[0], age_s)
            except _Blocked as why:
                blocked = blocked or str(why)
                self._ways, self._patience = self._ways[1:], _Patience()
        raise UnsafeCommand(f"homing is blocked: {blocked or 'no way leads further'}; {BY_HAND}")

    def _along(self, way: str, age_s: float) -> JointCommand:
        """One step along one of `WAYS`. Raises: _Blocked if it leads no further."""
        before, left = self._loop.get_state(), self._left(way)
        if self._patience.lost(left):
            raise _Blocked("it comes no nearer")
        command = self._loop.step_joints(
            self._next() if way == "joints" else self._by_tool(way, left), age_s
        )
        blocked, moved_rad = (
            blocked_by(command),
            float(np.abs(command.joint_rad - before[1][0].joint_rad).max()),
        )
        # Safety may shorten a step of the tool: it slides along the limit.
        if blocked and (way == "joints" or moved_rad <= STUCK_RAD):
            self._loop.set_state(before)
            raise _Blocked(blocked)
        return command

    def _left(self, way: str) -> float:
        """The distance to home: rad of the joints, or steps of the tool. Raises: _Blocked if the
        tool is there.
        """
        if way == "joints":
            return float(np.abs(self._home_rad - self._last_rad).max())
        config, error = self._loop.arm.config, self._tool_way(way)
        steps = max(
            np.linalg.norm(error[:3]) / config.max_translation_m,
            np.linalg.norm(error[3:]) / config.max_rotation_rad,
        )
        if steps < THERE_STEPS:
            raise _Blocked("")
        return float(steps)

    def _next(self) -> JointTarget:
        """Straight ahead, all joints in proportion, and slow enough to stop at home."""
        way = self._home_rad - self._last_rad
        speed = self._loop.gate.last_speed
        highest = np.minimum(
            self._limit, brakeable_speed(np.abs(way) / self._settle_s, self._change)
        )
        highest = np.minimum(highest, np.maximum(speed * np.sign(way), 0.0) + self._change)
        moving = np.abs(way) > ARRIVED_RAD
        shares = highest[moving] * self._settle_s / np.abs(way[moving])
        share = float(shares.min(initial=1.0))
        return JointTarget(self._last_rad + share * way, self._gripper_m)

    def _tool_way(self, way: str) -> Array:
        """(6,), m and rad, from the tool's pose to its pose at home. The way 'position' does not
        rotate it.
        """
        error = pose_error(
            self._loop.arm.forward(self._last_rad).copy(), self._loop.arm.forward(self._home_rad)
        )
        return np.concatenate([error[:3], np.zeros(3) if way == "position" else error[3:]])

    def _by_tool(self, way: str, steps: float) -> JointTarget:
        """Move the tool straight home. It stays inside the box where the joints' straight way may
        leave it.
        """
        arm, error = self._loop.arm, self._tool_way(way) / max(1.0, steps)
        goal_rad = arm.solve(
            moved(arm.forward(self._last_rad).copy(), error[:3], error[3:]), self._last_rad
        )
        ahead = np.abs(goal_rad - self._last_rad) / (self._limit * self._settle_s)
        return JointTarget(
            self._last_rad + (goal_rad - self._last_rad) / max(1.0, float(ahead.max())),
            self._gripper_m,
        )

    def _way_out(self, age_s: float) -> JointCommand:
        """One step out of a violating pose. Raises: UnsafeCommand saying what blocks it.

        It moves against all violations at once. If that meets another limit, it moves against that
        limit as well; the last attempt moves towards home.
        """
        depths, begun_rad, before = self._loop.gate.depths, self._last_rad, self._loop.get_state()
        begun = depths(begun_rad)
        rows, blocked = self._gradients(begun_rad, begun > 0.0), "there is no way out"
        if self._patience_out.lost(float(begun.sum())):
            raise UnsafeCommand(f"homing is blocked: the arm cannot leave the violation; {BY_HAND}")
        for attempt in range(ATTEMPTS + 1):
            way = self._home_rad - begun_rad if attempt == ATTEMPTS else -_smallest_mixture(rows)
            fastest = float((np.abs(way) / (self._loop.gate.escape_limit * self._settle_s)).max())
            if fastest <= STUCK_RAD:
                continue
            ahead_rad = begun_rad + way / fastest
            command = self._loop.step_joints(JointTarget(ahead_rad, self._gripper_m), age_s)
            if np.abs(command.joint_rad - begun_rad).max() > STUCK_RAD:
                return command
            blocked = blocked_by(command) or blocked
            self._loop.set_state(before)
            rows = np.vstack([rows, self._gradients(ahead_rad, depths(ahead_rad) > begun)])
        raise UnsafeCommand(f"homing is blocked: {blocked}; {BY_HAND}")

    def _gradients(self, joint_rad: Array, of: NDArray[np.bool_]) -> Array:
        """How the depths beyond these limits change by joint, each of length 1: (limits, n)."""
        depths, steps = self._loop.gate.depths, PROBE_RAD * np.eye(len(joint_rad))
        slopes = [depths(joint_rad + step) - depths(joint_rad - step) for step in steps]
        rows = np.array(slopes).T[of]
        lengths = np.linalg.norm(rows, axis=1)
        return np.asarray(rows[lengths > 0.0] / lengths[lengths > 0.0][:, None])


class _Blocked(Exception):
    """This way leads no further; the message says why."""


class _Patience:
    """Ends with a distance that did not shrink for `PATIENCE` periods."""

    def __init__(self) -> None:
        self._best, self._periods = np.inf, 0

    def lost(self, distance: float) -> bool:
        if distance < self._best * (1.0 - SHRINKS):
            self._best, self._periods = distance, 0
            return False
        self._periods += 1
        return self._periods > PATIENCE


def blocked_by(command: JointCommand) -> str:
    """The reasons for which safety shortened the command, other than slowing down; '' if none."""
    return "; ".join(change for change in command.changes if not change.startswith(HARMLESS))


def _smallest_mixture(rows: Array) -> Array:
    """The shortest convex combination, shape (n,), of rows (m, n). A step against it reduces all of
    them.

    0 if no such step exists, or without rows. Frank-Wolfe iteration. Source: Desideri, Comptes
    Rendus Mathematique 350, 2012 (multiple gradient descent).
    """
    mixture = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])
    for _ in range(MIXTURE_STEPS if len(rows) else 0):
        row = rows[int((rows @ mixture).argmin())]
        away = mixture - row
        length = float(away @ away)
        if length < 1e-12:
            break
        mixture = mixture - np.clip(float(mixture @ away) / length, 0.0, 1.0) * away
    return np.asarray(mixture)
