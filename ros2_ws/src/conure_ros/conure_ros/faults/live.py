"""Tools of the rows about motion: senders of commands, control of the foreign arm, and the judge's
results.
"""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from conure_core.contract.action import GRIPPER, MOTION
from conure_core.errors import RobotError
from conure_core.runtime.json_text import json_text
from conure_core.types import Array
from conure_msgs.msg import Mode, PolicyCommand
from conure_ros.comms.messages import joint_sample, to_ns, to_time
from conure_ros.comms.qos import NEWEST, STREAM
from conure_ros.control.arbiter import named_mode
from conure_ros.faults.judge.rules import (
    Judge,
    Judgement,
    MeasuredMotion,
    StopMotion,
    motion_after_stop,
)
from conure_ros.faults.session import Session
from conure_ros.faults.table import FOREIGN, Case, Outcome, Sizes

Row = Callable[[Session, Sizes], Outcome]
WINDOW_S = 0.05
"""Window of measured speeds, s: stamps of a busy machine are uneven."""
SETTLED_S = 0.4
FORWARD = (0.4, 0.2, 0.2, 0.0, 0.0, 0.5, 0.0)
HALF_S = 0.6
"""Keeps the arm near its start, and always moving."""


@cache
def shared_judge(robot: str) -> Judge:
    """The judge of a robot, made once."""
    return Judge(robot)


def measured_motion(
    session: Session, since_ns: int = 0, until_ns: int | None = None
) -> MeasuredMotion:
    """The joints as the arm measured them, before any fault, by its own stamps.

    Args:
        session: The running graph.
        since_ns: First stamp, ns.
        until_ns: Last stamp, ns; None: up to now.
    """
    messages: list[JointState] = list(session.joints)
    stamps = [to_ns(message.header.stamp) for message in messages]
    chosen = [
        message
        for message, stamp in zip(messages, stamps, strict=True)
        if stamp >= since_ns and (until_ns is None or stamp <= until_ns)
    ]
    joints = [joint_sample(message, session.robot).joint_rad for message in chosen]
    times = np.array([to_ns(message.header.stamp) for message in chosen]) / 1e9
    return MeasuredMotion(times, np.array(joints).reshape(-1, len(session.robot.joint_names)))


def judge_since(session: Session, since_ns: int = 0) -> Judgement:
    """Judge the measured joints.

    Args:
        session: The running graph.
        since_ns: First stamp, ns.
    """
    return shared_judge(session.robot_name).judge_motion(
        measured_motion(session, since_ns), WINDOW_S, every=5
    )


def largest_motion_rad(session: Session, since_ns: int, until_ns: int | None = None) -> float:
    """The largest distance of any joint from its first position, rad; infinite without
    measurements.

    Args:
        session: The running graph.
        since_ns: First stamp, ns.
        until_ns: Last stamp, ns; None: up to now.
    """
    joints = measured_motion(session, since_ns, until_ns).joint_rad
    return float(np.abs(joints - joints[0]).max()) if len(joints) else math.inf


def measure_stop(session: Session, asked_ns: int, until_ns: int, stop_s: float) -> StopMotion:
    """Measure the motion after a stop, with the robot's acceleration limits.

    Args:
        session: The running graph.
        asked_ns: Stamp of the request, ns.
        until_ns: Stamp of the reset, ns.
        stop_s: Time after the request from which the arm must brake, s.

    Raises:
        RobotError: The joints were not measured over the whole time.
    """
    limits = np.array(session.robot.max_acceleration_rad_s2)
    try:
        return motion_after_stop(
            measured_motion(session, asked_ns - 10**9),
            asked_ns / 1e9,
            until_ns / 1e9,
            limits,
            stop_s,
        )
    except ValueError as error:
        raise RobotError(str(error)) from error


def let_time_pass(session: Session, seconds: float) -> None:
    """Wait, by the clock of the stamps.

    Args:
        session: The running graph.
        seconds: How long, s.

    Raises:
        RobotError: The clock stands still or is much too slow.
    """
    until_ns = session.now_ns() + round(seconds * 1e9)
    session.wait(lambda: session.now_ns() >= until_ns, 5 * seconds + 5.0, "time passes")


@contextlib.contextmanager
def send_commands(
    session: Session,
    source: str,
    rate_hz: float = 10.0,
    action: Sequence[float] = FORWARD,
    offset_s: float = 0.0,
    half_s: float = HALF_S,
) -> Iterator[list[int]]:
    """Send fresh commands as one more publisher of a source, there and back every `half_s`.

    Args:
        session: The running graph.
        source: "policy" or "teleop".
        rate_hz: Commands a second.
        action: Normalized action, shape (7,); its first six values change sign every `half_s`.
        offset_s: Wait before the first period, s.
        half_s: Time in one direction, s.

    Yields:
        The stamps that were sent, ns; the list grows.
    """
    topic = f"{session.raw}command/policy" if source == "policy" else f"command/{source}"
    publisher, ended, sent = (
        session.node.create_publisher(PolicyCommand, topic, NEWEST),
        threading.Event(),
        list[int](),
    )
    session.wait(
        lambda: publisher.get_subscription_count() > 0, 10.0, f"a node subscribes to {topic}"
    )

    def send() -> None:
        ended.wait(offset_s)
        period_s = 1.0 / rate_hz
        number = 0
        while not ended.wait(period_s):
            sign = 1.0 if int(number * period_s / half_s) % 2 == 0 else -1.0
            message = PolicyCommand(source=named_mode(source), log_likelihood=math.nan)
            message.action = [sign * value for value in action[MOTION]] + [float(action[GRIPPER])]
            stamp_ns = session.now_ns()
            message.header.stamp = to_time(stamp_ns)
            publisher.publish(message)
            sent.append(stamp_ns)
            number += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
        session.destroy(publisher)


class ForeignArm:
    """Control of arm_model_node."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def do(self, **words: Any) -> None:
        """Raises: RobotError with the node's reason, or if it does not answer."""
        session, answers = self._session, list[dict[str, Any]]()
        publisher = session.node.create_publisher(String, "arm_model/do", STREAM)
        done_topic = session.node.create_subscription(
            String,
            "arm_model/done",
            lambda message: answers.append(json.loads(message.data)),
            STREAM,
        )

        def answer(asked: str) -> dict[str, Any] | None:
            return next((answer for answer in list(answers) if answer["asked"] == asked), None)

        def connected() -> bool:
            """Whether messages pass both ways: only an answer shows that. This one requests
            nothing.
            """
            publisher.publish(String(data="{}"))
            time.sleep(0.02)
            return answer("{}") is not None

        try:
            session.wait(connected, 10.0, "arm_model_node is there")
            asked = json_text(words)
            publisher.publish(String(data=asked))
            done: dict[str, Any] = session.wait(
                lambda: answer(asked), 5.0, f"arm_model_node does {asked}"
            )
            if done["error"]:
                raise RobotError(done["error"])
        finally:
            session.destroy(publisher)
            session.destroy(done_topic)

    def begin(self, pose_rad: Array | None = None) -> None:
        """Free, at a pose (None: at home), in hold, anchored there. Raises: RobotError."""
        session = self._session
        place = session.robot.home_rad if pose_rad is None else pose_rad.tolist()
        self.do(free=True, silent=False, place=[float(value) for value in place])
        self.recover()

    def recover(self) -> None:
        """A person's recovery after a stop: reset it, and wait until control holds. Raises:
        RobotError.
        """
        session = self._session
        session.call("reset_stop")
        began_ns = session.now_ns() + int(SETTLED_S * 1e9)
        session.wait(lambda: session.now_ns() > began_ns, 5.0, "time passes")
        session.choose("hold")
        session.wait(lambda: session.states[-1].mode.value == Mode.HOLD, 5.0, "control holds")


def _run_on_foreign_arm(run: Row, session: Session, sizes: Sizes) -> Outcome:
    """Run a row with every node alive, whatever the row before it did."""
    session.inject("")
    if session.graph.processes["control"].poll() is not None:
        session.restart_control()
    return run(session, sizes)


def foreign_case(name: str, must: str, run: Row) -> Case:
    """A row of the foreign arm.

    Args:
        name: Name of the fault, without the prefix.
        must: What must happen, for a person.
        run: Causes the fault and judges the result.
    """
    return Case(f"foreign arm: {name}", must, partial(_run_on_foreign_arm, run), FOREIGN)


def wait_for_motion(
    session: Session, since_ns: int, rad: float = 0.03, timeout_s: float = 5.0
) -> None:
    """Wait until the arm moves.

    Args:
        session: The running graph.
        since_ns: First stamp that counts, ns.
        rad: Distance that counts as motion, rad.
        timeout_s: Time limit, s.

    Raises:
        RobotError: The arm does not move.
    """
    session.wait(
        lambda: rad < largest_motion_rad(session, since_ns) < math.inf, timeout_s, "the arm moves"
    )


def describe_control(session: Session) -> str:
    """Control's reason, alarm and refusal, for a row's detail."""
    state = session.states[-1]
    said = [state.reason, state.alarm, state.refusal]
    return "; ".join(filter(None, said))
