"""Gates that are judged by PyBullet and the robot's own files; and what they are asked for."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conure_core.control.controller import JointTarget
from conure_core.control.safety import SafetyGate
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

from .witness import Witness

WITNESS = Witness("wx250s")
ROBOT = load_robot("wx250s")
HOME, SETTLE_S, PERIOD_S = WITNESS.home_rad, WITNESS.settle_s, WITNESS.period_s
OPEN_M, CLOSED_M = WITNESS.file["gripper_open_m"], WITNESS.file["gripper_closed_m"]
ROOMY = {
    "workspace_lower_m": (-2.0, -2.0, -2.0),
    "workspace_upper_m": (2.0, 2.0, 2.0),
    "slow_singular_value": 0.0,
}
ROUNDING = 1e-9
BULLET_M = 1e-3
"""How well PyBullet's distances and ours agree."""
WAIST, WRIST = 0, 5  # Neither brings the arm nearer to itself or the table, wherever it turns.
GOALS = st.lists(
    st.tuples(hnp.arrays(np.float64, 6, elements=st.floats(-4, 4)), st.integers(1, 12)),
    min_size=1,
    max_size=5,
)
"""Each is asked for during several periods, so that the arm gets up speed towards whatever lies in
the way.
"""


def commands(gate: SafetyGate, goals: list[tuple[np.ndarray, int]]) -> Iterator[np.ndarray]:
    for goal, periods in goals:
        for _ in range(periods):
            yield gate.check(at(goal), age_s=0.0).joint_rad


def braked(speed: np.ndarray, change: np.ndarray) -> np.ndarray:
    """One period later."""
    return np.sign(speed) * np.maximum(np.abs(speed) - change, 0.0)


def gate_of(**changed: object) -> SafetyGate:
    gate = SafetyGate(Arm(replace(ROBOT, **changed)))  # type: ignore[arg-type]
    gate.reset(HOME, OPEN_M)
    return gate


def slow(scale: float) -> dict[str, object]:
    """Weaker joints: at a tenth of the acceleration they need several periods to brake."""
    return {
        "max_acceleration_rad_s2": tuple(
            float(scale * limit) for limit in WITNESS.acceleration_rad_s2
        )
    }


def at(joint_rad: np.ndarray, gripper_m: float = OPEN_M) -> JointTarget:
    return JointTarget(np.array(joint_rad, dtype=float), gripper_m)


def turned(joint: int, angle_rad: float) -> np.ndarray:
    """Home, but for one joint."""
    pose = HOME.copy()
    pose[joint] = angle_rad
    return pose


def beyond(axis: int, way_m: float) -> np.ndarray:
    """Joint angles at home's rotation, the tool moved along one axis of the base."""
    arm = Arm(replace(ROBOT, **ROOMY))  # type: ignore[arg-type]
    pose = arm.forward(HOME).copy()
    pose[axis, 3] += way_m
    return arm.solve(pose, HOME, iterations=100)
