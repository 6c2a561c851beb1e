"""What an arm does or measures that it should not, and arms that are where they may not be. The arm
is foreign.
"""

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from sensor_msgs.msg import JointState

from conure_core.errors import RobotError
from conure_core.types import Array
from conure_msgs.msg import PolicyCommand, RobotState
from conure_ros.comms.messages import joint_state_message, to_ns
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.sole_publisher import NO_NAME
from conure_ros.faults.gate import start_poses
from conure_ros.faults.judge.rules import REST_S
from conure_ros.faults.live import (
    ForeignArm,
    after_stop,
    foreign_case,
    judge_of,
    judged,
    moved_rad,
    passes,
    seen,
    sending,
    told,
    wait_for_motion,
)
from conure_ros.faults.session import HOME_TRIES, Session
from conure_ros.faults.table import Outcome, Sizes

STOPPED_S = 1.0
STILL_RAD = 0.01
SEEN_S = 2.0
"""How long control may take to see one more publisher."""
AFTER_A_SAMPLE_RAD = 0.3
"""How far an arm may go in the second after a wrong sample: slow commands lead no further."""
FOLLOWING_RAD = 0.6
"""How far ahead of a joint that is stuck a command may be."""
SLOWLY = (0.2, 0.1, 0.1, 0.0, 0.0, 0.2, 0.0)
TURNING = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def with_figures(session: Session, since_ns: int) -> tuple[bool, dict[str, float]]:
    """Whether the joints kept limits and speed since then, and by how much."""
    judgement = judged(session, since_ns)
    figures = {f"beyond {name}": value for name, value in judgement.broken.items()}
    return judgement.kept and judgement.rows > 0, figures


def first_sample_is_wrong(fault: str, session: Session, arm: ForeignArm) -> int:
    """The stop is reset while nothing is measured: the first sample, from which control would
    begin, is the wrong one.

    Returns when that was, ns.
    """
    arm.begin()
    arm.do(silent=True)
    session.call("reset_stop")
    began_ns = session.inject(fault)
    try:
        arm.do(silent=False)
        session.first_spoiled()
    finally:
        session.inject("")
    return began_ns


def wrong_sample(fault: str, session: Session, sizes: Sizes) -> Outcome:
    """While the arm holds, one sample is wrong; then the policy moves it slowly."""
    arm = ForeignArm(session)
    began_ns = first_sample_is_wrong(fault, session, arm)
    session.call("set_mode", mode="policy")
    with sending(session, "policy", action=SLOWLY):
        passes(session, 1.5)
    moved = moved_rad(session, began_ns)
    kept, figures = with_figures(session, began_ns)
    commands = [
        state.commanded_rad for state in list(session.states) if _commanded(state, began_ns)
    ]
    furthest = (
        float(np.abs(np.array(commands) - np.array(session.robot.home_rad)).max())
        if commands
        else math.inf
    )
    figures |= {"moved, rad": moved, "command away from where the arm was, at most, rad": furthest}
    detail = told(session)
    arm.begin()
    return Outcome(
        kept and moved <= AFTER_A_SAMPLE_RAD and furthest <= AFTER_A_SAMPLE_RAD, figures, detail
    )


def impossible_joints(session: Session, sizes: Sizes) -> Outcome:
    """1e308 rad, all the time: control says so, holds and lives."""
    arm = ForeignArm(session)
    arm.begin()
    session.inject("joints of 1e308")
    try:
        session.call("set_mode", mode="policy")
        with sending(session, "policy", action=SLOWLY):
            passes(session, 1.5)
        detail, lives = told(session), session.graph.processes["control"].poll() is None
        holds = session.states[-1].mode in (RobotState.HOLD, RobotState.STOPPED)
    finally:
        session.inject("")
    if not lives:
        return Outcome(False, detail="control ended")
    arm.begin()
    return Outcome(holds and detail != "", {}, detail)


def future_stamp(session: Session, sizes: Sizes) -> Outcome:
    """One stamp of the future as control anchors; the policy moves the arm all the same, or it is
    said why not.
    """
    arm = ForeignArm(session)
    first_sample_is_wrong("one joint stamp 5 s in the future", session, arm)
    session.call("set_mode", mode="policy")
    began_ns = session.now_ns()
    with sending(session, "policy", action=SLOWLY), contextlib.suppress(RobotError):
        wait_for_motion(session, began_ns, rad=0.01, timeout_s=2.0)
    moved, refused = moved_rad(session, began_ns), session.states[-1].refused_commands
    said = refused > 0 and session.states[-1].refusal != ""
    detail = told(session)
    arm.begin()
    figures = {"moved, rad": moved, "refused commands": float(refused)}
    return Outcome(moved > 0.01 or said, figures, detail)


@contextlib.contextmanager
def second_joint_states(session: Session, away_rad: float) -> Iterator[None]:
    """Another arm's driver on the same topic, 100 times a second."""
    robot, ended = session.robot, threading.Event()
    publisher = session.node.create_publisher(JointState, "joint_states", NEWEST)
    joints = np.array(robot.home_rad) + away_rad * np.eye(len(robot.joint_names))[0]

    def send() -> None:
        while not ended.wait(0.01):
            message = joint_state_message(
                robot, joints, np.zeros_like(joints), robot.gripper_open_m, session.now_ns()
            )
            publisher.publish(message)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        session.destroy(publisher)


def two_drivers(session: Session, sizes: Sizes) -> Outcome:
    """Both named, latched stop; the arm stays within its limits and where it was."""
    arm = ForeignArm(session)
    arm.begin()
    session.call("set_mode", mode="policy")
    began_ns = session.now_ns()
    detail = "not stopped"
    with sending(session, "policy", action=SLOWLY):
        wait_for_motion(session, began_ns)
        with second_joint_states(session, 1.0), contextlib.suppress(RobotError):
            session.wait(lambda: session.states[-1].stopped, 2.0, "control stops")
            session.wait(lambda: NO_NAME not in session.states[-1].reason, 3.0, "both are named")
            detail = told(session)
            passes(session, 0.3)
    kept, figures = with_figures(session, began_ns)
    session.wait(
        lambda: session.node.count_publishers("joint_states") == 1,
        10.0,
        "the second driver is gone",
    )
    arm.begin()
    named = "/faults" in detail and "/fault" in detail.replace("/faults", "")
    return Outcome(kept and named, figures, detail)


def stop_under(senders: Sequence[tuple[str, float]], session: Session, sizes: Sizes) -> Outcome:
    """Motion at the joints after a stop, while the senders go on; a few times."""
    arm, rng = ForeignArm(session), np.random.default_rng(sizes.seed)
    stop_s = 0.04 + sizes.stop_p99_ms / 1e3
    late, stopped, ended, kept = [], [], [], True
    for _ in range(max(1, min(3, sizes.stops))):
        arm.begin(near_home(session, rng))
        session.call("set_mode", mode=senders[0][0])
        began_ns = session.now_ns()
        with contextlib.ExitStack() as stack:
            for number, (source, rate_hz) in enumerate(senders):
                stack.enter_context(sending(session, source, rate_hz, offset_s=0.05 * number))
            wait_for_motion(session, began_ns)
            passes(session, float(rng.uniform(0.2, 0.8)))
            asked_ns = session.now_ns()
            session.call("stop")
            passes(session, STOPPED_S)
            motion = after_stop(session, asked_ns, session.now_ns(), stop_s)
        kept = (
            kept
            and motion.kept
            and session.states[-1].stopped
            and with_figures(session, began_ns)[0]
        )
        late.append(max(0.0, motion.late_rad - motion.braking_rad))
        stopped.append(motion.stopped_rad)
        ended.append(1e3 * motion.ended_s)
    arm.begin()
    figures = {
        "motion after the stop beyond braking, rad": max(late),
        "motion while stopped, rad": max(stopped),
        "last motion after the request, ms": max(ended),
    }
    return Outcome(kept, figures)


def second_teleop(session: Session, sizes: Sizes) -> Outcome:
    """A second node begins to command as a person: a latched stop that names both, and no motion
    after it.
    """
    arm = ForeignArm(session)
    arm.begin()
    session.call("set_mode", mode="teleop")
    began_ns, detail = session.now_ns(), "not stopped"
    with sending(session, "teleop"):
        wait_for_motion(session, began_ns)
        other = session.node.create_publisher(PolicyCommand, "command/teleop", NEWEST)
        joined_ns = session.now_ns()
        with contextlib.suppress(RobotError):
            session.wait(lambda: session.states[-1].stopped, SEEN_S, "control stops")
            detail = told(session)
        stopped_ns = session.now_ns()
        passes(session, STOPPED_S)
        moved = moved_rad(session, stopped_ns + round(REST_S * 1e9))
        stays = session.states[-1].stopped
    session.destroy(other)
    session.wait(
        lambda: session.node.count_publishers("command/teleop") == 0, 10.0, "both are gone"
    )
    arm.begin()
    figures = {
        "stopped after, ms": (stopped_ns - joined_ns) / 1e6,
        "moved while stopped, rad": moved,
    }
    return Outcome(stays and moved <= STILL_RAD and "command/teleop" in detail, figures, detail)


def near_home(session: Session, rng: np.random.Generator) -> Array:
    """A pose from which the arm may go anywhere a little."""
    home = np.array(session.robot.home_rad)
    judge = judge_of(session.robot_name)
    while judge.violated(pose := home + rng.normal(0.0, 0.1, home.shape)):
        pass
    return pose


def violating_pose(kind: str, session: Session, seed: int) -> Array:
    """One of a kind that the judge says is bad in that way and in no other."""
    judge, rng = judge_of(session.robot_name), np.random.default_rng(seed)
    robot = judge.robot
    if kind == "beyond a joint limit":
        pose = robot.home_rad.copy()
        pose[-1] = robot.upper_rad[-1] + 0.2
        return pose
    poses = start_poses(judge, rng, 300)
    left_m = judge.clearances.near(poses).left_m
    pairs = len(judge.clearances.pairs)
    within = (poses >= robot.lower_rad).all(axis=1) & (poses <= robot.upper_rad).all(axis=1)
    folded, lying = left_m[:, :pairs].min(axis=1) < -0.004, left_m[:, pairs:].min(axis=1) < -0.002
    chosen = {
        "folded": folded & ~lying,
        "on the table": lying & ~folded,
        "outside the box": ~folded & ~lying & (robot.outside_m(poses) > 0.03),
    }[kind]
    return np.array(poses[chosen & within][0])


def leaves(kind: str, session: Session, sizes: Sizes) -> Outcome:
    """`home` from there: slowly, nothing gets worse on the way, and the arm arrives or has at least
    come out.
    """
    arm = ForeignArm(session)
    pose = violating_pose(kind, session, sizes.seed)
    arm.begin(pose)
    began_ns = session.now_ns()
    detail = _asked_home(session)
    kept, figures = with_figures(session, began_ns)
    figures["moved, rad"] = moved_rad(session, began_ns)
    last = seen(session, began_ns).joint_rad[-1]
    out = not judge_of(session.robot_name).violated(last) or detail == ""
    arm.begin()
    return Outcome(kept and out and figures["moved, rad"] > 0.02, figures, detail)


def _asked_home(session: Session) -> str:
    """Why the arm is not at home; '' if it is. A machine that stalls ends the way, as it must: it
    is asked again.
    """
    for _ in range(HOME_TRIES):
        try:
            session.call("home")
            return ""
        except RobotError as error:
            why = str(error)
            if "blocked" in why:
                break
    return why


def blocked(action: Sequence[float], joint: str, session: Session, sizes: Sizes) -> Outcome:
    """Something holds a joint; the command does not run away from it, or control says which joint
    does not follow.
    """
    arm = ForeignArm(session)
    arm.begin()
    index = session.robot.joint_names.index(joint)
    arm.do(block=joint)
    session.call("set_mode", mode="teleop")
    began_ns = session.now_ns()
    detail = ""
    with steady(session, action):
        for _ in range(20):
            passes(session, 0.1)
            detail = detail or (told(session) if joint in told(session) else "")
    commands = [
        state.commanded_rad[index] for state in list(session.states) if _commanded(state, began_ns)
    ]
    ahead = max(
        (abs(value - session.robot.home_rad[index]) for value in commands), default=math.inf
    )
    freed_ns = session.now_ns()
    arm.do(free=True)
    passes(session, 0.5)
    kept, figures = with_figures(session, freed_ns)
    arm.begin()
    figures["command ahead of the joint, rad"] = ahead
    near = ahead <= session.robot.max_following_error_rad
    return Outcome(kept and ahead <= FOLLOWING_RAD and (near or joint in detail), figures, detail)


def _commanded(state: RobotState, since_ns: int) -> bool:
    return to_ns(state.header.stamp) >= since_ns and len(state.commanded_rad) > 0


@contextlib.contextmanager
def steady(session: Session, action: Sequence[float]) -> Iterator[None]:
    """A person who pushes in one direction."""
    with sending(session, "teleop", action=action, half_s=math.inf):
        yield


def turn_off(session: Session, sizes: Sizes) -> Outcome:
    """An encoder that reads a whole turn beyond: the joint is named and nothing moves."""
    arm = ForeignArm(session)
    pose = np.array(session.robot.home_rad)
    pose[0] += 2 * np.pi
    arm.begin(pose)
    began_ns = session.now_ns()
    session.call("set_mode", mode="policy")
    with sending(session, "policy", action=SLOWLY):
        passes(session, 1.0)
    moved, detail = moved_rad(session, began_ns), told(session)
    named = f"'{session.robot.joint_names[0]}' reads" in session.states[-1].reason
    arm.begin()
    return Outcome(moved <= STILL_RAD and named, {"moved, rad": moved}, detail)


JUDGED = "no jump: speed at the joints within 5 % of the limit"
STOPS = "no motion later than 60 ms after the request beyond braking, none while stopped"
OUT = "home leaves it slowly; no violated distance shrinks on the way"
NAMED_HOLD = (
    "the command stays near the joint; beyond max_following_error_rad it holds and names it"
)


SENDERS = {
    "policy at 10 Hz": [("policy", 10.0)],
    "teleop at 20 Hz": [("teleop", 20.0)],
    "teleop at 50 Hz": [("teleop", 50.0)],
    "policy and teleop": [("policy", 10.0), ("teleop", 10.0)],
}
KINDS = ("folded", "on the table", "outside the box", "beyond a joint limit")
CASES = (
    foreign_case("one joint sample leaps", JUDGED, partial(wrong_sample, "one joint sample leaps")),
    foreign_case(
        "one joint sample is huge", JUDGED, partial(wrong_sample, "one joint sample is huge")
    ),
    foreign_case("joints of 1e308", "named, holds, control lives", impossible_joints),
    foreign_case(
        "one joint stamp of the future", "moves on, or says that and why it does not", future_stamp
    ),
    foreign_case(
        "two publishers of joint_states", "latched stop, both named, no jump", two_drivers
    ),
    *(
        foreign_case(f"stop under {name}", STOPS, partial(stop_under, senders))
        for name, senders in SENDERS.items()
    ),
    foreign_case(
        "a second teleop", "latched stop, both named, no motion while stopped", second_teleop
    ),
    *(foreign_case(f"begins {kind}", OUT, partial(leaves, kind)) for kind in KINDS),
    foreign_case(
        "elbow blocked", NAMED_HOLD, partial(blocked, (0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0), "elbow")
    ),
    foreign_case(
        "forearm_roll blocked, rotation", NAMED_HOLD, partial(blocked, TURNING, "forearm_roll")
    ),
    foreign_case("a joint reads a turn off", "named, nothing moves", turn_off),
)
