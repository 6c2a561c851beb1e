"""Videos as LeRobotDataset has them: many episodes end to end at a constant rate, H.264."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import reading
from conure_training.formats.optional import require_package

ENCODER, CODEC, PIXEL_FORMAT = "libx264", "h264", "yuv420p"
GROUP = "2"
"""Frames from one key frame to the next: a random frame takes two to decode."""
RATE_FACTOR = "18"
"""Of H.264, constant quality: lower is better and larger."""
WHAT = "LeRobot video"
AGAIN = "copy or export the data set again"

View = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""What is kept of an image."""
ViewOf = Callable[[str, Sequence[str]], View]
"""What is kept of the images of a camera, by its name and those of all."""


class VideoWriter:
    """Appends frames to one file."""

    def __init__(self, path: Path, rate_hz: int, size: tuple[int, int]) -> None:
        """Begin the file.

        Args:
            path: The file, .mp4.
            rate_hz: Frames a second.
            size: Height and width of a frame, px, both even.

        Raises:
            ConfigError: A side is odd, which yuv420p cannot have; or PyAV is missing.
            OSError: The disk refuses.
        """
        av = require_package("av", WHAT)
        height, width = size
        if height % 2 or width % 2:
            raise ConfigError(
                f"images of {width}x{height} px cannot be H.264 video, whose sides are even; give"
                " codec=png"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.frames = 0
        self._av = av
        self._file = av.open(str(path), "w")
        options = {"crf": RATE_FACTOR, "g": GROUP, "bf": "0"}
        self._stream = self._file.add_stream(ENCODER, rate=rate_hz, options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = PIXEL_FORMAT

    def append(self, images: NDArray[np.uint8]) -> None:
        """Append frames, RGB, shape (n, h, w, 3). Raises: OSError if the disk refuses."""
        for pixels in images:
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = self.frames
            self._file.mux(self._stream.encode(frame))
            self.frames += 1

    def close(self) -> None:
        """Write what is left. Raises: OSError."""
        self._file.mux(self._stream.encode())
        self._file.close()


def read_frames(
    path: Path, from_s: float, count: int, rate_hz: float, view: View
) -> NDArray[np.uint8]:
    """Decode frames that follow one another.

    Args:
        path: The video.
        from_s: When the first one is shown, s.
        count: How many.
        rate_hz: Frames a second.
        view: What is kept of each.

    Returns:
        Images, RGB, shape (count, h, w, 3).

    Raises:
        DataError: It is damaged, or ends before.
        FileNotFoundError: There is no such file.
    """
    require_package("av", WHAT)

    def decode() -> NDArray[np.uint8]:
        rows: list[NDArray[np.uint8]] = []
        for time_s, pixels in _decoded(path, from_s):
            number = round((time_s - from_s) * rate_hz)
            if number == len(rows):
                rows.append(view(pixels))
            if len(rows) == count:
                return np.stack(rows)
        raise DataError(f"{path} ends {count - len(rows)} frames before its episode does; {AGAIN}")

    return reading(path, decode, AGAIN)


def _decoded(path: Path, from_s: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Frames from the key frame before a time, with their times, s."""
    av: Any = require_package("av", WHAT)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "SLICE"
        file.seek(int(from_s / stream.time_base), stream=stream, backward=True)
        for frame in file.decode(stream):
            yield float(frame.pts * stream.time_base), frame.to_ndarray(format="rgb24")
