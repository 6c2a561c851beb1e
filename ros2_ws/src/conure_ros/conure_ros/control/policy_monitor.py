"""Accept a policy's command only from the agreed bundle, and only if the prior finds it likely."""

import hashlib
from pathlib import Path

from conure_core.contract.bundle import SPEC
from conure_core.contract.bundle_files import read_file
from conure_core.contract.bundle_spec import BundleSpec
from conure_core.contract.spec import require_match
from conure_core.control.prior_monitor import Level, PriorMonitor, Verdict
from conure_core.errors import UnsafeCommand
from conure_core.robot.description import RobotConfig
from conure_ros.control.parameters import ControlParameters

__all__ = ["PolicyWatch", "Verdict"]
SLOW_BELOW, HOLD_BELOW = "p05", "p01"


class PolicyWatch:
    """Compare commands with a bundle. Reads its spec.json only; without a bundle every command
    passes.

    Raises: BundleError, SpecMismatch (naming the field) for a bundle that does not fit this robot.
    """

    def __init__(self, parameters: ControlParameters, robot: RobotConfig) -> None:
        self._monitor: PriorMonitor | None = None
        self._hash, self.summary = "", "no bundle is given: the prior does not watch the policy"
        if parameters.bundle:
            self._read(parameters, robot)

    def _read(self, parameters: ControlParameters, robot: RobotConfig) -> None:
        text = read_file(Path(parameters.bundle), SPEC)
        spec = BundleSpec.from_json(text)
        # The policy checks its images' size; control sees none, so any size of a square fits.
        side_px = max(spec.contract.observation.image.shape, default=1)
        require_match(robot.contract(side_px), spec.contract, "the bundle")
        self._hash = hashlib.sha256(text).hexdigest()
        thresholds, levels = spec.log_likelihood_thresholds, _levels(parameters)
        if not parameters.monitor or not levels:
            self.summary = "the prior does not watch the policy: it is switched off"
        elif not thresholds:
            self.summary = (
                "the prior does not watch the policy: the bundle has no log-likelihood thresholds"
            )
        else:
            self._monitor = PriorMonitor(thresholds, levels)
            steps = ", ".join(
                f"{level.verdict.name.lower()} after {level.ticks}" for level in levels
            )
            self.summary = f"the prior watches the policy: {steps} unlikely actions"

    def reset(self) -> None:
        if self._monitor is not None:
            self._monitor.reset()

    def judge(self, bundle_hash: str, log_likelihood: float) -> tuple[Verdict, str]:
        """Decide what the policy may do with its next action.

        Args:
            bundle_hash: SHA-256 of the bundle that chose the action, hexadecimal.
            log_likelihood: Log-likelihood of the action under the prior, nats.

        Returns:
            The verdict and its reason; the reason of GO is ''.

        Raises:
            UnsafeCommand: The command is of another bundle.
        """
        if self._hash and bundle_hash != self._hash:
            raise UnsafeCommand(
                f"the command is of bundle {bundle_hash[:8] or '(none)'}, and {self._hash[:8]} was"
                " agreed on; start the policy and control with the same bundle"
            )
        return (
            self._monitor.judge(log_likelihood) if self._monitor is not None else (Verdict.GO, "")
        )


def _levels(parameters: ControlParameters) -> list[Level]:
    wanted = (
        (Verdict.SLOW, SLOW_BELOW, parameters.slow_ticks, parameters.slow_margin_nats),
        (Verdict.HOLD, HOLD_BELOW, parameters.hold_ticks, parameters.hold_margin_nats),
        (Verdict.HAND_OVER, HOLD_BELOW, parameters.hand_over_ticks, parameters.hold_margin_nats),
    )
    return [Level(*level) for level in wanted if level[2] > 0]
