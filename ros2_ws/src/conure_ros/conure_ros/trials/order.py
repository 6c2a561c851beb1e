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
    numbers = draw.sample(range(1, scenes + 1), scenes)
    trials: list[PlannedTrial] = []
    for scene, block in zip(numbers, _blocks(draw, sorted(policies), scenes), strict=True):
        for policy in block:
            number = len(trials) + 1
            trials.append(PlannedTrial(number, scene, policy, _code(plan_hash, number)))
    return trials


def _blocks(draw: random.Random, names: list[str], count: int) -> list[list[str]]:
    """Orders of all policies: the rotations of one random order after another, mixed."""
    blocks: list[list[str]] = []
    while len(blocks) < count:
        base = draw.sample(names, len(names))
        rotations = [[*base[turn:], *base[:turn]] for turn in range(len(base))]
        blocks += draw.sample(rotations, len(rotations))
    return draw.sample(blocks[:count], count)


def _code(plan_hash: str, number: int) -> str:
    return digest([plan_hash, number])[:CODE_LENGTH]
