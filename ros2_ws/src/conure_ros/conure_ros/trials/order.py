"""The order of a plan's trials: random, balanced, and the same for the same plan. No ROS."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from conure_core.runtime.resume import digest

CODE_LENGTH = 8


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of the plan."""

    number: int
    """From 1 on, in the order in which they run."""

    scene: int
    """Number of its initial scene."""

    policy: str
    """Which policy runs: hidden from the operator while the plan is blinded."""

    code: str
    """Stands for the policy in recordings and logs. No two trials share one, so that no code can be
    recognized.
    """


def order_trials(plan_hash: str, policies: Sequence[str], scenes: int) -> list[PlannedTrial]:
    """Order the trials in blocks of one scene, each policy once a block.

    Scenes come in random order. Every policy has every place within the blocks equally often, up to
    one; which block has which order is random. All of it follows from the hash.

    Args:
        plan_hash: Hash of the plan, hexadecimal.
        policies: Names of the policies.
        scenes: Number of scenes, and so of trials of each policy.

    Returns:
        All trials; each policy meets each scene once.
    """
    draw = random.Random(int(plan_hash, 16))
    names = draw.sample(sorted(policies), len(policies))
    numbers = draw.sample(range(1, scenes + 1), scenes)
    turns = [index % len(names) for index in range(scenes)]
    draw.shuffle(turns)
    trials: list[PlannedTrial] = []
    for scene, turn in zip(numbers, turns, strict=True):
        for policy in [*names[turn:], *names[:turn]]:
            number = len(trials) + 1
            trials.append(PlannedTrial(number, scene, policy, _code(plan_hash, number)))
    return trials


def _code(plan_hash: str, number: int) -> str:
    return digest([plan_hash, number])[:CODE_LENGTH]
