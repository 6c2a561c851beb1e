"""camera_node as a process over real DDS, on a network stream that loses, freezes, blackens and
delays its frames.
"""

import json
import time

import cv2
import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from conure_ros.bringup.launcher import GraphError, ros_environment, run_graph
from conure_ros.cameras.encodings import compressed_pixels, rgb_pixels
from conure_ros.cameras.sources import BadFrame, CameraLost, SourceSettings, parse_source
from conure_ros.comms.messages import to_ns
from conure_ros.nodes.camera_node import CameraNode

pytestmark = pytest.mark.nodes
QUICK = {"camera.resume_s": 0.4, "camera.read_timeout_s": 1.0}
QUICK |= {"camera.reconnect_first_s": 0.1, "camera.reconnect_most_s": 0.4}


class Rig:
    def __init__(self, peer, graph, stream):
        self.peer, self.graph, self.stream = peer, graph, stream
        self.images, self.infos = (
            peer.listen(Image, "camera/image_raw"),
            peer.listen(CameraInfo, "camera/camera_info"),
        )
        self.diagnostics = peer.listen(DiagnosticArray, "/diagnostics")

    def status(self):
        return self.diagnostics[-1].status[0]

    def says(self, text):
        return any(text in message.status[0].message for message in self.diagnostics)

    def clear_images(self):
        """Also those that are on their way here."""
        time.sleep(0.3)
        self.images.clear()


@pytest.fixture(scope="module")
def calibration(stream, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "camera.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "image_width": stream.width,
                "image_height": stream.height,
                "camera_name": "table",
                "camera_matrix": {
                    "rows": 3,
                    "cols": 3,
                    "data": [300.0, 0, 158, 0, 302, 121, 0, 0, 1],
                },
                "distortion_model": "plumb_bob",
                "distortion_coefficients": {
                    "rows": 1,
                    "cols": 5,
                    "data": [-0.2, 0.05, 0.0, 0.0, 0.0],
                },
                "rectification_matrix": {"rows": 3, "cols": 3, "data": np.eye(3).ravel().tolist()},
                "projection_matrix": {
                    "rows": 3,
                    "cols": 4,
                    "data": [290.0, 0, 159, 0, 0, 291, 120, 0, 0, 0, 1, 0],
                },
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def seeing(start, peer, stream, calibration):
    words = {
        "camera_source": stream.address,
        "camera_calibration": str(calibration),
        "camera.rate_hz": stream.rate_hz,
    }
    return Rig(peer, start("camera", **words, **QUICK), stream)


@pytest.fixture
def rig(seeing, wait_until):
    if seeing.stream.server is None:
        seeing.stream.connect()
    seeing.stream.shows = "scene"
    seeing.images.clear()
    wait_until(lambda: seeing.images, 20, "images")
    for heard in (seeing.images, seeing.infos, seeing.diagnostics):
        heard.clear()
    return seeing


def test_images_are_whole_and_calibrated_and_stamped_when_they_were_taken(rig, wait_until):
    wait_until(lambda: len(rig.images) >= 20 and rig.diagnostics, 20)
    images, infos = list(rig.images), {to_ns(info.header.stamp): info for info in rig.infos}
    delays_ms = []
    for image in images:
        assert image.header.frame_id == "camera_optical_frame"
        sent_ns = rig.stream.sent_ns[rig.stream.number_in(rgb_pixels(image))]
        delays_ms.append((to_ns(image.header.stamp) - sent_ns) / 1e6)
    assert min(delays_ms) > 0, "a stamp lies before its frame was made"
    # FFmpeg hands a frame on when it sees the next one begin: one period, and what a busy machine
    # adds.
    assert np.median(delays_ms) < 2.5e3 / rig.stream.rate_hz, delays_ms
    paired = [
        infos[to_ns(image.header.stamp)] for image in images if to_ns(image.header.stamp) in infos
    ]
    assert len(paired) >= 0.8 * len(images)
    shown = (paired[0].width, paired[0].height, paired[0].header.frame_id)
    assert shown == (rig.stream.width, rig.stream.height, "camera_optical_frame")
    assert (images[0].width, images[0].height) == shown[:2]
    assert paired[0].k.tolist() == [300.0, 0, 158, 0, 302, 121, 0, 0, 1] and paired[0].d[0] == -0.2
    assert paired[0].binning_x == paired[0].roi.width == 0, "the whole frame (REP 104)"
    assert rig.status().level == DiagnosticStatus.OK
    values = {pair.key: pair.value for pair in rig.status().values}
    assert "secret" not in json.dumps(values)


def test_compressed_images_are_published_while_somebody_reads_them(rig, peer, wait_until):
    wait_until(lambda: rig.images, 20)
    node, topic = peer.node, "camera/image_raw/compressed"
    jpegs = []
    reader = node.create_subscription(CompressedImage, topic, jpegs.append, 10)
    try:
        wait_until(lambda: len(jpegs) > 3, 20, "JPEG images")
        raw = {to_ns(image.header.stamp): image for image in rig.images}
        both = [jpeg for jpeg in list(jpegs) if to_ns(jpeg.header.stamp) in raw]
        assert both[0].format == "rgb8; jpeg compressed bgr8"
        pixels = compressed_pixels(both[0], topic)
        expected = rgb_pixels(raw[to_ns(both[0].header.stamp)])
        assert pixels.shape == expected.shape
        assert np.abs(pixels.astype(int) - expected).mean() < 12, "noise, the worst for a JPEG"
    finally:
        node.destroy_subscription(reader)


@pytest.mark.parametrize(
    ("shows", "reason"),
    [("the last frame", "frozen"), ("black", "the image is black"), ("nothing", "no frame for")],
)
def test_a_frozen_black_or_silent_camera_sends_nothing_and_says_why_until_it_is_good_again(
    rig, shows, reason, wait_until
):
    rig.stream.shows = shows
    wait_until(lambda: rig.says(reason), 20, reason)
    rig.clear_images()
    time.sleep(0.5)
    assert not rig.images, "no image that was not just seen"
    assert rig.status().level == DiagnosticStatus.WARN
    rig.stream.shows = "scene"
    wait_until(lambda: rig.images, 20, "images again")
    wait_until(lambda: rig.status().level == DiagnosticStatus.OK, 20)


def test_a_camera_that_is_unplugged_is_found_again(rig, wait_until):
    rig.stream.unplug()
    wait_until(lambda: rig.says("cannot be opened"), 20, "the reason")
    rig.clear_images()
    time.sleep(0.5)
    assert not rig.images
    assert not any(
        "secret" in line
        for _, line in rig.graph.lines
        if "127.0.0.1" in line and "no images" in line
    )
    rig.stream.connect()
    wait_until(lambda: rig.images, 20, "images again")
    wait_until(lambda: rig.status().level == DiagnosticStatus.OK, 20)
    values = {pair.key: pair.value for pair in rig.status().values}
    assert int(values["reconnects"]) >= 1


def test_an_inactive_camera_sends_no_images_and_goes_on_when_active(rig, wait_until):
    def change(transition):
        assert rig.peer.call(
            ChangeState, "camera/change_state", transition=Transition(id=transition)
        ).success

    change(Transition.TRANSITION_DEACTIVATE)
    rig.clear_images()
    time.sleep(0.5)
    assert not rig.images
    change(Transition.TRANSITION_CLEANUP)
    change(Transition.TRANSITION_CONFIGURE)
    change(Transition.TRANSITION_ACTIVATE)
    wait_until(lambda: rig.images, 20)


@pytest.fixture
def folder(stream, tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    for index in range(5):
        pixels = rng.integers(60, 180, (stream.height, stream.width, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), pixels)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera_source": ""}, "'source' is empty; give a V4L2 index"),
        ({"camera_source": "/dev/video97"}, "/dev/video97 is not there"),
        (
            {"camera.width_px": 640, "camera.height_px": 480},
            "gives 320x240 px, not the 640x480 px asked for",
        ),
        ({"camera.pose": "no_such_pose.yaml"}, "no_such_pose.yaml cannot be read"),
        (
            {"camera_calibration": "another size"},
            "calibration is for 640x480 px, the camera gives 320x240 px",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_configured(
    folder, calibration, change, reason, tmp_path
):
    if "camera_calibration" in change:
        other = yaml.safe_load(calibration.read_text()) | {"image_width": 640, "image_height": 480}
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
        change = {"camera_calibration": str(tmp_path / "other.yaml")}
    with ros_environment() as variables, pytest.raises(GraphError, match=reason):
        environment = {**variables, "ROS_LOG_DIR": str(tmp_path / "log")}
        run_graph("camera", {"camera_source": str(folder), **change}, environment=environment)


@pytest.fixture
def camera_node(context):
    node = CameraNode()
    yield node
    node.end()
    node.destroy_node()


def test_a_few_broken_first_frames_are_passed_over(camera_node, folder, stream):
    for index in range(4):
        (folder / f"{index}.png").write_bytes(b"no image")
    camera_node.spec, camera_node.settings = parse_source(str(folder)), SourceSettings()
    source = camera_node._open()
    assert camera_node._first_frame(source).shape == (stream.height, stream.width, 3)


class Silent:
    """A source that opens, and has no bandwidth left or no whole frame."""

    format = None

    def __init__(self, grabs):
        self.grabs, self.asked = grabs, 0

    def grab(self):
        self.asked += 1
        return self.grabs

    def retrieve(self):
        raise BadFrame("a frame cannot be decoded")

    def close(self):
        pass


@pytest.mark.parametrize(
    ("grabs", "asked", "reason"),
    [
        (False, 1, r"gives no frame; another program .* bandwidth .* set fourcc: MJPG"),
        (True, 10, "none of the first 10 frames can be used: a frame cannot be decoded"),
    ],
)
def test_a_camera_without_a_usable_frame_is_refused_with_what_to_do(
    camera_node, folder, grabs, asked, reason
):
    camera_node.spec, source = parse_source(str(folder)), Silent(grabs)
    with pytest.raises(CameraLost, match=reason):
        camera_node._first_frame(source)
    assert source.asked == asked
