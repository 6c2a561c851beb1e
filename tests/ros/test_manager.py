"""manager_node against nodes whose answers do not come as they should."""

import threading
import time

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor

from conure_core.errors import RobotError
from conure_msgs.srv import SetMode
from conure_ros.comms.graph_identity import GRAPH_PARAMETER
from conure_ros.control.arbiter import named_mode
from conure_ros.nodes import manager_node

pytestmark = pytest.mark.nodes
INACTIVE, ACTIVE = State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE
REACHED = {Transition.TRANSITION_CONFIGURE: INACTIVE, Transition.TRANSITION_ACTIVATE: ACTIVE}


class Deaf:
    """A node that does what it is told, if it hears it, and answers the first time never."""

    def __init__(self, context, hears, graph=""):
        self.asked, self.state, self.hears, self.ended = (
            0,
            State.PRIMARY_STATE_UNCONFIGURED,
            hears,
            threading.Event(),
        )
        self.node = rclpy.create_node("deaf", context=context)
        self.node.declare_parameter(GRAPH_PARAMETER, graph)
        group = ReentrantCallbackGroup()
        self.node.create_service(
            ChangeState, "deaf/change_state", self._change, callback_group=group
        )
        self.node.create_publisher(TransitionEvent, "deaf/transition_event", 1)
        self.modes, self.refuses = [], ""
        self.node.create_service(SetMode, "control/set_mode", self._set_mode, callback_group=group)
        self.node.create_service(GetState, "deaf/get_state", self._tell, callback_group=group)
        self.executor = MultiThreadedExecutor(3, context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def _change(self, request, response):
        self.asked += 1
        if self.asked > 1 or self.hears:
            self.state = REACHED[request.transition.id]
        if self.asked == 1:
            self.ended.wait(60)
        response.success = True
        return response

    def _set_mode(self, request, response):
        self.modes.append((request.mode.value, self.state))
        response.success, response.message = not self.refuses, self.refuses
        return response

    def _tell(self, request, response):
        response.current_state.id = self.state
        return response

    def close(self):
        self.ended.set()
        self.executor.shutdown()
        self.thread.join()
        self.node.destroy_node()


@pytest.fixture
def manager(domain, monkeypatch):
    """A manager in this process, of one node that may take 10 s for a step."""
    monkeypatch.setattr(manager_node, "SILENCE_S", 0.5)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(domain["ROS_DOMAIN_ID"]))
    words = ["--ros-args", "-p", "nodes:=[deaf]", "-p", "timeout_s:=10.0"]
    rclpy.init(args=words, domain_id=int(domain["ROS_DOMAIN_ID"]))
    made = manager_node.ManagerNode()
    made.elsewhere = context
    yield made
    made.destroy_node()
    rclpy.shutdown()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("hears", "asked"), [(True, 2), (False, 3)], ids=["the answer is lost", "the request is lost"]
)
def test_what_is_lost_is_asked_again_and_what_was_done_is_not(manager, hears, asked):
    deaf = Deaf(manager.elsewhere, hears)
    try:
        manager.run()
    finally:
        deaf.close()
    assert (deaf.asked, deaf.state) == (asked, ACTIVE)


def test_a_node_that_is_not_there_is_named(manager, monkeypatch):
    monkeypatch.setattr(
        manager, "parameters", manager_node.ManagerParameters(("nobody",), timeout_s=1.0)
    )
    with pytest.raises(RobotError, match=r"nobody did not appear within 1\.0 s"):
        manager.run()


@pytest.fixture
def deaf(manager):
    made = []

    def created(*words):
        made.append(Deaf(manager.elsewhere, *words))
        return made[-1]

    yield created
    for one in made:
        one.close()


def heard_of(manager, count):
    """Wait until the manager knows so many nodes of that name."""
    deadline_s = time.monotonic() + 10
    while manager.count_publishers("deaf/transition_event") != count:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_node_of_another_graph_is_named_with_its_owner_and_left_alone(manager, deaf, monkeypatch):
    foreign = deaf(True, "process 1234 on robot (abc)")
    with pytest.raises(
        RobotError, match=r"deaf runs on .* already and belongs to the graph of process 1234"
    ):
        manager.run()
    monkeypatch.setenv("CONURE_GRAPH_ID", "mine")
    with pytest.raises(RobotError, match="belongs to the graph of process 1234"):
        manager.run()
    assert foreign.asked == 0


def test_a_node_that_somebody_started_by_itself_is_no_graphs(manager, deaf, monkeypatch):
    monkeypatch.setenv("CONURE_GRAPH_ID", "mine")
    alone = deaf(True)
    with pytest.raises(RobotError, match="belongs to no graph"):
        manager.run()
    assert alone.asked == 0


def test_of_two_nodes_with_one_name_none_is_configured(manager, deaf, monkeypatch):
    monkeypatch.setattr(manager_node, "TRACES_S", 0.5)
    manager.created_s -= 60
    twins = deaf(True), deaf(True)
    heard_of(manager, 2)
    with pytest.raises(RobotError, match="several nodes are called deaf"):
        manager.run()
    assert [twin.asked for twin in twins] == [0, 0]


def test_a_twin_that_vanishes_was_the_trace_of_a_dead_one(manager, deaf):
    manager.created_s -= 60
    kept = deaf(True)
    gone = Deaf(manager.elsewhere, True)
    heard_of(manager, 2)
    threading.Timer(1.0, gone.close).start()
    manager.run()
    assert kept.state == ACTIVE


@pytest.mark.parametrize(
    ("mode", "refuses"), [("hold", ""), ("policy", ""), ("policy", "stopped by a person")]
)
def test_the_start_mode_is_chosen_once_when_all_are_up_and_a_refusal_leaves_the_graph_in_hold(
    manager, deaf, monkeypatch, mode, refuses
):
    chosen = manager_node.ManagerParameters(("deaf",), timeout_s=10.0, start_mode=mode)
    monkeypatch.setattr(manager, "parameters", chosen)
    manager.created_s -= 60
    control = deaf(True)
    control.refuses = refuses
    heard_of(manager, 1)
    manager.run()
    assert control.modes == ([] if mode == "hold" else [(named_mode(mode), ACTIVE)])
