"""Control that hangs, dies, is reset or has rivals: the arm must not move, and somebody must say
so.
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
from conure_msgs.msg import RobotState
from conure_ros.comms.domains import claimed_domain
from conure_ros.comms.messages import to_ns, trajectory_message
from conure_ros.comms.qos import NEWEST, STATE_PERIOD_S, STATE_SILENT_S
from conure_ros.faults.cases.arm import STILL_RAD
from conure_ros.faults.live import (
    ForeignArm,
    foreign_case,
    moved_rad,
    passes,
    sending,
    told,
    wait_for_motion,
)
from conure_ros.faults.session import RIVAL, Session, running_session
from conure_ros.faults.table import FOREIGN, GRAPHS, SIMULATED, Case, Outcome, Sizes

HUNG_S = 1.0
BRAKED_S = 0.5
"""After this the arm stands, whatever it was told before."""
UNCONFIRMED_S = 6.0
GAP_S = 2 * STATE_PERIOD_S
"""Between two states, on a machine that is busy."""


@contextlib.contextmanager
def own_graph(**parameters: object) -> Iterator[Session]:
    """A graph of the foreign arm with other parameters, on a domain of its own."""
    with claimed_domain() as domain:
        environment = {"ROS_DOMAIN_ID": str(domain)}
        with running_session(GRAPHS[FOREIGN], dict(parameters), environment) as session:
            yield session


def hung(stop: bool, session: Session, sizes: Sizes) -> Outcome:
    """Control does not run for a while, is or is not stopped meanwhile, and goes on; the policy
    never ceased.
    """
    arm, control = ForeignArm(session), session.graph.processes["control"]
    arm.begin()
    session.call("set_mode", mode="policy")
    began_ns = session.now_ns()
    with sending(session, "policy"):
        wait_for_motion(session, began_ns)
        control.send_signal(signal.SIGSTOP)
        hung_ns = session.now_ns()
        try:
            if stop:
                session.stop_topic.publish(session.stop_topic.msg_type())
            passes(session, HUNG_S)
        finally:
            control.send_signal(signal.SIGCONT)
        passes(session, 2.0)
    moved, state, detail = (
        moved_rad(session, hung_ns + round(BRAKED_S * 1e9)),
        session.states[-1],
        told(session),
    )
    arm.begin()
    holds = state.stopped if stop else state.mode in (RobotState.HOLD, RobotState.STOPPED)
    return Outcome(holds and moved <= STILL_RAD, {"moved after it went on, rad": moved}, detail)


def stop_survives(session: Session, sizes: Sizes) -> Outcome:
    """Stopped, deactivated, cleaned up, configured and activated again, while the policy goes
    on.
    """
    arm = ForeignArm(session)
    arm.begin()
    session.call("set_mode", mode="policy")
    began_ns = session.now_ns()
    with sending(session, "policy"):
        wait_for_motion(session, began_ns)
        session.call("stop")
        stopped_ns = session.now_ns() + round(BRAKED_S * 1e9)
        for step in ("DEACTIVATE", "CLEANUP", "CONFIGURE"):
            session.change("control", getattr(Transition, f"TRANSITION_{step}"))
        session.activate("control")
        passes(session, 1.0)
    moved, stopped, detail = (
        moved_rad(session, stopped_ns),
        session.states[-1].stopped,
        told(session),
    )
    arm.begin()
    return Outcome(stopped and moved <= STILL_RAD, {"moved while stopped, rad": moved}, detail)


def restarted(session: Session, sizes: Sizes) -> Outcome:
    """Killed and started again beside an arm that a policy commands: it holds until somebody
    chooses a mode.
    """
    arm = ForeignArm(session)
    arm.begin()
    session.call("set_mode", mode="policy")
    began_ns = session.now_ns()
    with sending(session, "policy"):
        wait_for_motion(session, began_ns)
        session.graph.processes["control"].kill()
        killed_ns = session.now_ns() + round(BRAKED_S * 1e9)
        session.restart("control")
        passes(session, 1.0)
        moved, mode, detail = moved_rad(session, killed_ns), session.states[-1].mode, told(session)
    arm.begin()
    holds = mode in (RobotState.HOLD, RobotState.STOPPED)
    return Outcome(holds and moved <= STILL_RAD, {"moved, rad": moved}, detail)


def silent(session: Session, sizes: Sizes) -> Outcome:
    """robot_state comes all the time while the arm holds; when control is killed, its readers are
    told.
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
        passes(session, 1.5)
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
                lambda: lost[-1] == 0, 3.0, "the readers of robot_state hear that control is silent"
            )
        finally:
            session.graph.processes["control"].send_signal(signal.SIGCONT)
        told_s = (session.now_ns() - hung_ns) / 1e9
    finally:
        session.destroy(reader)
    arm.begin()
    figures = {
        "longest silence while it held, ms": 1e3 * gap_s,
        "silence heard of after, ms": 1e3 * told_s,
    }
    return Outcome(gap_s <= GAP_S and told_s <= 2 * STATE_SILENT_S, figures)


def rival(arm: str, session: Session, sizes: Sizes) -> Outcome:
    """Another node commands the arm. A driver of ours refuses; of a foreign one it is said that
    nobody can.
    """
    if arm == FOREIGN:
        ForeignArm(session).begin()
    else:
        session.call("set_mode", mode="hold")
        session.call("home")
    robot = session.robot
    away = np.array(robot.home_rad) + 0.8 * np.eye(len(robot.joint_names))[0]
    publisher = session.node.create_publisher(JointTrajectory, "joint_trajectory", NEWEST)
    detail = "not stopped"
    try:
        session.wait(lambda: publisher.get_subscription_count() > 0, 10.0, "the arm listens")
        passes(session, 0.3)
        command = JointCommand(away, robot.gripper_open_m, 2.0)
        sent_ns = session.now_ns()
        message = trajectory_message(robot, command, sent_ns)
        message.header.frame_id = RIVAL
        publisher.publish(message)
        with contextlib.suppress(RobotError):
            session.wait(
                lambda: session.states[-1].stopped and session.states[-1].alarm,
                2.0,
                "control says so",
            )
        detail = told(session)
        passes(session, 1.0)
        moved = moved_rad(session, sent_ns)
        state = session.states[-1]
    finally:
        session.destroy(publisher)
    session.wait(
        lambda: session.node.count_publishers("joint_trajectory") == 1, 20.0, "the rival is gone"
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


def torque_not_confirmed(session: Session, sizes: Sizes) -> Outcome:
    """A driver that takes the call for torque and never answers: the stopped arm may still have
    it.
    """
    with own_graph(robot=session.robot_name) as own:
        hanging = Node("driver", context=own.node.context)  # nobody spins it
        hanging.create_service(SetBool, "torque", lambda request, response: response)
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
    said: Callable[[], bool] = lambda: "torque" in told(session).lower()  # noqa: E731
    with contextlib.suppress(RobotError):
        session.wait(said, UNCONFIRMED_S, "control says that torque off is not confirmed")
    detail = told(session)
    figures = {"said after, ms": (session.now_ns() - asked_ns) / 1e6}
    return Outcome("torque" in detail.lower() and session.states[-1].stopped, figures, detail)


HANGS = "holds until a mode is chosen; no motion"
NO_HAND = "stopped, the rival named, and said that this arm cannot be held"
CASES = (
    foreign_case("control hangs and goes on", HANGS, partial(hung, False)),
    foreign_case(
        "stop while control hangs", "stopped when it goes on; no motion", partial(hung, True)
    ),
    foreign_case(
        "control configured anew after a stop", "the stop survives; no motion", stop_survives
    ),
    foreign_case("control killed and restarted", HANGS, restarted),
    foreign_case(
        "control silent", "robot_state every 0.2 s; its readers hear of the silence", silent
    ),
    foreign_case("a rival commands it", NO_HAND, partial(rival, FOREIGN)),
    Case(
        "a rival commands the arm",
        "the driver refuses; stopped, the rival named",
        partial(rival, SIMULATED),
    ),
    foreign_case(
        "torque off is never confirmed",
        "stopped, and said that it is not confirmed",
        torque_not_confirmed,
    ),
)
