"""A trajectory judged by the safety gate before the arm moves. Pure."""

import numpy as np

from conure_core.control.controller import JointTarget
from conure_core.control.loop import ControlLoop
from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_ros.control.homing import blocked_by
from conure_ros.trajectory.spline import Spline

EXTRA_STEPS = 3
"""Steps after the end, in which a gate that limits the acceleration comes to rest."""


class Preview:
    """Runs the set points of a trajectory through a gate of its own, one control period apart.

    A limit of space, such as a clearance or the workspace, may not change any of them. Limits of
    motion may, as long as the commands stay near the trajectory.

    >>> preview = Preview(arm, spline, tolerance_rad=0.02)
    >>> why = preview.judge(steps=1000)  # '' while nothing is wrong
    """

    def __init__(self, arm: Arm, spline: Spline, tolerance_rad: float) -> None:
        """Begin where the trajectory begins, at its speed.

        Args:
            arm: Kinematics and limits.
            spline: The trajectory; it begins at time 0.
            tolerance_rad: How far a command may be from the trajectory, rad.
        """
        self._spline, self._tolerance_rad, self._config = spline, tolerance_rad, arm.config
        self._loop, self._steps = ControlLoop(arm), 0
        start_rad, speed_rad_s = spline.at(0.0)
        command = self._loop.reset(start_rad, self._gripper_m)
        # A command moves in the first part of its period.
        speed_rad_s *= self._config.control_period_s / self._config.settle_s
        self._loop.gate.set_state((command, speed_rad_s, (None, None)))

    @property
    def _gripper_m(self) -> float:
        return self._config.gripper_open_m

    @property
    def _time_s(self) -> float:
        """Time of the trajectory at which the next set point is reached, s."""
        return self._steps * self._config.control_period_s + self._config.settle_s

    @property
    def done(self) -> bool:
        """Whether the whole trajectory was judged."""
        extra_s = EXTRA_STEPS * self._config.control_period_s
        return self._time_s > self._spline.end_s + extra_s

    def judge(self, steps: int) -> str:
        """Judge the next set points.

        Args:
            steps: How many, at most.

        Returns:
            Why the trajectory cannot be followed; '' if nothing is wrong so far.
        """
        try:
            while steps > 0 and not self.done:
                if why := self._step():
                    return f"at {self._time_s:.2f} s of the trajectory: {why}"
                self._steps, steps = self._steps + 1, steps - 1
        except RobotError as error:
            return f"at {self._time_s:.2f} s of the trajectory: {error}"
        return ""

    def _step(self) -> str:
        wanted_rad, _ = self._spline.at(self._time_s)
        command = self._loop.step_joints(JointTarget(wanted_rad, self._gripper_m), age_s=0.0)
        if blocked := blocked_by(command):
            return f"the safety gate changes it: {blocked}"
        away_rad = np.abs(command.joint_rad - wanted_rad)
        worst = int(away_rad.argmax())
        if away_rad[worst] <= self._tolerance_rad:
            return ""
        return (
            f"the limits ({'; '.join(command.changes)}) keep '{self._config.joint_names[worst]}'"
            f" {away_rad[worst]:.3f} rad from it (gate_tolerance_rad {self._tolerance_rad}); plan"
            " it slower"
        )
