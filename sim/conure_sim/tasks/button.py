"""Pressing a button that a spring holds up."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.motion import Expert
from conure_sim.experts.press import PressExpert
from conure_sim.objects.fixtures import BUTTONS
from conure_sim.physics.slider import Slider
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.button import ButtonScene
from conure_sim.scenes.scene import choose_positions
from conure_sim.tasks.task import Task

SPRING_FORCE_N = 3.0
CAP_DEPTH_M = 0.002
CAP_MASS_KG = 0.02


@dataclass(frozen=True)
class PressButton(Task[ButtonScene]):
    """Press the cap down."""

    fixture_state_size: ClassVar[int] = 4
    fixture_velocity_size: ClassVar[int] = 1

    def build_scene(self, builder: SceneBuilder) -> ButtonScene:
        model = BUTTONS[builder.containers]
        builder.require_target(model.name)
        distractors = builder.choose_distractors()
        radii_m = [model.base_m / 2] + [0.0] * len(distractors)
        region = builder.subregion((0, 0.1), (0.95, 0.9))
        centre, *places = choose_positions(builder.rng, radii_m, region)

        cap = Slider(
            parts=model.cap_boxes(),
            position=np.array([0.0, 0.0, model.height_m - CAP_DEPTH_M]),
            axis=(0.0, 0.0, 1.0),
            travel_m=-model.travel_m,
            colour=model.cap_colour,
            mass_kg=CAP_MASS_KG,
            force_n=SPRING_FORCE_N,
            springs_back=True,
        )
        position = builder.on_table(centre)
        body = builder.world.add_sliding(model.base_boxes(), position, 0.0, model.base_colour, cap)
        objects = builder.place_objects(distractors, places)
        return ButtonScene(builder.world, objects, model, body)

    def success(self, scene: ButtonScene) -> bool:
        return scene.pressed_m() > scene.model.press_m

    def expert(self, scene: ButtonScene) -> Expert:
        return PressExpert(scene)
