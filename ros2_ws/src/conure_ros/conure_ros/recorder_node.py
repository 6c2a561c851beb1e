"""recorder_node: one MCAP file an episode, of everything that was seen, decided and commanded."""

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import DataError
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import StartEpisode, StopEpisode
from conure_ros.parameters import declare, parameter
from conure_ros.qos import RECORDED, RECORDED_LATCHED
from conure_ros.recording import EpisodeWriter, Topic
from conure_ros.running import one_line, run_node
from conure_ros.schemas import schema_text

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
    "/diagnostics": DiagnosticArray,
    "/tf_static": TFMessage,
}
LATCHING = {"robot_state", "/tf_static"}
# Of these the last message before the start belongs to the episode as well; of transforms, each publisher's.
TRANSFORMS = 100
STANDING = {"camera/camera_info", "wrist/camera_info", *LATCHING}


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of recorder_node."""

    folder: str = parameter("out/recordings", "where recordings are written")


class RecorderNode(Node):
    """Subscribes early, so that no first message is lost to discovery. Messages stay serialized."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.folder = Path(declare(self, RecorderParameters).folder)
        self.episode: EpisodeWriter | None = None
        self.metadata: dict[str, Any] = {}
        self.failure = ""
        self.standing: dict[str, list[bytes]] = {}
        self.topics = {}
        for name, kind in RECORDED_TYPES.items():
            quality = RECORDED_LATCHED if name in LATCHING else RECORDED
            subscription = self.create_subscription(kind, name, partial(self._on_message, name), quality, raw=True)
            type_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
            self.topics[name] = Topic(subscription.topic_name, type_name, schema_text(type_name))
        self.create_service(StartEpisode, "start_episode", self._on_start)
        self.create_service(StopEpisode, "stop_episode", self._on_stop)

    def _on_message(self, name: str, cdr: bytes) -> None:
        if name in STANDING:
            before = self.standing.get(name, []) if name == "/tf_static" else []
            self.standing[name] = [*(one for one in before if one != cdr), cdr][-TRANSFORMS:]
        if self.episode is not None:
            self._write(self.episode, name, cdr)

    def _write(self, episode: EpisodeWriter, name: str, cdr: bytes) -> None:
        if self.failure:
            return
        now_ns = time.time_ns()
        try:
            episode.write(self.topics[name].name, cdr, now_ns, now_ns)
        except OSError as error:
            self.failure = f"recording {episode.path.name} failed: {error}"
            self.get_logger().error(one_line(self.failure))

    def _on_start(self, request: StartEpisode.Request, response: StartEpisode.Response) -> StartEpisode.Response:
        try:
            if self.episode is not None:
                raise DataError(f"{self.episode.path.name} is still being recorded; stop it first")
            self.metadata = _parsed(request.metadata_json)
            self.episode = EpisodeWriter(self.folder, request.name, self.topics.values())
        except (DataError, OSError) as error:
            response.message = one_line(error)
            return response
        self.failure = ""
        for name, messages in self.standing.items():
            for cdr in messages:
                self._write(self.episode, name, cdr)
        response.success, response.path = True, str(self.episode.path.resolve())
        return response

    def _on_stop(self, request: StopEpisode.Request, response: StopEpisode.Response) -> StopEpisode.Response:
        episode, self.episode = self.episode, None
        try:
            if episode is None:
                raise DataError("nothing is being recorded")
            if self.failure:
                episode.abandon()
                raise DataError(self.failure)
            if request.label == "discard":
                episode.discard()
            else:
                metadata = {**self.metadata, **_parsed(request.metadata_json), "label": request.label}
                response.path = str(episode.close(metadata).resolve())
            response.success = True
        except (DataError, OSError) as error:
            response.message = one_line(error)
            self.get_logger().error(response.message)
        return response

    def release(self) -> None:
        """An episode that nobody stopped stays a partial file, complete and readable."""
        if self.episode is not None and not self.failure:
            self.episode.finish({**self.metadata, "label": "interrupted"})


def _parsed(text: str) -> dict[str, Any]:
    """Raises: DataError if it is not a JSON object."""
    try:
        data = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise DataError(f"metadata_json is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"metadata_json must be a JSON object, got {type(data).__name__}")
    return data


def main() -> None:
    run_node(RecorderNode)
