"""manager_node against nodes whose answers do not come as they should."""

import threading

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor

from conure_core.errors import RobotError
from conure_ros import manager_node

pytestmark = pytest.mark.ros
INACTIVE, ACTIVE = State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE
REACHED = {Transition.TRANSITION_CONFIGURE: INACTIVE, Transition.TRANSITION_ACTIVATE: ACTIVE}


class Deaf:
    """A node that does what it is told, if it hears it, and answers the first time never."""

    def __init__(self, context, hears):
        self.asked, self.state, self.hears, self.ended = 0, State.PRIMARY_STATE_UNCONFIGURED, hears, threading.Event()
        self.node = rclpy.create_node("deaf", context=context)
        group = ReentrantCallbackGroup()
        self.node.create_service(ChangeState, "deaf/change_state", self._change, callback_group=group)
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


@pytest.mark.parametrize(("hears", "asked"), [(True, 2), (False, 3)], ids=["the answer is lost", "the request is lost"])
def test_what_is_lost_is_asked_again_and_what_was_done_is_not(manager, hears, asked):
    deaf = Deaf(manager.elsewhere, hears)
    try:
        manager.run()
    finally:
        deaf.close()
    assert (deaf.asked, deaf.state) == (asked, ACTIVE)


def test_a_node_that_is_not_there_is_named(manager, monkeypatch):
    monkeypatch.setattr(manager, "parameters", manager_node.ManagerParameters(("nobody",), timeout_s=1.0))
    with pytest.raises(RobotError, match=r"nobody did not appear within 1\.0 s"):
        manager.run()
