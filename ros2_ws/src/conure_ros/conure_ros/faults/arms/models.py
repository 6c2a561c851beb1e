"""An arm and its controller in simulated time. Pure: no ROS, no clock; the same steps give the same
motion.

An `ArmModel` is a controller, which turns commands into set points, and a plant, which follows
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
    """Positions (m,), rad and m, to be reached `duration_s` after `stamp_s`. A stamp of 0 means
    now.
    """

    positions: Array
    duration_s: float
    stamp_s: float = 0.0


class Refused(Exception):
    """The controller refuses this command; the message is the real controller's."""


class Controller(Protocol):
    """Commands in, set points out."""

    set_point: Array

    def take(self, order: Order, now_s: float) -> None:
        """Take a command.

        Args:
            order: Goal positions, shape (m,), rad and m, with their time.
            now_s: Present time, s.

        Raises:
            Refused: The controller does not accept it.
        """

    def step(self, now_s: float) -> Array:
        """The set point, shape (m,), at a time, which never goes back."""

    def rest(self, positions: Array) -> None:
        """Forget every command, and set the set point."""


@dataclass
class _Way:
    """Linear interpolation in time between two set points."""

    start: Array
    goal: Array
    began_s: float
    ends_s: float

    def at(self, now_s: float) -> Array:
        share = (now_s - self.began_s) / max(self.ends_s - self.began_s, 1e-9)
        return np.asarray(self.start + min(1.0, max(0.0, share)) * (self.goal - self.start))


class TrajectoryController:
    """Like joint_trajectory_controller: a new trajectory replaces the old one, starting at the
    present set point.

    A stamped trajectory starts at its stamp, and is refused if its end has passed. Source:
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
        # Interpolate from the present set point, from now on; a future trajectory waits for its
        # stamp.
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
    """Like robots that finish one motion before the next: commands are appended."""

    def take(self, order: Order, now_s: float) -> None:
        begins_s = max([now_s, order.stamp_s, *(way.ends_s for way in self._ways)])
        start = self._ways[-1].goal if self._ways else self.step(now_s)
        self._ways.append(_Way(start, order.positions, begins_s, begins_s + order.duration_s))


class ForwardController:
    """Like forward_command_controller on position interfaces: the set point jumps to the
    command.
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
    """Our outputs and drivers: start at once, and take longer than commanded where a set point
    would be faster than `limit` (m,), rad/s and m/s.
    """

    def __init__(self, positions: Array, limit: Array | float = np.inf) -> None:
        super().__init__(positions)
        self._limit = limit

    def take(self, order: Order, now_s: float) -> None:
        shortest_s = float(np.max(np.abs(order.positions - self.step(now_s)) / self._limit))
        super().take(Order(order.positions, max(order.duration_s, shortest_s)), now_s)


class StreamedController(OwnDriver):
    """Like forward_command_controller behind control_node, which interpolates: a new set point
    every `STREAM_S`.

    A motion starts where and when the last set point was sent.
    """

    def take(self, order: Order, now_s: float) -> None:
        super().take(order, now_s)
        self._ways[-1].began_s = _streamed_s(now_s)

    def step(self, now_s: float) -> Array:
        return super().step(_streamed_s(now_s))


def _streamed_s(now_s: float) -> float:
    """The time of the last set point."""
    return float(np.floor(now_s / STREAM_S + 1e-6) * STREAM_S)


class SerialServos(OwnDriver):
    """Servos behind our driver: goals in whole counts. A command is followed for `silence_s`; then
    they hold.

    The driver receives a stop itself: it holds its set point and takes no command until the stop is
    reset.
    """

    def __init__(
        self, positions: Array, limit: Array | float = np.inf, silence_s: float = 0.1
    ) -> None:
        super().__init__(positions, limit)
        self._silence_s, self._commanded_s, self._stopped = silence_s, -np.inf, False

    def stop(self, stopped: bool) -> None:
        """Note a stop, or its end."""
        self._stopped = stopped
        self._ways.clear()

    def take(self, order: Order, now_s: float) -> None:
        if self._stopped:
            raise Refused("stopped")
        super().take(order, now_s)
        self._commanded_s = now_s

    def step(self, now_s: float) -> Array:
        ends_s = self._commanded_s + self._silence_s
        exact = super().step(min(now_s, max(ends_s, self._commanded_s)))
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
    """Joints that follow their set points with a lag of `lag_s`: of first order, or of second order
    with `damping`.

    `speed`: the largest speed of each joint, shape (m,). `blocked`: joints that something holds,
    and where.
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
        """Advance one step.

        Args:
            set_point: Set points, shape (m,), rad and m.
            seconds: Length of the step, s.
        """
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
        """Put the arm there by hand."""
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
        """Advance to a time, and take a command.

        Args:
            order: Goal positions, shape (m,), rad and m, with their time.
            now_s: Present time, s.

        Raises:
            Refused: The controller does not accept it.
        """
        self.advance(now_s)
        self.controller.take(order, now_s)

    def advance(self, now_s: float) -> None:
        """Advance to a time, in whole steps; each is kept in `history`."""
        steps = int((now_s - self.now_s) / self.step_s + 1e-6)
        for _ in range(max(0, steps)):
            self.now_s += self.step_s
            self.plant.step(self.controller.step(self.now_s), self.step_s)
            self.history.append((self.now_s, self.plant.positions.copy()))

    def measured(self) -> Array:
        """The encoders' present reading, (m,): the truth, or the next of `wrong_samples`."""
        return self.wrong_samples.popleft() if self.wrong_samples else self.plant.positions.copy()

    def block(self, joint: int, angle_rad: float | None = None) -> None:
        """Hold a joint, whatever its controller does.

        Args:
            joint: Its index.
            angle_rad: Where it is held, rad; None: where it is now.
        """
        self.plant.blocked[joint] = float(
            self.plant.positions[joint] if angle_rad is None else angle_rad
        )

    def free(self) -> None:
        self.plant.blocked.clear()

    def move_by_hand(self, positions: Array) -> None:
        """Put the arm elsewhere; its controller starts there."""
        self.plant.place(positions)
        self.controller.rest(positions)

    def recorded_motion(self, joints: int) -> tuple[Array, Array]:
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
