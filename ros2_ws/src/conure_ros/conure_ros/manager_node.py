"""manager_node: brings the lifecycle nodes of a graph up, in order, and ends. Works the same under any starter."""

import sys
from dataclasses import dataclass

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from conure_core.errors import RobotError
from conure_ros.parameters import declare, parameter
from conure_ros.running import created, one_line, ros_context

STEPS = {"configure": Transition.TRANSITION_CONFIGURE, "activate": Transition.TRANSITION_ACTIVATE}


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
        client = self.create_client(ChangeState, f"{name}/change_state")
        try:
            if not client.wait_for_service(self.parameters.timeout_s):
                raise RobotError(f"{name} did not appear within {self.parameters.timeout_s} s")
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            rclpy.spin_until_future_complete(self, future, timeout_sec=self.parameters.timeout_s)
            if not future.done():
                raise RobotError(f"{name} did not {step} within {self.parameters.timeout_s} s")
            if not future.result().success:
                raise RobotError(f"{name} refused to {step}")
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
