"""A person beside a policy, in the graph `robot` with the simulated arm: every node a process of
its own.
"""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Empty
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode, StartEpisode, StopEpisode
from conure_ros.bringup.graph_parameters import file_parameters
from conure_ros.bringup.graphs import TELEOP
from conure_ros.comms.messages import mode_message
from conure_ros.comms.qos import LATCHED, NEWEST
from conure_ros.control.arbiter import Mode, named_mode
from conure_ros.recording.episodes import Episode
from conure_ros.recording.quality import measure_recording

pytestmark = pytest.mark.ros
ROBOT = load_robot("wx250s")
PERIOD_S = ROBOT.control_period_s
PAD = file_parameters(TELEOP)
UNCHANGED_S = 2.0


class Rig:
    """A joystick that sends at 40 Hz while it is asked to, and ears everywhere."""

    def __init__(self, peer):
        self.peer, self.node = peer, peer.node
        self.states, self.teleop, self.policy, self.trajectories = [], [], [], []
        for heard, kind, topic, quality in (
            (self.states, RobotState, "robot_state", LATCHED),
            (self.teleop, PolicyCommand, "command/teleop", 100),
            (self.policy, PolicyCommand, "command/policy", 100),
            (self.trajectories, JointTrajectory, "joint_trajectory", 100),
        ):
            self.node.create_subscription(kind, topic, self._timed(heard), quality)
        self.diagnostics = peer.listen(DiagnosticArray, "/diagnostics", 100)
        self.joys = self.node.create_publisher(Joy, "joy", NEWEST)
        self.twists = self.node.create_publisher(TwistStamped, "teleop/twist", NEWEST)
        self.grippers = self.node.create_publisher(JointState, "teleop/gripper", NEWEST)

    @staticmethod
    def _timed(heard):
        return lambda message: heard.append((time.monotonic(), message))

    @property
    def state(self):
        return self.states[-1][1]

    def stamped(self, message):
        message.header.stamp = self.node.get_clock().now().to_msg()
        return message

    def joy(self, *pressed, axis_count=None, **axes):
        values = [0.0] * (PAD["axis_count"] if axis_count is None else axis_count)
        for name, value in axes.items():
            values[int(name[1:])] = value
        buttons = [int(number in pressed) for number in range(PAD["button_count"])]
        return self.stamped(Joy(axes=values, buttons=buttons))

    def hold(self, seconds, make):
        """Send what `make` gives at 40 Hz."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            make()
            time.sleep(0.025)

    def push(self, seconds, *pressed, **axes):
        self.hold(seconds, lambda: self.joys.publish(self.joy(*pressed, **axes)))

    def mode(self, name):
        assert self.peer.call(
            SetMode, "control/set_mode", mode=mode_message(named_mode(name))
        ).success

    def faults(self):
        return [
            status.message
            for message in self.diagnostics
            for status in message.status
            if "teleop" in status.name
        ]


@pytest.fixture(scope="module")
def robot(start, peer, bundle, tmp_path_factory):
    rig = Rig(peer)
    folder = tmp_path_factory.mktemp("recordings")
    # More patient than on a robot: everything shares two cores with the other tests.
    patience = {"control.stale_periods": 6.0, "teleop.stale_s": 0.3}
    given = {"bundle": str(bundle), "noise_scale": 0.5, "folder": str(folder)}
    rig.graph = start(
        "robot", arm="sim", **given, **patience, **{"teleop.unchanged_s": UNCHANGED_S}
    )
    return rig


@pytest.fixture
def rig(robot, wait_until):
    time.sleep(0.4)  # a person's last input would end the way home
    robot.mode("hold")
    wait_until(lambda: robot.states and robot.state.mode.value == Mode.HOLD, 10)
    wait_until(lambda: robot.peer.call(Trigger, "control/home").success, 30)
    robot.teleop.clear()
    return robot


def test_a_person_takes_over_within_a_period_and_gives_back_only_when_asked(rig, wait_until):
    delays_s = []
    for _ in range(3):
        rig.mode("policy")
        wait_until(lambda: rig.state.mode.value == Mode.POLICY, 10)
        pressed_s = time.monotonic()
        rig.push(0.6, PAD["dead_man_button"], a1=0.5)
        taken = [s for s, state in rig.states if s > pressed_s and state.mode.value == Mode.TELEOP]
        assert taken, "the person did not take over"
        delays_s.append(taken[0] - pressed_s)
        wait_until(lambda: rig.state.mode.value == Mode.HOLD, 5)
        released_s, policies, trajectories = (
            time.monotonic(),
            len(rig.policy),
            len(rig.trajectories),
        )
        wait_until(
            lambda before=policies: len(rig.policy) >= before + 5,
            10,
            "the policy still wants to move the arm",
        )
        assert len(rig.trajectories) == trajectories
        assert not [
            state for s, state in rig.states if s > released_s and state.mode.value == Mode.POLICY
        ]
    assert min(delays_s) < PERIOD_S, delays_s
    rig.mode("policy")
    wait_until(lambda: rig.state.mode.value == Mode.POLICY, 10)


def test_what_is_sent_is_scaled_and_comes_once_a_period_and_the_gripper_stays_as_it_is(rig):
    rig.push(1.0, PAD["dead_man_button"], a1=0.5, a0=-0.25)
    actions = np.array([message.action for _, message in rig.teleop])
    assert np.allclose(actions[:, :6], [0.5, -0.25, 0, 0, 0, 0])
    assert np.allclose(actions[:, 6], 1.0, atol=0.05), "open, as at home"
    assert 6 <= len(actions) <= 11
    assert np.diff([s for s, _ in rig.teleop]).min() > 0.5 * PERIOD_S, (
        "a fast joystick is not a fast arm"
    )
    assert {message.source for _, message in rig.teleop} == {PolicyCommand.TELEOP}


def test_the_gripper_closes_by_its_button_and_stays_closed_when_the_person_takes_over_again(
    rig, wait_until
):
    rig.push(1.0, PAD["dead_man_button"], PAD["close_button"])
    assert rig.teleop[-1][1].action[6] == -1.0
    wait_until(lambda: rig.state.mode.value == Mode.HOLD, 5)
    rig.teleop.clear()
    rig.push(0.4, PAD["dead_man_button"], a0=0.2)
    commanded_m = rig.trajectories[-1][1].points[0].positions[-1]
    assert commanded_m < (ROBOT.gripper_closed_m + ROBOT.gripper_open_m) / 2
    assert all(message.action[6] < 0 for _, message in rig.teleop)


def test_velocities_and_a_gripper_position_do_as_well(rig, wait_until):
    half = PAD["twist_linear_full_m_s"] / 2

    def twist():
        message = self_stamped(TwistStamped())
        message.header.frame_id, message.twist.linear.z = ROBOT.base_frame, half
        rig.twists.publish(message)

    self_stamped = rig.stamped
    rig.hold(0.5, twist)
    assert rig.teleop and np.allclose(rig.teleop[-1][1].action[:6], [0, 0, 0.5, 0, 0, 0])
    time.sleep(0.5)
    rig.teleop.clear()
    rig.grippers.publish(
        rig.stamped(JointState(name=[ROBOT.gripper_joint], position=[ROBOT.gripper_closed_m]))
    )
    wait_until(lambda: rig.teleop and rig.teleop[-1][1].action[6] == -1.0, 5)
    assert not np.any(rig.teleop[-1][1].action[:6])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda rig: rig.joys.publish(rig.joy(a1=1.0)), ""),
        (
            lambda rig: rig.joys.publish(rig.joy(PAD["dead_man_button"], axis_count=6)),
            "joy has 6 axes",
        ),
        (lambda rig: rig.joys.publish(rig.joy(PAD["dead_man_button"], a1=math.nan)), "not finite"),
        (lambda rig: rig.twists.publish(rig.stamped(TwistStamped())), ""),
        (
            lambda rig: rig.grippers.publish(
                rig.stamped(JointState(name=["elbow"], position=[0.1]))
            ),
            "teleop/gripper lacks",
        ),
    ],
    ids=["no dead man", "another device", "NaN", "a hand that rests", "another joint"],
)
def test_what_is_no_input_neither_moves_the_arm_nor_takes_it_from_the_policy(
    rig, wait_until, make, reason
):
    rig.mode("policy")
    wait_until(lambda: rig.state.mode.value == Mode.POLICY, 10)
    rig.diagnostics.clear()
    began_s = time.monotonic()
    rig.hold(0.5, lambda: make(rig))
    assert not rig.teleop
    assert not [state for s, state in rig.states if s > began_s and state.mode.value == Mode.TELEOP]
    if reason:
        wait_until(lambda: any(reason in fault for fault in rig.faults()), 5, rig.faults())


def test_old_and_unstamped_input_is_silence(rig, wait_until):
    late = rig.joy(PAD["dead_man_button"], a1=1.0)
    time.sleep(0.5)
    rig.hold(0.3, lambda: rig.joys.publish(late))
    assert not rig.teleop
    late.header.stamp.sec = late.header.stamp.nanosec = 0
    rig.joys.publish(late)
    wait_until(lambda: any("no stamp" in fault for fault in rig.faults()), 5)
    assert not rig.teleop


def test_input_from_the_future_is_refused_by_name(rig, wait_until):
    def ahead():
        message = rig.joy(PAD["dead_man_button"], a1=1.0)
        message.header.stamp.sec += 3
        rig.joys.publish(message)

    rig.hold(0.5, ahead)
    wait_until(
        lambda: any(
            "joy is stamped 3.0" in fault and "in the future" in fault for fault in rig.faults()
        ),
        5,
    )
    assert not rig.teleop


def test_a_pad_that_is_out_of_range_moves_the_arm_for_a_limited_time(rig, wait_until):
    """Its driver repeats its last message with new stamps."""
    rig.push(UNCHANGED_S + 1.5, PAD["dead_man_button"], a1=0.3)
    first_s, last_s = rig.teleop[0][0], rig.teleop[-1][0]
    assert UNCHANGED_S - 0.5 < last_s - first_s < UNCHANGED_S + 0.5
    wait_until(lambda: any("has not changed for" in fault for fault in rig.faults()), 5)
    rig.teleop.clear()
    rig.push(0.5, PAD["dead_man_button"], a1=0.31)
    assert rig.teleop, "it is back in range"


def test_a_gripper_that_is_asked_for_all_the_time_does_not_prolong_a_motion(rig):
    rig.push(0.1, PAD["dead_man_button"], a1=0.3)
    gripper = JointState(name=[ROBOT.gripper_joint], position=[ROBOT.gripper_open_m])
    began_s = time.monotonic()
    rig.hold(1.5, lambda: rig.grippers.publish(rig.stamped(gripper)))
    late = [message for s, message in rig.teleop if s - began_s > 0.7]
    assert late and not np.any([message.action[:6] for message in late])


def change(rig, name, transition):
    """Whether the node made this transition of its life cycle."""
    return rig.peer.call(
        ChangeState, f"{name}/change_state", transition=Transition(id=transition)
    ).success


def test_a_second_node_that_teleoperates_the_arm_is_refused_by_name(rig, wait_until):
    second = replace(TELEOP, name="teleop_too")
    rig.graph.running.start_node(second, {})
    try:
        assert change(rig, "teleop_too", Transition.TRANSITION_CONFIGURE)
        assert not change(rig, "teleop_too", Transition.TRANSITION_ACTIVATE)
        rig.graph.wait_for_line("node /teleop publishes /command/teleop already")
        rig.push(0.5, PAD["dead_man_button"], a1=0.3)
        assert rig.teleop, "the first goes on"
    finally:
        rig.graph.process("teleop_too").kill()


def test_beside_another_publisher_of_its_commands_it_sends_nothing(rig, wait_until):
    rival = rig.node.create_publisher(PolicyCommand, "command/teleop", NEWEST)
    wait_until(
        lambda: any("/test also publishes /command/teleop" in fault for fault in rig.faults()), 10
    )
    rig.push(0.3, PAD["dead_man_button"], a1=0.3)
    assert not rig.teleop
    rig.node.destroy_publisher(rival)
    assert change(rig, "teleop", Transition.TRANSITION_DEACTIVATE)
    rig.push(0.3, PAD["dead_man_button"], a1=0.3)
    assert not rig.teleop, "not active"
    held = rig.joy(PAD["dead_man_button"], a1=0.3)
    rig.joys.publish(held)
    assert change(rig, "teleop", Transition.TRANSITION_ACTIVATE)
    assert rig.peer.call(Trigger, "control/reset_stop").success
    rig.push(0.3, PAD["dead_man_button"], a1=0.3)
    wait_until(lambda: any("held before activation" in fault for fault in rig.faults()), 5)
    assert not rig.teleop, "a button that sticks"
    rig.push(0.1)
    rig.push(0.3, PAD["dead_man_button"], a1=0.3)
    assert rig.teleop


def test_an_episode_holds_all_that_happened(rig, wait_until):
    latched = rig.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    transform = TransformStamped(child_frame_id="wrist_optical_frame")
    transform.header.frame_id = ROBOT.base_frame
    latched.publish(TFMessage(transforms=[transform]))
    stops = rig.node.create_publisher(Empty, "stop", NEWEST)
    executed = rig.node.create_publisher(PolicyCommand, "command/executed", NEWEST)
    wait_until(lambda: executed.get_subscription_count(), 5)
    time.sleep(0.5)
    assert rig.peer.call(StartEpisode, "recorder/start_episode", name="everything").success
    rig.mode("policy")
    wait_until(lambda: rig.state.mode.value == Mode.POLICY, 10)
    rig.push(1.0, PAD["dead_man_button"], a1=1.0)
    rig.mode("policy")
    wait_until(lambda: rig.state.mode.value == Mode.POLICY, 10)
    # Whether safety changes something meanwhile is chance; this one comes whatever happens.
    executed.publish(
        rig.stamped(PolicyCommand(source=PolicyCommand.EXECUTED, action=[0.0] * 7, z=[1.0] * 7))
    )
    time.sleep(1.0)
    stops.publish(Empty())
    wait_until(lambda: rig.state.stopped, 5)
    answer = rig.peer.call(StopEpisode, "recorder/stop_episode", label="success")
    assert rig.peer.call(Trigger, "control/reset_stop").success
    assert answer.success, answer.message
    episode = Episode(Path(answer.path))
    always = (
        "camera/image_raw",
        "camera/camera_info",
        "joint_states",
        "command/policy",
        "command/teleop",
    )
    for topic in (*always, "joint_trajectory", "robot_state", "diagnostics", "tf_static"):
        assert episode.counts[f"/{topic}"], episode.counts
    modes = {record.message.mode.value for record in episode.messages("/robot_state")}
    assert modes >= {Mode.POLICY, Mode.TELEOP, Mode.STOPPED}
    frames = {
        transform.child_frame_id
        for record in episode.messages("/tf_static")
        for transform in record.message.transforms
    }
    assert {"camera_optical_frame", "wrist_optical_frame"} <= frames, "of both publishers"
    assert len(next(episode.messages("/joint_states")).message.position) == len(ROBOT.command_names)
    names = {
        status.name
        for record in episode.messages("/diagnostics")
        for status in record.message.status
    }
    assert {"policy: inference", "teleop: input"} <= names
    recorded = [record.message for record in episode.messages("/command/executed")]
    assert {message.source for message in recorded} == {PolicyCommand.EXECUTED}
    quality = measure_recording(episode.path, Arm(ROBOT))
    assert quality.cameras["camera"].images > 10 and quality.path_m > 0.005, quality.line()
    assert quality.idle_share < 1.0, "a person and a policy moved the arm"
    assert [1.0] * 7 in [list(message.z) for message in recorded]
