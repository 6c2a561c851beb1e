"""What a person who picks things up wants, one thing after the other."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from conure_core.types import Array
from conure_experiments.operator.eyes import Seen
from conure_experiments.operator.hand import turn_between

HOVER_M, GRASP_M, LIFTED_M = 0.085, 0.018, 0.13
"""Heights of the tool above the table."""
NEAR_M, NEAR_RAD = 0.006, 0.12
DEEP_M = 0.005
PATIENCE_S = 9.0
"""For one intention; then the person goes on, or gives up."""
GRIP_S, LOOK_S = 0.8, 0.4
SETTLED_STEPS = 3


class Intention(Enum):
    """Of a person who picks something up."""

    APPROACH = "approach"
    DESCEND = "descend"
    GRIP = "grip"
    LIFT = "lift"
    LOOK = "look"


NEXT = {
    Intention.APPROACH: Intention.DESCEND,
    Intention.DESCEND: Intention.GRIP,
    Intention.GRIP: Intention.LIFT,
    Intention.LIFT: Intention.LOOK,
}


@dataclass
class Picking:
    """One attempt. Pure: seconds come in."""

    target: Seen
    table_m: float
    missed_by_m: Array = field(default_factory=lambda: np.zeros(2))
    """How far the person errs about where it lies, (2,), m."""
    intention: Intention = Intention.APPROACH
    done: bool = False
    _since_s: float = 0.0
    _settled: int = 0

    def begin(self, now_s: float) -> None:
        """Start the clock. `now_s`: steady, s."""
        self._since_s = now_s

    @property
    def closed(self) -> bool:
        """Whether the gripper is to be closed."""
        return self.intention in (Intention.GRIP, Intention.LIFT, Intention.LOOK)

    def goal(self, pose: Array) -> Array:
        """Where the tool should be for what is wanted now.

        Args:
            pose: Where it is: x, y, z, m, and the yaw of the line through the fingers, rad.

        Returns:
            The same values; the shorter turn.
        """
        heights_m = {
            Intention.APPROACH: HOVER_M,
            Intention.DESCEND: GRASP_M,
            Intention.GRIP: GRASP_M,
            Intention.LIFT: LIFTED_M,
            Intention.LOOK: LIFTED_M,
        }
        x, y = self.target.centre_m + self.missed_by_m
        yaw_rad = pose[3] + turn_between(pose[3], self.target.yaw_rad)
        return np.array([x, y, self.table_m + heights_m[self.intention], yaw_rad])

    def look(self, pose: Array, now_s: float) -> bool:
        """Go on to the next intention where this one is fulfilled, or has taken too long.

        Args:
            pose: See `goal`.
            now_s: Steady time, s.

        Returns:
            Whether there is a new one.
        """
        self._settled = self._settled + 1 if self._is_there(pose, now_s) else 0
        if self._settled < SETTLED_STEPS and now_s - self._since_s < PATIENCE_S:
            return False
        self._settled, self._since_s = 0, now_s
        if self.intention is Intention.LOOK:
            self.done = True
            return False
        self.intention = NEXT[self.intention]
        return True

    def _is_there(self, pose: Array, now_s: float) -> bool:
        passed_s = now_s - self._since_s
        error = self.goal(pose) - pose
        beside_m = float(np.linalg.norm(error[:2]))
        if self.intention is Intention.APPROACH:
            return beside_m < NEAR_M and abs(error[3]) < NEAR_RAD
        if self.intention is Intention.GRIP:
            return passed_s > GRIP_S
        if self.intention is Intention.LOOK:
            return passed_s > LOOK_S
        limit_m = DEEP_M if self.intention is Intention.DESCEND else 0.02
        return abs(float(error[2])) < limit_m
