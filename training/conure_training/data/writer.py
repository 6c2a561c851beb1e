"""Writes data sets: images go to the disk part by part, numbers at the end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import replacing, write_json
from conure_training.data.demonstrations import (
    ARRAYS,
    CAMERA,
    FORMAT,
    IMAGE_FOLDER,
    INFOS,
    Demonstrations,
    final_name,
)
from conure_training.data.episode_info import infos_as_json
from conure_training.data.images import Images, ImageWriter, require_codec
from conure_training.data.joining import join_demonstrations

CHUNK_ROWS = 2048


@contextmanager
def writing(
    path: Path, attributes: Mapping[str, Any], codec: str = "png"
) -> Iterator["DataSetWriter"]:
    """Write a data set, whole or not at all.

    Args:
        path: Its folder. What lies there is replaced when the block ends well.
        attributes: Notes beside the episodes, as JSON holds them, such as {"config": ...}.
        codec: How images are encoded: png, exact, or jpeg.

    Yields:
        The writer, for its `add`.

    Raises:
        DataError: Nothing was added.
        OSError: The disk refuses; the old content is still there.

    >>> with writing(Path("out/both"), {}) as writer:
    ...     writer.add(load_demonstrations(Path("out/first")))
    ...     writer.add(load_demonstrations(Path("out/second")))
    """
    require_codec(codec)
    with replacing(path) as temporary:
        writer = DataSetWriter(temporary, codec)
        try:
            yield writer
            writer.finish(attributes)
        finally:
            writer.abandon()


def save_demonstrations(
    path: Path, data: Demonstrations, attributes: Mapping[str, Any], codec: str = "png"
) -> None:
    """Write a data set that is in memory, whole or not at all.

    Args:
        path: Its folder.
        data: The episodes.
        attributes: Notes beside them, as JSON holds them, such as {"config": ...}.
        codec: How images are encoded: png, exact, or jpeg.
    """
    with writing(path, attributes, codec) as writer:
        writer.add(data)


class DataSetWriter:
    """Collects episodes of one data set; see `writing`."""

    def __init__(self, folder: Path, codec: str) -> None:
        """Begin a data set.

        Args:
            folder: Its folder.
            codec: How images are encoded.
        """
        self._folder = folder
        self._codec = codec
        self._group = zarr.open_group(folder, mode="w")
        self._parts: list[Demonstrations] = []
        self._cameras: dict[str, tuple[ImageWriter, ImageWriter]] = {}
        self.steps = 0
        self.episodes = 0

    def add(self, part: Demonstrations) -> None:
        """Append episodes. Their images are on the disk when this returns.

        Args:
            part: Any number of episodes; tasks, states and labels may differ from those before.

        Raises:
            DataError: A camera's images have another size than those before.
            OSError: The disk refuses.
        """
        seen = {CAMERA: (part.image, part.final_image), **part.others}
        for name, (steps, final) in seen.items():
            writers = self._writers_of(name)
            writers[0].append(steps)
            writers[1].append(final)
        for name in self._cameras.keys() - seen.keys():
            self._cameras[name][0].append_absent(len(part))
            self._cameras[name][1].append_absent(len(part.ends))
        self.steps += len(part)
        self.episodes += len(part.ends)
        self._parts.append(_without_images(part))

    def _writers_of(self, camera: str) -> tuple[ImageWriter, ImageWriter]:
        """A camera's writers; a new one's lack the images of the episodes before."""
        if camera not in self._cameras:
            folder = self._folder / IMAGE_FOLDER
            steps = ImageWriter(folder, camera, self._codec)
            final = ImageWriter(folder, final_name(camera), self._codec)
            steps.append_absent(self.steps)
            final.append_absent(self.episodes)
            self._cameras[camera] = (steps, final)
        return self._cameras[camera]

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write the numbers, and what is known of the episodes.

        Args:
            attributes: See `writing`.
        """
        if not self._parts:
            raise DataError("a data set needs an episode, got none")
        cameras = {}
        for name, writers in self._cameras.items():
            for writer in writers:
                writer.close()
            cameras[name] = {"shape": list(writers[0].shape or ()), "codec": self._codec}
        data = join_demonstrations(self._parts, images=False)
        stored = []
        for name in ARRAYS:
            values = getattr(data, name)
            if values is None or 0 in values.shape[1:]:
                continue
            chunks = (min(len(values), CHUNK_ROWS), *values.shape[1:])
            self._group.create_array(name, data=values, chunks=chunks)
            stored.append(name)
        write_json(self._folder / INFOS, infos_as_json(data.episodes))
        notes: dict[str, Any] = {"tasks": list(data.tasks), "cameras": cameras, "arrays": stored}
        self._group.attrs.update({"format": FORMAT, **notes, **attributes})

    def abandon(self) -> None:
        """Stop writing."""
        for writers in self._cameras.values():
            for writer in writers:
                writer.abandon()


def _without_images(part: Demonstrations) -> Demonstrations:
    blank = np.zeros((len(part), 0, 0, 3), np.uint8)
    final: Images = np.zeros((len(part.ends), 0, 0, 3), np.uint8)
    return replace(part, image=blank, final_image=final, others={})
