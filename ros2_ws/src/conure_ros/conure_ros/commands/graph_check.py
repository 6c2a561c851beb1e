"""What comes on the topics of a running graph: presence, type, rate, stamp, frame, units.

For whoever puts a driver, a camera or a whole simulator behind the topics (docs/your_simulator.md).
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState

from conure_core.errors import ConureError
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig, load_robot
from conure_core.robot.measured_range import implausible
from conure_core.robot.ros2_control import load_ros2_control
from conure_msgs.msg import RobotState
from conure_msgs.srv import ResetScene, TaskStatus
from conure_ros.cameras.encodings import rgb_pixels
from conure_ros.commands.definition_check import check_definitions
from conure_ros.commands.findings import Check, Finding, Missing, find
from conure_ros.comms.domains import join_running_graph
from conure_ros.comms.lifecycle import ros_context
from conure_ros.comms.messages import NANOSECONDS, joint_part, joints_in, to_ns, to_seconds
from conure_ros.comms.service_names import SCENE_RESET, SCENE_STATUS, name_hint
from conure_ros.control.control_state import describe_state
from conure_ros.control.joint_watch import FUTURE_S
from conure_ros.recording.trial_goals import time_limit_s

LISTEN_S = 3.0
"""How long messages are gathered, s."""
DISCOVERY_S = 4.0
"""How long to wait for the first ones; see sole_publisher.DISCOVERY_S."""
ANSWER_S = 3.0
JOINT_HZ = 20.0
"""Lowest rate of joint_states that shows within a second that an arm rests, and is never stale."""
MOST_PARTS = 16
"""Messages of one stamp, at most: each joint may come by itself."""
BLACK = 2
HELP = "docs/your_simulator.md"
TYPES = {
    "joint_states": JointState,
    "camera/image_raw": Image,
    "camera/camera_info": CameraInfo,
    "robot_state": RobotState,
}


@dataclass
class Heard:
    """Messages of one topic, each with its time of arrival: s on the steady clock, ns on that of
    the stamps.
    """

    topic: str
    messages: list[Any] = field(default_factory=list)
    came_s: list[float] = field(default_factory=list)
    came_ns: list[int] = field(default_factory=list)

    def add(self, message: Any, now_s: float, now_ns: int) -> None:
        """Keep a message.

        Args:
            message: The message.
            now_s: Present time on the steady clock, s.
            now_ns: Present time on the clock of the stamps, ns.
        """
        self.messages.append(message)
        self.came_s.append(now_s)
        self.came_ns.append(now_ns)

    def rate_hz(self) -> float:
        """Messages a second; 0 for fewer than two."""
        span_s = self.came_s[-1] - self.came_s[0] if self.came_s else 0.0
        return (len(self.came_s) - 1) / span_s if span_s else 0.0

    def require_messages(self) -> None:
        """Raises: Missing if none came."""
        if not self.messages:
            raise Missing("no message", f"publish {self.topic} ({HELP})")

    def ages_s(self) -> list[float]:
        """Age of each message when it came, s. Raises: Missing for a stamp of zero."""
        stamps_ns = [to_ns(message.header.stamp) for message in self.messages]
        if 0 in stamps_ns:
            raise Missing("no stamp", "stamp each message with the time of its measurement")
        pairs = zip(self.came_ns, stamps_ns, strict=True)
        return [(came_ns - stamp_ns) / NANOSECONDS for came_ns, stamp_ns in pairs]

    def require_stamps(self, oldest_s: float) -> str:
        """The stamps, for a person.

        Args:
            oldest_s: Largest age that a node takes, s.

        Raises:
            Missing: They are zero, too old, of the future, or do not grow.
        """
        ages_s = sorted(self.ages_s())
        middle_s = ages_s[len(ages_s) // 2]
        stamps_ns = [to_ns(message.header.stamp) for message in self.messages]
        if len(set(stamps_ns)) * MOST_PARTS < len(stamps_ns):
            raise Missing(
                f"{len(set(stamps_ns))} stamps in {len(stamps_ns)} messages",
                "give each measurement its own stamp",
            )
        if middle_s < -FUTURE_S:
            raise Missing(
                f"stamps {-middle_s:.3f} s in the future",
                "set both clocks alike; with use_sim_time, publish /clock",
            )
        if middle_s > oldest_s:
            raise Missing(
                f"stamps {middle_s:.3f} s old when they come (limit {oldest_s:g} s)",
                "stamp at the measurement, by the clock of this computer",
            )
        return f"{1e3 * middle_s:.0f} ms old"


def examine_graph(robot_name: str, image_size_px: int) -> Iterator[Finding]:
    """The findings on the graph that runs here, one after the other.

    Args:
        robot_name: Name of the robot, or the path of its YAML file.
        image_size_px: Side of the square images that the policy sees, px.

    Raises:
        ConfigError: The robot is not known, or several graphs run here.
    """
    robot = load_robot(robot_name)
    join_running_graph()
    with ros_context():
        node = rclpy.create_node("doctor")
        heard = _listen(node)
        joints, images, infos, states = (heard[topic] for topic in TYPES)
        commands = load_ros2_control(robot_name).arm_topic
        judges: dict[str, Callable[[], str]] = {
            joints.topic: partial(check_joints, joints, Arm(robot)),
            images.topic: partial(check_images, images, image_size_px, robot),
            infos.topic: partial(check_infos, infos, images),
        }
        checks: list[Check] = [
            *(
                (topic, partial(_judge, node, topic, judge), True)
                for topic, judge in judges.items()
            ),
            (commands, partial(_check_listener, node, commands), True),
            ("robot_state", partial(_check_control, states), True),
            ("conure_msgs", partial(check_definitions, node), True),
            (SCENE_RESET, partial(_check_reset, node), False),
            (SCENE_STATUS, partial(_check_status, node), False),
        ]
        yield from find(checks, HELP)
        node.destroy_node()


def _listen(node: Any) -> dict[str, Heard]:
    heard = {topic: Heard(topic) for topic in TYPES}
    anything = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)

    def keep(kept: Heard, message: Any) -> None:
        kept.add(message, time.monotonic(), node.get_clock().now().nanoseconds)

    for topic, kind in TYPES.items():
        node.create_subscription(kind, topic, partial(keep, heard[topic]), anything)
    _spin(node, DISCOVERY_S, lambda: all(kept.messages for kept in heard.values()))
    _spin(node, LISTEN_S, lambda: False)
    return heard


def _spin(node: Any, seconds: float, done: Callable[[], bool]) -> bool:
    """Spin until it is done, at most for so many seconds. Returns whether it is."""
    until_s = time.monotonic() + seconds
    while not done() and time.monotonic() < until_s:
        rclpy.spin_once(node, timeout_sec=0.05)
    return done()


def check_joints(heard: Heard, arm: Arm) -> str:
    """Judge joint_states: every joint of the arm, in rad and m, often enough, with stamps.

    Args:
        heard: What came.
        arm: The arm.

    Raises:
        Missing: Something is wrong; it says what to do.
    """
    heard.require_messages()
    robot = arm.config
    named = [message for message in heard.messages if len(joints_in(message, robot))]
    found = {place for message in named for place in joints_in(message, robot).tolist()}
    lacking = [name for place, name in enumerate(robot.command_names) if place not in found]
    if lacking:
        names = ", ".join(heard.messages[-1].name) or "nothing"
        raise Missing(
            f"lacks {', '.join(lacking)}; it has: {names}",
            "publish the joints by the names in the robot's file, the gripper too",
        )
    try:
        parts = [joint_part(message, robot) for message in named]
    except ConureError as error:
        raise Missing(str(error), "publish one finite position for each name") from error
    _require_units(parts, arm)
    ages = heard.require_stamps(robot.max_input_age_s)
    each_hz = heard.rate_hz() * min(
        sum(place in part.index for part in parts) / len(heard.messages) for place in found
    )
    if each_hz < JOINT_HZ:
        raise Missing(
            f"{each_hz:.0f} Hz",
            f"publish every joint at {JOINT_HZ:.0f} Hz or more; 50 to 500 is usual",
        )
    return f"{each_hz:.0f} Hz, {ages}, {len(robot.command_names)} joints in rad and m"


def _require_units(parts: list[Any], arm: Arm) -> None:
    """Raises: Missing for positions that the joints cannot have, with the unit that they may be
    in.
    """
    robot = arm.config
    for part in parts:
        pose = np.array([*robot.home_rad, robot.gripper_open_m])
        pose[part.index] = part.positions
        wrong = implausible(arm, pose[:-1], float(pose[-1]))
        if not wrong:
            continue
        as_degrees = implausible(arm, np.radians(pose[:-1]), robot.gripper_open_m)
        unit = ""
        if np.abs(pose[:-1]).max() > math.pi and not as_degrees:
            unit = "; these look like degrees: publish rad"
        elif abs(pose[-1]) > 1.0:
            unit = "; the gripper's position is in m, of the finger joint"
        raise Missing(wrong[0], f"check unit, zero and sign of the joint{unit}")


def check_images(heard: Heard, size_px: int, robot: RobotConfig) -> str:
    """Judge images: encoding, size, rate, stamps, frame.

    Args:
        heard: What came.
        size_px: Side of the square images that the policy sees, px.
        robot: For its control period.

    Raises:
        Missing: Something is wrong; it says what to do.
    """
    heard.require_messages()
    last = heard.messages[-1]
    try:
        pixels = rgb_pixels(last)
    except ConureError as error:
        raise Missing(str(error), f"publish rgb8 ({HELP})") from error
    if (last.height, last.width) != (size_px, size_px):
        raise Missing(
            f"{last.width}x{last.height} px, the policy sees {size_px}x{size_px} px",
            "publish that size, set policy_node's image_fit, or give image_size_px=",
        )
    if pixels.max() <= BLACK:
        raise Missing("black", "policy_node refuses black images: render the scene")
    if not last.header.frame_id:
        raise Missing("no frame_id", "set header.frame_id to the camera's optical frame")
    ages = heard.require_stamps(robot.max_input_age_s)
    wanted_hz = 1.0 / robot.control_period_s
    if heard.rate_hz() < 0.9 * wanted_hz:
        raise Missing(
            f"{heard.rate_hz():.1f} Hz", f"publish at {wanted_hz:g} Hz or more, the control rate"
        )
    size = f"{last.width}x{last.height} {last.encoding}"
    return f"{heard.rate_hz():.0f} Hz, {ages}, {size}, frame {last.header.frame_id}"


def check_infos(heard: Heard, images: Heard) -> str:
    """Judge camera_info: filled, and of the images.

    Args:
        heard: What came.
        images: The images that came.

    Raises:
        Missing: Something is wrong; it says what to do.
    """
    heard.require_messages()
    last = heard.messages[-1]
    focal_px = last.k[0]
    if not (math.isfinite(focal_px) and focal_px > 0.0):
        raise Missing("k is empty", "fill k with the intrinsics of the published image, px")
    heard.require_stamps(math.inf)
    if images.messages:
        image = images.messages[-1]
        if (image.width, image.height) != (last.width, last.height):
            raise Missing(
                f"for {last.width}x{last.height} px, images have {image.width}x{image.height} px",
                "give the intrinsics of the image as it is published",
            )
        if image.header.frame_id != last.header.frame_id:
            raise Missing(
                f"frame {last.header.frame_id!r}, images have {image.header.frame_id!r}",
                "set the same frame_id in both",
            )
        stamps = {to_ns(message.header.stamp) for message in images.messages}
        paired = sum(to_ns(message.header.stamp) in stamps for message in heard.messages)
        if not paired:
            raise Missing("no stamp equals an image's", "stamp each with its image's stamp")
    return f"{heard.rate_hz():.0f} Hz, focal length {focal_px:.1f} px, frame {last.header.frame_id}"


def _judge(node: Any, topic: str, judge: Callable[[], str]) -> str:
    """A topic's publishers, and what they publish."""
    return f"{_check_ends(node, topic)}: {judge()}"


def _check_ends(node: Any, topic: str) -> str:
    """Its publishers: one kind, and reliable, as the nodes listen."""
    ends = node.get_publishers_info_by_topic(topic)
    if not ends:
        raise Missing("no publisher", f"publish it ({HELP})")
    wanted = f"sensor_msgs/msg/{TYPES[topic].__name__}"
    names = ", ".join(sorted(end.node_name for end in ends))
    other = next((end.topic_type for end in ends if end.topic_type != wanted), "")
    if other:
        raise Missing(f"{names}: {other}", f"publish {wanted}")
    if any(end.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT for end in ends):
        raise Missing(
            f"{names}: best effort",
            "publish reliably; the nodes hear no best-effort publisher unless qos_overrides say so",
        )
    return f"from {names}"


def _check_listener(node: Any, topic: str) -> str:
    """Whether an arm listens to the commands."""
    ends = {end.node_name for end in node.get_subscriptions_info_by_topic(topic)}
    arms = sorted(ends - {"recorder", "teleop", "doctor"})
    if not arms:
        raise Missing("nobody listens", f"subscribe to it and follow it ({HELP})")
    return f"to {', '.join(arms)}"


def _check_control(heard: Heard) -> str:
    """What control says."""
    if not heard.messages:
        raise Missing("control is silent", "start a graph with control: conure up graph=...")
    return describe_state(heard.messages[-1])


def _check_reset(node: Any) -> str:
    """Whether a node puts the scene back. It is not asked to: that would move the scene."""
    client = node.create_client(ResetScene, SCENE_RESET)
    if not _spin(node, ANSWER_S, client.service_is_ready):
        raise _not_offered(node, SCENE_RESET)
    return "offered"


def _not_offered(node: Any, service: str) -> Missing:
    return Missing(
        f"no node offers it{name_hint(node, service)}",
        "graph=evaluate needs it, other graphs do not",
    )


def _check_status(node: Any) -> str:
    """Ask how the task stands."""
    client = node.create_client(TaskStatus, SCENE_STATUS)
    if not _spin(node, ANSWER_S, client.service_is_ready):
        raise _not_offered(node, SCENE_STATUS)
    future = client.call_async(TaskStatus.Request())
    if not _spin(node, ANSWER_S, future.done):
        raise Missing(
            f"no answer within {ANSWER_S:g} s", "answer at once: it is asked 20 times a second"
        )
    answer = future.result()
    try:
        limit_s = time_limit_s(answer.time_limit)
    except ConureError as error:
        raise Missing(str(error), f"correct time_limit ({HELP})") from error
    given = "" if to_seconds(answer.time_limit) else ", the default"
    return f"success {bool(answer.success_now)}, time limit {limit_s:g} s{given}"
