"""Two cameras at once, and where they stand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from ament_index_python.packages import get_package_share_directory
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from conure_ros.comms.qos import LATCHED

pytestmark = pytest.mark.nodes
WIDTH, HEIGHT = 320, 240


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    for index in range(5):
        pixels = rng.integers(60, 180, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), pixels)
    return tmp_path / "images"


def test_two_cameras_at_once_each_under_its_own_name_with_its_pose(
    start, peer, folder, tmp_path, wait_until
):
    pose = tmp_path / "pose.yaml"
    pose.write_text(
        "parent: base_link\ntranslation_m: [0.5, -0.1, 0.4]\nrotation_xyzw: [0.6, 0.0, 0.0, 0.8]\n"
    )
    table = peer.listen(Image, "camera/image_raw")
    wrist, transforms = (
        peer.listen(Image, "wrist/image_raw"),
        peer.listen(TFMessage, "/tf_static", LATCHED),
    )
    wrist_infos = peer.listen(CameraInfo, "wrist/camera_info")
    sources = {"camera_source": str(folder), "wrist_source": str(folder)}
    start("cameras", **sources, **{"wrist.pose": str(pose), "wrist.rotate_deg": 90})
    wait_until(lambda: wrist and wrist_infos and transforms, 20)
    wait_until(lambda: any(image.width == WIDTH for image in table), 20)
    assert {(image.width, image.height) for image in wrist} == {(HEIGHT, WIDTH)}, "it is turned"
    assert wrist[0].header.frame_id == wrist_infos[0].header.frame_id == "wrist_optical_frame"
    assert not any(wrist_infos[0].k), "not calibrated"
    (transform,) = transforms[0].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == (
        "base_link",
        "wrist_optical_frame",
    )
    assert transform.transform.translation.x == 0.5 and transform.transform.rotation.w == 0.8


def test_tf_static_is_of_the_type_that_every_ros_has():
    """The hash of tf2_msgs/msg/TFMessage that Jazzy and later distributions give it; by it, nodes
    find each other.
    """
    described = Path(get_package_share_directory("tf2_msgs")) / "msg" / "TFMessage.json"
    hashes = {
        entry["type_name"]: entry["hash_string"]
        for entry in json.loads(described.read_text())["type_hashes"]
    }
    assert hashes["tf2_msgs/msg/TFMessage"] == (
        "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
    )
