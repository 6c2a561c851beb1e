"""Pushing a puck, too wide to be grasped, to a mark."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.motion import Expert
from conure_sim.experts.push import PushExpert
from conure_sim.objects.fixtures import Colour, goal_mark
from conure_sim.objects.primitives import ObjectModel, make_object, shade_flat
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.push import PushScene
from conure_sim.scenes.scene import choose_positions
from conure_sim.tasks.task import Task

PUCK_WIDTH_M = 0.060
PUCK_SIDES = 12
PUCK_COLOURS: dict[str, Colour] = {"train": (0.15, 0.30, 0.85), "test": (0.50, 0.20, 0.70)}
GOAL_COLOURS: dict[str, Colour] = {"train": (0.20, 0.60, 0.30), "test": (0.80, 0.45, 0.20)}
GOAL_RADIUS_M = 0.040
REACHED_M = 0.020
GOAL_SPACING_M = 0.09


@dataclass(frozen=True)
class PushToGoal(Task[PushScene]):
    """Push the puck until it rests on the table, its centre within 2 cm of the goal's."""

    fixture_state_size: ClassVar[int] = 3

    def build_scene(self, builder: SceneBuilder) -> PushScene:
        builder.require_target("puck")
        puck_model = _puck(PUCK_COLOURS[builder.split])
        region = builder.subregion((0.1, 0.15), (0.95, 0.85))
        start, goal = choose_positions(builder.rng, [0.0, 0.0], region, GOAL_SPACING_M)

        mark = goal_mark(GOAL_RADIUS_M, GOAL_COLOURS[builder.containers])
        position = builder.on_table(goal)
        builder.world.add_mark(mark, position)
        return PushScene(builder.world, builder.place_object(puck_model, start), position)

    def success(self, scene: PushScene) -> bool:
        puck = scene.target
        near = np.linalg.norm(scene.to_goal()) < REACHED_M
        on_table = scene.height_m(puck) < REACHED_M / 4
        return bool(near and on_table) and scene.is_resting(puck)

    def expert(self, scene: PushScene) -> Expert:
        return PushExpert(scene)


def _puck(colour: Colour) -> ObjectModel:
    """An upright prism, too wide to be grasped."""
    angles = np.arange(PUCK_SIDES) * 2 * np.pi / PUCK_SIDES
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.vstack([np.c_[ring, np.full(PUCK_SIDES, z)] for z in (0.0, 0.9)])
    return shade_flat(make_object("puck", points, colour, PUCK_WIDTH_M))
