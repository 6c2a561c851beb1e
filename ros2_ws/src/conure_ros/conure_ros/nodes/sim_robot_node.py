"""sim_robot_node: arm, camera and scene, simulated in real time, in place of a real arm's driver
and camera.

With a `port` it replaces the arm only: its servos are on a pseudo-terminal, and the serial driver
drives them.
"""

import itertools
import math
import time
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import ConureError, RobotError
from conure_core.robot.description import load_robot
from conure_core.robot.link_transforms import Transform
from conure_core.servos.bus_config import load_bus, port_path
from conure_msgs.srv import ResetScene, TaskStatus
from conure_ros.cameras.transforms import publish_static
from conure_ros.comms.diagnostics import Reporter
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import (
    camera_info_message,
    image_message,
    joint_command,
    joint_state_message,
    key_values,
    to_duration,
)
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, overridable
from conure_ros.comms.service_names import ARM_TORQUE, SCENE_RESET, SCENE_STATUS
from conure_ros.drivers.command_age import require_recent
from conure_ros.drivers.speed_limit import SpeedLimit
from conure_ros.drivers.stop_watch import PUBLISHERS_PERIOD_S, StopWatch
from conure_ros.recording.trial_goals import is_seed, seed_refusal
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.objects.sets import find_object
from conure_sim.physics.world import PHYSICS_HZ
from conure_sim.servos.arm import ServoArm

TICK_S = 0.01
MAX_LAG_S = 0.25
MAX_SERVO_LAG_S = 0.1  # the driver continues meanwhile: catching up looks like a jump to it
REST_S, REST_WITHIN_S = 0.2, 2.0
FOLLOWED_PERIODS = 2.0
"""Control periods for which one command is followed; then the arm holds."""


@dataclass(frozen=True)
class SimRobotParameters:
    """Parameters of sim_robot_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    task: str = parameter("Lift", "name of the task")
    target: str = parameter("", "name of the object meant; empty: drawn from the seed")
    objects: str = parameter("test", "which objects: train, test, or the path of a folder of URDFs")
    distractors: int = parameter(2, "objects beside the one meant", 0, 5)
    randomization: str = parameter("none", "preset that light, colours and delays are drawn from")
    physics: str = parameter("pybullet", "engine: pybullet, or mujoco, which stands in for reality")
    seed: int = parameter(0, "seed of the first scene", 0, 2**31 - 1)
    image_size_px: int = parameter(
        48, "side of the square images that the policy sees, px", 16, 1024
    )
    camera_scale: int = parameter(1, "the camera's images are this many times larger", 1, 32)
    port: str = parameter(
        "",
        "where the arm's simulated servos are to be; empty: joint topics instead; sim: a default",
    )
    frame_prefix: str = parameter("", "put before the names of all frames, such as left/")
    camera_period_s: float = parameter(
        0.0, "time between images, s; 0: the robot's control period", 0.0, 10.0
    )


class SimRobotNode(ManagedNode):
    """Follows `joint_trajectory` like joint_trajectory_controller, no faster than the robot's
    limits, each command for at most `FOLLOWED_PERIODS`; holds its set point when commands end.

    The node latches a stop itself, in every lifecycle state, until control's reset_stop. A new
    scene does not end it.
    """

    def __init__(self) -> None:
        super().__init__("sim_robot")
        self.parameters = declare(self, SimRobotParameters)
        self.last_warning = ""
        # With a port it is the arm itself; the serial driver on the other end handles stops.
        self.stop_watch = None if self.parameters.port else StopWatch(self, self._on_stop_changed)

    def configure(self) -> None:
        self.robot = load_robot(self.parameters.robot)
        self.camera_period_s = self.parameters.camera_period_s or self.robot.control_period_s
        self.env, self.task = self._environment(self.parameters.task), self.parameters.task
        self.last_warning, self.succeeded, self.limp = "", False, False
        self.left_out_s = 0.0
        # As a real sensor's noise does, it tells a still scene from a camera that is frozen.
        self.flicker = itertools.cycle((0, 1))
        self.speed_limit, self.commanded_s = SpeedLimit(self.robot), math.inf
        self.servos: ServoArm | None = None
        self._begin(self.parameters.seed, self.parameters.target)
        if self.parameters.port:
            path = port_path(self.parameters.port, load_bus(self.parameters.robot))
            self.servos = ServoArm(self.parameters.robot, self.env.world, path).__enter__()
        if self.servos is None:  # otherwise the servos' driver publishes them
            self.joint_states = self.publisher_while_active(JointState, "joint_states", NEWEST)
        self.images = self.publisher_while_active(Image, "camera/image_raw", NEWEST)
        self.camera_infos = self.publisher_while_active(CameraInfo, "camera/camera_info", NEWEST)
        if self.stop_watch is not None:
            self.steady_timer(PUBLISHERS_PERIOD_S, self.stop_watch.check_publishers)
            trajectories = self.create_subscription(
                JointTrajectory,
                "joint_trajectory",
                self._on_trajectory,
                **overridable(NEWEST),
            )
            self.destroy_at_cleanup(self.destroy_subscription, trajectories)
            self.offer(SetBool, ARM_TORQUE, self._on_torque)
        self.offer(ResetScene, SCENE_RESET, self._on_reset_scene)
        self.offer(TaskStatus, SCENE_STATUS, self._on_task_status)
        camera, base = self.env.world.camera, self.robot.base_frame
        transform = Transform.of_pose(base, camera.frame, camera.base_from_camera)
        static = publish_static(self, transform, self.parameters.frame_prefix)
        self.destroy_at_cleanup(self.destroy_publisher, static)
        Reporter(self, "simulation", self.robot.name, self._diagnose)
        self.steady_timer(TICK_S, self._tick)

    def _environment(self, task: str) -> TabletopEnv:
        """Raises: ConfigError for an unknown task, listing the known ones."""
        parameters = self.parameters
        return TabletopEnv(
            task=task,
            arm=parameters.robot,
            image_size=parameters.image_size_px,
            objects=parameters.objects,
            distractors=parameters.distractors,
            randomization=parameters.randomization,
            physics=parameters.physics,
        )

    def activate(self) -> None:
        self._rewind()

    def deactivate(self) -> None:
        self._hold()

    def release(self) -> None:
        servos, self.servos = getattr(self, "servos", None), None
        if servos is not None:
            servos.__exit__()
        if hasattr(self, "env"):
            self.env.close()

    # Time: physics runs in own steps, as many as the steady clock requires.

    def _rewind(self) -> None:
        """Start physical time now."""
        self.began_s, self.steps, self.frames = time.monotonic(), 0, 0
        self.reset_s = self.began_s

    def _catch_up(self) -> None:
        """Run the physics up to the present. A machine that is too slow skips simulated time, and
        logs it.
        """
        due = int((time.monotonic() - self.began_s) * PHYSICS_HZ) - self.steps
        if due > (MAX_LAG_S if self.servos is None else MAX_SERVO_LAG_S) * PHYSICS_HZ:
            self._warn_once(
                f"the simulation is {due / PHYSICS_HZ:.2f} s behind real time; that time is"
                " left out"
            )
            self.left_out_s += due / PHYSICS_HZ
            self.began_s += due / PHYSICS_HZ - TICK_S
            due = int(TICK_S * PHYSICS_HZ)
        if due > 0:
            if self.limp:
                self._let_go()
            self._advance(due)
            self.steps += due

    def _advance(self, steps: int) -> None:
        """Run physics steps. Simulated servos and the arm advance together, a tick at a time."""
        world, chunk = self.env.world, steps if self.servos is None else round(TICK_S * PHYSICS_HZ)
        while steps > 0:
            count = min(steps, chunk)
            if self.servos is not None:
                self.servos.exchange(world, count / PHYSICS_HZ)
            world.advance_steps(count)
            steps -= count

    def _tick(self) -> None:
        if not self.active:
            return
        self._catch_up()
        followed_s = time.monotonic() - self.commanded_s
        if followed_s > FOLLOWED_PERIODS * self.robot.control_period_s:
            self._hold()
        stamp_ns = self.now_ns()
        if self.servos is None:
            state = self.env.world.joint_state()
            self.joint_states.publish(
                joint_state_message(
                    self.robot, state.joint_rad, state.joint_speed_rad_s, state.gripper_m, stamp_ns
                )
            )
        frames_due = int((time.monotonic() - self.began_s) / self.camera_period_s)
        if frames_due > self.frames:
            self.frames = frames_due
            self._capture(stamp_ns)

    def _capture(self, stamp_ns: int) -> None:
        """Publish an image, and judge the task then: as often as the environment judges it."""
        self.succeeded = self.succeeded or self.env.success()
        camera = self.env.sample.displace(
            self.env.world.camera.scaled(self.parameters.camera_scale)
        )
        frame = f"{self.parameters.frame_prefix}{camera.frame}"
        pixels = self.env.sample.degrade(self.env.world.render(camera), self.env.np_random).copy()
        pixels[0, 0, 0] ^= next(self.flicker)
        self.camera_infos.publish(
            camera_info_message(camera.matrix(), camera.width_px, camera.height_px, stamp_ns, frame)
        )
        self.images.publish(image_message(pixels, stamp_ns, frame))

    def _diagnose(self) -> tuple[str, dict[str, str]]:
        values = {
            "task": self.task,
            "target": self.info["target"],
            "left_out_s": f"{self.left_out_s:.2f}",
        }
        return self.last_warning, values

    # Requests.

    def _on_stop_changed(self, reason: str) -> None:
        if reason and self.active:
            self._hold()

    def _hold(self) -> None:
        """Keep the set point where it is now."""
        self.commanded_s = math.inf
        if self.servos is None:
            self._catch_up()
            self.env.world.hold()

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if (
            not self.active
            or self.limp
            or (self.stop_watch is not None and not self.stop_watch.admits())
        ):
            return
        try:
            require_recent(message, self.now_ns(), self.robot.control_period_s)
            command = joint_command(message, self.robot)
        except RobotError as error:
            self._warn_once(str(error))
            return
        self._catch_up()
        world, goal = self.env.world, (command.joint_rad, command.gripper_m)
        shortest_s = self.speed_limit.shortest_s(world.commanded, np.append(*goal))
        world.follow(*goal, max(command.duration_s, shortest_s))
        self.commanded_s = time.monotonic()

    def _on_torque(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Off: the arm falls. On: it holds where it is then."""
        self._catch_up()
        self._let_go()
        self.limp = not request.data
        if not self.limp:
            self.env.world.power(np.ones(len(self.env.world.driven), dtype=bool))
        response.success, response.message = True, "limp" if self.limp else "holding"
        return response

    def _let_go(self) -> None:
        """Switch all motors off. The set point follows the arm, so that it can hold anywhere at
        once.
        """
        world = self.env.world
        state = world.joint_state()
        world.power(np.zeros(len(world.driven), dtype=bool))
        world.follow(state.joint_rad, state.gripper_m, 0.0)

    def _await_rest(self, servos: ServoArm) -> None:
        """Until the driver sends no goals: one that still does would pull the arm back from where
        it is put.
        """
        until_s = time.monotonic() + REST_WITHIN_S
        while servos.silent_s() < REST_S:
            if time.monotonic() > until_s:
                raise RobotError("the arm's driver still moves it; hold before the scene is reset")
            self._catch_up()
            time.sleep(TICK_S)

    def _begin(self, seed: int, target: str) -> None:
        _, self.info = self.env.reset(seed=seed, options={"target": target or None})
        self.succeeded = False
        if self.servos is not None:
            self.servos.hold_here(self.env.world)
        self._rewind()

    def _on_reset_scene(
        self, request: ResetScene.Request, response: ResetScene.Response
    ) -> ResetScene.Response:
        try:
            if not is_seed(request.seed):
                raise RobotError(seed_refusal(request.seed))
            if request.task and request.task != self.task:
                new = self._environment(request.task)
                self.env.close()
                self.env, self.task = new, request.task
            target = request.target_object or self.parameters.target
            if target:
                find_object(target, self.env.pool)
            if self.servos is not None and self.active:
                self._await_rest(self.servos)
            self._begin(request.seed, target)
        except ConureError as error:
            response.message = str(error)
            return response
        response.success = True
        response.objects, response.target = list(self.info["objects"]), self.info["target"]
        return response

    def _on_task_status(
        self, request: TaskStatus.Request, response: TaskStatus.Response
    ) -> TaskStatus.Response:
        response.success_now, response.success_ever = bool(self.env.success()), bool(self.succeeded)
        response.elapsed = to_duration(time.monotonic() - self.reset_s)
        response.time_limit = to_duration(self.env.time_limit_s)
        response.details = key_values({"task": self.task, "target": self.info["target"]})
        return response

    def _warn_once(self, why: str) -> None:
        if why != self.last_warning:
            self.last_warning = why
            self.get_logger().warning(one_line(why))


def main() -> None:
    run_node(SimRobotNode)
