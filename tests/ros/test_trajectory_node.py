"""Goals of FollowJointTrajectory and of the gripper, sent as MoveIt sends them, to the simulated arm
behind control and its gate.
"""

import time
from itertools import pairwise

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory, GripperCommand, ParallelGripperCommand
from control_msgs.msg import JointTrajectoryControllerState
from geometry_msgs.msg import TwistStamped
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from conure_core.robot.description import load_robot
from conure_msgs.msg import Mode, RobotState
from conure_msgs.srv import SetMode
from conure_ros.comms.messages import joint_sample, mode_message, to_ns, to_time
from conure_ros.comms.qos import LATCHED, NEWEST
from conure_ros.comms.service_names import HOME as HOME_ARM
from conure_ros.comms.service_names import RESET_STOP, SET_MODE
from conure_ros.control.arbiter import named_mode
from conure_ros.faults.judge.rules import MeasuredMotion
from conure_ros.faults.live import WINDOW_S, shared_judge
from tests.ros.goals import GoalClient, done

pytestmark = pytest.mark.ros
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
DOWN = HOME + [0.0, 0.9, 0.3, 0.0, 0.0, 0.0]
"""Into the table."""
Result = FollowJointTrajectory.Result
ARM, GRIPPER, PARALLEL = (
    "trajectory/follow_joint_trajectory",
    "trajectory_gripper/gripper_cmd",
    "trajectory_gripper/parallel_gripper_cmd",
)
ACTIONS = {
    ARM: FollowJointTrajectory,
    GRIPPER: GripperCommand,
    PARALLEL: ParallelGripperCommand,
}
PATIENT = {"control.stale_periods": 9.0}
"""Of a control on a machine that does other work: a command may be late."""


def trajectory(*ways, seconds=1.0, start=None):
    """From home, or from `start`, along these positions, `seconds` for each way, at rest at the
    end of each.
    """
    message = JointTrajectory(joint_names=list(reversed(ROBOT.joint_names)))
    points = [*([] if start is None else [start]), *ways]
    for number, position_rad in enumerate(points, start=int(start is None)):
        point = JointTrajectoryPoint(positions=position_rad[::-1].tolist(), velocities=[0.0] * 6)
        nanoseconds = round(number * seconds * 1e9)
        point.time_from_start = Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        message.points.append(point)
    return message


def turned(waist_rad, wrist_rad=0.0):
    return HOME + [waist_rad, 0.0, 0.0, 0.0, 0.0, wrist_rad]


class Client(GoalClient):
    """Of all actions, as MoveIt is one."""

    def __init__(self, graph, peer):
        super().__init__(peer)
        self.graph = graph
        self.states = peer.listen(RobotState, "robot_state", LATCHED)
        self.joints = peer.listen(JointState, "joint_states", 50)
        self.reported = peer.listen(JointTrajectoryControllerState, "trajectory/controller_state")
        self.person = peer.node.create_publisher(TwistStamped, "teleop/twist", NEWEST)
        self.topic = peer.node.create_publisher(JointTrajectory, "trajectory/joint_trajectory", 1)
        self.feedback = []
        self.clients = {name: ActionClient(peer.node, kind, name) for name, kind in ACTIONS.items()}
        assert all(client.wait_for_server(20) for client in self.clients.values())

    def send(self, action, **fields):
        goal = ACTIONS[action].Goal(**fields)

        async def sending():
            return await self.clients[action].send_goal_async(goal, self.feedback.append)

        return done(self.peer.begin(sending))

    def follow(self, message, **fields):
        return self.send(ARM, trajectory=message, **fields)

    def grip(self, position_m):
        goal = GripperCommand.Goal()
        goal.command.position = position_m
        return done(self.result(self.send(GRIPPER, command=goal.command)))

    def select(self, mode):
        answer = self.peer.call(SetMode, SET_MODE, mode=mode_message(named_mode(mode)))
        assert answer.success, answer.message

    @property
    def measured(self):
        return joint_sample(self.joints[-1], ROBOT)

    def go_home(self):
        assert self.peer.call(Trigger, HOME_ARM, timeout_s=60.0).success
        self.select("trajectory")


@pytest.fixture(scope="module")
def running(start, peer):
    return Client(start("trajectory", arm="sim", start_mode="trajectory", **PATIENT), peer)


@pytest.fixture
def client(running):
    """The arm at home, and trajectories may move it."""
    running.go_home()
    return running


def moving(client, goal_rad):
    """A goal that moves the arm now, and the future of its result."""
    handle = client.follow(trajectory(goal_rad, seconds=4.0))
    start = client.measured.joint_rad
    wait_until_moved(client, start)
    return handle, client.result(handle)


def wait_until_moved(client, start_rad, away_rad=0.03, timeout_s=20.0):
    deadline_s = time.monotonic() + timeout_s
    while np.abs(client.measured.joint_rad - start_rad).max() < away_rad:
        assert time.monotonic() < deadline_s, client.states[-1].reason
        time.sleep(0.01)


def rests(client):
    """Whether the arm moves no more, by its own measurements over half a second."""
    time.sleep(0.3)  # to brake
    first = client.measured.joint_rad
    time.sleep(0.5)
    return np.abs(client.measured.joint_rad - first).max() < 0.005


def test_a_trajectory_is_followed_in_time_and_the_measured_motion_keeps_every_limit(client):
    began = len(client.joints)
    ways = [turned(0.25, 0.5), turned(-0.2, -0.4), turned(0.0)]
    client.feedback.clear()
    handle = client.follow(trajectory(*ways, start=HOME))
    result = done(client.result(handle))
    assert result.status == GoalStatus.STATUS_SUCCEEDED, result.result.error_string
    assert result.result.error_code == Result.SUCCESSFUL
    assert np.abs(client.measured.joint_rad - HOME).max() < 0.05
    samples = [joint_sample(message, ROBOT) for message in list(client.joints)[began:]]
    joint_rad = np.array([sample.joint_rad for sample in samples])
    assert joint_rad[:, 0].max() > 0.22 and joint_rad[:, 0].min() < -0.17, "through every point"
    times_s = np.array([sample.stamp_ns for sample in samples]) / 1e9
    motion = MeasuredMotion(times_s, joint_rad)
    judgement = shared_judge("wx250s").judge_motion(motion, WINDOW_S, every=5)
    assert judgement.kept and judgement.rows > 50, judgement.broken
    told = [message.feedback for message in client.feedback]
    assert len(told) > 10 and list(told[0].joint_names) == list(ROBOT.joint_names)
    desired = np.array([feedback.desired.positions for feedback in told])
    assert np.ptp(desired[:, 0]) > 0.3
    for feedback in told:
        wanted, found = np.array(feedback.desired.positions), np.array(feedback.actual.positions)
        assert np.allclose(wanted - found, feedback.error.positions)


def test_a_cancelled_goal_holds_at_once(client):
    handle, result = moving(client, turned(0.6))
    asked_ns = client.peer.now_ns
    done(client.cancel(handle))
    assert client.peer.seconds_until(Mode.HOLD, client.states, asked_ns) < 0.5
    assert done(result).status == GoalStatus.STATUS_CANCELED
    assert rests(client) and client.measured.joint_rad[0] < 0.55


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda client: client.peer.call(Trigger, "control/stop"), "stopped"),
        (lambda client: client.select("hold"), "another mode was chosen"),
        (lambda client: client.select("policy"), "another mode was chosen"),
    ],
    ids=["stop", "hold", "policy"],
)
def test_stop_and_another_mode_end_a_goal_with_a_reason(client, end, reason):
    _, result = moving(client, turned(0.6))
    end(client)
    ended = done(result)
    assert ended.status == GoalStatus.STATUS_ABORTED
    assert ended.result.error_code == Result.INVALID_GOAL
    assert reason in ended.result.error_string
    assert rests(client) and client.measured.joint_rad[0] < 0.55
    refused = done(client.result(client.follow(trajectory(turned(0.1))))).result
    assert "choose the mode trajectory first" in refused.error_string
    assert rests(client)
    if client.states[-1].stopped:
        client.peer.call(Trigger, RESET_STOP)


def test_a_person_takes_over_and_trajectories_move_no_more_until_they_are_chosen(
    client, wait_until
):
    _, result = moving(client, turned(0.6))
    twist = TwistStamped()
    twist.twist.linear.z = 0.02
    while not result.done():
        twist.header.stamp = to_time(client.peer.now_ns)
        client.person.publish(twist)
        time.sleep(0.05)
    ended = done(result).result
    assert ended.error_string == "a person took over"
    wait_until(lambda: client.states[-1].mode.value == Mode.HOLD, 10.0, "the hand rests")
    refused = done(client.result(client.follow(trajectory(turned(0.1))))).result
    assert refused.error_code == Result.INVALID_GOAL
    assert client.states[-1].selected.value == Mode.TELEOP


def test_a_new_goal_takes_the_place_of_the_one_before_without_a_rest_between(client):
    _, first = moving(client, turned(0.6))
    began_ns = client.peer.now_ns
    second = client.follow(trajectory(turned(0.3), seconds=1.5))
    assert done(first).result.error_string == "a new goal took its place"
    assert done(client.result(second)).status == GoalStatus.STATUS_SUCCEEDED
    assert abs(client.measured.joint_rad[0] - 0.3) < 0.05
    later = [state for state in list(client.states) if to_ns(state.header.stamp) > began_ns]
    modes = [state.mode.value for state in later]
    assert modes[0] == Mode.TRAJECTORY and Mode.HOLD not in modes[: len(modes) // 2]


REFUSED = [
    (JointTrajectory(joint_names=["elbow"]), Result.INVALID_JOINTS, "lacks 'waist'"),
    (trajectory(turned(0.4), start=turned(0.3)), Result.INVALID_GOAL, "'waist' 0.300 rad from"),
    (trajectory(turned(0.6), seconds=0.2), Result.INVALID_GOAL, "(speed waist"),
    (trajectory(DOWN, seconds=3.0), Result.INVALID_GOAL, "the safety gate changes it"),
]


def test_a_goal_that_cannot_be_followed_is_refused_with_the_reason_and_nothing_moves(client):
    before = client.measured.joint_rad
    for message, code, why in REFUSED:
        ended = done(client.result(client.follow(message)))
        assert ended.status == GoalStatus.STATUS_ABORTED
        assert ended.result.error_code == code and why in ended.result.error_string
    assert np.abs(client.measured.joint_rad - before).max() < 0.005


def test_the_gripper_goes_where_it_is_told_and_the_arm_stays(client):
    before = client.measured.joint_rad
    middle_m = (ROBOT.gripper_open_m + ROBOT.gripper_closed_m) / 2
    ended = client.grip(middle_m)
    assert ended.status == GoalStatus.STATUS_SUCCEEDED
    assert ended.result.reached_goal and not ended.result.stalled
    assert abs(ended.result.position - middle_m) < 0.003
    assert np.abs(client.measured.joint_rad - before).max() < 0.01
    state = JointState(name=[ROBOT.gripper_joint], position=[ROBOT.gripper_open_m])
    parallel = done(client.result(client.send(PARALLEL, command=state)))
    assert parallel.result.reached_goal
    assert abs(parallel.result.state.position[0] - ROBOT.gripper_open_m) < 0.003
    refused = client.grip(1.0)
    assert refused.status == GoalStatus.STATUS_ABORTED and not refused.result.reached_goal
    assert any("position must be from" in line for _, line in client.graph.lines)


def test_arm_and_gripper_move_together(client):
    arm = client.result(client.follow(trajectory(turned(0.3), seconds=2.0)))
    gripper = client.grip(ROBOT.gripper_closed_m)
    assert gripper.status == GoalStatus.STATUS_SUCCEEDED and not arm.done()
    assert done(arm).status == GoalStatus.STATUS_SUCCEEDED
    assert abs(client.measured.gripper_m - ROBOT.gripper_closed_m) < 0.003, "it stays closed"


def test_a_trajectory_on_the_topic_is_followed_and_an_empty_one_holds(client):
    """As MoveIt Servo and rqt send them."""
    start = client.measured.joint_rad
    client.topic.publish(trajectory(turned(0.5), seconds=4.0))
    wait_until_moved(client, start)
    client.topic.publish(JointTrajectory())
    assert rests(client) and client.measured.joint_rad[0] < 0.45
    stamps_ns = [to_ns(state.header.stamp) for state in client.reported]
    assert all(before <= after for before, after in pairwise(stamps_ns))
    assert np.allclose(client.reported[-1].feedback.positions, client.measured.joint_rad, atol=0.02)
