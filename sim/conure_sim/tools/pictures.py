"""Episodes on paper and on screen: captions, contact sheets, videos."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from conure_core.errors import ConureError
from conure_core.runtime.atomic_files import replacing, write_bytes
from conure_core.types import Array, Image
from conure_sim.tools.recording import Recording

CODEC = "vp09"
"""VP9 in MP4: in every wheel of OpenCV, and browsers play it, unlike MPEG-4 part 2 (mp4v)."""
PAPER, INK, GOOD, BAD = (250, 250, 248), (40, 44, 48), (31, 122, 77), (179, 65, 46)
FONT, FONT_SCALE, LINE_PX, MARGIN_PX, MIN_WIDTH_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 20, 8, 300
COLUMNS = 4


def write_video(path: Path, frames: Sequence[Image], frames_per_s: float) -> None:
    """An MP4 of images (h, w, 3) uint8, sRGB, of one even size. Raises: ConureError if OpenCV
    cannot encode here.
    """
    height, width = frames[0].shape[:2]
    with replacing(path, suffix=".mp4") as temporary:
        writer = cv2.VideoWriter(
            str(temporary),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter.fourcc(*CODEC),
            frames_per_s,
            (width, height),
        )
        if not writer.isOpened():
            raise ConureError(
                f"OpenCV {cv2.__version__} cannot write {CODEC} videos; pip install"
                " opencv-python-headless"
            )
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
        writer.release()


def write_png(path: Path, image: Image) -> None:
    """An image (h, w, 3) uint8, sRGB."""
    write_bytes(path, encoded(image, ".png"))


def encoded(image: Image, suffix: str, quality: int = 82) -> bytes:
    """An image (h, w, 3) uint8, sRGB, as the bytes of a .png or .webp file."""
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if suffix == ".webp" else []
    _, data = cv2.imencode(suffix, np.ascontiguousarray(image[:, :, ::-1]), options)
    return bytes(data)


def captioned(image: Image, lines: Sequence[str], colour: tuple[int, int, int] = INK) -> Image:
    """The image with lines of text below it, the first in a colour; small images are enlarged to
    give text room.
    """
    factor = int(np.ceil(MIN_WIDTH_PX / image.shape[1]))
    image = np.asarray(image.repeat(factor, axis=0).repeat(factor, axis=1))
    height = 2 * MARGIN_PX + LINE_PX * len(lines)
    strip = np.full(
        (height + (image.shape[0] + height) % 2, image.shape[1], 3), PAPER, dtype=np.uint8
    )
    for number, line in enumerate(lines):
        at = (MARGIN_PX, MARGIN_PX + LINE_PX * number + 15)
        cv2.putText(
            strip, line, at, FONT, FONT_SCALE, colour if number == 0 else INK, 1, cv2.LINE_AA
        )
    return np.vstack([image, strip])


def captioned_frames(recording: Recording, camera: str, title: str) -> list[Image]:
    """Every frame of one camera over a title, the number of its step and, once it is so, success or
    time-out.
    """
    return [
        captioned(frame, [title, _moment(recording, step)], _colour(recording, step))
        for step, frame in enumerate(recording.frames[camera])
    ]


def contact_sheet(recording: Recording, camera: str, title: str, count: int) -> Image:
    """Up to `count` frames of one camera, evenly spaced, each with its step, the action that
    followed, and success.
    """
    frames = recording.frames[camera]
    steps = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    tiles = []
    for step in steps:
        lines = [_moment(recording, step), *_action_lines(recording.actions, step)]
        tiles.append(captioned(frames[step], lines, _colour(recording, step)))
    blank = np.full_like(tiles[0], PAPER)
    columns = min(COLUMNS, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[first : first + columns]) for first in range(0, len(tiles), columns)]
    sheet = np.vstack(rows)
    return np.vstack([captioned(sheet, [title])[len(sheet) :], sheet])


def _moment(recording: Recording, step: int) -> str:
    if step < recording.steps:
        return f"step {step}"
    return f"step {step}, {'success' if recording.success else 'no success'}"


def _colour(recording: Recording, step: int) -> tuple[int, int, int]:
    return INK if step < recording.steps else GOOD if recording.success else BAD


def _action_lines(actions: Array, step: int) -> list[str]:
    if step >= len(actions):
        return ["", ""]
    move, turn, grip = (
        " ".join(f"{v:+.2f}" for v in part) for part in np.split(actions[step], [3, 6])
    )
    return [f"move {move}  grip {grip}", f"turn {turn}"]
