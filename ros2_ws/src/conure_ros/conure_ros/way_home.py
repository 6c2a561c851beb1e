"""The service `home` of control_node: a slow, straight way in joint space, through the same gate as every command."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.task import Future
from std_srvs.srv import Trigger

from conure_core.control import ControlLoop
from conure_core.controller import JointTarget
from conure_core.errors import RobotError, StaleInput
from conure_core.robot import RobotConfig
from conure_core.safety import JointCommand
from conure_ros.arbiter import Arbiter, Mode
from conure_ros.homing import ramp
from conure_ros.messages import JointSample
from conure_ros.running import ManagedNode, one_line


@dataclass
class Homing:
    """One way home, from the request to its answer."""

    requested_ns: int
    done: Future
    targets: Iterator[JointTarget] | None = None
    arrive_by_s: float = math.inf


class GoesHome(ManagedNode):
    """The part of control_node that goes home. The other part says what is measured and sends the commands."""

    arbiter: Arbiter
    loop: ControlLoop
    robot: RobotConfig
    parameters: Any
    homing: Homing | None
    measured: JointSample | None
    measured_s: float
    measured_fault: str
    anchor_ns: int

    def _anchor(self, measured: JointSample) -> None:
        raise NotImplementedError

    def _present(self) -> JointSample:
        raise NotImplementedError

    def _command(self, command: JointCommand, captured_ns: int | None = None) -> None:
        raise NotImplementedError

    def _rest(self, moving: bool) -> None:
        raise NotImplementedError

    def _report_now(self) -> None:
        raise NotImplementedError

    async def _on_home(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answers when the arm is at home, anchored there, or when it is sure not to get there."""
        if not self.active:
            response.message = "control is not active"
            return response
        self._cancel_homing("another way home was asked for")
        moving = self.arbiter.moving
        try:
            self.arbiter.select(Mode.HOLD, time.monotonic(), "on the way home")
        except RobotError as error:
            response.message = str(error)
            return response
        self._rest(moving)
        arrive_by_s = time.monotonic() + self.parameters.home_settle_s
        homing = self.homing = Homing(self.now_ns(), Future(), arrive_by_s=arrive_by_s)
        response.message = await homing.done
        response.success = response.message == ""
        return response

    def _cancel_homing(self, why: str) -> None:
        if self.homing is not None:
            self.homing.done.set_result(why)
            self.homing = None

    def _go_home(self) -> None:
        """One control period of it. The first one anchors at a pose measured after the request."""
        homing = self.homing
        if homing is None:
            return
        try:
            if homing.targets is None:
                self._start_homing(homing)
                return
            measured = self._present()
            target = next(homing.targets, None)
            if target is not None:
                command = self._unchanged(self.loop.gate.check(target, age_s=time.monotonic() - self.measured_s))
                self.loop.controller.reset(command.joint_rad)
                self._command(command)
                homing.arrive_by_s = time.monotonic() + self.parameters.home_settle_s
            elif self._at_home(measured):
                self._arrived()
            elif time.monotonic() > homing.arrive_by_s:
                raise RobotError(f"the arm did not settle at home within {self.parameters.home_settle_s} s")
        except RobotError as error:
            self._give_up_homing(homing, str(error))

    def _start_homing(self, homing: Homing) -> None:
        """Waits for the arm's driver, which may be putting up a new scene, and anchors at what it measures then."""
        measured = self.measured
        if measured is not None and not self.measured_fault and measured.stamp_ns >= homing.requested_ns:
            self._anchor(measured)
            home_rad, opening_m = np.array(self.robot.home_rad), self.robot.gripper_open_m
            speed_rad_s, period_s = self.parameters.home_speed_rad_s, self.robot.control_period_s
            homing.targets = ramp(measured.joint_rad, home_rad, opening_m, speed_rad_s, period_s)
        elif time.monotonic() > homing.arrive_by_s:
            raise StaleInput(self.measured_fault or "no joint_states since the way home was asked for")

    @staticmethod
    def _unchanged(command: JointCommand) -> JointCommand:
        """The way home must be free: what the gate cut short would end elsewhere."""
        blocked = [change for change in command.changes if not change.startswith(("speed", "acceleration"))]
        if blocked:
            raise RobotError(f"the way home is blocked: {'; '.join(blocked)}")
        return command

    def _at_home(self, measured: JointSample) -> bool:
        away_rad = float(np.abs(measured.joint_rad - np.array(self.robot.home_rad)).max())
        return away_rad <= self.parameters.home_tolerance_rad

    def _arrived(self) -> None:
        self.loop.hold()
        self.anchor_ns = self.now_ns()
        self.arbiter.select(Mode.HOLD, time.monotonic(), "at home")
        self._cancel_homing("")
        self._report_now()

    def _give_up_homing(self, homing: Homing, why: str) -> None:
        self.arbiter.select(Mode.HOLD, time.monotonic(), f"not at home: {why}")
        self._cancel_homing(one_line(why))
        self._rest(moving=homing.targets is not None)
