"""One request to go home, until it is answered: when its steps are due, how long it may take.
Pure.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conure_core.control.controller import JointTarget
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.types import Array
from conure_ros.control.homing import Homing
from conure_ros.control.parameters import ControlParameters

MOST_PATIENT = 4
"""Longest duration of a repeated target, in durations of a command."""


class HomeRequest:
    """Wait for an arm at rest, give the steps of a `Homing`, then wait for the arm to settle.

    An arm that does not settle gets its target again: its controller may have refused the last
    command for being late.

    >>> request = HomeRequest(loop, settings, answer, asked_ns, now_s)
    >>> request.start(now_s)
    >>> if request.due(now_s) and not request.arrived:
    ...     command = request.step(age_s=0.0, now_s=now_s)
    """

    def __init__(
        self,
        loop: ControlLoop,
        settings: ControlParameters,
        answer: Callable[[str], None],
        asked_ns: int,
        now_s: float,
    ) -> None:
        """Begin a request.

        Args:
            loop: Controller and gate of the arm.
            settings: Speed, tolerance and time limit of homing.
            answer: Receives '' when the arm is at home, or why it is not. Called by the owner,
                once.
            asked_ns: Time of the request on the clock of the stamps, ns.
            now_s: Time of the request on the steady clock, s.
        """
        self.answer, self.asked_ns, self.started = answer, asked_ns, False
        self._config, self._settings = loop.arm.config, settings
        self._loop, self._homing = loop, Homing(loop, settings.home_speed_rad_s)
        self._repeats = 0
        self._due_s = self._waiting_since_s = now_s

    @property
    def arrived(self) -> bool:
        """Whether the last command is home. The arm itself may still be moving."""
        return self._homing.arrived

    def late(self, now_s: float) -> bool:
        """Whether the arm took longer than `home_settle_s` to come to rest before the start, or to
        settle.
        """
        return now_s - self._waiting_since_s > self._settings.home_settle_s

    def start(self, now_s: float) -> None:
        """Start from the pose that the loop was reset to."""
        self.started, self._due_s = True, now_s

    def due(self, now_s: float) -> bool:
        """Whether the next step is due, once a control period. A True schedules the one after
        it.
        """
        if now_s < self._due_s:
            return False
        self._due_s = max(self._due_s + self._config.control_period_s, now_s)
        return True

    def step(self, age_s: float, now_s: float) -> JointCommand:
        """Compute the next command on the way home.

        Args:
            age_s: Age of the joint measurement, s.
            now_s: Present time on the steady clock, s; the time to settle counts from the last
                step.

        Returns:
            The command, within all limits.

        Raises:
            UnsafeCommand: No way leads on; the message names what blocks it.
            StaleInput: The measurement is too old.
        """
        self._waiting_since_s = now_s
        return self._homing.step(age_s)

    def repeat(self, joint_rad: Array, age_s: float) -> JointCommand:
        """Compute the command that goes to the target once more.

        It takes longer than a step, for a controller that refuses late ones, and so long that the
        arm keeps its limits wherever its controller's set point is between here and home.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            age_s: Age of the joint measurement, s.

        Returns:
            The command, within all limits.

        Raises:
            StaleInput: The measurement is too old.
        """
        self._repeats += 1
        target = JointTarget(np.array(self._config.home_rad), self._config.gripper_open_m)
        command = self._loop.step_joints(target, age_s)
        shortest_s = float((self._away_rad(joint_rad) / self._homing.slow_rad_s).max())
        patient_s = min(1 + self._repeats, MOST_PATIENT) * self._config.settle_s
        return replace(command, duration_s=max(patient_s, shortest_s))

    def settled(self, joint_rad: Array, now_s: float) -> bool:
        """Whether the arm is at home.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            now_s: Present time on the steady clock, s.

        Returns:
            True if every joint is within `home_tolerance_rad` of home.

        Raises:
            RobotError: It is not, and `home_settle_s` has passed since the last step. The message
                names the joint that is farthest away.
        """
        away_rad = self._away_rad(joint_rad)
        worst = int(away_rad.argmax())
        if away_rad[worst] <= self._settings.home_tolerance_rad:
            return True
        if self.late(now_s):
            raise RobotError(
                f"the arm did not settle at home within {self._settings.home_settle_s} s:"
                f" '{self._config.joint_names[worst]}' is {away_rad[worst]:.3f} rad away, and its"
                f" target was repeated {self._repeats} times; does its controller refuse commands,"
                " or does it sag?"
            )
        return False

    def _away_rad(self, joint_rad: Array) -> Array:
        """Distance of each joint from home, shape (n,), rad."""
        return np.abs(joint_rad - np.array(self._config.home_rad))
