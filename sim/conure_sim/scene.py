"""What stands on the table in one episode: the target, its distractors, perhaps a container, and their true state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError
from conure_core.observation import proprioception
from conure_sim.objects import ObjectModel, find_object
from conure_sim.world import World

Array = NDArray[np.float64]
MAX_OBJECTS = 4
SPACING_M = 0.075
COLOUR_DISTANCE = 0.35
LIFTED_M = 0.05
NEAR_M = 0.02
SLOT_STATE, PRESENCE = 14, 7
PLACEMENT_TRIES, PLACEMENT_ROUNDS = 200, 100
USUAL_RADIUS_M = SPACING_M / 2


@dataclass(frozen=True)
class SceneObject:
    """An object and its body in the physics client."""

    model: ObjectModel
    body: int


@dataclass(frozen=True)
class ContainerModel:
    """A square container: a floor and four walls. Lengths m, colour rgb in [0, 1]."""

    name: str
    side_m: float
    wall_m: float
    colour: tuple[float, float, float]

    def boxes(self) -> list[tuple[Array, Array]]:
        """(centre, half size) of floor and walls, the floor's underside at z = 0."""
        half, thick, wall = self.side_m / 2, 0.003, self.wall_m / 2
        floor = (np.array([0, 0, thick]), np.array([half, half, thick]))
        along_x = [(np.array([0, s * (half - thick), wall]), np.array([half, thick, wall])) for s in (-1, 1)]
        along_y = [(np.array([s * (half - thick), 0, wall]), np.array([thick, half, wall])) for s in (-1, 1)]
        return [floor, *along_x, *along_y]


@dataclass(frozen=True)
class Container:
    """A container on the table: its model and the middle of its floor, (3,) m."""

    model: ContainerModel
    position: Array


class Scene:
    """Objects on the table; the first one is the target.

    `state()` is the privileged observation, for critics and labels only: proprioception; for each of `MAX_OBJECTS`
    slots (the target's first, absent ones zero) position (m), quaternion (xyzw), presence, position relative to the
    tool (m), and that again as tanh(m / NEAR_M), which tells millimetres apart near the tool; the container's position
    and presence.
    """

    def __init__(self, world: World, objects: list[SceneObject], container: Container | None) -> None:
        self.world, self.objects, self.container = world, objects, container

    @property
    def target(self) -> SceneObject:
        """The object that the reward is about."""
        return self.objects[0]

    def aim_at(self, index: int) -> None:
        """Make another object the target."""
        self.objects.insert(0, self.objects.pop(index))

    def height_m(self, item: SceneObject) -> float:
        """How far the object's base stands above the table."""
        return float(self.world.pose(item.body)[0][2]) - self.world.robot.table_height_m

    def lifted(self, item: SceneObject) -> bool:
        """Whether the object stands at least LIFTED_M above the table."""
        return self.height_m(item) > LIFTED_M

    def held(self, item: SceneObject) -> bool:
        """Whether every finger touches the object."""
        return all(self.world.touching(item.body, finger) for finger in self.world.fingers)

    def touched(self, item: SceneObject) -> bool:
        """Whether any finger touches the object."""
        return any(self.world.touching(item.body, finger) for finger in self.world.fingers)

    def contained(self, item: SceneObject) -> bool:
        """Whether the object lies inside the container."""
        if self.container is None:
            return False
        offset = self.world.pose(item.body)[0] - self.container.position
        inside = np.abs(offset[:2]).max() < self.container.model.side_m / 2
        return bool(inside and -0.005 < offset[2] < self.container.model.wall_m + 0.005)

    def object_positions(self) -> Array:
        """Middle of each object, (MAX_OBJECTS, 3) m, absent ones NaN."""
        positions = np.full((MAX_OBJECTS, 3), np.nan)
        for slot, item in enumerate(self.objects):
            positions[slot] = self.world.pose(item.body)[0] + [0, 0, item.model.height_m / 2]
        return positions

    def state(self) -> NDArray[np.float32]:
        """The privileged state, (STATE_SIZE,) float32; see the class."""
        joints = self.world.joint_state()
        parts: list[NDArray[Any]] = [proprioception(self.world.arm, joints.joint_rad, joints.gripper_m)]
        tool = parts[0][:3]
        for item in self.objects:
            position, orientation = self.world.pose(item.body)
            offset = position - tool
            parts.append(np.concatenate([position, orientation, [1.0], offset, np.tanh(offset / NEAR_M)]))
        parts.append(np.zeros(SLOT_STATE * (MAX_OBJECTS - len(self.objects))))
        parts.append(np.zeros(4) if self.container is None else np.append(self.container.position, 1.0))
        return np.concatenate(parts).astype(np.float32)


def state_size(proprio_size: int) -> int:
    """Length of `Scene.state()`."""
    return proprio_size + SLOT_STATE * MAX_OBJECTS + 4


def another_target(
    states: NDArray[np.float32], proprio_size: int, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """An episode's states (n, STATE_SIZE) as if another of its objects were the target; None if there is no other."""
    slots = slice(proprio_size, proprio_size + SLOT_STATE * MAX_OBJECTS)
    objects = states[:, slots].reshape(len(states), MAX_OBJECTS, SLOT_STATE)
    others = np.flatnonzero(objects[0, 1:, PRESENCE] > 0.5) + 1
    if not len(others):
        return None
    order = np.arange(MAX_OBJECTS)
    chosen = rng.choice(others)
    order[[0, chosen]] = order[[chosen, 0]]
    told = states.copy()
    told[:, slots] = objects[:, order].reshape(len(states), -1)
    return told


def choose_objects(
    rng: np.random.Generator, pool: dict[str, ObjectModel], distractors: int, target: str | None
) -> list[ObjectModel]:
    """A target (this one, or a random one of the pool) and distractors that differ from it and each other in colour.

    Raises: ConfigError if the pool cannot give so many.
    """
    if not 0 <= distractors < MAX_OBJECTS:
        raise ConfigError(f"distractors must be 0 to {MAX_OBJECTS - 1}, got {distractors}")
    names = sorted(pool)
    chosen = [find_object(target, pool) if target else pool[names[rng.integers(len(names))]]]
    for index in rng.permutation(len(names)):
        if len(chosen) == distractors + 1:
            break
        candidate = pool[names[index]]
        if all(_colour_distance(candidate, other) > COLOUR_DISTANCE for other in chosen):
            chosen.append(candidate)
    if len(chosen) < distractors + 1:
        raise ConfigError(f"only {len(chosen) - 1} of {distractors} distractors can be told from '{chosen[0].name}'")
    return chosen


def choose_positions(rng: np.random.Generator, radii_m: Sequence[float], region: tuple[Array, Array]) -> list[Array]:
    """Places, (2,) each, between a region's corners, with SPACING_M between objects beyond their given extra radii.

    Raises: ConfigError if there is no room for so many.
    """
    for _ in range(PLACEMENT_ROUNDS):
        places: Any = []
        for _ in range(PLACEMENT_TRIES):
            radius = radii_m[len(places)]
            place: Array = rng.uniform(*region)
            gaps = (np.linalg.norm(place - p) - radius - r for p, r in zip(places, radii_m, strict=False))
            if all(gap > SPACING_M for gap in gaps):
                places.append(place)
            if len(places) == len(radii_m):
                return places
    raise ConfigError(f"no room on the table for {len(radii_m)} things of this size; ask for fewer distractors")


def _colour_distance(first: ObjectModel, second: ObjectModel) -> float:
    return float(np.linalg.norm(np.subtract(first.colour, second.colour)))
