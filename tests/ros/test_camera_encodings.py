"""Images of every common encoding become the same RGB; the others are refused with what to set."""

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from conure_core.errors import DataError
from conure_ros.cameras.encodings import (
    CHANNELS,
    PACKED_YUV,
    jpeg_bytes,
    rgb_pixels,
)
from conure_ros.cameras.policy_view import unread_images
from conure_ros.comms.messages import image_message
from conure_ros.comms.qos import ANY, NEWEST
from conure_ros.comms.schemas import schema_text
from conure_ros.recording.episodes import Episode, Topic
from conure_ros.recording.writer import EpisodeWriter

# Alike in pairs of columns, which share their colour in YUV.
ROWS, COLUMNS = np.mgrid[0:30, 0:40]
PAIRS = COLUMNS // 2 * 2
RGB = np.stack([60 + 4 * PAIRS, 200 - 4 * ROWS, 90 + ROWS + PAIRS], axis=2).astype(np.uint8)
ALPHA = np.full((30, 40, 1), 7, np.uint8)


def yuv(order):
    """Luma and, in turn, the blue and the red difference, of BT.601 in video range."""
    red, green, blue = (RGB[..., i].astype(float) / 255 for i in range(3))
    luma = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    blue_difference = 128 - 37.797 * red - 74.203 * green + 112.0 * blue
    red_difference = 128 + 112.0 * red - 93.786 * green - 18.214 * blue
    colour = np.where(COLUMNS % 2 == 0, blue_difference, red_difference)
    pair = [luma, colour] if order == "luma first" else [colour, luma]
    return np.stack(pair, axis=2).round().astype(np.uint8)


SENT = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "rgba8": np.dstack([RGB, ALPHA]),
    "bgra8": np.dstack([RGB[..., ::-1], ALPHA]),
    "mono8": cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)[..., None],
    "yuv422_yuy2": yuv("luma first"),
    "yuyv": yuv("luma first"),
    "yuv422": yuv("colour first"),
    "uyvy": yuv("colour first"),
}


def message(encoding, padding=0):
    pixels = SENT[encoding]
    rows = pixels.reshape(30, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return Image(height=30, width=40, encoding=encoding, step=rows.shape[1], data=rows.tobytes())


@pytest.mark.parametrize("size", [(0, 0), (0, 2), (2, 0), (0, 2**32 - 1)])
@pytest.mark.parametrize("encoding", SENT)
def test_an_image_without_pixels_is_refused(encoding, size):
    height, width = size
    empty = Image(height=height, width=width, encoding=encoding, step=2**32 - 1)
    with pytest.raises(DataError, match=f"an image of {width}x{height} px is empty"):
        rgb_pixels(empty)


@pytest.mark.parametrize("padding", [0, 24])
@pytest.mark.parametrize("encoding", SENT)
def test_every_encoding_becomes_rgb_with_or_without_padded_rows(encoding, padding):
    pixels = rgb_pixels(message(encoding, padding))
    expected = np.repeat(SENT["mono8"], 3, axis=2) if encoding == "mono8" else RGB
    assert pixels.shape == (30, 40, 3) and pixels.dtype == np.uint8
    loss = 3 if encoding in PACKED_YUV else 0
    assert np.abs(pixels.astype(int) - expected).max() <= loss


def test_the_cases_are_all_that_are_read():
    assert set(SENT) == {*CHANNELS, *PACKED_YUV}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoding": "bayer_rggb8"}, "'bayer_rggb8' is not read; its colours are not computed"),
        ({"encoding": "16UC1"}, "'16UC1' is not read; it has more than 8 bits"),
        ({"encoding": "8UC3"}, "'8UC3' is not read; it does not say which channel"),
        ({"encoding": "nv21"}, "set the driver's pixel format to one of rgb8, bgr8"),
        ({"encoding": ""}, "encoding '' is not read"),
        ({"step": 100}, "step must be 120 bytes or more for 40 px of rgb8, got 100"),
        ({"step": 128}, "expected 3840 bytes, 30 rows of step 128, got 3600"),
        ({"width": 39, "height": 30, "step": 120, "encoding": "yuyv"}, "an even width"),
    ],
)
def test_what_is_not_read_is_refused_by_name_with_what_to_do(changes, says):
    sent = message("rgb8")
    for key, value in changes.items():
        setattr(sent, key, value)
    with pytest.raises(DataError, match=says):
        rgb_pixels(sent)


def test_a_recorded_image_keeps_its_colours(tmp_path):
    kind = "sensor_msgs/msg/Image"
    topic = "/camera/image_raw"
    writer = EpisodeWriter(tmp_path, "one", [Topic(topic, kind, schema_text(kind))])
    for index, encoding in enumerate(("rgb8", "bgr8")):
        writer.write(topic, serialize_message(message(encoding, 8)), index, index)
    images = [pixels for _, pixels in Episode(writer.close({})).images()]
    assert all(np.array_equal(pixels, RGB) for pixels in images) and len(images) == 2


def test_compressed_images_of_a_recording_are_read_where_there_are_no_raw_ones(tmp_path):
    raw, topic = "/left/camera/image_raw", "/left/camera/image_raw/compressed"
    kinds = {raw: "sensor_msgs/msg/Image", topic: "sensor_msgs/msg/CompressedImage"}
    topics = [Topic(name, kind, schema_text(kind)) for name, kind in kinds.items()]
    writer = EpisodeWriter(tmp_path, "one", topics)
    data = array.array("B", jpeg_bytes(RGB[..., ::-1].copy(), 95))
    writer.write(topic, serialize_message(CompressedImage(format="jpeg", data=data)), 1, 1)
    episode = Episode(writer.close({}))
    ((_, pixels),) = episode.images()
    assert np.abs(pixels.astype(int) - RGB).mean() < 3
    with pytest.raises(DataError, match="has no topic 'wrist/image_raw'; it has: /left/camera"):
        list(episode.images("wrist/image_raw"))


def test_a_topic_that_two_robots_have_must_be_given_whole(tmp_path):
    kind = "sensor_msgs/msg/Image"
    names = ("/left/camera/image_raw", "/right/camera/image_raw")
    writer = EpisodeWriter(
        tmp_path, "one", [Topic(name, kind, schema_text(kind)) for name in names]
    )
    writer.write(names[1], serialize_message(message("rgb8")), 1, 1)
    episode = Episode(writer.close({}))
    with pytest.raises(DataError, match=f"give one of: {', '.join(names)}"):
        list(episode.images())
    assert len(list(episode.images(names[1]))) == 1


def test_a_damaged_jpeg_is_refused_by_name(tmp_path):
    topic, kind = "/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage"
    writer = EpisodeWriter(tmp_path, "one", [Topic(topic, kind, schema_text(kind))])
    writer.write(topic, serialize_message(CompressedImage(format="h264", data=[1, 2])), 1, 1)
    with pytest.raises(DataError, match=f"{topic}: an image of format 'h264' cannot be decoded"):
        list(Episode(writer.close({})).images())


def test_our_own_images_are_not_copied():
    sent = image_message(RGB, 1, "camera")
    assert np.shares_memory(rgb_pixels(sent), np.frombuffer(sent.data, np.uint8))


class View:
    """A node that sees these publishers, and reads a camera's images reliably unless told."""

    def __init__(self, *topics, offers=NEWEST, asks=NEWEST):
        self.topics, self.offers = topics, offers
        topic = self.resolve_topic_name("camera/image_raw")
        self.subscriptions = [SimpleNamespace(topic_name=topic, qos_profile=asks)]

    def resolve_topic_name(self, topic):
        return f"/left/{topic}"

    def count_publishers(self, topic):
        return self.topics.count(topic)

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(qos_profile=self.offers)] * self.count_publishers(topic)


def test_a_camera_that_only_sends_compressed_images_is_named():
    raw, compressed = "/left/camera/image_raw", "/left/camera/image_raw/compressed"
    assert f"{compressed} is published and {raw} is not" in unread_images(View(compressed))
    assert not unread_images(View(compressed, raw))
    assert not unread_images(View())


def test_a_camera_that_is_published_best_effort_and_not_heard_is_named_with_the_parameter():
    raw = "/left/camera/image_raw"
    why = unread_images(View(raw, offers=ANY))
    assert f"qos_overrides.{raw}.subscription.reliability to best_effort" in why
    assert not unread_images(View(raw, offers=ANY, asks=ANY))
    assert not unread_images(View(raw))
