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
from conure_core.types import Array, Image
from conure_sim.objects.fixtures import Colour, ContainerModel, container_models
from conure_sim.objects.primitives import ObjectModel
from conure_sim.objects.sets import object_set
from conure_sim.physics.arm_simulation import load_arm_simulation, table_camera
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.randomization.factors import find_randomization
from conure_sim.scenes.clutter import scatter_clutter
from conure_sim.scenes.scene import MAX_OBJECTS, SceneObject

MARGIN_M = 0.02
GAP_M = 0.035
CONTAINER_CHANCE = 0.5
HELD_CHANCE = 0.25
NEAR_CHANCE = 0.4
CONTAINER_KINDS = ("tray", "box", "bowl", "plate")
CONTAINER_SCALE = (0.9, 1.1)
ANY_COLOUR_CHANCE = 0.5
TABLE_COLOUR_CHANCE = 0.6
POSES_PER_LAYOUT = 4
EDITION = 4
"""Version of the draws: it changes when the same seed gives other scenes or labels."""


@dataclass(frozen=True)
class LabelledImages:
    """Images and the truth about them; base frame."""

    image: Image
    """(n, h, w, 3), sRGB."""
    proprio: NDArray[np.float32]
    """(n, p), see conure_core.robot.proprioception."""
    positions: NDArray[np.float32]
    """Centres of the objects, (n, MAX_OBJECTS, 3) m; NaN where absent."""
    colours: NDArray[np.float32]
    """Colours of the objects, (n, MAX_OBJECTS, 3) in [0, 1]; NaN where absent."""
    container: NDArray[np.float32]
    """Centre of the container's floor, (n, 3) m; NaN where there is none."""
    pixels: NDArray[np.float32]
    """(n, MAX_OBJECTS + 1, 2): where the centres and, last, that floor are in the image, hidden or
    not, as `Camera.project` says."""


class StaticScenes:
    """Draws labelled images of one arm's table from a seed."""

    def __init__(
        self,
        arm: str = "wx250s",
        image_size: int = 48,
        objects: str = "train",
        randomization: str | Mapping[str, Any] = "none",
    ) -> None:
        """Start a physics client.

        Args:
            arm: Name of a robot, or the path of its YAML file.
            image_size: Width and height of the images, px.
            objects: 'train', 'test', or a folder of URDFs, see object_set.
            randomization: A preset, a YAML file or a mapping, see find_randomization.

        Raises:
            ConfigError: A name is unknown.
        """
        self.robot = load_robot(arm)
        self.simulation = load_arm_simulation(arm)
        self.world = BulletWorld(self.robot, table_camera(image_size, arm), self.simulation)
        self.pool = object_set(objects)
        self.models = list(self.pool.values())
        self.randomization = find_randomization(randomization)

    def draw(self, count: int, seed: int) -> LabelledImages:
        """Draw labelled images.

        Args:
            count: How many.
            seed: The same seed gives the same images.

        Returns:
            `count` images, POSES_PER_LAYOUT of each layout.
        """
        rng = np.random.default_rng(seed)
        self.views = np.random.default_rng([seed, 1])
        rows: list[tuple[NDArray, ...]] = []
        while len(rows) < count:
            self._lay_out(rng)
            rows.extend(self._draw_image(rng) for _ in range(POSES_PER_LAYOUT))
        columns = zip(*rows[:count], strict=True)
        return LabelledImages(*(np.stack(column) for column in columns))

    def _lay_out(self, rng: np.random.Generator) -> None:
        """Draw randomization, container, objects and clutter; objects get their places later."""
        self.sample = self.randomization.sample(rng)
        self.world.reset(
            self.robot.home_rad,
            self.robot.gripper_open_m,
            self.sample.appearance,
            self.sample.dynamics,
        )
        self.container = np.full(3, np.nan)
        if rng.random() < CONTAINER_CHANCE:
            container = self._draw_container(rng)
            place = rng.uniform(*self.simulation.region)
            self.container = np.array([*place, self.robot.table_height_m])
            self.world.add_boxes(container.boxes(), self.container, container.colour)

        self.items: list[SceneObject] = []
        self.colours: list[Colour] = []
        for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
            model = self.models[rng.integers(len(self.models))]
            colour = self._draw_colour(model.colour, rng)
            body = self.world.add(model, np.zeros(3), 0.0, colour)
            self.items.append(SceneObject(model, body))
            self.colours.append(colour)
        scatter_clutter(self.world, self.pool, self.sample.clutter, rng)

    def _draw_container(self, rng: np.random.Generator) -> ContainerModel:
        """A container of any kind, size and colour, the table's among them: an encoder that knows
        one grey tray misses the next.
        """
        kind = CONTAINER_KINDS[rng.integers(len(CONTAINER_KINDS))]
        models = container_models(kind, "train")
        model = models[rng.integers(len(models))]
        side, wall = rng.uniform(*CONTAINER_SCALE, 2)
        usual = model.colour
        if rng.random() < TABLE_COLOUR_CHANCE:
            usual = self.sample.appearance.table_colour
        colour = self._draw_colour(usual, rng)
        return replace(model, side_m=model.side_m * side, wall_m=model.wall_m * wall, colour=colour)

    def _draw_colour(self, usual: Colour, rng: np.random.Generator) -> Colour:
        """Any colour at all, or a shade of the usual one."""
        if rng.random() < ANY_COLOUR_CHANCE:
            red, green, blue = rng.uniform(0, 1, 3).tolist()
        else:
            red, green, blue = self.sample.apply_tint(usual, rng)
        return red, green, blue

    def _draw_image(self, rng: np.random.Generator) -> tuple[NDArray, ...]:
        """One image with new places, arm pose and camera pose: the fields of LabelledImages."""
        places = self._draw_places(rng, len(self.items))
        tool = self._draw_tool(rng, places)
        held = rng.random() < HELD_CHANCE
        gripper_m = self._pose_arm(rng, tool, self.items[0].model if held else None)
        positions, colours = self._place_objects(rng, places, held)

        # Every image has its own camera: learning how far it has moved takes many.
        self.camera = self.randomization.sample(self.views).displace(self.world.camera)
        image = self.sample.degrade(self.world.render(self.camera), rng)
        proprio = proprioception(self.world.arm, self.joint_rad, gripper_m)
        pixels = self.camera.project(np.concatenate([positions, self.container[None]]))
        labels = (positions, colours, self.container, pixels)
        return (image, proprio, *(values.astype(np.float32) for values in labels))

    def _draw_tool(self, rng: np.random.Generator, places: list[Array]) -> Array:
        """The tool's position, (3,) m: anywhere, or near the container or the first object."""
        tool = rng.uniform(self.simulation.tool_lower_m, self.simulation.tool_upper_m)
        if rng.random() < NEAR_CHANCE:
            over_container = np.isfinite(self.container[0]) and rng.random() < 0.5
            near = self.container[:2] if over_container else places[0]
            tool[:2] = near + rng.normal(0, 0.02, 2)
        return tool

    def _place_objects(
        self, rng: np.random.Generator, places: list[Array], held: bool
    ) -> tuple[Array, Array]:
        """Put the objects on the table, the first between the fingers if held.

        Returns their centres (MAX_OBJECTS, 3) m and colours (MAX_OBJECTS, 3), NaN where absent.
        """
        positions = np.full((MAX_OBJECTS, 3), np.nan)
        colours = np.full((MAX_OBJECTS, 3), np.nan)
        for slot, (item, place) in enumerate(zip(self.items, places, strict=True)):
            half_m = item.model.height_m / 2
            centre = np.array([*place, self.robot.table_height_m + half_m])
            if held and slot == 0:
                centre = self.tool + rng.normal(0, 0.004, 3)
                centre[2] = max(centre[2], half_m)
            yaw_rad = rng.uniform(-np.pi, np.pi)
            orientation = np.array([0, 0, np.sin(yaw_rad / 2), np.cos(yaw_rad / 2)])
            self.world.place(item.body, centre - [0, 0, half_m], orientation)
            positions[slot] = centre
            colours[slot] = self.colours[slot]
        return positions, colours

    def _pose_arm(
        self,
        rng: np.random.Generator,
        tool: Array,
        held: ObjectModel | None,
    ) -> float:
        """Point the tool down at `tool`, turned and tilted at random.

        Returns the gripper's position, m: as wide as the held object, or random.
        """
        home_rad = np.array(self.robot.home_rad)
        pose = self.world.arm.forward(home_rad).copy()
        pose[:3, :3] = self._draw_rotation(rng) @ pose[:3, :3]
        left, _, right = np.linalg.svd(pose[:3, :3])
        pose[:3, :3] = left @ right
        pose[:3, 3] = tool
        self.joint_rad = self.world.arm.solve(pose, home_rad, iterations=15)
        self.tool = self.world.arm.forward(self.joint_rad)[:3, 3].copy()

        closed_m = self.robot.gripper_closed_m
        open_m = self.robot.gripper_open_m
        gripper_m = rng.uniform(closed_m, open_m) if rng.random() < 0.3 else open_m
        if held is not None:
            finger_m = held.width_m / len(self.world.fingers) + self.simulation.finger_pad_m
            gripper_m = float(np.clip(finger_m, closed_m, open_m))
        self.world.pose_arm(self.joint_rad, gripper_m)
        return gripper_m

    def _draw_rotation(self, rng: np.random.Generator) -> Array:
        """A turn about the vertical and a small tilt, (3, 3), to first order in the tilt."""
        spin_rad = rng.uniform(-1.2, 1.2)
        tilt_x, tilt_y = rng.normal(0, 0.08, 2)
        sine = np.sin(spin_rad)
        cosine = np.cos(spin_rad)
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        lean = np.array([[1, 0, tilt_x], [0, 1, tilt_y], [-tilt_x, -tilt_y, 1]])
        return np.asarray(lean @ turn)

    def _draw_places(self, rng: np.random.Generator, count: int) -> list[Array]:
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
    """Draw a worker's share of the images.

    Args:
        arm: Name of a robot, or the path of its YAML file.
        image_size: Width and height of the images, px.
        randomization: A preset, a YAML file or a mapping.
        block: Seed, and number of images.

    Returns:
        The fields of LabelledImages, by name.
    """
    seed, count = block
    scenes = StaticScenes(arm, image_size, randomization=randomization)
    return vars(scenes.draw(count, seed))
