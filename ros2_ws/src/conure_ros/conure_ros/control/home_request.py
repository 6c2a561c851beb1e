"""One request to go home, until it is answered: when its steps are due, and how long the arm may
take. Pure.
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
    """Waits for an arm at rest, then gives the steps of a `Homing`, then waits for the arm to
    settle.

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
        """`answer` hears '' when the arm is at home, or why it is not. `asked_ns`: by the clock of
        the stamps.
        """
        self.answer, self.asked_ns, self.started = answer, asked_ns, False
        self._config, self._settings = loop.arm.config, settings
        self._homing = Homing(loop, settings.home_speed_rad_s)
        self._due_s = self._waiting_since_s = now_s

    @property
    def arrived(self) -> bool:
        """Whether the last command is home; the arm itself may still be on its way."""
        return self._homing.arrived

    def late(self, now_s: float) -> bool:
        """Whether it has waited too long for the arm: to rest before it starts, or to settle at
        home.
        """
        return now_s - self._waiting_since_s > self._settings.home_settle_s

    def start(self, now_s: float) -> None:
        """From the pose that the loop was reset to."""
        self.started, self._due_s = True, now_s

    def due(self, now_s: float) -> bool:
        """Whether the next step is due, once a control period; then the one after it waits for its
        turn.
        """
        if now_s < self._due_s:
            return False
        self._due_s = max(self._due_s + self._config.control_period_s, now_s)
        return True

    def step(self, age_s: float, now_s: float) -> JointCommand:
        """The next command, from joints measured `age_s` ago. Raises: UnsafeCommand if it is
        blocked; StaleInput.
        """
        self._waiting_since_s = now_s
        return self._homing.step(age_s)

    def settled(self, joint_rad: Array, now_s: float) -> bool:
        """Whether the arm is at home. Raises: RobotError if it did not settle there in time."""
        away_rad = float(np.abs(joint_rad - np.array(self._config.home_rad)).max())
        if away_rad <= self._settings.home_tolerance_rad:
            return True
        if self.late(now_s):
            limit_s = self._settings.home_settle_s
            raise RobotError(
                f"the arm did not settle at home within {limit_s} s: {away_rad:.3f} rad away"
            )
        return False
