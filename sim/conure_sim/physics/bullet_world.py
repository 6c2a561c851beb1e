"""The physical scene in one PyBullet client."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pinocchio as pin
import pybullet
from pybullet_utils.bullet_client import BulletClient

from conure_core.errors import unknown_name
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_sim.objects.fixtures import BoxPart
from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.arm_simulation import MEASURED, ArmSimulation
from conure_sim.physics.arm_urdf import simulated_urdf
from conure_sim.physics.bodies import add_carried, add_mark, add_sliding, add_sphere
from conure_sim.physics.journal import recorded
from conure_sim.physics.servo_model import JointServos
from conure_sim.physics.shapes import box_collision, box_visual
from conure_sim.physics.slider import Slider
from conure_sim.physics.snapshot import PhysicsSnapshot, dump_bullet, load_bullet, scatter
from conure_sim.physics.window import require_display
from conure_sim.physics.world import (
    FLOOR,
    OBJECT_FRICTION,
    OBJECT_MASS_KG,
    PHYSICS_HZ,
    TABLE_FRICTION,
    TABLE_THICKNESS_M,
    WALL,
    JointState,
    World,
)
from conure_sim.quiet import quiet
from conure_sim.randomization.dynamics import Dynamics
from conure_sim.vision.camera import AnyCamera, Camera
from conure_sim.vision.rendering import OBJECT_SEGMENT, SEGMENTS, View, render_view
from conure_sim.vision.textures import texture_files

SOLVER_ITERATIONS = 50
ROLLING_FRICTION = 0.0005
GEAR_ERROR_REDUCTION = 0.2
GEAR_FORCE_N = 100.0


class _Client(BulletClient):
    """A client that looks each of PyBullet's functions up once, not at every call."""

    def __getattr__(self, name: str) -> Any:
        function = super().__getattr__(name)
        setattr(self, name, function)
        return function


class BulletWorld(World):
    """A World in PyBullet.

    >>> world = BulletWorld(load_robot("wx250s"), camera)
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
        """Start a physics client with table and arm.

        Args:
            robot: The arm.
            camera: The camera that `render` uses by default.
            simulation: Motors, table and camera of the arm; by default those known for its name.
            window: Whether to open PyBullet's own window.

        Raises:
            ConfigError: There is no display for the window, or the URDF lacks a mesh or a mass.
        """
        super().__init__(robot, camera, simulation)
        self._urdf = str(simulated_urdf(robot))
        self._sent: tuple[list[float], list[float]] | None = None  # last command to the motors

        if window:
            require_display()
        with quiet():
            self.client = _Client(pybullet.GUI if window else pybullet.DIRECT)
        self._build()

    def close(self) -> None:
        """Disconnect from the physics server."""
        if self.client._client >= 0:
            self.client.disconnect()
            self.client._client = -1

    def _build(self) -> None:
        """Put table and arm into an emptied client. Faster than removing bodies, which leaks, and
        without their history.
        """
        self.client.resetSimulation()
        self._bodies: list[int] = []
        self._labels: dict[int, int] = {}
        self._objects = 0

        self._set_up_engine()
        self._add_table()
        self._add_arm()
        self._set_up_motors(self.dynamics)
        if self.appearance.background_colour is not None:
            self._add_background(
                self.appearance.background_colour, self.appearance.background_texture
            )

    def _set_up_engine(self) -> None:
        self.client.setPhysicsEngineParameter(
            fixedTimeStep=1 / PHYSICS_HZ,
            numSolverIterations=SOLVER_ITERATIONS,
            deterministicOverlappingPairs=1,
        )
        self.client.setGravity(0, 0, -9.81)
        if self.simulation.contact_slop_m:
            self.client.setPhysicsEngineParameter(contactSlop=self.simulation.contact_slop_m)

    def _add_table(self) -> None:
        bullet = self.client
        half = [*(side_m / 2 for side_m in self.simulation.table_size_m), TABLE_THICKNESS_M / 2]
        height_m = self.robot.table_height_m - TABLE_THICKNESS_M / 2
        self.table = bullet.createMultiBody(
            0,
            bullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half),
            bullet.createVisualShape(pybullet.GEOM_BOX, halfExtents=half),
            basePosition=[*self.simulation.table_centre_m, height_m],
        )
        self._paint(self.table, self.appearance.table_colour, self.appearance.table_texture)
        self._labels[self.table] = SEGMENTS["table"]
        bullet.changeDynamics(self.table, -1, lateralFriction=TABLE_FRICTION)

    def _add_arm(self) -> None:
        bullet = self.client
        # Measured servos reckon with the URDF's inertias; by default PyBullet takes the shapes'.
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE if self.simulation.servo == MEASURED else 0
        self.body = bullet.loadURDF(self._urdf, **self._root_pose(), useFixedBase=True, flags=flags)
        if flags:
            bullet.changeDynamics(self.body, -1, linearDamping=0.0, angularDamping=0.0)
        self._labels[self.body] = SEGMENTS["arm"]

        joints = [bullet.getJointInfo(self.body, i) for i in range(bullet.getNumJoints(self.body))]
        index = {joint[1].decode(): joint[0] for joint in joints}
        self._links = {joint[12].decode(): joint[0] for joint in joints}
        fingers = (self.robot.gripper_joint, self.robot.gripper_mimic)
        self._arm_joints = [index[name] for name in self.robot.joint_names]
        self.fingers = [index[name] for name in fingers if name]
        self.driven = [*self._arm_joints, *self.fingers]

        friction = self.simulation.finger_friction
        for finger in self.fingers:
            bullet.changeDynamics(self.body, finger, lateralFriction=friction)
        if self.simulation.fingers_coupled and len(self.fingers) == 2:
            self._couple(*self.fingers)

    def _root_pose(self) -> dict[str, list[float]]:
        """The URDF root's pose that makes the world the base frame; empty if root is base."""
        root = self.arm.base_from_root
        if np.array_equal(root, np.eye(4)):
            return {}
        orientation = pin.Quaternion(root[:3, :3]).coeffs()
        return {"basePosition": root[:3, 3].tolist(), "baseOrientation": orientation.tolist()}

    def _couple(self, finger: int, mimic: int) -> None:
        """Add the gear between the finger joints that the URDF's <mimic> asks for and PyBullet's
        loader leaves out.
        """
        axis = [1, 0, 0]
        parent_pivot = [0, 0, 0]
        child_pivot = [0, 0, 0]
        gear = self.client.createConstraint(
            self.body,
            finger,
            self.body,
            mimic,
            pybullet.JOINT_GEAR,
            axis,
            parent_pivot,
            child_pivot,
        )
        ratio = -self._finger_signs[0] / self._finger_signs[1]
        self.client.changeConstraint(
            gear, gearRatio=float(ratio), erp=GEAR_ERROR_REDUCTION, maxForce=GEAR_FORCE_N
        )

    def _set_up_motors(self, dynamics: Dynamics) -> None:
        """Set forces, gains and damping, and the offsets of the encoders."""
        simulation = self.simulation
        joints = len(self._arm_joints)
        fingers = len(self.fingers)

        gripper_force_n = simulation.gripper_force_n * dynamics.gripper_force_scale
        gains = [*simulation.joint_gain] + [simulation.gripper_gain] * fingers
        self._forces = [*simulation.joint_force_nm] + [gripper_force_n] * fingers
        self._gains = [gain * dynamics.gain_scale for gain in gains]
        self._unit_gains = [1.0] * (joints + fingers)

        self._draw_offsets()
        if dynamics.joint_damping:
            for joint in self._arm_joints:
                self.client.changeDynamics(self.body, joint, jointDamping=dynamics.joint_damping)

        self._servos: JointServos | None = None
        if simulation.servo == MEASURED:
            servos = [servo.scaled(dynamics, i) for i, servo in enumerate(simulation.servos)]
            self._servos = JointServos(tuple(servos), self.arm, 1 / PHYSICS_HZ)
        self._constrained = slice(joints if self._servos else 0, None)

    def _put_arm(self, set_point: Array) -> None:
        positions = [[value] for value in set_point]
        speeds = [[0.0]] * len(set_point)
        self.client.resetJointStatesMultiDof(self.body, self.driven, positions, speeds)
        self._sent = None
        if self._servos is not None:
            self._servos.place(set_point[: len(self._arm_joints)])

    def add(
        self,
        model: ObjectModel,
        position: Array,
        yaw_rad: float,
        colour: Sequence[float] | None = None,
    ) -> int:
        dynamics = self.dynamics
        rgba = [*(colour or model.colour), 1.0]
        body = self._create(
            OBJECT_MASS_KG * dynamics.mass_scale,
            self.client.createCollisionShape(pybullet.GEOM_MESH, fileName=model.mesh),
            self.client.createVisualShape(pybullet.GEOM_MESH, fileName=model.mesh, rgbaColor=rgba),
            position,
            yaw_rad,
        )
        self.client.changeDynamics(
            body,
            -1,
            lateralFriction=OBJECT_FRICTION * dynamics.friction_scale,
            rollingFriction=ROLLING_FRICTION,
            spinningFriction=ROLLING_FRICTION,
            linearDamping=dynamics.object_damping,
            angularDamping=dynamics.object_damping,
        )
        self._labels[body] = OBJECT_SEGMENT + self._objects
        self._objects += 1
        return body

    def add_boxes(
        self,
        boxes: Sequence[BoxPart],
        position: Array,
        colour: Sequence[float],
    ) -> int:
        collision = box_collision(self.client, boxes)
        visual = box_visual(self.client, boxes, colour)
        return self._create(0.0, collision, visual, position, 0.0)

    def add_carried(
        self,
        parts: Sequence[BoxPart],
        position: Array,
        yaw_rad: float,
        colour: Sequence[float],
        mass_kg: float,
    ) -> int:
        return self._register(add_carried(self.client, parts, position, yaw_rad, colour, mass_kg))

    def add_mark(self, parts: Sequence[BoxPart], position: Array) -> int:
        return self._register(add_mark(self.client, parts, position))

    def add_sliding(
        self,
        parts: Sequence[BoxPart],
        position: Array,
        yaw_rad: float,
        colour: Sequence[float],
        slider: Slider,
    ) -> int:
        return self._register(add_sliding(self.client, parts, position, yaw_rad, colour, slider))

    def slider_state(self, body: int) -> tuple[float, float]:
        position_m, speed_m_s, *_ = self.client.getJointState(body, 0)
        return position_m, speed_m_s

    def add_sphere(
        self, radius_m: float, position: Array, colour: Sequence[float], mass_kg: float
    ) -> int:
        return self._register(add_sphere(self.client, radius_m, position, colour, mass_kg))

    def _register(self, body: int) -> int:
        """Note a body, for `place` and `physics`; return it."""
        self._bodies.append(body)
        return body

    def add_clutter(
        self, model: ObjectModel, position: Array, yaw_rad: float, colour: Sequence[float]
    ) -> int:
        visual = self.client.createVisualShape(
            pybullet.GEOM_MESH, fileName=model.mesh, rgbaColor=[*colour, 1.0]
        )
        body = self._create(0.0, -1, visual, position, yaw_rad)
        self._labels[body] = SEGMENTS["clutter"]
        return body

    def _add_background(self, colour: Sequence[float], texture: int | None) -> None:
        """Add a floor, and a wall behind the arm, that are only seen."""
        for half, centre in (FLOOR, WALL):
            visual = self.client.createVisualShape(pybullet.GEOM_BOX, halfExtents=list(half))
            body = self._create(0.0, -1, visual, np.array(centre), 0.0)
            self._paint(body, colour, texture)
            self._labels[body] = SEGMENTS["background"]

    def _paint(
        self,
        body: int,
        colour: Sequence[float],
        texture: int | None,
    ) -> None:
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
        states = self.client.getJointStates(self.body, self.driven)
        joints = len(self._arm_joints)
        positions = np.array([state[0] for state in states])
        speeds = np.array([state[1] for state in states])
        if self._servos is not None:
            positions[:joints] = self._servos.motor_rad
        return JointState(
            positions[:joints] + self._offset_rad, speeds[:joints], float(positions[joints])
        )

    def _power_changed(self) -> None:
        self._sent = None

    def _run(self, positions: Array, speeds: Array) -> None:
        if self._servos is None:
            super()._run(positions, speeds)
            return
        joints = len(self._arm_joints)
        part = self._constrained
        fingers = zip(positions[:, part].tolist(), speeds[:, part].tolist(), strict=True)
        powered = None if self._powered is None else self._powered[:joints]
        moving = self._servos.advance(
            self.client, self.body, self._arm_joints, positions[:, :joints], powered
        )
        for finger, _ in zip(fingers, moving, strict=True):
            self._step(finger)

    def _step(self, command: tuple[list[float], list[float]]) -> None:
        self._drive(command)
        self.client.stepSimulation()

    def _drive(self, command: tuple[list[float], list[float]]) -> None:
        """Send the motors a set point and its speed, unless they have it already."""
        if command == self._sent:
            return
        self._sent = command

        positions, speeds = command
        part = self._constrained
        forces = self._forces
        if self._powered is not None:
            forces = (self._powered * np.array(self._forces)).tolist()
        self.client.setJointMotorControlArray(
            self.body,
            self.driven[part],
            pybullet.POSITION_CONTROL,
            targetPositions=positions,
            targetVelocities=speeds,
            forces=forces[part],
            positionGains=self._gains[part],
            velocityGains=self._unit_gains[part],
        )

    def view(
        self,
        camera: AnyCamera,
        depth: bool = False,
        bodies: bool = False,
    ) -> View:
        return render_view(self.client, self.camera_in_base(camera), self.appearance, depth, bodies)

    def link_pose(self, name: str) -> Array:
        if name not in self._links:
            raise unknown_name("link", name, self._links)
        *_, position, orientation = self.client.getLinkState(self.body, self._links[name], 0, 1)[:6]
        pose = np.eye(4)
        pose[:3, :3] = np.reshape(pybullet.getMatrixFromQuaternion(orientation), (3, 3))
        pose[:3, 3] = position
        return pose

    def link_origins(self) -> Array:
        links = range(self.client.getNumJoints(self.body))
        return np.array([self.client.getLinkState(self.body, link)[4] for link in links])

    def finger_centre(self, finger: int) -> Array:
        return np.array(self.client.getLinkState(self.body, finger)[0])

    def pose(self, body: int) -> tuple[Array, Array]:
        position, orientation = self.client.getBasePositionAndOrientation(body)
        return np.array(position), np.array(orientation)

    def velocity(self, body: int) -> Array:
        linear, angular = self.client.getBaseVelocity(body)
        return np.array([*linear, *angular])

    def driven_speeds(self) -> Array:
        states = self.client.getJointStates(self.body, self.driven)
        return np.array([state[1] for state in states])

    def in_body_frame(self, body: int, point: Array) -> Array:
        position, orientation = self.client.getBasePositionAndOrientation(body)
        rotation = np.reshape(self.client.getMatrixFromQuaternion(orientation), (3, 3))
        return np.asarray((point - np.array(position)) @ rotation)

    def place(
        self,
        body: int,
        position: Array,
        orientation: Array,
    ) -> None:
        self._place(self._bodies.index(body), list(position), list(orientation))

    @recorded
    def _place(
        self,
        index: int,
        position: list[float],
        orientation: list[float],
    ) -> None:
        """Name the body by its order of arrival, because its id differs after another reset."""
        self.client.resetBasePositionAndOrientation(self._bodies[index], position, orientation)

    def physics(self) -> Array:
        client = self.client
        values: list[float] = []
        for state in client.getJointStates(self.body, self.driven):
            values += state[:2]
        for body in self._bodies:
            position, orientation = client.getBasePositionAndOrientation(body)
            linear, angular = client.getBaseVelocity(body)
            values += [*position, *orientation, *linear, *angular]
            for joint in range(client.getNumJoints(body)):
                values += client.getJointState(body, joint)[:2]
        return np.array(values, dtype=np.float64)

    def save_physics(self) -> PhysicsSnapshot:
        powered = None if self._powered is None else self._powered.copy()
        servos = None if self._servos is None else self._servos.get_state()
        return PhysicsSnapshot(dump_bullet(self.client), deepcopy(self._follower), powered, servos)

    @recorded
    def restore_physics(self, snapshot: PhysicsSnapshot) -> None:
        """Bring arm and bodies to a moment of a world with the same bodies.

        Positions and speeds are exact to the bit, contacts are not: see conure_sim.envs.snapshot.
        Raises: StateError if the bodies differ.
        """
        scatter(self.client, [self.body, self.table, *self._bodies])
        load_bullet(self.client, snapshot.bullet)
        self._follower = deepcopy(snapshot.follower)
        self._powered = None if snapshot.powered is None else snapshot.powered.copy()
        self._sent = None
        if self._servos is not None and snapshot.servos is not None:
            self._servos.set_state(snapshot.servos)

    def touching(
        self,
        body: int,
        link: int,
        body_link: int | None = None,
    ) -> bool:
        links = {"linkIndexA": link}
        if body_link is not None:
            links["linkIndexB"] = body_link
        return bool(self.client.getContactPoints(self.body, body, **links))
