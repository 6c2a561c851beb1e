"""Pictures of the gallery: experts' episodes, randomization presets, objects, fixtures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import pybullet

from conure_core.robot.description import load_robot
from conure_core.types import Array, Image
from conure_sim.envs.rollout import expert
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
from conure_sim.orientation import quaternion_from_yaw
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.randomization.factors import Randomization, RandomizationSample, find_randomization
from conure_sim.tasks.orders import TRAYS
from conure_sim.tasks.push import GOAL_COLOURS, GOAL_RADIUS_M
from conure_sim.tools.recording import Recording, record
from conure_sim.vision.camera import looking_at

MOMENTS = ("start", "middle", "end")
SMALLEST_IMAGE_PX = 16
THUMBNAIL_EYE = np.array([1.7, -1.0, 1.8])
"""From a thing to the eye, in its lengths across: in front and above, the arm out of sight."""
THUMBNAIL_VIEW_RAD = 0.46
OBJECT_TURN_RAD = 0.5
OPEN_SHARE = 0.7


@dataclass(frozen=True)
class Picture:
    """An image with its texts."""

    image: Image
    """(h, w, 3) uint8, sRGB."""
    caption: str
    """Stands below it."""
    alt: str
    """For those who do not see it."""


@dataclass(frozen=True)
class Episode:
    """An expert's episode."""

    task: str
    arm: str
    seed: int
    success: bool
    steps: int
    pictures: list[Picture]
    """Start, middle and end from each camera, camera by camera."""


@dataclass(frozen=True)
class Fixture:
    """A fixture to draw."""

    name: str
    parts: list[BoxPart]
    colour: tuple[float, float, float]
    """Colour of the parts without their own, rgb in [0, 1]."""


class _SeededRandomization:
    """A preset that draws from its own seed, so that the scene stays what the episode's seed makes
    it.
    """

    def __init__(self, preset: Randomization, seed: int) -> None:
        self._preset = preset
        self._seed = seed

    def sample(self, rng: np.random.Generator) -> RandomizationSample:
        return self._preset.sample(np.random.default_rng(self._seed))


def expert_episode(
    task: str,
    arm: str,
    seed: int,
    size_px: int,
) -> Episode:
    """Run an expert and draw start, middle and end, from the overview and the table camera.

    Args:
        task: A name of `TASKS`.
        arm: Name of a robot, or the path of its YAML file.
        seed: Of the episode.
        size_px: Width and height of the pictures, px.

    Returns:
        Pictures and outcome.
    """
    env = _make_environment(task, arm)
    recording = record(env, expert, seed, (), size_px)
    outcome = "success" if recording.success else "no success"
    steps = (0, recording.steps // 2, recording.steps)

    pictures = []
    for camera, frames in _replay(env, recording, seed, steps, size_px).items():
        for moment, step, frame in zip(MOMENTS, steps, frames, strict=True):
            at_end = f", {outcome}" if moment == "end" else ""
            alt = f"{task} with {arm}, {moment} of the expert's episode, {camera} camera{at_end}"
            pictures.append(Picture(frame, f"step {step}{at_end}", alt))
    env.close()
    return Episode(task, arm, seed, recording.success, recording.steps, pictures)


def _make_environment(task: str, arm: str) -> Any:
    name = f"conure/{task}-v0"
    return gymnasium.make(name, arm=arm, image_size=SMALLEST_IMAGE_PX).unwrapped


def _replay(
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
    """Draw a randomization preset several times for one scene.

    Args:
        preset: Its name.
        task: A name of `TASKS`.
        arm: Name of a robot, or the path of its YAML file.
        seed: Of the scene.
        count: How many draws.
        size_px: Width and height of the pictures, px.

    Returns:
        Images as the table camera sends them.
    """
    env = _make_environment(task, arm)
    pictures = []
    for number in range(count):
        env.randomization = _SeededRandomization(find_randomization(preset), number)
        env.reset(seed=seed)
        image = env.world.view(viewpoint(env, TABLE, size_px)).image
        image = env.sample.degrade(image, np.random.default_rng(number))
        alt = f"{task} with {arm}, randomization {preset}, draw {number}"
        pictures.append(Picture(image, "", alt))
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
    """Draw every object on the table, alike in size.

    Args:
        models: The objects.
        size_px: Width and height of the pictures, px.

    Returns:
        A picture each.
    """
    thumbnails = _Thumbnails(size_px)
    return [thumbnails.draw_object(model) for model in models]


def fixture_pictures(fixtures: Sequence[Fixture], size_px: int) -> list[Picture]:
    """Draw every fixture on the table, alike in size.

    Args:
        fixtures: The fixtures.
        size_px: Width and height of the pictures, px.

    Returns:
        A picture each.
    """
    thumbnails = _Thumbnails(size_px)
    return [thumbnails.draw_fixture(fixture) for fixture in fixtures]


class _Thumbnails:
    """Draws single things in a corner of the table, away from the arm."""

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self.robot = load_robot("wx250s")
        self.world = BulletWorld(self.robot, table_camera(SMALLEST_IMAGE_PX))
        centre_x, centre_y = self.world.simulation.table_centre_m
        size_x, size_y = self.world.simulation.table_size_m
        x = centre_x + size_x / 8
        y = centre_y + size_y / 8
        self.place = np.array([x, y, self.robot.table_height_m])

    def draw_object(self, model: ObjectModel) -> Picture:
        self._clear()
        self.world.add(model, self.place, OBJECT_TURN_RAD)
        points = model.vertices @ _rotation(quaternion_from_yaw(OBJECT_TURN_RAD)).T
        return self._picture(model.name, points)

    def draw_fixture(self, fixture: Fixture) -> Picture:
        self._clear()
        self.world.add_boxes(fixture.parts, self.place, fixture.colour)
        points = np.vstack([_corners(part) for part in fixture.parts])
        return self._picture(fixture.name, points)

    def _clear(self) -> None:
        _, *others_rad = self.robot.home_rad
        joint_rad = np.array([-np.pi / 2, *others_rad])
        self.world.reset(joint_rad, self.robot.gripper_open_m)

    def _picture(self, name: str, points: Array) -> Picture:
        """A picture of the thing that has these points (n, 3), m, above the place."""
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        across_m = 2 * float(np.linalg.norm(points - centre, axis=1).max())
        gaze = self.place + centre
        eye = gaze + THUMBNAIL_EYE * across_m
        camera = looking_at(eye, gaze, self.size_px, self.size_px, THUMBNAIL_VIEW_RAD)
        return Picture(self.world.view(camera).image, name, name)


def _rotation(quaternion: tuple[float, ...]) -> Array:
    """The rotation (3, 3) of a quaternion (xyzw)."""
    return np.reshape(pybullet.getMatrixFromQuaternion(quaternion), (3, 3))


def _corners(part: BoxPart) -> Array:
    """The eight corners (8, 3) of a box."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return np.asarray(part.centre + (signs * part.half) @ _rotation(part.quaternion).T)


def _fixtures(split: str) -> Iterator[Fixture]:
    containers = [model for models in CONTAINERS[split].values() for model in models]
    for model in (*containers, CARRY_BOXES[split], MUGS[split], CUPS[split], *TRAYS[split]):
        yield Fixture(model.name, model.boxes(), model.colour)

    drawer = DRAWERS[split]
    opening = np.array([OPEN_SHARE * drawer.travel_m, 0.0, 0.0])
    parts = _shift(drawer.drawer_boxes(), opening, drawer.drawer_colour)
    yield Fixture(f"{drawer.name}, open", drawer.cabinet_boxes() + parts, drawer.cabinet_colour)

    button = BUTTONS[split]
    height = np.array([0.0, 0.0, button.height_m - 0.002])
    cap = _shift(button.cap_boxes(), height, button.cap_colour)
    yield Fixture(button.name, button.base_boxes() + cap, button.base_colour)
    yield Fixture("goal mark", goal_mark(GOAL_RADIUS_M, GOAL_COLOURS[split]), GOAL_COLOURS[split])


def _shift(
    parts: Sequence[BoxPart], shift_m: Array, colour: tuple[float, float, float]
) -> list[BoxPart]:
    """Boxes moved by (3,) m, those without a colour in this one."""
    return [
        replace(part, centre=part.centre + shift_m, colour=part.colour or colour) for part in parts
    ]
