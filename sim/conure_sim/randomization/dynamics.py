"""The dynamics of one episode: how bodies and motors differ from the simulation's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dynamics:
    """Scales multiply what the simulation has."""

    mass_scale: float = 1.0
    """Of objects' masses."""
    friction_scale: float = 1.0
    """Of objects' lateral friction."""
    object_damping: float = 0.04
    """Of objects, as PyBullet takes it: share of speed lost in a second."""
    joint_damping: float = 0.0
    """Of the arm's joints, N m s/rad."""
    gain_scale: float = 1.0
    """Of the motors' position gains."""
    gripper_force_scale: float = 1.0
    """Of the fingers' forces."""
    joint_offset_rad: tuple[float, ...] = ()
    """What the encoders report beyond the true angles, a joint each; empty: none."""
