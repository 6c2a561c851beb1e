"""The pictures of the gallery: experts' episodes, draws of randomization presets, objects,
fixtures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import pybullet

from conure_core.robot.description import load_robot
from conure_core.types import Array, Image
from conure_sim.envs.viewpoints import OVERVIEW, TABLE, viewpoint
from conure_sim.objects.fixtures import (
    BUTTONS,
    CARRY_BOXES,
    CONTAINERS,
    CUPS,
    DRAWERS,
    MUGS,
    BoxPart,
    goal_mark,
)
from conure_sim.objects.primitives import RANDOM_URDFS_PER_SPLIT, ObjectModel, block_set
from conure_sim.objects.sets import object_set
from conure_sim.orientation import turned
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.physics.world import World
from conure_sim.randomization.factors import Randomization, RandomizationSample, find_randomization
from conure_sim.tasks.orders import TRAYS
from conure_sim.tasks.push import GOAL_COLOURS, GOAL_RADIUS_M
from conure_sim.tools.recording import Recording, expert, record
from conure_sim.vision.camera import looking_at

MOMENTS = ("start", "middle", "end")
SMALLEST_IMAGE_PX = 16
# From what is looked at to the eye, in its lengths across: from the front and above, with the arm
# out of sight.
THUMBNAIL_EYE, THUMBNAIL_VIEW_RAD = np.array([1.7, -1.0, 1.8]), 0.46
OBJECT_TURN_RAD, OPEN_SHARE = 0.5, 0.7


@dataclass(frozen=True)
class Picture:
    """An image (h, w, 3) uint8, sRGB, what stands below it, and what it is to those who do not see
    it.
    """

    image: Image
    caption: str
    alt: str


@dataclass(frozen=True)
class Episode:
    """An expert's episode. `pictures`: start, middle and end from each camera, camera by camera."""

    task: str
    arm: str
    seed: int
    success: bool
    steps: int
    pictures: list[Picture]


@dataclass(frozen=True)
class Fixture:
    """What is drawn in the section of fixtures: its parts and their colour where they have none."""

    name: str
    parts: list[BoxPart]
    colour: tuple[float, float, float]


class _OwnStream:
    """A preset that draws from a stream of its own, so that the scene stays what the episode's seed
    makes it.
    """

    def __init__(self, preset: Randomization, seed: int) -> None:
        self._preset, self._seed = preset, seed

    def sample(self, rng: np.random.Generator) -> RandomizationSample:
        return self._preset.sample(np.random.default_rng(self._seed))


def expert_episode(task: str, arm: str, seed: int, size_px: int) -> Episode:
    """Start, middle and end of an expert's episode, from the overview and as the policy's camera
    sees it.
    """
    env: Any = gymnasium.make(f"conure/{task}-v0", arm=arm, image_size=SMALLEST_IMAGE_PX).unwrapped
    recording = record(env, expert, seed, (), size_px)
    outcome = "success" if recording.success else "no success"
    steps = (0, recording.steps // 2, recording.steps)
    pictures = []
    for camera, frames in _replayed(env, recording, seed, steps, size_px).items():
        for moment, step, frame in zip(MOMENTS, steps, frames, strict=True):
            at_end = f", {outcome}" if moment == "end" else ""
            alt = f"{task} with {arm}, {moment} of the expert's episode, {camera} camera{at_end}"
            pictures.append(Picture(frame, f"step {step}{at_end}", alt))
    env.close()
    return Episode(task, arm, seed, recording.success, recording.steps, pictures)


def _replayed(
    env: Any, recording: Recording, seed: int, steps: Sequence[int], size_px: int
) -> dict[str, list[Image]]:
    """Images by camera before these steps of a recorded episode: most of its frames need never be
    drawn.
    """
    env.reset(seed=seed)
    cameras = {name: viewpoint(env, name, size_px) for name in (OVERVIEW, TABLE)}
    images: dict[str, list[Image]] = {name: [] for name in cameras}
    done = 0
    for step in steps:
        for action in recording.actions[done:step]:
            env.step(action)
        done = step
        for name, camera in cameras.items():
            images[name].append(env.world.view(camera).image)
    return images


def preset_samples(
    preset: str, task: str, arm: str, seed: int, count: int, size_px: int
) -> list[Picture]:
    """Draws of a preset for one scene, as the policy's camera sends them."""
    env: Any = gymnasium.make(f"conure/{task}-v0", arm=arm, image_size=SMALLEST_IMAGE_PX).unwrapped
    pictures = []
    for number in range(count):
        env.randomization = _OwnStream(find_randomization(preset), number)
        env.reset(seed=seed)
        image = env.world.view(viewpoint(env, TABLE, size_px)).image
        image = env.sample.degraded(image, np.random.default_rng(number))
        pictures.append(
            Picture(image, "", f"{task} with {arm}, randomization {preset}, draw {number}")
        )
    env.close()
    return pictures


def object_groups() -> dict[str, Mapping[str, ObjectModel]]:
    """Every object that comes with Conure, by set."""
    groups: dict[str, Mapping[str, ObjectModel]] = {}
    for split in RANDOM_URDFS_PER_SPLIT:
        groups[f"objects={split}"] = object_set(split)
        groups[f"blocks, {split}"] = block_set(split)
    return groups


def fixture_groups() -> dict[str, list[Fixture]]:
    """Every fixture, by split."""
    return {split: list(_fixtures(split)) for split in CONTAINERS}


def object_pictures(models: Sequence[ObjectModel], size_px: int) -> list[Picture]:
    """Every object on the table, alike in size."""
    studio = _Studio(size_px)
    return [studio.object(model) for model in models]


def fixture_pictures(fixtures: Sequence[Fixture], size_px: int) -> list[Picture]:
    """Every fixture on the table, alike in size."""
    studio = _Studio(size_px)
    return [studio.fixture(fixture) for fixture in fixtures]


class _Studio:
    """A corner of the table, away from the arm, where single things are photographed."""

    def __init__(self, size_px: int) -> None:
        self.size_px, self.robot = size_px, load_robot("wx250s")
        self.world = World(self.robot, table_camera(SMALLEST_IMAGE_PX))
        centre, size = self.world.simulation.table_centre_m, self.world.simulation.table_size_m
        self.place = np.array(
            [centre[0] + size[0] / 8, centre[1] + size[1] / 8, self.robot.table_height_m]
        )

    def object(self, model: ObjectModel) -> Picture:
        self._clear()
        self.world.add(model, self.place, OBJECT_TURN_RAD)
        turn = np.reshape(pybullet.getMatrixFromQuaternion(turned(OBJECT_TURN_RAD)), (3, 3))
        return self._picture(model.name, model.vertices @ turn.T)

    def fixture(self, fixture: Fixture) -> Picture:
        self._clear()
        self.world.add_boxes(fixture.parts, self.place, fixture.colour)
        return self._picture(fixture.name, np.vstack([_corners(part) for part in fixture.parts]))

    def _clear(self) -> None:
        self.world.reset(
            np.array([-np.pi / 2, *self.robot.home_rad[1:]]), self.robot.gripper_open_m
        )

    def _picture(self, name: str, points: Array) -> Picture:
        """What is at these points (n, 3), m, above the place."""
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        across_m = 2 * float(np.linalg.norm(points - middle, axis=1).max())
        eye = self.place + middle + THUMBNAIL_EYE * across_m
        camera = looking_at(
            eye, self.place + middle, self.size_px, self.size_px, THUMBNAIL_VIEW_RAD
        )
        return Picture(self.world.view(camera).image, name, name)


def _corners(part: BoxPart) -> Array:
    """The eight corners (8, 3) of a box."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    rotation = np.reshape(pybullet.getMatrixFromQuaternion(part.quaternion), (3, 3))
    return np.asarray(part.centre + (signs * part.half) @ rotation.T)


def _fixtures(split: str) -> Iterator[Fixture]:
    containers = [model for models in CONTAINERS[split].values() for model in models]
    for model in (*containers, CARRY_BOXES[split], MUGS[split], CUPS[split], *TRAYS[split]):
        yield Fixture(model.name, model.boxes(), model.colour)
    drawer, button = DRAWERS[split], BUTTONS[split]
    pulled = np.array([OPEN_SHARE * drawer.travel_m, 0.0, 0.0])
    opened = [_moved(part, pulled, drawer.drawer_colour) for part in drawer.drawer_boxes()]
    yield Fixture(f"{drawer.name}, open", drawer.cabinet_boxes() + opened, drawer.cabinet_colour)
    raised = np.array([0.0, 0.0, button.height_m - 0.002])
    cap = [_moved(part, raised, button.cap_colour) for part in button.cap_boxes()]
    yield Fixture(button.name, button.base_boxes() + cap, button.base_colour)
    yield Fixture("goal mark", goal_mark(GOAL_RADIUS_M, GOAL_COLOURS[split]), GOAL_COLOURS[split])


def _moved(part: BoxPart, shift_m: Array, colour: tuple[float, float, float]) -> BoxPart:
    return replace(part, centre=part.centre + shift_m, colour=part.colour or colour)
