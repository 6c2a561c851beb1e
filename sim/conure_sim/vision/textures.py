"""Procedural textures for domain randomization: checkers, stripes, gradients and noise, grey, to be
tinted.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from conure_core.types import Array, Image
from conure_sim.cached_files import image_file

SIZE_PX = 128
VARIANTS = 4


@cache
def texture_files() -> tuple[Path, ...]:
    """The textures' PNG files, always in the same order."""
    rng = np.random.default_rng(5)
    files: list[Path] = []
    for _ in range(VARIANTS):
        for make in (_checker, _stripes, _gradient, _noise):
            mix = make(rng)
            files.append(image_file(_colour(mix, rng)))
    return tuple(files)


def _checker(rng: np.random.Generator) -> Array:
    cells = rng.integers(8, 24)
    x, y = _grid()
    columns = np.floor(x * cells)
    rows = np.floor(y * cells)
    return np.asarray((columns + rows) % 2)


def _stripes(rng: np.random.Generator) -> Array:
    angle = rng.uniform(0, np.pi)
    waves = rng.uniform(8, 30)
    x, y = _grid()
    along = x * np.cos(angle) + y * np.sin(angle)
    wave = np.sin(2 * np.pi * waves * along)
    return np.asarray(0.5 + 0.5 * wave)


def _gradient(rng: np.random.Generator) -> Array:
    angle = rng.uniform(0, 2 * np.pi)
    x, y = _grid()
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.asarray((along - along.min()) / np.ptp(along))


def _noise(rng: np.random.Generator) -> Array:
    """Smooth noise of two scales, as of wood chips or stone."""
    coarse = _smooth_noise(9, rng)
    fine = _smooth_noise(36, rng)
    return np.clip(0.6 * coarse + 0.4 * fine, 0, 1)


def _smooth_noise(cells: int, rng: np.random.Generator) -> Array:
    values = rng.uniform(0, 1, (cells, cells))
    size = (SIZE_PX, SIZE_PX)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_CUBIC))


def _colour(mix: Array, rng: np.random.Generator) -> Image:
    """Blend two random light colours, by shares (h, w), so that a tint still shows."""
    first, second = rng.uniform(0.45, 1.0, (2, 3))
    blend = first + mix[..., None] * (second - first)
    return (255 * blend).astype(np.uint8)


def _grid() -> tuple[Array, Array]:
    """Column and row of each pixel's centre, (SIZE_PX, SIZE_PX) each, in [0, 1]."""
    axis = (np.arange(SIZE_PX) + 0.5) / SIZE_PX
    x, y = np.meshgrid(axis, axis)
    return x, y
