"""A robot of your own behind the topics: an arm that goes where it is told, a camera that sees it.

python examples/own_simulator.py                                        # then, in other terminals:
conure up graph=evaluate arm=external bundle=out/demo/bundle trials=2
conure doctor graph=true
"""

import contextlib
import time

import numpy as np
import rclpy
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_msgs.srv import ResetScene, TaskStatus

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
SIZE_PX = 48
FOCAL_PX = SIZE_PX / 2 / np.tan(ROBOT.camera_field_of_view_rad / 2)
TICK_S, IMAGE_S, NEAR_M = 0.01, 0.1, 0.03


class OwnSimulator(Node):
    """The task: bring the tool near a point on the table."""

    def __init__(self) -> None:
        super().__init__("own_simulator")
        self.position = np.array([*ROBOT.home_rad, ROBOT.gripper_open_m])  # rad, and m
        self.goal, self.left_s = self.position, 0.0
        self.begin(seed=0)
        self.joints = self.create_publisher(JointState, "joint_states", 1)
        self.images = self.create_publisher(Image, "camera/image_raw", 1)
        self.infos = self.create_publisher(CameraInfo, "camera/camera_info", 1)
        self.create_subscription(JointTrajectory, "joint_trajectory", self.on_trajectory, 1)
        self.create_service(ResetScene, "scene/reset", self.on_reset_scene)
        self.create_service(TaskStatus, "scene/status", self.on_task_status)
        self.create_timer(TICK_S, self.move)
        self.create_timer(IMAGE_S, self.look)

    def begin(self, seed: int) -> None:
        """The same seed gives the same scene. The arm stays: it is at home already."""
        lower, upper = np.array(ROBOT.workspace_lower_m), np.array(ROBOT.workspace_upper_m)
        self.target = np.random.default_rng(seed).uniform(lower, upper)
        self.success, self.began_s = False, time.monotonic()

    def on_trajectory(self, message: JointTrajectory) -> None:
        """One point: where to be, and in how many seconds from now. The newest replaces all."""
        point = message.points[0]
        goal = dict(zip(message.joint_names, point.positions, strict=True))
        self.goal = np.array([goal[name] for name in ROBOT.command_names])
        self.left_s = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec

    def move(self) -> None:
        share = min(1.0, TICK_S / max(self.left_s, TICK_S))
        self.position = self.position + share * (self.goal - self.position)
        self.left_s = max(0.0, self.left_s - TICK_S)
        tool = ARM.forward(self.position[:-1])[:3, 3]
        self.success = self.success or bool(np.linalg.norm(tool - self.target) < NEAR_M)
        message = JointState(name=list(ROBOT.command_names), position=self.position.tolist())
        message.header.stamp = self.get_clock().now().to_msg()
        self.joints.publish(message)

    def look(self) -> None:
        """Render here; this one draws tool and target from above."""
        pixels = np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8)
        tool = ARM.forward(self.position[:-1])[:3, 3]
        for point, colour in ((self.target, (200, 40, 40)), (tool, (230, 230, 230))):
            row, column = np.clip(SIZE_PX * np.array([0.6 - point[0], 0.3 - point[1]]) / 0.6, 0, 46)
            pixels[int(row) : int(row) + 3, int(column) : int(column) + 3] = colour
        image = Image(height=SIZE_PX, width=SIZE_PX, encoding="rgb8", step=3 * SIZE_PX)
        image.header.stamp = self.get_clock().now().to_msg()  # of the capture
        image.header.frame_id = "camera_optical_frame"
        image.data = pixels.tobytes()
        info = CameraInfo(header=image.header, height=SIZE_PX, width=SIZE_PX)
        centre_px = (SIZE_PX - 1) / 2
        info.k = [FOCAL_PX, 0.0, centre_px, 0.0, FOCAL_PX, centre_px, 0.0, 0.0, 1.0]
        info.distortion_model, info.d = "plumb_bob", [0.0] * 5
        self.images.publish(image)
        self.infos.publish(info)

    def on_reset_scene(self, request, response):
        self.begin(request.seed)
        response.success, response.target, response.objects = True, "point", ["point"]
        return response

    def on_task_status(self, request, response):
        tool = ARM.forward(self.position[:-1])[:3, 3]
        response.success_now = bool(np.linalg.norm(tool - self.target) < NEAR_M)
        response.success_ever = self.success
        response.elapsed = Duration(sec=int(time.monotonic() - self.began_s))
        response.time_limit = Duration(sec=20)
        return response


rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
with contextlib.suppress(KeyboardInterrupt):
    rclpy.spin(OwnSimulator())
