"""Faults of what the graph is told: images, joint states, a policy's commands."""

from functools import partial

from conure_ros.comms.messages import to_ns
from conure_ros.faults.session import Session
from conure_ros.faults.table import Case, Outcome, Sizes

HOLD = "hold within 2 control periods, reason published, resumes when it ends"
HOLD_PERIODS = 2.0
SEEN_BY_REPETITION = ("camera frozen",)
"""Nothing is wrong before the first frame that is like the last one: the time counts from there."""


def hold_figures(session: Session, began_ns: int) -> tuple[bool, dict[str, float], str]:
    """Whether the hold came in time, how long it took, and the reason given."""
    state = session.held_after(began_ns)
    hold_ms = max(0.0, (to_ns(state.header.stamp) - began_ns) / 1e6)
    in_time = hold_ms <= HOLD_PERIODS * session.robot.control_period_s * 1e3
    return in_time and state.reason != "", {"hold after, ms": hold_ms}, state.reason


def spoiled_input(fault: str, session: Session, sizes: Sizes) -> Outcome:
    """The fault, the hold, its end, and the policy moving again."""
    session.let_policy_move()
    began_ns = session.inject(fault)
    try:
        if fault in SEEN_BY_REPETITION:
            began_ns = session.first_spoiled()
        passed, figures, reason = hold_figures(session, began_ns)
    finally:
        session.inject("")
    session.moves_again()
    return Outcome(passed, figures, reason)


def harmless_input(fault: str, session: Session, sizes: Sizes) -> Outcome:
    """The policy goes on moving the arm during it."""
    session.let_policy_move()
    session.inject(fault)
    try:
        session.moves_again()
    finally:
        session.inject("")
    return Outcome(True)


HELD = (
    "camera unplugged",
    "camera frozen",
    "camera black",
    "camera 200 ms late",
    "camera clock 5 s back",
    "joint missing",
    "joint NaN",
    "actions NaN",
    "actions infinite",
    "actions of another shape",
    "commands 3 periods late",
)
CASES = (
    *(Case(fault, HOLD, partial(spoiled_input, fault)) for fault in HELD),
    Case(
        "joints in another order",
        "taken by name, goes on",
        partial(harmless_input, "joints in another order"),
    ),
    Case(
        "actions huge",
        "clipped to the largest step, no limit exceeded",
        partial(harmless_input, "actions huge"),
    ),
)
