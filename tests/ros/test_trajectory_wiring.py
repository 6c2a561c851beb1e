"""trajectory_node in this process, before a control that follows it at once: its life, and clients
that vanish.
"""

import math
import threading
import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from conure_core.robot.description import load_robot
from conure_msgs.msg import Mode, RobotState
from conure_ros.comms import sole_publisher
from conure_ros.comms.messages import joint_goal, joint_state_message, mode_message, to_time
from conure_ros.comms.qos import LATCHED, NEWEST, PARTS
from conure_ros.nodes.trajectory_node import TrajectoryNode
from tests.ros.goals import done

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
SUCCESS = TransitionCallbackReturn.SUCCESS
TURNED = HOME + [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
PERIOD_S, STALE_S = 0.02, 0.185


class Follower:
    """Stands for control and arm: they are where the last goal was, at once; without one they
    hold.
    """

    def __init__(self, node):
        self.node = node
        self.begin()
        self.states = node.create_publisher(RobotState, "robot_state", LATCHED)
        self.joints = node.create_publisher(JointState, "joint_states", PARTS)
        node.create_subscription(JointTrajectory, "command/trajectory", self.take, NEWEST)
        node.create_timer(PERIOD_S, self.tell)

    def begin(self):
        self.joint_rad, self.gripper_m = HOME.copy(), ROBOT.gripper_open_m
        self.moves, self.silent, self.rests = True, False, 0
        self.heard_s, self.followed = -math.inf, []

    def take(self, message):
        if not message.points:
            self.rests += 1
            return
        goal, self.heard_s = joint_goal(message, ROBOT), time.monotonic()
        if goal.joint_rad is not None:
            self.followed.append(goal.joint_rad)
        if self.moves:
            self.joint_rad = self.joint_rad if goal.joint_rad is None else goal.joint_rad
            self.gripper_m = self.gripper_m if goal.gripper_m is None else goal.gripper_m

    def tell(self):
        now_ns = self.node.get_clock().now().nanoseconds
        self.joints.publish(
            joint_state_message(ROBOT, self.joint_rad, np.zeros(6), self.gripper_m, now_ns)
        )
        if not self.silent:
            follows = time.monotonic() - self.heard_s < STALE_S
            state = RobotState(selected=mode_message(Mode.TRAJECTORY))
            state.mode = mode_message(Mode.TRAJECTORY if follows else Mode.HOLD)
            state.header.stamp = to_time(now_ns)
            self.states.publish(state)


class Rig:
    def __init__(self, node, peer, control):
        self.node, self.peer, self.control = node, peer, control
        self.arm = ActionClient(
            peer.node, FollowJointTrajectory, "trajectory/follow_joint_trajectory"
        )
        self.gripper = ActionClient(peer.node, GripperCommand, "trajectory_gripper/gripper_cmd")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.failure, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()

    def _spin(self):
        try:
            while not self.ended.is_set():
                self.executor.spin_once(timeout_sec=0.05)
        except Exception as error:
            self.failure.append(error)

    def do(self, work):
        """On the node's thread, as its services run."""
        task = self.executor.create_task(work)
        return done(task)

    def follow(self):
        return self.send(self.arm, trajectory_goal(TURNED))

    def send(self, client, goal):
        assert client.wait_for_server(20.0)

        async def sending():
            handle = await client.send_goal_async(goal)
            return await handle.get_result_async()

        return self.peer.begin(sending)

    def close(self):
        self.ended.set()
        self.thread.join()
        self.executor.shutdown()


def trajectory_goal(position_rad):
    """From where the arm is, in two seconds."""
    goal = FollowJointTrajectory.Goal()
    goal.trajectory.joint_names = list(ROBOT.joint_names)
    point = JointTrajectoryPoint(positions=position_rad.tolist(), velocities=[0.0] * 6)
    point.time_from_start = Duration(sec=2)
    goal.trajectory.points = [point]
    return goal


@pytest.fixture(scope="module")
def follower(peer):
    return Follower(peer.node)


@pytest.fixture
def rig(context, peer, follower, wait_until):
    follower.begin()
    node = TrajectoryNode()
    node.created_s -= 60.0
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    rig = Rig(node, peer, follower)
    wait_until(lambda: node.control.state is not None and not node.watch.fault, 20.0)
    yield rig
    rig.close()
    assert not rig.failure
    node.end()
    node.destroy_node()


def test_a_goal_ends_when_the_node_is_deactivated_and_cleaned_up_and_the_node_lives(
    rig, wait_until
):
    result = rig.follow()
    wait_until(lambda: rig.control.joint_rad[0] > 0.05, 10.0)
    assert rig.do(rig.node.trigger_deactivate) == SUCCESS
    ended = done(result)
    assert ended.status == GoalStatus.STATUS_ABORTED
    assert ended.result.error_string == "the trajectory node was deactivated"
    wait_until(lambda: rig.control.rests > 0, 5.0, "control is told to hold")
    refused = done(rig.follow()).result
    assert refused.error_string == "the trajectory node is not active"
    assert rig.do(rig.node.trigger_activate) == SUCCESS
    rig.follow()
    wait_until(lambda: rig.node.runs, 10.0)
    assert rig.do(rig.node.trigger_deactivate) == SUCCESS
    assert rig.do(rig.node.trigger_cleanup) == SUCCESS
    time.sleep(0.3)
    assert not rig.failure
    assert rig.do(rig.node.trigger_configure) == SUCCESS


def test_a_silent_control_or_arm_ends_a_goal(rig, wait_until):
    result = rig.follow()
    wait_until(lambda: rig.control.joint_rad[0] > 0.05, 10.0)
    rig.control.silent = True
    assert "control is silent" in done(result).result.error_string


def test_a_node_that_stalls_goes_on_where_it_was_and_nothing_leaps(rig, wait_until):
    result = rig.follow()
    wait_until(lambda: rig.control.joint_rad[0] > 0.05, 10.0)
    rig.do(lambda: time.sleep(0.9))
    ended = done(result)
    assert ended.status == GoalStatus.STATUS_SUCCEEDED, ended.result.error_string
    assert np.abs(np.diff(rig.control.followed, axis=0)).max() < 0.08
    assert np.allclose(rig.control.joint_rad, TURNED)


def test_an_arm_that_does_not_follow_ends_a_goal_by_its_path(rig, wait_until):
    rig.control.moves = False
    ended = done(rig.follow()).result
    assert ended.error_code == FollowJointTrajectory.Result.PATH_TOLERANCE_VIOLATED
    assert ended.error_string.startswith("'waist' is 0.3")


def test_a_gripper_that_stands_on_an_object_has_succeeded_and_says_that_it_stalled(rig):
    rig.control.moves = False
    goal = GripperCommand.Goal()
    goal.command.position = ROBOT.gripper_closed_m
    ended = done(rig.send(rig.gripper, goal))
    assert ended.status == GoalStatus.STATUS_SUCCEEDED
    assert ended.result.stalled and not ended.result.reached_goal
    assert ended.result.position == pytest.approx(ROBOT.gripper_open_m)


def test_a_goal_whose_client_is_gone_holds(rig, wait_until):
    client = rig.arm
    rig.follow()
    wait_until(lambda: rig.control.joint_rad[0] > 0.05, 10.0)
    rests = rig.control.rests
    rig.peer.begin(client.destroy)
    wait_until(lambda: rig.control.rests > rests and not rig.node.runs, 10.0)


def test_a_goal_whose_client_is_gone_before_it_was_seen_holds_too(rig, monkeypatch):
    monkeypatch.setattr(sole_publisher, "UNSEEN_S", 0.5)
    monkeypatch.setattr(rig.node, "count_subscribers", lambda topic: 0)
    rests = rig.control.rests
    ended = done(rig.follow())
    assert ended.status == GoalStatus.STATUS_ABORTED
    assert ended.result.error_string == "its client is gone"
    assert rig.control.rests > rests


def test_an_empty_trajectory_on_the_topic_ends_a_clients_goal_and_the_node_lives(rig, wait_until):
    topic = rig.peer.node.create_publisher(JointTrajectory, "trajectory/joint_trajectory", 1)
    result = rig.follow()
    wait_until(lambda: rig.control.joint_rad[0] > 0.05, 10.0)
    topic.publish(JointTrajectory())
    ended = done(result)
    assert ended.status == GoalStatus.STATUS_ABORTED
    assert ended.result.error_string == "an empty trajectory asks to hold"
    assert done(rig.follow()).status == GoalStatus.STATUS_SUCCEEDED


def test_a_goal_cancelled_at_once_ends_as_cancelled_and_moves_nothing_more(rig):
    async def sending():
        handle = await rig.arm.send_goal_async(trajectory_goal(TURNED))
        await handle.cancel_goal_async()
        return await handle.get_result_async()

    assert rig.arm.wait_for_server(20.0)
    ended = done(rig.peer.begin(sending))
    assert ended.status == GoalStatus.STATUS_CANCELED
    assert ended.result.error_string == "cancelled by its client"
    followed = len(rig.control.followed)
    time.sleep(0.3)
    assert len(rig.control.followed) <= followed + 1 and not rig.node.runs
