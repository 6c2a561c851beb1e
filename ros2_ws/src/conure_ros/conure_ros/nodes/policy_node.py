"""policy_node: from camera image and joint angles to the bundle's action. Refuses a bundle that
does not fit.
"""

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image, JointState

from conure_core.contract.bundle import load_bundle
from conure_core.contract.episode_memory import EpisodeMemory
from conure_core.errors import ConfigError, ConureError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.robot.proprioception import proprioception
from conure_msgs.msg import Mode, PolicyCommand, RobotState
from conure_ros.cameras.camera_info import calibration_message
from conure_ros.cameras.encodings import TOPIC
from conure_ros.cameras.framing import Framing
from conure_ros.cameras.image_check import ImageCheck
from conure_ros.cameras.pacing import Pace
from conure_ros.cameras.policy_view import PolicyView, unread_images
from conure_ros.comms.diagnostics import Tally, diagnostics
from conure_ros.comms.ending import end_first_without_memory
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import (
    NANOSECONDS,
    JointSample,
    image_message,
    joint_part,
    joints_in,
    to_ns,
    to_time,
)
from conure_ros.comms.parameters import declare, parameter, reread
from conure_ros.comms.qos import LATCHED, NEWEST, PARTS, STREAM, overridable
from conure_ros.comms.sole_publisher import REMEDY, PublisherWatch, SolePublisher
from conure_ros.comms.worker import NewestWins
from conure_ros.control.executed_actions import Decision, ExecutedActions
from conure_ros.control.joint_watch import JointHistory

DIAGNOSTICS_PERIOD_S = 1.0
START_S = 2.0
"""After the start nodes come up one by one: what lasts no longer is no reason for a warning."""


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of policy_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    bundle: str = parameter("", "folder of the policy bundle", until_configured=True)
    bundle_alias: str = parameter(
        "",
        "what the log and diagnostics call the bundle, in blinded trials; '': its own name",
        until_configured=True,
    )
    image_size_px: int = parameter(
        48, "side of the square images that the policy sees, px", 16, 1024
    )
    image_fit: str = parameter(
        "crop", "how images become what the policy sees: none (refuse others), crop, pad, stretch"
    )
    image_crop_px: tuple[int, ...] = parameter(
        (0, 0, 0, 0), "part of the image taken first: left, top, width, height, px; 0: the whole"
    )
    image_undistort: bool = parameter(False, "take the lens distortion out of the images first")
    noise_scale: float = parameter(
        0.0, "standard deviation of the policy's noise; 0 takes the mean z", 0.0, 3.0
    )
    seed: int = parameter(0, "seed of that noise", 0, 2**31 - 1)
    frozen_motion_rad: float = parameter(
        0.03, "motion of a joint that must change the image, rad", 0.001, 10.0
    )


@dataclass(frozen=True)
class SyncedObservation:
    """An image, and the joint angles measured nearest to its capture."""

    image: Image
    joints: JointSample


class PolicyNode(ManagedNode):
    """Inference runs on its own thread, once a control period; the newest image wins.

    A policy with a memory begins an episode, its memory empty, at activation and whenever the robot
    begins to follow the policy.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        self.parameters = declare(self, PolicyParameters)

    def configure(self) -> None:
        self.parameters = reread(self, self.parameters)
        if not self.parameters.bundle:
            raise ConfigError("the parameter 'bundle' is empty; give the folder of a policy bundle")
        self.robot = load_robot(self.parameters.robot)
        self.arm = Arm(self.robot)
        contract = self.robot.contract(self.parameters.image_size_px)
        self.bundle = load_bundle(Path(self.parameters.bundle), contract)
        self.image_shape = contract.observation.image.shape
        self.view = self._make_view()
        self.rng = np.random.default_rng(self.parameters.seed)
        self.joints = JointHistory(self.robot)
        self.tally, self.fault, self.last_warning = Tally(), "", ""
        self.activated_s, self.decided = time.monotonic(), False
        self.get_logger().info(one_line(self._describe()))
        self.warm_up()
        self.commands = SolePublisher(self, PolicyCommand, "command/policy", NEWEST)
        executed = self.create_publisher(PolicyCommand, "command/executed", NEWEST)
        self.destroy_at_cleanup(self.destroy_publisher, executed)
        # Pinocchio's buffers are not shared between threads.
        self.executed = ExecutedActions(Arm(self.robot), self.bundle, executed.publish)
        self.seen_images = self._publisher(Image, "~/image")
        self.seen_infos = self._publisher(CameraInfo, "~/camera_info")
        self.health = ImageCheck(self.parameters.frozen_motion_rad)
        self.pace = Pace(round(self.robot.control_period_s * NANOSECONDS))
        status = self.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self.diagnostics = self.destroy_at_cleanup(self.destroy_publisher, status)
        for kind, topic, callback, quality in (
            (JointState, "joint_states", self._on_joint_states, PARTS),
            (CameraInfo, "camera/camera_info", self._on_camera_info, NEWEST),
            (Image, TOPIC, self._on_image, NEWEST),
        ):
            created = self.create_subscription(kind, topic, callback, **overridable(quality))
            self.destroy_at_cleanup(self.destroy_subscription, created)
        self.cameras = PublisherWatch(self, TOPIC)
        self.memory = EpisodeMemory()
        states = self.create_subscription(RobotState, "robot_state", self._on_state, LATCHED)
        self.destroy_at_cleanup(self.destroy_subscription, states)
        self.steady_timer(DIAGNOSTICS_PERIOD_S, self._diagnose)
        self.worker: NewestWins[SyncedObservation] = NewestWins(self._infer)
        gc.collect()
        gc.freeze()

    def _make_view(self) -> PolicyView:
        """Raises: ConfigError for an unknown rule."""
        given = self.parameters
        crop_px: Any = given.image_crop_px
        framing = Framing(given.image_fit, given.image_size_px, crop_px)
        return PolicyView(framing, self.robot.camera_field_of_view_rad, given.image_undistort)

    def _publisher(self, kind: Any, topic: str) -> Any:
        created = self.create_publisher(kind, topic, **overridable(NEWEST))
        return self.destroy_at_cleanup(self.destroy_publisher, created)

    def activate(self) -> None:
        """Raises: RobotError if another policy commands this arm."""
        self.memory.begin()
        self.commands.claim()
        self.activated_s = time.monotonic()

    def deactivate(self) -> None:
        self.commands.release()

    def warm_up(self) -> None:
        """Run the session a few times: its first call is slow, and nothing waits for it here."""
        image = np.zeros(self.image_shape, np.uint8)
        home = proprioception(self.arm, np.array(self.robot.home_rad), self.robot.gripper_open_m)
        for _ in range(3):
            self.bundle.act({"image": image, "proprio": home}, self._noise())

    def _describe(self) -> str:
        """What the bundle has, for a person; in blinded trials that would tell it apart."""
        spec = self.bundle.spec
        if self.parameters.bundle_alias:
            return f"bundle {self.parameters.bundle_alias}"
        prior = (
            "a prior: commands hold z and log-likelihood"
            if spec.has_prior
            else "no prior: commands hold neither z nor log-likelihood"
        )
        memory = f"a memory of {spec.memory_size} values" if spec.memory_size else "no memory"
        return f"bundle {spec.name} has {prior}; and {memory}"

    def release(self) -> None:
        for name in ("worker", "executed"):
            if hasattr(self, name):
                getattr(self, name).close()
        if hasattr(self, "commands"):
            self.commands.release()

    def _noise(self) -> np.ndarray:
        size = self.robot.contract(self.parameters.image_size_px).action.values.shape
        return (self.rng.standard_normal(size) * self.parameters.noise_scale).astype(np.float32)

    def _on_state(self, state: RobotState) -> None:
        self.memory.follow(state.mode.value == Mode.POLICY)
        self.executed.take_state(state)

    def _on_joint_states(self, message: JointState) -> None:
        if not len(joints_in(message, self.robot)):
            return
        try:
            self.joints.add(joint_part(message, self.robot))
        except ConureError as error:
            self._drop("bad joint_states", str(error))

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self.view.take_info(message)
        except ConureError as error:
            self._drop("bad camera_info", str(error))

    def _on_image(self, message: Image) -> None:
        if not self.active:
            return
        captured_ns = to_ns(message.header.stamp)
        age_s = (self.now_ns() - captured_ns) / NANOSECONDS
        if age_s > self.robot.max_input_age_s:
            limit_s = self.robot.max_input_age_s
            self._drop(
                "late image",
                f"the image was {age_s:.2f} s old when it came (limit {limit_s} s); see its camera",
            )
            return
        if self.view.fault:
            self._drop("another camera", self.view.fault)
            return
        if names := self.cameras.duplicates():
            why = f"{names} all publish {self.cameras.topic}, and only one may; {REMEDY}"
            self._drop("several cameras", why)
            return
        if not self.pace.takes(captured_ns):
            return
        nearest, apart_s = self.joints.nearest(captured_ns)
        if nearest is None or apart_s > self.robot.control_period_s / 2:
            self._drop(
                "no joint_states near the image",
                f"the nearest joint_states are {apart_s:.3f} s from the image",
            )
            return
        self.worker.submit(SyncedObservation(message, nearest))

    def _infer(self, synced: SyncedObservation) -> None:
        """Choose an action and publish it, on the worker's thread."""
        began_s, start_ns = time.perf_counter(), self.now_ns()
        try:
            pixels = self.view.pixels(synced.image)
            self.health.check(pixels, synced.joints.joint_rad)
            proprio = proprioception(self.arm, synced.joints.joint_rad, synced.joints.gripper_m)
            observation = {"image": pixels, "proprio": proprio}
            memory = self.memory.recall()
            decision = self.bundle.act(observation, self._noise(), memory.values)
        except ConureError as error:
            self._drop("refused", str(error))
            return
        self.memory.remember(memory, decision.memory)
        command = PolicyCommand(source=PolicyCommand.POLICY, bundle_hash=self.bundle.hash)
        command.header.stamp, command.header.frame_id = (
            synced.image.header.stamp,
            self.robot.base_frame,
        )
        command.action = np.asarray(decision.action, np.float64).tolist()
        command.z = np.asarray(decision.z, np.float64).tolist()
        command.log_likelihood = float(decision.log_likelihood)
        command.inference_start, command.inference_end = (
            to_time(start_ns),
            self.get_clock().now().to_msg(),
        )
        action, z = np.array(command.action), np.array(command.z)
        self.executed.remember(Decision(to_ns(command.header.stamp), observation, action, z))
        self.commands.publish(command)
        self.tally.add(time.perf_counter() - began_s)
        self.fault, self.decided = "", True
        self._show(pixels, synced.image.header)

    def _show(self, pixels: np.ndarray, header: Any) -> None:
        """Publish what the policy saw, to those who read it."""
        if self.seen_images.get_subscription_count():
            self.seen_images.publish(image_message(pixels, to_ns(header.stamp), header.frame_id))
        calibration = self.view.calibration
        if calibration is not None and self.seen_infos.get_subscription_count():
            info = calibration_message(calibration, header.frame_id)
            info.header.stamp = header.stamp
            self.seen_infos.publish(info)

    def _drop(self, kind: str, why: str) -> None:
        self.tally.drop(kind)
        self.fault = why
        if time.monotonic() - self.activated_s > START_S:
            self._warn_once()

    def _warn_once(self) -> None:
        if self.fault != self.last_warning:
            self.last_warning = self.fault
            self.get_logger().warning(one_line(self.fault))

    def _yield_to_other_publisher(self) -> None:
        """If two policies started without seeing each other, both stop publishing."""
        others = self.commands.other_publishers() if self.commands.held else ""
        if others:
            self.commands.release()
            why = (
                f"{others} also publishes {self.commands.topic}: this policy stops publishing;"
                " deactivate one of the two"
            )
            self._drop("second publisher", why)

    def _diagnose(self) -> None:
        for worker in (self.worker, self.executed.worker):
            if worker.error is not None:
                raise worker.error
        self._yield_to_other_publisher()
        if self.worker.busy_s > DIAGNOSTICS_PERIOD_S:
            self._drop(
                "slow bundle", f"the bundle gave no answer within {DIAGNOSTICS_PERIOD_S:g} s"
            )
        if why := unread_images(self):
            self._drop("unread images", why)
        if self.fault and not self.decided:
            self._warn_once()
        self.decided = False
        values = {
            **self.tally.values(),
            "dropped: newer image": str(self.worker.dropped),
            **self.executed.values(),
        }
        bundle = self.parameters.bundle_alias or self.bundle.spec.name
        self.diagnostics.publish(diagnostics(self, "inference", bundle, self.fault, values))


def main() -> None:
    end_first_without_memory()
    run_node(PolicyNode)
