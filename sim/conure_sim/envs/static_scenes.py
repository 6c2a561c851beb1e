"""Cheap labelled images: random scenes with a random arm pose, rendered without physics.

Demonstrations hold few layouts; perception needs many. Nothing moves here, so a thousand images
take about a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.robot.description import load_robot
from conure_core.robot.proprioception import proprioception
from conure_core.types import Array
from conure_sim.objects.fixtures import Colour, ContainerModel, container_models
from conure_sim.objects.primitives import ObjectModel
from conure_sim.objects.sets import object_set
from conure_sim.physics.arm_simulation import load_arm_simulation, table_camera
from conure_sim.physics.world import World
from conure_sim.randomization.factors import find_randomization
from conure_sim.scenes.clutter import strew
from conure_sim.scenes.scene import MAX_OBJECTS, SceneObject

MARGIN_M = 0.02
GAP_M = 0.035
CONTAINER_CHANCE, HELD_CHANCE, NEAR_CHANCE = 0.5, 0.25, 0.4
CONTAINER_KINDS = ("tray", "box", "bowl", "plate")
CONTAINER_SCALE = (0.9, 1.1)
ANY_COLOUR_CHANCE, TABLE_COLOUR_CHANCE = 0.5, 0.6
POSES_PER_LAYOUT = 4
EDITION = 3
"""Of what is drawn: another number, other scenes from the same seed."""


@dataclass(frozen=True)
class LabelledImages:
    """Images (n, h, w, 3) uint8, proprio (n, p), and the truth: objects' middles (n, MAX_OBJECTS,
    3) m and colours in [0, 1], NaN where absent; the container's floor (n, 3) m, NaN where there is
    none; pixels (n, MAX_OBJECTS + 1, 2), where the middles and, last, that floor are seen, hidden
    or not.
    """

    image: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    positions: NDArray[np.float32]
    colours: NDArray[np.float32]
    container: NDArray[np.float32]
    pixels: NDArray[np.float32]


class StaticScenes:
    """Draws labelled images of one arm's table from a seed."""

    def __init__(
        self,
        arm: str = "wx250s",
        image_size: int = 48,
        objects: str = "train",
        randomization: str | Mapping[str, Any] = "none",
    ) -> None:
        self.robot = load_robot(arm)
        self.simulation = load_arm_simulation(arm)
        self.world = World(self.robot, table_camera(image_size, arm), self.simulation)
        self.pool = object_set(objects)
        self.models = list(self.pool.values())
        self.randomization = find_randomization(randomization)

    def draw(self, count: int, seed: int) -> LabelledImages:
        """`count` labelled images; the same seed gives the same images."""
        rng, self.views = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        rows: list[tuple[NDArray, ...]] = []
        while len(rows) < count:
            self._layout(rng)
            rows.extend(self._posed(rng) for _ in range(POSES_PER_LAYOUT))
        return LabelledImages(*(np.stack(column) for column in zip(*rows[:count], strict=True)))

    def _layout(self, rng: np.random.Generator) -> None:
        self.sample = self.randomization.sample(rng)
        self.world.reset(
            self.robot.home_rad,
            self.robot.gripper_open_m,
            self.sample.appearance,
            self.sample.dynamics,
        )
        self.container = np.full(3, np.nan)
        if rng.random() < CONTAINER_CHANCE:
            container = self._any_container(rng)
            place = rng.uniform(*self.simulation.region)
            self.container = np.array([*place, self.robot.table_height_m])
            self.world.add_boxes(container.boxes(), self.container, container.colour)
        self.items, self.colours = [], []
        for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
            model = self.models[rng.integers(len(self.models))]
            colour = self._any_colour(model.colour, rng)
            self.items.append(SceneObject(model, self.world.add(model, np.zeros(3), 0.0, colour)))
            self.colours.append(colour)
        strew(self.world, self.pool, self.sample.clutter, rng)

    def _any_container(self, rng: np.random.Generator) -> ContainerModel:
        """Of any kind, size and colour, the table's among them: an encoder that knows one grey tray
        misses the next.
        """
        models = container_models(CONTAINER_KINDS[rng.integers(len(CONTAINER_KINDS))], "train")
        model = models[rng.integers(len(models))]
        side, wall = rng.uniform(*CONTAINER_SCALE, 2)
        usual = (
            self.sample.appearance.table_colour
            if rng.random() < TABLE_COLOUR_CHANCE
            else model.colour
        )
        colour = self._any_colour(usual, rng)
        return replace(model, side_m=model.side_m * side, wall_m=model.wall_m * wall, colour=colour)

    def _any_colour(self, usual: Colour, rng: np.random.Generator) -> Colour:
        """Any at all, or a shade of the usual one."""
        anything = rng.random() < ANY_COLOUR_CHANCE
        red, green, blue = (
            rng.uniform(0, 1, 3).tolist() if anything else self.sample.tinted(usual, rng)
        )
        return red, green, blue

    def _posed(self, rng: np.random.Generator) -> tuple[NDArray, ...]:
        places = self._places(rng, len(self.items))
        tool = rng.uniform(self.simulation.tool_lower_m, self.simulation.tool_upper_m)
        if rng.random() < NEAR_CHANCE:
            over_container = np.isfinite(self.container[0]) and rng.random() < 0.5
            tool[:2] = (self.container[:2] if over_container else places[0]) + rng.normal(
                0, 0.02, 2
            )
        held = rng.random() < HELD_CHANCE
        gripper_m = self._pose_arm(rng, tool, self.items[0].model if held else None)
        positions = np.full((MAX_OBJECTS, 3), np.nan)
        colours = np.full((MAX_OBJECTS, 3), np.nan)
        for slot, (item, place) in enumerate(zip(self.items, places, strict=True)):
            middle = np.array([*place, self.robot.table_height_m + item.model.height_m / 2])
            if held and slot == 0:
                middle = self.tool + rng.normal(0, 0.004, 3)
                middle[2] = max(middle[2], item.model.height_m / 2)
            yaw = rng.uniform(-np.pi, np.pi)
            base = middle - [0, 0, item.model.height_m / 2]
            self.world.place(item.body, base, np.array([0, 0, np.sin(yaw / 2), np.cos(yaw / 2)]))
            positions[slot], colours[slot] = middle, self.colours[slot]
        # Of its own for every image: learning how far it has moved takes many.
        self.camera = self.randomization.sample(self.views).displaced(self.world.camera)
        image = self.sample.degraded(self.world.render(self.camera), rng)
        proprio = proprioception(self.world.arm, self.joint_rad, gripper_m)
        pixels = self.camera.project(np.concatenate([positions, self.container[None]]))
        labels = (
            values.astype(np.float32) for values in (positions, colours, self.container, pixels)
        )
        return (image, proprio, *labels)

    def _pose_arm(self, rng: np.random.Generator, tool: Array, held: ObjectModel | None) -> float:
        """Point the tool down at `tool`, turned and tilted at random; returns the gripper's
        position, m.
        """
        pose = self.world.arm.forward(np.array(self.robot.home_rad)).copy()
        spin, tilt = rng.uniform(-1.2, 1.2), rng.normal(0, 0.08, 2)
        turn = np.array(
            [[np.cos(spin), -np.sin(spin), 0], [np.sin(spin), np.cos(spin), 0], [0, 0, 1]]
        )
        lean = np.array([[1, 0, tilt[0]], [0, 1, tilt[1]], [-tilt[0], -tilt[1], 1]])
        left, _, right = np.linalg.svd(lean @ turn @ pose[:3, :3])
        pose[:3, :3], pose[:3, 3] = left @ right, tool
        self.joint_rad = self.world.arm.solve(pose, np.array(self.robot.home_rad), iterations=15)
        self.tool = self.world.arm.forward(self.joint_rad)[:3, 3].copy()
        closed, opened = self.robot.gripper_closed_m, self.robot.gripper_open_m
        gripper_m = rng.uniform(closed, opened) if rng.random() < 0.3 else opened
        if held is not None:
            gripper_m = float(
                np.clip(
                    held.width_m / len(self.world.fingers) + self.simulation.finger_pad_m,
                    closed,
                    opened,
                )
            )
        self.world.pose_arm(self.joint_rad, gripper_m)
        return gripper_m

    def _places(self, rng: np.random.Generator, count: int) -> list[Array]:
        """Random places, (2,) m, at least GAP_M apart; sometimes inside the container."""
        lower, upper = self.simulation.region
        places: list[Array] = []
        while len(places) < count:
            place = rng.uniform(lower - MARGIN_M, upper + MARGIN_M)
            if np.isfinite(self.container[0]) and rng.random() < 0.2:
                place = self.container[:2] + rng.uniform(-0.03, 0.03, 2)
            if all(np.linalg.norm(place - other) > GAP_M for other in places):
                places.append(place)
        return places


def draw_block(
    arm: str, image_size: int, randomization: str | Mapping[str, Any], block: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """A worker's share, (seed, count): the fields of LabelledImages by their names."""
    seed, count = block
    return StaticScenes(arm, image_size, randomization=randomization).draw(count, seed).__dict__
