"""Every topic and service of control_node leads to the decision that its name promises, in this
process and at once.
"""

import asyncio
import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.clock import ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty
from std_srvs.srv import SetBool, Trigger

from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.comms.messages import joint_state_message, mode_message, to_ns, to_time
from conure_ros.comms.qos import NEWEST, newest_parts
from conure_ros.control.arbiter import Mode, Status
from conure_ros.control.parameters import ControlParameters
from conure_ros.nodes.control_node import STEADY, ControlNode, SystemClock

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
STAMP_NS = 12_000_000_345
SUCCESS = TransitionCallbackReturn.SUCCESS


class Heard:
    """Stands where another object does, and keeps every call: (name, arguments)."""

    def __init__(self, **attributes):
        self.calls, self.words = [], {}
        vars(self).update(attributes)

    def __getattr__(self, name):
        def called(*given, **words):
            self.calls.append((name, *given))
            self.words[name] = words

        return called

    def taken(self):
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def node(context):
    """Configured; as if it had run for long, so that a claim waits for nobody's discovery."""
    node = ControlNode()
    node.created_s -= 60.0
    assert node.trigger_configure() == SUCCESS
    yield node
    node.end()
    node.destroy_node()


@pytest.fixture
def heard(node):
    """What the supervisor is asked to do."""
    node.supervisor = Heard(active=False, arbiter=Heard(stop_reason=""))
    return node.supervisor


def on_topic(node, topic, message):
    callbacks = [some.callback for some in node.subscriptions if some.topic_name == f"/{topic}"]
    for callback in callbacks:
        callback(message, {}) if topic == "joint_states" else callback(message)


def service(node, name):
    (callback,) = (some.callback for some in node.services if some.srv_name == name)
    return callback


# What comes in.


def test_every_topic_leads_to_its_decision(node, heard):
    on_topic(node, "operator/heartbeat", Empty())
    assert heard.taken() == [("heartbeat",)]
    on_topic(node, "stop", Empty())
    assert heard.taken() == [("stop", "the stop topic")] * 2, "reliable and best effort"


@pytest.mark.parametrize(
    ("topic", "mode"), [("command/policy", Mode.POLICY), ("command/teleop", Mode.TELEOP)]
)
def test_a_command_is_that_of_its_topic_with_its_stamp_and_all_that_it_says(
    node, heard, topic, mode
):
    message = PolicyCommand(
        action=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], bundle_hash="abc", log_likelihood=-2.5
    )
    message.header.stamp = to_time(STAMP_NS)
    on_topic(node, topic, message)
    ((name, source, request),) = heard.taken()
    assert (name, source) == ("take_request", mode)
    assert (request.captured_ns, request.bundle_hash, request.log_likelihood) == (
        STAMP_NS,
        "abc",
        -2.5,
    )
    assert np.allclose(request.action, message.action)


def test_joint_states_are_measured_and_what_is_none_is_said_to_be_none(node, heard):
    on_topic(
        node, "joint_states", joint_state_message(ROBOT, HOME + 0.1, np.zeros(6), 0.02, STAMP_NS)
    )
    ((name, part),) = heard.taken()
    assert (name, part.stamp_ns) == ("take_sample", STAMP_NS)
    assert np.allclose(part.positions, [*(HOME + 0.1), 0.02])
    on_topic(node, "joint_states", JointState(name=["waist", "shoulder"], position=[0.0]))
    ((name, why, index),) = heard.taken()
    assert (name, list(index)) == ("reject_sample", [0, 1])
    assert why == "joint_states: 2 names but 1 positions"


def test_of_joint_states_that_come_apart_each_is_measured_and_another_machines_are_ignored(
    node, heard
):
    message = JointState(name=["wheel", ROBOT.gripper_joint], position=[7.0, 0.02])
    message.header.stamp = to_time(STAMP_NS)
    on_topic(node, "joint_states", message)
    ((name, part),) = heard.taken()
    assert (name, list(part.index), list(part.positions)) == ("take_sample", [6], [0.02])
    on_topic(node, "joint_states", JointState(name=["wheel"], position=[]))
    assert heard.taken() == [("ignore_sample", ["wheel"])], "however wrong it is"


def test_arm_and_gripper_that_come_at_one_moment_are_both_measured_and_of_each_the_newest(
    node, heard, wait_until
):
    """With a queue for one message, the second would replace the first, each time."""
    drivers = [node.create_publisher(JointState, "joint_states", NEWEST) for _ in range(2)]
    wait_until(lambda: node.joint_states.get_publisher_count() == 2, 10.0)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    for stamp_ns in (STAMP_NS, 2 * STAMP_NS):
        whole = joint_state_message(ROBOT, HOME, np.zeros(6), 0.02, stamp_ns)
        for driver, end in zip(drivers, (slice(-1), slice(-1, None)), strict=True):
            part = JointState(header=whole.header, name=whole.name[end])
            part.position = whole.position[end]
            driver.publish(part)
    taken = []
    for _ in range(200):
        executor.spin_once(timeout_sec=0.01)
        taken += [call for call in heard.taken() if call[0] == "take_sample"]
        newest = {len(part.index): part.stamp_ns for _, part in taken}
        if newest == {6: 2 * STAMP_NS, 1: 2 * STAMP_NS}:
            break
    executor.remove_node(node)
    executor.shutdown()
    assert newest == {6: 2 * STAMP_NS, 1: 2 * STAMP_NS}
    assert not any(watch.duplicates() for watch in node.watches)


def test_of_messages_that_wait_the_newest_of_each_part_counts_in_the_order_of_arrival():
    arm = [JointState(name=["waist", "elbow"], position=[x, x]) for x in (0.0, 1.0)]
    finger = [JointState(name=["finger"], position=[x]) for x in (0.0, 1.0)]
    assert newest_parts([arm[0], finger[0], arm[1]]) == [finger[0], arm[1]]
    assert newest_parts([finger[0], arm[0], finger[1]]) == [arm[0], finger[1]]
    assert newest_parts([arm[0]]) == [arm[0]]


@pytest.mark.parametrize(
    "topic", ["joint_states", "joint_trajectory", "command/teleop", "command/policy"]
)
def test_several_publishers_of_what_only_one_may_say_are_told_to_the_supervisor(
    node, heard, topic, wait_until
):
    kind = JointState if topic == "joint_states" else PolicyCommand
    node.create_publisher(kind, topic, 1)
    node._tick()
    assert heard.taken() == [("tick", {})], "one is none too many"
    node.create_publisher(kind, topic, 1)
    wait_until(lambda: any(watch.duplicates() for watch in node.watches), 10.0)
    heard.taken()
    node._tick()
    assert heard.taken() == [("tick", {f"/{topic}": "/control, /control"})]


def test_time_passes_a_hundred_times_a_second_on_a_clock_that_never_jumps(node):
    timers = [timer for timer in node.timers if timer.callback == node._tick]
    assert [timer.timer_period_ns for timer in timers] == [10_000_000]
    assert timers[0].clock.clock_type == ClockType.STEADY_TIME


def test_the_clock_has_the_nodes_time_for_stamps_and_a_steady_one(node):
    clock, before_s, before_ns = SystemClock(node), time.clock_gettime(STEADY), time.time_ns()
    assert before_s <= clock.steady_s() <= time.clock_gettime(STEADY)
    assert before_ns <= clock.now_ns() <= time.time_ns()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has CLOCK_BOOTTIME")
def test_the_steady_clock_counts_the_time_in_which_the_computer_sleeps(node, monkeypatch):
    slept_s = {time.CLOCK_MONOTONIC: 400.0, time.CLOCK_BOOTTIME: 4000.0}
    monkeypatch.setattr(time, "clock_gettime", slept_s.__getitem__)
    assert SystemClock(node).steady_s() == 4000.0


def test_the_clock_of_the_stamps_cannot_be_exchanged_while_the_node_runs(node):
    (result,) = node.set_parameters([Parameter("use_sim_time", value=True)])
    assert not result.successful and "start it again" in result.reason
    assert not node.get_clock().ros_time_is_active


@pytest.mark.parametrize("name", ["", "stall_s", "start_type_description_service"])
def test_no_parameter_can_be_set_or_added_while_the_node_runs(node, name):
    before = {one: node.get_parameter(one).value for one in node._parameters}
    (result,) = node.set_parameters([Parameter(name, value=0.5)])
    assert not result.successful and result.reason
    assert {one: node.get_parameter(one).value for one in node._parameters} == before


# What people ask for.


def test_stop_and_reset_stop_are_answered_at_once(node, heard):
    answer = service(node, "~/stop")(Trigger.Request(), Trigger.Response())
    assert answer.success and "reset_stop" in answer.message
    answer = service(node, "~/reset_stop")(Trigger.Request(), Trigger.Response())
    assert answer.success and "select a mode" in answer.message
    assert heard.taken() == [("stop", "the stop service"), ("reset_stop",)]


@pytest.mark.parametrize("name", ["stop", "reset_stop", "home"])
def test_under_its_old_name_a_service_does_the_same_and_says_once_that_it_was_renamed(
    node, heard, name
):
    log, node.get_logger = Heard(), lambda: log
    for _ in range(2):
        answer = service(node, name)(Trigger.Request(), Trigger.Response())
        if asyncio.iscoroutine(answer):
            answer.send(None)
    assert [call[0] for call in heard.taken()] == [name, name]
    ((level, said),) = log.taken()
    assert level == "warning"
    assert f"/{name} is called /control/{name}; the old name is gone in the next release" in said


def test_a_stop_under_the_old_name_stops_even_where_nothing_can_be_logged(node, heard):
    def broken():
        raise OSError("no place left")

    node.get_logger = broken
    with pytest.raises(OSError, match="no place left"):
        service(node, "stop")(Trigger.Request(), Trigger.Response())
    assert heard.taken() == [("stop", "the stop service")]


def choose(node, value):
    return service(node, "~/set_mode")(
        SetMode.Request(mode=mode_message(value)), SetMode.Response()
    )


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.POLICY, Mode.TELEOP])
def test_a_mode_is_chosen_by_its_value(node, heard, mode):
    answer = choose(node, mode)
    assert answer.success and answer.message == ""
    assert heard.taken() == [("select", mode)]


@pytest.mark.parametrize("value", [Mode.INACTIVE, Mode.STOPPED, 6, 255])
def test_a_mode_that_nobody_can_choose_is_refused_with_those_to_choose(node, heard, value):
    answer = choose(node, value)
    assert not answer.success and heard.taken() == []
    assert f"mode {int(value)} cannot be chosen" in answer.message
    assert "1 (HOLD), 2 (POLICY), 3 (TELEOP), 5 (TRAJECTORY)" in answer.message


def test_a_mode_that_is_not_possible_now_is_refused_with_the_reason(node):
    node.supervisor.stop("a test")
    answer = choose(node, Mode.POLICY)
    assert not answer.success and "reset_stop" in answer.message


@pytest.mark.parametrize("why", ["", "blocked"])
def test_home_is_answered_when_the_supervisor_knows_how_it_ended(node, heard, why):
    asked = service(node, "~/home")(Trigger.Request(), Trigger.Response())
    asked.send(None)
    ((name, done),) = heard.taken()
    assert name == "home"
    asked.send(None)  # nothing is known yet: it goes on waiting
    done(why)
    with pytest.raises(StopIteration) as ended:
        asked.send(None)
    assert (ended.value.value.success, ended.value.value.message) == (why == "", why)


def test_who_waits_for_home_keeps_nobody_waiting(node):
    homes = [some for some in node.services if some.srv_name in ("~/home", "home")]
    others = {some.callback_group for some in node.services if some not in homes}
    for home in homes:
        assert home.callback_group not in others
        assert asyncio.iscoroutinefunction(home.callback)


@pytest.mark.parametrize("end", ["trigger_cleanup", "trigger_shutdown"])
def test_an_answer_that_comes_after_the_services_are_gone_ends_nobody(node, end):
    (home,) = (some for some in node.services if some.srv_name == "~/home")
    assert getattr(node, end)() == SUCCESS
    home.send_response(Trigger.Response(message="deactivated"), None)


# Life.


def test_activation_claims_the_arm_before_anything_may_move_and_deactivation_gives_it_back_after(
    node, heard
):
    order = []
    node.output.sole = Heard(topic="/joint_trajectory", claim=lambda: order.append("claim"))
    node.output.sole.release = lambda: order.append("release")
    heard.activate, heard.deactivate = (
        (lambda: order.append("activate")),
        (lambda: order.append("deactivate")),
    )
    assert node.trigger_activate() == SUCCESS
    assert order == ["claim", "activate"]
    assert node.trigger_deactivate() == SUCCESS
    assert order[2:] == ["deactivate", "release"]


def test_an_arm_that_another_node_commands_is_not_activated(node, heard):
    def claim():
        raise RobotError("node /other publishes /joint_trajectory already")

    node.output.sole = Heard(claim=claim)
    assert node.trigger_activate() != SUCCESS
    assert heard.taken() == []


@pytest.mark.parametrize("offered", [True, False])
def test_an_arm_that_is_to_go_limp_is_activated_only_where_a_driver_offers_that(
    node, heard, offered
):
    waited_s = []
    node.parameters = ControlParameters(on_stop="limp")
    node.torque_client.wait_for_service = lambda timeout_sec: (
        waited_s.append(timeout_sec) or offered
    )
    node.output.sole = Heard()
    if offered:
        node.activate()
    else:
        with pytest.raises(RobotError, match="no driver offers arm/torque"):
            node.activate()
    assert heard.taken() == ([("activate",)] if offered else [])
    assert node.output.sole.taken() == ([("claim",)] if offered else [])
    assert 1.5 <= waited_s[0] <= 3.0, (
        "a driver that starts at the same time is waited for, and not for ever"
    )


def test_an_arm_that_holds_when_stopped_needs_no_torque_service(node, heard):
    node.torque_client.wait_for_service = lambda timeout_sec: pytest.fail("it need not be there")
    node.output.sole = Heard()
    node.activate()
    assert heard.taken() == [("activate",)]


def test_a_stop_survives_cleanup_and_configure(node):
    node.supervisor.stop("a test")
    assert node.trigger_cleanup() == SUCCESS
    assert node.trigger_configure() == SUCCESS
    assert node.supervisor.arbiter.stop_reason == "a test"
    assert node.trigger_activate() == SUCCESS
    assert node.supervisor.mode is Mode.STOPPED
    node.supervisor.reset_stop()
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_cleanup() == SUCCESS
    assert node.trigger_configure() == SUCCESS
    assert node.supervisor.arbiter.stop_reason == "", "one that was reset is over"


def test_it_comes_back_from_cleanup_with_every_topic_and_service_once(node):
    def names():
        topics = sorted(some.topic_name.lstrip("/") for some in node.subscriptions)
        return (
            topics,
            sorted(some.srv_name.lstrip("/") for some in node.services),
            len(list(node.timers)),
            len(list(node.clients)),
        )

    before, publishers = names(), len(list(node.publishers))
    assert node.trigger_cleanup() == SUCCESS
    left = {
        "stop",
        "joint_states",
        "command/policy",
        "command/teleop",
        "~/home",
        "~/set_mode",
        "~/reset_stop",
        "home",
        "reset_stop",
    }
    assert not left & {*names()[0], *names()[1]}, "nobody is heard any more"
    assert names()[2:] == (0, 0)
    assert len(list(node.publishers)) == publishers - 2, "robot_state and diagnostics"
    assert node.trigger_configure() == SUCCESS
    assert names() == before and len(list(node.publishers)) == publishers


@pytest.mark.parametrize("active", [True, False])
def test_the_end_holds_an_arm_that_moves_and_gives_it_back(node, heard, active):
    heard.active, node.output.sole = active, Heard()
    node.release()
    assert heard.taken() == ([("deactivate",)] if active else [])
    assert node.output.sole.taken() == [("release",)]
    heard.active = False


def test_a_node_that_was_never_configured_ends_too(context):
    node = ControlNode()
    node.release()
    assert node.stopped_by == ""
    node.destroy_node()


def test_from_configuration_on_it_says_that_it_is_inactive(context):
    node, said = ControlNode(), []
    node.report = said.append
    assert node.trigger_configure() == SUCCESS
    assert said[-1].mode is Mode.INACTIVE
    node.end()
    node.destroy_node()


# What goes out.


COMMAND = JointCommand(HOME + 0.1, 0.02, 0.1, ("speed",), HOME + 0.2)


def status(**words):
    given = {
        "mode": Mode.HOLD,
        "selected": Mode.HOLD,
        "stopped": False,
        "reason": "why",
        "alarm": "",
        "refused": 0,
        "refusal": "",
        "reset_ns": 0,
        "now_ns": 5,
    }
    return Status(**{**given, **words})


@pytest.fixture
def reported(node):
    node.states = Heard()

    def one(**words):
        node.report(status(**words))
        ((name, state),) = node.states.taken()
        assert name == "publish" and isinstance(state, RobotState)
        return state

    return one


def test_robot_state_says_all_that_the_status_says(reported):
    state = reported(
        mode=Mode.POLICY,
        selected=Mode.TRAJECTORY,
        alarm="cut the power",
        refused=7,
        refusal="too old",
        reset_ns=STAMP_NS + 1,
        now_ns=STAMP_NS,
        command=COMMAND,
        changes=("speed", "caution"),
        latency_s=0.03,
    )
    assert (state.mode.value, state.reason, state.alarm, state.stopped) == (
        Mode.POLICY,
        "why",
        "cut the power",
        False,
    )
    assert state.selected.value == Mode.TRAJECTORY
    assert (state.refused_commands, state.refusal) == (7, "too old")
    assert (to_ns(state.header.stamp), to_ns(state.reset_stamp)) == (STAMP_NS, STAMP_NS + 1)
    assert state.header.frame_id == ROBOT.base_frame
    assert list(state.safety_changes) == ["speed", "caution"]
    assert to_ns(state.capture_stamp) == STAMP_NS - 30_000_000
    assert list(state.commanded_rad) == pytest.approx(COMMAND.joint_rad)
    assert list(state.requested_rad) == pytest.approx(COMMAND.requested_rad)


def test_robot_state_without_a_command_tells_of_none(reported):
    state = reported(mode=Mode.STOPPED, stopped=True)
    assert state.stopped
    assert to_ns(state.capture_stamp) == 0
    assert not state.commanded_rad and not state.requested_rad
    state = reported(command=JointCommand(HOME, 0.02, 0.1))
    assert list(state.commanded_rad) == pytest.approx(HOME) and not state.requested_rad


def test_every_mode_and_every_alarm_is_logged_once(node, reported):
    node.get_logger = lambda: log
    log = Heard()
    reported(mode=Mode.HOLD)
    reported(mode=Mode.HOLD)
    reported(mode=Mode.HOLD, reason="another one")
    assert log.taken() == [("info", "hold: why")]
    reported(mode=Mode.TELEOP, alarm="cut it\noff", reason="")
    reported(mode=Mode.TELEOP, alarm="cut it\noff", reason="")
    assert log.taken() == [("info", "teleop"), ("error", "cut it off")]


def test_commands_and_where_they_begin_go_to_the_output(node):
    node.output = Heard(sole=node.output.sole)
    node.send(COMMAND, STAMP_NS)
    node.begin(HOME, 0.03)
    ((sent, command, now_ns), (begun, joint_rad, gripper_m)) = node.output.taken()
    assert (sent, command, now_ns) == ("send", COMMAND, STAMP_NS)
    assert (begun, gripper_m) == ("begin", 0.03) and joint_rad is HOME


def test_a_driver_of_an_older_release_makes_the_arm_limp(node, heard, wait_until):
    """It offers `torque` and nothing else; a real call, in this process."""
    driver, asked = rclpy.create_node("older_driver"), []

    def on_torque(request, response):
        asked.append(request.data)
        response.success, response.message = True, "limp"
        return response

    driver.create_service(SetBool, "torque", on_torque)
    executor = SingleThreadedExecutor()
    executor.add_node(driver), executor.add_node(node)

    def answered():
        executor.spin_once(timeout_sec=0.05)
        return any(call[0] == "take_torque_answer" for call in heard.calls)

    try:
        wait_until(lambda: node.torque_client.wait_for_service(0.05), 10)
        node.torque(False, 7)
        wait_until(answered, 10)
        assert asked == [False]
        assert ("take_torque_answer", 7, True, "limp") in heard.taken()
    finally:
        executor.remove_node(node)
        executor.shutdown()
        driver.destroy_node()


class Driver:
    """Stands for the client of a driver's service, which may be offered or not."""

    def __init__(self, offered):
        self.offered, self.asked = offered, []

    def wait_for_service(self, timeout_sec):
        return self.offered

    def service_is_ready(self):
        return self.offered

    def call_async(self, request):
        self.asked.append(request.data)
        return Future()


@pytest.mark.parametrize(
    ("new", "old", "which"), [(1, 0, "new"), (0, 1, "old"), (1, 1, "new"), (0, 0, "new")]
)
def test_a_driver_that_offers_torque_under_the_old_name_alone_is_asked_there(
    node, heard, new, old, which
):
    log, node.get_logger = Heard(), lambda: log
    drivers = {"new": Driver(bool(new)), "old": Driver(bool(old))}
    client = node.torque_client
    client_before = client._new, client._old
    client._new, client._old = drivers["new"], drivers["old"]
    assert client.wait_for_service(2.0) == bool(new or old)
    node.torque(False, 7), node.torque(True, 8)
    assert {name: driver.asked for name, driver in drivers.items() if driver.asked} == {
        which: [False, True]
    }
    said = [text for _, text in log.taken()]
    assert len(said) == (which == "old")
    assert all("/torque is called /arm/torque" in text for text in said)
    client._new, client._old = client_before


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("success", [True, False, None])
def test_the_drivers_answer_on_torque_is_told(node, heard, on, success):
    future, asked, log = Future(), [], Heard()
    node.get_logger = lambda: log
    node.torque_client.call_async = lambda request: asked.append(request.data) or future
    node.torque(on, 7)
    assert asked == [on] and heard.taken() == []
    future.set_result(
        None if success is None else SetBool.Response(success=success, message="as\nsaid")
    )
    future._invoke_callbacks() if hasattr(future, "_invoke_callbacks") else None
    message = "no answer" if success is None else "as said"
    assert heard.taken() == [("take_torque_answer", 7, bool(success), message)]
    assert len(log.taken()) == (0 if success else 1)
