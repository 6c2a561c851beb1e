"""Control hangs, dies, is reset, or another node commands the arm: the arm must not move, and the
cause is published.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from lifecycle_msgs.msg import Transition
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSProfile, ReliabilityPolicy
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_msgs.msg import Mode, RobotState
from conure_ros.comms.domains import claim_domain
from conure_ros.comms.messages import to_ns, trajectory_message
from conure_ros.comms.qos import NEWEST, STATE_PERIOD_S, STATE_SILENT_S
from conure_ros.comms.service_names import ARM_TORQUE
from conure_ros.faults.cases.arm import STILL_RAD
from conure_ros.faults.live import (
    ForeignArm,
    describe_control,
    foreign_case,
    largest_motion_rad,
    let_time_pass,
    send_commands,
    wait_for_motion,
)
from conure_ros.faults.session import FOREIGN_FRAME, Session, running_session
from conure_ros.faults.table import FOREIGN, GRAPHS, SIMULATED, Case, Outcome, Sizes

HUNG_S = 1.0
BRAKED_S = 0.5
"""After this the arm stands, whatever was commanded before, s."""
UNCONFIRMED_S = 6.0
GAP_S = 2 * STATE_PERIOD_S
"""Longest time between two states on a busy machine, s."""


@contextlib.contextmanager
def own_graph(**parameters: object) -> Iterator[Session]:
    """A graph of the foreign arm with other parameters, on its own domain."""
    with claim_domain() as domain:
        environment = {"ROS_DOMAIN_ID": str(domain)}
        with running_session(GRAPHS[FOREIGN], dict(parameters), environment) as session:
            yield session


def _control_hangs(stop: bool, session: Session, sizes: Sizes) -> Outcome:
    """Control is suspended for a while, is stopped meanwhile or not, and resumes; the policy keeps
    sending.
    """
    arm, control = ForeignArm(session), session.graph.processes["control"]
    arm.begin()
    session.choose("policy")
    began_ns = session.now_ns()
    with send_commands(session, "policy"):
        wait_for_motion(session, began_ns)
        control.send_signal(signal.SIGSTOP)
        hung_ns = session.now_ns()
        try:
            if stop:
                session.stop_topic.publish(session.stop_topic.msg_type())
            let_time_pass(session, HUNG_S)
        finally:
            control.send_signal(signal.SIGCONT)
        let_time_pass(session, 2.0)
    moved, state, detail = (
        largest_motion_rad(session, hung_ns + round(BRAKED_S * 1e9)),
        session.states[-1],
        describe_control(session),
    )
    arm.begin()
    holds = state.stopped if stop else state.mode.value in (Mode.HOLD, Mode.STOPPED)
    return Outcome(holds and moved <= STILL_RAD, {"moved after it resumed, rad": moved}, detail)


def _stop_survives(session: Session, sizes: Sizes) -> Outcome:
    """Stop, deactivate, clean up, configure and activate, while the policy keeps sending."""
    arm = ForeignArm(session)
    arm.begin()
    session.choose("policy")
    began_ns = session.now_ns()
    with send_commands(session, "policy"):
        wait_for_motion(session, began_ns)
        session.call("stop")
        stopped_ns = session.now_ns() + round(BRAKED_S * 1e9)
        for step in ("DEACTIVATE", "CLEANUP", "CONFIGURE"):
            session.change("control", getattr(Transition, f"TRANSITION_{step}"))
        session.activate("control")
        let_time_pass(session, 1.0)
    moved, stopped, detail = (
        largest_motion_rad(session, stopped_ns),
        session.states[-1].stopped,
        describe_control(session),
    )
    arm.begin()
    return Outcome(stopped and moved <= STILL_RAD, {"moved while stopped, rad": moved}, detail)


def _control_restarts(session: Session, sizes: Sizes) -> Outcome:
    """Killed and restarted while a policy sends commands: it holds until a person chooses a
    mode.
    """
    arm = ForeignArm(session)
    arm.begin()
    session.choose("policy")
    began_ns = session.now_ns()
    with send_commands(session, "policy"):
        wait_for_motion(session, began_ns)
        session.graph.processes["control"].kill()
        killed_ns = session.now_ns() + round(BRAKED_S * 1e9)
        session.restart("control")
        let_time_pass(session, 1.0)
        moved, mode, detail = (
            largest_motion_rad(session, killed_ns),
            session.states[-1].mode.value,
            describe_control(session),
        )
    arm.begin()
    holds = mode in (Mode.HOLD, Mode.STOPPED)
    return Outcome(holds and moved <= STILL_RAD, {"moved, rad": moved}, detail)


def _control_silent(session: Session, sizes: Sizes) -> Outcome:
    """robot_state keeps coming while the arm holds. When control is suspended, its readers learn of
    the silence.
    """
    arm, lost = ForeignArm(session), list[int]()
    arm.begin()
    quality = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
        liveliness_lease_duration=Duration(seconds=STATE_SILENT_S),
    )
    watch = SubscriptionEventCallbacks(liveliness=lambda event: lost.append(event.alive_count))
    reader = session.node.create_subscription(
        RobotState, "robot_state", lambda state: None, quality, event_callbacks=watch
    )
    try:
        session.wait(lambda: lost and lost[-1] == 1, 3.0, "control offers robot_state with a lease")
        began_ns = session.now_ns()
        let_time_pass(session, 1.5)
        stamps = [
            to_ns(state.header.stamp)
            for state in session.states
            if to_ns(state.header.stamp) >= began_ns
        ]
        gap_s = float(np.diff([began_ns, *stamps, session.now_ns()]).max()) / 1e9
        session.graph.processes["control"].send_signal(signal.SIGSTOP)
        hung_ns = session.now_ns()
        try:
            session.wait(
                lambda: lost[-1] == 0,
                3.0,
                "the readers of robot_state learn that control is silent",
            )
        finally:
            session.graph.processes["control"].send_signal(signal.SIGCONT)
        reported_s = (session.now_ns() - hung_ns) / 1e9
    finally:
        session.destroy(reader)
    arm.begin()
    figures = {
        "longest silence while it held, ms": 1e3 * gap_s,
        "silence reported after, ms": 1e3 * reported_s,
    }
    return Outcome(gap_s <= GAP_S and reported_s <= 2 * STATE_SILENT_S, figures)


def _second_commander(arm: str, session: Session, sizes: Sizes) -> Outcome:
    """Another node commands the arm. Our driver refuses it. For a foreign driver, the alarm says
    that nobody can.
    """
    if arm == FOREIGN:
        ForeignArm(session).begin()
    else:
        session.choose("hold")
        session.call("home")
    robot = session.robot
    away = np.array(robot.home_rad) + 0.8 * np.eye(len(robot.joint_names))[0]
    publisher = session.node.create_publisher(JointTrajectory, "joint_trajectory", NEWEST)
    detail = "not stopped"
    try:
        session.wait(lambda: publisher.get_subscription_count() > 0, 10.0, "the arm listens")
        let_time_pass(session, 0.3)
        command = JointCommand(away, robot.gripper_open_m, 2.0)
        sent_ns = session.now_ns()
        message = trajectory_message(robot, command, sent_ns)
        message.header.frame_id = FOREIGN_FRAME
        publisher.publish(message)
        with contextlib.suppress(RobotError):
            session.wait(
                lambda: session.states[-1].stopped and session.states[-1].alarm,
                2.0,
                "control reports it",
            )
        detail = describe_control(session)
        let_time_pass(session, 1.0)
        moved = largest_motion_rad(session, sent_ns)
        state = session.states[-1]
    finally:
        session.destroy(publisher)
    session.wait(
        lambda: session.node.count_publishers("joint_trajectory") == 1,
        20.0,
        "the second node is gone",
    )
    session.call("reset_stop")
    if arm == FOREIGN:
        ForeignArm(session).begin()
        return Outcome(
            state.stopped and "/faults" in detail and state.alarm != "",
            {"moved, rad": moved},
            detail,
        )
    return Outcome(
        state.stopped and "/faults" in detail and moved <= STILL_RAD, {"moved, rad": moved}, detail
    )


def _torque_not_confirmed(session: Session, sizes: Sizes) -> Outcome:
    """A driver accepts the torque request and never answers: the stopped arm may still have
    torque.
    """
    with own_graph(robot=session.robot_name) as own:
        hanging = Node("driver", context=own.node.context)  # no executor spins it
        hanging.create_service(SetBool, ARM_TORQUE, lambda request, response: response)
        try:
            return _limp(own)
        finally:
            hanging.destroy_node()


def _limp(session: Session) -> Outcome:
    session.graph.processes["control"].kill()
    session.graph.start_node(
        session.spec("control"), {**session.graph.parameters("control"), "on_stop": "limp"}
    )
    session.change("control", Transition.TRANSITION_CONFIGURE)
    session.activate("control")
    ForeignArm(session).recover()
    asked_ns = session.now_ns()
    session.call("stop")
    reported: Callable[[], bool] = lambda: "torque" in describe_control(session).lower()  # noqa: E731
    with contextlib.suppress(RobotError):
        session.wait(reported, UNCONFIRMED_S, "control reports that torque off is not confirmed")
    detail = describe_control(session)
    figures = {"reported after, ms": (session.now_ns() - asked_ns) / 1e6}
    return Outcome("torque" in detail.lower() and session.states[-1].stopped, figures, detail)


HANGS = "holds until a mode is chosen; no motion"
NO_HAND = "stopped, the second node named, with an alarm that this arm cannot be held"
CASES = (
    foreign_case("control hangs and resumes", HANGS, partial(_control_hangs, False)),
    foreign_case(
        "stop while control hangs",
        "stopped when it resumes; no motion",
        partial(_control_hangs, True),
    ),
    foreign_case(
        "control configured again after a stop", "the stop survives; no motion", _stop_survives
    ),
    foreign_case("control killed and restarted", HANGS, _control_restarts),
    foreign_case(
        "control silent",
        "robot_state every 0.2 s; its readers learn of the silence",
        _control_silent,
    ),
    foreign_case("a second node commands it", NO_HAND, partial(_second_commander, FOREIGN)),
    Case(
        "a second node commands the arm",
        "the driver refuses; stopped, the second node named",
        partial(_second_commander, SIMULATED),
    ),
    foreign_case(
        "torque off is never confirmed",
        "stopped, with an alarm that it is not confirmed",
        _torque_not_confirmed,
    ),
)
