"""Controller and safety gate as one piece: what the environment and control_node both run, tick by
tick.
"""

from typing import Any

import numpy as np

from conure_core.control.controller import CartesianController, JointTarget, checked_action
from conure_core.control.safety import JointCommand, SafetyGate
from conure_core.robot.arm import Arm, pose_error
from conure_core.types import Array


class ControlLoop:
    """Normalized action in, safe joint command out.

    >>> loop = ControlLoop(Arm(load_robot("wx250s")))
    >>> loop.reset(measured_rad, gripper_m)
    >>> command = loop.step(action, measured_rad, age_s=0.0)
    """

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self.controller = CartesianController(arm)
        self.gate = SafetyGate(arm)

    def reset(self, joint_rad: Array, gripper_m: float) -> JointCommand:
        """Anchor controller and gate at the measured pose.

        Args:
            joint_rad: Measured joint angles, shape (n,), rad.
            gripper_m: Measured position of the gripper joint, m.

        Returns:
            The command that holds this pose.

        Raises:
            UnsafeCommand: A measured value is not finite.
        """
        self.controller.reset(joint_rad)
        return self.gate.reset(joint_rad, gripper_m)

    def step(
        self,
        action: Array,
        measured_rad: Array,
        age_s: float = 0.0,
        measured_gripper_m: float | None = None,
    ) -> JointCommand:
        """Compute the safe command for one action.

        Args:
            action: Normalized delta in the base frame and gripper opening, shape (7,), in [-1, 1].
            measured_rad: Measured joint angles, shape (n,), rad.
            age_s: Age of the observation that the action answers, s; 0.0 in a simulation, where it
                is taken at the same instant.
            measured_gripper_m: Measured position of the gripper joint, m, which bounds the squeeze;
                None: not known, so the squeeze is not bounded.

        Returns:
            The command. If the gate changed it, the next delta starts from the command.

        Raises:
            UnsafeCommand: The action is malformed, or nothing was reset yet; call `hold` next.
            StaleInput: The observation is too old, or from the future; call `hold` next.
        """
        command = self.gate.check(
            self.controller.target(action, measured_rad), age_s, measured_gripper_m
        )
        if command.changes:
            self.controller.reset(command.joint_rad)
        return command

    def step_joints(
        self, target: JointTarget, age_s: float, measured_gripper_m: float | None = None
    ) -> JointCommand:
        """Compute the safe command for a joint target, such as the next one of homing.

        Args:
            target: Joint angles (n,), rad, and gripper position, m.
            age_s: Age of the measurement that the target answers, s.
            measured_gripper_m: As for `step`.

        Returns:
            The command. The next delta starts from it.

        Raises:
            UnsafeCommand: The target is malformed, or nothing was reset yet; call `hold` next.
            StaleInput: The measurement is too old, or from the future; call `hold` next.
        """
        command = self.gate.check(target, age_s, measured_gripper_m, judge_way=True)
        self.controller.reset(command.joint_rad)
        return command

    def get_state(self) -> tuple[Any, Any]:
        """Return all that controller and gate remember, for `set_state`."""
        return self.controller.get_state(), self.gate.get_state()

    def set_state(self, state: tuple[Any, Any]) -> None:
        """Continue from what `get_state` gave, here or in another process."""
        controller, gate = state
        self.controller.set_state(controller)
        self.gate.set_state(gate)

    def hold(self) -> JointCommand:
        """Stay at the last command, and start the next delta from there."""
        command = self.gate.hold()
        self.controller.reset(command.joint_rad)
        return command

    def executed_action(self, before_rad: Array, command: JointCommand) -> Array:
        """Express a command as an action; see the function `executed_action`.

        Args:
            before_rad: Joint angles that the delta starts from, shape (n,), rad.
            command: The command that the delta leads to.

        Returns:
            The normalized action, shape (7,), in [-1, 1].
        """
        return executed_action(self.arm, before_rad, command.joint_rad, command.gripper_m)


def executed_action(arm: Arm, before_rad: Array, after_rad: Array, gripper_m: float) -> Array:
    """Express a motion as the action that leads from one tool pose to another.

    Args:
        arm: The arm, for its kinematics and for the size of a full action.
        before_rad: Joint angles before, shape (n,), rad.
        after_rad: Joint angles after, shape (n,), rad.
        gripper_m: Position of the gripper joint after, m.

    Returns:
        The normalized action, shape (7,); what a full action would not reach is clipped to [-1, 1].

    Raises:
        UnsafeCommand: An angle or the gripper's position is not finite.
    """
    config = arm.config
    error = pose_error(arm.forward(before_rad).copy(), arm.forward(after_rad))
    span_m = config.gripper_open_m - config.gripper_closed_m
    opening = 2.0 * (gripper_m - config.gripper_closed_m) / span_m - 1.0
    delta = np.concatenate(
        [error[:3] / config.max_translation_m, error[3:] / config.max_rotation_rad]
    )
    return checked_action(np.append(delta, opening))
