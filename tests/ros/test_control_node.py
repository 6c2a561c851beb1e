"""control_node alone, as a process; the test is its arm, its policy and its operator."""

import math
import threading
import time

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.bringup.graphs import CONTROL, GRAPHS, build_graph
from conure_ros.comms.messages import joint_command, joint_state_message, mode_message, to_ns
from conure_ros.comms.qos import LATCHED, NEWEST
from conure_ros.control.arbiter import Mode, named_mode

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
PERIOD_S = ROBOT.control_period_s
# More patient than on a robot: the test's own arm shares two cores with the other tests.
STALE_PERIODS = 4.0
STEP_RAD = 0.04
"""Of a joint between two measurements, 10 ms apart."""
FORWARD = [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


class Rig:
    """An arm that goes where it is told to be, no faster than joints can, and sources of
    commands.
    """

    def __init__(self, peer):
        self.peer = peer
        self.joint_rad, self.gripper_m = np.array(ROBOT.home_rad), ROBOT.gripper_open_m
        self.distort = lambda message: message
        self.trajectories, self.states = [], []
        node = peer.node
        node.create_subscription(JointTrajectory, "joint_trajectory", self._follow, NEWEST)
        node.create_subscription(RobotState, "robot_state", self.states.append, LATCHED)
        self.joint_states = node.create_publisher(JointState, "joint_states", NEWEST)
        self.sources = {
            name: node.create_publisher(PolicyCommand, f"command/{name}", NEWEST)
            for name in ("policy", "teleop")
        }
        self.stops = node.create_publisher(Empty, "stop", NEWEST)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure)
        self._thread.start()

    def _follow(self, message):
        command = joint_command(message, ROBOT)
        self.trajectories.append(message)
        self.goal_rad, self.gripper_m = command.joint_rad, command.gripper_m

    @property
    def joint_rad(self):
        return self._joint_rad

    @joint_rad.setter
    def joint_rad(self, joint_rad):
        """Put there at once, by hand."""
        self._joint_rad = self.goal_rad = joint_rad

    def _measure(self):
        while not self._ended.wait(0.01):
            goal_rad = self.goal_rad
            step_rad = np.clip(goal_rad - self._joint_rad, -STEP_RAD, STEP_RAD)
            if self.goal_rad is goal_rad:
                self._joint_rad = (
                    goal_rad if np.abs(step_rad).max() < STEP_RAD else self._joint_rad + step_rad
                )
            stamp_ns = self.peer.now_ns
            message = joint_state_message(
                ROBOT, self.joint_rad, np.zeros(6), self.gripper_m, stamp_ns
            )
            message = self.distort(message)
            if message is not None:
                self.joint_states.publish(message)

    def close(self):
        self._ended.set()
        self._thread.join()

    @property
    def state(self):
        return self.states[-1]

    def send(self, action, source="policy", age_s=0.0):
        message = PolicyCommand(source=named_mode(source), log_likelihood=math.nan)
        message.action = [float(value) for value in action]
        stamp_ns = self.peer.now_ns - round(age_s * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = stamp_ns // 10**9, stamp_ns % 10**9
        self.sources[source].publish(message)

    def run(self, action, periods=3, source="policy"):
        """Send an action at the control rate; returns how many commands came out."""
        before = len(self.trajectories)
        for _ in range(periods):
            self.send(action, source)
            time.sleep(PERIOD_S)
        late_s = time.monotonic() + PERIOD_S
        while len(self.trajectories) < before + periods and time.monotonic() < late_s:
            time.sleep(0.005)
        return len(self.trajectories) - before

    def drive(self, action, commands, source="policy"):
        """Send an action at the control rate until so many commands came out, however slow the
        machine is.
        """
        before, late_s = len(self.trajectories), time.monotonic() + 5.0
        while len(self.trajectories) < before + commands:
            assert time.monotonic() < late_s, f"nothing moves: {self.state.reason}"
            self.send(action, source)
            time.sleep(PERIOD_S)

    def mode(self, name):
        return self.peer.call(SetMode, "control/set_mode", mode=mode_message(named_mode(name)))

    def trigger(self, name):
        return self.peer.call(Trigger, f"control/{name}")


@pytest.fixture(scope="module")
def control(start, peer):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "control", build_graph(CONTROL))
        start("control", start_mode="hold", **{"control.stale_periods": STALE_PERIODS})
    rig = Rig(peer)
    yield rig
    rig.close()


@pytest.fixture
def rig(control, wait_until):
    """At home, unstopped, holding, with the policy selected."""
    control.distort = lambda message: message
    control.joint_rad, control.gripper_m = np.array(ROBOT.home_rad), ROBOT.gripper_open_m
    assert control.trigger("reset_stop").success
    assert control.mode("policy").success
    wait_until(
        lambda: control.states and control.state.reason == "waiting for the first policy command", 5
    )
    time.sleep(0.05)
    return control


def test_a_good_command_moves_the_arm_and_the_state_says_so(rig):
    before = Arm(ROBOT).forward(rig.joint_rad)[0, 3]
    rig.drive(FORWARD, commands=3)
    assert Arm(ROBOT).forward(rig.joint_rad)[0, 3] > before + 0.02
    states = [state for state in rig.states if state.mode.value == Mode.POLICY][-3:]
    for state, trajectory in zip(states, rig.trajectories[-3:], strict=True):
        assert to_ns(state.header.stamp) == to_ns(trajectory.header.stamp)
        assert list(state.commanded_rad) == list(trajectory.points[0].positions)[:-1]
        latency_ns = to_ns(state.header.stamp) - to_ns(state.capture_stamp)
        assert 0 <= latency_ns < PERIOD_S * 1e9
    assert list(rig.trajectories[-1].joint_names) == list(ROBOT.command_names)


def test_silence_means_hold_within_the_limit_and_the_next_command_goes_on(rig):
    rig.run(FORWARD, periods=2)
    last_ns = to_ns(
        [state for state in rig.states if state.mode.value == Mode.POLICY][-1].header.stamp
    )
    assert (
        rig.peer.seconds_until(Mode.HOLD, rig.states, last_ns, 2)
        < (1 + STALE_PERIODS) * PERIOD_S + 0.05
    )
    assert "no policy command for" in rig.state.reason
    held, before = rig.joint_rad.copy(), len(rig.trajectories)
    time.sleep(3 * PERIOD_S)
    assert len(rig.trajectories) == before, "an arm at rest is told nothing"
    assert np.array_equal(rig.joint_rad, held)
    rig.drive(FORWARD, commands=1)
    assert rig.state.mode.value == Mode.POLICY


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ([math.nan] * 7, "not finite"),
        ([0, 0, math.inf, 0, 0, 0, 0], "not finite"),
        ([0, 0, 0, 0, 0, 0, -math.inf], "not finite"),
        ([0.5] * 6, "shape (7,), got (6,)"),
        ([0.5] * 8, "shape (7,), got (8,)"),
        ([], "shape (7,), got (0,)"),
    ],
)
def test_what_is_no_action_never_reaches_the_arm(rig, action, reason):
    rig.run(FORWARD, periods=1)
    held = rig.joint_rad.copy()
    rig.run(action, periods=2)
    assert np.array_equal(rig.joint_rad, held)
    assert all(np.isfinite(trajectory.points[0].positions).all() for trajectory in rig.trajectories)
    assert rig.state.mode.value == Mode.HOLD
    assert reason in rig.state.reason


def test_a_huge_action_moves_no_further_than_the_largest_one(rig):
    before = rig.joint_rad.copy()
    rig.run([1e30, 0, 0, 0, 0, 0, 0], periods=1)
    moved = rig.joint_rad - before
    assert 0 < np.abs(moved).max() <= np.max(ROBOT.max_speed_rad_s) * ROBOT.settle_s + 1e-9


def test_a_persons_input_of_before_the_mode_was_chosen_does_not_take_over_and_a_new_one_does(
    rig, wait_until
):
    began_ns = rig.peer.now_ns
    assert rig.mode("policy").success
    rig.send(FORWARD, source="teleop", age_s=(rig.peer.now_ns - began_ns) / 1e9)
    rig.drive(FORWARD, commands=3)
    assert rig.state.mode.value == Mode.POLICY
    rig.send(FORWARD, source="teleop")
    wait_until(lambda: rig.state.mode.value == Mode.TELEOP, 2)


@pytest.mark.parametrize(
    ("age_s", "why"), [(ROBOT.max_input_age_s + 0.05, "s old, limit"), (-1.0, "s in the future")]
)
def test_an_old_or_future_observation_means_hold(rig, wait_until, age_s, why):
    rig.run(FORWARD, periods=4)
    held = rig.joint_rad.copy()
    rig.send(FORWARD, age_s=age_s)
    wait_until(lambda: rig.state.mode.value == Mode.HOLD, 2)
    assert why in rig.state.reason
    assert np.array_equal(rig.joint_rad, held)


@pytest.mark.parametrize("by", ["service", "service of the old name", "topic"])
def test_a_stop_lasts_until_it_is_reset(rig, wait_until, by):
    rig.run(FORWARD, periods=2)
    if by == "service":
        assert rig.trigger("stop").success
    elif by == "service of the old name":
        assert rig.peer.call(Trigger, "stop").success
    else:
        rig.stops.publish(Empty())
    wait_until(lambda: rig.state.stopped, 2)
    assert rig.state.mode.value == Mode.STOPPED
    assert by.split()[0] in rig.state.reason
    assert rig.run(FORWARD, periods=2) == 0
    assert rig.run(FORWARD, periods=2, source="teleop") == 0
    refusal = rig.mode("policy")
    assert not refusal.success
    assert "reset_stop" in refusal.message
    assert not rig.trigger("home").success
    assert rig.state.stopped
    assert rig.trigger("reset_stop").success
    assert rig.run(FORWARD, periods=2) == 0, "a reset alone moves nothing"
    assert rig.mode("policy").success
    rig.drive(FORWARD, commands=2)


def test_a_person_takes_over_and_gives_back_only_when_asked(rig):
    rig.run(FORWARD, periods=1)
    rig.drive(FORWARD, commands=1, source="teleop")
    assert rig.state.mode.value == Mode.TELEOP
    assert rig.run(FORWARD, periods=2) <= 1, "no policy command, at most the hold"
    assert rig.state.mode.value in (Mode.HOLD, Mode.TELEOP)
    assert rig.mode("policy").success
    rig.drive(FORWARD, commands=1)
    assert rig.state.mode.value == Mode.POLICY


def test_joints_in_another_order_are_taken_by_name(rig):
    def turned_round(message):
        message.name, message.position = message.name[::-1], message.position[::-1]
        return message

    rig.distort = turned_round
    time.sleep(0.1)
    before = rig.joint_rad.copy()
    rig.drive(FORWARD, commands=2)
    assert np.abs(rig.joint_rad - before).max() < 0.5


def without_elbow(message):
    index = list(message.name).index("elbow")
    message.name.pop(index)
    message.position.pop(index)
    return message


def with_nan(message):
    message.position[0] = math.nan
    return message


@pytest.mark.parametrize(
    ("distort", "reason"),
    [
        (without_elbow, "joint_states lacks 'elbow'"),
        (with_nan, "the position of 'waist' is not finite"),
        (lambda message: None, "joint_states are"),
    ],
)
def test_joint_states_that_cannot_be_relied_on_mean_hold_by_name(rig, wait_until, distort, reason):
    rig.run(FORWARD, periods=1)
    rig.distort = distort
    time.sleep((STALE_PERIODS + 0.5) * PERIOD_S)
    held = rig.joint_rad.copy()
    rig.run(FORWARD, periods=2)
    assert np.array_equal(rig.joint_rad, held)
    assert rig.state.mode.value == Mode.HOLD
    assert reason in rig.state.reason
    rig.distort = lambda message: message
    time.sleep(0.1)
    rig.drive(FORWARD, commands=1)


def test_the_way_home_is_slow_and_ends_at_home(rig):
    rig.joint_rad = np.array(ROBOT.home_rad) + [0.4, 0.1, -0.1, 0.2, 0.1, -0.3]
    start = rig.joint_rad.copy()
    before = len(rig.trajectories)
    response = rig.trigger("home")
    assert response.success, response.message
    way = [
        start,
        *(joint_command(message, ROBOT).joint_rad for message in rig.trajectories[before:]),
    ]
    assert np.abs(np.diff(way, axis=0)).max() <= 0.8 * PERIOD_S + 1e-6
    assert len(way) >= 0.4 / (0.8 * PERIOD_S)
    assert np.allclose(way[-1], ROBOT.home_rad)
    assert rig.state.reason == "at home"


def test_the_way_home_waits_for_a_driver_that_pauses_and_names_one_that_stays_away(rig):
    rig.distort = lambda message: None
    time.sleep((STALE_PERIODS + 1) * PERIOD_S)
    threading.Timer(0.5, setattr, (rig, "distort", lambda message: message)).start()
    assert rig.trigger("home").success
    rig.distort = without_elbow
    time.sleep(0.1)
    response = rig.trigger("home")
    assert not response.success
    assert "joint_states lacks 'elbow'" in response.message


def test_an_arm_that_was_moved_while_it_held_does_not_jump_back(rig, wait_until):
    rig.run(FORWARD, periods=2)
    wait_until(lambda: rig.state.mode.value == Mode.HOLD, 2)
    rig.joint_rad = rig.joint_rad + [0.5, 0, 0, 0, 0, 0]
    elsewhere = rig.joint_rad.copy()
    time.sleep(0.1)
    rig.run(FORWARD, periods=1)
    assert np.abs(rig.joint_rad - elsewhere).max() < 0.25


def test_an_unknown_mode_is_refused_with_the_valid_ones(rig):
    response = rig.peer.call(SetMode, "control/set_mode", mode=mode_message(9))
    assert not response.success
    assert "1 (HOLD), 2 (POLICY), 3 (TELEOP)" in response.message
