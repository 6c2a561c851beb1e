"""serial_arm_node: drives an arm of Dynamixel or Feetech servos over a serial port, without a
vendor's driver.
"""

from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import RobotError
from conure_core.robot.description import load_robot
from conure_core.servos.bus_config import load_bus, port_path
from conure_core.servos.scale import ServoScale
from conure_ros.comms.diagnostics import diagnostics, status_name
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import NANOSECONDS, joint_command, joint_state_message, key_values
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, STREAM, overridable
from conure_ros.comms.service_names import ARM_TORQUE
from conure_ros.drivers.arm_loop import ArmLoop
from conure_ros.drivers.command_age import require_recent
from conure_ros.drivers.serial_arm import Measurement
from conure_ros.drivers.settings import FOLDER, SettingsWriter
from conure_ros.drivers.stop_watch import PUBLISHERS_PERIOD_S, StopWatch

DIAGNOSTICS_PERIOD_S = 1.0


@dataclass(frozen=True)
class SerialArmParameters:
    """Parameters of serial_arm_node."""

    robot: str = parameter(
        "wx250s_serial", "name of a robot with a bus, or the path of its YAML file"
    )
    port: str = parameter(
        "", "the serial port; empty: the one in the robot's file; sim: the simulated servos'"
    )
    silence_s: float = parameter(
        0.1, "how long one command is followed; then the arm holds, s", 0.01, 10.0
    )
    limp_at_end: bool = parameter(False, "torque off when the node ends: the arm falls")
    write_settings: bool = parameter(
        False, "write what the servos keep without power where it differs from the robot's file"
    )
    settings_folder: str = parameter(
        str(FOLDER), "where a file keeps what they held before, in a folder a robot"
    )


class SerialArmNode(ManagedNode):
    """Follows `joint_trajectory`, publishes `joint_states`. A fault halts the arm and stops control
    by `stop`.

    configure checks every servo and moves nothing, and writes settings only with `write_settings`;
    activate switches the torque on at the present pose; deactivate holds. The node latches a stop
    itself, in every lifecycle state, until control's reset_stop. After a fault, which is a stop
    too, deactivate and activate it as well.
    """

    def __init__(self) -> None:
        super().__init__("serial_arm")
        self.parameters = declare(self, SerialArmParameters)
        self.loop: ArmLoop | None = None
        self.stop_watch = StopWatch(self, self._on_stop_changed)

    def configure(self) -> None:
        self.robot, self.last_warning = load_robot(self.parameters.robot), ""
        bus = load_bus(self.parameters.robot)
        self.joint_states = self.publisher_while_active(JointState, "joint_states", NEWEST)
        status = self.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self.diagnostics = self.destroy_at_cleanup(self.destroy_publisher, status)
        trajectories = self.create_subscription(
            JointTrajectory,
            "joint_trajectory",
            self._on_trajectory,
            **overridable(NEWEST),
        )
        self.destroy_at_cleanup(self.destroy_subscription, trajectories)
        self.offer(Trigger, "~/torque_off", self._on_torque_off)
        self.offer(Trigger, "~/reboot_servos", self._on_reboot_servos)
        self.offer(SetBool, ARM_TORQUE, self._on_torque)
        self.steady_timer(DIAGNOSTICS_PERIOD_S, self._report)
        port = str(port_path(self.parameters.port, bus))
        scale = ServoScale(bus, self.robot)
        self.loop = ArmLoop(
            scale,
            port,
            self.parameters.silence_s,
            self._on_measurement,
            self._on_fault,
            self._settings_writer(),
        )
        self.loop.stopped = self.stop_watch.reason
        self.steady_timer(PUBLISHERS_PERIOD_S, self.stop_watch.check_publishers)
        self.loop.start()

    def _settings_writer(self) -> SettingsWriter | None:
        if not self.parameters.write_settings:
            return None
        folder = Path(self.parameters.settings_folder).expanduser()
        return SettingsWriter(self.robot.name, folder, self._log_setting)

    def _log_setting(self, text: str) -> None:
        self.get_logger().warning(one_line(text))

    @property
    def arm(self) -> ArmLoop:
        """The loop. Raises: RobotError before configure, or if the loop ended."""
        if self.loop is None:
            raise RobotError("the arm is not configured")
        if self.loop.error is not None:
            raise RobotError(
                f"the servo loop ended: {self.loop.error!r}; configure again"
            ) from self.loop.error
        return self.loop

    def activate(self) -> None:
        self.arm.arm()
        self.last_warning = ""

    def deactivate(self) -> None:
        self.arm.disarm()

    def release(self) -> None:
        loop, self.loop = self.loop, None
        if loop is not None:
            loop.close(self.parameters.limp_at_end)

    # From the loop's thread.

    def _on_measurement(self, measurement: Measurement) -> None:
        """Publish it with the stamp of its cycle: this process may be suspended meanwhile."""
        if self.loop is not None and self.active:
            positions = measurement.positions
            self.joint_states.publish(
                joint_state_message(
                    self.robot,
                    positions[:-1],
                    measurement.speeds,
                    float(positions[-1]),
                    self.now_ns() - round(self.loop.measured_age_s * NANOSECONDS),
                )
            )

    def _on_fault(self, why: str) -> None:
        self.get_logger().error(one_line(f"the arm stopped: {why}"))
        self.stop_watch.publish_stop()

    # Requests.

    def _on_stop_changed(self, reason: str) -> None:
        self.last_warning = ""
        if self.loop is not None:
            self.loop.stopped = reason

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if not self.active or not self.stop_watch.admits():
            return
        try:
            require_recent(message, self.now_ns(), self.robot.control_period_s)
            self.arm.command(joint_command(message, self.robot))
        except RobotError as error:
            if str(error) != self.last_warning:
                self.last_warning = str(error)
                self.get_logger().warning(one_line(error))

    def _on_torque(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            self.arm.set_torque(request.data)
            response.success, response.message = True, "holding" if request.data else "limp"
        except RobotError as error:
            response.message = one_line(error)
        return response

    def _on_torque_off(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            self.arm.let_go()
            response.success, response.message = True, "no servo has torque"
        except RobotError as error:
            response.message = one_line(error)
        return response

    def _on_reboot_servos(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            rebooted = self.arm.reboot_faulty()
            response.success = True
            response.message = (
                f"rebooted {', '.join(rebooted)}" if rebooted else "no servo reports an error"
            )
        except RobotError as error:
            response.message = one_line(error)
        return response

    def _report(self) -> None:
        """Publish one status for the bus, and one for each servo."""
        loop = self.loop
        if loop is None:
            return
        fault = loop.fault if loop.error is None else f"the servo loop ended: {loop.error!r}"
        figures = {name: f"{value:.3f}" for name, value in loop.times.figures().items()}
        figures |= {
            "state": loop.state.value,
            "retried": str(sum(loop.servos.bus.retried.values())),
        }
        stopped = (
            f"stopped by {self.stop_watch.reason}; reset_stop ends it"
            if self.stop_watch.reason
            else ""
        )
        said = one_line(fault or stopped or loop.behind)
        message = diagnostics(self, "bus", loop.port, said, figures)
        if fault:
            message.status[0].level = DiagnosticStatus.ERROR
        message.status += [self._servo_status(loop, servo_id) for servo_id in loop.config.ids]
        self.diagnostics.publish(message)

    def _servo_status(self, loop: ArmLoop, servo_id: int) -> DiagnosticStatus:
        health, table = loop.servos.health[servo_id], loop.config.table
        error = table.error_texts(health.get("hardware_error", 0))
        level = DiagnosticStatus.ERROR if error else DiagnosticStatus.OK
        status = DiagnosticStatus(
            name=status_name(self, loop.config.label(servo_id)),
            level=level,
            message=error or "ok",
            hardware_id=f"{loop.port} id {servo_id}",
        )
        values = {"retried": str(loop.servos.bus.retried[servo_id])}
        if "present_temperature" in health:
            values["temperature_c"] = str(health["present_temperature"])
            values["voltage_v"] = f"{health['present_voltage'] * table.voltage_unit_v:.1f}"
        status.values = key_values(values)
        return status


def main() -> None:
    run_node(SerialArmNode)
