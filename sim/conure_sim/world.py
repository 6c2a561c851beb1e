"""The physical scene: table, arm, objects and camera in one PyBullet client. No task, no reward."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pybullet
from numpy.typing import NDArray
from pybullet_utils.bullet_client import BulletClient

from conure_core.arm import Arm
from conure_core.interpolation import LinearFollower
from conure_core.robot import RobotConfig
from conure_sim.arm_simulation import ArmSimulation, load_arm_simulation
from conure_sim.bodies import box_collision, box_visual
from conure_sim.camera import Camera
from conure_sim.fixtures import BoxPart
from conure_sim.objects import ObjectModel
from conure_sim.quiet import quiet

Array = NDArray[np.float64]
PHYSICS_HZ = 240
SOLVER_ITERATIONS = 50
OBJECT_FRICTION, ROLLING_FRICTION = 1.0, 0.0005
OBJECT_MASS_KG = 0.05
TABLE_THICKNESS_M = 0.04


@dataclass(frozen=True)
class JointState:
    """Measured angles (n,) rad, speeds (n,) rad/s and the gripper joint's position, m."""

    joint_rad: Array
    joint_speed_rad_s: Array
    gripper_m: float


@dataclass(frozen=True)
class Appearance:
    """What light and table look like. Colours rgb in [0, 1]; `light_direction` points from the table to the lamp."""

    table_colour: tuple[float, float, float] = (0.62, 0.56, 0.48)
    light_direction: tuple[float, float, float] = (0.4, 0.5, 1.0)
    ambient: float = 0.55
    diffuse: float = 0.5
    shadow: bool = True


class World:
    """One arm on a table. Positions in the arm's base frame, m; quaternions xyzw.

    >>> world = World(load_robot("wx250s"), camera)
    >>> world.reset(home_rad, gripper_m)
    >>> world.follow(joint_rad, gripper_m, duration_s=0.075); world.advance(0.1)
    """

    def __init__(self, robot: RobotConfig, camera: Camera, simulation: ArmSimulation | None = None) -> None:
        """`simulation`: what the arm is like in this world; by default what is known under the robot's name."""
        self.robot, self.camera = robot, camera
        self.simulation = simulation or load_arm_simulation(robot.name)
        self.arm = Arm(robot)
        self.appearance = Appearance()
        with quiet():
            self.client = BulletClient(pybullet.DIRECT)
        self._bodies: list[int] = []
        self._build()

    def close(self) -> None:
        """Give the physics server back."""
        if self.client._client >= 0:
            self.client.disconnect()
            self.client._client = -1

    def _build(self) -> None:
        bullet = self.client
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=1 / PHYSICS_HZ, numSolverIterations=SOLVER_ITERATIONS, deterministicOverlappingPairs=1
        )
        bullet.setGravity(0, 0, -9.81)
        simulation = self.simulation
        half = [*(side_m / 2 for side_m in simulation.table_size_m), TABLE_THICKNESS_M / 2]
        self.table = bullet.createMultiBody(
            0,
            bullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half),
            bullet.createVisualShape(pybullet.GEOM_BOX, halfExtents=half),
            basePosition=[*simulation.table_centre_m, self.robot.table_height_m - TABLE_THICKNESS_M / 2],
        )
        bullet.changeDynamics(self.table, -1, lateralFriction=1.0)
        self.body = bullet.loadURDF(str(self.robot.urdf), useFixedBase=True)
        names = {bullet.getJointInfo(self.body, i)[1].decode(): i for i in range(bullet.getNumJoints(self.body))}
        self._arm_joints = [names[name] for name in self.robot.joint_names]
        self.fingers = [names[name] for name in (self.robot.gripper_joint, self.robot.gripper_mimic) if name]
        self._driven = [*self._arm_joints, *self.fingers]
        self._finger_signs = np.array(self.robot.finger_multipliers)
        for finger in self.fingers:
            bullet.changeDynamics(self.body, finger, lateralFriction=simulation.finger_friction)
        fingers = len(self.fingers)
        self._forces = [*simulation.joint_force_nm] + [simulation.gripper_force_n] * fingers
        self._gains = [*simulation.joint_gain] + [simulation.gripper_gain] * fingers
        self._unit_gains = [1.0] * len(self._driven)

    def reset(self, joint_rad: Sequence[float] | Array, gripper_m: float, appearance: Appearance | None = None) -> None:
        """Take every object away and put the arm, at rest, at these angles (n,) rad and this opening, m."""
        for body in self._bodies:
            self.client.removeBody(body)
        self._bodies.clear()
        self.appearance = appearance or Appearance()
        self.client.changeVisualShape(self.table, -1, rgbaColor=[*self.appearance.table_colour, 1.0])
        self.pose_arm(np.asarray(joint_rad, dtype=np.float64), gripper_m)

    def pose_arm(self, joint_rad: Array, gripper_m: float) -> None:
        """Put the arm, at rest, at these angles (n,) rad and this opening, m, at once."""
        set_point = self._set_point(joint_rad, gripper_m)
        self.client.resetJointStatesMultiDof(
            self.body, self._driven, [[value] for value in set_point], [[0.0]] * len(set_point)
        )
        self._follower = LinearFollower(set_point)

    def _set_point(self, joint_rad: Array, gripper_m: float) -> Array:
        return np.concatenate([joint_rad, gripper_m * self._finger_signs])

    def add(self, model: ObjectModel, position: Array, yaw_rad: float, colour: Sequence[float] | None = None) -> int:
        """Put an object down with its lowest point at `position` (3,), turned about the vertical; returns its body."""
        mesh = {"vertices": model.vertices.tolist(), "indices": model.faces.ravel().tolist()}
        normals = {} if model.normals is None else {"normals": model.normals.tolist()}
        rgba = [*(colour or model.colour), 1.0]
        body = self._create(
            OBJECT_MASS_KG,
            self.client.createCollisionShape(pybullet.GEOM_MESH, vertices=mesh["vertices"]),
            self.client.createVisualShape(pybullet.GEOM_MESH, rgbaColor=rgba, **mesh, **normals),
            position,
            yaw_rad,
        )
        friction = {"lateralFriction": OBJECT_FRICTION}
        friction |= {"rollingFriction": ROLLING_FRICTION, "spinningFriction": ROLLING_FRICTION}
        self.client.changeDynamics(body, -1, **friction)
        return body

    def add_boxes(self, boxes: Sequence[BoxPart], position: Array, colour: Sequence[float]) -> int:
        """A fixed body of boxes, such as a tray; returns its body."""
        shapes = box_collision(self.client, boxes), box_visual(self.client, boxes, colour)
        return self._create(0.0, *shapes, position, 0.0)

    def keep(self, body: int) -> int:
        """Take a body that was made elsewhere away at the next reset; returns it."""
        self._bodies.append(body)
        return body

    def _create(self, mass_kg: float, collision: int, visual: int, position: Array, yaw_rad: float) -> int:
        orientation = [0.0, 0.0, np.sin(yaw_rad / 2), np.cos(yaw_rad / 2)]
        body: int = self.client.createMultiBody(mass_kg, collision, visual, list(position), orientation)
        self._bodies.append(body)
        return body

    def joint_state(self) -> JointState:
        """The measured state of the arm."""
        states = self.client.getJointStates(self.body, self._driven)
        arm = len(self._arm_joints)
        position, speed = np.array([state[0] for state in states]), np.array([state[1] for state in states])
        return JointState(position[:arm], speed[:arm], float(position[arm]))

    def follow(self, joint_rad: Array, gripper_m: float, duration_s: float) -> None:
        """Head for these angles (n,) rad and this gripper position, to be reached `duration_s` from now."""
        self._follower.follow(self._set_point(joint_rad, gripper_m), duration_s)

    def advance(self, seconds: float) -> None:
        """Let the physics run, in steps of 1 / PHYSICS_HZ."""
        for _ in range(round(seconds * PHYSICS_HZ)):
            target = self._follower.advance(1 / PHYSICS_HZ)
            self.client.setJointMotorControlArray(
                self.body,
                self._driven,
                pybullet.POSITION_CONTROL,
                targetPositions=target.tolist(),
                targetVelocities=self._follower.speed.tolist(),
                forces=self._forces,
                positionGains=self._gains,
                velocityGains=self._unit_gains,
            )
            self.client.stepSimulation()

    def render(self, camera: Camera | None = None) -> NDArray[np.uint8]:
        """What the camera sees now: (height, width, 3) uint8, sRGB."""
        camera, look = camera or self.camera, self.appearance
        width, height, pixels, *_ = self.client.getCameraImage(
            camera.width_px,
            camera.height_px,
            camera.view_matrix,
            camera.projection_matrix,
            lightDirection=look.light_direction,
            lightAmbientCoeff=look.ambient,
            lightDiffuseCoeff=look.diffuse,
            lightSpecularCoeff=0.05,
            shadow=int(look.shadow),
            renderer=pybullet.ER_TINY_RENDERER,
            flags=pybullet.ER_NO_SEGMENTATION_MASK,
        )
        return np.ascontiguousarray(np.reshape(np.asarray(pixels, dtype=np.uint8), (height, width, 4))[:, :, :3])

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
        self.client.resetBasePositionAndOrientation(body, list(position), list(orientation))

    def touching(self, body: int, link: int, body_link: int | None = None) -> bool:
        """Whether a link of the arm touches a body (this link of it, -1: its base)."""
        links = {"linkIndexA": link} if body_link is None else {"linkIndexA": link, "linkIndexB": body_link}
        return bool(self.client.getContactPoints(self.body, body, **links))
