"""A long run at full rates, with large images and faults in between. Counts holds, memory, latency
and commands.
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from conure_core.robot.arm import Arm
from conure_core.types import Array
from conure_msgs.msg import Mode, PolicyCommand, RobotState
from conure_ros.comms.messages import to_ns
from conure_ros.comms.qos import RECORDED
from conure_ros.faults.cases.input import measure_hold
from conure_ros.faults.motion import collect_motion, judge_motion
from conure_ros.faults.session import Session
from conure_ros.faults.table import Outcome

GRAPH = "soak"
WIDTH_PX, HEIGHT_PX, RATE_HZ, VIDEO_FRAMES = 640, 480, 30, 150
FAULTS = (
    "camera unplugged",
    "camera black",
    "camera clock 5 s back",
    "actions NaN",
    "joint missing",
)
FAULT_EVERY_S = 20.0
WARM_UP_S = 60.0
MEMORY_MB, LATENCY_P99_MS = 20.0, 50.0
AROUND_A_HOLD_NS = 1_500_000_000
SAME_STAMP_NS = 1_000
UNDER_WAY = -3
"""The last commands may be unanswered when the run ends."""


def write_video(path: Path, seed: int = 0) -> Path:
    """Write a video of coloured, drifting patches with sensor noise: every frame differs from the
    one before.

    Args:
        path: The file, .mp4.
        seed: Seed of patches and noise.

    Returns:
        The file's path.
    """
    rng = np.random.default_rng(seed)
    patches = rng.integers(40, 220, (HEIGHT_PX // 40, 2 * WIDTH_PX // 40, 3), dtype=np.uint8)
    wide = cv2.resize(patches, (2 * WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    video = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, (WIDTH_PX, HEIGHT_PX)
    )
    for frame in range(VIDEO_FRAMES):
        left = round(WIDTH_PX * 0.5 * (1 - np.cos(2 * np.pi * frame / VIDEO_FRAMES)))
        noise = rng.normal(0, 6, (HEIGHT_PX, WIDTH_PX, 3))
        video.write(np.clip(wide[:, left : left + WIDTH_PX] + noise, 0, 255).astype(np.uint8))
    video.release()
    return path


@dataclass
class Soak:
    """The records since the end of the warm-up."""

    began_ns: int = 0
    holds_ms: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    faulty_ns: list[tuple[int, int]] = field(default_factory=list)
    commands: list[PolicyCommand] = field(default_factory=list)


def run_soak(session: Session, minutes: float, warm_up_s: float = WARM_UP_S) -> Outcome:
    """Let the policy move the arm, with a fault every FAULT_EVERY_S.

    The arm's limits are only reported here. The table judges them, on a graph at the arm's own
    rate.

    Args:
        session: The running graph.
        minutes: Duration, without the warm-up, min.
        warm_up_s: Time before the records begin, s.

    Raises:
        RobotError: A node of the graph fails.
    """
    seen = Soak()
    session.node.create_subscription(
        PolicyCommand, "command/policy", seen.commands.append, RECORDED
    )
    session.let_policy_move(1)
    time.sleep(warm_up_s)
    nodes = [node.name for node in session.graph.nodes if node.ends == "never"]
    memory_mb = {name: session.memory_mb(name) for name in nodes}
    for records in (session.states, session.trajectories, session.joints, seen.commands):
        records.clear()
    seen.began_ns = session.now_ns()
    ends_s = time.monotonic() + 60.0 * minutes
    for fault in itertools.cycle(FAULTS):
        time.sleep(max(0.0, min(FAULT_EVERY_S, ends_s - time.monotonic())))
        if time.monotonic() >= ends_s:
            break
        _break(session, fault, seen)
    grown_mb = {
        f"memory growth {name}, MB": session.memory_mb(name) - memory_mb[name] for name in nodes
    }
    return _assess(session, seen, minutes, grown_mb)


def _break(session: Session, fault: str, seen: Soak) -> None:
    began_ns = session.inject(fault)
    try:
        in_time, figures, _ = measure_hold(session, began_ns)
    finally:
        session.inject("")
    session.require_motion()
    seen.holds_ms.append(figures["hold after, ms"])
    seen.faulty_ns.append((began_ns, session.now_ns()))
    seen.missed += [] if in_time else [fault]


def _assess(session: Session, seen: Soak, minutes: float, grown_mb: dict[str, float]) -> Outcome:
    time.sleep(1.0)
    states = list(session.states)
    commanded = [state for state in states if len(state.commanded_rad)]
    answering = [state for state in commanded if _captured(state)]
    latency_ms = np.array([_stamp(state) - _captured(state) for state in answering]) * 1e-6
    unasked = [_stamp(now) for before, now in pairwise(states) if _gave_way(before, now)]
    unasked = [stamp for stamp in unasked if not _within(stamp, seen.faulty_ns)]
    # A policy's command is lost if nothing is wrong and control does not follow it; holds are
    # counted separately.
    wrong = [*seen.faulty_ns, *((stamp, stamp) for stamp in unasked)]
    followed = np.array([_captured(state) for state in answering])
    policys = [
        stamp for stamp in map(_stamp, seen.commands[:UNDER_WAY]) if not _within(stamp, wrong)
    ]
    # Messages under way while the records were cleared may be in only one of them.
    policys = [stamp for stamp in policys if stamp >= seen.began_ns]
    sent = np.array([to_ns(message.header.stamp) for message in session.trajectories])
    joints = [stamp for stamp in map(_stamp, commanded[:UNDER_WAY]) if stamp >= seen.began_ns]
    lost = sum(_missing(stamp, followed) for stamp in policys) + sum(
        _missing(stamp, sent) for stamp in joints
    )
    limits = judge_motion(
        Arm(session.robot), collect_motion(session.robot, session.trajectories, session.joints)
    )
    figures = {
        "minutes": minutes,
        "commands": float(len(commanded)),
        "commands a second": len(commanded) / (60.0 * minutes),
        "holds requested": float(len(seen.holds_ms)),
        "holds missed": float(len(seen.missed)),
        "hold after, worst, ms": max(seen.holds_ms, default=0.0),
        "holds without a fault": float(len(unasked)),
        "capture to command p50, ms": (
            float(np.percentile(latency_ms, 50)) if latency_ms.size else np.inf
        ),
        "capture to command p99, ms": (
            float(np.percentile(latency_ms, 99)) if latency_ms.size else np.inf
        ),
        "capture to command worst, ms": float(latency_ms.max(initial=0.0)),
        "lost commands": float(lost),
        **grown_mb,
        **limits.figures,
    }
    flat = max(grown_mb.values()) <= MEMORY_MB
    passed = (
        not seen.missed
        and not lost
        and flat
        and figures["capture to command p99, ms"] <= LATENCY_P99_MS
    )
    return Outcome(bool(passed), figures, ", ".join(seen.missed))


def _gave_way(before: RobotState, now: RobotState) -> bool:
    return bool(before.mode.value == Mode.POLICY != now.mode.value)


def _stamp(message: PolicyCommand | RobotState) -> int:
    return to_ns(message.header.stamp)


def _captured(state: RobotState) -> int:
    """When that was captured which it answers, ns; 0: nothing."""
    return to_ns(state.capture_stamp)


def _within(stamp_ns: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(
        began - AROUND_A_HOLD_NS <= stamp_ns <= ended + AROUND_A_HOLD_NS for began, ended in spans
    )


def _missing(stamp_ns: int, among: Array) -> bool:
    return not among.size or bool(np.abs(among - stamp_ns).min() > SAME_STAMP_NS)
