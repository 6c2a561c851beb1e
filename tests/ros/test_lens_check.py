"""A camera that sees more or less than the policy's is refused by name."""

import math
import re

import pytest
from sensor_msgs.msg import CameraInfo, Image

from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_ros.cameras.framing import Framing
from conure_ros.cameras.lens_check import lens_difference
from conure_ros.comms.messages import camera_info_message
from conure_ros.nodes.policy_node import PolicyNode
from conure_sim.physics.arm_simulation import ARMS_DIR, load_arm_simulation, table_camera

SIZE = 48
ROBOT = load_robot("wx250s")


def trained():
    return table_camera(SIZE, "wx250s").matrix()


def differing(scale=1.0, shift_px=0.0):
    matrix = trained()
    matrix[0, 0] *= scale
    matrix[1, 1] *= scale
    matrix[0, 2] += shift_px
    return lens_difference(matrix, SIZE, ROBOT.camera_field_of_view_rad)


@pytest.mark.parametrize("name", sorted(path.stem for path in ARMS_DIR.glob("*.yaml")))
def test_the_robots_file_says_what_the_simulated_camera_sees(name):
    """Also those that are the same arm on other connections, which training never sees."""
    expected = load_arm_simulation(name).camera_field_of_view_rad
    for path in ROBOTS_DIR.glob(f"{name}*.yaml"):
        assert load_robot(path.stem).camera_field_of_view_rad == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (0, 2), (1, 2)])
def test_intrinsics_that_are_no_numbers_are_refused(place, value):
    matrix = trained()
    matrix[place] = value
    said = lens_difference(matrix, SIZE, ROBOT.camera_field_of_view_rad)
    assert "k is not finite; calibrate the camera again" in said


@pytest.mark.parametrize("scale", [0.95, 1.0, 1.05])
def test_the_trained_camera_and_what_randomization_shows_are_taken(scale):
    assert differing(scale) == ""


@pytest.mark.parametrize(
    ("scale", "says"),
    [(1.2, "20% longer .* take a wider lens"), (0.8, "20% shorter .* take 80 % of the frame")],
)
def test_a_longer_or_shorter_lens_is_refused_with_both_focal_lengths(scale, says):
    message = differing(scale)
    assert f"{trained()[0, 0] * scale:.1f} px, expected {trained()[0, 0]:.1f} px" in message
    assert re.search(says, message), message


def test_a_camera_that_looks_past_the_middle_is_refused():
    assert differing(shift_px=0.5) == "", "one convention or the other of a pixel's centre"
    assert "principal point is at x" in differing(shift_px=6.0)


class Node:
    """What policy_node asks itself for."""

    active, robot, image_shape = True, ROBOT, (SIZE, SIZE, 3)
    fault = lens_fault = ""
    _lens_difference = PolicyNode._lens_difference

    def __init__(self, fit):
        self.framing, self.dropped = Framing(fit, SIZE), []

    def now_ns(self):
        return 0

    def _drop(self, kind, why):
        self.dropped.append((kind, why))


@pytest.mark.parametrize(("fit", "factor"), [("none", 1), ("crop", 10)])
@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_no_image_of_another_camera_reaches_the_policy(fit, factor, scale):
    node, camera = Node(fit), table_camera(SIZE * factor, "wx250s").intrinsics.zoomed(scale)
    info = camera_info_message(camera.matrix(), SIZE * factor, SIZE * factor, 0, "camera")
    PolicyNode._on_camera_info(node, info)
    if scale == 1.0:
        assert not node.lens_fault
        return
    PolicyNode._on_image(node, Image())
    ((kind, why),) = node.dropped
    assert kind == "another camera" and "20% longer" in why


@pytest.mark.parametrize("matrix", [[0.0] * 9, None])
def test_what_cannot_be_compared_is_not_refused(matrix):
    node = Node("none")
    size = SIZE if matrix else 10 * SIZE  # of another size, which is refused as such
    info = CameraInfo(width=size, height=size)
    info.k = (
        matrix or table_camera(10 * SIZE, "wx250s").intrinsics.zoomed(2.0).matrix().ravel().tolist()
    )
    PolicyNode._on_camera_info(node, info)
    assert not node.lens_fault and bool(node.fault) == (matrix is None)
