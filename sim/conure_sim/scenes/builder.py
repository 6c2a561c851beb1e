"""Build the scene of an episode: the world, the episode's random stream and its settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conure_core.errors import unknown_name
from conure_core.types import Array
from conure_sim.objects.fixtures import ContainerModel, container_models
from conure_sim.objects.primitives import ObjectModel, block_set
from conure_sim.physics.world import World
from conure_sim.randomization.factors import RandomizationSample
from conure_sim.scenes.scene import Container, SceneObject, choose_objects


@dataclass(frozen=True)
class SceneBuilder:
    """Puts objects and containers on the table of one episode. Base frame, m."""

    world: World
    """After its reset: table and arm."""
    rng: np.random.Generator
    """The episode's random stream; everything is drawn from it."""
    sample: RandomizationSample
    """The episode's draw of the randomization."""
    pool: dict[str, ObjectModel]
    """Objects to choose from, by name."""
    split: str
    """The split of blocks, 'train' or 'test'."""
    containers: str
    """The split of containers and fixtures, 'train' or 'test'."""
    distractors: int
    """Number of objects beside the one that the task is about."""
    target: str | None
    """Name of the object that the reward is about; None: the task chooses."""

    @property
    def region(self) -> tuple[Array, Array]:
        """Lower and upper corner (x, y), m, of the rectangle of the table that the arm works on."""
        return self.world.simulation.region

    def subregion(
        self, lower: tuple[float, float], upper: tuple[float, float]
    ) -> tuple[Array, Array]:
        """A part of the region.

        Args:
            lower: Its lower corner in fractions of the region; (0, 0) is near and right.
            upper: Its upper corner; (1, 1) is far and left.

        Returns:
            Lower and upper corner, (2,) m each.
        """
        region_lower, region_upper = self.region
        size = region_upper - region_lower
        corner = region_lower + size * np.array(lower)
        opposite = region_lower + size * np.array(upper)
        return corner, opposite

    def on_table(self, place: Array) -> Array:
        """The point (3,) m of the table top at a place (2,) m."""
        return np.array([*place, self.world.robot.table_height_m])

    def place_object(self, model: ObjectModel, place: Array) -> SceneObject:
        """Put an object on the table, at a random yaw and in its colour, tinted.

        Args:
            model: The object.
            place: Where it stands, (2,) m.

        Returns:
            The object and its body.
        """
        yaw_rad = self.rng.uniform(-np.pi, np.pi)
        colour = self.sample.apply_tint(model.colour, self.rng)
        body = self.world.add(model, self.on_table(place), yaw_rad, colour)
        return SceneObject(model, body)

    def place_objects(
        self, models: Sequence[ObjectModel], places: Sequence[Array]
    ) -> list[SceneObject]:
        """Put objects on the table, one after the other.

        Args:
            models: The objects; the first one becomes the target of the scene.
            places: Where each stands, (2,) m.

        Returns:
            The objects and their bodies, in the same order.
        """
        return [self.place_object(*pair) for pair in zip(models, places, strict=True)]

    def blocks(self) -> dict[str, ObjectModel]:
        """The blocks of the episode's split, by name."""
        return block_set(self.split)

    def choose_container(self, kind: str) -> ContainerModel:
        """A random variant of a kind of container; a single variant is taken without a draw."""
        models = container_models(kind, self.containers)
        return models[0] if len(models) == 1 else models[self.rng.integers(len(models))]

    def place_container(self, model: ContainerModel, place: Array) -> Container:
        """Put a fixed container on the table.

        Args:
            model: The container.
            place: Its centre, (2,) m.

        Returns:
            The container and its body.
        """
        body = self.world.add_boxes(model.boxes(), self.on_table(place), model.colour)
        return Container(self.world, model, body)

    def require_target(self, *valid: str) -> None:
        """Raises: ConfigError if the target is not one of these, listing them."""
        if self.target is not None and self.target not in valid:
            raise unknown_name("target", self.target, valid)

    def choose_distractors(self) -> list[ObjectModel]:
        """`distractors` objects of different colours, for a task that is about none of them."""
        chosen = choose_objects(self.rng, self.pool, max(0, self.distractors - 1), None)
        return chosen[: self.distractors]

    def small_objects(self, max_length_m: float, max_height_m: float) -> dict[str, ObjectModel]:
        """The objects of the pool that fit into something.

        Args:
            max_length_m: The largest extent along x and along y, m.
            max_height_m: The largest height, m.

        Returns:
            The objects by name, in the pool's order.

        Raises:
            ConfigError: The target is not among them.
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
