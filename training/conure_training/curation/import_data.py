"""`conure data import`: recordings of an arm, or a data set of another project, as a data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import ConfigError, DataError, unknown_name
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.runtime.claim import claimed
from conure_training.curation.recordings import (
    FITS,
    ImageRule,
    RecordingReader,
    find_recordings,
    require_one_arm,
)
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.images import CODECS
from conure_training.data.writer import DataSetWriter, writing
from conure_training.formats.lerobot_reader import LeRobotReader
from conure_training.formats.robomimic_files import RobomimicReader
from conure_training.formats.steps import StepsReader, policy_camera
from conure_training.formats.video import View

AUTO = "auto"
LARGEST_PNG_PX = 128
RECORDINGS = "out/recordings"
SOURCES = ("recordings", "lerobot", "robomimic")
OF_RECORDINGS = ("trim_idle", "image_undistort")
"""Settings that need what recordings alone have."""
Read = Callable[[], tuple[Demonstrations | None, tuple[str, ...]]]
"""Gives episodes, None if there are none, and what to say of them."""


@dataclass(frozen=True)
class ImportConfig:
    """The settings of `conure data import`."""

    recordings: str
    """Folder of recordings, MCAP; empty: out/recordings, unless another source is given."""

    lerobot: str
    """Folder of a LeRobotDataset v3, in place of recordings."""

    robomimic: str
    """HDF5 file of robomimic's, in place of recordings."""

    camera: str
    """Of another project's data set, the camera that the policy sees; empty: `camera`, or the only
    one.
    """

    out: str
    """Folder of the data set."""

    robot: str
    """Name of the robot that was recorded, or path of its YAML file."""

    task: str
    """Task of recordings that do not name one."""

    image_size: int = field(metadata=bounds(16, 1024))
    """Side of the square images that the policy will see, px."""

    image_fit: str
    """How images become squares, as policy_node's: none, crop, pad, stretch."""

    image_crop_px: tuple[int, int, int, int]
    """Part of the image that is taken first: left, top, width, height; 0: the whole."""

    image_undistort: bool
    """Take the lens distortion out first, by the recorded camera_info."""

    trim_idle: bool
    """Leave out steps without motion at the beginning and at the end."""

    codec: str
    """How images are stored: png (exact), jpeg, or auto: png up to 128 px."""

    skip: bool
    """Leave out recordings that cannot be used, each with a line, instead of refusing all."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for name, given, known in (
            ("codec", self.codec, (AUTO, *CODECS)),
            ("image_fit", self.image_fit, FITS),
        ):
            if given not in known:
                raise unknown_name(name, given, known)
        self.rule.framing  # noqa: B018  (refuses what does not fit together)
        sources = [name for name in SOURCES if getattr(self, name)]
        if len(sources) > 1:
            raise ConfigError(f"{' and '.join(sources)} are given; give one of them")
        for name in OF_RECORDINGS:
            if self.is_foreign and getattr(self, name):
                raise ConfigError(f"{name}=true is for recordings, and {sources[0]}= is given")

    @property
    def rule(self) -> ImageRule:
        """What the policy will see of an image."""
        return ImageRule(self.image_fit, self.image_size, self.image_crop_px, self.image_undistort)

    @property
    def is_foreign(self) -> bool:
        """Whether another project's data set is imported."""
        return bool(self.lerobot or self.robomimic)

    @property
    def source(self) -> str:
        """What is imported."""
        return self.lerobot or self.robomimic or self.recordings or RECORDINGS

    @property
    def encoding(self) -> str:
        """The codec."""
        if self.codec != AUTO:
            return self.codec
        small = self.image_fit != "none" and self.image_size <= LARGEST_PNG_PX
        return "png" if small else "jpeg"


def run(overrides: list[str]) -> None:
    """Make a data set of recordings, or of another project's data set."""
    import_recordings(load_config("conure_training.conf", "data_import", ImportConfig, overrides))


def import_recordings(config: ImportConfig) -> Path:
    """Write the data set `config.out`, whole or not at all.

    Args:
        config: What to import, and how.

    Returns:
        Its folder.

    Raises:
        ConfigError: There are no recordings, or settings do not fit.
        DataError: A recording cannot be used; what lies at `out` is as before.
    """
    with claimed(config.out, "conure data import"):
        return _import(config)


def _import(config: ImportConfig) -> Path:
    out = Path(config.out)
    arm = Arm(load_robot(config.robot))
    sources = list(_sources(config, arm))
    with writing(out, {"import": asdict(config)}, config.encoding) as writer:
        for name, read in sources:
            _add(writer, name, read, config.skip)
        _require_some(writer, config)
        summary = f"{out}: {writer.episodes} episodes, {writer.steps} steps"
    print(f"{summary} of {len(sources)} {'episodes' if config.is_foreign else 'recordings'}")
    return out


def _sources(config: ImportConfig, arm: Arm) -> Iterator[tuple[str, Read]]:
    """What to import: name and reading of each."""
    if config.is_foreign:
        yield from _foreign(config, arm)
        return
    reader = RecordingReader(arm, config.rule, config.task, config.trim_idle)
    paths = find_recordings(Path(config.source))
    if not config.skip:
        require_one_arm(paths, arm)
    for path in paths:
        yield path.name, partial(reader.read, path)


def _foreign(config: ImportConfig, arm: Arm) -> Iterator[tuple[str, Read]]:
    """The episodes of another project's data set."""

    def view_of(camera: str, cameras: Sequence[str]) -> View:
        is_policys = camera == policy_camera(cameras, config.camera)
        return (config.rule if is_policys else config.rule.of_others).frame

    path = Path(config.source)
    frames: LeRobotReader | RobomimicReader
    if config.lerobot:
        frames = LeRobotReader(path, view_of)
    else:
        frames = RobomimicReader(path, view_of, arm.config.command_names)
    steps = StepsReader(arm, config.task, config.camera)

    def read(episode: int) -> tuple[Demonstrations, tuple[str, ...]]:
        return steps.read(frames.read(episode), frames.origin(episode))

    for episode in range(len(frames)):
        yield frames.origin(episode), partial(read, episode)


def _add(writer: DataSetWriter, name: str, read: Read, skip: bool) -> None:
    try:
        data, remarks = read()
        if data is not None:
            writer.add(data)
    except DataError as error:
        if not skip:
            raise
        remarks = (f"{name} is left out: {error}",)
    for remark in remarks:
        print(remark)


def _require_some(writer: DataSetWriter, config: ImportConfig) -> None:
    if not writer.episodes:
        raise ConfigError(f"{config.source} holds no episode that can be used; see the lines above")
