"""Layouts of common gamepads, chosen by the numbers of axes and buttons that a Joy has. Pure.

Sources: joy's README (game_controller_node) and SDL 2 (joy_node: axes, then hats; kernel drivers
xpad, hid-playstation, hid-sony, hid-nintendo in the order of their event codes; SDL's own drivers
for PS4 and PS5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from conure_core.errors import ConfigError, UnsafeCommand, unknown_name
from conure_ros.teleop.teleoperation import CLOSED, OPEN, Intent, JoyLayout, limited

AUTO, CUSTOM = "auto", "custom"
Counts = tuple[int, int]
"""Numbers of axes and of buttons."""
DEAD_ZONE = 0.05
UNUSED = -1


class Layout(Protocol):
    """Reads a Joy."""

    def intent(self, axes: Sequence[float], buttons: Sequence[int]) -> Intent | None: ...


@dataclass(frozen=True)
class Gamepad:
    """Pads of one layout: `pads` says which, by which node; `counts` are those that their Joy may
    have.
    """

    pads: str
    counts: tuple[Counts, ...]
    axes: tuple[int, ...]
    axis_scales: tuple[float, ...]
    dead_man_button: int
    open_button: int
    close_button: int
    axis_buttons: tuple[int, ...] = ()

    def layout(self, counts: Counts, dead_zone: float) -> JoyLayout:
        """Build the layout of a Joy.

        Args:
            counts: Its numbers of axes and buttons.
            dead_zone: Part of an axis's range that counts as nothing.
        """
        return JoyLayout(
            *counts,
            self.axes,
            self.axis_scales,
            self.dead_man_button,
            self.open_button,
            self.close_button,
            dead_zone,
            self.axis_buttons,
        )


PLUS = (1.0,) * 6
RIGHT_ROLLS = (1.0, 1.0, 1.0, -1.0, 1.0, 1.0)
"""A hat's axis is 1 on its left side; pressed on the right it turns about x."""
XBOX = Gamepad(
    "Xbox 360, Xbox One, Logitech F310 in mode X; joy_node",
    ((8, 11),),
    axes=(1, 0, 4, 6, 7, 3),
    axis_scales=RIGHT_ROLLS,
    dead_man_button=4,
    open_button=1,
    close_button=0,
)
GAMEPADS = {
    "xbox": XBOX,
    "xbox_share": replace(
        XBOX, pads="Xbox Series with a share button; joy_node", counts=((8, 12),)
    ),
    "playstation": replace(XBOX, pads="PS4, PS5; joy_node", counts=((8, 13),)),
    "ps3": Gamepad(
        "PS3; joy_node",
        ((6, 17),),
        axes=(1, 0, 4, UNUSED, UNUSED, 3),
        axis_scales=PLUS,
        dead_man_button=4,
        open_button=1,
        close_button=0,
        axis_buttons=(16, 15, 13, 14),
    ),
    "switch_pro": Gamepad(
        "Switch Pro; joy_node",
        ((6, 14),),
        axes=(1, 0, 3, 4, 5, 2),
        axis_scales=RIGHT_ROLLS,
        dead_man_button=5,
        open_button=1,
        close_button=0,
    ),
    "f310_d": Gamepad(
        "Logitech F310 in mode D; joy_node",
        ((6, 12),),
        axes=(1, 0, 3, 4, 5, 2),
        axis_scales=RIGHT_ROLLS,
        dead_man_button=4,
        open_button=2,
        close_button=1,
    ),
    "game_controller": Gamepad(
        "any pad, game_controller_node; PS4, PS5 where SDL reads them itself, joy_node",
        ((6, 21), (6, 16), (6, 17)),
        axes=(1, 0, 3, UNUSED, UNUSED, 2),
        axis_scales=PLUS,
        dead_man_button=9,
        open_button=1,
        close_button=0,
        axis_buttons=(14, 13, 11, 12),
    ),
}
SPACEMOUSE = "spacemouse"
NAMES = (AUTO, CUSTOM, SPACEMOUSE, *GAMEPADS)


def fitting(counts: Counts) -> list[str]:
    """Name the layouts of pads whose Joy has these numbers of axes and buttons."""
    return [name for name, pad in GAMEPADS.items() if counts in pad.counts]


def describe(name: str) -> str:
    """Describe a layout to a person: its pads, and the counts of their Joy."""
    pad = GAMEPADS[name]
    counts = " or ".join(f"{axes} axes and {buttons} buttons" for axes, buttons in pad.counts)
    return f"{name} ({pad.pads}: {counts})"


def find_layout(name: str, counts: Counts, dead_zone: float = DEAD_ZONE) -> Layout:
    """Find the layout of a Joy.

    Args:
        name: Of a layout; `auto`: the only one of these counts.
        counts: Numbers of axes and buttons that came.
        dead_zone: Part of an axis's range that counts as nothing.

    Raises:
        ConfigError: Unknown name.
        UnsafeCommand: No layout, or more than one, has these counts.
    """
    if name == SPACEMOUSE:
        return SpaceMouse(dead_zone)
    if name != AUTO and name not in GAMEPADS:
        raise unknown_name("gamepad", name, NAMES)
    axes, buttons = counts
    has = f"joy has {axes} axes and {buttons} buttons"
    names = fitting(counts)
    if name == AUTO and len(names) > 1:
        choices = ", ".join(map(describe, names))
        raise UnsafeCommand(f"{has}, which more than one pad has; set gamepad to one of {choices}")
    if name != AUTO and name not in names:
        others = f"; they fit {', '.join(names)}" if names else ""
        raise UnsafeCommand(f"{has}, gamepad={name} is {describe(name)}{others}")
    if not names:
        known = ", ".join(map(describe, GAMEPADS))
        raise UnsafeCommand(
            f"{has}, and no known pad has these: {known}. A SpaceMouse needs"
            f" gamepad={SPACEMOUSE}; for another pad see with conure joysticks what is what, and"
            f" give gamepad={CUSTOM} with axis_count, button_count and the layout"
        )
    return GAMEPADS[names[0] if name == AUTO else name].layout(counts, dead_zone)


@dataclass(frozen=True)
class SpaceMouse:
    """The six axes of `spacenav`'s Joy, in a twist's order.

    There is no dead man's button: the cap springs back, and a hand that rests sends nothing. The
    first button closes the gripper, the second opens it. A Joy has as many buttons as were pressed.
    """

    dead_zone: float

    def intent(self, axes: Sequence[float], buttons: Sequence[int]) -> Intent | None:
        """Read a Joy.

        Args:
            axes: Six values in [-1, 1], x, y, z and the turns about them.
            buttons: 0 or 1, any number of them.

        Returns:
            The intent; None while the hand rests and no button is pressed.

        Raises:
            UnsafeCommand: There are not six axes, or a value is not finite.
        """
        if len(axes) != 6:
            raise UnsafeCommand(f"joy has {len(axes)} axes, gamepad={SPACEMOUSE} has 6")
        motion = limited(np.array(axes, dtype=np.float64), "joy", self.dead_zone)
        close, open_ = (len(buttons) > index and bool(buttons[index]) for index in (0, 1))
        gripper = {(True, False): CLOSED, (False, True): OPEN}.get((close, open_))
        return Intent(motion, gripper) if motion.any() or gripper is not None else None


def require_name(name: str, changed: Sequence[str]) -> None:
    """Refuse a name that no layout has, and a custom layout that would not be used.

    Args:
        name: Of a layout, `auto` or `custom`.
        changed: Parameters of the custom layout that were given.

    Raises:
        ConfigError: Lists the names, or what was given in vain.
    """
    if name not in NAMES:
        raise unknown_name("gamepad", name, NAMES)
    if name != CUSTOM and changed:
        raise ConfigError(
            f"{', '.join(changed)} describe a layout of your own, and gamepad is '{name}'; give"
            f" gamepad={CUSTOM} too"
        )
