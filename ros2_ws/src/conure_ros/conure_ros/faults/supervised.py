"""Control's core in simulated time, for `stop_trials`. No node, no graph."""

from collections.abc import Callable

import numpy as np

from conure_core.control.safety import JointCommand
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_ros.comms.messages import NANOSECONDS, JointSample
from conure_ros.control.arbiter import Mode, Request, Status, named_mode
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.supervisor import Supervisor
from conure_ros.faults.arms.models import Order
from conure_ros.faults.stop_trials import Sink

SOURCES = {"policy": Mode.POLICY, "teleop": Mode.TELEOP}


class SupervisedArm:
    """A `Supervisor` as `stop_trials.Controlled`, active from the start. It is the supervisor's
    clock and sink.
    """

    def __init__(self, robot: RobotConfig, clock: Callable[[], float], sink: Sink) -> None:
        self._clock, self._sink = clock, sink
        self.states: list[Status] = []
        self.supervisor = Supervisor(Arm(robot), ControlParameters(), self, self)
        self.supervisor.activate()

    # stop_trials.Controlled.

    def measure(self, stamp_s: float, joint_rad: Array, gripper_m: float) -> None:
        self.supervisor.take_sample(JointSample(_ns(stamp_s), joint_rad, gripper_m).part)

    def command(self, source: str, action: Array, stamp_s: float) -> None:
        self.supervisor.take_request(SOURCES[source], Request(_ns(stamp_s), action))

    def tick(self) -> None:
        self.supervisor.tick({})

    def stop(self, why: str) -> None:
        self.supervisor.stop(why)

    def reset_stop(self) -> None:
        self.supervisor.reset_stop()

    def set_mode(self, mode: str) -> None:
        self.supervisor.select(named_mode(mode))

    # The supervisor's clock.

    def steady_s(self) -> float:
        return self._clock()

    def now_ns(self) -> int:
        return _ns(self._clock())

    # The supervisor's sink.

    def send(self, command: JointCommand, now_ns: int) -> None:
        positions = np.append(command.joint_rad, command.gripper_m)
        self._sink(Order(positions, command.duration_s, now_ns / NANOSECONDS))

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        """The models' controllers keep their own set points."""

    def report(self, status: Status) -> None:
        self.states.append(status)

    def torque(self, on: bool, request: int) -> None:
        """These arms hold when they are stopped."""


def _ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
