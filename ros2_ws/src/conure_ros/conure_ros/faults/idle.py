"""The graph without a fault: jitter of the commands, and CPU load of each node."""

import time

import numpy as np

from conure_ros.comms.messages import to_ns
from conure_ros.faults.session import Session
from conure_ros.faults.table import Outcome, Sizes

NODES = ("sim_robot", "control", "policy", "fault")


def measure_jitter_and_cpu(session: Session, sizes: Sizes) -> Outcome:
    """Half the time holding, half under the policy. Reported, not judged: it depends on the
    machine.

    Args:
        session: The running graph.
        sizes: `jitter_s` is the whole duration, s.
    """
    session.choose("hold")
    figures = _cpu(session, "idle", sizes.jitter_s / 2)
    session.let_policy_move(1)
    start = len(session.trajectories)
    figures |= _cpu(session, "moving", sizes.jitter_s / 2)
    stamps_ms = (
        np.array([to_ns(message.header.stamp) for message in session.trajectories[start:]]) / 1e6
    )
    deviations = np.abs(np.diff(stamps_ms) - session.robot.control_period_s * 1e3)
    if not deviations.size:
        return Outcome(False, figures, "the policy did not move the arm")
    for name, share in (("p50", 50), ("p99", 99), ("worst", 100)):
        figures[f"command jitter {name}, ms"] = float(np.percentile(deviations, share))
    return Outcome(True, figures)


def _cpu(session: Session, what: str, seconds: float) -> dict[str, float]:
    before, began_s = {name: session.cpu_s(name) for name in NODES}, time.monotonic()
    time.sleep(seconds)
    elapsed_s = time.monotonic() - began_s
    return {
        f"CPU {name}, {what}, %": 100 * (session.cpu_s(name) - before[name]) / elapsed_s
        for name in NODES
    }
