"""Domain randomization: every factor has a range of its own and is drawn from the episode's seed.

Presets are the options of the Hydra group `randomization`, YAML files in conf/randomization; a
preset of your own is a YAML file too, or a mapping of factors to ranges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import yaml
from numpy.typing import NDArray

from conure_core.errors import ConfigError, unknown_name
from conure_sim.randomization.dynamics import Dynamics
from conure_sim.vision.camera import AnyCamera, Camera, MountedCamera
from conure_sim.vision.imaging import ImageChain
from conure_sim.vision.rendering import Appearance
from conure_sim.vision.textures import texture_files

Range = tuple[float, float]
PRESETS_DIR = Path(__file__).parent.parent / "conf" / "randomization"
JOINTS_AT_MOST = 8


@dataclass(frozen=True)
class RandomizationSample:
    """What one episode drew. Angles rad, times s, lengths m, colours in [0, 1]."""

    appearance: Appearance
    dynamics: Dynamics
    chain: ImageChain
    start_noise_rad: float
    tint: float
    command_delay_s: float
    frame_delay_s: float
    proprio_delay_s: float
    frame_drop_chance: float
    clutter: int
    camera_shift_m: tuple[float, float, float]
    camera_turn_rad: tuple[float, float, float]
    focal_scale: float

    def tinted(self, colour: Sequence[float], rng: np.random.Generator) -> list[float]:
        """An object's colour, each channel shifted by up to `tint`."""
        return list(np.clip(np.asarray(colour) + rng.uniform(-1, 1, 3) * self.tint, 0.0, 1.0))

    def degraded(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The image as the camera sends it."""
        return self.chain.apply(image, rng)

    @overload
    def displaced(self, camera: Camera) -> Camera: ...
    @overload
    def displaced(self, camera: MountedCamera) -> MountedCamera: ...
    def displaced(self, camera: AnyCamera) -> AnyCamera:
        """The camera where, and zoomed as, this episode has it."""
        if self.focal_scale == 1.0 and not any((*self.camera_shift_m, *self.camera_turn_rad)):
            return camera
        return camera.displaced(
            np.array(self.camera_shift_m), np.array(self.camera_turn_rad), self.focal_scale
        )

    def numbers(self) -> dict[str, float]:
        """Everything as one flat dict of numbers, `group.name` or `group.name.index`; what is
        absent is -1.
        """
        return dict(_flat("", self))


@dataclass(frozen=True)
class Randomization:
    """Ranges of the factors, uniform between their ends; (x, x) keeps a factor fixed.

    A single number is a chance, or the largest shift to either side. Scales multiply what the
    simulation has; joint offsets are added to what the encoders say; delays must stay below the
    control period; `clutter` counts objects.
    """

    start_noise_rad: float = 0.03
    command_delay_s: Range = (0.0, 0.0)
    table_shift: float = 0.0
    light_shift: float = 0.0
    ambient: Range = (0.55, 0.55)
    diffuse: Range = (0.5, 0.5)
    tint: float = 0.0
    image_noise: float = 0.0
    light_colour: Range = (1.0, 1.0)
    table_texture_chance: float = 0.0
    background_chance: float = 0.0
    background_texture_chance: float = 0.0
    clutter: Range = (0, 0)
    camera_shift_m: Range = (0.0, 0.0)
    camera_turn_rad: Range = (0.0, 0.0)
    focal_scale: Range = (1.0, 1.0)
    exposure: Range = (1.0, 1.0)
    blur_px: Range = (0.0, 0.0)
    jpeg_quality: Range = (100, 100)
    mass_scale: Range = (1.0, 1.0)
    friction_scale: Range = (1.0, 1.0)
    object_damping: Range = (0.04, 0.04)
    joint_damping: Range = (0.0, 0.0)
    gain_scale: Range = (1.0, 1.0)
    joint_offset_rad: Range = (0.0, 0.0)
    gripper_force_scale: Range = (1.0, 1.0)
    frame_delay_s: Range = (0.0, 0.0)
    proprio_delay_s: Range = (0.0, 0.0)
    frame_drop_chance: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_factor(field.name, getattr(self, field.name), isinstance(field.default, tuple))

    def sample(self, rng: np.random.Generator) -> RandomizationSample:
        """One draw. Factors that are fixed draw nothing, but for the first few, whose order stays
        what it was.
        """
        base, draw = Appearance(), _Draw(rng)
        table = np.clip(
            np.array(base.table_colour) + rng.uniform(-1, 1, 3) * self.table_shift, 0, 1
        )
        light = np.array(base.light_direction) + rng.uniform(-1, 1, 3) * self.light_shift
        light[2] = max(light[2], 0.3)
        ambient, diffuse = rng.uniform(*self.ambient), rng.uniform(*self.diffuse)
        delay_s = rng.uniform(*self.command_delay_s)
        appearance = replace(
            base,
            table_colour=_triple(table),
            light_direction=_triple(light),
            ambient=ambient,
            diffuse=diffuse,
            light_colour=draw.triple(self.light_colour),
            table_texture=draw.texture(self.table_texture_chance),
            background_colour=draw.triple((0.1, 0.9))
            if draw.chance(self.background_chance)
            else None,
            background_texture=draw.texture(self.background_texture_chance),
        )
        return RandomizationSample(
            appearance=appearance,
            dynamics=self._dynamics(draw),
            chain=ImageChain(
                draw.value(self.exposure),
                draw.value(self.blur_px),
                self.image_noise,
                draw.value(self.jpeg_quality),
            ),
            start_noise_rad=self.start_noise_rad,
            tint=self.tint,
            command_delay_s=delay_s,
            frame_delay_s=draw.value(self.frame_delay_s),
            proprio_delay_s=draw.value(self.proprio_delay_s),
            frame_drop_chance=draw.value(self.frame_drop_chance),
            clutter=round(draw.value(self.clutter)),
            camera_shift_m=draw.triple(self.camera_shift_m),
            camera_turn_rad=draw.triple(self.camera_turn_rad),
            focal_scale=draw.value(self.focal_scale),
        )

    def _dynamics(self, draw: "_Draw") -> Dynamics:
        offsets = [draw.value(self.joint_offset_rad) for _ in range(JOINTS_AT_MOST)]
        return Dynamics(
            mass_scale=draw.value(self.mass_scale),
            friction_scale=draw.value(self.friction_scale),
            object_damping=draw.value(self.object_damping),
            joint_damping=draw.value(self.joint_damping),
            gain_scale=draw.value(self.gain_scale),
            gripper_force_scale=draw.value(self.gripper_force_scale),
            joint_offset_rad=tuple(offsets) if any(offsets) else (),
        )


class _Draw:
    """Draws that take nothing from the stream when there is nothing to choose."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def value(self, ends: Range) -> float:
        return float(ends[0]) if ends[0] == ends[1] else float(self._rng.uniform(*ends))

    def triple(self, ends: Range) -> tuple[float, float, float]:
        return self.value(ends), self.value(ends), self.value(ends)

    def chance(self, chance: float) -> bool:
        return chance > 0.0 and bool(self._rng.random() < chance)

    def texture(self, chance: float) -> int | None:
        return int(self._rng.integers(len(texture_files()))) if self.chance(chance) else None


def find_randomization(choice: "str | Mapping[str, Any] | Randomization") -> Randomization:
    """A preset by name, by the path of a YAML file, or from a mapping of factors; `preset` names
    what it starts from.

    A mapping's `name` is what reports call it. A factor's range may be one number, which both ends
    are then.

    Raises: ConfigError listing the valid names of presets or factors, or for a range that is none.
    """
    if isinstance(choice, Randomization):
        return choice
    if isinstance(choice, str):
        return _load_preset(choice)
    given = dict(choice)
    given.pop("name", None)
    preset = given.pop("preset", None)
    start = Randomization() if preset is None else find_randomization(preset)
    factors = {field.name: isinstance(field.default, tuple) for field in fields(Randomization)}
    for name in given:
        if name not in factors:
            raise unknown_name("randomization factor", str(name), factors)
    return replace(
        start, **{name: _range(value) if factors[name] else value for name, value in given.items()}
    )


@cache
def _load_preset(name: str) -> Randomization:
    if name in preset_names():
        return find_randomization(_read(PRESETS_DIR / f"{name}.yaml"))
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise unknown_name("randomization preset", name, preset_names())
    return find_randomization(_read(path))


def factors_at_rest() -> dict[str, Any]:
    """Every factor by name, as a configuration has it before the group `randomization` fills it; so
    nothing is varied but the arm's start.
    """
    return {"name": "", **asdict(Randomization())}


def preset_names() -> list[str]:
    """The names of the presets that come with Conure."""
    return sorted(path.stem for path in PRESETS_DIR.glob("*.yaml"))


def _read(path: Path) -> dict[str, Any]:
    data = yaml.safe_load(path.read_text()) or {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected factors with their ranges, got {data!r}")
    return data


def _range(value: Any) -> Any:
    """A range from what YAML gives: two numbers, or one for both ends."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _check_factor(name: str, value: Any, ranged: bool) -> None:
    ends = value if isinstance(value, tuple) else (value,)
    numbers = all(isinstance(end, (int, float, np.number)) and np.isfinite(end) for end in ends)
    if len(ends) != (2 if ranged else 1) or not numbers or (ranged and ends[0] > ends[1]):
        expected = "a range [lower, upper]" if ranged else "one number"
        raise ConfigError(f"randomization factor {name}: expected {expected}, got {value!r}")
    signed = name in ("camera_shift_m", "camera_turn_rad", "joint_offset_rad")
    positive = name in (
        "focal_scale",
        "exposure",
        "mass_scale",
        "gain_scale",
        "gripper_force_scale",
        "jpeg_quality",
    )
    if (not signed and min(ends) < 0) or (positive and min(ends) <= 0):
        bound = "above zero" if positive else "at least 0"
        raise ConfigError(f"randomization factor {name}: must be {bound}, got {value!r}")
    if ("chance" in name and max(ends) > 1) or (name == "jpeg_quality" and max(ends) > 100):
        raise ConfigError(f"randomization factor {name}: {value!r} is above its largest value")


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, (int, float)):
        yield prefix, float(value)
    elif value is None:
        yield prefix, -1.0
    else:
        inner = enumerate(value) if isinstance(value, tuple) else vars(value).items()
        for key, part in inner:
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), part)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
