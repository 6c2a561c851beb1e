"""recorder_node: one MCAP file an episode, with all images, measurements, decisions and
commands.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import DataError
from conure_core.runtime.json_text import json_text
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import StartEpisode, StopEpisode
from conure_ros.comms.diagnostics import NO_HARDWARE, diagnostics
from conure_ros.comms.lifecycle import one_line, run_node
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import RECORDED, RECORDED_LATCHED, STREAM
from conure_ros.comms.schemas import schema_text
from conure_ros.control.control_state import ControlState
from conure_ros.recording.episodes import Topic
from conure_ros.recording.queue import QueuedRecording
from conure_ros.recording.writer import EpisodeWriter

RECORDED_TYPES = {
    "camera/image_raw": Image,
    "camera/camera_info": CameraInfo,
    "wrist/image_raw": Image,
    "wrist/camera_info": CameraInfo,
    "joint_states": JointState,
    "command/policy": PolicyCommand,
    "command/teleop": PolicyCommand,
    "command/executed": PolicyCommand,
    "joint_trajectory": JointTrajectory,
    "position_commands": Float64MultiArray,
    "robot_state": RobotState,
    "robot_description": String,
    "/diagnostics": DiagnosticArray,
    "/tf": TFMessage,
    "/tf_static": TFMessage,
}
LATCHING = {"robot_state", "robot_description", "/tf_static"}
# The last message of these before the start belongs to the episode too; for transforms, that of
# each publisher.
TRANSFORMS = 100
SETTLE_S = 0.1
HEALTH_S = 1.0
STANDING = {"camera/camera_info", "wrist/camera_info", *LATCHING}


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of recorder_node."""

    folder: str = parameter("out/recordings", "where recordings are written")


class RecorderNode(Node):
    """Subscribes early, so that discovery loses no first message. Messages stay serialized."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.folder = Path(declare(self, RecorderParameters).folder)
        self.recording: QueuedRecording | None = None
        self.stopping = False
        self.metadata: dict[str, Any] = {}
        self.reported = ""
        self.standing: dict[str, list[bytes]] = {}
        self.received: set[str] = set()
        self.topics: dict[str, Topic] = {}
        self.recorded = {name: self._subscribe(name, kind) for name, kind in RECORDED_TYPES.items()}
        self.create_service(StartEpisode, "start_episode", self._on_start)
        # It waits for a moment; in the node's own group that would block all other callbacks.
        self.create_service(
            StopEpisode, "stop_episode", self._on_stop, callback_group=ReentrantCallbackGroup()
        )
        self.health = self.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.control = ControlState(self)
        self.create_timer(HEALTH_S, self._report_health, clock=self.steady)

    def _subscribe(self, name: str, kind: Any) -> Any:
        quality = RECORDED_LATCHED if name in LATCHING else RECORDED
        events = SubscriptionEventCallbacks(message_lost=partial(self._on_lost, name))
        subscription = self.create_subscription(
            kind, name, partial(self._on_message, name), quality, event_callbacks=events, raw=True
        )
        type_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        self.topics[name] = Topic(subscription.topic_name, type_name, schema_text(type_name))
        return subscription

    def _on_message(self, name: str, cdr: bytes) -> None:
        self.received.add(name)
        if name in STANDING:
            before = self.standing.get(name, []) if name == "/tf_static" else []
            self.standing[name] = [*(one for one in before if one != cdr), cdr][-TRANSFORMS:]
        if self.recording is not None:
            self.recording.put(self.topics[name].name, cdr)

    def _on_lost(self, name: str, info: Any) -> None:
        """Count messages that the middleware lost, but not those sent before the topic's first
        message came.
        """
        if self.recording is not None and name in self.received:
            self.recording.lose(self.topics[name].name, info.total_count_change)

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        try:
            if self.recording is not None:
                raise DataError(
                    f"{self.recording.path.name} is still being recorded; stop it first"
                )
            self._require_sole()
            self.metadata = _parse_metadata(request.metadata_json)
            topics = self.topics.values()
            self.recording = QueuedRecording(
                EpisodeWriter(self.folder, request.name, topics, self.metadata)
            )
        except (DataError, OSError) as error:
            response.message = one_line(error)
            return response
        self.reported = ""
        for name, messages in self.standing.items():
            for cdr in messages:
                self.recording.put(self.topics[name].name, cdr)
        response.success, response.path = True, str(self.recording.path.resolve())
        return response

    def _require_sole(self) -> None:
        """Two recorders would both answer every request. Raises: DataError if another node offers
        this service too.
        """
        service = self.resolve_service_name("start_episode")
        if self.count_services(service) > 1:
            remedy = (
                "end all but one, or give them namespaces (traces of a killed one vanish within"
                " 20 s)"
            )
            raise DataError(f"several recorders offer {service}; {remedy}")

    async def _on_stop(
        self, request: StopEpisode.Request, response: StopEpisode.Response
    ) -> StopEpisode.Response:
        recording, ended = self.recording, None
        try:
            if recording is None or self.stopping:
                raise DataError("nothing is being recorded")
            self.stopping = True
            await self._settle()
            self._take_what_waits()
            self.recording, self.stopping = None, False
            ended = recording
            response.path = self._finish(recording, request)
            response.message = _losses(recording)
            response.success = True
        except (DataError, OSError) as error:
            response.message = one_line(error)
        if ended is not None:
            response.lost_messages = sum(ended.lost().values())
        if response.message:
            self.get_logger().error(response.message)
        return response

    def _finish(self, recording: QueuedRecording, request: StopEpisode.Request) -> str:
        """The path of the finished recording, '' if discarded. Raises: DataError, OSError."""
        if request.label == "discard":
            recording.discard()
            return ""
        try:
            more = _parse_metadata(request.metadata_json)
        except DataError:
            recording.finish({**self.metadata, "label": "interrupted"})
            raise
        return str(recording.close({**self.metadata, **more, "label": request.label}).resolve())

    async def _settle(self) -> None:
        """Let the executor run for a moment: messages and losses from before the request still
        count.
        """
        passed = Future()
        timer = self.create_timer(SETTLE_S, lambda: passed.set_result(None), clock=self.steady)
        await passed
        self.destroy_timer(timer)

    def _take_what_waits(self) -> None:
        """Record all messages that have arrived but were not taken yet, in the order of arrival."""
        waiting = []
        for name, subscription in self.recorded.items():
            with subscription.handle:
                while (
                    taken := subscription.handle.take_message(subscription.msg_type, True)
                ) is not None:
                    waiting.append((taken[1]["received_timestamp"], name, taken[0]))
        for _, name, cdr in sorted(waiting, key=lambda one: one[0]):
            self._on_message(name, cdr)

    def _report_health(self) -> None:
        """Report problems of the present episode on /diagnostics, and once in the log."""
        recording, fault = self.recording, ""
        values = {"control": self.control.text, "episode": ""}
        if recording is not None:
            fault = recording.failure or _losses(recording)
            values |= {"episode": recording.path.name, "queued_bytes": str(recording.queued_bytes)}
            values |= {f"lost: {topic}": str(count) for topic, count in recording.lost().items()}
        if fault and not self.reported:
            self.get_logger().error(one_line(fault))
        self.reported = fault
        self.health.publish(diagnostics(self, "episode", NO_HARDWARE, fault, values))

    def release(self) -> None:
        """An episode that nobody stopped stays a partial file, complete and readable."""
        if self.recording is None:
            return
        try:
            self.recording.finish({**self.metadata, "label": "interrupted"})
        except OSError as error:
            self.get_logger().error(one_line(f"recording {self.recording.path.name}: {error}"))


def _losses(recording: QueuedRecording) -> str:
    """What is missing from a recording, for a person; '' if nothing."""
    lost = recording.lost()
    if not lost:
        return ""
    topics = ", ".join(f"{topic} {count}" for topic, count in sorted(lost.items()))
    return (
        f"{sum(lost.values())} messages are missing from {recording.path.name}, they came too fast:"
        f" {topics}"
    )


def _parse_metadata(text: str) -> dict[str, Any]:
    """Raises: DataError if the text is not a JSON object that can be stored as UTF-8."""
    try:
        data = json.loads(text or "{}")
        json_text(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"metadata_json is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"metadata_json must be a JSON object, got {type(data).__name__}")
    return data


def main() -> None:
    run_node(RecorderNode)
