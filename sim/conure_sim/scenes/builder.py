"""What a task furnishes an episode with: the world, the episode's random stream, and what was asked
for.
"""

from dataclasses import dataclass

import numpy as np

from conure_core.errors import unknown_name
from conure_core.types import Array
from conure_sim.objects.fixtures import Colour, ContainerModel, container_models
from conure_sim.objects.primitives import ObjectModel, block_set
from conure_sim.physics.world import World
from conure_sim.randomization.factors import RandomizationSample
from conure_sim.scenes.scene import Container, SceneObject, choose_objects


@dataclass(frozen=True)
class Stage:
    """The world after its reset, and the settings of the episode.

    `pool`: the objects to choose from; `split`: that of blocks, 'train' or 'test'; `containers`:
    that of containers; `target`: the name of the object that the reward shall be about, or None.
    """

    world: World
    rng: np.random.Generator
    sample: RandomizationSample
    pool: dict[str, ObjectModel]
    split: str
    containers: str
    distractors: int
    target: str | None

    @property
    def region(self) -> tuple[Array, Array]:
        """Corners (x, y), m, of the table's rectangle that the arm works on."""
        return self.world.simulation.region

    def part(self, lower: tuple[float, float], upper: tuple[float, float]) -> tuple[Array, Array]:
        """Corners of a part of the region, given in fractions of it: (0, 0) near and right, (1, 1)
        far and left.
        """
        corner, size = self.region[0], self.region[1] - self.region[0]
        return corner + size * np.array(lower), corner + size * np.array(upper)

    def at(self, place: Array) -> Array:
        """A point (3,) on the table."""
        return np.array([*place, self.world.robot.table_height_m])

    def tinted(self, colour: Colour) -> Colour:
        """A colour as the episode's randomization shows it."""
        red, green, blue = self.sample.tinted(colour, self.rng)
        return float(red), float(green), float(blue)

    def put(self, model: ObjectModel, place: Array) -> SceneObject:
        """An object on the table, turned at random."""
        yaw = self.rng.uniform(-np.pi, np.pi)
        body = self.world.add(
            model, self.at(place), yaw, self.sample.tinted(model.colour, self.rng)
        )
        return SceneObject(model, body)

    def blocks(self) -> dict[str, ObjectModel]:
        """The blocks of the episode's split, by name."""
        return block_set(self.split)

    def container_model(self, kind: str) -> ContainerModel:
        """A variant of a kind of container; where there is but one, nothing is drawn."""
        models = container_models(kind, self.containers)
        return models[0] if len(models) == 1 else models[self.rng.integers(len(models))]

    def container(self, model: ContainerModel, place: Array) -> Container:
        """A fixed container on the table."""
        return Container(
            self.world, model, self.world.add_boxes(model.boxes(), self.at(place), model.colour)
        )

    def require_target(self, *valid: str) -> None:
        """Refuse a target that this task cannot have. Raises: ConfigError listing those that it
        can.
        """
        if self.target is not None and self.target not in valid:
            raise unknown_name("target", self.target, valid)

    def bystanders(self) -> list[ObjectModel]:
        """As many objects as distractors were asked for, for a task that is about none of them."""
        return choose_objects(self.rng, self.pool, max(0, self.distractors - 1), None)[
            : self.distractors
        ]

    def small_objects(self, max_length_m: float, max_height_m: float) -> dict[str, ObjectModel]:
        """The objects of the pool that are no longer and no higher. Raises: ConfigError for another
        target.
        """
        small = {
            name: model
            for name, model in self.pool.items()
            if np.ptp(model.vertices[:, :2], axis=0).max() <= max_length_m
            and model.height_m <= max_height_m
        }
        if self.target is not None and self.target not in small:
            raise unknown_name("small object", self.target, small)
        return small
