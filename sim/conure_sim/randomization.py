"""Domain randomization: named presets; every factor has a range of its own and is drawn from the episode's seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import unknown_name
from conure_sim.world import Appearance

Range = tuple[float, float]


@dataclass(frozen=True)
class RandomizationSample:
    """What one episode drew. Angles rad, times s, colours in [0, 1], image noise in grey levels of 255."""

    appearance: Appearance
    start_noise_rad: float
    command_delay_s: float
    tint: float
    image_noise: float

    def tinted(self, colour: Sequence[float], rng: np.random.Generator) -> list[float]:
        """An object's colour, each channel shifted by up to `tint`."""
        return list(np.clip(np.asarray(colour) + rng.uniform(-1, 1, 3) * self.tint, 0.0, 1.0))

    def degraded(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The image with the sensor's noise."""
        if self.image_noise == 0.0:
            return image
        noise = rng.normal(0.0, self.image_noise, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Randomization:
    """Ranges of a preset, uniform between their ends; (x, x) keeps a factor fixed."""

    start_noise_rad: float = 0.03
    command_delay_s: Range = (0.0, 0.0)
    table_shift: float = 0.0
    light_shift: float = 0.0
    ambient: Range = (0.55, 0.55)
    diffuse: Range = (0.5, 0.5)
    tint: float = 0.0
    image_noise: float = 0.0

    def sample(self, rng: np.random.Generator) -> RandomizationSample:
        """One draw."""
        base = Appearance()
        appearance = Appearance(
            table_colour=_triple(np.clip(np.array(base.table_colour) + rng.uniform(-1, 1, 3) * self.table_shift, 0, 1)),
            light_direction=_triple(np.array(base.light_direction) + rng.uniform(-1, 1, 3) * self.light_shift),
            ambient=rng.uniform(*self.ambient),
            diffuse=rng.uniform(*self.diffuse),
        )
        delay_s = rng.uniform(*self.command_delay_s)
        return RandomizationSample(appearance, self.start_noise_rad, delay_s, self.tint, self.image_noise)


PRESETS = {
    "none": Randomization(),
    "light": Randomization(
        start_noise_rad=0.05,
        command_delay_s=(0.0, 0.04),
        table_shift=0.08,
        light_shift=0.3,
        ambient=(0.5, 0.6),
        diffuse=(0.4, 0.6),
        tint=0.05,
        image_noise=3.0,
    ),
}


def find_randomization(name: str) -> Randomization:
    """The preset of this name. Raises: ConfigError listing the valid names."""
    if name not in PRESETS:
        raise unknown_name("randomization preset", name, PRESETS)
    return PRESETS[name]


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
