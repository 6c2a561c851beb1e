"""Images of a data set: encoded on disk one by one, decoded when they are asked for.

A camera's images lie end to end in `NAME.bin`; `NAME.npy` says where each begins.
"""

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError, unknown_name
from conure_core.runtime.atomic_files import damaged

JPEG_QUALITY = 85
CODECS: dict[str, tuple[str, list[int]]] = {
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
    "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]),
}
"""By name: what OpenCV calls them, and its settings. PNG is exact; JPEG takes a fifth."""
DECODED_BYTES = 1 << 30
"""Decoded images that a process keeps, at most. A camera's images are kept all, or none of them."""
AGAIN = "make the data set again"
_kept_bytes: dict[int, int] = {}
"""What each file's decoded images take."""

Shape = tuple[int, ...]


def encode_image(pixels: NDArray[np.uint8], codec: str) -> bytes:
    """Compress an image.

    Args:
        pixels: RGB, shape (h, w, 3).
        codec: One of CODECS.

    Returns:
        The content of a file of this format.
    """
    ending, settings = CODECS[codec]
    _, content = cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    return content.tobytes()


def require_codec(codec: str) -> None:
    """Refuse a codec that is not known. Raises: ConfigError listing those there are."""
    if codec not in CODECS:
        raise unknown_name("codec", codec, CODECS)


class ImageWriter:
    """Appends the images of one camera to its file.

    They have one size, the first one's. Absent ones take no byte. Encoded ones are copied.
    """

    def __init__(self, folder: Path, name: str, codec: str) -> None:
        """Begin the file.

        Args:
            folder: Where it goes.
            name: Name of the camera.
            codec: One of CODECS.

        Raises:
            OSError: The disk refuses.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._codec = codec
        self.shape: Shape | None = None
        self._name = name
        self._index = folder / f"{name}.npy"
        self._file = (folder / f"{name}.bin").open("wb")
        self._ends = [0]

    def append(self, images: "Images") -> None:
        """Append images. Those of a data set are copied as they are encoded.

        Args:
            images: Shape (n, h, w, 3).

        Raises:
            DataError: They have another size than those before.
            OSError: The disk refuses.
        """
        self._require_shape(tuple(images.shape[1:]))
        if isinstance(images, EncodedImages):
            contents: Iterable[bytes] = images.contents()
        else:
            contents = (encode_image(image, self._codec) for image in images)
        for content in contents:
            self._append(content)

    def append_absent(self, count: int) -> None:
        """Append steps of which there is no image."""
        for _ in range(count):
            self._append(b"")

    def close(self) -> None:
        """Write where each image lies. Raises: OSError."""
        self._file.close()
        np.save(self._index, np.array(self._ends, dtype=np.int64))

    def abandon(self) -> None:
        """Stop writing."""
        self._file.close()

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))

    def _require_shape(self, shape: Shape) -> None:
        self.shape = self.shape or shape
        if shape != self.shape:
            raise DataError(
                f"camera '{self._name}' has images of {_size(shape)} px beside ones of"
                f" {_size(self.shape)} px; give each size a data set of its own, or one image_size"
            )


@dataclass
class ImageFile:
    """Images of one camera of one data set, read from the disk."""

    path: Path
    """The .bin file."""
    shape: Shape
    """(h, w, 3)."""
    ends: NDArray[np.int64]
    """0, then where each image ends, shape (n + 1,), bytes."""
    file: BinaryIO = field(repr=False)
    """Open for reading, so that a data set that is replaced meanwhile stays readable."""

    @staticmethod
    def open(folder: Path, name: str, shape: Shape) -> "ImageFile":
        """Open a camera's file.

        Args:
            folder: Where `ImageWriter` wrote it.
            name: Name of the camera.
            shape: Of an image, (h, w, 3).

        Returns:
            The file, nothing decoded yet.

        Raises:
            FileNotFoundError, ValueError: It is missing or short.
        """
        path = folder / f"{name}.bin"
        ends = np.load(folder / f"{name}.npy")
        if ends.dtype != np.int64 or ends.ndim != 1 or (np.diff(ends) < 0).any() or ends[0]:
            raise ValueError(f"{name}.npy is not the index of {name}.bin")
        if path.stat().st_size != ends[-1]:
            raise ValueError(f"{name}.bin has {path.stat().st_size} bytes, expected {ends[-1]}")
        return ImageFile(path, shape, ends, path.open("rb"))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def content(self, row: int) -> bytes:
        """The encoded image; empty where it is absent."""
        begin, end = int(self.ends[row]), int(self.ends[row + 1])
        return os.pread(self.file.fileno(), end - begin, begin)

    def decode(self, row: int, place: NDArray[np.uint8]) -> None:
        """Decode an image into `place`, (h, w, 3). Raises: DataError if it is absent or damaged."""
        if self._kept is None:
            self._read(row, place)
            return
        images, is_kept = self._kept
        if not is_kept[row]:
            self._read(row, images[row])
            is_kept[row] = True
        place[:] = images[row]

    @cached_property
    def _kept(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Decoded images, and which of them are; None where all would be too many."""
        count = len(self)
        wanted = count * int(np.prod(self.shape))
        if sum(_kept_bytes.values()) + wanted > DECODED_BYTES:
            return None
        key = id(self)
        _kept_bytes[key] = wanted
        weakref.finalize(self, _kept_bytes.pop, key)
        return np.empty((count, *self.shape), np.uint8), np.zeros(count, np.bool_)

    def _read(self, row: int, place: NDArray[np.uint8]) -> None:
        content = self.content(row)
        if not content:
            raise DataError(f"{self.path} has no image of step {row}; use another camera")
        try:
            encoded = np.frombuffer(content, np.uint8)
            pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
            if pixels is None or pixels.shape != self.shape:
                raise ValueError(f"image {row} cannot be decoded")
        except (ValueError, cv2.error) as error:
            raise damaged(self.path, error, AGAIN) from error
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=place)


class EncodedImages:
    """n images as an array (n, h, w, 3), uint8, that decodes what is indexed.

    >>> images[3:7].shape
    (4, 48, 48, 3)
    """

    def __init__(
        self,
        files: Sequence[ImageFile],
        which: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Name the images.

        Args:
            files: Where they lie; at least one.
            which: Index of each image's file, shape (n,).
            rows: Each image's place in its file, shape (n,).
        """
        self.files = tuple(files)
        self.which = which
        self.rows = rows

    @staticmethod
    def of_file(file: ImageFile) -> "EncodedImages":
        """All images of a file."""
        count = len(file)
        return EncodedImages([file], np.zeros(count, np.int64), np.arange(count))

    @property
    def shape(self) -> Shape:
        """(n, h, w, 3)."""
        return (len(self.rows), *self.files[0].shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        which, rows = self.which[index], self.rows[index]
        images = np.empty((*np.shape(rows), *self.shape[1:]), np.uint8)
        places = images.reshape(-1, *self.shape[1:])
        found = zip(np.ravel(which), np.ravel(rows), places, strict=True)
        for file, row, place in found:
            self.files[file].decode(int(row), place)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)

    def take(self, index: Any) -> "EncodedImages":
        """Some of the images, still encoded."""
        return EncodedImages(self.files, self.which[index], self.rows[index])

    def contents(self) -> Iterator[bytes]:
        """The encoded images one by one; empty where one is absent."""
        for which, row in zip(self.which, self.rows, strict=True):
            yield self.files[which].content(int(row))

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which of the images are there, shape (n,)."""
        found = np.zeros(len(self), np.bool_)
        for index, file in enumerate(self.files):
            mine = self.which == index
            found[mine] = np.diff(file.ends)[self.rows[mine]] > 0
        return found


Images = NDArray[np.uint8] | EncodedImages
"""Images (n, h, w, 3), uint8: in memory, or encoded on disk. Both give arrays when indexed."""


def take_images(images: Images, index: Any) -> Images:
    """Choose images without decoding them.

    Args:
        images: Shape (n, h, w, 3).
        index: A slice, indices, or a mask (n,).

    Returns:
        Those, of the same kind.
    """
    return images.take(index) if isinstance(images, EncodedImages) else images[index]


def join_images(parts: Sequence[Images]) -> Images:
    """Put images end to end without decoding them.

    Args:
        parts: Images of one size.

    Returns:
        All of them; in memory if one part is.

    Raises:
        DataError: The sizes differ.
    """
    sizes = sorted({_size(tuple(part.shape[1:])) for part in parts})
    if len(sizes) > 1:
        raise DataError(
            f"the data sets have images of {' and '.join(sizes)} px, expected one size; collect or"
            " import them again with one image_size"
        )
    encoded = [part for part in parts if isinstance(part, EncodedImages)]
    if len(encoded) < len(parts):
        return np.concatenate([np.asarray(part) for part in parts])
    files: list[ImageFile] = []
    which: list[NDArray[np.int64]] = []
    for part in encoded:
        which.append(part.which + len(files))
        files += part.files
    return EncodedImages(files, np.concatenate(which), np.concatenate([p.rows for p in encoded]))


def _size(shape: Shape) -> str:
    return f"{shape[1]}x{shape[0]}"
