"""`conure gallery`: every task, arm, randomization preset, object and fixture on one page without
external files.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from rich.progress import track

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, SEED, bounds, check_values
from conure_core.errors import ConfigError
from conure_core.robot.description import load_robot
from conure_core.runtime.atomic_files import write_text
from conure_core.runtime.claim import claimed
from conure_sim.envs.tabletop import IMAGE_SIZE_RANGE_PX
from conure_sim.physics.arm_simulation import ARMS_DIR
from conure_sim.randomization.factors import find_randomization, preset_names
from conure_sim.tasks import TASKS, find_task
from conure_sim.tools.gallery_pictures import (
    Episode,
    Picture,
    expert_episode,
    fixture_groups,
    fixture_pictures,
    object_groups,
    object_pictures,
    preset_samples,
)
from conure_sim.tools.pictures import encode_image

PAGE = "index.html"


@dataclass(frozen=True)
class GalleryConfig:
    """Configuration of `conure gallery`; see conf/gallery.yaml."""

    out: str
    """Folder of the page."""
    tasks: list[str]
    """Empty: every task."""
    arms: list[str]
    """Empty: every arm."""
    presets: list[str]
    """Empty: every randomization preset."""
    seed: int = field(metadata=SEED)
    """Seed of every episode."""
    size: int = field(metadata=COUNT)
    """Width and height of an episode's pictures, px."""
    samples: int = field(metadata=bounds(1, 1000))
    """Draws of each preset."""
    thumbnail_size: int = field(metadata=COUNT)
    """Width and height of the pictures of objects and fixtures, px."""
    objects: bool
    """Whether to show objects and fixtures."""

    def __post_init__(self) -> None:
        for task in self.tasks:
            find_task(task)
        for arm in self.arms:
            load_robot(arm)
        for preset in self.presets:
            find_randomization(preset)
        for name in ("size", "thumbnail_size"):
            if not IMAGE_SIZE_RANGE_PX[0] <= getattr(self, name) <= IMAGE_SIZE_RANGE_PX[1]:
                raise ConfigError(
                    f"{name} must lie in {IMAGE_SIZE_RANGE_PX} px, got {getattr(self, name)}"
                )
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Show every task, arm, preset, object and fixture on one page."""
    config = load_config("conure_sim.conf", "gallery", GalleryConfig, overrides)
    print(f"written: {write_gallery(config)}")


def write_gallery(config: GalleryConfig) -> Path:
    """Write `config.out`/index.html, whole or not at all; returns its path."""
    with claimed(config.out, "conure gallery"):
        return _write_gallery(config)


def _write_gallery(config: GalleryConfig) -> Path:
    page = _render(config)
    path = Path(config.out) / PAGE
    write_text(path, page)
    return path


def arm_names() -> list[str]:
    """The arms that come with Conure, the reference arm first."""
    return sorted((path.stem for path in ARMS_DIR.glob("*.yaml")), reverse=True)


def _render(config: GalleryConfig) -> str:
    tasks = config.tasks or list(TASKS)
    arms = config.arms or arm_names()
    presets = config.presets or preset_names()[::-1]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    source = (files("conure_sim") / "gallery.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        episodes=_episodes(config, tasks, arms),
        purposes={task: _purpose(task) for task in tasks},
        presets=_presets(config, presets, tasks[0], arms[0]),
        scene=f"{tasks[0]}, {arms[0]}, seed {config.seed}",
        objects=_objects(config),
        fixtures=_fixtures(config),
    )


def _episodes(
    config: GalleryConfig, tasks: Sequence[str], arms: Sequence[str]
) -> dict[str, list[Episode]]:
    episodes: dict[str, list[Episode]] = {task: [] for task in tasks}
    pairs = [(task, arm) for task in tasks for arm in arms]
    for task, arm in track(pairs, "episodes", transient=True):
        episodes[task].append(expert_episode(task, arm, config.seed, config.size))
    return episodes


def _presets(
    config: GalleryConfig, presets: Sequence[str], task: str, arm: str
) -> dict[str, list[Picture]]:
    pictures: dict[str, list[Picture]] = {}
    for preset in track(presets, "presets", transient=True):
        pictures[preset] = preset_samples(
            preset, task, arm, config.seed, config.samples, config.size
        )
    return pictures


def _objects(config: GalleryConfig) -> dict[str, list[Picture]]:
    pictures: dict[str, list[Picture]] = {}
    if config.objects:
        for name, models in object_groups().items():
            pictures[name] = object_pictures(list(models.values()), config.thumbnail_size)
    return pictures


def _fixtures(config: GalleryConfig) -> dict[str, list[Picture]]:
    pictures: dict[str, list[Picture]] = {}
    if config.objects:
        for name, fixtures in fixture_groups().items():
            pictures[name] = fixture_pictures(fixtures, config.thumbnail_size)
    return pictures


def _purpose(task: str) -> str:
    """The first paragraph of the task's docstring."""
    text = type(find_task(task)).__doc__ or ""
    return text.strip().split("\n\n")[0]


def _data_uri(picture: Picture) -> str:
    data = base64.b64encode(encode_image(picture.image, ".webp"))
    return "data:image/webp;base64," + data.decode()
