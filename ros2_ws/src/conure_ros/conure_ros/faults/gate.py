"""Millions of random commands through the real safety gate; what comes out is judged apart from it. No ROS."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from conure_core.arm import Arm, Array
from conure_core.controller import JointTarget
from conure_core.errors import RobotError
from conure_core.processes import TIED
from conure_core.robot import load_robot
from conure_core.safety import BOX_TOLERANCE_M, SafetyGate

EPISODE = 250
BATCH = 20_000
ROUNDING = 1e-9


@dataclass(frozen=True)
class Excess:
    """How far the worst of `commands` went beyond each limit (0 or less: none did), and how many were refused.

    `position_rad`, `speed_rad_s`, `acceleration_rad_s2` beyond the joint's limit; `workspace_m` outside the box;
    `not_finite` counts commands.
    """

    commands: int = 0
    refused: int = 0
    not_finite: int = 0
    position_rad: float = -np.inf
    speed_rad_s: float = -np.inf
    acceleration_rad_s2: float = -np.inf
    workspace_m: float = -np.inf

    def joined(self, other: "Excess") -> "Excess":
        counts = {name: getattr(self, name) + getattr(other, name) for name in ("commands", "refused", "not_finite")}
        depths = ("position_rad", "speed_rad_s", "acceleration_rad_s2", "workspace_m")
        return Excess(**counts, **{name: max(getattr(self, name), getattr(other, name)) for name in depths})

    @property
    def within_limits(self) -> bool:
        beyond = max(self.position_rad, self.speed_rad_s, self.acceleration_rad_s2)
        return self.not_finite == 0 and beyond <= 1e-6 and self.workspace_m <= BOX_TOLERANCE_M + ROUNDING


@dataclass
class _Log:
    """Joint commands (n,) in order, each with the speed (n,) of the one before it: zero after a hold or a reset."""

    before: list[Array] = field(default_factory=list)
    commands: list[Array] = field(default_factory=list)
    restarted: list[bool] = field(default_factory=list)
    refused: int = 0


def run_gate(robot: str, commands: int, seed: int = 0, acceleration_scale: float = 1.0, workers: int = 1) -> Excess:
    """Random targets, some of them huge, NaN, infinite, stale or of another shape, through the gate of `robot`.

    `acceleration_scale` multiplies the robot's acceleration limits: at a tenth, the arm needs several periods to brake.
    """
    sizes = [min(BATCH, commands - start) for start in range(0, commands, BATCH)]
    jobs = [(robot, size, seed + number, acceleration_scale) for number, size in enumerate(sizes)]
    if workers <= 1:
        return _joined(map(_batch, jobs))
    with ProcessPoolExecutor(workers, mp_context=TIED) as pool:
        return _joined(pool.map(_batch, jobs))


def _joined(results: "Iterator[Excess] | map[Excess]") -> Excess:
    total = Excess()
    for result in results:
        total = total.joined(result)
    return total


def _batch(job: tuple[str, int, int, float]) -> Excess:
    robot, commands, seed, scale = job
    config = load_robot(robot)
    accelerations = tuple(scale * limit for limit in config.max_acceleration_rad_s2)
    arm, rng = Arm(replace(config, max_acceleration_rad_s2=accelerations)), np.random.default_rng(seed)
    gate, total = SafetyGate(arm), Excess()
    for start in range(0, commands, EPISODE):
        total = total.joined(_judged(arm, _episode(gate, min(EPISODE, commands - start), rng)))
    return total


def _episode(gate: SafetyGate, commands: int, rng: np.random.Generator) -> _Log:
    """From home, one command after the other; the style of the targets is drawn once."""
    config, log = gate.arm.config, _Log()
    last = gate.reset(np.array(config.home_rad), config.gripper_open_m).joint_rad
    spread, restarted = 10.0 ** rng.uniform(-2.5, 1.0), True
    for _ in range(commands):
        target, age_s = _random_target(last, spread, rng)
        try:
            command = gate.check(target, age_s).joint_rad
        except RobotError:
            log.refused, restarted = log.refused + 1, True
            last = gate.hold().joint_rad
            continue
        log.before.append(last)
        log.commands.append(command)
        log.restarted.append(restarted)
        last, restarted = command, False
    return log


def _random_target(last: Array, spread: float, rng: np.random.Generator) -> tuple[JointTarget, float]:
    joints, kind = len(last), rng.integers(0, 40)
    joint_rad = last + rng.normal(0.0, spread, joints)
    if kind == 0:
        joint_rad[rng.integers(joints)] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == 1:
        joint_rad = joint_rad * 10.0 ** rng.uniform(1, 300)
    elif kind == 2:
        joint_rad = joint_rad[:-1]
    age_s = float(rng.choice([-5.0, 1.0, np.nan])) if kind == 3 else float(rng.uniform(0.0, 0.1))
    return JointTarget(joint_rad, float(rng.normal(0.0, 0.1))), age_s


def _judged(arm: Arm, log: _Log) -> Excess:
    """From the commands alone."""
    if not log.commands:
        return Excess(refused=log.refused)
    config = arm.config
    commands, before = np.array(log.commands), np.array(log.before)
    speed = (commands - before) / config.settle_s
    previous = np.vstack([np.zeros_like(speed[:1]), speed[:-1]]) * ~np.array(log.restarted)[:, None]
    acceleration = np.abs(speed - previous) / config.control_period_s
    tools = np.array([arm.forward(joint_rad)[:3, 3] for joint_rad in commands])
    outside = np.maximum(np.array(config.workspace_lower_m) - tools, tools - np.array(config.workspace_upper_m))
    return Excess(
        commands=len(commands),
        refused=log.refused,
        not_finite=int((~np.isfinite(commands).all(axis=1)).sum()),
        position_rad=float(np.maximum(arm.lower_rad - commands, commands - arm.upper_rad).max()),
        speed_rad_s=float((np.abs(speed) - np.array(config.max_speed_rad_s)).max()),
        acceleration_rad_s2=float((acceleration - np.array(config.max_acceleration_rad_s2)).max()),
        workspace_m=float(outside.max()),
    )
