"""The physical scene: table, arm, objects and camera in one PyBullet client. No task, no reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pinocchio as pin
import pybullet
from numpy.typing import NDArray
from pybullet_utils.bullet_client import BulletClient

from conure_core.control.interpolation import LinearFollower
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_sim.objects.fixtures import BoxPart
from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.arm_simulation import ArmSimulation, load_arm_simulation
from conure_sim.physics.journal import Journal, recorded
from conure_sim.physics.shapes import box_collision, box_visual
from conure_sim.physics.window import require_display
from conure_sim.quiet import quiet
from conure_sim.randomization.dynamics import Dynamics
from conure_sim.vision.camera import AnyCamera, Camera, MountedCamera
from conure_sim.vision.rendering import (
    OBJECT_SEGMENT,
    SEGMENTS,
    Appearance,
    View,
    render_view,
    segmented,
)
from conure_sim.vision.textures import texture_files

PHYSICS_HZ = 240
SOLVER_ITERATIONS = 50
OBJECT_FRICTION, ROLLING_FRICTION = 1.0, 0.0005
OBJECT_MASS_KG = 0.05
TABLE_THICKNESS_M = 0.04
GEAR_ERROR_REDUCTION, GEAR_FORCE_N = 0.2, 100.0


@dataclass(frozen=True)
class JointState:
    """Measured angles (n,) rad, speeds (n,) rad/s and the gripper joint's position, m."""

    joint_rad: Array
    joint_speed_rad_s: Array
    gripper_m: float


class _Client(BulletClient):
    """A client that looks each of PyBullet's functions up once, not at every call."""

    def __getattr__(self, name: str) -> Any:
        function = super().__getattr__(name)
        setattr(self, name, function)
        return function


class World:
    """One arm on a table. Positions in the arm's base frame, m; quaternions xyzw.

    >>> world = World(load_robot("wx250s"), camera)
    >>> world.reset(home_rad, gripper_m)
    >>> world.follow(joint_rad, gripper_m, duration_s=0.075); world.advance(0.1)
    """

    def __init__(
        self,
        robot: RobotConfig,
        camera: Camera,
        simulation: ArmSimulation | None = None,
        window: bool = False,
    ) -> None:
        """`simulation`: what the arm is like in this world; by default what is known under the
        robot's name.

        `window`: to be watched in PyBullet's own window. Raises: ConfigError where there is no
        display for it.
        """
        self.robot, self.camera = robot, camera
        self.simulation = simulation or load_arm_simulation(robot.name)
        self.arm = Arm(robot)
        self.appearance, self.dynamics = Appearance(), Dynamics()
        self._sent: tuple[list[float], list[float]] | None = None  # what the motors were last told
        self._powered: Array | None = None
        self.journal = Journal()
        if window:
            require_display()
        with quiet():
            self.client = _Client(pybullet.GUI if window else pybullet.DIRECT)
        self._build()

    def close(self) -> None:
        """Give the physics server back."""
        if self.client._client >= 0:
            self.client.disconnect()
            self.client._client = -1

    def _build(self) -> None:
        """Table and arm in an empty client. Faster than taking bodies away, which leaks, and
        without their history.
        """
        bullet, look, dynamics = self.client, self.appearance, self.dynamics
        bullet.resetSimulation()
        self._bodies: list[int] = []
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=1 / PHYSICS_HZ,
            numSolverIterations=SOLVER_ITERATIONS,
            deterministicOverlappingPairs=1,
        )
        bullet.setGravity(0, 0, -9.81)
        simulation = self.simulation
        if simulation.contact_slop_m:
            bullet.setPhysicsEngineParameter(contactSlop=simulation.contact_slop_m)
        half = [*(side_m / 2 for side_m in simulation.table_size_m), TABLE_THICKNESS_M / 2]
        self.table = bullet.createMultiBody(
            0,
            bullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half),
            bullet.createVisualShape(pybullet.GEOM_BOX, halfExtents=half),
            basePosition=[
                *simulation.table_centre_m,
                self.robot.table_height_m - TABLE_THICKNESS_M / 2,
            ],
        )
        self._paint(self.table, look.table_colour, look.table_texture)
        self._labels, self._objects = {self.table: SEGMENTS["table"]}, 0
        bullet.changeDynamics(self.table, -1, lateralFriction=1.0)
        self.body = bullet.loadURDF(str(self.robot.urdf), **self._root_pose(), useFixedBase=True)
        self._labels[self.body] = SEGMENTS["arm"]
        joints = [bullet.getJointInfo(self.body, i) for i in range(bullet.getNumJoints(self.body))]
        names = {joint[1].decode(): joint[0] for joint in joints}
        self._links = {joint[12].decode(): joint[0] for joint in joints}
        self._arm_joints = [names[name] for name in self.robot.joint_names]
        self.fingers = [
            names[name] for name in (self.robot.gripper_joint, self.robot.gripper_mimic) if name
        ]
        self.driven = [*self._arm_joints, *self.fingers]
        self._finger_signs = np.array(self.robot.finger_multipliers)
        for finger in self.fingers:
            bullet.changeDynamics(self.body, finger, lateralFriction=simulation.finger_friction)
        if simulation.fingers_coupled and len(self.fingers) == 2:
            self._couple(*self.fingers)
        self._set_up_motors(dynamics)
        if look.background_colour is not None:
            self._add_background(look.background_colour, look.background_texture)

    def _root_pose(self) -> dict[str, list[float]]:
        """Where the URDF's root is put, so that the world is the base frame; nothing where the root
        is the base.
        """
        root = self.arm.base_from_root
        if np.array_equal(root, np.eye(4)):
            return {}
        orientation = pin.Quaternion(root[:3, :3]).coeffs()
        return {"basePosition": root[:3, 3].tolist(), "baseOrientation": orientation.tolist()}

    def _couple(self, finger: int, mimic: int) -> None:
        """A gear between the two finger joints, as the URDF's <mimic> asks for and PyBullet's
        loader leaves out.
        """
        frames = [1, 0, 0], [0, 0, 0], [0, 0, 0]
        gear = self.client.createConstraint(
            self.body, finger, self.body, mimic, pybullet.JOINT_GEAR, *frames
        )
        ratio = -self._finger_signs[0] / self._finger_signs[1]
        self.client.changeConstraint(
            gear, gearRatio=float(ratio), erp=GEAR_ERROR_REDUCTION, maxForce=GEAR_FORCE_N
        )

    def _set_up_motors(self, dynamics: Dynamics) -> None:
        """What the motors are driven with, and how far the encoders are off."""
        simulation, arm, fingers = self.simulation, len(self._arm_joints), len(self.fingers)
        gripper_force_n = simulation.gripper_force_n * dynamics.gripper_force_scale
        self._forces = [*simulation.joint_force_nm] + [gripper_force_n] * fingers
        gains = [*simulation.joint_gain] + [simulation.gripper_gain] * fingers
        self._gains = [gain * dynamics.gain_scale for gain in gains]
        self._unit_gains = [1.0] * (arm + fingers)
        self._offset_rad = np.resize(dynamics.joint_offset_rad or 0.0, arm)
        if dynamics.joint_damping:
            for joint in self._arm_joints:
                self.client.changeDynamics(self.body, joint, jointDamping=dynamics.joint_damping)

    def reset(
        self,
        joint_rad: Sequence[float] | Array,
        gripper_m: float,
        appearance: Appearance | None = None,
        dynamics: Dynamics | None = None,
    ) -> None:
        """Take every object away and put the arm, at rest, where it measures these angles (n,) rad
        and opening, m.
        """
        self.journal.stop()
        self._powered = None
        self.appearance, self.dynamics = appearance or Appearance(), dynamics or Dynamics()
        self._build()
        self.pose_arm(np.asarray(joint_rad, dtype=np.float64), gripper_m)

    @recorded
    def pose_arm(self, joint_rad: Array, gripper_m: float) -> None:
        """Put the arm, at rest, at these angles (n,) rad and this opening, m, at once."""
        set_point = self._set_point(joint_rad, gripper_m)
        self.client.resetJointStatesMultiDof(
            self.body, self.driven, [[value] for value in set_point], [[0.0]] * len(set_point)
        )
        self._follower, self._sent = LinearFollower(set_point), None

    def _set_point(self, joint_rad: Array, gripper_m: float) -> Array:
        return np.concatenate([joint_rad - self._offset_rad, gripper_m * self._finger_signs])

    def add(
        self,
        model: ObjectModel,
        position: Array,
        yaw_rad: float,
        colour: Sequence[float] | None = None,
    ) -> int:
        """Put an object down with its lowest point at `position` (3,), turned about the vertical;
        returns its body.
        """
        mesh, dynamics = model.mesh, self.dynamics
        body = self._create(
            OBJECT_MASS_KG * dynamics.mass_scale,
            self.client.createCollisionShape(pybullet.GEOM_MESH, fileName=mesh),
            self.client.createVisualShape(
                pybullet.GEOM_MESH, fileName=mesh, rgbaColor=[*(colour or model.colour), 1.0]
            ),
            position,
            yaw_rad,
        )
        friction = {"lateralFriction": OBJECT_FRICTION * dynamics.friction_scale}
        friction |= {"rollingFriction": ROLLING_FRICTION, "spinningFriction": ROLLING_FRICTION}
        damping = {
            "linearDamping": dynamics.object_damping,
            "angularDamping": dynamics.object_damping,
        }
        self.client.changeDynamics(body, -1, **friction, **damping)
        self._labels[body] = OBJECT_SEGMENT + self._objects
        self._objects += 1
        return body

    def add_boxes(self, boxes: Sequence[BoxPart], position: Array, colour: Sequence[float]) -> int:
        """A fixed body of boxes, such as a tray; returns its body."""
        shapes = box_collision(self.client, boxes), box_visual(self.client, boxes, colour)
        return self._create(0.0, *shapes, position, 0.0)

    def keep(self, body: int) -> int:
        """Take a body that was made elsewhere away at the next reset; returns it."""
        self._bodies.append(body)
        return body

    def add_clutter(
        self, model: ObjectModel, position: Array, yaw_rad: float, colour: Sequence[float]
    ) -> int:
        """Put something down that can be seen and that nothing collides with; returns its body."""
        visual = self.client.createVisualShape(
            pybullet.GEOM_MESH, fileName=model.mesh, rgbaColor=[*colour, 1.0]
        )
        body = self._create(0.0, -1, visual, position, yaw_rad)
        self._labels[body] = SEGMENTS["clutter"]
        return body

    def _add_background(self, colour: Sequence[float], texture: int | None) -> None:
        """A floor and a wall behind the arm, for the eye only."""
        floor_m, wall_m = [2.0, 2.0, 0.01], [0.01, 2.0, 1.0]
        for half, centre in ((floor_m, [0.4, 0.0, -0.75]), (wall_m, [-1.2, 0.0, 0.25])):
            visual = self.client.createVisualShape(pybullet.GEOM_BOX, halfExtents=half)
            body = self._create(0.0, -1, visual, np.array(centre), 0.0)
            self._paint(body, colour, texture)
            self._labels[body] = SEGMENTS["background"]

    def _paint(self, body: int, colour: Sequence[float], texture: int | None) -> None:
        self.client.changeVisualShape(body, -1, rgbaColor=[*colour, 1.0])
        if texture is not None:
            image = self.client.loadTexture(str(texture_files()[texture]))
            self.client.changeVisualShape(body, -1, textureUniqueId=image)

    def _create(
        self, mass_kg: float, collision: int, visual: int, position: Array, yaw_rad: float
    ) -> int:
        orientation = [0.0, 0.0, np.sin(yaw_rad / 2), np.cos(yaw_rad / 2)]
        body: int = self.client.createMultiBody(
            mass_kg, collision, visual, list(position), orientation
        )
        self._bodies.append(body)
        return body

    def joint_state(self) -> JointState:
        """The state of the arm as its encoders measure it."""
        states = self.client.getJointStates(self.body, self.driven)
        arm = len(self._arm_joints)
        position, speed = (
            np.array([state[0] for state in states]),
            np.array([state[1] for state in states]),
        )
        return JointState(position[:arm] + self._offset_rad, speed[:arm], float(position[arm]))

    @recorded
    def follow(self, joint_rad: Array, gripper_m: float, duration_s: float) -> None:
        """Head for these angles (n,) rad and this gripper position, to be reached `duration_s` from
        now.
        """
        self._follower.follow(self._set_point(joint_rad, gripper_m), duration_s)

    @recorded
    def hold(self) -> None:
        """Keep the set point where it is now."""
        self._follower.follow(self._follower.position, 0.0)

    @recorded
    def power(self, powered: Array) -> None:
        """Which motors hold, bools in the order of `driven`; the others turn freely. After a reset
        all hold.
        """
        if self._powered is None or not np.array_equal(powered, self._powered):
            self._powered, self._sent = np.array(powered, dtype=bool), None

    @property
    def set_point(self) -> Array:
        """Where the motors are driven to now, in the order of `driven`: rad, then m."""
        return self._follower.position

    def advance(self, seconds: float) -> None:
        """Let the physics run, in steps of 1 / PHYSICS_HZ."""
        self.advance_steps(round(seconds * PHYSICS_HZ))

    @recorded
    def advance_steps(self, steps: int) -> None:
        """Let the physics run this many steps of 1 / PHYSICS_HZ."""
        positions, speeds = self._follower.ahead(1 / PHYSICS_HZ, steps)
        for wanted in zip(positions.tolist(), speeds.tolist(), strict=True):
            self._drive(wanted)
            self.client.stepSimulation()

    def _drive(self, wanted: tuple[list[float], list[float]]) -> None:
        """Send the motors to this set point at this speed, unless they head there already."""
        if wanted == self._sent:
            return
        self._sent = wanted
        forces = (
            self._forces
            if self._powered is None
            else (self._powered * np.array(self._forces)).tolist()
        )
        self.client.setJointMotorControlArray(
            self.body,
            self.driven,
            pybullet.POSITION_CONTROL,
            targetPositions=wanted[0],
            targetVelocities=wanted[1],
            forces=forces,
            positionGains=self._gains,
            velocityGains=self._unit_gains,
        )

    def render(self, camera: Camera | None = None) -> NDArray[np.uint8]:
        """What the camera sees now: (height, width, 3) uint8, sRGB."""
        return self.view(camera or self.camera).image

    def view(self, camera: AnyCamera, depth: bool = False, bodies: bool = False) -> View:
        """What a camera sees now, with depth and bodies on request."""
        return render_view(self.client, self.placed(camera), self.appearance, depth, bodies)

    def segmentation(self, view: View) -> NDArray[np.uint8]:
        """Labels (h, w) of a view with bodies: SEGMENTS, and from OBJECT_SEGMENT on the objects in
        the order added.
        """
        if view.bodies is None:
            raise ConfigError(
                "a segmentation needs a view with its bodies; ask for them: view(camera,"
                " bodies=True)"
            )
        return segmented(view.bodies, self._labels)

    def placed(self, camera: AnyCamera) -> Camera:
        """The camera in the base frame: one on a link of the arm is where the link is now."""
        if not isinstance(camera, MountedCamera):
            return camera
        return camera.at(self.link_pose(camera.link))

    def link_pose(self, name: str) -> Array:
        """base_from_link, (4, 4), by forward kinematics of the true joint angles. Raises:
        ConfigError if unknown.
        """
        if name not in self._links:
            raise unknown_name("link", name, self._links)
        *_, position, orientation = self.client.getLinkState(self.body, self._links[name], 0, 1)[:6]
        pose = np.eye(4)
        pose[:3, :3] = np.reshape(pybullet.getMatrixFromQuaternion(orientation), (3, 3))
        pose[:3, 3] = position
        return pose

    def pose(self, body: int) -> tuple[Array, Array]:
        """Position (3,), m, and quaternion (4,), xyzw, of a body's origin."""
        position, orientation = self.client.getBasePositionAndOrientation(body)
        return np.array(position), np.array(orientation)

    def local(self, body: int, point: Array) -> Array:
        """A point (3,), m, of the base frame in a body's frame."""
        position, orientation = self.client.getBasePositionAndOrientation(body)
        rotation = np.reshape(self.client.getMatrixFromQuaternion(orientation), (3, 3))
        return np.asarray((point - np.array(position)) @ rotation)

    def place(self, body: int, position: Array, orientation: Array) -> None:
        """Put a body elsewhere, at rest."""
        self._place(self._bodies.index(body), list(position), list(orientation))

    @recorded
    def _place(self, index: int, position: list[float], orientation: list[float]) -> None:
        """By order of arrival, because body ids differ from one reset to the next."""
        self.client.resetBasePositionAndOrientation(self._bodies[index], position, orientation)

    def physics(self) -> Array:
        """Every position and speed of arm and bodies, one after the other: equal to the bit in
        equal worlds.
        """
        client = self.client
        values = [
            state[index]
            for state in client.getJointStates(self.body, self.driven)
            for index in (0, 1)
        ]
        for body in self._bodies:
            values += [
                *sum(client.getBasePositionAndOrientation(body), ()),
                *sum(client.getBaseVelocity(body), ()),
            ]
            for joint in range(client.getNumJoints(body)):
                values += client.getJointState(body, joint)[:2]
        return np.array(values, dtype=np.float64)

    def touching(self, body: int, link: int, body_link: int | None = None) -> bool:
        """Whether a link of the arm touches a body (this link of it, -1: its base)."""
        links = (
            {"linkIndexA": link}
            if body_link is None
            else {"linkIndexA": link, "linkIndexB": body_link}
        )
        return bool(self.client.getContactPoints(self.body, body, **links))
