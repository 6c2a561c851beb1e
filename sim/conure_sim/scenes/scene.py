"""The scene of one episode: target, distractors, perhaps a container, and the true state."""

from collections.abc import Sequence
from dataclasses import dataclass

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
SLOT_STATE = 14
PRESENCE = 7
VELOCITY = 6
PLACEMENT_TRIES = 200
LAYOUT_TRIES = 500
USUAL_RADIUS_M = SPACING_M / 2


@dataclass(frozen=True)
class SceneObject:
    """An object on the table."""

    model: ObjectModel
    """Its shape."""
    body: int
    """Its id in the physics client."""


@dataclass(frozen=True)
class Container:
    """A container on the table, fixed or carried."""

    world: World
    """The world that holds it."""
    model: ContainerModel
    """Its shape."""
    body: int
    """Its id in the physics client."""

    @property
    def position(self) -> Array:
        """The centre of its floor's underside in the base frame, (3,) m."""
        position, _ = self.world.pose(self.body)
        return position

    def contains(self, point: Array) -> bool:
        """Whether a point of the base frame, (3,) m, lies inside."""
        return self.model.contains(self.world.in_body_frame(self.body, point))


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
        self.world = world
        self.objects = objects
        self.container = container
        self._bodies = [item.body for item in objects]

    @property
    def target_name(self) -> str:
        """The name of the object or fixture that the reward is about."""
        return self.target.model.name

    def fixture_state(self) -> Array:
        """The part of the state that a task's own fixtures add, (Task.fixture_state_size,); lengths
        m, base frame.
        """
        return np.zeros(0)

    def fixture_velocities(self) -> Array:
        """The part of the velocities that a task's own fixtures add,
        (Task.fixture_velocity_size,); m/s and rad/s, base frame.
        """
        return np.zeros(0)

    @property
    def target(self) -> SceneObject:
        """The object that the reward is about."""
        return self.objects[0]

    def get_state(self) -> list[int]:
        """The present order of the objects, as indices into the order at the reset; `aim_at`
        changes it.
        """
        return [self._bodies.index(item.body) for item in self.objects]

    def set_state(self, state: list[int]) -> None:
        """Restore the order of the objects that `get_state` gave."""
        self.objects.sort(key=lambda item: state.index(self._bodies.index(item.body)))

    def aim_at(self, index: int) -> None:
        """Make another object the target."""
        self.objects.insert(0, self.objects.pop(index))

    def position_of(self, item: SceneObject) -> Array:
        """The object's lowest point, (3,) m, base frame, while it stands upright."""
        position, _ = self.world.pose(item.body)
        return position

    def height_m(self, item: SceneObject) -> float:
        """The height of the object's base above the table."""
        return float(self.position_of(item)[2]) - self.world.robot.table_height_m

    def is_lifted(self, item: SceneObject) -> bool:
        """Whether the object is more than LIFTED_M above the table."""
        return self.height_m(item) > LIFTED_M

    def is_held(self, item: SceneObject) -> bool:
        """Whether every finger touches the object."""
        return all(self.world.touching(item.body, finger) for finger in self.world.fingers)

    def is_touched(self, item: SceneObject) -> bool:
        """Whether any finger touches the object."""
        return any(self.world.touching(item.body, finger) for finger in self.world.fingers)

    def is_contained(self, item: SceneObject) -> bool:
        """Whether the object lies inside the container."""
        return self.container is not None and self.container.contains(self.position_of(item))

    def is_resting(self, item: SceneObject) -> bool:
        """Whether the object moves more slowly than REST_SPEED_M_S."""
        velocity = self.world.velocity(item.body)[:3]
        return bool(np.linalg.norm(velocity) < REST_SPEED_M_S)

    def is_put_down(self, item: SceneObject) -> bool:
        """Whether the object is at rest and no finger touches it."""
        return not self.is_touched(item) and self.is_resting(item)

    def object_positions(self) -> Array:
        """The centre of each object, (MAX_OBJECTS, 3) m, base frame; NaN where absent."""
        positions = np.full((MAX_OBJECTS, 3), np.nan)
        for slot, item in enumerate(self.objects):
            positions[slot] = self.position_of(item) + [0, 0, item.model.height_m / 2]
        return positions

    def state(self) -> NDArray[np.float32]:
        """The privileged state, (STATE_SIZE,) float32; see the class."""
        joints = self.world.joint_state()
        proprio = proprioception(self.world.arm, joints.joint_rad, joints.gripper_m)
        tool = proprio[:3]

        slots = np.zeros((MAX_OBJECTS, SLOT_STATE))
        for slot, item in zip(slots, self.objects, strict=False):
            position, orientation = self.world.pose(item.body)
            offset = position - tool
            slot[:3] = position
            slot[3:7] = orientation
            slot[PRESENCE] = 1.0
            slot[8:11] = offset
            slot[11:] = np.tanh(offset / NEAR_M)

        container = np.zeros(4)
        if self.container is not None:
            container = np.append(self.container.position, 1.0)
        fixtures = self.fixture_state()
        return np.concatenate([proprio, slots.ravel(), fixtures, container], dtype=np.float32)

    def velocities(self) -> NDArray[np.float32]:
        """Speeds, float32: of joints and fingers (rad/s, m/s); for each of `MAX_OBJECTS` slots the
        linear and angular velocity, absent ones zero; what a task adds (`fixture_velocities`).
        """
        joints = self.world.driven_speeds()
        slots = np.zeros((MAX_OBJECTS, VELOCITY))
        for slot, item in enumerate(self.objects):
            slots[slot] = self.world.velocity(item.body)
        fixtures = self.fixture_velocities()
        return np.concatenate([joints, slots.ravel(), fixtures], dtype=np.float32)


def another_target(
    states: NDArray[np.float32], proprio_size: int, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """Relabel an episode's states for another target.

    Args:
        states: What `Scene.state()` gave at each step, (n, STATE_SIZE).
        proprio_size: Length of the robot's proprioception.
        rng: Where the new target is drawn from, evenly among the other objects.

    Returns:
        A copy of the states with the slots of the two objects exchanged; None without another
        object.
    """
    slots = slice(proprio_size, proprio_size + SLOT_STATE * MAX_OBJECTS)
    objects = states[:, slots].reshape(len(states), MAX_OBJECTS, SLOT_STATE)
    others = np.flatnonzero(objects[0, 1:, PRESENCE] > 0.5) + 1
    if not len(others):
        return None

    order = np.arange(MAX_OBJECTS)
    chosen = rng.choice(others)
    order[[0, chosen]] = order[[chosen, 0]]
    relabelled = states.copy()
    relabelled[:, slots] = objects[:, order].reshape(len(states), -1)
    return relabelled


def choose_objects(
    rng: np.random.Generator, pool: dict[str, ObjectModel], distractors: int, target: str | None
) -> list[ObjectModel]:
    """Choose a target, and distractors that differ in colour from it and from each other.

    Args:
        rng: Where the choice is drawn from.
        pool: Objects to choose from, by name.
        distractors: How many, 0 to MAX_OBJECTS - 1.
        target: Name of the target, in the pool or built in; None: a random one of the pool.

    Returns:
        The target, then the distractors.

    Raises:
        ConfigError: The target is unknown, or the pool has too few distinct colours.
    """
    if not 0 <= distractors < MAX_OBJECTS:
        raise ConfigError(f"distractors must be 0 to {MAX_OBJECTS - 1}, got {distractors}")
    names = sorted(pool)
    if target:
        chosen = [find_object(target, pool)]
    else:
        chosen = [pool[names[rng.integers(len(names))]]]

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
    """The radius of an object beyond USUAL_RADIUS_M, which SPACING_M allows for; else 0."""
    return max(0.0, model.radius_m - USUAL_RADIUS_M)


def choose_positions(
    rng: np.random.Generator,
    radii_m: Sequence[float],
    region: tuple[Array, Array],
    spacing_m: float = SPACING_M,
    taken: Sequence[tuple[Array, float]] = (),
) -> list[Array]:
    """Choose places that keep a distance from each other.

    Args:
        rng: Where the places are drawn from.
        radii_m: For each place, how much further than usual its object reaches, m.
        region: Lower and upper corner, (2,) m each.
        spacing_m: Distance between two places, beyond the sum of their radii.
        taken: Places (2,), m, that are occupied already, and their radii, m.

    Returns:
        The places, (2,) m each, in the order of the radii.

    Raises:
        ConfigError: There is no room.
    """
    for _ in range(LAYOUT_TRIES):
        places = _try_positions(rng, radii_m, region, spacing_m, taken)
        if places is not None:
            return places
    raise ConfigError(
        f"no room for {len(radii_m)} things {spacing_m} m apart between {region[0]} and"
        f" {region[1]} m"
    )


def _try_positions(
    rng: np.random.Generator,
    radii_m: Sequence[float],
    region: tuple[Array, Array],
    spacing_m: float,
    taken: Sequence[tuple[Array, float]],
) -> list[Array] | None:
    """One layout; None if PLACEMENT_TRIES draws do not suffice."""
    places: list[Array] = []
    for _ in range(PLACEMENT_TRIES):
        radius_m = radii_m[len(places)]
        place: Array = rng.uniform(*region)
        others = [*zip(places, radii_m, strict=False), *taken]
        gaps_m = [np.linalg.norm(place - other) - radius_m - r_m for other, r_m in others]
        if all(gap_m > spacing_m for gap_m in gaps_m):
            places.append(place)
        if len(places) == len(radii_m):
            return places
    return None


def _colour_distance(first: ObjectModel, second: ObjectModel) -> float:
    return float(np.linalg.norm(np.subtract(first.colour, second.colour)))
