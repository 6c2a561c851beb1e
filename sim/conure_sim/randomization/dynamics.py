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
    servo_stiffness_scale: tuple[float, ...] = ()
    """Factor of each measured servo's stiffness; empty: 1, here and below."""
    servo_damping_scale: tuple[float, ...] = ()
    """Factor of its damping."""
    servo_friction_scale: tuple[float, ...] = ()
    """Factor of its Coulomb friction."""
    servo_limit_scale: tuple[float, ...] = ()
    """Factor of its largest torque."""
    servo_delay_scale: tuple[float, ...] = ()
    """Factor of its delay."""
    backlash_scale: tuple[float, ...] = ()
    """Factor of its gear's play."""

    def servo_scales(self, joint: int) -> dict[str, float]:
        """Factors of a joint's servo, by the servo's field; those of 1 are left out."""
        drawn = {field: getattr(self, factor) for field, factor in SERVO_FACTORS.items()}
        return {field: scales[joint] for field, scales in drawn.items() if scales}


SERVO_FACTORS = {
    "stiffness_nm_rad": "servo_stiffness_scale",
    "damping_nm_s_rad": "servo_damping_scale",
    "coulomb_nm": "servo_friction_scale",
    "limit_nm": "servo_limit_scale",
    "delay_s": "servo_delay_scale",
    "backlash_rad": "backlash_scale",
}
"""What scales each field of a servo."""
