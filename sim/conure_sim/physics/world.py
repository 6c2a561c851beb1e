"""The physical scene: table, arm, objects and camera. No task, no reward, and no engine yet.

What an engine has to provide are the abstract methods of `World`, nothing else: scenes, tasks,
experts and environments take any of them. PyBullet's is `bullet_world`, MuJoCo's `mujoco.world`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conure_core.control.interpolation import LinearFollower
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array, Image
from conure_sim.objects.fixtures import BoxPart
from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.arm_simulation import ArmSimulation, load_arm_simulation
from conure_sim.physics.journal import Journal, recorded
from conure_sim.physics.slider import Slider
from conure_sim.physics.snapshot import PhysicsSnapshot
from conure_sim.randomization.dynamics import Dynamics
from conure_sim.vision.camera import AnyCamera, Camera, MountedCamera
from conure_sim.vision.rendering import Appearance, View, label_bodies

PHYSICS_HZ = 240
OBJECT_FRICTION = 1.0
OBJECT_MASS_KG = 0.05
TABLE_FRICTION = 1.0
TABLE_THICKNESS_M = 0.04
FLOOR = ((2.0, 2.0, 0.01), (0.4, 0.0, -0.75))
WALL = ((0.01, 2.0, 1.0), (-1.2, 0.0, 0.25))
"""Half sizes and centres of what surrounds the table, base frame, m."""


@dataclass(frozen=True)
class JointState:
    """The state of the arm as its encoders measure it."""

    joint_rad: Array
    """Angles, (n,)."""
    joint_speed_rad_s: Array
    """Speeds, (n,)."""
    gripper_m: float
    """Position of the gripper joint."""


class World(ABC):
    """One arm on a table. Positions in the arm's base frame, m; quaternions xyzw.

    An engine sets `fingers`, its own handles of the finger links, `driven`, its handles of the
    driven joints, the arm's first, and `_labels`, see `labels`.
    """

    fingers: list[int]
    driven: list[int]
    _labels: dict[int, int]

    def __init__(
        self, robot: RobotConfig, camera: Camera, simulation: ArmSimulation | None = None
    ) -> None:
        """Remember what does not change with an episode.

        Args:
            robot: The arm.
            camera: The camera that `render` uses by default.
            simulation: Motors, table and camera of the arm; by default those known for its name.
        """
        self.robot = robot
        self.camera = camera
        self.simulation = simulation or load_arm_simulation(robot.name)
        self.arm = Arm(robot)
        self.appearance = Appearance()
        self.dynamics = Dynamics()
        self.journal = Journal()
        self._powered: Array | None = None
        self._finger_signs = np.array(robot.finger_multipliers)
        self._offset_rad = np.zeros(len(robot.joint_names))

    @abstractmethod
    def close(self) -> None:
        """Free the engine."""

    @abstractmethod
    def _build(self) -> None:
        """Put table and arm into an emptied engine, with `appearance` and `dynamics`."""

    def reset(
        self,
        joint_rad: Sequence[float] | Array,
        gripper_m: float,
        appearance: Appearance | None = None,
        dynamics: Dynamics | None = None,
    ) -> None:
        """Remove every object and put the arm, at rest, into a pose.

        Args:
            joint_rad: Angles that its encoders shall report, (n,) rad.
            gripper_m: Position of the gripper joint, m.
            appearance: Light and colours of the episode; by default those of the class.
            dynamics: Masses, frictions and gains of the episode; by default those of the class.
        """
        self.journal.stop()
        self._powered = None
        self.appearance = appearance or Appearance()
        self.dynamics = dynamics or Dynamics()
        self._build()
        self.pose_arm(np.asarray(joint_rad, dtype=np.float64), gripper_m)

    @recorded
    def pose_arm(self, joint_rad: Array, gripper_m: float) -> None:
        """Put the arm, at rest, into a pose at once.

        Args:
            joint_rad: Angles that its encoders shall report, (n,) rad.
            gripper_m: Position of the gripper joint, m.
        """
        set_point = self._set_point(joint_rad, gripper_m)
        self._put_arm(set_point)
        self._follower = LinearFollower(set_point)

    @abstractmethod
    def _put_arm(self, set_point: Array) -> None:
        """Put the driven joints, at rest, to positions, in the order of `driven`."""

    def _set_point(self, joint_rad: Array, gripper_m: float) -> Array:
        return np.concatenate([joint_rad - self._offset_rad, gripper_m * self._finger_signs])

    def _draw_offsets(self) -> None:
        """Take the encoders' offsets from the episode's dynamics."""
        joints = len(self.robot.joint_names)
        self._offset_rad = np.resize(self.dynamics.joint_offset_rad or 0.0, joints)

    @abstractmethod
    def add(
        self,
        model: ObjectModel,
        position: Array,
        yaw_rad: float,
        colour: Sequence[float] | None = None,
    ) -> int:
        """Add an object.

        Args:
            model: Its shape.
            position: Of its lowest point, in the base frame, (3,) m.
            yaw_rad: Its angle about the vertical, rad.
            colour: Rgb in [0, 1]; by default the model's own.

        Returns:
            The body's id.
        """

    @abstractmethod
    def add_boxes(
        self,
        boxes: Sequence[BoxPart],
        position: Array,
        colour: Sequence[float],
    ) -> int:
        """Add a fixed body of boxes, such as a tray.

        Args:
            boxes: In the body's frame, m.
            position: The body's origin in the base frame, (3,) m.
            colour: Rgb in [0, 1] of the boxes without a colour of their own.

        Returns:
            The body's id.
        """

    @abstractmethod
    def add_clutter(
        self, model: ObjectModel, position: Array, yaw_rad: float, colour: Sequence[float]
    ) -> int:
        """Add a thing that is seen and that nothing collides with.

        Args:
            model: Its shape.
            position: Of its lowest point, in the base frame, (3,) m.
            yaw_rad: Its angle about the vertical, rad.
            colour: Rgb in [0, 1].

        Returns:
            The body's id.
        """

    @abstractmethod
    def add_carried(
        self,
        parts: Sequence[BoxPart],
        position: Array,
        yaw_rad: float,
        colour: Sequence[float],
        mass_kg: float,
    ) -> int:
        """Add a free body of boxes that can be picked up.

        Args:
            parts: Boxes in the body's frame, m.
            position: The body's origin in the base frame, (3,) m.
            yaw_rad: Its angle about the vertical, rad.
            colour: Rgb in [0, 1] of the parts without a colour of their own.
            mass_kg: Mass of the whole body, above zero.

        Returns:
            The body's id.
        """

    @abstractmethod
    def add_mark(self, parts: Sequence[BoxPart], position: Array) -> int:
        """Add a body of boxes that is seen and that nothing collides with.

        Args:
            parts: Boxes in the body's frame, m; those without a colour are white.
            position: The body's origin in the base frame, (3,) m.

        Returns:
            The body's id.
        """

    @abstractmethod
    def add_sliding(
        self,
        parts: Sequence[BoxPart],
        position: Array,
        yaw_rad: float,
        colour: Sequence[float],
        slider: Slider,
    ) -> int:
        """Add a fixed body with one part that slides; that part is its link 0.

        Args:
            parts: Boxes of the fixed part in the body's frame, m.
            position: The body's origin in the base frame, (3,) m.
            yaw_rad: Its angle about the vertical, rad.
            colour: Rgb in [0, 1] of the fixed parts without a colour of their own.
            slider: The moving part, its range and what resists it.

        Returns:
            The body's id.
        """

    @abstractmethod
    def slider_state(self, body: int) -> tuple[float, float]:
        """Position, m, and speed, m/s, of the sliding part of a body of `add_sliding`."""

    @abstractmethod
    def add_sphere(
        self, radius_m: float, position: Array, colour: Sequence[float], mass_kg: float
    ) -> int:
        """Add a free sphere.

        Args:
            radius_m: Its radius, m.
            position: Its centre in the base frame, (3,) m.
            colour: Rgb in [0, 1].
            mass_kg: Its mass, above zero.

        Returns:
            The body's id.
        """

    @abstractmethod
    def joint_state(self) -> JointState:
        """The state of the arm as its encoders measure it."""

    @recorded
    def follow(
        self,
        joint_rad: Array,
        gripper_m: float,
        duration_s: float,
    ) -> None:
        """Start a linear motion of the set point.

        Args:
            joint_rad: Its end, as the encoders measure, (n,) rad.
            gripper_m: Its end for the gripper joint, m.
            duration_s: When it ends, s from now.
        """
        self._follower.follow(self._set_point(joint_rad, gripper_m), duration_s)

    @recorded
    def hold(self) -> None:
        """Keep the set point where it is now."""
        self._follower.follow(self._follower.position, 0.0)

    @recorded
    def power(self, powered: Array) -> None:
        """Switch motors on and off: bools in the order of `driven`. Joints without power turn
        freely; a reset switches all on.
        """
        if self._powered is None or not np.array_equal(powered, self._powered):
            self._powered = np.array(powered, dtype=bool)
            self._power_changed()

    @abstractmethod
    def _power_changed(self) -> None:
        """Use the present `_powered` from the next step on."""

    @property
    def set_point(self) -> Array:
        """The motors' present set point, in the order of `driven`: rad, then m."""
        return self._follower.position

    @property
    def commanded(self) -> Array:
        """The present set point as the encoders measure: joints and gripper, (n + 1,), rad, m."""
        joints = len(self.robot.joint_names)
        position = self._follower.position
        return np.append(position[:joints] + self._offset_rad, position[joints])

    def advance(self, seconds: float) -> None:
        """Run the physics for this time, in steps of 1 / PHYSICS_HZ."""
        self.advance_steps(round(seconds * PHYSICS_HZ))

    @recorded
    def advance_steps(self, steps: int) -> None:
        """Run the physics for this many steps of 1 / PHYSICS_HZ."""
        self._run(*self._follower.ahead(1 / PHYSICS_HZ, steps))

    def _run(self, positions: Array, speeds: Array) -> None:
        """Run the physics for as many steps as there are set points, (steps, driven), and speeds of
        them.
        """
        for command in zip(positions.tolist(), speeds.tolist(), strict=True):
            self._step(command)

    @abstractmethod
    def _step(self, command: tuple[list[float], list[float]]) -> None:
        """Run the physics for 1 / PHYSICS_HZ towards the set point's positions and speeds, in the
        order of `driven`.
        """

    def render(self, camera: Camera | None = None) -> Image:
        """The camera's present image, (height, width, 3) uint8, sRGB."""
        return self.view(camera or self.camera).image

    @abstractmethod
    def view(
        self,
        camera: AnyCamera,
        depth: bool = False,
        bodies: bool = False,
    ) -> View:
        """Render what a camera sees now.

        Args:
            camera: Fixed, or on a link of the arm.
            depth: Whether to give depth.
            bodies: Whether to give the body that each pixel shows.

        Returns:
            The image, and what was asked for beside it.
        """

    @property
    def labels(self) -> dict[int, int]:
        """Label of a segmentation image by body, see SEGMENTS; a body without one is a fixture."""
        return self._labels

    def segmentation(self, view: View) -> NDArray[np.uint8]:
        """Labels (h, w) uint8 of a view with bodies: SEGMENTS, and from OBJECT_SEGMENT on the
        objects in the order added.

        Raises: ConfigError for a view without bodies.
        """
        if view.bodies is None:
            raise ConfigError(
                "a segmentation needs a view with its bodies; ask for them: view(camera,"
                " bodies=True)"
            )
        return label_bodies(view.bodies, self.labels)

    def camera_in_base(self, camera: AnyCamera) -> Camera:
        """The camera in the base frame; one on a link of the arm moves with the link."""
        if not isinstance(camera, MountedCamera):
            return camera
        return camera.at(self.link_pose(camera.link))

    @abstractmethod
    def link_pose(self, name: str) -> Array:
        """base_from_link, (4, 4), m, by forward kinematics of the true joint angles.

        Raises: ConfigError for an unknown link, listing the valid names.
        """

    @abstractmethod
    def link_origins(self) -> Array:
        """The origins of the arm's moving links, (n, 3) m, base frame."""

    @abstractmethod
    def finger_centre(self, finger: int) -> Array:
        """The centre of mass of one of `fingers`, (3,) m, base frame."""

    @abstractmethod
    def pose(self, body: int) -> tuple[Array, Array]:
        """Position (3,), m, and quaternion (4,), xyzw, of a body's origin in the base frame."""

    @abstractmethod
    def velocity(self, body: int) -> Array:
        """Linear and angular velocity of a body, (6,), m/s and rad/s, base frame."""

    @abstractmethod
    def driven_speeds(self) -> Array:
        """Speeds of the arm's joints and fingers in the order of `driven`, rad/s and m/s."""

    @abstractmethod
    def in_body_frame(self, body: int, point: Array) -> Array:
        """Transform a point from the base frame into a body's frame.

        Args:
            body: The body's id.
            point: In the base frame, (3,) m.

        Returns:
            The point in the body's frame, (3,) m.
        """

    @abstractmethod
    def place(
        self,
        body: int,
        position: Array,
        orientation: Array,
    ) -> None:
        """Move a body, at rest, to a pose.

        Args:
            body: The body's id.
            position: Of its origin in the base frame, (3,) m.
            orientation: Quaternion (xyzw), (4,).
        """

    @abstractmethod
    def physics(self) -> Array:
        """Every position and speed of arm and bodies, in one array: equal to the bit in equal
        worlds.
        """

    @abstractmethod
    def save_physics(self) -> PhysicsSnapshot:
        """The present moment of arm and bodies; saving changes nothing."""

    @abstractmethod
    def restore_physics(self, snapshot: PhysicsSnapshot) -> None:
        """Bring arm and bodies to a moment of a world with the same bodies.

        Raises: StateError if the bodies differ.
        """

    @abstractmethod
    def touching(
        self,
        body: int,
        link: int,
        body_link: int | None = None,
    ) -> bool:
        """Tell whether a link of the arm touches a body.

        Args:
            body: The body's id.
            link: One of `fingers`.
            body_link: Index of the body's link, -1: its base; by default any of them.

        Returns:
            Whether there is a contact.
        """
