"""What each fault does to the messages that pass. Pure: messages in, messages with delays out."""

import copy
import math
from collections.abc import Callable
from typing import Any

from conure_core.errors import unknown_name
from conure_ros.comms.messages import to_ns, to_time

IMAGE, JOINTS, COMMAND = "camera/image_raw", "joint_states", "command/policy"
LATE_IMAGE_S = 0.2
STEP_BACK_NS = 5_000_000_000
AHEAD_NS = 5_000_000_000
LATE_PERIODS = 3.0
LEAP_RAD, HUGE_RAD, LARGEST = 1.5, 1e200, 1e308
Passed = tuple[Any, float]
"""A message, and how long to keep it, s."""


class Injector:
    """One fault at a time, on one of three topics; '' is none.

    >>> injector = Injector(period_s=0.1)
    >>> injector.choose("camera unplugged")
    >>> injector.passed(IMAGE, image)
    []
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last: dict[str, Any] = {}
        self.fault, self.done = "", False

    def choose(self, fault: str) -> None:
        """Choose a fault. Raises: ConfigError listing the known faults."""
        if fault and fault not in FAULTS:
            raise unknown_name("fault", fault, FAULTS)
        self.fault, self.done = fault, False

    def spoils(self, topic: str) -> bool:
        """Whether the fault changes this topic."""
        return FAULTS.get(self.fault, ("",))[0] == topic

    def passed(self, topic: str, message: Any) -> list[Passed]:
        """The messages to forward in place of one.

        Args:
            topic: Topic of the message, without `raw/`.
            message: The message.

        Returns:
            Messages, each with the time for which to keep it, s.
        """
        target, change = FAULTS.get(self.fault, ("", None))
        if change is None or target != topic:
            self._last[topic] = message
            return [(message, 0.0)]
        return change(self, copy.deepcopy(message))

    def _frozen(self, message: Any) -> list[Passed]:
        frozen = copy.copy(self._last.get(IMAGE, message))
        frozen.header = message.header
        return [(frozen, 0.0)]

    def _late_command(self, message: Any) -> list[Passed]:
        return [(message, LATE_PERIODS * self._period_s)]


def _once(change: Callable[[Any], None]) -> Callable[["Injector", Any], list[Passed]]:
    """Change the first message; the others pass."""

    def changed(injector: Injector, message: Any) -> list[Passed]:
        if not injector.done:
            injector.done = True
            change(message)
        return [(message, 0.0)]

    return changed


def _leap(message: Any) -> None:
    message.position[0] += LEAP_RAD


def _huge(message: Any) -> None:
    message.position[0] = HUGE_RAD


def _of_the_future(message: Any) -> None:
    message.header.stamp = to_time(to_ns(message.header.stamp) + AHEAD_NS)


def _all_huge(injector: Injector, message: Any) -> list[Passed]:
    message.position = [LARGEST] * len(message.position)
    return [(message, 0.0)]


def _dropped(injector: Injector, message: Any) -> list[Passed]:
    return []


def _black(injector: Injector, message: Any) -> list[Passed]:
    message.data = bytes(len(message.data))
    return [(message, 0.0)]


def _late(injector: Injector, message: Any) -> list[Passed]:
    return [(message, LATE_IMAGE_S)]


def _stepped_back(injector: Injector, message: Any) -> list[Passed]:
    message.header.stamp = to_time(to_ns(message.header.stamp) - STEP_BACK_NS)
    return [(message, 0.0)]


def _without_a_joint(injector: Injector, message: Any) -> list[Passed]:
    for values in (message.name, message.position, message.velocity):
        values.pop(1)
    return [(message, 0.0)]


def _only(message: Any, first: int, end: int | None) -> Any:
    """The message with these of its joints."""
    part = copy.deepcopy(message)
    for values in ("name", "position", "velocity"):
        setattr(part, values, list(getattr(message, values))[first:end])
    return part


def _apart(injector: Injector, message: Any) -> list[Passed]:
    """The gripper, which comes last, by itself."""
    return [(_only(message, 0, -1), 0.0), (_only(message, -1, None), 0.0)]


def _gripper_silent(injector: Injector, message: Any) -> list[Passed]:
    return [(_only(message, 0, -1), 0.0)]


def _another_machine_beside(injector: Injector, message: Any) -> list[Passed]:
    other = copy.deepcopy(message)
    other.name, other.position, other.velocity = ["wheel"], [LARGEST], []
    return [(other, 0.0), (message, 0.0)]


def _unstamped(injector: Injector, message: Any) -> list[Passed]:
    message.header.stamp = to_time(0)
    return [(message, 0.0)]


def _nan_joint(injector: Injector, message: Any) -> list[Passed]:
    message.position[0] = math.nan
    return [(message, 0.0)]


def _other_order(injector: Injector, message: Any) -> list[Passed]:
    message.name, message.position, message.velocity = (
        list(reversed(values)) for values in (message.name, message.position, message.velocity)
    )
    return [(message, 0.0)]


def _action(
    change: Callable[[list[float]], list[float]],
) -> Callable[[Injector, Any], list[Passed]]:
    def changed(injector: Injector, message: Any) -> list[Passed]:
        message.action = change(list(message.action))
        return [(message, 0.0)]

    return changed


FAULTS: dict[str, tuple[str, Callable[[Injector, Any], list[Passed]]]] = {
    "camera unplugged": (IMAGE, _dropped),
    "camera frozen": (IMAGE, Injector._frozen),
    "camera black": (IMAGE, _black),
    "camera 200 ms late": (IMAGE, _late),
    "camera clock 5 s back": (IMAGE, _stepped_back),
    "joint missing": (JOINTS, _without_a_joint),
    "joint NaN": (JOINTS, _nan_joint),
    "joints without a stamp": (JOINTS, _unstamped),
    "gripper apart and silent": (JOINTS, _gripper_silent),
    "arm and gripper apart": (JOINTS, _apart),
    "joints of another machine": (JOINTS, _another_machine_beside),
    "one joint sample leaps": (JOINTS, _once(_leap)),
    "one joint sample is huge": (JOINTS, _once(_huge)),
    "one joint stamp 5 s in the future": (JOINTS, _once(_of_the_future)),
    "joints of 1e308": (JOINTS, _all_huge),
    "joints in another order": (JOINTS, _other_order),
    "actions NaN": (COMMAND, _action(lambda action: [math.nan] * len(action))),
    "actions infinite": (COMMAND, _action(lambda action: [math.inf, *action[1:]])),
    "actions huge": (COMMAND, _action(lambda action: [1e30 * (value or 1.0) for value in action])),
    "actions of another shape": (COMMAND, _action(lambda action: action[:-1])),
    "commands 3 periods late": (COMMAND, Injector._late_command),
}
