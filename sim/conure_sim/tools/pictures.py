"""Pictures of episodes: captions, contact sheets, videos."""

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
PAPER = (250, 250, 248)
INK = (40, 44, 48)
GOOD = (31, 122, 77)
BAD = (179, 65, 46)
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.5
LINE_PX = 20
MARGIN_PX = 8
MIN_WIDTH_PX = 300
COLUMNS = 4


def write_video(
    path: Path,
    frames: Sequence[Image],
    frames_per_s: float,
) -> None:
    """Write an MP4 file, whole or not at all.

    Args:
        path: The file.
        frames: Images (h, w, 3) uint8, sRGB, of one even size.
        frames_per_s: Its rate, Hz.

    Raises:
        ConureError: OpenCV cannot encode here.
    """
    height, width = frames[0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*CODEC)
    with replacing(path, suffix=".mp4") as temporary:
        writer = cv2.VideoWriter(
            str(temporary), cv2.CAP_FFMPEG, codec, frames_per_s, (width, height)
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
    """Write a PNG file, whole or not at all.

    Args:
        path: The file.
        image: Shape (h, w, 3) uint8, sRGB.
    """
    write_bytes(path, encode_image(image, ".png"))


def encode_image(
    image: Image,
    suffix: str,
    quality: int = 82,
) -> bytes:
    """Encode an image.

    Args:
        image: Shape (h, w, 3) uint8, sRGB.
        suffix: '.png' or '.webp'.
        quality: Of WebP, 1 to 100.

    Returns:
        The bytes of the file.
    """
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if suffix == ".webp" else []
    _, data = cv2.imencode(suffix, np.ascontiguousarray(image[:, :, ::-1]), options)
    return bytes(data)


def add_caption(
    image: Image,
    lines: Sequence[str],
    colour: tuple[int, int, int] = INK,
) -> Image:
    """Add lines of text below an image.

    Args:
        image: Shape (h, w, 3) uint8, sRGB; enlarged by a whole factor to at least MIN_WIDTH_PX.
        lines: The text.
        colour: Of the first line, rgb 0 to 255; the others are INK.

    Returns:
        Image and text, of even height.
    """
    factor = int(np.ceil(MIN_WIDTH_PX / image.shape[1]))
    image = np.asarray(image.repeat(factor, axis=0).repeat(factor, axis=1))
    image_height, width, _ = image.shape
    height = 2 * MARGIN_PX + LINE_PX * len(lines)
    height += (image_height + height) % 2

    strip = np.full((height, width, 3), PAPER, dtype=np.uint8)
    for number, line in enumerate(lines):
        corner = (MARGIN_PX, MARGIN_PX + LINE_PX * number + 15)
        ink = colour if number == 0 else INK
        cv2.putText(strip, line, corner, FONT, FONT_SCALE, ink, 1, cv2.LINE_AA)
    return np.vstack([image, strip])


def caption_frames(
    recording: Recording,
    camera: str,
    title: str,
) -> list[Image]:
    """Every frame of an episode with its caption: title, step, and at the end the outcome.

    Args:
        recording: The episode.
        camera: One of its cameras.
        title: The first line.

    Returns:
        n + 1 images of one even size.
    """
    captioned: list[Image] = []
    for step, frame in enumerate(recording.frames[camera]):
        lines = [title, _moment(recording, step)]
        captioned.append(add_caption(frame, lines, _colour(recording, step)))
    return captioned


def contact_sheet(
    recording: Recording,
    camera: str,
    title: str,
    count: int,
) -> Image:
    """One picture of an episode: frames with their step, the action that followed, and the outcome.

    Args:
        recording: The episode.
        camera: One of its cameras.
        title: Of the sheet.
        count: The largest number of frames, evenly spaced.

    Returns:
        The sheet, COLUMNS frames wide.
    """
    frames = recording.frames[camera]
    count = min(count, len(frames))
    steps = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    tiles = []
    for step in steps:
        lines = [_moment(recording, step), *_action_lines(recording.actions, step)]
        tiles.append(add_caption(frames[step], lines, _colour(recording, step)))

    blank = np.full_like(tiles[0], PAPER)
    columns = min(COLUMNS, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[first : first + columns]) for first in range(0, len(tiles), columns)]
    sheet = np.vstack(rows)
    heading = add_caption(sheet, [title])[len(sheet) :]
    return np.vstack([heading, sheet])


def _moment(recording: Recording, step: int) -> str:
    if step < recording.steps:
        return f"step {step}"
    return f"step {step}, {'success' if recording.success else 'no success'}"


def _colour(recording: Recording, step: int) -> tuple[int, int, int]:
    if step < recording.steps:
        return INK
    return GOOD if recording.success else BAD


def _action_lines(actions: Array, step: int) -> list[str]:
    if step >= len(actions):
        return ["", ""]
    move, turn, grip = (_signed_numbers(part) for part in np.split(actions[step], [3, 6]))
    return [f"move {move}  grip {grip}", f"turn {turn}"]


def _signed_numbers(values: Array) -> str:
    return " ".join(f"{value:+.2f}" for value in values)
