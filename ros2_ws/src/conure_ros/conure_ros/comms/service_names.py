"""Names of services that several nodes know, and their old names, which work for one release."""

import inspect
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.task import Future

ARM_TORQUE = "arm/torque"
"""Offered by the arm's driver."""
SCENE_RESET, SCENE_STATUS = "scene/reset", "scene/status"
"""Offered by whoever lays the scene and judges the task."""
SET_MODE, HOME = "control/set_mode", "control/home"
RESET_STOP = "control/reset_stop"
START_EPISODE, STOP_EPISODE = "recorder/start_episode", "recorder/stop_episode"
RUN_TRIAL = "evaluator/run_trial"
"""An action."""
OLD_NAMES = {
    "~/home": "home",
    "~/reset_stop": "reset_stop",
    "~/stop": "stop",
    ARM_TORQUE: "torque",
    SCENE_RESET: "reset_scene",
}
"""Old names by the names as a node offers them. Services whose type changed have none: a client of
the old type would read nonsense.
"""

OF_AN_OLDER_RELEASE = {SCENE_RESET: "reset_scene", SCENE_STATUS: "task_status"}
"""What nodes that are not ours may offer still."""


def under_old_name(node: Node, name: str, answer: Callable[[Any, Any], Any]) -> Any:
    """Answer a renamed service under its old name, as under the new one; the first call is logged.

    Args:
        node: Node that offers the service.
        name: Its new name, a key of OLD_NAMES.
        answer: Function, or coroutine function, of request and response.

    Returns:
        The same kind of function.
    """
    called: list[bool] = []

    def warn() -> None:
        if not called:
            called.append(True)
            _warn_renamed(node, name)

    async def answer_late(request: Any, response: Any) -> Any:
        warn()
        return await answer(request, response)

    def answer_at_once(request: Any, response: Any) -> Any:
        answered = answer(request, response)
        warn()
        return answered

    return answer_late if inspect.iscoroutinefunction(answer) else answer_at_once


def _warn_renamed(node: Node, name: str) -> None:
    new, old = (node.resolve_service_name(one) for one in (name, OLD_NAMES[name]))
    node.get_logger().warning(
        f"the service {old} is called {new}; the old name is gone in the next release"
    )


def name_hint(node: Node, name: str) -> str:
    """What to say of a service that nobody offers: whether one of an older release is there.

    Args:
        node: Node that looks.
        name: Name of the service that is missing.

    Returns:
        The end of a sentence; '' if there is nothing to say.
    """
    old = OF_AN_OLDER_RELEASE.get(name)
    if old is None or not node.count_services(node.resolve_service_name(old)):
        return ""
    return f"; there is '{old}' of an older release: docs/ros.md lists names and types that changed"


class RenamedClient:
    """A client of a renamed service, which others may still offer under its old name."""

    def __init__(self, node: Node, kind: Any, name: str) -> None:
        """Create it.

        Args:
            node: Node that asks.
            kind: Type of the service.
            name: Its new name, a key of OLD_NAMES.
        """
        self._node, self._name, self._warned = node, name, False
        self._new = node.create_client(kind, name)
        self._old = node.create_client(kind, OLD_NAMES[name])

    @property
    def srv_name(self) -> str:
        """The new name, in full."""
        return str(self._new.srv_name)

    def wait_for_service(self, timeout_sec: float) -> bool:
        """Whether a node offers the service within a time, s, under either name."""
        return bool(self._new.wait_for_service(timeout_sec) or self._old.service_is_ready())

    def call_async(self, request: Any) -> Future:
        """Ask under the old name only where nobody offers the new one; the first time is logged."""
        if self._new.service_is_ready() or not self._old.service_is_ready():
            return self._new.call_async(request)
        answer = self._old.call_async(request)
        if not self._warned:
            self._warned = True
            _warn_renamed(self._node, self._name)
        return answer

    def destroy(self) -> None:
        for client in (self._new, self._old):
            self._node.destroy_client(client)
