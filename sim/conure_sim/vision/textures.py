"""Procedural textures for domain randomization: checkers, stripes, gradients and noise, grey, to be
tinted.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_sim.cached_files import image_file

SIZE_PX = 128
VARIANTS = 4


@cache
def texture_files() -> tuple[Path, ...]:
    """The textures' PNG files, always in the same order."""
    rng = np.random.default_rng(5)
    makers = (_checker, _stripes, _gradient, _noise)
    return tuple(image_file(_coloured(make(rng), rng)) for _ in range(VARIANTS) for make in makers)


def _checker(rng: np.random.Generator) -> NDArray[np.float64]:
    cells, (x, y) = rng.integers(8, 24), _grid()
    return np.asarray((np.floor(x * cells) + np.floor(y * cells)) % 2)


def _stripes(rng: np.random.Generator) -> NDArray[np.float64]:
    angle, waves, (x, y) = rng.uniform(0, np.pi), rng.uniform(8, 30), _grid()
    return np.asarray(
        0.5 + 0.5 * np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))
    )


def _gradient(rng: np.random.Generator) -> NDArray[np.float64]:
    angle, (x, y) = rng.uniform(0, 2 * np.pi), _grid()
    slope = x * np.cos(angle) + y * np.sin(angle)
    return np.asarray((slope - slope.min()) / np.ptp(slope))


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of several scales, as of wood chips or stone."""
    layers = [
        cv2.resize(rng.uniform(0, 1, (n, n)), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
        for n in (9, 36)
    ]
    return np.clip(0.6 * layers[0] + 0.4 * layers[1], 0, 1)


def _coloured(mix: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Between two light colours, so that a tint still shows."""
    first, second = rng.uniform(0.45, 1.0, (2, 3))
    return (255 * (first + mix[..., None] * (second - first))).astype(np.uint8)


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axis = (np.arange(SIZE_PX) + 0.5) / SIZE_PX
    x, y = np.meshgrid(axis, axis)
    return x, y
