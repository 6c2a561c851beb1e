"""The price of safety: the action that was executed instead of the policy's, also in the
prior's z.
"""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import GRIPPER
from conure_core.contract.bundle import Bundle
from conure_core.control.controller import gripper_position_m
from conure_core.control.loop import executed_action
from conure_core.errors import ConureError
from conure_core.robot.arm import Arm
from conure_core.types import Array
from conure_msgs.msg import PolicyCommand, RobotState
from conure_ros.comms.messages import to_ns, to_time
from conure_ros.comms.worker import NewestWins

REMEMBERED = 20


@dataclass(frozen=True)
class Decision:
    """What the policy saw and chose at one tick."""

    captured_ns: int
    observation: dict[str, Any]
    action: Array
    z: Array


@dataclass(frozen=True)
class Change:
    """A decision that safety changed. The joint command went from `before_rad` (n,) to `after_rad`
    (n,).
    """

    decision: Decision
    before_rad: Array
    after_rad: Array


class ExecutedActions:
    """Invert every action that safety changed, on an own thread, and publish it as a command.

    Its `action` is the delta between the last two joint commands. Its z and log-likelihood are
    those of this action under the prior, for the same observation; without a prior z is empty and
    the log-likelihood NaN. Its source is EXECUTED. The gripper opening is the requested one.
    """

    def __init__(self, arm: Arm, bundle: Bundle, publish: Callable[[PolicyCommand], None]) -> None:
        self._arm, self._bundle, self._publish = arm, bundle, publish
        self._lock = threading.Lock()
        self._decisions: dict[int, Decision] = {}
        self._last_rad: Array | None = None
        self._prices: list[float] = []
        self.worker: NewestWins[Change] = NewestWins(self._invert)

    def remember(self, decision: Decision) -> None:
        """Remember what a command was chosen from, before it is sent."""
        with self._lock:
            self._decisions[decision.captured_ns] = decision
            for old in list(
                itertools.islice(self._decisions, max(0, len(self._decisions) - REMEMBERED))
            ):
                del self._decisions[old]

    def take_state(self, state: RobotState) -> None:
        """Compare a state of control_node with the remembered decision that it executed."""
        if len(state.commanded_rad) != len(self._arm.config.joint_names):
            return
        before_rad, self._last_rad = self._last_rad, np.array(state.commanded_rad)
        if before_rad is None or not state.safety_changes:
            return
        with self._lock:
            decision = self._decisions.get(to_ns(state.capture_stamp))
        if decision is not None:
            self.worker.submit(Change(decision, before_rad, self._last_rad))

    def _invert(self, change: Change) -> None:
        decision, config = change.decision, self._arm.config
        opening_m = gripper_position_m(float(decision.action[GRIPPER]), config)
        try:
            action = executed_action(self._arm, change.before_rad, change.after_rad, opening_m)
            z, log_likelihood = self._judge(decision, action)
        except ConureError:
            return
        command = PolicyCommand(
            source=PolicyCommand.EXECUTED,
            bundle_hash=self._bundle.hash,
            log_likelihood=log_likelihood,
        )
        command.header.stamp, command.header.frame_id = (
            to_time(decision.captured_ns),
            config.base_frame,
        )
        command.action, command.z = action.tolist(), np.asarray(z, np.float64).tolist()
        self._publish(command)
        if not len(z):
            return
        with self._lock:
            self._prices.append(float(np.linalg.norm(z) - np.linalg.norm(decision.z)))

    def _judge(self, decision: Decision, action: Array) -> tuple[NDArray[Any], float]:
        """The action's z, empty without a prior, and its log-likelihood, nats, NaN without."""
        if not self._bundle.spec.has_prior:
            return np.zeros(0), math.nan
        return self._bundle.invert(decision.observation, action)

    def values(self) -> dict[str, str]:
        """For diagnostics: how often safety changed an action, and by how much |z| grew."""
        with self._lock:
            prices = np.array(self._prices[-1000:])
            count = len(self._prices)
        if not prices.size:
            return {"safety changed": "0"}
        mean, worst = f"{prices.mean():.3f}", f"{prices.max():.3f}"
        return {
            "safety changed": str(count),
            "price of safety |z| mean": mean,
            "price of safety |z| worst": worst,
        }

    def close(self) -> None:
        self.worker.close()
