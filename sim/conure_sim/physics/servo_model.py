"""Position servos as real arms have them: they droop, saturate, lag, stick and have play.

PyBullet's own position control is a velocity constraint with none of that. Here each joint's motor
follows an ordinary differential equation with the load that the arm's masses are to it, and a
velocity constraint lets the link follow its motor, with no more torque than the servo has: what
the arm touches or carries can stop it, and is pushed by the servo's torque.

The equation is that of `conure calibrate dynamics` (conure_calibration.dynamics.servo), with
torques in place of accelerations, and with the load of the present pose: gravity, the speeds, and
the other joints' accelerations.
"""

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pybullet

from conure_core.config.yaml_fields import bounded, require_bounds
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.types import Array
from conure_sim.randomization.dynamics import Dynamics

ServosState = tuple[list[tuple[float, float, float]], Array]
LARGEST_PHASE = 1.0
"""Largest sqrt(stiffness / inertia) times a physics step, rad, at which the explicit spring is
accurate."""
SWEEPS = 3
"""Over the joints, each given the others' accelerations (Gauss-Seidel), from those of the last
step."""
REACHED_RAD = 1e-4
"""A link this near to its motor's angle is taken to be there: PyBullet's solver leaves as much."""
SLACK = 0.004
"""Share of the torque limit that the velocity constraint may use beyond what the model says: what
PyBullet's inertias differ from the URDF's."""


@dataclass(frozen=True)
class Servo:
    """One joint's servo.

    inertia acceleration = clip(stiffness (command - angle), limit) - damping speed - load
    - coulomb sign(speed), with the command of `delay_s` ago; the inertia is the armature and what
    the joint moves.

    Source: the terms of Rhoban's BAM (arXiv:2410.08650), without its load-dependent friction.
    """

    stiffness_nm_rad: float = bounded(0.0, 1e5, above=True)
    damping_nm_s_rad: float = bounded(0.0, 1e4)
    limit_nm: float = bounded(0.0, 1e4, above=True)
    """Largest torque of the drive."""
    coulomb_nm: float = bounded(0.0, 1e3, default=0.0)
    """Friction, at any speed and at rest."""
    armature_kg_m2: float = bounded(0.0, 100.0, default=0.0)
    """Inertia of the motor, as the joint sees it through the gear."""
    delay_s: float = bounded(0.0, 0.5, default=0.0)
    """From a command to its first effect."""
    backlash_rad: float = bounded(0.0, 0.3, default=0.0)
    """Play of the gear, from one side to the other; the encoder sits on the motor's side."""

    def __post_init__(self) -> None:
        require_bounds(self)

    def scaled(self, dynamics: Dynamics, joint: int) -> "Servo":
        """This servo in an episode.

        Args:
            dynamics: Of the episode.
            joint: Its place in the arm's order.
        """
        scales = dynamics.servo_scales(joint)
        changed = {name: getattr(self, name) * scale for name, scale in scales.items()}
        return replace(self, **changed)


class _Motor:
    """One joint's motor at the end of its gear: angle, speed and the torque of the last step.

    Plain numbers, not arrays: this runs for every joint in every physics step.
    """

    def __init__(self, servo: Servo, step_s: float) -> None:
        self.servo = servo
        self.angle_rad = 0.0
        self.speed_rad_s = 0.0
        self.acceleration_rad_s2 = 0.0
        self._drive_nm = 0.0
        self._step_s = step_s
        self._half_play_rad = servo.backlash_rad / 2
        self._reach_rad = self._half_play_rad + REACHED_RAD
        self._slack_nm = SLACK * servo.limit_nm

    def meet(self, link_rad: float) -> None:
        """Stop where the link was stopped, at the end of the gear's play."""
        met = min(max(self.angle_rad, link_rad - self._reach_rad), link_rad + self._reach_rad)
        self.speed_rad_s += (met - self.angle_rad) / self._step_s
        self.angle_rad = met

    def drift(self, command_rad: float, inertia: float) -> None:
        """Move half a step, and find the torque there: position Verlet, as
        conure_calibration.dynamics.servo.

        Args:
            command_rad: What acts in this step.
            inertia: What the joint accelerates, kg m^2.
        """
        servo = self.servo
        self.angle_rad += self._step_s / 2 * self.speed_rad_s
        drive_nm = servo.stiffness_nm_rad * (command_rad - self.angle_rad)
        self._drive_nm = min(max(drive_nm, -servo.limit_nm), servo.limit_nm)
        damping = servo.damping_nm_s_rad
        slowed = math.exp(-self._step_s * damping / inertia)
        self._gain = (1.0 - slowed) / damping if damping else self._step_s / inertia
        self._coasting = slowed * self.speed_rad_s + self._gain * self._drive_nm
        self._friction = self._gain * servo.coulomb_nm

    def accelerate(self, load_nm: float) -> float:
        """The acceleration under a load, rad/s^2, by damping exact and friction implicit."""
        self._next_speed = _less(self._coasting - self._gain * load_nm, self._friction)
        self.acceleration_rad_s2 = (self._next_speed - self.speed_rad_s) / self._step_s
        return self.acceleration_rad_s2

    def arrive(self) -> None:
        """Move the other half of the step, at the speed that was found last."""
        self.speed_rad_s = self._next_speed
        self.angle_rad += self._step_s / 2 * self.speed_rad_s

    def link_speed(
        self,
        link_rad: float,
        speed_rad_s: float,
        inertia: float,
        load_nm: float,
    ) -> float:
        """The speed that brings the link to where the motor lets it be, rad/s.

        Within the play friction holds the link, as in a calibration; a larger load pulls it down.

        Args:
            link_rad: Its angle.
            speed_rad_s: Its speed.
            inertia: What the joint accelerates, kg m^2.
            load_nm: Torque that would hold it.
        """
        away = self.angle_rad - link_rad
        if self._half_play_rad == 0.0:
            return away / self._step_s
        falling = 0.0
        if abs(load_nm) > self.servo.coulomb_nm:
            pull_nm = _less(load_nm, self.servo.coulomb_nm)
            falling = speed_rad_s - self._step_s * pull_nm / inertia
        lowest = (away - self._half_play_rad) / self._step_s
        highest = (away + self._half_play_rad) / self._step_s
        return min(max(falling, lowest), highest)

    def spare_torque(self, needed_nm: float) -> float:
        """How far from what the motion needs the joint's torque may be, N m.

        Something in the way gets the servo's torque, friction less: that is where the range ends.
        What the motion needs differs from it by the torque on the motor's own inertia.

        Args:
            needed_nm: Torque of the link's motion.
        """
        coulomb = self.servo.coulomb_nm
        held = coulomb if self.speed_rad_s == 0.0 else 0.0
        rubbing = 0.0 if held else math.copysign(coulomb, self.speed_rad_s)
        given_nm = self._drive_nm - rubbing
        return abs(given_nm - needed_nm) + held + self._slack_nm


def _less(value: float, amount: float) -> float:
    """A value brought nearer to 0 by an amount, at most to 0."""
    if value > amount:
        return value - amount
    return value + amount if value < -amount else 0.0


class JointServos:
    """The servos of an arm's joints, with their memory: motors, and commands under way."""

    def __init__(
        self,
        servos: tuple[Servo, ...],
        arm: Arm,
        step_s: float,
    ) -> None:
        """Build the servos of an arm.

        Args:
            servos: One a joint.
            arm: For loads and inertias.
            step_s: Length of a physics step.

        Raises:
            ConfigError: A servo is too stiff for its inertia; names the joint.
        """
        self._arm = arm
        self._step_s = step_s
        self._motors = [_Motor(servo, step_s) for servo in servos]
        self._armature = np.array([servo.armature_kg_m2 for servo in servos])
        # A set point is that of its step's end, and acts for the whole step.
        self._lag_steps = np.array([servo.delay_s / step_s + 0.5 for servo in servos])
        self._kept = int(np.ceil(self._lag_steps.max())) + 1
        self._no_acceleration = np.zeros(len(servos))
        self._require_soft(servos)
        self.place(np.array(arm.config.home_rad))

    def _require_soft(self, servos: tuple[Servo, ...]) -> None:
        """Raises: ConfigError for a spring that the steps of integration are too long for."""
        config = self._arm.config
        inertia = np.diag(self._inertias(np.array(config.home_rad))).tolist()
        for name, servo, moved in zip(config.joint_names, servos, inertia, strict=True):
            least = servo.stiffness_nm_rad * (self._step_s / LARGEST_PHASE) ** 2
            if moved < least:
                raise ConfigError(
                    f"servo of {name}: stiffness_nm_rad {servo.stiffness_nm_rad:g} needs an inertia"
                    f" of {least:.2g} kg m^2 or more, armature_kg_m2 and links make {moved:.2g};"
                    " give the armature"
                )

    def _inertias(self, joint_rad: Array) -> Array:
        """Torque on each joint by each one's acceleration, (n, n) kg m^2."""
        return np.asarray(self._arm.inertia(joint_rad) + np.diag(self._armature))

    @property
    def motor_rad(self) -> Array:
        """The motors' angles, which the encoders measure, (n,) rad."""
        return np.array([motor.angle_rad for motor in self._motors])

    def place(self, joint_rad: Array) -> None:
        """Put the motors, at rest, where their links are, (n,) rad."""
        for motor, angle_rad in zip(self._motors, joint_rad.tolist(), strict=True):
            motor.angle_rad = angle_rad
            motor.speed_rad_s = 0.0
            motor.acceleration_rad_s2 = 0.0
        self._commands = np.tile(joint_rad, (self._kept, 1))

    def advance(
        self,
        client: Any,
        body: int,
        joints: list[int],
        commands_rad: Array,
        powered: Array | None = None,
    ) -> Iterator[None]:
        """Prepare one physics step after the other; the caller runs each.

        Args:
            client: PyBullet client.
            body: The arm.
            joints: Its joints.
            commands_rad: Set points at the ends of the steps, (steps, n), rad.
            powered: Which motors have power, (n,) bool; None: all.
        """
        inertias: list[list[float]] | None = None
        for command_rad in self._delayed(commands_rad).tolist():
            states = client.getJointStates(body, joints)
            link_rad = [state[0] for state in states]
            if inertias is None:  # they change little from command to command
                inertias = self._inertias(np.array(link_rad)).tolist()
            self._drive(
                client,
                body,
                joints,
                (link_rad, [state[1] for state in states]),
                command_rad,
                inertias,
                powered,
            )
            yield

    def _delayed(self, commands_rad: Array) -> Array:
        """Commands as the motors get them, (steps, n), rad, from those at the ends of the steps."""
        steps = len(commands_rad)
        line = np.concatenate([self._commands, commands_rad])
        self._commands = line[-self._kept :]
        ends = np.arange(self._kept, self._kept + steps)
        joints = np.arange(len(self._motors))
        places = ends[:, None] - self._lag_steps
        before = places.astype(int)
        share = places - before
        earlier = (1 - share) * line[before, joints]
        return np.asarray(earlier + share * line[before + 1, joints])

    def _drive(
        self,
        client: Any,
        body: int,
        joints: list[int],
        states: tuple[list[float], list[float]],
        command_rad: list[float],
        inertias: list[list[float]],
        powered: Array | None,
    ) -> None:
        """Move the motors by a step, and set speeds and torques of the links.

        Args:
            client: PyBullet client.
            body: The arm.
            joints: Its joints.
            states: Angles and speeds of the links.
            command_rad: What acts in this step.
            inertias: Torque on each joint by each one's acceleration, kg m^2.
            powered: Which motors have power; None: all.
        """
        angles = np.array(states[0])
        speeds = np.array(states[1])
        loads = self._arm.inverse_dynamics(angles, speeds, self._no_acceleration).tolist()
        self._move_motors(states[0], command_rad, inertias, loads)
        targets = []
        rows = enumerate(zip(self._motors, *states, loads, strict=True))
        for joint, (motor, link_rad, speed, load_nm) in rows:
            targets.append(motor.link_speed(link_rad, speed, inertias[joint][joint], load_nm))

        accelerations = (np.array(targets) - speeds) / self._step_s
        needed = self._arm.inverse_dynamics(angles, speeds, accelerations).tolist()
        pairs = zip(self._motors, needed, strict=True)
        spare = [motor.spare_torque(needed_nm) for motor, needed_nm in pairs]
        if powered is not None:
            needed = (np.array(needed) * powered).tolist()
            spare = (np.array(spare) * powered).tolist()
        # The solver finds little to correct where the torques are those of the motion already:
        # from afar it would not converge, as the links' inertias are far apart.
        control = client.setJointMotorControlArray
        velocity = pybullet.VELOCITY_CONTROL
        control(body, joints, velocity, targetVelocities=targets, forces=spare)
        control(body, joints, pybullet.TORQUE_CONTROL, forces=needed)

    def _move_motors(
        self,
        link_rad: list[float],
        command_rad: list[float],
        inertias: list[list[float]],
        loads_nm: list[float],
    ) -> None:
        """Integrate all motors over a step.

        Args:
            link_rad: Where the links are.
            command_rad: What acts in this step.
            inertias: Torque on each joint by each one's acceleration, kg m^2.
            loads_nm: Torques that would hold the joints.
        """
        motors = self._motors
        for joint, motor in enumerate(motors):
            motor.meet(link_rad[joint])
            motor.drift(command_rad[joint], inertias[joint][joint])
        accelerations = [motor.acceleration_rad_s2 for motor in motors]
        for _ in range(SWEEPS):
            for joint, motor in enumerate(motors):
                row = inertias[joint]
                accelerations[joint] = 0.0
                pulled_nm = sum(map(operator.mul, row, accelerations))
                accelerations[joint] = motor.accelerate(loads_nm[joint] + pulled_nm)
        for motor in motors:
            motor.arrive()

    def get_state(self) -> ServosState:
        """A picklable copy of motors and commands under way."""
        motors = [
            (motor.angle_rad, motor.speed_rad_s, motor.acceleration_rad_s2)
            for motor in self._motors
        ]
        return motors, self._commands.copy()

    def set_state(self, state: ServosState) -> None:
        """Resume from what `get_state` gave."""
        motors, commands = state
        for motor, (angle, speed, acceleration) in zip(self._motors, motors, strict=True):
            motor.angle_rad = angle
            motor.speed_rad_s = speed
            motor.acceleration_rad_s2 = acceleration
        self._commands = commands.copy()
