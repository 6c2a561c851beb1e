"""From a normalized policy action to a joint target. The same code runs in simulation and on the robot."""

from dataclasses import dataclass

import numpy as np

from conure_core.arm import Arm, Array, moved, within
from conure_core.errors import UnsafeCommand
from conure_core.robot import RobotConfig


@dataclass(frozen=True)
class JointTarget:
    """Where the arm (n,), rad, and the gripper joint, m, are to be at the end of a control period."""

    joint_rad: Array
    gripper_m: float


class CartesianController:
    """End-effector delta control: target = IK(delta(action) * FK(reference)), by damped least squares.

    The reference is the last target, not the measured pose, so that gravity droop does not add up; it never runs more
    than `LEASH_PERIODS` largest steps ahead of the measured pose, so that it cannot wind up against a contact.
    """

    LEASH_PERIODS = 1.0

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self._reference_rad: Array | None = None

    def reset(self, joint_rad: Array) -> None:
        """Start from this measured pose, (n,) rad; needed before the first target and after any hold."""
        self._reference_rad = np.array(joint_rad, dtype=np.float64)

    def get_state(self) -> Array | None:
        """All that the next target depends on: the reference, (n,) rad; None before the first reset."""
        return None if self._reference_rad is None else self._reference_rad.copy()

    def set_state(self, state: Array | None) -> None:
        """Go on from what `get_state` gave."""
        self._reference_rad = None if state is None else state.copy()

    def target(self, action: Array, measured_rad: Array) -> JointTarget:
        """The joint target for an action (7,) in [-1, 1], given the measured angles (n,) rad.

        Raises: UnsafeCommand if the action has another shape or is not finite, or before the first `reset`.
        """
        action = checked_action(action)
        if self._reference_rad is None:
            raise UnsafeCommand("the controller was not reset to the measured pose; nothing may move")
        config = self.arm.config
        reference = self._leashed(self._reference_rad, measured_rad)
        wanted = moved(reference, action[:3] * config.max_translation_m, action[3:6] * config.max_rotation_rad)
        wanted[:3, 3] = within(wanted[:3, 3], *self.arm.workspace_m)
        self._reference_rad = self.arm.solve(wanted, self._reference_rad)
        return JointTarget(self._reference_rad.copy(), gripper_position_m(action[6], config))

    def _leashed(self, reference_rad: Array, measured_rad: Array) -> Array:
        """The reference pose, its position drawn back to within the leash of the measured one."""
        reference, measured = self.arm.forward(reference_rad).copy(), self.arm.forward(measured_rad)
        ahead = reference[:3, 3] - measured[:3, 3]
        leash_m = self.LEASH_PERIODS * self.arm.config.max_translation_m
        reference[:3, 3] = measured[:3, 3] + ahead * min(1.0, leash_m / max(float(np.linalg.norm(ahead)), 1e-9))
        return reference


def checked_action(action: Array) -> Array:
    """The action as float64 (7,), clipped to [-1, 1]. Raises: UnsafeCommand if of another shape or not finite."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (7,):
        raise UnsafeCommand(f"expected an action of shape (7,), got {values.shape}")
    if not np.isfinite(values).all():
        raise UnsafeCommand(f"action {values} is not finite; holding position")
    return np.clip(values, -1.0, 1.0)


def gripper_position_m(opening: float, config: RobotConfig) -> float:
    """The gripper joint's position for an opening from -1 (closed) to +1 (open)."""
    fraction = (opening + 1.0) / 2.0
    return float(config.gripper_closed_m + fraction * (config.gripper_open_m - config.gripper_closed_m))
