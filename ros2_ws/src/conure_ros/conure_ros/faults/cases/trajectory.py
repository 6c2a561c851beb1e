"""Joint goals as no planner sends them, on the topic of trajectories. The arm is foreign."""

from collections.abc import Iterator

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from conure_core.types import Array
from conure_ros.comms.messages import JointGoal, goal_message
from conure_ros.comms.qos import NEWEST
from conure_ros.faults.live import (
    ForeignArm,
    describe_control,
    foreign_case,
    judge_since,
    largest_motion_rad,
    let_time_pass,
)
from conure_ros.faults.session import Session
from conure_ros.faults.table import Outcome, Sizes

GOALS, PERIOD_S = 40, 0.1
FARTHEST_RAD = 1.5
SPOILED = 0.1
"""Share of the goals that are not finite."""
MOVED_RAD = 0.1


def _goals(home_rad: Array, seed: int) -> Iterator[Array]:
    """Angles (n,), rad, all around home, some of them not finite."""
    rng = np.random.default_rng(seed)
    for _ in range(GOALS):
        goal_rad = home_rad + rng.uniform(-FARTHEST_RAD, FARTHEST_RAD, home_rad.shape)
        if rng.random() < SPOILED:
            goal_rad[rng.integers(len(goal_rad))] = rng.choice([np.nan, np.inf, 1e308])
        yield goal_rad


def _wild_goals(session: Session, sizes: Sizes) -> Outcome:
    """Leaping goals, beyond all limits: what the arm does keeps every rule."""
    arm = ForeignArm(session)
    arm.begin()
    publisher = session.node.create_publisher(JointTrajectory, "command/trajectory", NEWEST)
    session.wait(lambda: publisher.get_subscription_count() > 0, 10.0, "control listens")
    session.choose("trajectory")
    began_ns = session.now_ns()
    try:
        for goal_rad in _goals(np.array(session.robot.home_rad), sizes.seed):
            goal = JointGoal(goal_rad, None)
            publisher.publish(goal_message(goal, session.robot, session.now_ns()))
            let_time_pass(session, PERIOD_S)
    finally:
        session.destroy(publisher)
    judgement, moved = judge_since(session, began_ns), largest_motion_rad(session, began_ns)
    detail = describe_control(session)
    arm.begin()
    figures = {f"beyond {name}": value for name, value in judgement.broken.items()}
    figures["moved, rad"] = moved
    return Outcome(judgement.kept and moved > MOVED_RAD, figures, detail)


CASES = (
    foreign_case("wild trajectory", "limits, speed, box and clearances are kept", _wild_goals),
)
