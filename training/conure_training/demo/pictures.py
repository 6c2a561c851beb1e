"""`conure pictures`: the pictures of README and docs, and a record of what they show.

Nothing is chosen: scenes are of consecutive seeds, and what came of them is counted.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import conure_sim  # noqa: F401  (registers the environments)
from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, SEED, bounds, check_values
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import read_json, replacing, write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.provenance import git_commit
from conure_sim.envs.rollout import Driver, expert, random_actions
from conure_sim.envs.viewpoints import overview
from conure_sim.objects.sets import object_set
from conure_sim.randomization.factors import preset_names
from conure_sim.tasks import TASKS, find_task
from conure_sim.tools.gallery import arm_names
from conure_sim.tools.gallery_pictures import SMALLEST_IMAGE_PX, preset_samples
from conure_sim.tools.recording import record
from conure_sim.vision.camera import looking_at
from conure_training.demo.rollout_film import (
    ANOTHER,
    EYE_M,
    FINER,
    GAZE_M,
    INK,
    PAPER,
    TARGET,
    VIEW_RAD,
    font,
    rollout,
    write_film,
)
from conure_training.policies.policy import Policy
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.marked_blocks import read_block, write_block

FILM, RECORD, CAPTION = "rollouts.gif", "rollouts.json", "rollouts"
AGENTS = {"prior": Path("prior/prior.pt"), "policy": Path("rl/latent/policy.pt")}
EVALUATIONS = {"prior": Path("prior/rollouts.json"), "policy": Path("rl/rollouts.json")}
TITLES = {
    "random": "random actions",
    "prior": "the prior, z drawn from N(0, I)",
    "policy": "the policy, after RL in z",
}
BY = {"random": "random actions", "prior": "the prior", "policy": "the policy"}
TILE_PX, TILE_TEXT_PX, TILE_LABEL_PX, COLUMNS = 192, 13, 22, 5
SHOWN = ("task", "target", "seed", "scenes", "noise_scale")
QUALITY, MIDST = 85, 0.6
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class PicturesConfig:
    """What to show; see conf/pictures.yaml."""

    demo: str
    out: str
    readme: str
    task: str
    target: str
    seed: int = field(metadata=SEED)
    scenes: int = field(metadata=bounds(1, 20))
    sheets: bool
    size: int = field(metadata=COUNT)
    noise_scale: float = field(metadata=bounds(0.0, 3.0))

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        find_task(self.task)
        if self.target not in object_set("test"):
            names = ", ".join(object_set("test"))
            raise ConfigError(f"target must be a held-out object, got '{self.target}': {names}")
        if not 32 <= self.size <= 512:
            raise ConfigError(f"size must lie in 32 to 512 px, got {self.size}")


def run(overrides: list[str]) -> None:
    """Make the pictures of README and docs from a finished demo."""
    config = load_config("conure_training.conf", "pictures", PicturesConfig, overrides)
    for path in write_pictures(config):
        print(f"written: {path} ({path.stat().st_size / 1000:.0f} kB)")


def write_pictures(config: PicturesConfig) -> list[Path]:
    """Write pictures, record and caption; returns their paths.

    Without a policy, the film has no third panel.

    Raises: DataError if the demo has no prior yet, or `config.readme` lacks the caption's markers.
    """
    out = Path(config.out)
    with claimed(out, "conure pictures"):
        out.mkdir(parents=True, exist_ok=True)
        return _write_pictures(config, out)


def _write_pictures(config: PicturesConfig, out: Path) -> list[Path]:
    if config.readme:  # before minutes of work
        read_block(Path(config.readme), CAPTION)
    demo = Path(config.demo)
    agents = {name: load_policy(path) for name, path in trained(demo).items()}
    image_px = agents["prior"].contract.observation.image.shape[0]
    env: Any = gymnasium.make(
        f"conure/{config.task}-v0", objects="test", target=config.target, image_size=image_px
    ).unwrapped
    scales = {"prior": 1.0, "policy": config.noise_scale}
    drivers = {"random": random_actions(config.seed)}
    for name, agent in agents.items():
        drivers[name] = acting(agent, scales[name], config.seed)
    seeds = range(config.seed, config.seed + config.scenes)
    scenes = [
        {name: rollout(env, driver, seed, config.size) for name, driver in drivers.items()}
        for seed in seeds
    ]
    env.close()
    write_film(out / FILM, [{TITLES[name]: scene[name] for name in scene} for scene in scenes])
    shown = {
        **{name: getattr(config, name) for name in SHOWN},
        "outcomes": {name: [scene[name].outcome for scene in scenes] for name in drivers},
        "sha256": {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in trained(demo).items()
        },
        "evaluations": evaluations(demo),
        "commit": git_commit(),
    }
    write_json(out / RECORD, shown)
    written = [out / FILM, out / RECORD]
    if config.sheets:
        written += write_sheets(out)
    if config.readme:
        written.append(write_block(Path(config.readme), CAPTION, with_picture(shown)))
    return written


def trained(demo: Path) -> dict[str, Path]:
    """The prior and, once there is one, the policy of a demo: {name: file}.

    Raises: DataError if there is no prior yet.
    """
    found = {name: demo / path for name, path in AGENTS.items() if (demo / path).is_file()}
    if "prior" not in found:
        raise DataError(f"no prior at {demo / AGENTS['prior']}; run make demo, or give demo=FOLDER")
    return found


def evaluations(demo: Path) -> dict[str, dict[str, Any]]:
    """What the demo measured of prior and policy, where it has: rates with their intervals."""
    found = {}
    for name, path in EVALUATIONS.items():
        if (demo / path).is_file():
            result = read_json(demo / path, "run make demo again")
            found[name] = {key: result[key] for key in ("success", "any_lifted")}
    return found


def with_picture(shown: Mapping[str, Any]) -> str:
    """What README shows of the film: the picture and its caption."""
    who = [BY[name] for name in shown["outcomes"]]
    alt = f"Rollouts side by side: {', '.join(who)}"
    return f"![{alt}](docs/pictures/{FILM})\n\n{caption(shown)}"


def acting(agent: Policy, noise_scale: float, seed: int) -> Driver:
    """A policy as the driver of an environment, its noise drawn from the seed."""
    rng = np.random.default_rng(seed)

    def driver(env: Any) -> Any:
        agent.begin()
        return lambda observation: agent.act(
            observation, (noise_scale * rng.standard_normal(agent.noise_dim)).astype(np.float32)
        )

    return driver


def caption(shown: Mapping[str, Any]) -> str:
    """What the film shows, from its record: which scenes, and what came of each."""
    count, parts = shown["scenes"], []
    for name, outcomes in shown["outcomes"].items():
        others = outcomes.count(ANOTHER)
        also = f" (another object in {others})" if others else ""
        parts.append(f"{outcomes.count(TARGET)} of {count} by {BY[name]}{also}")
    return (
        f"*`{shown['task']}` of `{shown['target']}`, an object that training never showed (ringed"
        f" at first), at twice the arm's speed; orange is the tool's path. Scenes are the first"
        f" {count} from seed {shown['seed']}, not chosen. Lifted: {', '.join(parts)}."
        f"{_measured(shown['evaluations'])}*"
    )


def _measured(rates: Mapping[str, Any]) -> str:
    """The demo's own evaluations, in episodes that no film shows."""
    texts = []
    if "prior" in rates:
        texts.append(f"the prior lifts some object in {_rate(rates['prior']['any_lifted'])}")
    if "policy" in rates:
        texts.append(f"the policy lifts its target in {_rate(rates['policy']['success'])}")
    return f" In the demo's evaluations {', '.join(texts)}." if texts else ""


def _rate(rate: Mapping[str, Any]) -> str:
    low, high = (f"{100 * rate[end]:.0f}" for end in ("low", "high"))
    return f"{100 * rate['rate']:.1f} % [{low}, {high}] of {rate['trials']} episodes"


def write_sheets(out: Path) -> list[Path]:
    """Write the sheets of tasks, arms and presets of randomization; returns their paths."""
    return [
        _write_sheet(out / "tasks.jpg", {task: _at_work(task) for task in TASKS}),
        _write_sheet(out / "arms.jpg", {arm: _whole(arm) for arm in arm_names()}),
        _write_sheet(out / "randomization.jpg", dict(_draws())),
    ]


def _at_work(task: str) -> Pixels:
    """The expert in the midst of its episode."""
    env: Any = gymnasium.make(f"conure/{task}-v0", image_size=SMALLEST_IMAGE_PX).unwrapped
    actions = record(env, expert, 0, (), SMALLEST_IMAGE_PX).actions
    env.reset(seed=0)
    for action in actions[: round(MIDST * len(actions))]:
        env.step(action)
    camera = looking_at(EYE_M, GAZE_M, FINER * TILE_PX, FINER * TILE_PX, VIEW_RAD)
    image: Pixels = env.world.view(camera).image
    env.close()
    return image


def _whole(arm: str) -> Pixels:
    """The arm in its home pose, with the objects of one scene."""
    env: Any = gymnasium.make("conure/Lift-v0", arm=arm, image_size=SMALLEST_IMAGE_PX).unwrapped
    env.reset(seed=0)
    image: Pixels = env.world.view(overview(env.world, FINER * TILE_PX)).image
    env.close()
    return image


def _draws() -> Iterator[tuple[str, Pixels]]:
    """One scene under every preset that changes something, as the policy's camera sends it."""
    for preset in preset_names()[::-1]:
        if preset != "none":
            pictures = preset_samples(preset, "Lift", "wx250s", 0, COLUMNS, TILE_PX)
            for number, picture in enumerate(pictures, start=1):
                yield f"{preset}, draw {number}", picture.image


def _write_sheet(path: Path, tiles: Mapping[str, Pixels]) -> Path:
    """Images with their names below, five in a row."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    height = TILE_PX + TILE_LABEL_PX
    sheet = Image.new("RGB", (columns * (TILE_PX + 4) - 4, rows * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (name, image) in enumerate(tiles.items()):
        left, top = number % columns * (TILE_PX + 4), number // columns * height
        sheet.paste(Image.fromarray(image).resize((TILE_PX, TILE_PX)), (left, top))
        middle = top + TILE_PX + TILE_LABEL_PX // 2
        draw.text((left + 3, middle), name, INK, font(TILE_TEXT_PX), "lm")
    with replacing(path, suffix=".jpg") as temporary:
        sheet.save(temporary, format="JPEG", quality=QUALITY, optimize=True)
    return path
