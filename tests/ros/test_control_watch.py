"""control_node's watches, as a process: prior, operator's heartbeat, clock, duplicate publishers; commands as
joint positions.
"""

import dataclasses
import hashlib
import math
import threading
import time

import numpy as np
import pytest
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty, Float64MultiArray
from std_srvs.srv import Trigger

from conure_core.contract.bundle import SPEC
from conure_core.contract.bundle_spec import BundleSpec
from conure_core.errors import ConfigError, DataError, RobotError
from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.bringup.graphs import CONTROL, GRAPHS, build_graph
from conure_ros.cameras.image_check import ImageCheck
from conure_ros.commands import stop
from conure_ros.commands.stopping import CONTROL as CONTROL_KIND
from conure_ros.comms.domains import running_nodes
from conure_ros.comms.messages import joint_state_message, mode_message, to_ns, to_time
from conure_ros.comms.qos import LATCHED, NEWEST
from conure_ros.control.arbiter import Mode
from conure_ros.control.control_state import ControlState

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
PERIOD_S = ROBOT.control_period_s
STALE_PERIODS = 4.0
HEARTBEAT_S = 2.0
ORDER = ROBOT.joint_names[::-1]
STEPS = {
    "slow_ticks": 2,
    "hold_ticks": 3,
    "hand_over_ticks": 6,
    "slow_margin_nats": 0.0,
    "hold_margin_nats": 0.0,
}
SURE, UNLIKELY, VERY_UNLIKELY = 5.0, -5.0, -20.0
FORWARD = [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


class Rig:
    """The arm behind a position controller, the clock, and an operator whose heart beats."""

    def __init__(self, peer, bundle_hash, wait_until):
        self.peer, self.bundle_hash, self.wait_until = peer, bundle_hash, wait_until
        self.joint_rad = np.array(ROBOT.home_rad)
        self.commands, self.states = [], []
        self.clock_offset_s, self.beating = 0.0, True
        node = peer.node
        node.create_subscription(Float64MultiArray, "position_commands", self._follow, 100)
        node.create_subscription(RobotState, "robot_state", self.states.append, LATCHED)
        self.clock = node.create_publisher(Clock, "/clock", 10)
        self.joints = node.create_publisher(JointState, "joint_states", NEWEST)
        self.beats = node.create_publisher(Empty, "operator/heartbeat", NEWEST)
        self.policy = node.create_publisher(PolicyCommand, "command/policy", NEWEST)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def now_ns(self):
        return time.time_ns() + round(self.clock_offset_s * 1e9)

    def _follow(self, message):
        self.commands.append(np.array(message.data))
        self.joint_rad = np.array(message.data)[::-1]

    def _live(self):
        while not self._ended.wait(0.01):
            self.clock.publish(Clock(clock=to_time(self.now_ns())))
            self.joints.publish(
                joint_state_message(
                    ROBOT, self.joint_rad, np.zeros(6), ROBOT.gripper_open_m, self.now_ns()
                )
            )
            if self.beating:
                self.beats.publish(Empty())

    def close(self):
        self._ended.set()
        self._thread.join()

    @property
    def state(self):
        return self.states[-1]

    @property
    def answers(self):
        """How many commands control followed or refused, as far as it was heard."""
        followed = sum(to_ns(state.capture_stamp) > 0 for state in self.states)
        return followed + (self.states[-1].refused_commands if self.states else 0)

    def run(self, log_likelihood, periods=1, bundle_hash=None, ignored=False):
        """Commands, each sent once the one before is answered and moved the arm, unless they are to
        be ignored; returns how far each moved it, rad.
        """
        moves = []
        for _ in range(periods):
            before, answered = self.joint_rad.copy(), self.answers + 1
            message = PolicyCommand(
                source=PolicyCommand.POLICY, log_likelihood=log_likelihood, action=FORWARD
            )
            message.bundle_hash = self.bundle_hash if bundle_hash is None else bundle_hash
            message.header.stamp = to_time(self.now_ns())
            self.policy.publish(message)
            if not ignored:
                self.wait_until(lambda wanted=answered: self.answers >= wanted, 10, "an answer")
            time.sleep(2 * PERIOD_S)
            moves.append(float(np.abs(self.joint_rad - before).max()))
        return moves


@pytest.fixture(scope="module")
def watched(start, peer, bundle, tmp_path_factory, wait_until):
    spec = BundleSpec.from_json((bundle / SPEC).read_bytes())
    text = (
        dataclasses.replace(spec, log_likelihood_thresholds={"p01": -10.0, "p05": 0.0})
        .to_json()
        .encode()
    )
    folder = tmp_path_factory.mktemp("thresholds")
    (folder / SPEC).write_bytes(text)
    rig = Rig(peer, hashlib.sha256(text).hexdigest(), wait_until)
    settings = {
        "use_sim_time": True,
        "heartbeat_s": HEARTBEAT_S,
        "stale_periods": STALE_PERIODS,
        "stall_s": 10.0,
        **STEPS,
    }
    settings |= {"output": "positions", "position_joints": list(ORDER)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "control", build_graph(CONTROL))
        start(
            "control",
            start_mode="hold",
            bundle=str(folder),
            **{f"control.{k}": v for k, v in settings.items()},
        )
    yield rig
    rig.close()


@pytest.fixture
def rig(watched, wait_until):
    watched.beating, watched.joint_rad = True, np.array(ROBOT.home_rad)
    time.sleep(0.1)
    assert watched.peer.call(Trigger, "control/reset_stop").success
    assert watched.peer.call(SetMode, "control/set_mode", mode=mode_message(Mode.POLICY)).success
    wait_until(lambda: watched.states and "waiting for the first policy" in watched.state.reason, 5)
    time.sleep(0.1)
    return watched


def test_positions_stream_at_the_controllers_order_and_end_with_the_motion(rig, wait_until):
    before, home = len(rig.commands), rig.joint_rad.copy()
    (moved_rad,) = rig.run(SURE)
    way = np.array(rig.commands[before:])
    assert way.shape[1] == len(ORDER)
    assert moved_rad > 0.01
    assert np.abs(way[:, ::-1] - home).max() == pytest.approx(moved_rad, abs=1e-6), (
        "waist last, as the order says"
    )
    assert len(way) >= 4, "interpolated"
    assert np.abs(np.diff(way, axis=0)).max() < 0.7 * moved_rad
    wait_until(lambda: rig.state.mode.value == Mode.HOLD, 5)
    time.sleep(0.2)
    count = len(rig.commands)
    time.sleep(0.3)
    assert len(rig.commands) == count, "an arm at rest is told nothing"


def test_the_prior_slows_holds_and_hands_over_and_says_why(rig):
    (full_rad,) = rig.run(SURE)
    _, slow_rad = rig.run(UNLIKELY, 2)
    assert 0.3 * full_rad < slow_rad < 0.75 * full_rad
    said = [change for state in rig.states[-6:] for change in state.safety_changes]
    assert any("the prior finds the policy's actions unlikely" in change for change in said)
    rig.run(VERY_UNLIKELY, 3)
    assert rig.state.mode.value == Mode.HOLD
    assert "-20.0 nats" in rig.state.reason
    (again_rad,) = rig.run(SURE)
    assert again_rad > 0.01, "one likely action ends the hold"
    rig.run(VERY_UNLIKELY, 6)
    assert "handed over to a person" in rig.state.reason
    assert max(rig.run(SURE, 2, ignored=True)) < 1e-6, "nothing but a choice of mode ends it"


def test_commands_of_another_bundle_and_without_a_likelihood_do_not_move_the_arm(rig):
    assert rig.run(SURE, bundle_hash="0" * 64) == [0.0]
    assert "was agreed on" in rig.state.reason
    rig.run(math.nan, 3)
    assert rig.state.mode.value == Mode.HOLD


def test_a_lost_heartbeat_stops_the_arm_until_it_is_reset(rig, wait_until):
    rig.run(SURE)
    rig.beating = False
    wait_until(lambda: rig.state.stopped, HEARTBEAT_S + 3)
    assert "heartbeat" in rig.state.reason
    rig.beating = True
    time.sleep(0.3)
    assert rig.state.stopped, "its return alone ends no stop"
    assert max(rig.run(SURE, 2, ignored=True)) == 0.0


def test_a_clock_that_steps_back_means_hold_and_then_goes_on(rig, wait_until):
    rig.run(SURE, 2)
    count = len(rig.states)
    rig.clock_offset_s -= 5.0
    wait_until(lambda: any("stepped back by" in state.reason for state in rig.states[count:]), 5)
    said = next(state.reason for state in rig.states[count:] if "back by" in state.reason)
    assert 4.5 < float(said.split("back by ")[1].split()[0]) < 5.5
    moves = rig.run(SURE, 3)
    assert max(moves) > 0.01, (
        "commands seen after the step count, though their stamps lie before the last ones'"
    )


def test_a_clock_before_zero_is_ignored_the_arm_holds_and_then_goes_on(rig, wait_until):
    rig.run(SURE)
    before_s = rig.clock_offset_s
    rig.clock_offset_s = -2.0 * time.time()
    wait_until(lambda: rig.state.mode.value == Mode.HOLD, 5)
    assert max(rig.run(SURE, 2, ignored=True)) == 0.0
    assert "joint_states have no stamp" in rig.state.reason
    rig.clock_offset_s = before_s
    time.sleep(0.2)
    assert max(rig.run(SURE, 3)) > 0.01


def test_another_publisher_of_the_arms_commands_means_a_stop_that_names_it(rig, wait_until):
    rival = rig.peer.node.create_publisher(Float64MultiArray, "position_commands", NEWEST)
    try:
        wait_until(lambda: rig.state.stopped, 10)
        named = "nodes /control, /test all publish /position_commands"
        wait_until(
            lambda: named in rig.state.reason and named in rig.state.alarm, 5, "both are named"
        )
    finally:
        rig.peer.node.destroy_publisher(rival)
    time.sleep(1.5)


def test_conure_stop_returns_when_the_arm_is_stopped_and_says_if_nobody_is(
    rig, domain, wait_until, monkeypatch, capfd
):
    here = f"domains=[{domain['ROS_DOMAIN_ID']}]"
    announced = {
        (node.kind, node.name)
        for node in running_nodes()
        if str(node.domain) == domain["ROS_DOMAIN_ID"]
    }
    assert (CONTROL_KIND, "/control") in announced, "stop waits for it though it may hang"
    stop.run([here])
    wait_until(lambda: rig.state.stopped, 5)
    assert "topic" in rig.state.reason
    assert f"/control on domain {domain['ROS_DOMAIN_ID']}: stopped" in capfd.readouterr().out
    with pytest.raises(ConfigError, match="needs a terminal"):
        stop.run(["key=true"])
    monkeypatch.setattr(ControlState, "_on_state", lambda self, state: None)
    with pytest.raises(
        RobotError, match=r"/control on domain .*: it sends no robot_state; cut its power"
    ):
        stop.run([here, "timeout_s=1.0"])


def test_black_and_frozen_images_are_refused_and_a_still_scene_is_not():
    health, home = ImageCheck(frozen_motion_rad=0.03), np.array(ROBOT.home_rad)
    pixels = np.full((4, 4, 3), 100, np.uint8)
    other = pixels.copy()
    other[0, 0, 0] = 101
    for _ in range(3):
        health.check(pixels, home)
    with pytest.raises(DataError, match="frozen"):
        health.check(pixels, home + 0.05)
    with pytest.raises(DataError, match="frozen"):
        health.check(pixels, home)
    health.check(other, home + 0.05)
    with pytest.raises(DataError, match="black"):
        health.check(np.zeros((4, 4, 3), np.uint8), home)
