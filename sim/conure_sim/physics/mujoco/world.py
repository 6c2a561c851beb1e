"""The physical scene in MuJoCo."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from conure_core.errors import StateError, unknown_name
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_sim.objects.fixtures import BoxPart
from conure_sim.objects.primitives import ObjectModel
from conure_sim.orientation import quaternion_from_yaw
from conure_sim.physics.arm_simulation import ArmSimulation
from conure_sim.physics.arm_urdf import simulated_urdf
from conure_sim.physics.journal import recorded
from conure_sim.physics.mujoco.loading import load_mujoco
from conure_sim.physics.mujoco.model import (
    SUBSTEPS,
    add_boxes,
    add_mesh,
    add_motors,
    add_surroundings,
    make_arm_touch,
    set_contact,
    start_model,
)
from conure_sim.physics.mujoco.motors import arm_motors
from conure_sim.physics.mujoco.rendering import ModelRenderer, add_camera
from conure_sim.physics.slider import Slider
from conure_sim.physics.snapshot import PhysicsSnapshot
from conure_sim.physics.world import (
    OBJECT_FRICTION,
    OBJECT_MASS_KG,
    PHYSICS_HZ,
    JointState,
    World,
)
from conure_sim.vision.camera import AnyCamera, Camera
from conure_sim.vision.rendering import OBJECT_SEGMENT, SEGMENTS, View

XYZW = [1, 2, 3, 0]
WXYZ = [3, 0, 1, 2]
PRELOAD = 0.5
"""Share of its largest force that a slider's spring has at rest."""
SPRING_DAMPING_N_S_M = 1.0


class MujocoWorld(World):
    """A World in MuJoCo: servos that droop, elliptic friction, another renderer.

    A body's id counts up as bodies are added, table and arm first. The model is compiled when it is
    asked for after a body was added. `object_damping` has no counterpart here.

    >>> world = MujocoWorld(load_robot("wx250s"), camera)
    >>> world.reset(home_rad, gripper_m)
    >>> world.follow(joint_rad, gripper_m, duration_s=0.075); world.advance(0.1)
    """

    def __init__(
        self, robot: RobotConfig, camera: Camera, simulation: ArmSimulation | None = None
    ) -> None:
        """Build table and arm.

        Args:
            robot: The arm.
            camera: The camera that `render` uses by default.
            simulation: Motors, table and camera of the arm; by default those known for its name.

        Raises:
            ConfigError: MuJoCo is not installed or cannot draw, or the URDF lacks a mesh or a mass.
        """
        super().__init__(robot, camera, simulation)
        self._mujoco = load_mujoco()
        self._urdf = simulated_urdf(robot)
        self._renderer: ModelRenderer | None = None
        self._build()
        self._put_arm(self._set_point(np.array(robot.home_rad), robot.gripper_open_m))

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _build(self) -> None:
        self.close()
        self._model: Any = None
        self._data: Any = None
        self._compiled = False
        self._stale = True
        self._bodies: list[Any] = []
        self._labels: dict[int, int] = {}
        self._objects = 0

        self._spec, root = start_model(self._urdf, self.arm.base_from_root, 1 / PHYSICS_HZ)
        add_camera(self._spec)
        table, around = add_surroundings(
            self._spec, self.simulation, self.robot.table_height_m, self.appearance
        )
        self._register(table, SEGMENTS["table"])
        self._register(root, SEGMENTS["arm"])
        for body in around:
            self._register(body, SEGMENTS["background"])

        names = [self.robot.gripper_joint, self.robot.gripper_mimic]
        self._driven_names = [*self.robot.joint_names, *(name for name in names if name)]
        fingers = len(self._driven_names) - len(self.robot.joint_names)
        self._motors = arm_motors(self.simulation, self.dynamics, fingers)
        add_motors(self._spec, self._driven_names, self._motors)
        friction = OBJECT_FRICTION * self.dynamics.friction_scale * self.simulation.finger_friction
        make_arm_touch(self.robot, root, friction)
        self._draw_offsets()
        model = self._compile()
        self.driven = list(range(len(self._driven_names)))
        joints = [model.joint(name) for name in self._driven_names]
        self._positions_at = [int(joint.qposadr[0]) for joint in joints]
        self._speeds_at = [int(joint.dofadr[0]) for joint in joints]
        self.fingers = [int(joint.bodyid[0]) for joint in joints[len(self.robot.joint_names) :]]
        self._arm_links = range(root.id, root.id + len(root.find_all("body")) + 1)

    def _register(self, body: Any, label: int | None = None) -> int:
        """Note a body that stands on the table; return its id."""
        handle = len(self._bodies)
        self._bodies.append(body)
        self._compiled = False
        if label is not None:
            self._labels[handle] = label
        return handle

    def _ready(self) -> Any:
        """The state of the compiled model, with everything that positions decide."""
        if not self._compiled:
            self._compile()
        if self._stale:
            self._mujoco.mj_fwdPosition(self._model, self._data)
            self._stale = False
        return self._data

    def _compile(self) -> Any:
        self.close()
        if self._model is None:
            self._model = self._spec.compile()
            self._data = self._mujoco.MjData(self._model)
        else:
            self._model, self._data = self._spec.recompile(self._model, self._data)
        self._compiled = True
        self._stale = True

        roots = np.full(self._model.nbody, -1, dtype=np.int32)
        for handle, body in enumerate(self._bodies):
            roots[body.id] = handle
        self._handles = roots[self._model.body_rootid]
        self._power_changed()
        return self._model

    def _put_arm(self, set_point: Array) -> None:
        data = self._ready()
        data.qpos[self._positions_at] = set_point
        data.qvel[self._speeds_at] = 0.0
        self._stale = True

    def _power_changed(self) -> None:
        if self._model is None:
            return
        for index, motor in enumerate(self._motors):
            powered = self._powered is None or self._powered[index]
            stiffness = motor.stiffness * powered
            self._model.actuator_gainprm[index, 0] = stiffness
            self._model.actuator_biasprm[index, 1:3] = -stiffness, -motor.damping * powered

    def _step(self, command: tuple[list[float], list[float]]) -> None:
        data = self._ready()
        data.ctrl[: len(self.driven)] = command[0]
        self._mujoco.mj_step(self._model, data, SUBSTEPS)
        self._stale = True

    def _add_body(self, position: Array, yaw_rad: float, free: bool) -> Any:
        quaternion = np.array(quaternion_from_yaw(yaw_rad))[WXYZ]
        body = self._spec.worldbody.add_body(pos=position, quat=quaternion)
        if free:
            body.add_freejoint()
        return body

    def add(
        self,
        model: ObjectModel,
        position: Array,
        yaw_rad: float,
        colour: Sequence[float] | None = None,
    ) -> int:
        dynamics = self.dynamics
        body = self._add_body(position, yaw_rad, free=True)
        geom = add_mesh(self._spec, body, model.vertices, model.faces, colour or model.colour)
        geom.mass = OBJECT_MASS_KG * dynamics.mass_scale
        set_contact(geom, True, OBJECT_FRICTION * dynamics.friction_scale)
        self._objects += 1
        return self._register(body, OBJECT_SEGMENT + self._objects - 1)

    def add_boxes(
        self,
        boxes: Sequence[BoxPart],
        position: Array,
        colour: Sequence[float],
    ) -> int:
        body = self._add_body(position, 0.0, free=False)
        add_boxes(body, boxes, colour)
        return self._register(body)

    def add_carried(
        self,
        parts: Sequence[BoxPart],
        position: Array,
        yaw_rad: float,
        colour: Sequence[float],
        mass_kg: float,
    ) -> int:
        body = self._add_body(position, yaw_rad, free=True)
        add_boxes(body, parts, colour)
        volumes = [float(np.prod(part.half)) for part in parts]
        for geom, volume in zip(body.geoms, volumes, strict=True):
            geom.mass = mass_kg * volume / sum(volumes)
        return self._register(body)

    def add_mark(self, parts: Sequence[BoxPart], position: Array) -> int:
        body = self._add_body(position, 0.0, free=False)
        add_boxes(body, parts, (1.0, 1.0, 1.0), touches=False)
        return self._register(body)

    def add_sliding(
        self,
        parts: Sequence[BoxPart],
        position: Array,
        yaw_rad: float,
        colour: Sequence[float],
        slider: Slider,
    ) -> int:
        names = [f"{part}{len(self._bodies)}" for part in ("fixed", "moving")]
        fixed = self._add_body(position, yaw_rad, free=False)
        fixed.name = names[0]
        add_boxes(fixed, parts, colour)
        moving = fixed.add_body(pos=slider.position, name=names[1])
        self._spec.add_exclude(bodyname1=names[0], bodyname2=names[1])
        add_boxes(moving, slider.parts, slider.colour)
        for geom in moving.geoms:
            geom.mass = slider.mass_kg / len(slider.parts)

        joint = moving.add_joint(type=self._mujoco.mjtJoint.mjJNT_SLIDE, axis=slider.axis)
        joint.range = sorted((0.0, slider.travel_m))
        joint.limited = 1
        if slider.springs_back:
            joint.stiffness[0] = PRELOAD * slider.force_n / abs(slider.travel_m)
            joint.springref = -slider.travel_m
            joint.damping[0] = SPRING_DAMPING_N_S_M
        else:
            joint.frictionloss = slider.force_n
        return self._register(fixed)

    def slider_state(self, body: int) -> tuple[float, float]:
        data = self._ready()
        joint = self._bodies[body].first_body().first_joint()
        address = self._model.jnt_qposadr[joint.id]
        speed = self._model.jnt_dofadr[joint.id]
        return float(data.qpos[address]), float(data.qvel[speed])

    def add_sphere(
        self, radius_m: float, position: Array, colour: Sequence[float], mass_kg: float
    ) -> int:
        body = self._add_body(position, 0.0, free=True)
        geom = body.add_geom(size=[radius_m, 0, 0], rgba=[*colour, 1.0], mass=mass_kg)
        set_contact(geom, True, 0.3)
        return self._register(body)

    def add_clutter(
        self, model: ObjectModel, position: Array, yaw_rad: float, colour: Sequence[float]
    ) -> int:
        body = self._add_body(position, yaw_rad, free=False)
        geom = add_mesh(self._spec, body, model.vertices, model.faces, colour)
        set_contact(geom, False)
        return self._register(body, SEGMENTS["clutter"])

    def joint_state(self) -> JointState:
        data = self._ready()
        joints = len(self.robot.joint_names)
        positions = data.qpos[self._positions_at]
        speeds = data.qvel[self._speeds_at]
        return JointState(
            positions[:joints] + self._offset_rad, speeds[:joints], float(positions[joints])
        )

    def view(
        self,
        camera: AnyCamera,
        depth: bool = False,
        bodies: bool = False,
    ) -> View:
        data = self._ready()
        if self._renderer is None:
            self._renderer = ModelRenderer(self._model, data, self.appearance.shadow)
        handles = self._handles[self._model.geom_bodyid] if bodies else None
        return self._renderer.view(self.camera_in_base(camera), handles, depth)

    def link_pose(self, name: str) -> Array:
        data = self._ready()
        links = {self._model.body(link).name: link for link in self._arm_links}
        if name not in links:
            raise unknown_name("link", name, links)
        pose = np.eye(4)
        pose[:3, :3] = data.xmat[links[name]].reshape(3, 3)
        pose[:3, 3] = data.xpos[links[name]]
        return pose

    def link_origins(self) -> Array:
        return np.array(self._ready().xpos[self._arm_links[1:]])

    def finger_centre(self, finger: int) -> Array:
        return np.array(self._ready().xipos[finger])

    def pose(self, body: int) -> tuple[Array, Array]:
        data = self._ready()
        index = self._bodies[body].id
        return data.xpos[index].copy(), data.xquat[index][XYZW]

    def velocity(self, body: int) -> Array:
        data = self._ready()
        dofs = self._free_joint(body)
        if dofs is None:
            return np.zeros(6)
        _, speed = dofs
        linear = data.qvel[speed : speed + 3]
        rotation = data.xmat[self._bodies[body].id].reshape(3, 3)
        return np.concatenate([linear, rotation @ data.qvel[speed + 3 : speed + 6]])

    def driven_speeds(self) -> Array:
        return np.array(self._ready().qvel[self._speeds_at])

    def in_body_frame(self, body: int, point: Array) -> Array:
        data = self._ready()
        index = self._bodies[body].id
        return np.asarray((point - data.xpos[index]) @ data.xmat[index].reshape(3, 3))

    def place(
        self,
        body: int,
        position: Array,
        orientation: Array,
    ) -> None:
        self._place(body, list(position), list(orientation))

    @recorded
    def _place(
        self,
        body: int,
        position: list[float],
        orientation: list[float],
    ) -> None:
        data = self._ready()
        pose = [*position, *np.array(orientation)[WXYZ]]
        joint = self._free_joint(body)
        if joint is None:
            index = self._bodies[body].id
            self._model.body_pos[index] = pose[:3]
            self._model.body_quat[index] = pose[3:]
        else:
            address, speed = joint
            data.qpos[address : address + 7] = pose
            data.qvel[speed : speed + 6] = 0.0
        self._stale = True

    def _free_joint(self, body: int) -> tuple[int, int] | None:
        """Where a free body's pose and speed begin in the state; None: the body is fixed."""
        joint = self._model.body_jntadr[self._bodies[body].id]
        if joint < 0:
            return None
        return int(self._model.jnt_qposadr[joint]), int(self._model.jnt_dofadr[joint])

    def physics(self) -> Array:
        data = self._ready()
        return np.concatenate([data.qpos, data.qvel])

    def save_physics(self) -> PhysicsSnapshot:
        raise StateError("physics=mujoco keeps no snapshots; use save_state, or physics=pybullet")

    def restore_physics(self, snapshot: PhysicsSnapshot) -> None:
        raise StateError("physics=mujoco restores no snapshots; use physics=pybullet")

    def touching(
        self,
        body: int,
        link: int,
        body_link: int | None = None,
    ) -> bool:
        data = self._ready()
        if not data.ncon:
            return False
        pairs = self._model.geom_bodyid[data.contact.geom]
        ours = pairs == link
        if body_link is None:
            theirs = self._handles[pairs] == body
        else:
            fixed = self._bodies[body]
            theirs = pairs == (fixed.id if body_link < 0 else fixed.first_body().id)
        return bool((ours & theirs[:, ::-1]).any())
