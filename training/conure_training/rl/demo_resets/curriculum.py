"""How episodes begin, by the name of `method.curriculum`."""

from typing import Any

import numpy as np

from conure_training.rl.demo_resets.optimizer import ResetOptimizer
from conure_training.rl.demo_resets.worker import TRUE_START
from conure_training.rl.on_policy.trajectories import Trajectory

CURRICULA = ("reverse", "reverse_forward", "guided", "uniform", "none")
RESTORING = ("reverse", "reverse_forward", "uniform")
"""Those that put the environment into the demonstration's states."""


class ReverseCurriculum:
    """Episodes begin near tau*, which an optimizer moves towards the demonstration's start.

    With `forward`, the environment's own starts follow once tau* = 0 is mastered: each reset then
    draws one of `starts` seeds, those that now succeed and now fail most often.

    Source of the forward part: Tao et al., Reverse Forward Curriculum Learning, arXiv 2405.03379.
    """

    def __init__(self, optimizer: ResetOptimizer, starts: int = 0) -> None:
        """Begin at the optimizer's tau*.

        Args:
            optimizer: Moves tau*.
            starts: Seeds of the forward part; 0: there is none.
        """
        self.optimizer = optimizer
        self.rates = np.full(starts, np.nan)

    def options(self) -> dict[str, Any]:
        if len(self.rates) and self.optimizer.finished:
            return {"reset_point": TRUE_START, "weights": self.start_weights().tolist()}
        return {"reset_point": self.optimizer.point}

    def start_weights(self) -> np.ndarray:
        """Probability of each seed: 3 parts where it succeeds now and then, 2 where never or not
        yet, 1 where always.
        """
        parts = np.full(len(self.rates), 2.0)
        parts[(self.rates > 0.1) & (self.rates < 0.9)] = 3.0
        parts[self.rates >= 0.9] = 1.0
        return parts / parts.sum()

    def update(self, trajectories: list[Trajectory]) -> dict[str, float]:
        for item in trajectories:
            succeeded = bool(item.info["is_success"])
            if item.info["start"] != TRUE_START:
                self.optimizer.report(item.info["start"], succeeded)
            elif "forward_seed" in item.info:
                self._count(item.info["forward_seed"], succeeded)
        successes = [bool(item.info["is_success"]) for item in trajectories]
        point = self.optimizer.move()
        return {"reset_point": float(point), "success": float(np.mean(successes))}

    def _count(self, index: int, succeeded: bool) -> None:
        before = self.rates[index]
        self.rates[index] = succeeded if np.isnan(before) else 0.8 * before + 0.2 * succeeded

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "rates": self.rates.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.rates = np.array(state["rates"])


class FixedCurriculum:
    """The same `options` for every reset, whatever succeeds."""

    def __init__(self, reset_point: int) -> None:
        """Choose where.

        Args:
            reset_point: tau*, or TRUE_START.
        """
        self.reset_point = reset_point

    def options(self) -> dict[str, Any]:
        return {"reset_point": self.reset_point}

    def update(self, trajectories: list[Trajectory]) -> dict[str, float]:
        successes = [bool(item.info["is_success"]) for item in trajectories]
        return {"success": float(np.mean(successes))}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
