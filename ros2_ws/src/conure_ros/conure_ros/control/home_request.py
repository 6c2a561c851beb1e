"""One request to go home, until it is answered: when its steps are due, how long it may take.
Pure.
"""

from collections.abc import Callable

import numpy as np

from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.types import Array
from conure_ros.control.homing import Homing
from conure_ros.control.parameters import ControlParameters


class HomeRequest:
    """Wait for an arm at rest, give the steps of a `Homing`, then wait for the arm to settle.

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
        self._homing = Homing(loop, settings.home_speed_rad_s)
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

    def settled(self, joint_rad: Array, now_s: float) -> bool:
        """Whether the arm is at home.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            now_s: Present time on the steady clock, s.

        Returns:
            True if every joint is within `home_tolerance_rad` of home.

        Raises:
            RobotError: It is not, and `home_settle_s` has passed since the last step.
        """
        away_rad = float(np.abs(joint_rad - np.array(self._config.home_rad)).max())
        if away_rad <= self._settings.home_tolerance_rad:
            return True
        if self.late(now_s):
            limit_s = self._settings.home_settle_s
            raise RobotError(
                f"the arm did not settle at home within {limit_s} s: {away_rad:.3f} rad away"
            )
        return False
