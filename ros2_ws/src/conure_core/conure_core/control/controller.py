"""From a normalized policy action to a joint target. The same code runs in simulation and on the
robot.
"""

from dataclasses import dataclass

import numpy as np

from conure_core.contract.action import ACTION_SIZE, GRIPPER, ROTATION, TRANSLATION
from conure_core.errors import UnsafeCommand
from conure_core.robot.arm import Arm, moved, pose_error, within
from conure_core.robot.description import RobotConfig
from conure_core.types import Array


@dataclass(frozen=True)
class JointTarget:
    """Where the arm (n,), rad, and the gripper joint, m, are to be at the end of a control
    period.
    """

    joint_rad: Array
    gripper_m: float


class CartesianController:
    """End-effector delta control: target = IK(delta(action) * FK(reference)), by damped least
    squares.

    The reference is the last target, not the measured pose, so that gravity droop does not add up;
    it never runs more than `LEASH_PERIODS` largest steps, of translation and of rotation, ahead of
    the measured pose, so that it cannot wind up against a contact.
    """

    LEASH_PERIODS = 1.0

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self._reference_rad: Array | None = None

    def reset(self, joint_rad: Array) -> None:
        """Start from this measured pose, (n,) rad; needed before the first target and after any
        hold.
        """
        self._reference_rad = np.array(joint_rad, dtype=np.float64)

    def get_state(self) -> Array | None:
        """Return all that the next target depends on: the reference, (n,) rad; None before the
        first reset.
        """
        return None if self._reference_rad is None else self._reference_rad.copy()

    def set_state(self, state: Array | None) -> None:
        """Continue from what `get_state` gave."""
        self._reference_rad = None if state is None else state.copy()

    def target(self, action: Array, measured_rad: Array) -> JointTarget:
        """Compute the joint target for an action.

        Args:
            action: Normalized delta in the base frame and gripper opening, shape (7,); values
                beyond [-1, 1] are clipped.
            measured_rad: Measured joint angles, shape (n,), rad. They bound how far ahead of the
                arm the reference may run.

        Returns:
            Angles and gripper position for the end of the control period. The angles are the next
            reference.

        Raises:
            UnsafeCommand: The action has another shape or is not finite, or nothing was reset yet.
        """
        action = checked_action(action)
        if self._reference_rad is None:
            raise UnsafeCommand(
                "the controller was not reset to the measured pose; nothing may move"
            )
        config = self.arm.config
        reference = self._leashed(self._reference_rad, measured_rad)
        wanted = moved(
            reference,
            action[TRANSLATION] * config.max_translation_m,
            action[ROTATION] * config.max_rotation_rad,
        )
        wanted[:3, 3] = within(wanted[:3, 3], *self.arm.workspace_m)
        self._reference_rad = self.arm.solve(wanted, self._reference_rad)
        return JointTarget(self._reference_rad.copy(), gripper_position_m(action[GRIPPER], config))

    def _leashed(self, reference_rad: Array, measured_rad: Array) -> Array:
        """The reference pose (4, 4), drawn back to within the leash of the measured one."""
        config = self.arm.config
        measured = self.arm.forward(measured_rad).copy()
        reference = self.arm.forward(reference_rad).copy()
        ahead = pose_error(measured, reference)
        translation_m = ahead[:3]
        rotation_rad = ahead[3:]
        leash_m = self.LEASH_PERIODS * config.max_translation_m
        leash_rad = self.LEASH_PERIODS * config.max_rotation_rad
        reference[:3, 3] = measured[:3, 3] + _shortened(translation_m, leash_m)
        if np.linalg.norm(rotation_rad) > leash_rad:
            turn_rad = _shortened(rotation_rad, leash_rad)
            turned = moved(measured, np.zeros(3), turn_rad)
            reference[:3, :3] = turned[:3, :3]
        return reference


def _shortened(vector: Array, longest: float) -> Array:
    """The vector, no longer than that."""
    length = max(float(np.linalg.norm(vector)), 1e-9)
    return vector * min(1.0, longest / length)


def checked_action(action: Array) -> Array:
    """Return the action as float64 (7,), clipped to [-1, 1].

    Raises:
        UnsafeCommand: The action has another shape or is not finite.
    """
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (ACTION_SIZE,):
        raise UnsafeCommand(f"expected an action of shape ({ACTION_SIZE},), got {values.shape}")
    if not np.isfinite(values).all():
        raise UnsafeCommand(f"action {values} is not finite; holding position")
    return np.clip(values, -1.0, 1.0)


def gripper_position_m(opening: float, config: RobotConfig) -> float:
    """Turn a gripper opening into a position of the gripper joint.

    Args:
        opening: From -1 (closed) to +1 (open); not clipped here.
        config: The robot, for the joint's positions when closed and when open.

    Returns:
        The gripper joint's position, m; linear in the opening.
    """
    fraction = (opening + 1.0) / 2.0
    travel_m = config.gripper_open_m - config.gripper_closed_m
    return float(config.gripper_closed_m + fraction * travel_m)
