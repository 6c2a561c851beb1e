"""Sources of frames: V4L2 devices, network streams, GStreamer pipelines, video files, image
folders.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from conure_core.errors import ConfigError, RobotError, without_passwords
from conure_core.types import Image

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "srt")
PIPELINE = "gst:"
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# FFmpeg's buffer against jitter would only add delay here.
FFMPEG_OPTIONS = "fflags;nobuffer|flags;low_delay|rtsp_transport;tcp"
V4L2_EXPOSURE_MANUAL = 1
EXPOSURE_UNIT_MS = 0.1
"""Of V4L2's control exposure_time_absolute, which OpenCV passes on."""
RATE_TOLERANCE = 0.05
FFMPEG_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
HINT = (
    "give a V4L2 index (0), a device (/dev/v4l/by-id/...), a stream (rtsp://, http://, ...), a"
    " GStreamer pipeline (gst:v4l2src ! ... ! appsink), a video file or a folder of images; `conure"
    " doctor` lists the cameras found"
)


class CameraLost(RobotError):
    """A source cannot be opened, or gives no more frames."""


class SourceEnded(CameraLost):
    """A file that is not looped is at its end; do not reopen it."""


class BadFrame(RobotError):
    """A frame cannot be used; the next one may be good."""


class Kind(Enum):
    """How a source is opened."""

    DEVICE = "V4L2 device"
    STREAM = "network stream"
    PIPELINE = "GStreamer pipeline"
    FILE = "video file"
    FOLDER = "image folder"


@dataclass(frozen=True)
class SourceSpec:
    """A source as the user gave it. `shown` hides a password in the address."""

    kind: Kind
    address: str
    shown: str

    @property
    def live(self) -> bool:
        """Whether the source sets the pace; frames of a file wait to be read."""
        return self.kind not in (Kind.FILE, Kind.FOLDER)


def parse_source(text: str) -> SourceSpec:
    """Parse the text of a source. Raises: ConfigError listing the kinds of source."""
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if text.isdecimal():
        return SourceSpec(Kind.DEVICE, f"/dev/video{int(text)}", f"/dev/video{int(text)}")
    if text.startswith(PIPELINE):
        return SourceSpec(Kind.PIPELINE, text.removeprefix(PIPELINE).strip(), "GStreamer pipeline")
    if scheme in SCHEMES:
        return SourceSpec(Kind.STREAM, text, without_passwords(text))
    if scheme:
        raise ConfigError(
            f"unknown scheme '{scheme}://' of a camera stream; valid: {', '.join(SCHEMES)}"
        )
    path = Path(text)
    if text.startswith("/dev/"):
        return SourceSpec(Kind.DEVICE, text, text)
    if text and path.is_dir():
        return SourceSpec(Kind.FOLDER, text, text)
    if text and path.is_file():
        return SourceSpec(Kind.FILE, text, text)
    raise ConfigError(
        f"no camera at '{text}'; {HINT}" if text else f"the parameter 'source' is empty; {HINT}"
    )


@dataclass(frozen=True)
class SourceSettings:
    """Requests to a source when it is opened. 0 and '' keep a device's own size and pixel
    format.
    """

    width_px: int = 0
    height_px: int = 0
    rate_hz: float = 30.0
    fourcc: str = ""
    loop: bool = True
    open_timeout_s: float = 5.0
    read_timeout_s: float = 2.0
    exposure_ms: float = 0.0
    """Of a V4L2 device; 0: automatic."""
    gain: int = -1
    """Of a V4L2 device, in its own units; below 0: its own."""

    def __post_init__(self) -> None:
        if len(self.fourcc) not in (0, 4):
            raise ConfigError(
                f"fourcc must be four letters such as MJPG, or empty, got '{self.fourcc}'"
            )
        if (self.width_px > 0) != (self.height_px > 0):
            raise ConfigError(
                f"give both width_px and height_px or neither, got {self.width_px} and"
                f" {self.height_px}"
            )


@dataclass(frozen=True)
class DeviceFormat:
    """What a V4L2 device set of what it was asked for. 0: it does not say."""

    width_px: int
    height_px: int
    rate_hz: float
    fourcc: str
    exposure_ms: float
    gain: int

    def __str__(self) -> str:
        rate = f" at {self.rate_hz:.4g} Hz" if self.rate_hz else ""
        return f"{self.width_px}x{self.height_px} px {self.fourcc}{rate}"

    def differences(self, asked: SourceSettings) -> list[str]:
        """What it set otherwise, for a person; its size is compared elsewhere."""
        found = []
        if asked.fourcc and self.fourcc and asked.fourcc != self.fourcc:
            found.append(f"fourcc {asked.fourcc} was asked for, the device set {self.fourcc}")
        if self.rate_hz and abs(self.rate_hz / asked.rate_hz - 1.0) > RATE_TOLERANCE:
            found.append(
                f"rate_hz {asked.rate_hz:.4g} was asked for, the device set {self.rate_hz:.4g}"
            )
        if asked.exposure_ms and abs(self.exposure_ms / asked.exposure_ms - 1.0) > RATE_TOLERANCE:
            found.append(
                f"exposure_ms {asked.exposure_ms:.4g} was asked for, the device set"
                f" {self.exposure_ms:.4g}"
            )
        if asked.gain >= 0 and self.gain != asked.gain:
            found.append(f"gain {asked.gain} was asked for, the device set {self.gain}")
        return found


class Source(Protocol):
    """An open source. `grab` waits for a frame and takes it; `retrieve` decodes it."""

    format: DeviceFormat | None
    """What a V4L2 device set; None for other sources."""

    def grab(self) -> bool: ...
    def retrieve(self) -> Image: ...
    def close(self) -> None: ...


def open_source(spec: SourceSpec, settings: SourceSettings) -> Source:
    """Open a source.

    Args:
        spec: Kind and address.
        settings: Size, rate, pixel format and time limits.

    Raises:
        CameraLost: It cannot be opened; the message says why.
        ConfigError: This OpenCV cannot open such a source.
    """
    if spec.kind is Kind.FOLDER:
        return FolderSource(spec, settings)
    return CaptureSource(spec, settings)


class CaptureSource:
    """OpenCV's VideoCapture with the backend of the kind, and no other."""

    def __init__(self, spec: SourceSpec, settings: SourceSettings) -> None:
        self.spec, self.settings = spec, settings
        if spec.kind is Kind.DEVICE and not Path(spec.address).exists():
            raise CameraLost(f"{spec.shown} is not there; is the camera plugged in?")
        self._capture = _open_capture(spec, settings)
        if not self._capture.isOpened():
            raise CameraLost(
                f"{spec.kind.value} {spec.shown} cannot be opened; is it there, and is it free?"
            )
        self.format = _read_format(self._capture) if spec.kind is Kind.DEVICE else None

    def grab(self) -> bool:
        if self._capture.grab():
            return True
        if self.spec.kind is not Kind.FILE:
            return False
        if not self.settings.loop:
            raise SourceEnded(f"{self.spec.shown} is at its end, and loop is off")
        return bool(self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0) and self._capture.grab())

    def retrieve(self) -> Image:
        """Decode the grabbed frame. Raises: BadFrame if it cannot be decoded, or has not three
        8-bit channels.
        """
        try:
            decoded, frame = self._capture.retrieve()
        except cv2.error as error:
            raise BadFrame(f"{self.spec.shown}: a frame cannot be decoded: {error}") from error
        if not decoded or frame is None:
            raise BadFrame(f"{self.spec.shown}: a frame cannot be decoded")
        return _require_color(frame, self.spec.shown)

    def close(self) -> None:
        self._capture.release()


def _open_capture(spec: SourceSpec, settings: SourceSettings) -> Any:
    if spec.kind is Kind.PIPELINE:
        if cv2.CAP_GSTREAMER not in cv2.videoio_registry.getBackends() or not has_gstreamer():
            raise ConfigError(
                "this OpenCV has no GStreamer; apt's python3-opencv has it, the wheels of PyPI"
                " have not"
            )
        return cv2.VideoCapture(spec.address, cv2.CAP_GSTREAMER)
    if spec.kind is Kind.DEVICE:
        return _configure(cv2.VideoCapture(spec.address, cv2.CAP_V4L2), settings)
    limits = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: int(settings.open_timeout_s * 1e3),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: int(settings.read_timeout_s * 1e3),
    }
    numbers = [number for pair in limits.items() for number in pair]
    with _without_buffering() if spec.kind is Kind.STREAM else nullcontext():
        return cv2.VideoCapture(spec.address, cv2.CAP_FFMPEG, numbers)


@contextmanager
def _without_buffering() -> Iterator[None]:
    """OpenCV reads FFmpeg's options from the environment only; they must not affect files opened
    later.
    """
    if FFMPEG_VARIABLE in os.environ:
        yield
        return
    os.environ[FFMPEG_VARIABLE] = FFMPEG_OPTIONS
    try:
        yield
    finally:
        del os.environ[FFMPEG_VARIABLE]


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def _configure(capture: Any, settings: SourceSettings) -> Any:
    """Set the pixel format first: it decides which sizes and rates exist."""
    if settings.fourcc:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*settings.fourcc))
    if settings.width_px:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height_px)
    capture.set(cv2.CAP_PROP_FPS, settings.rate_hz)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if settings.exposure_ms > 0:
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, V4L2_EXPOSURE_MANUAL)
        capture.set(cv2.CAP_PROP_EXPOSURE, settings.exposure_ms / EXPOSURE_UNIT_MS)
    if settings.gain >= 0:
        capture.set(cv2.CAP_PROP_GAIN, settings.gain)
    return capture


def _read_format(capture: Any) -> DeviceFormat:
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    return DeviceFormat(
        width_px=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height_px=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        rate_hz=max(0.0, float(capture.get(cv2.CAP_PROP_FPS))),
        fourcc=code.decode("ascii", "replace").strip("\0 "),
        exposure_ms=float(capture.get(cv2.CAP_PROP_EXPOSURE)) * EXPOSURE_UNIT_MS,
        gain=int(capture.get(cv2.CAP_PROP_GAIN)),
    )


class FolderSource:
    """The images of a folder, by name. The folder is listed again in each round."""

    format: DeviceFormat | None = None

    def __init__(self, spec: SourceSpec, settings: SourceSettings) -> None:
        self.spec, self.settings = spec, settings
        self._paths, self._next = self._list_images(), 0
        if not self._paths:
            raise CameraLost(
                f"{spec.shown} holds no image; expected files ending in {', '.join(IMAGE_SUFFIXES)}"
            )

    def _list_images(self) -> list[Path]:
        folder = Path(self.spec.address)
        found = folder.iterdir() if folder.is_dir() else []
        return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)

    def grab(self) -> bool:
        if self._next == len(self._paths):
            if not self.settings.loop:
                raise SourceEnded(f"{self.spec.shown} is at its end, and loop is off")
            self._paths, self._next = self._list_images(), 0
        if self._next >= len(self._paths):
            return False
        self._path = self._paths[self._next]
        self._next += 1
        return True

    def retrieve(self) -> Image:
        """Decode the grabbed image. Raises: BadFrame naming a file that is not an image."""
        frame = cv2.imread(str(self._path), cv2.IMREAD_COLOR)
        if frame is None:
            raise BadFrame(f"{self._path} cannot be read as an image")
        return _require_color(frame, str(self._path))

    def close(self) -> None: ...


def _require_color(frame: Any, shown: str) -> Image:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise BadFrame(
            f"{shown}: expected frames of three 8-bit channels, got {frame.shape} {frame.dtype}"
        )
    pixels: Image = frame
    return pixels
