"""manager_node: brings the lifecycle nodes of a graph up, in order, and ends. Works the same under any starter."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from conure_core.errors import RobotError
from conure_ros.parameters import declare, parameter
from conure_ros.running import created, one_line, ros_context

STEPS = {"configure": Transition.TRANSITION_CONFIGURE, "activate": Transition.TRANSITION_ACTIVATE}
REACHED = {"configure": State.PRIMARY_STATE_INACTIVE, "activate": State.PRIMARY_STATE_ACTIVE}
SILENCE_S = 3.0


@dataclass(frozen=True)
class ManagerParameters:
    """Parameters of manager_node."""

    nodes: tuple[str, ...] = parameter(("sim_robot", "control", "policy"), "lifecycle nodes, in the order they come up")
    timeout_s: float = parameter(60.0, "how long one step of one node may take, s", 1.0, 600.0)


class ManagerNode(Node):
    """Configures every node, then activates every node; the first refusal ends it with status 1."""

    def __init__(self) -> None:
        super().__init__("manager")
        self.parameters = declare(self, ManagerParameters)

    def run(self) -> None:
        for step, transition in STEPS.items():
            for name in self.parameters.nodes:
                self._change(name, step, transition)
        self.get_logger().info(f"up: {', '.join(self.parameters.nodes)}")

    def _change(self, name: str, step: str, transition: int) -> None:
        """While nodes still discover each other an answer can get lost: a silent node is asked where it is now."""
        until_s = time.monotonic() + self.parameters.timeout_s
        request = ChangeState.Request(transition=Transition(id=transition))
        with self._client(ChangeState, f"{name}/change_state") as change:
            if not change.wait_for_service(self.parameters.timeout_s):
                raise RobotError(f"{name} did not appear within {self.parameters.timeout_s} s")
            while time.monotonic() < until_s:
                future = change.call_async(request)
                while not future.done() and time.monotonic() < until_s:
                    rclpy.spin_until_future_complete(self, future, timeout_sec=SILENCE_S)
                    # Nodes answer one question after another: one that says where it is has done what it was told.
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
        """Of its life cycle; None if it does not say soon."""
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
        node = created(ManagerNode)
        try:
            node.run()
        except (KeyboardInterrupt, ExternalShutdownException):
            sys.exit(130)
        except RobotError as error:
            if rclpy.ok():
                node.get_logger().error(one_line(error))
            sys.exit(1)
