"""The stop at any moment of a trial. Judges the motion of the joints, and counts commands."""

import numpy as np

from conure_msgs.msg import Mode
from conure_ros.comms.messages import to_ns
from conure_ros.faults.judge.rules import StopMotion
from conure_ros.faults.live import let_time_pass, measure_stop
from conure_ros.faults.session import Session
from conure_ros.faults.table import Case, Outcome, Sizes

HOME_EVERY = 10
STOPPED_S = 0.6
"""How long the stopped arm is watched."""
BRAKING_S = 0.04
"""Time that a stop may take beside the time of its command, s."""


def _stop_at_random_moments(session: Session, sizes: Sizes) -> Outcome:
    """No motion later than the limit beyond braking, none while stopped; no new goal until an
    explicit reset.
    """
    rng, latencies_ms, later = np.random.default_rng(sizes.seed), [], 0
    motions: list[StopMotion] = []
    period_s = session.robot.control_period_s
    for number in range(sizes.stops):
        if number % HOME_EVERY == 0:
            session.let_policy_move()
        else:
            session.choose("policy")
            session.require_motion()
        let_time_pass(session, float(rng.uniform(0.0, 2 * period_s)))
        asked_ns = session.now_ns()
        session.call("stop")
        session.wait(lambda: session.states[-1].stopped, 3.0, "the stop is published")
        let_time_pass(session, STOPPED_S)
        motions.append(
            measure_stop(session, asked_ns, session.now_ns(), BRAKING_S + sizes.stop_p99_ms / 1e3)
        )
        latency_ms, after = _after_the_stop(session, asked_ns)
        latencies_ms.append(latency_ms)
        later += after
        session.call("reset_stop")
        session.wait(
            lambda: session.states[-1].mode.value == Mode.HOLD, 3.0, "the reset is published"
        )
    p99_ms = float(np.percentile(latencies_ms, 99))
    figures = {
        "stops": float(len(latencies_ms)),
        "motion after the stop beyond braking, rad": max(
            motion.late_rad - motion.braking_rad for motion in motions
        ),
        "motion while stopped, rad": max(motion.stopped_rad for motion in motions),
        "last motion after the request, ms": 1e3 * max(motion.ended_s for motion in motions),
        "last command after the request, p50, ms": float(np.median(latencies_ms)),
        "last command after the request, p99, ms": p99_ms,
        "last command after the request, worst, ms": max(latencies_ms),
        "commands while stopped": float(later),
    }
    kept = all(motion.kept for motion in motions)
    return Outcome(kept and later == 0 and p99_ms <= sizes.stop_p99_ms, figures)


def _after_the_stop(session: Session, asked_ns: int) -> tuple[float, int]:
    """Time of the last command after the request, ms (0: none came), and the number of commands
    after the stop was published.
    """
    stopped_ns = next(
        to_ns(state.header.stamp)
        for state in session.states
        if state.stopped and to_ns(state.header.stamp) >= asked_ns
    )
    stamps = [to_ns(message.header.stamp) for message in session.trajectories[-50:]]
    last_ns = max((stamp for stamp in stamps if stamp >= asked_ns), default=asked_ns)
    return (last_ns - asked_ns) / 1e6, sum(stamp > stopped_ns for stamp in stamps)


CASES = (
    Case(
        "stop at random moments",
        "no motion later than 60 ms beyond braking, none while stopped; commands end within 20 ms"
        " (p99)",
        _stop_at_random_moments,
    ),
)
