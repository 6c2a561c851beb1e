"""Whether a hand-eye calibration may be used: faults by name, held-out poses, intervals."""

from dataclasses import dataclass

import numpy as np

from conure_calibration.hand_eye.faults import Fault, find_degenerate, find_wrong
from conure_calibration.hand_eye.model import ArmNoise
from conure_calibration.hand_eye.samples import Samples
from conure_calibration.hand_eye.solve import HandEye, HeldOut, hold_out, solve_hand_eye
from conure_calibration.poses import Chain
from conure_calibration.results.checks import at_most, unmet
from conure_calibration.results.result import Verdict
from conure_core.errors import DataError
from conure_core.runtime.requirement import Requirement

MOST_HELD_OUT_RATIO = 1.6
MOST_DEVIATION_M = 0.005
"""Of the camera's place along any axis."""


@dataclass(frozen=True)
class Judged:
    """A calibration with everything that speaks for or against it."""

    solution: HandEye
    held_out: HeldOut
    faults: tuple[Fault, ...]
    checks: tuple[Requirement, ...]

    @property
    def verdict(self) -> Verdict:
        """In a sentence."""
        faults = [f"{fault.name}: {fault.sentence}" for fault in self.faults]
        problems = (*faults, *unmet(self.checks))
        if problems:
            return Verdict(False, f"{problems[0]}.", problems)
        distance_mm = 1000 * float(np.median(self.held_out.translation_m))
        deviation_mm = 1000 * float(self.solution.translation_deviation_m.max())
        sentence = (
            f"The camera's place is known to {deviation_mm:.1f} mm (standard deviation, worst"
            f" axis); held-out poses lie {distance_mm:.1f} mm from where they were predicted"
            " (median, the arm's own noise included)."
        )
        return Verdict(True, sentence)


def calibrate_hand_eye(
    chain: Chain,
    samples: Samples,
    noise: ArmNoise | None = None,
    with_offsets: bool = True,
) -> Judged:
    """Solve and judge.

    Args:
        chain: The arm.
        samples: Poses of arm and board.
        noise: Of the arm; None: a hobby arm's.
        with_offsets: Whether joint offsets are unknowns.

    Raises:
        DataError: Nothing can be solved: too few poses, one axis, a small span, half a board;
            begins with the name of the fault.
    """
    degenerate = find_degenerate(chain, samples)
    if degenerate:
        raise DataError(f"{degenerate[0].name}: {degenerate[0].sentence}")
    solution = solve_hand_eye(chain, samples, noise, with_offsets)
    held_out = hold_out(solution)
    return Judged(
        solution=solution,
        held_out=held_out,
        faults=tuple(find_wrong(solution)),
        checks=tuple(_checks(solution, held_out)),
    )


def _checks(solution: HandEye, held_out: HeldOut) -> list[Requirement]:
    deviation_mm = 1000 * float(solution.translation_deviation_m.max())
    most_mm = 1000 * MOST_DEVIATION_M
    return [
        at_most("residuals over expected noise", solution.noise_ratio, MOST_HELD_OUT_RATIO),
        at_most("the same at held-out poses", held_out.ratio, MOST_HELD_OUT_RATIO),
        at_most("deviation of the camera's place, worst axis", deviation_mm, most_mm, "mm"),
    ]
