"""The Gymnasium environments `conure/NAME-v0`: one table, one arm, one task, sparse reward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE
from conure_core.contract.spec import Contract
from conure_core.control.controller import gripper_position_m
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.arm import moved
from conure_core.robot.description import load_robot
from conure_core.types import Array, Image
from conure_sim.envs.sensors import TABLE, Sensors, choose_cameras, observing_cameras, require_sight
from conure_sim.envs.snapshot import Snapshot, restore_snapshot, save_snapshot
from conure_sim.envs.state import (
    Attributes,
    Beginning,
    Component,
    EnvironmentState,
    RandomStream,
    restore_state,
    save_state,
)
from conure_sim.objects.fixtures import CONTAINERS
from conure_sim.objects.sets import object_set
from conure_sim.physics.arm_simulation import load_arm_simulation, table_camera
from conure_sim.physics.engines import PYBULLET, make_world
from conure_sim.physics.world import PHYSICS_HZ
from conure_sim.randomization.factors import Randomization, find_randomization
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.clutter import scatter_clutter
from conure_sim.tasks import find_task
from conure_sim.tasks.state_layout import state_layout
from conure_sim.vision.camera import Camera

Observation = dict[str, NDArray[Any]]
IMAGE_SIZE_RANGE_PX = (16, 1024)


class TabletopEnv(gymnasium.Env[Any, Any]):
    """One task for one arm on a table, with a sparse reward.

    Observation: `image` (size, size, 3) uint8; `proprio` float32, see
    conure_core.robot.proprioception; `state` float32, the privileged state, see `state_layout`; and
    what `cameras`, `depth` and `segmentation` add, see Sensors. With `images=False`: `proprio` and
    `state` alone, and nothing is rendered but what `render` is asked for. Action: (7,) in [-1, 1],
    see conure_core.contract.action. Reward: 1 at success, which ends the episode, else 0. `info`:
    is_success, any_lifted, target, objects, randomization (the episode's draw, numbers). The
    attribute `command` is what the safety gate let through in the last step.

    >>> env = gymnasium.make("conure/Lift-v0", arm="wx250s", image_size=48, objects="test")
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        task: str = "Lift",
        arm: str = "wx250s",
        image_size: int = 48,
        objects: str | Mapping[str, Any] = "train",
        distractors: int = 2,
        containers: str = "train",
        randomization: str | Mapping[str, Any] | Randomization = "none",
        target: str | None = None,
        render_mode: str | None = None,
        cameras: Sequence[str] | Mapping[str, Any] = (TABLE,),
        depth: bool = False,
        segmentation: bool = False,
        physics_substeps: int | None = None,
        window: bool = False,
        images: bool = True,
        velocities: bool = False,
        physics: str = PYBULLET,
    ) -> None:
        """Start a physics client with the arm and its table.

        Args:
            task: A name of `TASKS`.
            arm: Name of a robot, or the path of its YAML file.
            image_size: Width and height of the table camera's images, px.
            objects: 'train', 'test', or a folder of URDFs, see object_set.
            distractors: How many objects stand beside the one that the task is about.
            containers: The split of containers and fixtures, 'train', or 'test', which the prior
                never sees.
            randomization: A preset, a YAML file or a mapping, see find_randomization.
            target: Name of what every episode is about; None: the task chooses.
            render_mode: As Gymnasium names it.
            cameras: Names, `table` and `wrist`, or names with your own cameras, see choose_cameras.
            depth: Whether observations hold depth images.
            segmentation: Whether observations hold segmentation images.
            physics_substeps: Physics steps in a control period; None: by the robot's own period.
            window: Whether to open PyBullet's window.
            images: Whether observations hold images. Without, an episode of a seed is the same,
                several times as fast.
            velocities: Whether `state` holds speeds too. Data sets of demonstrations hold none.
            physics: The engine, `pybullet`, or `mujoco`, which stands in for reality: the same
                scene for a seed, but other contacts, servos and another renderer.

        Raises:
            ConfigError: A task, arm, object set, target, preset camera or physics is unknown
                or not usable.
        """
        self.settings = {
            name: value for name, value in locals().items() if name not in ("self", "render_mode")
        }
        if not IMAGE_SIZE_RANGE_PX[0] <= image_size <= IMAGE_SIZE_RANGE_PX[1]:
            raise ConfigError(f"image_size must lie in {IMAGE_SIZE_RANGE_PX} px, got {image_size}")
        self.task = find_task(task)
        self.robot = load_robot(arm)
        self.pool = object_set(objects)
        if containers not in CONTAINERS:
            raise unknown_name("container set", containers, CONTAINERS)
        if physics_substeps is not None:
            if physics_substeps < 1:
                raise ConfigError(f"physics_substeps must be at least 1, got {physics_substeps}")
            self.robot = replace(self.robot, control_period_s=physics_substeps / PHYSICS_HZ)

        self.object_split = objects
        self.containers = containers
        self.distractors = distractors
        self.fixed_target = target
        self.render_mode = render_mode
        self.images = images
        self.velocities = velocities
        self.randomization: Randomization = find_randomization(randomization)
        self.beginning: Beginning | None = None
        self.period_steps = round(self.robot.control_period_s * PHYSICS_HZ)
        self.max_steps = self.task.max_steps
        self.time_limit_s = self.task.max_steps * self.robot.control_period_s

        chosen = choose_cameras(cameras, table_camera(image_size, arm), self.robot)
        seen = observing_cameras(chosen, images, depth or segmentation)
        table = chosen[TABLE]
        if not isinstance(table, Camera):
            raise ConfigError(
                f"the camera '{TABLE}' stands still; give one on the link '{table.link}' another"
                " name"
            )
        simulation = load_arm_simulation(arm)
        self.world = make_world(physics, self.robot, table, simulation, window)
        try:
            require_sight(self.world, seen)
        except ConfigError:
            self.world.close()
            raise
        self.sensors = Sensors(self.world, seen, depth, segmentation)
        self.loop = ControlLoop(self.world.arm)
        self.contract: Contract = self.robot.contract(image_size)

        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        self.state_layout = state_layout(self.task, self.robot, velocities)
        size = max(part.stop for part in self.state_layout.values())
        state = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.observation_space = spaces.Dict({**self.sensors.spaces(), "state": state})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode: objects, places, light and start pose are drawn from the seed.

        Args:
            seed: Of the random stream; None: go on with the present one.
            options: `target`: name of what the episode is about. `tool`: where the tool starts, (x,
                y, z, turn), m in the base frame and rad about the vertical from the home pose.
                `gripper`: its opening at the start, -1 to 1.

        Returns:
            The first observation, and the info.

        Raises:
            ConfigError: The task cannot have this target, or the table has no room.
        """
        super().reset(seed=seed)
        rng = self.np_random
        self.beginning = Beginning.of(rng, options)
        self._steps = 0
        self._any_lifted = False
        self.sample = self.randomization.sample(rng)
        options = options or {}

        self._reset_arm(options)
        self.scene = self.task.build_scene(self._scene_builder(options))
        scatter_clutter(self.world, self.pool, self.sample.clutter, rng)

        self._drawn = self.sample.numbers()
        self.sensors.start(self.sample, rng)
        state = self.world.joint_state()
        self.command = self.loop.reset(state.joint_rad, state.gripper_m)
        self.world.journal.begin()
        return self.observe(), self._info(False)

    def _reset_arm(self, options: Mapping[str, Any]) -> None:
        """Empty the table and put the arm at its start pose."""
        start_rad = np.array(self.robot.home_rad)
        if "tool" in options:
            start_rad = self._tool_at(*options["tool"])
        noise = self.np_random.uniform(-1, 1, len(start_rad))
        start_rad = start_rad + noise * self.sample.start_noise_rad
        opening_m = gripper_position_m(options.get("gripper", 1.0), self.robot)
        self.world.reset(start_rad, opening_m, self.sample.appearance, self.sample.dynamics)

    def _scene_builder(self, options: Mapping[str, Any]) -> SceneBuilder:
        return SceneBuilder(
            world=self.world,
            rng=self.np_random,
            sample=self.sample,
            pool=self.pool,
            split="test" if self.object_split == "test" else "train",
            containers=self.containers,
            distractors=self.distractors,
            target=options.get("target") or self.fixed_target,
        )

    def step(self, action: Array) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Run one control period. Raises: UnsafeCommand for an action of another shape or with NaN,
        before any motion.
        """
        self.command = self.loop.step(action, self.world.joint_state().joint_rad)
        self._advance(self.command)
        self._steps += 1

        success = self.success()
        lifted = any(self.scene.is_lifted(item) for item in self.scene.objects)
        self._any_lifted = self._any_lifted or lifted
        truncated = not success and self._steps >= self.max_steps
        return self.observe(), float(success), success, truncated, self._info(success)

    def _advance(self, command: JointCommand) -> None:
        """Run one period: the command takes effect late, frames and joints are captured early, by
        this episode's delays.
        """
        sample = self.sample
        period = self.period_steps

        def follow() -> None:
            self.world.follow(command.joint_rad, command.gripper_m, command.duration_s)

        def capture_frames() -> None:
            self.sensors.capture_frames(self.np_random)

        events: list[tuple[int, Callable[[], None]]] = [
            (_steps(sample.command_delay_s), follow),
            (period - _steps(sample.frame_delay_s), capture_frames),
            (period - _steps(sample.proprio_delay_s), self.sensors.capture_joints),
        ]
        now = 0
        for due, happen in sorted(events, key=lambda event: event[0]):
            step = min(max(due, 0), period)
            self.world.advance_steps(step - now)
            happen()
            now = step
        self.world.advance_steps(period - now)

    def save_state(self) -> EnvironmentState:
        """The present moment, picklable; restore it any number of times. Raises: StateError; see
        conure_sim.envs.state.
        """
        return save_state(self)

    def restore_state(self, state: EnvironmentState) -> None:
        """Resume from a saved moment of this or another environment with the same settings. Raises:
        StateError.
        """
        restore_state(self, state)

    def save_snapshot(self) -> Snapshot:
        """The present moment, picklable, for `restore_snapshot`. Raises: StateError before a reset;
        see conure_sim.envs.snapshot.
        """
        return save_snapshot(self)

    def restore_snapshot(self, snapshot: Snapshot, rebuild: bool = False) -> None:
        """Resume from a snapshot, in milliseconds; contacts may differ.

        Args:
            snapshot: Of this or another environment with the same settings.
            rebuild: Whether to build the scene anew even if it is there, so that what follows does
                not depend on what happened before.

        Raises:
            StateError: See conure_sim.envs.snapshot.
        """
        restore_snapshot(self, snapshot, rebuild)

    def components(self) -> dict[str, Component]:
        """All parts with a memory that the next step depends on, beside the physics, by name."""
        return {
            "control": self.loop,
            "scene": self.scene,
            "sensors": self.sensors,
            "random": RandomStream(self.np_random),
            "episode": Attributes(self, "_steps", "_any_lifted", "_np_random_seed", "command"),
        }

    def success(self) -> bool:
        """Whether the task is done in the present physical state."""
        return self.task.success(self.scene)

    def render(self) -> Image:
        """The table camera's present image, (h, w, 3) uint8, sRGB."""
        return self.world.render()

    def close(self) -> None:
        """Disconnect from the physics server."""
        self.world.close()

    def _tool_at(
        self,
        x: float,
        y: float,
        z: float,
        turn_rad: float,
    ) -> Array:
        """Joint angles, (n,) rad, with the tool there, turned about the vertical from the home
        pose.
        """
        home = np.array(self.robot.home_rad)
        pose = moved(self.world.arm.forward(home), np.zeros(3), np.array([0.0, 0.0, turn_rad]))
        pose[:3, 3] = x, y, z
        return self.world.arm.solve(pose, home, iterations=20)

    def observe(self) -> Observation:
        """Frames and joint angles as last captured, and the present state."""
        state = self.scene.state()
        if self.velocities:
            state = np.concatenate([state, self.scene.velocities()])
        return {**self.sensors.observation(), "state": state}

    def _info(self, success: bool) -> dict[str, Any]:
        return {
            "is_success": success,
            "any_lifted": self._any_lifted,
            "target": self.scene.target_name,
            "objects": [item.model.name for item in self.scene.objects],
            "randomization": dict(self._drawn),
        }


def _steps(seconds: float) -> int:
    return round(seconds * PHYSICS_HZ)
