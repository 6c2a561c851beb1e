"""Recordings of an arm that follows commands through the real controller and gate, in MCAP."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo

from conure_core.control.loop import ControlLoop
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand, RobotState
from conure_ros.comms.messages import image_message, joint_state_message, mode_message, to_time
from conure_ros.comms.schemas import schema_text
from conure_ros.control.arbiter import Mode, named_mode
from conure_ros.recording.episodes import Topic
from conure_ros.recording.writer import EpisodeWriter

TYPES = {
    "/camera/image_raw": "sensor_msgs/msg/Image",
    "/wrist/image_raw": "sensor_msgs/msg/Image",
    "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/command/policy": "conure_msgs/msg/PolicyCommand",
    "/command/teleop": "conure_msgs/msg/PolicyCommand",
    "/robot_state": "conure_msgs/msg/RobotState",
}
BEGIN_NS = 1_700_000_000_000_000_000
MS = 1_000_000
PERIOD_MS = 100


@dataclass
class ArmRecording:
    """An episode that is recorded tick by tick.

    Each tick of a control period: an image, joint states around it, a command, and the state in
    which control followed it. `clock_ns` is added to stamps, and never to log times.
    """

    folder: Path
    name: str = "one"
    robot: str = "wx250s"
    size: tuple[int, int] = (48, 64)
    topics: tuple[str, ...] = tuple(TYPES)
    clock_ns: int = 0
    apart: bool = False
    now_ns: int = BEGIN_NS
    metadata: dict = field(default_factory=dict)
    commanded: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def __post_init__(self):
        topics = [Topic(name, TYPES[name], self.schema(name)) for name in self.topics]
        self.writer = EpisodeWriter(self.folder, self.name, topics, self.metadata)
        self.config = load_robot(self.robot)
        self.loop = ControlLoop(Arm(self.config))
        self.joints = np.array(self.config.home_rad)
        self.gripper = self.config.gripper_open_m
        self.loop.reset(self.joints, self.gripper)

    def schema(self, topic):
        """The text of the topic's type."""
        return schema_text(TYPES[topic])

    def encoded(self, topic, message):
        return serialize_message(message)

    def write(self, topic, message):
        if topic in self.topics:
            cdr = self.encoded(topic, message)
            self.writer.write(topic, cdr, self.now_ns, self.now_ns)

    @property
    def stamp(self):
        return to_time(self.now_ns + self.clock_ns)

    def measure(self, image=True):
        """An image and joint states; a wrist camera where it is recorded."""
        height, width = self.size
        rng = np.random.default_rng(len(self.commanded))
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        stamp = self.now_ns + self.clock_ns
        if image:
            self.write("/camera/image_raw", image_message(pixels, stamp, "camera"))
            self.write("/wrist/image_raw", image_message(255 - pixels, stamp, "wrist"))
        speeds = np.zeros(len(self.joints))
        state = joint_state_message(self.config, self.joints, speeds, self.gripper, stamp)
        parts = [slice(None)] if not self.apart else [slice(None, -1), slice(-1, None)]
        names, places = list(state.name), list(state.position)
        for part in parts:
            state.name, state.position, state.velocity = names[part], places[part], []
            self.write("/joint_states", state)

    def tick(self, action=None, by_person=True, image=True, answered=True):
        """One control period; without an action nobody commands."""
        self.measure(image)
        captured_ns = self.now_ns + self.clock_ns
        self.now_ns += 20 * MS
        self.measure(image=False)
        if action is not None:
            source = "teleop" if by_person else "policy"
            command = PolicyCommand(
                action=[float(one) for one in action], source=named_mode(source)
            )
            command.header.stamp = to_time(captured_ns)
            if answered:
                self.write(f"/command/{source}", command)
            self.follow(action, by_person)
        self.now_ns += (PERIOD_MS - 20) * MS

    def follow(self, action, by_person):
        """Control follows the action, and so does the arm."""
        command = self.loop.step(np.array(action, dtype=float), self.joints)
        mode = Mode.TELEOP if by_person else Mode.POLICY
        state = RobotState(mode=mode_message(mode), safety_changes=list(command.changes))
        state.header.stamp = self.stamp
        state.capture_stamp = to_time(self.now_ns + self.clock_ns - 20 * MS)
        state.commanded_rad = command.joint_rad.tolist()
        self.write("/robot_state", state)
        self.joints, self.gripper = command.joint_rad, command.gripper_m
        self.commanded.append(command.joint_rad)
        self.asked.append(np.array(action, dtype=np.float32))

    def calibrate(self, matrix, distortion):
        """A camera_info."""
        height, width = self.size
        info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
        info.k, info.r = matrix.ravel().tolist(), np.eye(3).ravel().tolist()
        info.p = np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist()
        info.d = [float(one) for one in distortion]
        self.write("/camera/camera_info", info)

    def close(self, label="success", **metadata):
        self.measure()
        self.write("/robot_state", RobotState(mode=mode_message(Mode.HOLD)))
        return self.writer.close({"label": label, **metadata})


def record(folder, name="one", ticks=8, label="success", task="Lift", **settings):
    """A recording of small motions by a person."""
    recording = ArmRecording(folder, name, **settings)
    rng = np.random.default_rng(len(name))
    for _ in range(ticks):
        recording.tick([*rng.uniform(-0.3, 0.3, 6), 1.0])
    recording.close(label, **({"task": task} if task else {}))
    return recording
