"""From a person's input to a normalized action. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conure_core.errors import ConfigError, UnsafeCommand
from conure_core.types import Array

MOTIONS = 6
ROLL, PITCH = 3, 4
CROSS = 4
"""Buttons of a pad's cross."""
OPEN, CLOSED = 1.0, -1.0


@dataclass(frozen=True)
class Intent:
    """A person's wish.

    motion (6,): an action's first six values, each in [-1, 1]; gripper: -1 closed, 1 open, None:
    unchanged.
    """

    motion: Array
    gripper: float | None = None


@dataclass(frozen=True)
class JoyLayout:
    """The layout of a sensor_msgs/Joy.

    `axes`: numbers of the axes for x, y, z and for the rotations about x, y, z; -1: none. Each is
    multiplied by its scale. An axis within `dead_zone` of its centre counts as 0. `axis_buttons`:
    buttons that turn about x in plus and minus, and about y, for pads whose cross has no axes;
    empty: none.
    """

    axis_count: int
    button_count: int
    axes: tuple[int, ...]
    axis_scales: tuple[float, ...]
    dead_man_button: int
    open_button: int
    close_button: int
    dead_zone: float
    axis_buttons: tuple[int, ...] = ()

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
        crossed = [some for some in self.axis_buttons if not 0 <= some < self.button_count]
        if crossed or len(self.axis_buttons) not in (0, CROSS):
            raise ConfigError(
                f"axis_buttons must be {CROSS} buttons, 0 to {self.button_count - 1}, or none, got"
                f" {list(self.axis_buttons)}"
            )
        if len(set(buttons.values())) != len(buttons):
            raise ConfigError(f"dead man, open and close must be different buttons, got {buttons}")

    def intent(self, axes: Sequence[float], buttons: Sequence[int]) -> Intent | None:
        """Read a joystick.

        Args:
            axes: Values in [-1, 1], `axis_count` of them.
            buttons: 0 or 1, `button_count` of them.

        Returns:
            The intent; None while the dead man's button is released.

        Raises:
            UnsafeCommand: The numbers do not fit the layout, or a value is not finite.
        """
        came, wanted = (len(axes), len(buttons)), (self.axis_count, self.button_count)
        if came != wanted:
            raise UnsafeCommand(
                f"joy has {came[0]} axes and {came[1]} buttons, the layout is for {wanted[0]} and"
                f" {wanted[1]}; set axis_count, button_count and the layout to this device"
            )
        if not buttons[self.dead_man_button]:
            return None
        # All of them, also those that move nothing: NaN differs from itself, so that an input that
        # never changes would look new.
        if not np.isfinite(np.array(axes, dtype=np.float64)).all():
            raise UnsafeCommand(f"joy: {list(axes)} is not finite; nothing is sent")
        values = np.array(
            [axes[axis] if axis >= 0 else 0.0 for axis in self.axes], dtype=np.float64
        )
        values = values * self.axis_scales
        if self.axis_buttons:
            right, left, up, down = (buttons[number] for number in self.axis_buttons)
            values[ROLL] += right - left
            values[PITCH] += up - down
        return Intent(limited(values, "joy", self.dead_zone), self._gripper(buttons))

    def _gripper(self, buttons: Sequence[int]) -> float | None:
        """Open or close; both buttons together mean neither."""
        pressed = bool(buttons[self.open_button]), bool(buttons[self.close_button])
        return {(True, False): OPEN, (False, True): CLOSED}.get(pressed)


@dataclass(frozen=True)
class TwistScale:
    """The velocities of the largest action: m/s and rad/s."""

    linear_full_m_s: float
    angular_full_rad_s: float
    dead_zone: float

    def __post_init__(self) -> None:
        for name in ("linear_full_m_s", "angular_full_rad_s", "dead_zone"):
            _expect_finite(**{name: (getattr(self, name),)})
        if min(self.linear_full_m_s, self.angular_full_rad_s) <= 0.0:
            raise ConfigError(f"the largest velocities must be above 0, got {self}")

    def intent(self, velocity: Sequence[float], frame: str, base_frame: str) -> Intent | None:
        """Scale a velocity to an intent.

        Args:
            velocity: Linear and angular velocity, shape (6,), m/s and rad/s.
            frame: Its frame; '': the base frame.
            base_frame: Name of the robot's base frame.

        Returns:
            The intent; None for a velocity within the dead zone.

        Raises:
            UnsafeCommand: Another frame, or a value that is not finite.
        """
        if frame not in ("", base_frame):
            raise UnsafeCommand(f"teleop/twist must be in frame '{base_frame}', got '{frame}'")
        full = np.repeat([self.linear_full_m_s, self.angular_full_rad_s], 3)
        motion = limited(
            np.array(velocity, dtype=np.float64) / full, "teleop/twist", self.dead_zone
        )
        return Intent(motion) if motion.any() else None


def _expect_finite(**settings: Sequence[float]) -> None:
    """Raises: ConfigError naming a setting whose value is not finite."""
    for name, values in settings.items():
        if not np.isfinite(values).all():
            raise ConfigError(f"{name} must be finite, got {list(values)}")


def limited(values: Array, what: str, dead_zone: float) -> Array:
    """Clip to [-1, 1], and set values in the dead zone to 0.

    Args:
        values: Of axes.
        what: Their topic, for the message.
        dead_zone: Smaller values count as nothing.

    Raises:
        UnsafeCommand: One is not finite.
    """
    if not np.isfinite(values).all():
        raise UnsafeCommand(f"{what}: {values} is not finite; nothing is sent")
    return np.clip(np.where(np.abs(values) < dead_zone, 0.0, values), -1.0, 1.0)


def normalize_gripper(gripper_m: float, closed_m: float, open_m: float) -> float:
    """Convert a gripper position to an action's last value.

    Args:
        gripper_m: Position, m.
        closed_m: Position of the closed gripper, m.
        open_m: Position of the open gripper, m.

    Returns:
        -1 (closed) to 1 (open), clipped.
    """
    return float(np.clip(2.0 * (gripper_m - closed_m) / (open_m - closed_m) - 1.0, -1.0, 1.0))
