"""The pixels of sensor_msgs/Image, whatever 8-bit encoding a driver sends, and of JPEG images."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.types import Image

TOPIC = "camera/image_raw"
COMPRESSED = "/compressed"
"""What image_transport appends to the topic of raw images."""
JPEG_FORMAT = "rgb8; jpeg compressed bgr8"
"""`format` of a JPEG, as compressed_image_transport writes it."""
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
PACKED_YUV = {
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
}
"""Four bytes for two pixels, BT.601 in video range, as UVC cameras send them."""


def rgb_pixels(message: Any, topic: str = TOPIC) -> NDArray[np.uint8]:
    """The pixels of an image as RGB.

    Args:
        message: The image, sensor_msgs/Image or one that was read from a recording.
        topic: Its topic, for errors.

    Returns:
        Shape (height, width, 3), uint8; a view where the image is rgb8.

    Raises:
        DataError: The encoding is not known here, or the bytes do not fit size and step; the
            message names which, and what to set in the driver.
    """
    encoding = str(message.encoding).lower()
    if encoding not in CHANNELS and encoding not in PACKED_YUV:
        known = ", ".join([*CHANNELS, *PACKED_YUV])
        raise DataError(
            f"{topic}: encoding '{message.encoding}' is not read;{_reason(encoding)} set the"
            f" driver's pixel format to one of {known}"
        )
    rows = _rows(message, CHANNELS.get(encoding, 2), topic)
    if encoding in PACKED_YUV:
        if message.width % 2:
            raise DataError(
                f"{topic}: {message.encoding} needs an even width, got {message.width} px"
            )
        pairs = np.ascontiguousarray(rows).reshape(message.height, message.width, 2)
        return np.asarray(cv2.cvtColor(pairs, PACKED_YUV[encoding]), np.uint8)
    pixels = rows.reshape(message.height, message.width, CHANNELS[encoding])
    if encoding == "mono8":
        return np.repeat(pixels, 3, axis=2)
    if encoding.startswith("bgr"):
        return np.ascontiguousarray(pixels[..., 2::-1])
    return pixels if encoding == "rgb8" else np.ascontiguousarray(pixels[..., :3])


def compressed_pixels(message: Any, topic: str) -> NDArray[np.uint8]:
    """The pixels of a compressed image as RGB.

    Args:
        message: The image, sensor_msgs/CompressedImage or one that was read from a recording.
        topic: Its topic, for errors.

    Returns:
        Shape (height, width, 3), uint8.

    Raises:
        DataError: It is neither JPEG nor PNG, or damaged.
    """
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise DataError(f"{topic}: an image of format '{message.format}' cannot be decoded")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def jpeg_bytes(pixels: Image, quality: int) -> bytes:
    """Compress a BGR image (height, width, 3) as JPEG of a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def _rows(message: Any, pixel_bytes: int, topic: str) -> NDArray[np.uint8]:
    """(height, width * pixel_bytes), uint8, without what pads the rows."""
    if not message.width * message.height:
        raise DataError(f"{topic}: an image of {message.width}x{message.height} px is empty")
    wanted = message.width * pixel_bytes
    if message.step < wanted:
        raise DataError(
            f"{topic}: step must be {wanted} bytes or more for {message.width} px of"
            f" {message.encoding}, got {message.step}"
        )
    data = np.frombuffer(message.data, np.uint8)
    if data.size != message.height * message.step:
        raise DataError(
            f"{topic}: expected {message.height * message.step} bytes, {message.height} rows of"
            f" step {message.step}, got {data.size}"
        )
    return data.reshape(message.height, message.step)[:, :wanted]


def _reason(encoding: str) -> str:
    if encoding.startswith("bayer"):
        return " its colours are not computed yet (image_proc does);"
    if encoding.startswith("8uc"):
        return " it does not say which channel is which colour;"
    if "16" in encoding or "32" in encoding:
        return " it has more than 8 bits, or is a depth image;"
    return ""
