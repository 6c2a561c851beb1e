"""Kinematics and collision geometry of one arm, from its URDF, by Pinocchio."""

import warnings
from functools import cached_property

import numpy as np
import pinocchio as pin

from conure_core.errors import ConfigError
from conure_core.robot.description import RobotConfig
from conure_core.robot.urdf_model import (
    load_model,
    load_shapes,
    require_home_in_box,
    require_limits,
)
from conure_core.types import Array

TABLE = "table"
TABLE_SIDE_M = 4.0
POSE_SIZE = 6
SETTLED_RAD = 1e-6
TOUCHING_M = 1e-4
"""The least clearance. Of 100,000 pairs of boxes that lie some mm in each other, coal 3.0.3 takes
one for a pair that just touches: its descent ends 1e-7 m before the contact.
"""


class Arm:
    """Forward kinematics, Jacobian, inverse kinematics and clearances of the arm, the gripper left
    out.

    Joint vectors are (n,), rad, in the order of `config.joint_names`; poses are (4, 4) homogeneous,
    metres.

    >>> arm = Arm(load_robot("wx250s"))
    >>> base_from_tool = arm.forward(np.zeros(6))
    """

    def __init__(self, config: RobotConfig) -> None:
        """Load the URDF of the robot, and check it.

        Raises:
            ConfigError: The URDF is not of the arm that the config describes; names robot and key.
        """
        self.config = config
        full, base_from_root = load_model(config)
        self.base_from_root: Array = np.array(base_from_root.homogeneous)
        """(4, 4): where the URDF's root stands; the identity where it is the base itself."""
        rest = pin.neutral(full)
        for name, position in self._locked_fingers():
            rest[full.joints[full.getJointId(name)].idx_q] = position
        locked = [
            i for i, name in enumerate(full.names) if i > 0 and name not in config.joint_names
        ]
        self._full = full
        self._locked = locked
        self._rest = rest
        self._model = pin.buildReducedModel(full, locked, rest)
        if self._model.nq != len(config.joint_names):
            raise ConfigError(
                f"{config.urdf.name}: every joint must be revolute with limits (or prismatic)"
            )
        require_limits(self._model, config)
        self._data = self._model.createData()
        self._tool = self._model.getFrameId(config.tool_frame)
        self.lower_rad: Array = self._model.lowerPositionLimit + config.position_margin_rad
        self.upper_rad: Array = self._model.upperPositionLimit - config.position_margin_rad
        self.workspace_m: tuple[Array, Array] = (
            np.array(config.workspace_lower_m),
            np.array(config.workspace_upper_m),
        )
        self.velocity_limit_rad_s: Array = np.array(self._model.velocityLimit)
        self.effort_limit: Array = np.array(self._model.effortLimit)
        """The URDF's largest torques, (n,) N m."""
        home = np.array(config.home_rad)
        require_home_in_box(self.forward(home), config)
        pair = self.first_collision(home)
        if pair is not None:
            raise ConfigError(
                f"{config.name}: home_rad brings {pair} nearer than table_clearance_m or"
                " self_collision_margin_m"
            )

    def _locked_fingers(self) -> tuple[tuple[str, float], ...]:
        config = self.config
        names = (config.gripper_joint, config.gripper_mimic)
        positions = (config.gripper_open_m * multiplier for multiplier in config.finger_multipliers)
        return tuple(zip(names, positions, strict=False))

    def forward(self, joint_rad: Array) -> Array:
        """Compute base_from_tool, (4, 4), for joint angles (n,), rad."""
        angles = np.asarray(joint_rad, dtype=np.float64)
        pin.framesForwardKinematics(self._model, self._data, angles)
        return np.asarray(self._data.oMf[self._tool].homogeneous)

    def jacobian(self, joint_rad: Array) -> Array:
        """Velocity of the tool in the base frame for joint speeds: (6, n), linear (m) above angular
        (rad).
        """
        angles = np.asarray(joint_rad, dtype=np.float64)
        pin.computeJointJacobians(self._model, self._data, angles)
        jacobian = pin.getFrameJacobian(
            self._model, self._data, self._tool, pin.LOCAL_WORLD_ALIGNED
        )
        return np.asarray(jacobian)

    def inertia(self, joint_rad: Array) -> Array:
        """Torque on each joint by each one's acceleration, (n, n) kg m^2, for joint angles (n,),
        rad.
        """
        angles = np.asarray(joint_rad, dtype=np.float64)
        upper = np.triu(pin.crba(self._model, self._data, angles))
        return np.asarray(upper + np.triu(upper, 1).T)

    def inverse_dynamics(
        self,
        joint_rad: Array,
        speed_rad_s: Array,
        acceleration_rad_s2: Array,
    ) -> Array:
        """Compute the torques of a motion, gravity included, with the masses of the URDF.

        Args:
            joint_rad: Angles, (n,).
            speed_rad_s: Speeds, (n,).
            acceleration_rad_s2: Accelerations, (n,); with zeros, what holds the arm.

        Returns:
            Torques, (n,) N m.
        """
        torques = pin.rnea(self._model, self._data, joint_rad, speed_rad_s, acceleration_rad_s2)
        return np.array(torques)

    def smallest_singular_value(self, joint_rad: Array) -> float:
        """Smallest singular value of the Jacobian (metres and radians as they are): 0 where some
        motion of the tool takes infinite speed.
        """
        singular_values = np.linalg.svd(self.jacobian(joint_rad), compute_uv=False)
        return float(singular_values[-1])

    def solve(
        self,
        base_from_tool: Array,
        start_rad: Array,
        iterations: int = 8,
        damping: float = 0.01,
    ) -> Array:
        """Find the joint angles whose tool pose comes closest to the one asked for, within the
        limits.

        With fewer than six joints the position comes first, and the rotation gets what the joints
        have left.

        Args:
            base_from_tool: Wanted tool pose, shape (4, 4), metres. If it is unreachable, the
                nearest that the descent finds takes its place.
            start_rad: Joint angles that the descent starts from, shape (n,), rad.
            iterations: Most steps of the descent; it stops earlier where the largest error is below
                1e-6 m and rad.
            damping: Damping of the least squares; larger is slower, and steadier near a
                singularity.

        Returns:
            Joint angles, shape (n,), rad, between `lower_rad` and `upper_rad`.

        Source: Wampler, IEEE T-SMC 16(1), 1986; Nakamura & Hanafusa, JDSMC 108(3), 1986.
        """
        joint_rad = within(start_rad, self.lower_rad, self.upper_rad)
        for _ in range(iterations):
            error = pose_error(self.forward(joint_rad), base_from_tool)
            if np.abs(error).max() < 1e-6:
                break
            jacobian = self.jacobian(joint_rad)
            if len(joint_rad) < POSE_SIZE:
                step = self._unblocked_step(joint_rad, jacobian, error, damping)
                if np.abs(step).max() < SETTLED_RAD:  # what is left of the error, no joint can mend
                    break
            else:
                step = _damped_step(jacobian, error, damping)
            joint_rad = within(joint_rad + step, self.lower_rad, self.upper_rad)
        return joint_rad

    def _unblocked_step(
        self,
        joint_rad: Array,
        jacobian: Array,
        error: Array,
        damping: float,
    ) -> Array:
        """Position first, without the joints that stand at a limit and would leave it: nobody may
        count on them.
        """
        moving = np.ones(len(joint_rad), dtype=bool)
        while True:
            step = _position_first(jacobian * moving, error, damping)
            at_lower = joint_rad <= self.lower_rad
            at_upper = joint_rad >= self.upper_rad
            outward = np.where(step < 0.0, at_lower, at_upper)
            blocked = moving & outward & (step != 0.0)
            if not blocked.any():
                return step
            moving &= ~blocked

    @cached_property
    def _geometry(self) -> tuple[pin.GeometryModel, pin.GeometryData]:
        """Collision shapes of links and table, with clearances; pairs that touch in the home pose
        are left out.
        """
        geometry = load_shapes(self._full, self.config)
        model, geometry = pin.buildReducedModel(self._full, geometry, self._locked, self._rest)
        depth = 0.1
        centre = np.array([0.0, 0.0, self.config.table_height_m - depth / 2])
        top = pin.SE3(np.eye(3), centre)
        box = pin.hppfcl.Box(TABLE_SIDE_M, TABLE_SIDE_M, depth)
        geometry.addGeometryObject(pin.GeometryObject(TABLE, 0, top, box))
        geometry.addAllCollisionPairs()
        data = pin.GeometryData(geometry)
        home = np.array(self.config.home_rad)
        pin.computeCollisions(model, self._data, geometry, data, home, False)
        touching = [result.isCollision() for result in data.collisionResults]
        # Copies: removing a pair shifts the others under any reference to them.
        pairs = [pin.CollisionPair(pair.first, pair.second) for pair in geometry.collisionPairs]
        for pair, touches in zip(pairs, touching, strict=True):
            first = geometry.geometryObjects[pair.first]
            second = geometry.geometryObjects[pair.second]
            if touches and second.name == TABLE and first.parentJoint:
                raise ConfigError(
                    f"{self.config.name}: home_rad puts {first.name} into the table"
                    " (table_height_m)"
                )
            if touches or self._adjacent(first, second):
                geometry.removeCollisionPair(pair)
        data = pin.GeometryData(geometry)
        _judge_each_pose_alone(data)
        for request, pair in zip(data.collisionRequests, geometry.collisionPairs, strict=True):
            sides = (pair.first, pair.second)
            if any(geometry.geometryObjects[side].name == TABLE for side in sides):
                clearance_m = self.config.table_clearance_m
            else:
                clearance_m = self.config.self_collision_margin_m
            request.security_margin = max(clearance_m, TOUCHING_M)
        return geometry, data

    @staticmethod
    def _adjacent(first: pin.GeometryObject, second: pin.GeometryObject) -> bool:
        if TABLE in (first.name, second.name):
            return False
        return bool(abs(first.parentJoint - second.parentJoint) <= 1)

    def first_collision(self, joint_rad: Array) -> str | None:
        """Name the first two shapes nearer than their clearance, as 'left_finger_link_0 and table',
        or None.
        """
        geometry, data = self._geometry
        angles = np.asarray(joint_rad)
        if not pin.computeCollisions(self._model, self._data, geometry, data, angles, True):
            return None
        hit = next(i for i, result in enumerate(data.collisionResults) if result.isCollision())
        return " and ".join(self._pair_names(geometry.collisionPairs[hit]))

    def _pair_names(self, pair: pin.CollisionPair) -> tuple[str, str]:
        objects = self._geometry[0].geometryObjects
        return objects[pair.first].name, objects[pair.second].name

    @cached_property
    def pair_names(self) -> tuple[str, ...]:
        """All pairs of shapes that are checked, as 'left_finger_link_0 and table'."""
        geometry, _ = self._geometry
        return tuple(" and ".join(self._pair_names(pair)) for pair in geometry.collisionPairs)

    def clearance_deficits(self, joint_rad: Array) -> Array:
        """Measure how much nearer each pair of `pair_names` is than its clearance, m; 0 where it
        is not.
        """
        joint_rad = np.asarray(joint_rad, dtype=np.float64)
        geometry, data = self._geometry
        deficits = np.zeros(len(self.pair_names))
        if not pin.computeCollisions(self._model, self._data, geometry, data, joint_rad, False):
            return deficits
        for index, result in enumerate(data.collisionResults):
            if result.isCollision():
                clearance_m = data.collisionRequests[index].security_margin
                distance_m = pin.computeDistance(geometry, data, index).min_distance
                deficits[index] = max(clearance_m - distance_m, 0.0)
        return deficits


def _judge_each_pose_alone(data: pin.GeometryData) -> None:
    """Begin no query of a pair where the last one ended.

    The flag is deprecated, but what shall replace it does not switch it off.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for request in (*data.collisionRequests, *data.distanceRequests):
            request.enable_cached_gjk_guess = False


def within(
    values: Array,
    lower: Array,
    upper: Array,
) -> Array:
    """Clip values as np.clip does, in half the time on a few numbers.

    Args:
        values: Numbers of any shape; NaN stays NaN.
        lower: Lower limits, in the same unit; the shapes broadcast.
        upper: Upper limits; where they are below the lower ones, they win.

    Returns:
        A new array of the broadcast shape.
    """
    return np.minimum(np.maximum(values, lower), upper)


def _damped_step(jacobian: Array, error: Array, damping: float) -> Array:
    """The step q, (n,), that minimizes |J q - e|^2 + damping^2 |q|^2."""
    damped = jacobian @ jacobian.T + damping**2 * np.eye(len(error))
    solution = np.linalg.solve(damped, error)
    return np.asarray(jacobian.T @ solution)


def _position_first(jacobian: Array, error: Array, damping: float) -> Array:
    """The step that corrects the position (rows 0 to 2), then the rotation as far as that leaves
    the position alone.

    Least squares over all six would trade metres for radians, and an arm that is told a turn it
    cannot make would walk away. Source: Nakamura, Hanafusa & Yoshikawa, IJRR 6(2), 1987, task
    priority.
    """
    position = jacobian[:3]
    rotation = jacobian[3:]
    step = _damped_step(position, error[:3], damping)
    _, _, directions = np.linalg.svd(position)
    free = directions[3:].T
    turn_left = error[3:] - rotation @ step
    rest = _damped_step(rotation @ free, turn_left, damping)
    return np.asarray(step + free @ rest)


def pose_error(base_from_a: Array, base_from_b: Array) -> Array:
    """Compute the motion that takes one pose to another.

    Args:
        base_from_a: Pose to start from, shape (4, 4), metres.
        base_from_b: Pose to arrive at, shape (4, 4), metres.

    Returns:
        Translation (m) above rotation vector (rad), shape (6,), both in the base frame; the
        rotation turns about the origin of the pose.
    """
    translation = base_from_b[:3, 3] - base_from_a[:3, 3]
    turn = base_from_b[:3, :3] @ base_from_a[:3, :3].T
    rotation = pin.log3(turn)
    return np.concatenate([translation, rotation])


def moved(
    base_from_tool: Array,
    translation_m: Array,
    rotation_rad: Array,
) -> Array:
    """Move a pose by a translation and a rotation about its own origin.

    Args:
        base_from_tool: The pose, shape (4, 4), metres.
        translation_m: Translation in the base frame, shape (3,).
        rotation_rad: Rotation vector in the base frame, shape (3,).

    Returns:
        The pose after both, shape (4, 4); a new array.
    """
    turn = pin.exp3(np.asarray(rotation_rad, dtype=np.float64))
    result = np.eye(4)
    result[:3, :3] = turn @ base_from_tool[:3, :3]
    result[:3, 3] = base_from_tool[:3, 3] + translation_m
    return result
