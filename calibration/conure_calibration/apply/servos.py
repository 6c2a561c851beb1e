"""Servos for the simulator: torques from accelerations, by the inertia that gravity tells.

Positions tell each torque divided by the joint's inertia. The arm's masses say how large the
torque of gravity is; that, over the acceleration by gravity that was measured, is the inertia. What
the links do not make of it is the motor's, seen through the gear (armature).
"""

from typing import Any

import numpy as np

from conure_calibration.apply.measured import Measured
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.types import Array

LEAST_GRAVITY_NM = 0.1
"""Torque of gravity below which a joint's inertia is not told by it."""
MOST_RELATIVE = 0.2
"""Standard deviation of a measured gravity, as a share of it, beyond which it tells no inertia."""
QUARTER_RAD = np.pi / 2


def simulated_servos(measured: Measured) -> tuple[list[dict[str, float]], list[str]]:
    """Compute each joint's servo, as the `.sim.yaml` of an arm takes it.

    Args:
        measured: With `dynamics`; its joints were recorded while the others stood at home.

    Returns:
        The servos in the arm's order, and what had to be assumed, a sentence each.

    Raises:
        ConfigError: A joint, or a parameter that no assumption replaces, was not measured.
    """
    arm = Arm(measured.robot)
    names = measured.robot.joint_names
    links = np.diag(arm.inertia(np.array(measured.robot.home_rad)))
    told = [_told_inertia(measured, arm, joint) for joint in range(len(names))]
    known = [total - link for total, link in zip(told, links, strict=True) if total is not None]
    usual = max(float(np.median(known)), 0.0) if known else 0.0
    servos = []
    assumed = []
    for joint, (name, total) in enumerate(zip(names, told, strict=True)):
        armature = usual if total is None else max(total - links[joint], 0.0)
        if total is None:
            assumed.append(
                f"{name}: gravity does not tell its inertia; armature {usual:.3g} kg m^2"
            )
        elif total < links[joint]:
            assumed.append(
                f"{name}: its motion tells an inertia of {total:.3g} kg m^2, the URDF's links have"
                f" {links[joint]:.3g}; check their masses"
            )
        servo, notes = _servo(measured, arm, joint, links[joint] + armature)
        servos.append({**servo, "armature_kg_m2": float(armature)})
        assumed += notes
    return servos, assumed


def _servo(
    measured: Measured,
    arm: Arm,
    joint: int,
    inertia: float,
) -> tuple[dict[str, float], list[str]]:
    """One servo's fields, and what was assumed.

    Args:
        measured: The results.
        arm: For torque limits.
        joint: Its place in the arm's order.
        inertia: Of links and motor, kg m^2.
    """
    name = measured.robot.joint_names[joint]

    def quantity(parameter: str) -> float | None:
        found = measured.find("dynamics", f"{name}_{parameter}")
        return None if found is None else found.value

    stiffness = quantity("stiffness_1_s2")
    damping = quantity("damping_1_s")
    delay_ms = quantity("delay_ms")
    if stiffness is None or damping is None or delay_ms is None:
        where = measured.results["dynamics"].data
        raise ConfigError(
            f"dynamics does not tell {name}'s stiffness, damping or delay, which a simulated servo"
            f" needs; record every joint (data: {where}), or leave dynamics out of what="
        )
    notes = []
    limit = quantity("limit_rad_s2")
    if limit is None:
        limit = arm.effort_limit[joint] / inertia
        notes.append(f"{name}: its torque limit was not reached; the URDF's effort is taken")
    feedback_ms = measured.value("latency", "feedback_delay_ms")
    backlash = quantity("backlash_deg")
    if backlash is None:
        notes.append(f"{name}: backlash was not measured; 0 is taken")
    servo: dict[str, Any] = {
        "stiffness_nm_rad": stiffness * inertia,
        "damping_nm_s_rad": damping * inertia,
        "limit_nm": limit * inertia,
        "coulomb_nm": (quantity("coulomb_rad_s2") or 0.0) * inertia,
        "delay_s": max(delay_ms - feedback_ms, 0.0) / 1000,
        "backlash_rad": np.radians(backlash or 0.0),
    }
    return {key: float(value) for key, value in servo.items()}, notes


def _told_inertia(
    measured: Measured,
    arm: Arm,
    joint: int,
) -> float | None:
    """A joint's whole inertia, kg m^2; None where gravity does not tell it."""
    name = measured.robot.joint_names[joint]
    parts = [measured.find("dynamics", f"{name}_gravity_{part}_rad_s2") for part in ("sin", "cos")]
    found = [part for part in parts if part is not None]
    torque_nm = gravity_torque(arm, joint)
    acceleration = np.array([part.value for part in found])
    size = float(np.linalg.norm(acceleration))
    if len(found) < len(parts) or np.linalg.norm(torque_nm) < LEAST_GRAVITY_NM or size == 0.0:
        return None
    deviation = max(part.deviation for part in found)
    if deviation > MOST_RELATIVE * size:
        return None
    # The direction is that of the masses; what points elsewhere is no gravity.
    inertia = float(torque_nm @ torque_nm / (torque_nm @ acceleration))
    return inertia if inertia > 0.0 else None


def gravity_torque(arm: Arm, joint: int) -> Array:
    """Gravity's torque on a joint, the others at home: that of (sin, cos) of its angle, (2,) N m.

    Args:
        arm: Masses and home.
        joint: Its place in the arm's order.
    """
    still = np.zeros(len(arm.config.home_rad))

    def torque(angle_rad: float) -> float:
        angles = np.array(arm.config.home_rad)
        angles[joint] = angle_rad
        return float(arm.inverse_dynamics(angles, still, still)[joint])

    # The torque is A sin + B cos: nothing else varies with one revolute joint's angle.
    return np.array([torque(QUARTER_RAD), torque(0.0)])
