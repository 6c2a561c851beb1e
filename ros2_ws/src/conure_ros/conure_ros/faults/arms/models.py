"""An arm and its controller in simulated time. Pure: no ROS, no clock; the same steps give the same
motion.

An `ArmModel` is a controller, which turns commands into set points, and a plant, which comes after
them.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from conure_core.errors import ConfigError, unknown_name
from conure_core.types import Array

COUNT_RAD = 2 * np.pi / 4096
STREAM_S = 0.01


@dataclass(frozen=True)
class Order:
    """Positions (m,), rad and m, to be reached `duration_s` after `stamp_s`; a stamp of 0 means:
    from now on.
    """

    positions: Array
    duration_s: float
    stamp_s: float = 0.0


class Refused(Exception):
    """The controller does not take this command; the message says why, in the controller's own
    words.
    """


class Controller(Protocol):
    """Commands in, set points out."""

    set_point: Array

    def take(self, order: Order, now_s: float) -> None:
        """Raises: Refused."""

    def step(self, now_s: float) -> Array:
        """The set point (m,) at a time, which never goes back."""

    def rest(self, positions: Array) -> None:
        """Forget every command; the set point is here."""


@dataclass
class _Way:
    """From one set point to another, linearly in time."""

    start: Array
    goal: Array
    began_s: float
    ends_s: float

    def at(self, now_s: float) -> Array:
        share = (now_s - self.began_s) / max(self.ends_s - self.began_s, 1e-9)
        return np.asarray(self.start + min(1.0, max(0.0, share)) * (self.goal - self.start))


class TrajectoryController:
    """As joint_trajectory_controller: a new trajectory replaces the old one, from the present set
    point on.

    A stamped one begins at its stamp, and is refused when its end is over. Source:
    ros2_controllers, joint_trajectory_controller, validate_trajectory_msg and Trajectory::sample.
    """

    def __init__(self, positions: Array) -> None:
        self.set_point = np.array(positions, dtype=np.float64)
        self._ways: deque[_Way] = deque()

    def take(self, order: Order, now_s: float) -> None:
        start_s = order.stamp_s or now_s
        if order.stamp_s and start_s + order.duration_s < now_s:
            raise Refused("Received trajectory with non-zero start time that ends in the past")
        start = self.step(now_s)
        # Sampled between the present set point and the point, from now on; one of the future waits
        # for its stamp.
        self._ways = deque(
            [_Way(start, order.positions, max(start_s, now_s), start_s + order.duration_s)]
        )

    def step(self, now_s: float) -> Array:
        while self._ways and now_s >= self._ways[0].began_s:
            self.set_point = self._ways[0].at(now_s)
            if now_s < self._ways[0].ends_s:
                break
            self._ways.popleft()
        return self.set_point.copy()

    def rest(self, positions: Array) -> None:
        self.set_point = np.array(positions, dtype=np.float64)
        self._ways.clear()


class QueueingController(TrajectoryController):
    """As robots that finish one motion before they begin the next: whatever comes is appended."""

    def take(self, order: Order, now_s: float) -> None:
        begins_s = max([now_s, order.stamp_s, *(way.ends_s for way in self._ways)])
        start = self._ways[-1].goal if self._ways else self.step(now_s)
        self._ways.append(_Way(start, order.positions, begins_s, begins_s + order.duration_s))


class ForwardController:
    """As forward_command_controller on position interfaces: the set point is the command, at
    once.
    """

    def __init__(self, positions: Array) -> None:
        self.set_point = np.array(positions, dtype=np.float64)

    def take(self, order: Order, now_s: float) -> None:
        self.set_point = np.array(order.positions, dtype=np.float64)

    def step(self, now_s: float) -> Array:
        return self.set_point.copy()

    def rest(self, positions: Array) -> None:
        self.set_point = np.array(positions, dtype=np.float64)


class OwnDriver(TrajectoryController):
    """What our outputs and drivers do with a command: begin at once, and take longer than it says
    where a set point would be faster than `limit` (m,), rad/s and m/s.
    """

    def __init__(self, positions: Array, limit: Array | float = np.inf) -> None:
        super().__init__(positions)
        self._limit = limit

    def take(self, order: Order, now_s: float) -> None:
        shortest_s = float(np.max(np.abs(order.positions - self.step(now_s)) / self._limit))
        super().take(Order(order.positions, max(order.duration_s, shortest_s)), now_s)


class StreamedController(OwnDriver):
    """As forward_command_controller behind control_node, which interpolates: a new set point every
    `STREAM_S`.

    A way begins where and when the last set point was sent.
    """

    def take(self, order: Order, now_s: float) -> None:
        super().take(order, now_s)
        self._ways[-1].began_s = _streamed_s(now_s)

    def step(self, now_s: float) -> Array:
        return super().step(_streamed_s(now_s))


def _streamed_s(now_s: float) -> float:
    """When the last set point was sent."""
    return float(np.floor(now_s / STREAM_S + 1e-6) * STREAM_S)


class SerialServos(OwnDriver):
    """As servos behind a driver of ours: goals in whole counts; a command is followed for
    `silence_s`, then they hold.

    Such a driver hears of a stop itself: it holds its set point and takes no command until the stop
    is reset.
    """

    def __init__(
        self, positions: Array, limit: Array | float = np.inf, silence_s: float = 0.1
    ) -> None:
        super().__init__(positions, limit)
        self._silence_s, self._told_s, self._stopped = silence_s, -np.inf, False

    def stop(self, stopped: bool) -> None:
        """It hears of a stop, or of its end."""
        self._stopped = stopped
        self._ways.clear()

    def take(self, order: Order, now_s: float) -> None:
        if self._stopped:
            raise Refused("stopped")
        super().take(order, now_s)
        self._told_s = now_s

    def step(self, now_s: float) -> Array:
        ends_s = self._told_s + self._silence_s
        exact = super().step(min(now_s, max(ends_s, self._told_s)))
        if now_s > ends_s:
            self._ways.clear()
        return np.asarray(np.round(exact / COUNT_RAD) * COUNT_RAD)


CONTROLLERS: dict[str, type[Any]] = {
    "trajectory": TrajectoryController,
    "queue": QueueingController,
    "positions": ForwardController,
    "stream": StreamedController,
    "serial": SerialServos,
}


@dataclass
class Plant:
    """Joints that come after their set points with a lag of `lag_s`: of first order, or of second
    with `damping`.

    `speed`: (m,) the fastest that each turns by itself. `blocked`: joints that something holds, and
    where.
    """

    positions: Array
    speed: Array
    lag_s: float = 0.03
    order: int = 1
    damping: float = 1.0
    blocked: dict[int, float] = field(default_factory=dict)
    speeds: Array = field(init=False)

    def __post_init__(self) -> None:
        self.positions = np.array(self.positions, dtype=np.float64)
        self.speeds = np.zeros_like(self.positions)
        if self.order not in (1, 2) or not self.lag_s > 0.0:
            raise ConfigError(
                f"a plant has order 1 or 2 and a lag above 0 s, got {self.order} and {self.lag_s}"
            )

    def step(self, set_point: Array, seconds: float) -> None:
        away = set_point - self.positions
        if self.order == 1:
            # Exact for a set point that stands still.
            wanted = away * (1.0 - np.exp(-seconds / self.lag_s)) / seconds
        else:
            own = 1.0 / self.lag_s
            wanted = self.speeds + seconds * own * (own * away - 2 * self.damping * self.speeds)
        self.speeds = np.clip(wanted, -self.speed, self.speed)
        self.positions = self.positions + self.speeds * seconds
        for index, angle in self.blocked.items():
            self.positions[index], self.speeds[index] = angle, 0.0

    def place(self, positions: Array) -> None:
        """A hand puts the arm there."""
        self.positions = np.array(positions, dtype=np.float64)
        self.speeds = np.zeros_like(self.positions)


@dataclass
class ArmModel:
    """Controller and plant, in steps of `step_s`.

    >>> arm = arm_model("trajectory", home, speed)
    >>> arm.take(Order(goal, 0.075), now_s=0.0)
    >>> arm.advance(0.1)
    """

    controller: Controller
    plant: Plant
    step_s: float = 0.005
    now_s: float = 0.0
    wrong_samples: deque[Array] = field(default_factory=deque)
    history: list[tuple[float, Array]] = field(default_factory=list)

    def take(self, order: Order, now_s: float) -> None:
        """Raises: Refused."""
        self.advance(now_s)
        self.controller.take(order, now_s)

    def advance(self, now_s: float) -> None:
        """Up to a time, in whole steps; every one is kept in `history`."""
        steps = int((now_s - self.now_s) / self.step_s + 1e-6)
        for _ in range(max(0, steps)):
            self.now_s += self.step_s
            self.plant.step(self.controller.step(self.now_s), self.step_s)
            self.history.append((self.now_s, self.plant.positions.copy()))

    def measured(self) -> Array:
        """What the encoders say now, (m,): the truth, or the next of `wrong_samples`."""
        return self.wrong_samples.popleft() if self.wrong_samples else self.plant.positions.copy()

    def block(self, joint: int, angle_rad: float | None = None) -> None:
        """Something holds a joint, where it is or at an angle."""
        self.plant.blocked[joint] = float(
            self.plant.positions[joint] if angle_rad is None else angle_rad
        )

    def free(self) -> None:
        self.plant.blocked.clear()

    def move_by_hand(self, positions: Array) -> None:
        """The arm is put elsewhere, and its controller begins there."""
        self.plant.place(positions)
        self.controller.rest(positions)

    def seen(self, joints: int) -> tuple[Array, Array]:
        """Times (k,), s, and angles (k, joints) of the first joints: the truth, from `history`."""
        if not self.history:
            return np.empty(0), np.empty((0, joints))
        times, positions = zip(*self.history, strict=True)
        return np.array(times), np.array(positions)[:, :joints]


def arm_model(
    kind: str,
    positions: Array,
    speed: Array,
    plant: Mapping[str, Any] | None = None,
    step_s: float = 0.005,
    limit: Array | float = np.inf,
) -> ArmModel:
    """Build an arm at rest.

    Args:
        kind: One of CONTROLLERS.
        positions: Joints and gripper, shape (m,), rad and m.
        speed: The fastest that each turns by itself, shape (m,), rad/s and m/s.
        plant: Further fields of `Plant`.
        step_s: Time step of the simulation.
        limit: The robot's speed limits, shape (m,), which drivers of ours keep; other controllers
            do not know of them.

    Raises:
        ConfigError: Unknown kind; it lists the known ones.
    """
    if kind not in CONTROLLERS:
        raise unknown_name("arm model", kind, CONTROLLERS)
    build = CONTROLLERS[kind]
    controller = build(positions, limit) if issubclass(build, OwnDriver) else build(positions)
    return ArmModel(controller, Plant(positions, speed, **(plant or {})), step_s)
