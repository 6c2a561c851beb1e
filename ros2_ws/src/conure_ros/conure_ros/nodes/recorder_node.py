"""recorder_node: one MCAP file an episode, with all images, measurements, decisions and
commands.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, KeyValue
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import DataError
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import StartEpisode, StopEpisode
from conure_ros.cameras.encodings import COMPRESSED
from conure_ros.comms.diagnostics import NO_HARDWARE, diagnostics
from conure_ros.comms.lifecycle import one_line, run_node
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import RECORDED, RECORDED_LATCHED, STREAM
from conure_ros.control.control_state import ControlState
from conure_ros.recording.own_diagnostics import keep_own, seen_graph
from conure_ros.recording.queue import QueuedRecording
from conure_ros.recording.recorded_topic import RecordedTopic
from conure_ros.recording.stream_watch import PATIENCE_S, StreamWatch
from conure_ros.recording.writer import EpisodeWriter

RECORDED_TYPES = {
    "camera/image_raw": Image,
    "camera/image_raw/compressed": CompressedImage,
    "camera/camera_info": CameraInfo,
    "wrist/image_raw": Image,
    "wrist/image_raw/compressed": CompressedImage,
    "wrist/camera_info": CameraInfo,
    "policy/image": Image,
    "policy/camera_info": CameraInfo,
    "joint_states": JointState,
    "command/policy": PolicyCommand,
    "command/teleop": PolicyCommand,
    "command/trajectory": JointTrajectory,
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
MISSING = "missing_topics"
"""Key of the metadata: streams that the graph had and the episode lacks."""


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
        self.metadata: dict[str, str] = {}
        self.reported = ""
        self.standing: dict[str, list[bytes]] = {}
        self.received: set[str] = set()
        self.graph = seen_graph(self)
        self.mismatch = self.create_guard_condition(self._follow_offers)
        self.topics = {name: self._subscribe(name, kind) for name, kind in RECORDED_TYPES.items()}
        self.watch, self.began_s = StreamWatch(self._is_published), 0.0
        self.create_service(StartEpisode, "~/start_episode", self._on_start)
        # It waits for a moment; in the node's own group that would block all other callbacks.
        self.create_service(
            StopEpisode, "~/stop_episode", self._on_stop, callback_group=ReentrantCallbackGroup()
        )
        self.health = self.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.control = ControlState(self)
        self.create_timer(HEALTH_S, self._report_health, clock=self.steady)

    def _subscribe(self, name: str, kind: Any) -> RecordedTopic:
        profile = RECORDED_LATCHED if name in LATCHING else RECORDED
        trigger = self.mismatch.trigger
        return RecordedTopic(self, name, kind, profile, self._on_message, self._on_lost, trigger)

    def _follow_offers(self) -> None:
        """Take what the publishers offer, and learn whose diagnostics are this robot's."""
        self.graph = seen_graph(self)
        for topic in self.topics.values():
            if topic.follow() and topic.best_effort:
                self.get_logger().warning(
                    f"{topic.full_name} is published best effort: what is lost on the way is not"
                    " sent again"
                )

    def _is_published(self, name: str) -> bool:
        full_name = self.topics[name].full_name
        return self.context.ok() and any(
            self.count_publishers(topic) for topic in (full_name, full_name + COMPRESSED)
        )

    def _on_message(self, name: str, cdr: bytes) -> None:
        if name == "/diagnostics":
            own = keep_own(cdr, self.graph)
            if own is None:
                return
            cdr = own
        self.received.add(name)
        if name in STANDING:
            before = self.standing.get(name, []) if name == "/tf_static" else []
            self.standing[name] = [*(one for one in before if one != cdr), cdr][-TRANSFORMS:]
        self._record(name, cdr)

    def _record(self, name: str, cdr: bytes) -> None:
        if self.recording is not None:
            self.watch.came(name)
            self.recording.put(self.topics[name].full_name, cdr)

    def _on_lost(self, name: str, count: int) -> None:
        """Count messages that the middleware lost, but not those sent before the topic's first
        message came.
        """
        if self.recording is not None and name in self.received:
            self.recording.lose(self.topics[name].full_name, count)

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        try:
            if self.recording is not None:
                raise DataError(
                    f"{self.recording.path.name} is still being recorded; stop it first"
                )
            self._require_sole()
            self.metadata = _read_metadata(request.metadata)
            self._follow_offers()
            topics = [topic.describe() for topic in self.topics.values()]
            self.recording = QueuedRecording(
                EpisodeWriter(self.folder, request.name, topics, self.metadata)
            )
        except (DataError, OSError) as error:
            response.message = one_line(error)
            return response
        self.reported = ""
        self.watch, self.began_s = StreamWatch(self._is_published), time.monotonic()
        for name, messages in self.standing.items():
            for cdr in messages:
                self._record(name, cdr)
        response.success, response.path = True, str(self.recording.path.resolve())
        return response

    def _require_sole(self) -> None:
        """Two recorders would both answer every request. Raises: DataError if another node offers
        this service too.
        """
        service = self.resolve_service_name("~/start_episode")
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
            response.message = self._gaps(recording)
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
        if request.label == StopEpisode.Request.DISCARD:
            recording.discard()
            return ""
        try:
            more = _read_metadata(request.metadata)
        except DataError:
            recording.finish({**self.metadata, **self._known("interrupted")})
            raise
        about = {**self.metadata, **more, **self._known(request.label)}
        return str(recording.close(about).resolve())

    def _known(self, label: str) -> dict[str, Any]:
        """Metadata of the episode that ends now."""
        missing = [self.topics[name].full_name for name in self.watch.missing()]
        return {MISSING: missing, "label": label}

    def _gaps(self, recording: QueuedRecording) -> str:
        """What a recording lacks, for a person; '' if nothing."""
        missing = ", ".join(self.topics[name].full_name for name in self.watch.missing())
        absent = (
            f"{recording.path.name} has no message of {missing}, which is published; see whether"
            " its node is active and its messages have a type and a quality of service that fit"
            if missing
            else ""
        )
        return "; ".join(filter(None, (absent, _losses(recording))))

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
        waiting = [
            (arrived_ns, name, cdr)
            for name, topic in self.topics.items()
            for arrived_ns, cdr in topic.take_waiting()
        ]
        for _, name, cdr in sorted(waiting, key=lambda one: one[0]):
            self._on_message(name, cdr)

    def _report_health(self) -> None:
        """Report problems of the present episode on /diagnostics, and once in the log."""
        self._follow_offers()
        recording, fault = self.recording, ""
        values = {"control": self.control.text, "episode": ""}
        if recording is not None:
            waited = time.monotonic() - self.began_s > PATIENCE_S
            gaps = self._gaps(recording) if waited else _losses(recording)
            fault = recording.failure or gaps
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
            self.recording.finish({**self.metadata, **self._known("interrupted")})
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


def _read_metadata(given: Sequence[KeyValue]) -> dict[str, str]:
    """Raises: DataError if a key is empty or given twice."""
    counts = Counter(item.key for item in given)
    if "" in counts:
        raise DataError("metadata: a key is empty; give each value a name")
    doubled = [key for key, count in counts.items() if count > 1]
    if doubled:
        raise DataError(f"metadata: the key '{doubled[0]}' is given twice; give each key once")
    return {item.key: item.value for item in given}


def main() -> None:
    run_node(RecorderNode)
