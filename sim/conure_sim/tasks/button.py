"""Pressing a button that a spring holds up."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pybullet

from conure_sim.experts.motion import Expert
from conure_sim.experts.press import PressExpert
from conure_sim.objects.fixtures import BUTTONS
from conure_sim.physics.bodies import Slider, add_sliding
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.button import ButtonScene
from conure_sim.scenes.scene import choose_positions
from conure_sim.tasks.task import Task

SPRING_FORCE_N = 3.0


@dataclass(frozen=True)
class PressButton(Task[ButtonScene]):
    """The cap is to be pressed down."""

    fixture_state_size: ClassVar[int] = 4

    def furnish(self, stage: Stage) -> ButtonScene:
        model = BUTTONS[stage.containers]
        stage.require_target(model.name)
        others = stage.bystanders()
        radii = [model.base_m / 2] + [0.0] * len(others)
        middle, *places = choose_positions(stage.rng, radii, stage.part((0, 0.1), (0.95, 0.9)))
        position = np.array([0.0, 0.0, model.height_m - 0.002])
        cap = Slider(
            model.cap_boxes(), position, (0.0, 0.0, 1.0), -model.travel_m, model.cap_colour, 0.02
        )
        body = add_sliding(
            stage.world, model.base_boxes(), stage.at(middle), 0.0, model.base_colour, cap
        )
        stage.world.client.setJointMotorControl2(
            body, 0, pybullet.POSITION_CONTROL, targetPosition=0.0, force=SPRING_FORCE_N
        )
        items = [stage.put(*pair) for pair in zip(others, places, strict=True)]
        return ButtonScene(stage.world, items, model, body)

    def success(self, scene: ButtonScene) -> bool:
        return scene.pressed_m() > scene.model.press_m

    def expert(self, scene: ButtonScene) -> Expert:
        return PressExpert(scene)
