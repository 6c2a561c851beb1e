"""The held-out evaluation set: eight tasks, four pick and four place, fixed by name and seed.

Objects and containers are of the split 'test': neither a prior nor a policy has seen them. Source
of the protocol: Singh et al., Parrot: Data-Driven Behavioral Priors for Reinforcement Learning,
ICLR 2021.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium

from conure_core.errors import unknown_name


@dataclass(frozen=True)
class EvaluationTask:
    """A task about one unseen object among unseen ones; episode k of it is reset with `seed` + k.

    >>> evaluation = find_evaluation_task("pick_orange")
    >>> env = evaluation.make(arm="wx250s", image_size=48)
    >>> observation, info = env.reset(seed=evaluation.seed)
    """

    name: str
    task: str
    """A name of `TASKS`."""
    target: str
    """The object that the reward is about."""
    seed: int
    """Seed of the first episode."""
    distractors: int = 2
    """Number of objects beside the target."""

    def settings(self) -> dict[str, Any]:
        """The environment's settings that the evaluation fixes."""
        return {
            "objects": "test",
            "containers": "test",
            "target": self.target,
            "distractors": self.distractors,
        }

    def make(self, **others: Any) -> Any:
        """The environment without wrappers; `others`: settings that the evaluation leaves open,
        such as arm and image_size.
        """
        settings = {**others, **self.settings()}
        return gymnasium.make(f"conure/{self.task}-v0", **settings).unwrapped


HELD_OUT = {
    evaluation.name: evaluation
    for evaluation in (
        EvaluationTask("pick_azure", "Lift", "random_904", 910_000),
        EvaluationTask("pick_green", "Lift", "random_907", 920_000),
        EvaluationTask("pick_red", "Lift", "box_test_00", 930_000),
        EvaluationTask("pick_orange", "Lift", "wedge_test_07", 940_000),
        EvaluationTask("place_blue_in_tray", "PlaceInTray", "cylinder_test_05", 950_000),
        EvaluationTask("place_yellow_in_bowl", "PlaceInBowl", "box_test_04", 960_000),
        EvaluationTask("place_purple_in_box", "PlaceInBox", "random_905", 970_000),
        EvaluationTask("place_lilac_on_plate", "PlaceOnPlate", "random_909", 980_000),
    )
}


def find_evaluation_task(name: str) -> EvaluationTask:
    """The held-out evaluation of this name. Raises: ConfigError listing the valid names."""
    if name not in HELD_OUT:
        raise unknown_name("evaluation task", name, HELD_OUT)
    return HELD_OUT[name]
