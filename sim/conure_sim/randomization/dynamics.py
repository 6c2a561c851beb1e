"""How bodies and motors of one episode differ from the simulation's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dynamics:
    """Scales multiply; damping of objects is PyBullet's (share of speed lost a second), that of
    joints N m s/rad.

    `joint_offset_rad`, a joint each or empty: what the encoders say beyond the true angles.
    """

    mass_scale: float = 1.0
    friction_scale: float = 1.0
    object_damping: float = 0.04
    joint_damping: float = 0.0
    gain_scale: float = 1.0
    gripper_force_scale: float = 1.0
    joint_offset_rad: tuple[float, ...] = ()
