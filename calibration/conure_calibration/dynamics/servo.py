"""A position servo with a load, as one ordinary differential equation.

Everything is divided by the joint's inertia, which positions alone do not tell: the units are
those of accelerations. Droop, dead band and time constants are the same either way.
"""

from dataclasses import dataclass
from math import cos, exp, sin

import numpy as np

from conure_core.types import Array

STEP_S = 0.002


@dataclass(frozen=True)
class Servo:
    """acceleration = clip(stiffness (command - angle), limit) - damping speed - coulomb sign(speed)
    - gravity_sin sin(angle) - gravity_cos cos(angle), with the command of `delay_s` ago.

    Source: the terms of Rhoban's BAM (2410.08650), without its load-dependent friction.
    """

    stiffness: float
    """1/s^2."""
    damping: float
    """1/s."""
    coulomb: float
    """rad/s^2."""
    limit: float
    """Largest drive, rad/s^2."""
    gravity_sin: float
    """rad/s^2."""
    gravity_cos: float
    """rad/s^2."""
    delay_s: float

    @property
    def droop_rad(self) -> float:
        """How far gravity pulls the joint from its command at most."""
        return float(np.hypot(self.gravity_sin, self.gravity_cos) / self.stiffness)

    @property
    def dead_band_rad(self) -> float:
        """How far from its command friction can hold the joint."""
        return self.coulomb / self.stiffness


def simulate(
    servo: Servo,
    stamps_s: Array,
    command_rad: Array,
    times_s: Array,
    start_rad: float,
    step_s: float = STEP_S,
) -> Array:
    """Simulate a servo that begins at rest.

    Each step drifts by half, kicks and drifts again (position Verlet), damping exactly: of second
    order, at the price of Euler's. Friction ends at speed 0, so that it holds a joint exactly.

    Args:
        servo: Its parameters.
        stamps_s: When commands come, shape (n,), rising.
        command_rad: Shape (n,); each holds until the next one.
        times_s: When the angle is wanted, shape (m,), rising.
        start_rad: Angle at the first of these times.
        step_s: Of the integration.

    Returns:
        Angles, shape (m,), rad.
    """
    duration_s = times_s[-1] - times_s[0]
    count = int(np.ceil(duration_s / step_s)) + 2
    grid = times_s[0] + step_s * np.arange(count)
    held = mean_command(stamps_s, command_rad, grid - servo.delay_s, step_s).tolist()
    # As local names: the loop below is most of the time that a fit takes.
    stiffness = servo.stiffness
    limit = servo.limit
    gravity_sin = servo.gravity_sin
    gravity_cos = servo.gravity_cos
    slowed = exp(-step_s * servo.damping)
    # How long a constant acceleration acts, of which damping takes a part.
    acts_s = (1.0 - slowed) / servo.damping if servo.damping else step_s
    friction = acts_s * servo.coulomb
    half_s = step_s / 2
    angle = float(start_rad)
    speed = 0.0
    angles = [angle]
    for command in held[:-1]:
        angle += half_s * speed
        drive = stiffness * (command - angle)
        if drive > limit:
            drive = limit
        elif drive < -limit:
            drive = -limit
        drive -= gravity_sin * sin(angle) + gravity_cos * cos(angle)
        speed = slowed * speed + acts_s * drive
        if speed > friction:
            speed -= friction
        elif speed < -friction:
            speed += friction
        else:
            speed = 0.0
        angle += half_s * speed
        angles.append(angle)
    return np.interp(times_s, grid, angles)


def mean_command(
    stamps_s: Array,
    command_rad: Array,
    starts_s: Array,
    step_s: float,
) -> Array:
    """Average commands over a step from each start; unlike the command, that is smooth in a delay.

    Args:
        stamps_s: When commands come, shape (n,), rising.
        command_rad: Shape (n,); each holds until the next one.
        starts_s: Shape (k,).
        step_s: Over which to average.

    Returns:
        Shape (k,), rad.
    """
    areas = command_rad[:-1] * np.diff(stamps_s)
    integral = np.concatenate([[0.0], np.cumsum(areas)])

    def until(times: Array) -> Array:
        """The integral of the command from the first stamp to some times."""
        inside = np.interp(times, stamps_s, integral)
        before = np.minimum(times - stamps_s[0], 0.0) * command_rad[0]
        after = np.maximum(times - stamps_s[-1], 0.0) * command_rad[-1]
        return np.asarray(inside + before + after)

    area = until(starts_s + step_s) - until(starts_s)
    return np.asarray(area / step_s)
