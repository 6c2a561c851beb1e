"""Faults of the graph's input: images, joint states, a policy's commands."""

from functools import partial

from conure_ros.comms.messages import to_ns
from conure_ros.faults.session import Session
from conure_ros.faults.table import Case, Outcome, Sizes

HOLD = "hold within 2 control periods, reason published, resumes when it ends"
HOLD_PERIODS = 2.0
SEEN_BY_REPETITION = ("camera frozen",)
"""Time counts from the first repeated frame: nothing is wrong before it."""


def measure_hold(session: Session, began_ns: int) -> tuple[bool, dict[str, float], str]:
    """Wait for a hold and measure it.

    Args:
        session: The running graph.
        began_ns: When the fault began, on the clock of the stamps, ns.

    Returns:
        Whether the hold came within HOLD_PERIODS with a reason; the time that it took, ms, by name;
            the reason.

    Raises:
        RobotError: The arm does not hold.
    """
    state = session.wait_for_hold(began_ns)
    hold_ms = max(0.0, (to_ns(state.header.stamp) - began_ns) / 1e6)
    in_time = hold_ms <= HOLD_PERIODS * session.robot.control_period_s * 1e3
    return in_time and state.reason != "", {"hold after, ms": hold_ms}, state.reason


def _harmful_input(fault: str, session: Session, sizes: Sizes) -> Outcome:
    """The fault, the hold, the fault's end, and the policy moving again."""
    session.let_policy_move()
    began_ns = session.inject(fault)
    try:
        if fault in SEEN_BY_REPETITION:
            began_ns = session.wait_for_spoiled()
        passed, figures, reason = measure_hold(session, began_ns)
    finally:
        session.inject("")
    session.require_motion()
    return Outcome(passed, figures, reason)


def _harmless_input(fault: str, session: Session, sizes: Sizes) -> Outcome:
    """The policy keeps moving the arm during the fault."""
    session.let_policy_move()
    session.inject(fault)
    try:
        session.require_motion()
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
    "joints without a stamp",
    "gripper apart and silent",
    "actions NaN",
    "actions infinite",
    "actions of another shape",
    "commands 3 periods late",
)
CASES = (
    *(Case(fault, HOLD, partial(_harmful_input, fault)) for fault in HELD),
    Case(
        "joints in another order",
        "taken by name; no hold",
        partial(_harmless_input, "joints in another order"),
    ),
    Case(
        "arm and gripper apart",
        "merged by name; the policy continues",
        partial(_harmless_input, "arm and gripper apart"),
    ),
    Case(
        "joints of another machine",
        "ignored; no hold",
        partial(_harmless_input, "joints of another machine"),
    ),
    Case(
        "actions huge",
        "clipped to the largest step, no limit exceeded",
        partial(_harmless_input, "actions huge"),
    ),
)
