"""sim_robot_node alone, as a process: what stands there must behave as a driver and a camera do."""

import contextlib
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Empty
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.safety import JointCommand
from conure_core.robot.description import load_robot
from conure_core.robot.link_transforms import rotate
from conure_msgs.srv import ResetScene, TaskStatus
from conure_ros.bringup.graphs import GRAPHS, SIM_ROBOT, build_graph
from conure_ros.cameras.encodings import rgb_pixels
from conure_ros.comms.messages import joint_sample, to_ns, to_time, trajectory_message
from conure_ros.comms.qos import ANY, LATCHED, NEWEST
from conure_sim.physics.arm_simulation import load_arm_simulation

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)


class Rig:
    def __init__(self, peer, graph, control):
        self.peer, self.graph, self.control = peer, graph, control
        self.heard_stops = peer.listen(Empty, "stop")
        self.stops = peer.node.create_publisher(Empty, "stop", NEWEST)
        self.joints, self.images = (
            peer.listen(JointState, "joint_states"),
            peer.listen(Image, "camera/image_raw"),
        )
        self.infos = peer.listen(CameraInfo, "camera/camera_info")
        self.frames = peer.listen(TFMessage, "/tf_static", LATCHED)
        self.trajectories = peer.node.create_publisher(JointTrajectory, "joint_trajectory", NEWEST)

    def joint_rad(self):
        return joint_sample(self.joints[-1], ROBOT).joint_rad

    def follow(self, joint_rad, change=lambda message: None):
        message = trajectory_message(
            ROBOT, JointCommand(np.asarray(joint_rad), ROBOT.gripper_open_m, 0.2), 0
        )
        change(message)
        self.trajectories.publish(message)
        time.sleep(0.5)

    @contextlib.contextmanager
    def led(self, message):
        """Somebody sends this command again and again, as control sends new ones."""
        ended = threading.Event()

        def lead():
            while not ended.wait(0.05):
                self.trajectories.publish(message)

        leader = threading.Thread(target=lead)
        leader.start()
        try:
            yield
        finally:
            ended.set()
            leader.join()

    def moved_rad(self, since):
        return np.abs(self.joint_rad() - since).max()

    def change(self, *transitions):
        for transition in transitions:
            request = {"transition": Transition(id=transition)}
            assert self.peer.call(ChangeState, "sim_robot/change_state", **request).success

    def await_line(self, text, since, wait_until):
        """A line that the graph writes after so many."""
        wait_until(lambda: any(text in line for _, line in self.graph.lines[since:]), 10, text)

    def release(self, wait_until):
        since = len(self.graph.lines)
        self.control.reset_stop()
        self.await_line("the stop was reset", since, wait_until)

    def reset(self, seed):
        response = self.peer.call(ResetScene, "scene/reset", seed=seed, task="Lift")
        assert response.success, response.message
        time.sleep(0.3)
        return response


@pytest.fixture(scope="module")
def simulated(start, peer, stand_in_control):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "arm", build_graph(SIM_ROBOT))
        return Rig(peer, start("arm"), stand_in_control)


@pytest.fixture
def rig(simulated, wait_until):
    simulated.reset(0)
    wait_until(lambda: simulated.images and simulated.joints, 10)
    return simulated


def test_joint_states_come_at_50_hz_or_more_and_images_at_the_control_rate(rig):
    for heard in (rig.joints, rig.images, rig.infos):
        heard.clear()
    began_s = time.monotonic()
    time.sleep(2.0)
    elapsed_s = time.monotonic() - began_s
    assert len(rig.joints) >= 50 * elapsed_s
    assert len(rig.images) == pytest.approx(elapsed_s / ROBOT.control_period_s, abs=2)
    stamps = [to_ns(image.header.stamp) for image in rig.images]
    assert np.median(np.diff(stamps)) == pytest.approx(ROBOT.control_period_s * 1e9, rel=0.1)
    measured = {to_ns(message.header.stamp) for message in rig.joints}
    described = {to_ns(info.header.stamp) for info in rig.infos}
    # A busy machine may lose one now and then on the way to this test.
    assert len(measured & set(stamps)) >= 0.8 * len(stamps), (
        "joints are measured at the capture as well"
    )
    assert len(described & set(stamps)) >= 0.8 * len(stamps)
    assert list(rig.joints[0].name) == list(ROBOT.command_names)


def test_images_are_rgb8_with_matching_camera_info(rig):
    pixels = rgb_pixels(rig.images[-1])
    assert pixels.std() > 5
    info = rig.infos[-1]
    assert (info.width, info.height) == (48, 48)
    assert info.k[0] > 0 and (info.k[2], info.k[5]) == (24.0, 23.0)
    assert info.header.frame_id == rig.images[-1].header.frame_id == "camera_optical_frame"


def test_the_cameras_frame_is_published_where_the_camera_is(rig, wait_until):
    wait_until(lambda: rig.frames, 10)
    (transform,) = rig.frames[-1].transforms
    assert transform.header.frame_id == ROBOT.base_frame
    assert transform.child_frame_id == rig.images[-1].header.frame_id
    place, turn = transform.transform.translation, transform.transform.rotation
    scene = load_arm_simulation("wx250s")
    eye_m, gaze_m = np.array(scene.camera_eye_m), np.array(scene.camera_gaze_m)
    assert np.allclose([place.x, place.y, place.z], eye_m, atol=1e-6)
    forward = rotate(np.array([turn.x, turn.y, turn.z, turn.w]), np.array([0.0, 0.0, 1.0]))
    assert np.allclose(forward, (gaze_m - eye_m) / np.linalg.norm(gaze_m - eye_m), atol=1e-6)


def test_images_of_a_still_scene_differ_as_a_real_cameras_do_and_by_one_bit(rig, wait_until):
    rig.images.clear()
    wait_until(lambda: len(rig.images) > 4, 10)
    images = [rgb_pixels(image).astype(int) for image in rig.images]
    assert 1 in [np.abs(after - before).sum() for before, after in pairwise(images)]


def test_a_trajectory_is_followed_by_name_in_whatever_order_and_then_held(rig):
    def turned_round(message):
        message.joint_names = message.joint_names[::-1]
        message.points[0].positions = message.points[0].positions[::-1]

    goal = HOME + [0.15, 0.05, -0.05, 0.1, 0.05, 0.2]
    rig.follow(goal, turned_round)
    assert np.abs(rig.joint_rad() - goal).max() < 0.03
    time.sleep(0.3)
    assert np.abs(rig.joint_rad() - goal).max() < 0.03, "it holds when commands stop"


def commanded(away_rad, duration_s):
    goal = HOME + [away_rad, 0, 0, 0, 0, 0]
    return trajectory_message(ROBOT, JointCommand(goal, ROBOT.gripper_open_m, duration_s), 0)


def test_one_command_moves_no_joint_faster_than_its_limit_or_for_long(rig):
    """Whoever sends it: one that is too fast takes longer, and nothing is followed for more than
    two control periods.
    """
    rig.joints.clear()
    rig.trajectories.publish(commanded(1.5, 0.001))
    time.sleep(0.8)
    reached_s = 2.0 * ROBOT.control_period_s
    farthest_rad = ROBOT.max_speed_rad_s[0] * (reached_s + 0.05)
    assert 0.3 < rig.moved_rad(HOME) < farthest_rad
    samples = [
        (to_ns(one.header.stamp) / 1e9, joint_sample(one, ROBOT).joint_rad[0]) for one in rig.joints
    ]
    times_s, angles = np.array(samples).T
    apart = 5  # 50 ms: the stamps of a busy machine jitter
    speeds = (angles[apart:] - angles[:-apart]) / (times_s[apart:] - times_s[:-apart])
    assert np.abs(speeds).max() < 1.3 * ROBOT.max_speed_rad_s[0]


@pytest.mark.parametrize("seed", [-1, 2**31, 2**62])
def test_a_seed_that_is_none_is_refused_and_the_arm_lives_on(rig, seed):
    response = rig.peer.call(ResetScene, "scene/reset", seed=seed, task="Lift")
    assert not response.success and f"seed must be from 0 to {2**31 - 1}" in response.message


def test_a_stop_of_a_best_effort_publisher_is_a_stop(rig, wait_until):
    """As buttons on microcontrollers publish: pressed until it is heard, for a message may be lost."""
    lines = len(rig.graph.lines)
    button = rig.peer.node.create_publisher(Empty, "stop", ANY)

    def heard():
        button.publish(Empty())
        return any("stopped by the stop topic" in line for _, line in rig.graph.lines[lines:])

    try:
        wait_until(heard, 10, "the stop is heard")
        rig.follow(HOME + 0.1)
        assert rig.moved_rad(HOME) < 0.03
    finally:
        rig.peer.node.destroy_publisher(button)
    rig.release(wait_until)


def test_a_command_that_waited_moves_nothing_and_its_age_is_named(rig):
    """A driver that was suspended finds one of before a stop, and may hear of the stop later."""

    def sent_long_ago(message):
        message.header.stamp = to_time(time.time_ns() - 10**9)

    before = rig.joint_rad()
    rig.follow(before + 0.2, sent_long_ago)
    assert rig.moved_rad(before) < 0.01
    rig.graph.wait_for_line("old when it came", 5)


def test_a_trajectory_that_lacks_a_joint_moves_nothing_and_names_it(rig):
    def without_elbow(message):
        index = list(message.joint_names).index("elbow")
        message.joint_names = [name for name in message.joint_names if name != "elbow"]
        message.points[0].positions.pop(index)

    rig.follow(HOME + 0.1, without_elbow)
    assert np.abs(rig.joint_rad() - HOME).max() < 0.03
    rig.graph.wait_for_line("joint_trajectory lacks 'elbow'", 5)


def test_the_same_seed_gives_the_same_scene_and_the_arm_starts_at_home(rig, wait_until):
    def seen(seed):
        response = rig.reset(seed)
        rig.images.clear()
        wait_until(lambda: rig.images, 5)
        return rgb_pixels(rig.images[0]).astype(int), response

    first, told = seen(3)
    rig.follow(HOME + 0.1)
    again, told_again = seen(3)
    other, _ = seen(4)
    assert np.abs(first - again).mean() < 0.5, "the objects settle for a moment"
    assert np.abs(first - other).mean() > 1.0
    assert told.target == told_again.target
    assert told.target in told.objects
    assert np.abs(rig.joint_rad() - HOME).max() < 0.03


def test_an_unknown_task_or_target_is_refused_by_name(rig):
    response = rig.peer.call(ResetScene, "scene/reset", seed=0, task="Lfit")
    assert not response.success
    assert "Lift" in response.message
    response = rig.peer.call(
        ResetScene, "scene/reset", seed=0, task="Lift", target_object="no_such_thing"
    )
    assert not response.success
    assert "no_such_thing" in response.message
    assert not rig.peer.call(TaskStatus, "scene/status").success_now


def test_an_inactive_robot_ignores_commands(rig, wait_until):
    rig.change(Transition.TRANSITION_DEACTIVATE)
    try:
        time.sleep(0.3)  # what is on its way comes
        rig.joints.clear()
        rig.follow(HOME + 0.2)
        assert not rig.joints
    finally:
        rig.change(
            Transition.TRANSITION_CLEANUP,
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_ACTIVATE,
        )
    wait_until(lambda: rig.joints, 5)
    time.sleep(0.3)
    assert np.abs(rig.joint_rad() - HOME).max() < 0.03


def test_a_stop_ends_motion_in_the_driver_and_only_a_later_reset_lets_it_move_again(
    rig, wait_until
):
    """The arm is led on, before and after the stop; control hears of none."""
    lines = len(rig.graph.lines)
    rig.control.reset_stop()  # the last one before the stop, repeated below
    message = trajectory_message(
        ROBOT, JointCommand(HOME + [1.0, 0, 0, 0, 0, 0], ROBOT.gripper_open_m, 2.0), 0
    )
    with rig.led(message):
        wait_until(lambda: rig.moved_rad(HOME) > 0.1, 5)
        rig.stops.publish(Empty())
        rig.await_line("stopped by the stop topic", lines, wait_until)
        time.sleep(0.1)
        stopped = rig.joint_rad()
        assert rig.moved_rad(HOME) < 0.6, "it was on its way"
    for _ in range(3):
        rig.control.say(stopped=False)  # sent with the reset of before the stop
        rig.trajectories.publish(message)
        time.sleep(0.1)
    assert rig.moved_rad(stopped) < 0.01
    assert rig.reset(0)
    rig.follow(HOME + 0.1)
    assert rig.moved_rad(HOME) < 0.03, "a new scene puts the arm at home; it does not end the stop"
    rig.change(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    rig.change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    rig.control.say(stopped=False)
    rig.follow(HOME + 0.1)
    assert rig.moved_rad(HOME) < 0.03, "nor does a new life"
    rig.release(wait_until)
    rig.follow(HOME + 0.1)
    assert rig.moved_rad(HOME + 0.1) < 0.03


def test_control_that_is_stopped_stops_the_driver(rig, wait_until):
    lines = len(rig.graph.lines)
    rig.control.say(stopped=True, reason="the stop service")
    rig.await_line("stopped by control (the stop service)", lines, wait_until)
    rig.follow(HOME + 0.1)
    rig.control.say(stopped=False)  # deactivated meanwhile
    rig.follow(HOME + 0.1)
    assert rig.moved_rad(HOME) < 0.03
    rig.release(wait_until)
    rig.follow(HOME + 0.1)
    assert rig.moved_rad(HOME + 0.1) < 0.03


def test_while_two_nodes_command_the_arm_it_stands_still_names_both_and_stops_everybody(
    rig, wait_until
):
    lines = len(rig.graph.lines)
    rig.heard_stops.clear()
    message = trajectory_message(
        ROBOT, JointCommand(HOME + [1.0, 0, 0, 0, 0, 0], ROBOT.gripper_open_m, 2.0), 0
    )
    with rig.led(message):
        wait_until(lambda: rig.moved_rad(HOME) > 0.05, 5)
    rival = rig.peer.node.create_publisher(JointTrajectory, "joint_trajectory", NEWEST)
    try:
        wait_until(lambda: rig.heard_stops, 5, "the driver's stop")
        rig.await_line("several nodes publish /joint_trajectory: /test, /test", lines, wait_until)
        time.sleep(0.1)
        stopped = rig.joint_rad()
        for _ in range(3):
            rig.trajectories.publish(message)
            rival.publish(message)
            rig.control.reset_stop()
            time.sleep(0.1)
        assert rig.moved_rad(stopped) < 0.01, "a reset does not help while both are there"
    finally:
        rig.peer.node.destroy_publisher(rival)
    wait_until(lambda: rig.trajectories.get_subscription_count() == 1, 5)
    # The driver may take a moment to learn that the rival is gone, and stops again until then.
    goal = HOME + 0.1

    def moved():
        rig.control.reset_stop()
        rig.follow(goal)
        return rig.moved_rad(goal) < 0.03

    wait_until(moved, 20)
