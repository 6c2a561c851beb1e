"""`conure data export`: a data set in the formats of other projects."""

from dataclasses import dataclass, replace
from pathlib import Path

from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig, load_robot
from conure_core.runtime.claim import claimed
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.images import EncodedImages
from conure_training.formats.lerobot_writer import write_lerobot
from conure_training.formats.robomimic_files import write_robomimic

LEROBOT, ROBOMIMIC = "lerobot", "robomimic"
FORMATS = (LEROBOT, ROBOMIMIC)
ENDINGS = (".hdf5", ".h5")
CODECS = ("h264", "png")


@dataclass(frozen=True)
class ExportDataConfig:
    """The settings of `conure data export`."""

    data: str
    """Folder of the data set."""

    format: str
    """lerobot: a LeRobotDataset v3; robomimic: an HDF5 file."""

    out: str
    """Folder of the LeRobotDataset, or the HDF5 file."""

    robot: str
    """Name of the robot, or path of its YAML file; empty: the one that the data set names."""

    codec: str
    """Of lerobot's images: h264, video, or png, exact. robomimic's are always exact."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for name, given, known in (
            ("format", self.format, FORMATS),
            ("codec", self.codec, CODECS),
        ):
            if given not in known:
                raise unknown_name(name, given, known)


def run(overrides: list[str]) -> None:
    """Write a data set as a LeRobotDataset or as robomimic's HDF5."""
    export_data(load_config("conure_training.conf", "data_export", ExportDataConfig, overrides))


def export_data(config: ExportDataConfig) -> Path:
    """Write `config.out`, whole or not at all.

    Args:
        config: What to export, and how.

    Returns:
        The folder or file.

    Raises:
        ConfigError: A package is missing, or settings do not fit.
        DataError: The data set cannot be read, or is of another robot.
    """
    out = Path(config.out)
    is_file = config.format == ROBOMIMIC
    if is_file and out.suffix not in ENDINGS:
        out = out.with_name(f"{out.name}{ENDINGS[0]}")
    with claimed(out, "conure data export", "file" if is_file else "folder"):
        data = _with_whole_cameras(load_demonstrations(Path(config.data)))
        robot = _robot(data, config)
        if is_file:
            write_robomimic(out, data, robot)
        else:
            if len(set(data.state_sizes.tolist())) > 1:
                print("the privileged state is left out: episodes have states of different sizes")
            write_lerobot(out, data, robot, video=config.codec != "png")
    print(f"{out}: {len(data.ends)} episodes, {len(data)} steps")
    return out


def _robot(data: Demonstrations, config: ExportDataConfig) -> RobotConfig:
    names = sorted({info.robot for info in data.episodes if info.robot})
    if not config.robot and len(names) != 1:
        raise ConfigError(
            f"{config.data} names {', '.join(names) or 'no robot'}; give robot= the one that it is"
            " of"
        )
    return load_robot(config.robot or names[0])


def _with_whole_cameras(data: Demonstrations) -> Demonstrations:
    """Without the cameras of which an episode has no images: neither format has room for that."""
    kept = {}
    for name, images in data.others.items():
        encoded = [part for part in images if isinstance(part, EncodedImages)]
        if all(part.present.all() for part in encoded):
            kept[name] = images
        else:
            print(f"camera '{name}' is left out: some episodes have no images of it")
    return replace(data, others=kept)
