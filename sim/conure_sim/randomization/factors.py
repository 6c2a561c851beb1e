"""Domain randomization: every factor has its own range and is drawn from the episode's seed.

Presets are the options of the Hydra group `randomization`, YAML files in conf/randomization. Your
own preset is a YAML file too, or a mapping of factors to ranges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import yaml

from conure_core.errors import ConfigError, unknown_name
from conure_core.types import Array, Image
from conure_sim.randomization.dynamics import SERVO_FACTORS, Dynamics
from conure_sim.vision.camera import AnyCamera, Camera, MountedCamera
from conure_sim.vision.imaging import ImageChain
from conure_sim.vision.rendering import Appearance
from conure_sim.vision.textures import texture_files

Range = tuple[float, float]
PRESETS_DIR = Path(__file__).parent.parent / "conf" / "randomization"
JOINTS_AT_MOST = 8
SIGNED = ("camera_shift_m", "camera_turn_rad", "joint_offset_rad")
POSITIVE = (
    "focal_scale",
    "exposure",
    "mass_scale",
    "gain_scale",
    "gripper_force_scale",
    "servo_stiffness_scale",
    "servo_limit_scale",
    "jpeg_quality",
)


@dataclass(frozen=True)
class RandomizationSample:
    """One draw of every factor, for one episode."""

    appearance: Appearance
    dynamics: Dynamics
    chain: ImageChain
    start_noise_rad: float
    """The largest offset of each joint's start angle."""
    tint: float
    """The largest shift of each channel of an object's colour, in [0, 1]."""
    command_delay_s: float
    frame_delay_s: float
    proprio_delay_s: float
    frame_drop_chance: float
    """Probability that a camera keeps its last frame."""
    clutter: int
    """Number of objects beside the working area."""
    camera_shift_m: tuple[float, float, float]
    """Shift of every camera in its own frame."""
    camera_turn_rad: tuple[float, float, float]
    """Rotation vector of every camera, in its own frame."""
    focal_scale: float

    def apply_tint(self, colour: Sequence[float], rng: np.random.Generator) -> list[float]:
        """Shift each channel of a colour by up to `tint`.

        Args:
            colour: Rgb in [0, 1].
            rng: Where the shifts are drawn from.

        Returns:
            Rgb in [0, 1].
        """
        shift = rng.uniform(-1, 1, 3) * self.tint
        return list(np.clip(np.asarray(colour) + shift, 0.0, 1.0))

    def degrade(self, image: Image, rng: np.random.Generator) -> Image:
        """Degrade a rendered image as the episode's camera does.

        Args:
            image: As rendered, (h, w, 3) uint8.
            rng: Where noise is drawn from; nothing is drawn without noise.

        Returns:
            The image as the camera sends it, (h, w, 3) uint8.
        """
        return self.chain.apply(image, rng)

    @overload
    def displace(self, camera: Camera) -> Camera: ...
    @overload
    def displace(self, camera: MountedCamera) -> MountedCamera: ...
    def displace(self, camera: AnyCamera) -> AnyCamera:
        """The camera as this episode moves, turns and zooms it."""
        if self.focal_scale == 1.0 and not any((*self.camera_shift_m, *self.camera_turn_rad)):
            return camera
        shift_m = np.array(self.camera_shift_m)
        turn_rad = np.array(self.camera_turn_rad)
        return camera.displace(shift_m, turn_rad, self.focal_scale)

    def numbers(self) -> dict[str, float]:
        """All values in one flat dict, `group.name` or `group.name.index`; -1 for None."""
        return dict(_flatten("", self))


@dataclass(frozen=True)
class Randomization:
    """Ranges of the factors, uniform between their ends; (x, x) keeps a factor fixed.

    A single number is a probability, or the largest shift to either side. Scales multiply what the
    simulation has.
    """

    start_noise_rad: float = 0.03
    """Largest offset of each joint's start angle."""
    command_delay_s: Range = (0.0, 0.0)
    """Until a command takes effect; below the control period."""
    table_shift: float = 0.0
    """Largest shift of each channel of the table's colour."""
    light_shift: float = 0.0
    """Largest shift of each component of the direction to the lamp."""
    ambient: Range = (0.55, 0.55)
    """Coefficient of ambient light."""
    diffuse: Range = (0.5, 0.5)
    """Coefficient of diffuse light."""
    tint: float = 0.0
    """Largest shift of each channel of an object's colour."""
    image_noise: float = 0.0
    """Standard deviation, grey levels of 255; the same in every episode."""
    light_colour: Range = (1.0, 1.0)
    """Each channel of the lamp's colour, in [0, 1]."""
    table_texture_chance: float = 0.0
    """Probability that the table has a texture."""
    background_chance: float = 0.0
    """Probability of a floor and a wall."""
    background_texture_chance: float = 0.0
    """Probability that they have a texture."""
    clutter: Range = (0, 0)
    """Number of objects beside the working area."""
    camera_shift_m: Range = (0.0, 0.0)
    """Shift of every camera along each of its axes."""
    camera_turn_rad: Range = (0.0, 0.0)
    """Turn of every camera about each of its axes."""
    focal_scale: Range = (1.0, 1.0)
    """Factor of the focal lengths."""
    exposure: Range = (1.0, 1.0)
    """Factor of the intensities."""
    blur_px: Range = (0.0, 0.0)
    """Standard deviation of a Gaussian blur."""
    jpeg_quality: Range = (100, 100)
    """Quality as libjpeg counts it; 100: uncompressed."""
    mass_scale: Range = (1.0, 1.0)
    """Factor of objects' masses."""
    friction_scale: Range = (1.0, 1.0)
    """Factor of objects' lateral friction."""
    object_damping: Range = (0.04, 0.04)
    """Damping of objects: share of speed lost in a second."""
    joint_damping: Range = (0.0, 0.0)
    """Damping of the arm's joints, N m s/rad."""
    gain_scale: Range = (1.0, 1.0)
    """Factor of the motors' position gains."""
    joint_offset_rad: Range = (0.0, 0.0)
    """Offset of each encoder from the true angle."""
    gripper_force_scale: Range = (1.0, 1.0)
    """Factor of the fingers' forces."""
    servo_stiffness_scale: Range = (1.0, 1.0)
    """Factor of each measured servo's stiffness; see ArmSimulation.servo, here and below."""
    servo_damping_scale: Range = (1.0, 1.0)
    """Factor of each measured servo's damping."""
    servo_friction_scale: Range = (1.0, 1.0)
    """Factor of each measured servo's Coulomb friction."""
    servo_limit_scale: Range = (1.0, 1.0)
    """Factor of each measured servo's largest torque."""
    servo_delay_scale: Range = (1.0, 1.0)
    """Factor of each measured servo's delay."""
    backlash_scale: Range = (1.0, 1.0)
    """Factor of the play of each measured servo's gear."""
    frame_delay_s: Range = (0.0, 0.0)
    """Age of a camera's frame; below the control period."""
    proprio_delay_s: Range = (0.0, 0.0)
    """Age of the joint angles; below the control period."""
    frame_drop_chance: Range = (0.0, 0.0)
    """Probability that a camera keeps its last frame."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_factor(field.name, getattr(self, field.name), isinstance(field.default, tuple))

    def sample(self, rng: np.random.Generator) -> RandomizationSample:
        """One draw. A fixed factor draws nothing, except the first few, whose order stays what it
        was.
        """
        draw = _Draw(rng)
        table_shift = rng.uniform(-1, 1, 3) * self.table_shift
        light_shift = rng.uniform(-1, 1, 3) * self.light_shift
        ambient = rng.uniform(*self.ambient)
        diffuse = rng.uniform(*self.diffuse)
        command_delay_s = rng.uniform(*self.command_delay_s)

        appearance = self._appearance(draw, table_shift, light_shift, ambient, diffuse)
        dynamics = self._dynamics(draw)
        chain = ImageChain(
            exposure=draw.value(self.exposure),
            blur_px=draw.value(self.blur_px),
            noise=self.image_noise,
            jpeg_quality=draw.value(self.jpeg_quality),
        )
        return RandomizationSample(
            appearance=appearance,
            dynamics=dynamics,
            chain=chain,
            start_noise_rad=self.start_noise_rad,
            tint=self.tint,
            command_delay_s=command_delay_s,
            frame_delay_s=draw.value(self.frame_delay_s),
            proprio_delay_s=draw.value(self.proprio_delay_s),
            frame_drop_chance=draw.value(self.frame_drop_chance),
            clutter=round(draw.value(self.clutter)),
            camera_shift_m=draw.triple(self.camera_shift_m),
            camera_turn_rad=draw.triple(self.camera_turn_rad),
            focal_scale=draw.value(self.focal_scale),
        )

    def _appearance(
        self, draw: "_Draw", table_shift: Array, light_shift: Array, ambient: float, diffuse: float
    ) -> Appearance:
        base = Appearance()
        table = np.clip(np.array(base.table_colour) + table_shift, 0, 1)
        light = np.array(base.light_direction) + light_shift
        light[2] = max(light[2], 0.3)

        light_colour = draw.triple(self.light_colour)
        table_texture = draw.texture(self.table_texture_chance)
        background = draw.triple((0.1, 0.9)) if draw.chance(self.background_chance) else None
        return replace(
            base,
            table_colour=_triple(table),
            light_direction=_triple(light),
            ambient=ambient,
            diffuse=diffuse,
            light_colour=light_colour,
            table_texture=table_texture,
            background_colour=background,
            background_texture=draw.texture(self.background_texture_chance),
        )

    def _dynamics(self, draw: "_Draw") -> Dynamics:
        offsets = [draw.value(self.joint_offset_rad) for _ in range(JOINTS_AT_MOST)]
        dynamics = Dynamics(
            mass_scale=draw.value(self.mass_scale),
            friction_scale=draw.value(self.friction_scale),
            object_damping=draw.value(self.object_damping),
            joint_damping=draw.value(self.joint_damping),
            gain_scale=draw.value(self.gain_scale),
            gripper_force_scale=draw.value(self.gripper_force_scale),
            joint_offset_rad=tuple(offsets) if any(offsets) else (),
        )
        return replace(dynamics, **self._servo_scales(draw))

    def _servo_scales(self, draw: "_Draw") -> dict[str, Any]:
        """The factors of servos that are not 1, each joint's own."""
        scales: dict[str, Any] = {}
        for factor in SERVO_FACTORS.values():
            ends = getattr(self, factor)
            if ends != (1.0, 1.0):
                scales[factor] = tuple(draw.value(ends) for _ in range(JOINTS_AT_MOST))
        return scales


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
        if not self.chance(chance):
            return None
        return int(self._rng.integers(len(texture_files())))


def find_randomization(choice: "str | Mapping[str, Any] | Randomization") -> Randomization:
    """A preset by name or by the path of a YAML file, or ranges from a mapping of factors.

    In a mapping, `preset` names what it starts from, `name` is for reports. A factor's range may be
    one number for both ends.

    Raises: ConfigError for an unknown preset or factor, listing the valid names, or for a range
    that is not valid.
    """
    if isinstance(choice, Randomization):
        return choice
    if isinstance(choice, str):
        return _load_preset(choice)

    given = dict(choice)
    given.pop("name", None)
    preset = given.pop("preset", None)
    start = Randomization() if preset is None else find_randomization(preset)

    is_ranged = {field.name: isinstance(field.default, tuple) for field in fields(Randomization)}
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name not in is_ranged:
            raise unknown_name("randomization factor", str(name), is_ranged)
        changes[name] = _range(value) if is_ranged[name] else value
    return replace(start, **changes)


@cache
def _load_preset(name: str) -> Randomization:
    if name in preset_names():
        return find_randomization(_read(PRESETS_DIR / f"{name}.yaml"))
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise unknown_name("randomization preset", name, preset_names())
    return find_randomization(_read(path))


def factors_at_rest() -> dict[str, Any]:
    """Defaults of every factor before a preset of the group `randomization` is applied: nothing is
    randomized but the start pose.
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
    """A range from a value in YAML: two numbers, or one for both ends."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _check_factor(
    name: str,
    value: Any,
    ranged: bool,
) -> None:
    ends = value if isinstance(value, tuple) else (value,)
    if not _is_range(ends) if ranged else not _is_number(ends):
        expected = "a range [lower, upper]" if ranged else "one number"
        raise ConfigError(f"randomization factor {name}: expected {expected}, got {value!r}")

    if name in POSITIVE and min(ends) <= 0:
        raise ConfigError(f"randomization factor {name}: must be above zero, got {value!r}")
    if name not in SIGNED and min(ends) < 0:
        raise ConfigError(f"randomization factor {name}: must be at least 0, got {value!r}")

    too_likely = "chance" in name and max(ends) > 1
    too_good = name == "jpeg_quality" and max(ends) > 100
    if too_likely or too_good:
        raise ConfigError(f"randomization factor {name}: {value!r} is above its largest value")


def _is_number(ends: tuple[Any, ...]) -> bool:
    """Whether this is one finite number."""
    numbers = [isinstance(end, (int, float, np.number)) and np.isfinite(end) for end in ends]
    return len(ends) == 1 and all(numbers)


def _is_range(ends: tuple[Any, ...]) -> bool:
    """Whether these are two finite numbers in order."""
    return len(ends) == 2 and all(_is_number((end,)) for end in ends) and ends[0] <= ends[1]


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, (int, float)):
        yield prefix, float(value)
    elif value is None:
        yield prefix, -1.0
    else:
        inner = enumerate(value) if isinstance(value, tuple) else vars(value).items()
        for key, part in inner:
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), part)


def _triple(values: Array) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
