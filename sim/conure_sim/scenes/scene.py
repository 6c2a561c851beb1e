"""What stands on the table in one episode: the target, its distractors, perhaps a container, and
their true state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError
from conure_core.robot.proprioception import proprioception
from conure_core.types import Array
from conure_sim.objects.fixtures import ContainerModel
from conure_sim.objects.primitives import ObjectModel
from conure_sim.objects.sets import find_object
from conure_sim.physics.world import World

MAX_OBJECTS = 4
SPACING_M = 0.075
COLOUR_DISTANCE = 0.35
LIFTED_M = 0.05
NEAR_M = 0.02
REST_SPEED_M_S = 0.1
SLOT_STATE, PRESENCE = 14, 7
PLACEMENT_TRIES, LAYOUT_TRIES = 200, 500
USUAL_RADIUS_M = SPACING_M / 2


@dataclass(frozen=True)
class SceneObject:
    """An object and its body in the physics client."""

    model: ObjectModel
    body: int


@dataclass(frozen=True)
class Container:
    """A container, fixed or carried: its model and its body."""

    world: World
    model: ContainerModel
    body: int

    @property
    def position(self) -> Array:
        """The middle of its floor's underside, (3,) m."""
        return self.world.pose(self.body)[0]

    def local(self, point: Array) -> Array:
        """A point (3,) of the base frame in the container's frame."""
        return self.world.local(self.body, point)

    def holds(self, point: Array) -> bool:
        """Whether a point, (3,) m, base frame, lies inside."""
        return self.model.holds(self.local(point))


class Scene:
    """Objects on the table; the first one is the target.

    `state()` is the privileged observation, for critics and labels only: proprioception; for each
    of `MAX_OBJECTS` slots (the target's first, absent ones zero) position (m), quaternion (xyzw),
    presence, position relative to the tool (m), and that again as tanh(m / NEAR_M), which tells
    millimetres apart near the tool; what a task adds (`fixture_state`); the container's position
    and presence.
    """

    def __init__(
        self, world: World, objects: list[SceneObject], container: Container | None = None
    ) -> None:
        self.world, self.objects, self.container = world, objects, container
        self._bodies = [item.body for item in objects]

    @property
    def target_name(self) -> str:
        """What the reward is about: an object, or a fixture."""
        return self.target.model.name

    def fixture_state(self) -> Array:
        """What a task's own fixtures add to the state, (Task.fixture_state_size,); lengths m, base
        frame.
        """
        return np.zeros(0)

    @property
    def target(self) -> SceneObject:
        """The object that the reward is about."""
        return self.objects[0]

    def get_state(self) -> list[int]:
        """The present order of the objects, as indices into the order at the reset; `aim_at` may
        have changed it.
        """
        return [self._bodies.index(item.body) for item in self.objects]

    def set_state(self, state: list[int]) -> None:
        """Put the objects in the order that `get_state` gave."""
        self.objects.sort(key=lambda item: state.index(self._bodies.index(item.body)))

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
        return self.container is not None and self.container.holds(self.world.pose(item.body)[0])

    def resting(self, item: SceneObject) -> bool:
        """Whether the object is (nearly) at rest."""
        velocity, _ = self.world.client.getBaseVelocity(item.body)
        return bool(np.linalg.norm(velocity) < REST_SPEED_M_S)

    def put_down(self, item: SceneObject) -> bool:
        """Whether the object is at rest and no finger touches it."""
        return not self.touched(item) and self.resting(item)

    def object_positions(self) -> Array:
        """Middle of each object, (MAX_OBJECTS, 3) m, absent ones NaN."""
        positions = np.full((MAX_OBJECTS, 3), np.nan)
        for slot, item in enumerate(self.objects):
            positions[slot] = self.world.pose(item.body)[0] + [0, 0, item.model.height_m / 2]
        return positions

    def state(self) -> NDArray[np.float32]:
        """The privileged state, (STATE_SIZE,) float32; see the class."""
        joints = self.world.joint_state()
        proprio = proprioception(self.world.arm, joints.joint_rad, joints.gripper_m)
        slots = np.zeros((MAX_OBJECTS, SLOT_STATE))
        for slot, item in zip(slots, self.objects, strict=False):
            position, orientation = self.world.pose(item.body)
            offset = position - proprio[:3]
            slot[:3], slot[3:7], slot[PRESENCE] = position, orientation, 1.0
            slot[8:11], slot[11:] = offset, np.tanh(offset / NEAR_M)
        container = (
            np.zeros(4) if self.container is None else np.append(self.container.position, 1.0)
        )
        return np.concatenate(
            [proprio, slots.ravel(), self.fixture_state(), container], dtype=np.float32
        )


def state_size(proprio_size: int, fixture_state_size: int = 0) -> int:
    """Length of `Scene.state()`."""
    return proprio_size + SLOT_STATE * MAX_OBJECTS + fixture_state_size + 4


def another_target(
    states: NDArray[np.float32], proprio_size: int, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """An episode's states (n, STATE_SIZE) as if another of its objects were the target; None if
    there is no other.
    """
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
    """A target (this one, or a random one of the pool) and distractors that differ from it and each
    other in colour.

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
        raise ConfigError(
            f"only {len(chosen) - 1} of {distractors} distractors can be told from"
            f" '{chosen[0].name}'"
        )
    return chosen


def extra_radius_m(model: ObjectModel) -> float:
    """By how much an object reaches further than those that SPACING_M is made for."""
    return max(0.0, model.radius_m - USUAL_RADIUS_M)


def choose_positions(
    rng: np.random.Generator,
    radii_m: Sequence[float],
    region: tuple[Array, Array],
    spacing_m: float = SPACING_M,
    taken: Sequence[tuple[Array, float]] = (),
) -> list[Array]:
    """Places in a region, (2,) each, `spacing_m` apart beyond their extra radii, and as far from
    what is `taken`.

    `taken`: (place (2,), radius) of what stands there already. Raises: ConfigError if there is no
    room.
    """
    for _ in range(LAYOUT_TRIES):
        places: Any = []
        for _ in range(PLACEMENT_TRIES):
            radius = radii_m[len(places)]
            place: Array = rng.uniform(*region)
            others = [*zip(places, radii_m, strict=False), *taken]
            if all(np.linalg.norm(place - p) - radius - r > spacing_m for p, r in others):
                places.append(place)
            if len(places) == len(radii_m):
                return places
    raise ConfigError(
        f"no room for {len(radii_m)} things {spacing_m} m apart between {region[0]} and"
        f" {region[1]} m"
    )


def _colour_distance(first: ObjectModel, second: ObjectModel) -> float:
    return float(np.linalg.norm(np.subtract(first.colour, second.colour)))
