"""From what a person's hand does to a normalized action. Pure: numbers come in, an intent comes
out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conure_core.errors import ConfigError, UnsafeCommand
from conure_core.types import Array

MOTIONS = 6
OPEN, CLOSED = 1.0, -1.0


@dataclass(frozen=True)
class Intent:
    """What a person wants.

    motion (6,): an action's first six values, each in [-1, 1]; gripper: -1 closed, 1 open, None: as
    it is.
    """

    motion: Array
    gripper: float | None = None


@dataclass(frozen=True)
class JoyLayout:
    """Where on a sensor_msgs/Joy everything is.

    `axes`: for x, y, z and the turns about x, y, z the number of the axis, -1 for none; each is
    multiplied by its scale. An axis within `dead_zone` of its middle is there.
    """

    axis_count: int
    button_count: int
    axes: tuple[int, ...]
    axis_scales: tuple[float, ...]
    dead_man_button: int
    open_button: int
    close_button: int
    dead_zone: float

    def __post_init__(self) -> None:
        if len(self.axes) != MOTIONS or len(self.axis_scales) != MOTIONS:
            raise ConfigError(
                f"axes and axis_scales need {MOTIONS} values each, got {len(self.axes)} and"
                f" {len(self.axis_scales)}"
            )
        _expect_finite(axis_scales=self.axis_scales, dead_zone=(self.dead_zone,))
        wrong = [axis for axis in self.axes if not -1 <= axis < self.axis_count]
        if wrong:
            raise ConfigError(f"axes must be -1 (none) to {self.axis_count - 1}, got {wrong}")
        buttons = {"dead_man_button": self.dead_man_button, "open_button": self.open_button}
        buttons["close_button"] = self.close_button
        for name, button in buttons.items():
            if not 0 <= button < self.button_count:
                raise ConfigError(f"{name} must be 0 to {self.button_count - 1}, got {button}")
        if len(set(buttons.values())) != len(buttons):
            raise ConfigError(f"dead man, open and close must be different buttons, got {buttons}")

    def intent(self, axes: Sequence[float], buttons: Sequence[int]) -> Intent | None:
        """None while the dead man's button is not held. Raises: UnsafeCommand for another device,
        or a NaN.
        """
        came, wanted = (len(axes), len(buttons)), (self.axis_count, self.button_count)
        if came != wanted:
            raise UnsafeCommand(
                f"joy has {came[0]} axes and {came[1]} buttons, the layout is for {wanted[0]} and"
                f" {wanted[1]}; set axis_count, button_count and the layout to this device"
            )
        if not buttons[self.dead_man_button]:
            return None
        values = np.array(
            [axes[axis] if axis >= 0 else 0.0 for axis in self.axes], dtype=np.float64
        )
        return Intent(
            _limited(values * self.axis_scales, "joy", self.dead_zone), self._gripper(buttons)
        )

    def _gripper(self, buttons: Sequence[int]) -> float | None:
        """Both buttons together say nothing."""
        pressed = bool(buttons[self.open_button]), bool(buttons[self.close_button])
        return {(True, False): OPEN, (False, True): CLOSED}.get(pressed)


@dataclass(frozen=True)
class TwistScale:
    """Which velocities are the largest action: m/s and rad/s."""

    linear_full_m_s: float
    angular_full_rad_s: float
    dead_zone: float

    def __post_init__(self) -> None:
        for name in ("linear_full_m_s", "angular_full_rad_s", "dead_zone"):
            _expect_finite(**{name: (getattr(self, name),)})
        if min(self.linear_full_m_s, self.angular_full_rad_s) <= 0.0:
            raise ConfigError(f"the largest velocities must be above 0, got {self}")

    def intent(self, velocity: Sequence[float], frame: str, base_frame: str) -> Intent | None:
        """Of a velocity (6,), m/s and rad/s, in the base frame ('' is that one). None for a hand
        that rests.

        Raises: UnsafeCommand for another frame, or a NaN.
        """
        if frame not in ("", base_frame):
            raise UnsafeCommand(f"teleop/twist must be in frame '{base_frame}', got '{frame}'")
        full = np.repeat([self.linear_full_m_s, self.angular_full_rad_s], 3)
        motion = _limited(
            np.array(velocity, dtype=np.float64) / full, "teleop/twist", self.dead_zone
        )
        return Intent(motion) if motion.any() else None


def _expect_finite(**settings: Sequence[float]) -> None:
    """Raises: ConfigError naming the setting that has a value which is no number."""
    for name, values in settings.items():
        if not np.isfinite(values).all():
            raise ConfigError(f"{name} must be finite, got {list(values)}")


def _limited(values: Array, what: str, dead_zone: float) -> Array:
    """In [-1, 1], what is nearly nothing as nothing. Raises: UnsafeCommand if one is not finite."""
    if not np.isfinite(values).all():
        raise UnsafeCommand(f"{what}: {values} is not finite; nothing is sent")
    return np.clip(np.where(np.abs(values) < dead_zone, 0.0, values), -1.0, 1.0)


def opening(gripper_m: float, closed_m: float, open_m: float) -> float:
    """The gripper's position, m, as an action's last value: -1 closed, 1 open."""
    return float(np.clip(2.0 * (gripper_m - closed_m) / (open_m - closed_m) - 1.0, -1.0, 1.0))
