"""Where the operator sits: images and joints come in, twists and the gripper go out, at 20 Hz."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pinocchio as pin
import rclpy
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_experiments.operator.eyes import Camera
from conure_msgs.msg import Mode
from conure_msgs.srv import ResetScene, SetMode, StartEpisode, StopEpisode
from conure_ros.cameras.encodings import rgb_pixels
from conure_ros.comms.messages import joint_sample, key_values, mode_message
from conure_ros.comms.qos import LATCHED, NEWEST
from conure_ros.comms.service_names import SCENE_RESET, SET_MODE, START_EPISODE, STOP_EPISODE

PERIOD_S, POLL_S = 0.05, 0.01
ANSWER_S, HEARD_S = 30.0, 60.0


class Seat(Node):
    """A person's place at the running graph. Another thread spins it."""

    def __init__(self, robot: RobotConfig) -> None:
        """Take place.

        Args:
            robot: The arm of the graph.
        """
        super().__init__("operator")
        self.robot, self._arm = robot, Arm(robot)
        self.image: NDArray[np.uint8] = np.zeros((0, 0, 3), dtype=np.uint8)
        self.images = 0
        self._info: CameraInfo | None = None
        self._joints: Any = None
        self._poses: dict[str, Array] = {}
        for kind, topic, callback, quality in (
            (Image, "camera/image_raw", self._on_image, NEWEST),
            (CameraInfo, "camera/camera_info", self._on_info, NEWEST),
            (JointState, "joint_states", self._on_joints, NEWEST),
            (TFMessage, "/tf_static", self._on_transforms, LATCHED),
        ):
            self.create_subscription(kind, topic, callback, quality)
        self._twists = self.create_publisher(TwistStamped, "teleop/twist", NEWEST)
        self._grippers = self.create_publisher(JointState, "teleop/gripper", NEWEST)

    def _on_image(self, message: Image) -> None:
        self.image, self.images = rgb_pixels(message), self.images + 1

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_joints(self, message: JointState) -> None:
        self._joints = joint_sample(message, self.robot)

    def _on_transforms(self, message: TFMessage) -> None:
        for one in message.transforms:
            if one.header.frame_id == self.robot.base_frame:
                self._poses[one.child_frame_id] = _matrix(one.transform)

    # What is seen.

    @property
    def camera(self) -> Camera | None:
        """The camera, from what it says of itself and where /tf_static puts it; None: not yet."""
        if self._info is None or self._info.header.frame_id not in self._poses:
            return None
        matrix = np.array(self._info.k).reshape(3, 3)
        return Camera(matrix, self._poses[self._info.header.frame_id])

    @property
    def pose(self) -> Array:
        """The tool's x, y, z, m, and the yaw of the line through its fingers, rad: base frame."""
        base_from_tool = self._arm.forward(self._joints.joint_rad)
        fingers = base_from_tool[:3, 1]
        return np.append(base_from_tool[:3, 3], math.atan2(fingers[1], fingers[0]))

    @property
    def gripper_m(self) -> float:
        """Measured position of the gripper's joint, m."""
        return float(self._joints.gripper_m)

    @property
    def ready(self) -> bool:
        """Whether everything that is looked at was heard."""
        return self.images > 0 and self._joints is not None and self.camera is not None

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait until a condition holds.

        Args:
            condition: Looked at after each turn.
            what: For the message.
            timeout_s: The longest time, s.

        Raises:
            RobotError: It did not come about.
        """
        until_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until_s:
                raise RobotError(f"{what} did not come within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def wait_for_images(self, count: int) -> None:
        """Wait until so many more images came. `count`: the first may be of before."""
        wanted = self.images + count
        self.wait_for(lambda: self.images >= wanted, "camera/image_raw", HEARD_S)

    def turns(self) -> Iterator[float]:
        """Steady times, s, one a period."""
        due_s = time.monotonic()
        while True:
            time.sleep(max(0.0, due_s - time.monotonic()))
            due_s = max(due_s + PERIOD_S, time.monotonic())
            yield time.monotonic()

    # What is done.

    def steer(self, velocity: Array) -> None:
        """Ask for a velocity (4,): x, y, z, m/s, and the turn about z, rad/s; zeros: rest."""
        message = TwistStamped(header=self._header())
        linear = message.twist.linear
        linear.x, linear.y, linear.z, message.twist.angular.z = velocity.tolist()
        self._twists.publish(message)

    def grip(self, closed: bool) -> None:
        """Ask for a closed or an open gripper."""
        position_m = self.robot.gripper_closed_m if closed else self.robot.gripper_open_m
        names = [self.robot.gripper_joint]
        message = JointState(header=self._header(), name=names, position=[position_m])
        self._grippers.publish(message)

    def _header(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=self.robot.base_frame)

    # What is asked of others.

    def hold(self) -> None:
        """Let the arm hold. Raises: RobotError where control refuses."""
        self._ask(SetMode, SET_MODE, mode=mode_message(Mode.HOLD))

    def lay_scene(self, seed: int) -> None:
        """Have the scene laid anew. Raises: RobotError where it is refused."""
        self._ask(ResetScene, SCENE_RESET, seed=seed)

    def begin_episode(self, name: str, metadata: dict[str, str]) -> None:
        """Begin to record.

        Args:
            name: Of the episode.
            metadata: Stored with it.

        Raises:
            RobotError: The recorder refuses.
        """
        self._ask(StartEpisode, START_EPISODE, name=name, metadata=key_values(metadata))

    def end_episode(self, label: str) -> StopEpisode.Response:
        """End recording with a label. Raises: RobotError where the recorder refuses."""
        return self._ask(StopEpisode, STOP_EPISODE, label=label)

    def _ask(self, kind: Any, service: str, /, **fields: Any) -> Any:
        client = self.create_client(kind, service)
        try:
            self.wait_for(client.service_is_ready, f"the service {service}", HEARD_S)
            future = client.call_async(kind.Request(**fields))
            self.wait_for(future.done, f"an answer of {service}", ANSWER_S)
            answer = future.result()
        finally:
            self.destroy_client(client)
        if not answer.success:
            raise RobotError(f"{service}: {answer.message}")
        return answer


@contextmanager
def seated(robot: RobotConfig, domain: int) -> Iterator[Seat]:
    """A seat in a ROS domain, left at the end.

    Args:
        robot: The arm of the graph.
        domain: Its number.
    """
    rclpy.init(domain_id=domain)
    seat, executor = Seat(robot), SingleThreadedExecutor()
    executor.add_node(seat)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield seat
    finally:
        executor.shutdown()
        thread.join()
        seat.destroy_node()
        rclpy.try_shutdown()


def _matrix(transform: Any) -> Array:
    """(4, 4), m, of a geometry_msgs/Transform."""
    place, turn = transform.translation, transform.rotation
    values = np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
    return np.asarray(pin.XYZQUATToSE3(values).homogeneous)
