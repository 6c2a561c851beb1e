"""Faults of processes: killed, suspended, started twice, started with a wrong configuration."""

import signal
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lifecycle_msgs.msg import Transition

from conure_core.robot.description import ROBOTS_DIR
from conure_core.types import Array
from conure_ros.comms.messages import joint_sample, to_ns
from conure_ros.faults.cases.input import HOLD, measure_hold
from conure_ros.faults.session import Session
from conure_ros.faults.table import Case, Outcome, Sizes

DRIVER_HOLD_S = 0.1
RETURN_S = 0.5
STILL_RAD = 0.01
"""Motion that still counts as holding, rad: the arm settles by this much."""


def _policy_hangs(session: Session, sizes: Sizes) -> Outcome:
    session.let_policy_move()
    process = session.graph.processes["policy"]
    began_ns = session.now_ns()
    process.send_signal(signal.SIGSTOP)
    try:
        passed, figures, reason = measure_hold(session, began_ns)
        time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGCONT)
    session.require_motion()
    return Outcome(passed, figures, reason)


def _policy_killed(session: Session, sizes: Sizes) -> Outcome:
    session.let_policy_move()
    began_ns = session.now_ns()
    session.graph.processes["policy"].kill()
    passed, figures, reason = measure_hold(session, began_ns)
    session.restart("policy")
    session.require_motion(10.0)
    return Outcome(passed, figures, reason)


def _driver_killed(session: Session, sizes: Sizes) -> Outcome:
    """The simulated arm is its own driver. The restarted one stands at home, and must stay
    there.
    """
    session.let_policy_move()
    killed_ns = session.now_ns()
    session.graph.processes["sim_robot"].kill()
    passed, figures, reason = measure_hold(session, killed_ns)
    session.choose("hold")
    back_ns = session.now_ns()
    session.restart("sim_robot")
    time.sleep(RETURN_S)
    joints = [message for message in session.joints[-300:] if to_ns(message.header.stamp) > back_ns]
    moved_rad = largest_move_rad(
        [joint_sample(message, session.robot).joint_rad for message in joints]
    )
    session.let_policy_move()
    return Outcome(
        passed and moved_rad <= STILL_RAD, {**figures, "motion on return, rad": moved_rad}, reason
    )


def largest_move_rad(joints_rad: Sequence[Array]) -> float:
    """The largest distance of any joint (n,) from its first position, rad; infinite without
    measurements.
    """
    if not joints_rad:
        return float("inf")
    return float(np.abs(np.array(joints_rad) - joints_rad[0]).max())


def _control_killed(session: Session, sizes: Sizes) -> Outcome:
    """The driver gets no more commands. Where is the arm 100 ms later, and half a second later?"""
    session.let_policy_move()
    killed_ns = session.now_ns()
    session.graph.processes["control"].kill()
    time.sleep(0.8)
    times_s = np.array(
        [(to_ns(message.header.stamp) - killed_ns) / 1e9 for message in session.joints[-300:]]
    )
    joints_rad = np.array(
        [joint_sample(message, session.robot).joint_rad for message in session.joints[-300:]]
    )
    away_rad = np.abs(joints_rad - joints_rad[-1]).max(axis=1)
    last_s = float(times_s[away_rad > STILL_RAD].max(initial=0.0))
    session.restart_control()
    session.let_policy_move()
    figures = {"last motion after the kill, ms": last_s * 1e3}
    return Outcome(
        last_s <= DRIVER_HOLD_S, figures, f"still: within {STILL_RAD} rad of where it comes to rest"
    )


def _second_refuses(name: str, topic: str, session: Session, sizes: Sizes) -> Outcome:
    with session.start_second(name) as other:
        configured = session.change(other, Transition.TRANSITION_CONFIGURE)
        refused = configured and not session.change(other, Transition.TRANSITION_ACTIVATE)
        reason = session.error_of(other) or "it did not refuse"
    session.let_policy_move()
    return Outcome(refused and f"/{name} publishes" in reason and topic in reason, {}, reason)


def _misfit_refuses(
    field: str, parameters: dict[str, Any], session: Session, sizes: Sizes
) -> Outcome:
    with session.start_second("policy", **parameters) as other:
        configured = session.change(other, Transition.TRANSITION_CONFIGURE)
        reason = session.error_of(other)
    return Outcome(not configured and field in reason, {}, reason)


def _other_rate(session: Session, sizes: Sizes) -> Outcome:
    """The same arm at half the period."""
    with tempfile.TemporaryDirectory(prefix="conure-") as folder:
        source = ROBOTS_DIR / f"{session.robot.name}.yaml"
        fields = {**yaml.safe_load(source.read_text()), "urdf": str(session.robot.urdf)}
        path = Path(folder) / "robot.yaml"
        path.write_text(
            yaml.safe_dump({**fields, "control_period_s": session.robot.control_period_s / 2})
        )
        return _misfit_refuses("control_period_s", {"robot": str(path)}, session, sizes)


def _other_arm(session: Session, sizes: Sizes) -> Outcome:
    other = "panda" if session.robot.name != "panda" else "wx250s"
    return _misfit_refuses("joint_names", {"robot": other}, session, sizes)


IMAGE_SHAPE = "observation.image.shape"
REFUSES = "the second refuses, naming the first"
MISFIT = "configure fails, naming the field"
CASES = (
    Case("policy hung (SIGSTOP)", HOLD, _policy_hangs),
    Case("two policies", REFUSES, partial(_second_refuses, "policy", "command/policy")),
    Case("two control nodes", REFUSES, partial(_second_refuses, "control", "joint_trajectory")),
    Case("bundle of another arm", MISFIT, _other_arm),
    Case(
        "bundle of another image size",
        MISFIT,
        partial(_misfit_refuses, IMAGE_SHAPE, {"image_size_px": 64}),
    ),
    Case("bundle of another rate", MISFIT, _other_rate),
    Case(
        "policy killed (SIGKILL)",
        "hold within 2 control periods; restarted, it continues",
        _policy_killed,
    ),
    Case(
        "driver killed (SIGKILL)",
        "hold within 2 control periods; no jump when it returns",
        _driver_killed,
    ),
    Case(
        "control killed (SIGKILL)",
        "the driver holds within 100 ms; restarted, it continues",
        _control_killed,
    ),
)
