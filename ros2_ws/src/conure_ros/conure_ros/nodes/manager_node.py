"""manager_node: brings the lifecycle nodes of a graph up, in order, and ends. The same under any
launcher.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from conure_core.errors import RobotError
from conure_msgs.srv import SetMode
from conure_ros.comms.graph_identity import GRAPH_PARAMETER, own_graph_id
from conure_ros.comms.lifecycle import create_or_exit, one_line, ros_context
from conure_ros.comms.messages import mode_message
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.service_names import SET_MODE
from conure_ros.control.arbiter import named_mode

STEPS = {"configure": Transition.TRANSITION_CONFIGURE, "activate": Transition.TRANSITION_ACTIVATE}
REACHED = {"configure": State.PRIMARY_STATE_INACTIVE, "activate": State.PRIMARY_STATE_ACTIVE}
SILENCE_S = 3.0
DISCOVERY_S = 4.0
"""How old this process must be to know all others; see sole_publisher.DISCOVERY_S."""
TRACES_S = 25.0
"""How long DDS may still show a killed process: a little longer than its lease of 20 s."""
LOOK_S = 0.1


@dataclass(frozen=True)
class ManagerParameters:
    """Parameters of manager_node."""

    nodes: tuple[str, ...] = parameter(
        ("sim_robot", "control", "policy"), "lifecycle nodes, in the order they come up"
    )
    timeout_s: float = parameter(60.0, "how long one step of one node may take, s", 1.0, 600.0)
    start_mode: str = parameter(
        "hold", "the mode that control is given once all are up; hold: none"
    )


class ManagerNode(Node):
    """Configures every node, then activates every node. The first refusal ends it with status 1.

    It manages nodes of its own graph only. It leaves nodes of another graph on the same ROS domain
    alone, and two nodes of one name.
    """

    def __init__(self) -> None:
        super().__init__("manager")
        self.parameters, self.created_s = declare(self, ManagerParameters), time.monotonic()
        # Created early: a new client may ask before control has discovered it.
        self.set_mode = self.create_client(SetMode, SET_MODE)

    def run(self) -> None:
        for name in self.parameters.nodes:
            self._require_own_graph(name)
        self._require_unique_names(age_s=0.0)
        self._bring("configure")
        self._require_unique_names(age_s=DISCOVERY_S)
        self._bring("activate")
        if self.parameters.start_mode != "hold":
            self._choose_start_mode()
        self.get_logger().info(f"up: {', '.join(self.parameters.nodes)}")

    def _bring(self, step: str) -> None:
        for name in self.parameters.nodes:
            self._change(name, step, STEPS[step])

    def _require_own_graph(self, name: str) -> None:
        """Raises: RobotError if the node of this name belongs to another graph, or does not
        answer.
        """
        until_s = time.monotonic() + self.parameters.timeout_s
        request = GetParameters.Request(names=[GRAPH_PARAMETER])
        with self._client(GetParameters, f"{name}/get_parameters") as client:
            if not client.wait_for_service(self.parameters.timeout_s):
                raise RobotError(f"{name} did not appear within {self.parameters.timeout_s} s")
            while time.monotonic() < until_s:
                future = client.call_async(request)
                rclpy.spin_until_future_complete(self, future, timeout_sec=SILENCE_S)
                if future.done():
                    # A node that was started alone has no graph; this manager then has none
                    # either.
                    graph = next((value.string_value for value in future.result().values), "")
                    break
            else:
                raise RobotError(f"{name} did not answer within {self.parameters.timeout_s} s")
        if graph != own_graph_id():
            owner = f"the graph of {graph}" if graph else "no graph: it was started alone"
            raise RobotError(
                f"a node {name} runs on this ROS domain already and belongs to {owner}; end it, or"
                " set another ROS_DOMAIN_ID for this graph"
            )

    def _require_unique_names(self, age_s: float) -> None:
        """Wait until this process is `age_s` old, and until traces of killed nodes vanish. Before
        DISCOVERY_S it may not have discovered all others yet. Raises: RobotError.
        """
        known_s = self.created_s + age_s
        until_s = max(time.monotonic(), known_s) + TRACES_S
        while True:
            duplicates = [name for name in self.parameters.nodes if self._count(name) > 1]
            if not duplicates and time.monotonic() >= known_s:
                return
            for name in duplicates:
                self._require_own_graph(name)
            if time.monotonic() > until_s:
                raise RobotError(
                    f"several nodes are called {', '.join(duplicates)} on this ROS domain, and none"
                    " is brought up; end the others, or set another ROS_DOMAIN_ID for this graph"
                )
            time.sleep(LOOK_S)

    def _count(self, name: str) -> int:
        """The number of lifecycle nodes of this name: endpoints are discovered before the names of
        nodes.
        """
        return self.count_publishers(f"{name}/transition_event")

    def _choose_start_mode(self) -> None:
        """Choose the start mode, once: a later choice of a person must win. If control refuses, it
        keeps holding.
        """
        mode, why = self.parameters.start_mode, "it did not answer"
        if self.set_mode.wait_for_service(SILENCE_S):
            future = self.set_mode.call_async(SetMode.Request(mode=mode_message(named_mode(mode))))
            rclpy.spin_until_future_complete(self, future, timeout_sec=SILENCE_S)
            if future.done():
                why = "" if future.result().success else future.result().message
        if why:
            self.get_logger().warning(
                one_line(
                    f"control did not take start_mode {mode}: {why}; choose a mode to continue"
                )
            )

    def _change(self, name: str, step: str, transition: int) -> None:
        """Take one transition. An answer can get lost during discovery, so a silent node is asked
        for its state.
        """
        until_s = time.monotonic() + self.parameters.timeout_s
        request = ChangeState.Request(transition=Transition(id=transition))
        with self._client(ChangeState, f"{name}/change_state") as change:
            if not change.wait_for_service(self.parameters.timeout_s):
                raise RobotError(f"{name} did not appear within {self.parameters.timeout_s} s")
            while time.monotonic() < until_s:
                future = change.call_async(request)
                while not future.done() and time.monotonic() < until_s:
                    rclpy.spin_until_future_complete(self, future, timeout_sec=SILENCE_S)
                    # Nodes answer in order: one that reports its state has handled the request.
                    state = None if future.done() else self._state_of(name)
                    if state == REACHED[step]:
                        return
                    if state is not None:
                        break
                if future.done():
                    if not future.result().success:
                        raise RobotError(f"{name} refused to {step}")
                    return
        raise RobotError(f"{name} did not {step} within {self.parameters.timeout_s} s")

    def _state_of(self, name: str) -> int | None:
        """The node's lifecycle state; None if it does not answer soon."""
        with self._client(GetState, f"{name}/get_state") as client:
            future = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(self, future, timeout_sec=SILENCE_S)
            return int(future.result().current_state.id) if future.done() else None

    @contextlib.contextmanager
    def _client(self, kind: Any, service: str) -> Iterator[Any]:
        client = self.create_client(kind, service)
        try:
            yield client
        finally:
            self.destroy_client(client)


def main() -> None:
    with ros_context():
        node = create_or_exit(ManagerNode)
        try:
            node.run()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass  # status 0: it was asked to end
        except RobotError as error:
            if rclpy.ok():
                node.get_logger().error(one_line(error))
            sys.exit(1)
        except Exception:
            # The end of the context can appear as any error during a call.
            if rclpy.ok():
                raise
