"""Pushing a puck, too wide to be grasped, to a mark."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.motion import Expert
from conure_sim.experts.push import PushExpert
from conure_sim.objects.fixtures import Colour, goal_mark
from conure_sim.objects.primitives import faceted, make_object
from conure_sim.physics.bodies import add_mark
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.push import PushScene
from conure_sim.scenes.scene import choose_positions
from conure_sim.tasks.task import Task

PUCK_WIDTH_M, PUCK_SIDES = 0.060, 12
PUCK_COLOURS: dict[str, Colour] = {"train": (0.15, 0.30, 0.85), "test": (0.50, 0.20, 0.70)}
GOAL_COLOURS: dict[str, Colour] = {"train": (0.20, 0.60, 0.30), "test": (0.80, 0.45, 0.20)}
GOAL_RADIUS_M, REACHED_M = 0.040, 0.020
GOAL_SPACING_M = 0.09


@dataclass(frozen=True)
class PushToGoal(Task[PushScene]):
    """The puck is to come to rest on the table with its middle within 2 cm of the goal's."""

    fixture_state_size: ClassVar[int] = 3

    def furnish(self, stage: Stage) -> PushScene:
        stage.require_target("puck")
        angles = np.arange(PUCK_SIDES) * 2 * np.pi / PUCK_SIDES
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = np.vstack([np.c_[ring, np.full(PUCK_SIDES, z)] for z in (0.0, 0.9)])
        puck = faceted(make_object("puck", points, PUCK_COLOURS[stage.split], PUCK_WIDTH_M))
        start, goal = choose_positions(
            stage.rng, [0.0, 0.0], stage.part((0.1, 0.15), (0.95, 0.85)), spacing_m=GOAL_SPACING_M
        )
        add_mark(
            stage.world, goal_mark(GOAL_RADIUS_M, GOAL_COLOURS[stage.containers]), stage.at(goal)
        )
        return PushScene(stage.world, stage.put(puck, start), stage.at(goal))

    def success(self, scene: PushScene) -> bool:
        there = (
            np.linalg.norm(scene.to_goal()) < REACHED_M
            and scene.height_m(scene.target) < REACHED_M / 4
        )
        return bool(there) and scene.resting(scene.target)

    def expert(self, scene: PushScene) -> Expert:
        return PushExpert(scene)
