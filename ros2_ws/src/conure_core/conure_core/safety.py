"""From a joint target to a joint command that the arm may follow, or a refusal. Pure: no clock, no I/O."""

from dataclasses import dataclass, replace

import numpy as np

from conure_core.arm import Arm, Array
from conure_core.controller import JointTarget
from conure_core.errors import StaleInput, UnsafeCommand

BISECTIONS = 5


@dataclass(frozen=True)
class JointCommand:
    """What the arm is told: angles (n,) rad, gripper m, reached `duration_s` after its start; and what was changed."""

    joint_rad: Array
    gripper_m: float
    duration_s: float
    changes: tuple[str, ...] = ()


class SafetyGate:
    """Finite, fresh, joint position, speed, acceleration, workspace box, self-collision and table clearance, in order.

    Speed and acceleration are those of a command that moves from the last command to the new one in `config.settle_s`.

    >>> gate = SafetyGate(arm)
    >>> gate.reset(measured_rad, gripper_m)
    >>> command = gate.check(target, age_s=0.02)
    """

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self._last: JointCommand | None = None
        self._last_speed: Array = np.zeros(len(arm.config.joint_names))

    def reset(self, joint_rad: Array, gripper_m: float) -> JointCommand:
        """Start at rest from the measured pose; returns the command that holds it. Raises: UnsafeCommand if NaN."""
        joint_rad = np.array(joint_rad, dtype=np.float64)
        _require_finite(joint_rad, gripper_m)
        self._last = JointCommand(joint_rad, float(gripper_m), self.arm.config.settle_s)
        self._last_speed = np.zeros(len(self.arm.config.joint_names))
        return self._last

    def hold(self) -> JointCommand:
        """The last command again: the arm stays where it was told. Raises: UnsafeCommand before the first reset."""
        self._last_speed = np.zeros_like(self._last_speed)
        return replace(self._started(), changes=("hold",))

    def get_state(self) -> tuple[JointCommand | None, Array]:
        """All that the next command depends on: the last one and its speed, (n,) rad/s."""
        return self._last, self._last_speed.copy()

    def set_state(self, state: tuple[JointCommand | None, Array]) -> None:
        """Go on from what `get_state` gave."""
        last, speed = state
        self._last, self._last_speed = last, speed.copy()

    def check(self, target: JointTarget, age_s: float) -> JointCommand:
        """The nearest safe command to a target that answers an observation `age_s` old.

        Raises: UnsafeCommand if the target is not finite or has another shape; StaleInput if it is too old (or from the
        future). Either way nothing is commanded; call `hold`.
        """
        last, config = self._started(), self.arm.config
        _require_finite(target.joint_rad, target.gripper_m)
        if target.joint_rad.shape != last.joint_rad.shape:
            raise UnsafeCommand(f"expected {last.joint_rad.shape} joint angles, got {target.joint_rad.shape}")
        if not -config.control_period_s <= age_s <= config.max_input_age_s:
            raise StaleInput(f"the observation is {age_s:.3f} s old, limit {config.max_input_age_s} s; holding")
        changes: list[str] = []
        joint_rad = self._within(target.joint_rad, self.arm.lower_rad, self.arm.upper_rad, "joint position", changes)
        joint_rad = self._within_speed(joint_rad, last.joint_rad, changes)
        joint_rad = self._within_space(joint_rad, last.joint_rad, changes)
        gripper_m = self._gripper(target.gripper_m, last.gripper_m)
        self._last_speed = (joint_rad - last.joint_rad) / config.settle_s
        self._last = JointCommand(joint_rad, gripper_m, config.settle_s, tuple(changes))
        return self._last

    def _started(self) -> JointCommand:
        if self._last is None:
            raise UnsafeCommand("the safety gate was not reset to the measured pose; nothing may move")
        return self._last

    def _within(self, values: Array, lower: Array, upper: Array, what: str, changes: list[str]) -> Array:
        clipped = np.clip(values, lower, upper)
        for index in np.flatnonzero(np.abs(clipped - values) > 1e-9):
            changes.append(f"{what} {self.arm.config.joint_names[index]}")
        return clipped

    def _within_speed(self, joint_rad: Array, last_rad: Array, changes: list[str]) -> Array:
        """Clip to the speed limit, then to the change of speed that the acceleration limit allows in one period."""
        config = self.arm.config
        limit = np.array(config.max_speed_rad_s)
        speed = self._within((joint_rad - last_rad) / config.settle_s, -limit, limit, "speed", changes)
        change = np.array(config.max_acceleration_rad_s2) * config.control_period_s
        lower, upper = np.maximum(self._last_speed - change, -limit), np.minimum(self._last_speed + change, limit)
        speed = self._within(speed, lower, upper, "acceleration", changes)
        return np.clip(last_rad + speed * config.settle_s, self.arm.lower_rad, self.arm.upper_rad)

    def _within_space(self, joint_rad: Array, last_rad: Array, changes: list[str]) -> Array:
        """The furthest point towards the target that keeps the box and the clearances; the last command if none does.

        From a command that already violates one (an arm switched on outside its box), moves are let through that
        do not make the violation worse.
        """
        reason = self._violation(joint_rad, last_rad)
        if reason is None:
            return joint_rad
        changes.append(reason)
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            if self._violation(last_rad + middle * (joint_rad - last_rad), last_rad) is None:
                low = middle
            else:
                high = middle
        return last_rad + low * (joint_rad - last_rad)

    def _violation(self, joint_rad: Array, last_rad: Array) -> str | None:
        config = self.arm.config
        position = self.arm.forward(joint_rad)[:3, 3].copy()
        depth = _outside(position, config.workspace_lower_m, config.workspace_upper_m)
        if depth > 1e-3 and depth >= _outside(
            self.arm.forward(last_rad)[:3, 3], config.workspace_lower_m, config.workspace_upper_m
        ):
            return f"workspace (tool at {np.round(position, 3).tolist()} m)"
        pair = self.arm.first_collision(joint_rad)
        return None if pair is None else f"clearance {pair}"

    def _gripper(self, wanted_m: float, last_m: float) -> float:
        config = self.arm.config
        step_m = config.gripper_speed_m_s * config.control_period_s
        lower, upper = sorted((config.gripper_closed_m, config.gripper_open_m))
        return float(np.clip(np.clip(wanted_m, last_m - step_m, last_m + step_m), lower, upper))


def _outside(position: Array, lower: tuple[float, ...], upper: tuple[float, ...]) -> float:
    """How far, m, a point lies outside a box; 0 inside."""
    return float(np.max(np.maximum(np.maximum(np.array(lower) - position, position - np.array(upper)), 0.0)))


def _require_finite(joint_rad: Array, gripper_m: float) -> None:
    if not (np.isfinite(joint_rad).all() and np.isfinite(gripper_m)):
        raise UnsafeCommand(f"joint target {joint_rad} rad, gripper {gripper_m} m is not finite; holding position")
