"""The motors of an arm as MuJoCo drives them: servos that give way to gravity."""

from dataclasses import dataclass

from conure_sim.physics.arm_simulation import ArmSimulation
from conure_sim.physics.world import PHYSICS_HZ
from conure_sim.randomization.dynamics import Dynamics

STIFFNESS_PER_FORCE = 25.0
"""Stiffness of a motor without a data sheet: it gives all its torque at 0.04 rad."""
FINGER_STIFFNESS_N_M = 2000.0
FINGER_DAMPING_N_S_M = 40.0
FINGER_INERTIA_KG = 0.1


@dataclass(frozen=True)
class Motor:
    """One servo: force = stiffness (set point - position) - damping speed. N m and rad, or N and m
    for a finger.
    """

    stiffness: float
    damping: float
    force: float
    """The largest."""
    friction: float = 0.0
    """Coulomb's."""
    inertia: float = 0.0
    """Of the rotor, at the joint."""
    bearing_damping: float = 0.0
    """Of the joint itself, with or without power."""


def arm_motors(simulation: ArmSimulation, dynamics: Dynamics, fingers: int) -> list[Motor]:
    """The motors of joints and fingers, in this order.

    An arm whose file has `servos` droops as they do, without their delay and play; another one
    follows its set point as in PyBullet.

    Args:
        simulation: Of the arm.
        dynamics: Of the episode.
        fingers: How many are driven.

    Returns:
        One motor a joint, then one a finger.
    """
    scale = dynamics.gain_scale
    motors: list[Motor] = []
    for joint, force in enumerate(simulation.joint_force_nm):
        bearing = dynamics.joint_damping
        if simulation.servos:
            servo = simulation.servos[joint].scaled(dynamics, joint)
            motor = Motor(
                stiffness=scale * servo.stiffness_nm_rad,
                damping=servo.damping_nm_s_rad,
                force=servo.limit_nm,
                friction=servo.coulomb_nm,
                inertia=servo.armature_kg_m2,
                bearing_damping=bearing,
            )
            motors.append(motor)
        else:
            stiffness = STIFFNESS_PER_FORCE * force * scale
            damping = stiffness / (PHYSICS_HZ * simulation.joint_gain[joint])
            motors.append(Motor(stiffness, damping, force, bearing_damping=bearing))

    force_n = simulation.gripper_force_n * dynamics.gripper_force_scale
    finger = Motor(
        scale * FINGER_STIFFNESS_N_M, FINGER_DAMPING_N_S_M, force_n, inertia=FINGER_INERTIA_KG
    )
    return motors + [finger] * fingers
