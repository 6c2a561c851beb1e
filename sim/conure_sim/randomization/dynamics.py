"""The dynamics of one episode: how bodies and motors differ from the simulation's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dynamics:
    """Scales multiply what the simulation has."""

    mass_scale: float = 1.0
    """Factor of objects' masses."""
    friction_scale: float = 1.0
    """Factor of objects' lateral friction."""
    object_damping: float = 0.04
    """Damping of objects as PyBullet takes it: share of speed lost in a second."""
    joint_damping: float = 0.0
    """Damping of the arm's joints, N m s/rad."""
    gain_scale: float = 1.0
    """Factor of the motors' position gains."""
    gripper_force_scale: float = 1.0
    """Factor of the fingers' forces."""
    joint_offset_rad: tuple[float, ...] = ()
    """Offset of each joint's encoder from the true angle; empty: none."""
