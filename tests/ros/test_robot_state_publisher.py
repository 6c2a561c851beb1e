"""robot_description, and the arm's frames where the arm is."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.robot.link_transforms import rotate
from conure_ros.bringup.graphs import GRAPHS, ROBOT_STATE_PUBLISHER, build_graph
from conure_ros.comms.messages import NANOSECONDS, joint_state_message, to_ns
from conure_ros.comms.qos import LATCHED, NEWEST, STREAM

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)


class Rig:
    """The node as a process, with a prefix, and a peer on its other end."""

    def __init__(self, peer, wait_until):
        self.peer, self.wait_until = peer, wait_until
        self.described = peer.listen(String, "robot_description", LATCHED)
        self.moving = peer.listen(TFMessage, "/tf", STREAM)
        self.fixed = peer.listen(TFMessage, "/tf_static", LATCHED)
        self.states = peer.node.create_publisher(JointState, "joint_states", NEWEST)

    def publish(self, stamp_ns, **changes):
        message = joint_state_message(ROBOT, HOME, np.zeros(6), 0.03, stamp_ns)
        for name, value in changes.items():
            setattr(message, name, value)
        self.states.publish(message)

    def frames_of(self, stamp_ns, **changes):
        """The transforms with this stamp, once they come."""

        def found():
            self.publish(stamp_ns, **changes)
            return [
                message.transforms
                for message in list(self.moving)
                if to_ns(message.transforms[0].header.stamp) == stamp_ns
            ]

        self.wait_until(found, 20)
        return found()[0]


@pytest.fixture(scope="module")
def rig(start, peer, wait_until):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "described", build_graph(ROBOT_STATE_PUBLISHER))
        start("described", wait=False, frame_prefix="left/")
        yield Rig(peer, wait_until)


def base_from_tool(transforms):
    """Translation of the tool in the base frame, by /tf and /tf_static."""
    above = {one.child_frame_id: one for one in transforms}
    place, frame = np.zeros(3), f"left/{ROBOT.tool_frame}"
    while frame != f"left/{ROBOT.base_frame}":
        one = above[frame]
        turn, step = one.transform.rotation, one.transform.translation
        rotation = np.array([turn.x, turn.y, turn.z, turn.w])
        place = rotate(rotation, place) + [step.x, step.y, step.z]
        frame = one.header.frame_id
    return place


def test_the_tool_is_where_the_arms_kinematics_have_it_under_a_prefix(rig, wait_until):
    moving = rig.frames_of(5 * NANOSECONDS)
    wait_until(lambda: rig.fixed and rig.described, 20)
    found = base_from_tool([*moving, *rig.fixed[-1].transforms])
    assert np.allclose(found, Arm(ROBOT).forward(HOME)[:3, 3], atol=1e-9)
    assert '<robot name="wx250s">' in rig.described[-1].data
    children = {one.child_frame_id for one in moving}
    assert {"left/left_finger_link", "left/right_finger_link"} <= children, "one mimics the other"


def test_joints_that_are_not_there_and_positions_that_are_no_numbers_move_no_frame(rig):
    positions = [float("nan"), 0.2, *HOME[2:].tolist(), 0.03]
    names = [*ROBOT.command_names[:2], *"abcde"]
    moving = rig.frames_of(10 * NANOSECONDS, position=positions, name=names)
    assert [one.child_frame_id for one in moving] == ["left/upper_arm_link"]


def test_frames_come_at_most_so_often_and_go_on_where_time_steps_back(rig):
    rig.frames_of(20 * NANOSECONDS)
    count = len(rig.moving)
    for step in range(1, 60):
        rig.publish(20 * NANOSECONDS + step * NANOSECONDS // 100)
        time.sleep(0.005)
    rig.frames_of(3 * NANOSECONDS)
    stamps = [to_ns(message.transforms[0].header.stamp) for message in rig.moving[count:]]
    assert (np.diff([stamp for stamp in stamps if stamp > 19 * NANOSECONDS]) >= 50_000_000).all()


def test_arm_and_gripper_that_publish_apart_both_move_their_frames(rig, wait_until):
    arm, gripper = ROBOT.command_names[:-1], ROBOT.command_names[-1:]
    count, step = len(rig.moving), 0

    def children():
        return {one.child_frame_id for some in rig.moving[count:] for one in some.transforms}

    def both():
        nonlocal step
        step += 1
        stamp_ns = 30 * NANOSECONDS + step * NANOSECONDS // 50
        rig.publish(stamp_ns, name=arm, position=HOME.tolist(), velocity=[])
        time.sleep(0.01)
        rig.publish(stamp_ns + 1_000_000, name=gripper, position=[0.03], velocity=[])
        return children() >= {"left/upper_arm_link", "left/left_finger_link"}

    wait_until(both, 20)


def test_its_status_has_a_name_of_its_own_and_says_whose_it_is(rig, peer, wait_until):
    heard = peer.listen(DiagnosticArray, "/diagnostics")
    wait_until(lambda: heard, 20)
    status = heard[-1].status[0]
    assert (status.name, status.hardware_id) == ("robot_state_publisher: frames", "wx250s")
