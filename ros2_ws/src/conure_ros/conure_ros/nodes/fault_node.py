"""fault_node: forwards images, joint states and policy commands, and can falsify one of them."""

import heapq
import itertools
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from conure_core.errors import ConfigError
from conure_core.robot.description import load_robot
from conure_msgs.msg import InjectedFault, PolicyCommand
from conure_ros.comms.diagnostics import Reporter
from conure_ros.comms.lifecycle import run_node
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, STREAM
from conure_ros.faults.injection import COMMAND, IMAGE, JOINTS, Injector

DELAY_TICK_S = 0.005


@dataclass(frozen=True)
class FaultParameters:
    """Parameters of fault_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")


class FaultNode(Node):
    """Forwards `raw/X` to `X`. `faults/inject` names a fault; '' ends it.

    `faults/injected` reports when it began, and when it first changed (`spoiled`) a message.
    """

    def __init__(self) -> None:
        super().__init__("fault")
        robot = load_robot(declare(self, FaultParameters).robot)
        self.injector = Injector(robot.control_period_s)
        Reporter(self, "fault", robot.name, lambda: (self.injector.fault, {}))
        self.outputs: dict[str, Any] = {}
        self.waiting: list[tuple[float, int, str, Any]] = []
        self.count, self.spoils = itertools.count(), False
        for kind, topic in ((Image, IMAGE), (JointState, JOINTS), (PolicyCommand, COMMAND)):
            self.outputs[topic] = self.create_publisher(kind, topic, NEWEST)
            self.create_subscription(kind, f"raw/{topic}", partial(self._on_message, topic), NEWEST)
        self.injected = self.create_publisher(InjectedFault, "faults/injected", STREAM)
        self.create_subscription(String, "faults/inject", self._on_inject, STREAM)
        self.create_timer(
            DELAY_TICK_S, self._publish_due, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _on_inject(self, message: String) -> None:
        try:
            self.injector.choose(message.data)
            self.spoils = message.data == ""
            self._report()
        except ConfigError as error:
            self._report(error=str(error))

    def _report(self, spoiled: bool = False, error: str = "") -> None:
        answer = InjectedFault(fault=self.injector.fault, spoiled=spoiled, error=error)
        answer.stamp = self.get_clock().now().to_msg()
        self.injected.publish(answer)

    def _on_message(self, topic: str, message: Any) -> None:
        if not self.spoils and self.injector.spoils(topic):
            self.spoils = True
            self._report(spoiled=True)
        for passed, delay_s in self.injector.passed(topic, message):
            if delay_s:
                heapq.heappush(
                    self.waiting, (time.monotonic() + delay_s, next(self.count), topic, passed)
                )
            else:
                self.outputs[topic].publish(passed)

    def _publish_due(self) -> None:
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, topic, message = heapq.heappop(self.waiting)
            self.outputs[topic].publish(message)


def main() -> None:
    run_node(FaultNode)
