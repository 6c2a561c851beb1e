"""Millions of random commands through the real gate and control loop. The judge shares no code with
them. No ROS.

An episode begins anywhere: at home, elsewhere within the limits, or in a violating pose (folded, on
the table, outside its box, beyond a joint limit). A model of an arm lags behind; its measurements
are control's input.

Every rule judges every command; PyBullet measures a distance wherever two parts may be near each
other. The model's speed is judged at every step, its limits at one of `SEEN_EVERY`. Between two
random commands a lagging arm cuts corners, so its distances to box and clearances are only
reported.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from conure_core.contract.action import ACTION_SIZE
from conure_core.control.controller import JointTarget
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.runtime.processes import TIED
from conure_core.types import Array
from conure_ros.faults.arms.models import ArmModel, Order, Refused, arm_model
from conure_ros.faults.judge.rules import RULES, CommandedMotion, Judge, Judgement, MeasuredMotion

EPISODE = 250
BATCH = 20_000
STEP_S = 0.025
SEEN_EVERY = 20
BEYOND_RAD = 0.3
"""How far beyond its limits a joint may start, rad."""
DEEP_M = 0.02
"""Largest penetration of two parts, or of the table, at the start, m: no arm gets deeper.
"""
MOVED_RAD = 1e-3
FASTER = 4.0
"""Factor on its limits: the arm itself would not keep them."""
REPORTED = ("box_m", "pair_m", "table_m")
SMALL_MOVES, SMALL_RAD = 2000, 0.01
STUCK_SHARE = 0.05
"""Share of the violating episodes that may lead nowhere; one always may.
"""


@dataclass(frozen=True)
class GateRun:
    """The result. `commanded` and `measured` judge the commands and the arm's joints.

    `violating`: episodes that began in a violating pose. `stuck`: those in which nothing ever
    moved, nor would have by one of `SMALL_MOVES` in random directions.
    """

    commanded: Judgement
    measured: Judgement
    refused: int = 0
    episodes: int = 0
    violating: int = 0
    stuck: int = 0

    @property
    def commands(self) -> int:
        return self.commanded.rows

    @property
    def kept(self) -> bool:
        fast = set(self.measured.broken) - set(REPORTED)
        return (
            self.commanded.kept
            and not fast
            and self.stuck <= max(1.0, STUCK_SHARE * self.violating)
        )

    def merge(self, other: "GateRun") -> "GateRun":
        counts = ("refused", "episodes", "violating", "stuck")
        values = {name: getattr(self, name) + getattr(other, name) for name in counts}
        return GateRun(
            self.commanded.merge(other.commanded), self.measured.merge(other.measured), **values
        )

    def figures(self) -> dict[str, float]:
        """For a report: counts, and the worst excess beyond each limit; 0 or less: none."""
        return {
            "commands refused": float(self.refused),
            "episodes": float(self.episodes),
            "episodes that began where the arm may not be": float(self.violating),
            "of these without a way out": float(self.stuck),
            **self.commanded.figures("commands"),
            **self.measured.figures("joint samples"),
        }

    @property
    def broken(self) -> list[str]:
        """What was exceeded that may not be, and where at worst."""
        rules = [*self.commanded.broken, *(set(self.measured.broken) - set(REPORTED))]
        return [*(RULES.get(rule, rule) for rule in rules), *self.commanded.worst]


def run_gate(
    robot: str, commands: int, seed: int = 0, acceleration_scale: float = 1.0, workers: int = 1
) -> GateRun:
    """Send random targets through a robot's gate; some are huge, NaN, infinite, stale or of another
    shape.

    Args:
        robot: Name of the robot, or path of its YAML file.
        commands: Number of commands.
        seed: Seed of the random numbers.
        acceleration_scale: Factor on the acceleration limits. At 0.1 the arm needs several periods
            to brake.
        workers: Number of processes.
    """
    sizes = [min(BATCH, commands - start) for start in range(0, commands, BATCH)]
    jobs = [(robot, size, seed + number, acceleration_scale) for number, size in enumerate(sizes)]
    if workers <= 1:
        return _merge(map(_batch, jobs))
    with ProcessPoolExecutor(workers, mp_context=TIED) as pool:
        return _merge(pool.map(_batch, jobs))


def _merge(results: Iterable[GateRun]) -> GateRun:
    first, *others = results
    for result in others:
        first = first.merge(result)
    return first


def _batch(job: tuple[str, int, int, float]) -> GateRun:
    robot, commands, seed, scale = job
    config = load_robot(robot)
    accelerations = tuple(scale * limit for limit in config.max_acceleration_rad_s2)
    loop = ControlLoop(Arm(replace(config, max_acceleration_rad_s2=accelerations)))
    judge, rng, total = Judge(robot), np.random.default_rng(seed), GateRun(Judgement(), Judgement())
    starts = start_poses(judge, rng, -(-commands // EPISODE))
    for number, start in enumerate(range(0, commands, EPISODE)):
        episode = Episode(loop, starts[number], rng)
        episode.run(min(EPISODE, commands - start))
        total = total.merge(_judged(judge, episode, scale))
    judge.close()
    return total


def _judged(judge: Judge, episode: "Episode", scale: float) -> GateRun:
    commanded = Judgement()
    for part in episode.commands():
        commanded = commanded.merge(judge.judge_commands(part, scale))
    violating = judge.is_violating(episode.start_rad)
    measured = judge.judge_motion(
        MeasuredMotion(*episode.arm.recorded_motion(len(episode.start_rad))), every=SEEN_EVERY
    )
    stuck = violating and episode.moved_rad <= MOVED_RAD and not episode.can_leave()
    return GateRun(commanded, measured, episode.refused, 1, int(violating), int(stuck))


def start_poses(judge: Judge, rng: np.random.Generator, count: int) -> Array:
    """Sample poses of five kinds: at home, near it, anywhere (limits or not), folded, on the table.

    Args:
        judge: Knows limits and distances of the robot.
        rng: Source of random numbers.
        count: Number of poses.

    Returns:
        Angles, shape (count, n), rad.
    """
    robot = judge.robot
    home = np.tile(robot.home_rad, (count, 1))
    near = np.clip(home + rng.normal(0.0, 0.2, home.shape), robot.lower_rad, robot.upper_rad)
    pools = [home, near, *_bad_poses(judge, rng, count)]
    return np.array([pools[rng.integers(len(pools))][row] for row in range(count)])


def _bad_poses(judge: Judge, rng: np.random.Generator, count: int) -> list[Array]:
    """Poses (count, n) of each kind: anywhere, folded, on the table. None is deeper than `DEEP_M`
    in anything.
    """
    robot, pairs = judge.robot, len(judge.clearances.pairs)
    lower, upper = robot.lower_rad - BEYOND_RAD, robot.upper_rad + BEYOND_RAD
    pools = [np.empty((0, len(lower)))] * 3
    while min(map(len, pools)) < count:
        drawn = rng.uniform(lower, upper, (200, len(lower)))
        # Half of them within the limits: six random joints rarely are.
        drawn[::2] = np.clip(drawn[::2], robot.lower_rad, robot.upper_rad)
        left_m = judge.clearances.near(drawn).left_m
        possible = left_m.min(axis=1) > -DEEP_M
        folded, lying = (part.min(axis=1) < 0.0 for part in (left_m[:, :pairs], left_m[:, pairs:]))
        kinds = (possible, possible & folded, possible & lying)
        pools = [np.vstack([pool, drawn[kind]]) for pool, kind in zip(pools, kinds, strict=True)]
    return pools


@dataclass
class _Part:
    """Commands since the loop was last anchored."""

    start_rad: Array
    commands: list[Array] = field(default_factory=list)
    rested: list[bool] = field(default_factory=list)


class Episode:
    """Commands in a row from one pose. The style of the targets and the arm's lag are sampled
    once.
    """

    def __init__(self, loop: ControlLoop, start_rad: Array, rng: np.random.Generator) -> None:
        self.loop, self.start_rad, self._rng = loop, start_rad, rng
        self.config = loop.arm.config
        self.refused, self._now_s, self._rested = 0, 0.0, True
        self._spread = 10.0 ** rng.uniform(-2.5, 1.0)
        self._actions = bool(rng.random() < 0.25)
        plant = {"lag_s": float(rng.uniform(0.01, 0.08))}
        positions = np.append(start_rad, self.config.gripper_open_m)
        speed = FASTER * np.append(self.config.max_speed_rad_s, self.config.gripper_speed_m_s)
        self.arm: ArmModel = arm_model("trajectory", positions, speed, plant, STEP_S)
        self._parts: list[_Part] = []
        self._anchor(start_rad)

    def _anchor(self, joint_rad: Array) -> None:
        self._last = self.loop.reset(joint_rad, self.config.gripper_open_m).joint_rad
        self._parts.append(_Part(self._last))
        self._rested = True

    @property
    def moved_rad(self) -> float:
        """The largest distance of a command from the start, rad."""
        ways = [
            np.abs(command - self.start_rad).max()
            for part in self._parts
            for command in part.commands
        ]
        return float(max(ways, default=0.0))

    def can_leave(self) -> bool:
        """Whether small moves lead away from the start. An episode's commands often point one way
        only.
        """
        rng = np.random.default_rng(len(self._parts))
        for _ in range(SMALL_MOVES):
            self.loop.reset(self.start_rad, self.config.gripper_open_m)
            move = rng.normal(0.0, SMALL_RAD, len(self.start_rad))
            command = self.loop.gate.check(
                JointTarget(self.start_rad + move, self.config.gripper_open_m), 0.0
            )
            if np.abs(command.joint_rad - self.start_rad).max() > MOVED_RAD:
                return True
        return False

    def commands(self) -> list[CommandedMotion]:
        """The commands, as one motion for each anchor of the loop."""
        joints = len(self.start_rad)
        return [
            CommandedMotion(
                part.start_rad, np.array(part.commands).reshape(-1, joints), np.array(part.rested)
            )
            for part in self._parts
            if part.commands
        ]

    def run(self, commands: int) -> None:
        for _ in range(commands):
            try:
                self._follow(self._command())
            except RobotError:
                self.refused += 1
                self._hold()
            self._now_s += self.config.control_period_s
            self.arm.advance(self._now_s)

    def _hold(self) -> None:
        """Hold. Now and then control anchors again at the arm's pose, as when a mode is chosen."""
        self._last = self.loop.hold().joint_rad
        self._rested = True
        if self._rng.random() < 0.2:
            measured = self.arm.measured()
            self.arm.controller.rest(measured)
            self._anchor(measured[:-1])

    def _command(self) -> JointCommand:
        """Raises: RobotError."""
        measured = self.arm.measured()
        if self._actions:
            action = self._rng.normal(0.0, max(self._spread, 0.3), ACTION_SIZE)
            action[self._rng.integers(ACTION_SIZE)] *= 1.0 if self._rng.random() > 0.02 else np.nan
            return self.loop.step(action, measured[:-1], self._age_s(), float(measured[-1]))
        target = self._target()
        return self.loop.gate.check(target, self._age_s(), float(measured[-1]))

    def _age_s(self) -> float:
        fresh = self._rng.random() > 0.025
        return float(
            self._rng.uniform(0.0, 0.1) if fresh else self._rng.choice([-5.0, 1.0, np.nan])
        )

    def _target(self) -> JointTarget:
        joints, kind = len(self._last), self._rng.integers(0, 40)
        joint_rad = self._last + self._rng.normal(0.0, self._spread, joints)
        if kind == 0:
            joint_rad[self._rng.integers(joints)] = self._rng.choice([np.nan, np.inf, -np.inf])
        elif kind == 1:
            joint_rad = joint_rad * 10.0 ** self._rng.uniform(1, 300)
        elif kind == 2:
            joint_rad = joint_rad[:-1]
        return JointTarget(joint_rad, float(self._rng.normal(0.0, 0.1)))

    def _follow(self, command: JointCommand) -> None:
        part = self._parts[-1]
        part.commands.append(command.joint_rad)
        part.rested.append(self._rested)
        self._last, self._rested = command.joint_rad, False
        positions = np.append(command.joint_rad, command.gripper_m)
        order = Order(positions, command.duration_s, self._now_s)
        try:
            self.arm.take(order, self._now_s)
        except Refused as why:
            raise AssertionError(
                f"a command that was sent at once was refused as late: {why}"
            ) from why
