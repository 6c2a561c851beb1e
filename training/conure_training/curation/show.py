"""`conure data show`: a data set as one HTML page, which needs no network."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.runtime.atomic_files import write_text
from conure_core.runtime.claim import claimed
from conure_training.curation.likelihood import log_likelihoods
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.images import encode_image
from conure_training.prior.model import load_prior

TRACE_PX = (120, 32)
COLUMNS = (
    "episode",
    "task",
    "outcome",
    "source",
    "steps",
    "seconds",
    "likelihood",
    "origin",
    "film",
)
TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class ShowConfig:
    """The settings of `conure data show`."""

    data: str
    """Folder of the data set."""

    out: str
    """The page, an HTML file."""

    frames: int = field(metadata=bounds(2, 64))
    """Images of each episode's film strip."""

    height_px: int = field(metadata=bounds(16, 512))
    """Height of the film strips, px."""

    prior: str
    """File of a prior, for the log-likelihood of every action; empty: none."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Show a data set as one HTML page."""
    show(load_config("conure_training.conf", "data_show", ShowConfig, overrides))


def show(config: ShowConfig) -> Path:
    """Write the page.

    Args:
        config: What to show.

    Returns:
        The file.

    Raises:
        DataError: The data set or the prior cannot be read.
    """
    with claimed(config.out, "conure data show", "file") as out:
        data = load_demonstrations(Path(config.data))
        prior = load_prior(Path(config.prior)) if config.prior else None
        rows = []
        for episode in range(len(data.ends)):
            trace = None if prior is None else log_likelihoods(prior, data, episode)
            rows.append(_row(config, data, episode, trace))
        write_text(out, _page(config, data, rows))
    print(f"{config.out}: {len(data.ends)} episodes of {config.data}")
    return Path(config.out)


def film_strip(data: Demonstrations, episode: int, frames: int, height_px: int) -> bytes:
    """Images of an episode side by side, from the first to the last.

    Args:
        data: The data set.
        episode: Number of the episode.
        frames: How many.
        height_px: Height of the strip, px.

    Returns:
        A JPEG file.
    """
    steps = data.steps_of(episode)
    chosen = np.unique(np.linspace(steps.start, steps.stop - 1, frames).round().astype(int))
    images = data.image[chosen]
    height, width = images.shape[1:3]
    size = (max(1, round(width * height_px / height)), height_px)
    smaller = cv2.INTER_AREA if height_px < height else cv2.INTER_NEAREST
    resized = [cv2.resize(image, size, interpolation=smaller) for image in images]
    return encode_image(np.concatenate(resized, axis=1), "jpeg")


def _row(
    config: ShowConfig, data: Demonstrations, episode: int, trace: NDArray[np.float32] | None
) -> dict[str, Any]:
    steps = data.steps_of(episode)
    strip = film_strip(data, episode, config.frames, config.height_px)
    return {
        "episode": episode,
        "task": data.tasks[int(data.task[episode])],
        "info": data.episodes[episode],
        "steps": steps.stop - steps.start,
        "seconds": 0.0 if data.time_s is None else float(data.time_s[steps][-1]),
        "likelihood": "" if trace is None else f"{trace.mean():.2f}",
        "points": "" if trace is None else _points(trace),
        "film": base64.b64encode(strip).decode(),
    }


def _points(values: NDArray[np.float32]) -> str:
    """A line of the values over time, as the points of an SVG polyline."""
    width, height = TRACE_PX
    low, high = float(values.min()), float(values.max())
    across = np.linspace(0, width, len(values))
    down = height - (values - low) / max(high - low, 1e-6) * height
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))


def _page(config: ShowConfig, data: Demonstrations, rows: list[dict[str, Any]]) -> str:
    template = Environment(autoescape=True, undefined=StrictUndefined)
    width, height = TRACE_PX
    return template.from_string(TEMPLATE.read_text()).render(
        name=config.data,
        tasks=data.tasks,
        steps=len(data),
        columns=COLUMNS,
        rows=rows,
        width=width,
        height=height,
    )
