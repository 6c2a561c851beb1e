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
        """Anchor controller and gate at the measured pose; returns the command that holds it."""
        self.controller.reset(joint_rad)
        return self.gate.reset(joint_rad, gripper_m)

    def step(
        self,
        action: Array,
        measured_rad: Array,
        age_s: float = 0.0,
        measured_gripper_m: float | None = None,
    ) -> JointCommand:
        """The command for one action (7,). Raises: UnsafeCommand, StaleInput; then call `hold`."""
        command = self.gate.check(
            self.controller.target(action, measured_rad), age_s, measured_gripper_m
        )
        if command.changes:
            self.controller.reset(command.joint_rad)
        return command

    def step_joints(self, target: JointTarget, age_s: float) -> JointCommand:
        """The command for a joint target, such as the next one on the way home. Raises:
        UnsafeCommand, StaleInput.
        """
        command = self.gate.check(target, age_s)
        self.controller.reset(command.joint_rad)
        return command

    def get_state(self) -> tuple[Any, Any]:
        """What controller and gate remember, to go on from with `set_state`."""
        return self.controller.get_state(), self.gate.get_state()

    def set_state(self, state: tuple[Any, Any]) -> None:
        """Go on from what `get_state` gave, here or in another process."""
        controller, gate = state
        self.controller.set_state(controller)
        self.gate.set_state(gate)

    def hold(self) -> JointCommand:
        """Stay at the last command, and start the next delta from there."""
        command = self.gate.hold()
        self.controller.reset(command.joint_rad)
        return command

    def executed_action(self, before_rad: Array, command: JointCommand) -> Array:
        """The normalized action (7,) whose delta leads from tool pose FK(before_rad) to the
        command.
        """
        return executed_action(self.arm, before_rad, command.joint_rad, command.gripper_m)


def executed_action(arm: Arm, before_rad: Array, after_rad: Array, gripper_m: float) -> Array:
    """The normalized action (7,), in [-1, 1], that leads from tool pose FK(before_rad) to
    FK(after_rad).
    """
    config = arm.config
    error = pose_error(arm.forward(before_rad).copy(), arm.forward(after_rad))
    span_m = config.gripper_open_m - config.gripper_closed_m
    opening = 2.0 * (gripper_m - config.gripper_closed_m) / span_m - 1.0
    delta = np.concatenate(
        [error[:3] / config.max_translation_m, error[3:] / config.max_rotation_rad]
    )
    return checked_action(np.append(delta, opening))
