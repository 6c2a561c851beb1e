"""Motions and measurements that an arm must not show, and poses that violate a rule. The arm is
foreign.
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
from conure_msgs.msg import Mode, PolicyCommand, RobotState
from conure_ros.comms.messages import joint_state_message, to_ns
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.sole_publisher import NO_NAME
from conure_ros.faults.gate import start_poses
from conure_ros.faults.judge.rules import REST_S
from conure_ros.faults.live import (
    ForeignArm,
    describe_control,
    foreign_case,
    judge_since,
    largest_motion_rad,
    let_time_pass,
    measure_stop,
    measured_motion,
    send_commands,
    shared_judge,
    wait_for_motion,
)
from conure_ros.faults.session import HOME_TRIES, Session
from conure_ros.faults.table import Outcome, Sizes

STOPPED_S = 1.0
STILL_RAD = 0.01
SEEN_S = 2.0
"""How long control may take to detect one more publisher, s."""
AFTER_A_SAMPLE_RAD = 0.3
"""Largest motion in the second after a wrong sample, rad: slow commands lead no further."""
FOLLOWING_RAD = 0.6
"""How far a command may be ahead of a stuck joint, rad."""
SLOWLY = (0.2, 0.1, 0.1, 0.0, 0.0, 0.2, 0.0)
TURNING = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def _judge_since(session: Session, since_ns: int) -> tuple[bool, dict[str, float]]:
    """Whether the joints kept limits and speed since then, and each excess."""
    judgement = judge_since(session, since_ns)
    figures = {f"beyond {name}": value for name, value in judgement.broken.items()}
    return judgement.kept and judgement.rows > 0, figures


def _begin_with_wrong_sample(fault: str, session: Session, arm: ForeignArm) -> int:
    """Reset the stop while nothing is measured: the first sample, from which control would start,
    is the wrong one.

    Returns:
        When the fault began, ns.
    """
    arm.begin()
    arm.do(silent=True)
    session.call("reset_stop")
    began_ns = session.inject(fault)
    try:
        arm.do(silent=False)
        session.wait_for_spoiled()
    finally:
        session.inject("")
    return began_ns


def _wrong_sample(fault: str, session: Session, sizes: Sizes) -> Outcome:
    """One sample is wrong while the arm holds; then the policy moves the arm slowly."""
    arm = ForeignArm(session)
    began_ns = _begin_with_wrong_sample(fault, session, arm)
    session.choose("policy")
    with send_commands(session, "policy", action=SLOWLY):
        let_time_pass(session, 1.5)
    moved = largest_motion_rad(session, began_ns)
    kept, figures = _judge_since(session, began_ns)
    commands = [
        state.commanded_rad for state in list(session.states) if _commanded(state, began_ns)
    ]
    furthest = (
        float(np.abs(np.array(commands) - np.array(session.robot.home_rad)).max())
        if commands
        else math.inf
    )
    figures |= {"moved, rad": moved, "largest command distance from the arm, rad": furthest}
    detail = describe_control(session)
    arm.begin()
    return Outcome(
        kept and moved <= AFTER_A_SAMPLE_RAD and furthest <= AFTER_A_SAMPLE_RAD, figures, detail
    )


def _impossible_joints(session: Session, sizes: Sizes) -> Outcome:
    """1e308 rad in all samples: control reports it, holds and survives."""
    arm = ForeignArm(session)
    arm.begin()
    session.inject("joints of 1e308")
    try:
        session.choose("policy")
        with send_commands(session, "policy", action=SLOWLY):
            let_time_pass(session, 1.5)
        detail, lives = describe_control(session), session.graph.processes["control"].poll() is None
        holds = session.states[-1].mode.value in (Mode.HOLD, Mode.STOPPED)
    finally:
        session.inject("")
    if not lives:
        return Outcome(False, detail="control ended")
    arm.begin()
    return Outcome(holds and detail != "", {}, detail)


def _future_stamp(session: Session, sizes: Sizes) -> Outcome:
    """One future stamp while control anchors. The policy moves the arm nevertheless, or the reason
    is published.
    """
    arm = ForeignArm(session)
    _begin_with_wrong_sample("one joint stamp 5 s in the future", session, arm)
    session.choose("policy")
    began_ns = session.now_ns()
    with send_commands(session, "policy", action=SLOWLY), contextlib.suppress(RobotError):
        wait_for_motion(session, began_ns, rad=0.01, timeout_s=2.0)
    moved, refused = largest_motion_rad(session, began_ns), session.states[-1].refused_commands
    reported = refused > 0 and session.states[-1].refusal != ""
    detail = describe_control(session)
    arm.begin()
    figures = {"moved, rad": moved, "refused commands": float(refused)}
    return Outcome(moved > 0.01 or reported, figures, detail)


@contextlib.contextmanager
def _publish_second_joint_states(session: Session, away_rad: float) -> Iterator[None]:
    """Publish joint_states as another arm's driver, 100 times a second."""
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


def _two_drivers(session: Session, sizes: Sizes) -> Outcome:
    """Both are named, the stop is latched; the arm stays within its limits and where it was."""
    arm = ForeignArm(session)
    arm.begin()
    session.choose("policy")
    began_ns = session.now_ns()
    detail = "not stopped"
    with send_commands(session, "policy", action=SLOWLY):
        wait_for_motion(session, began_ns)
        with _publish_second_joint_states(session, 1.0), contextlib.suppress(RobotError):
            session.wait(lambda: session.states[-1].stopped, 2.0, "control stops")
            session.wait(lambda: NO_NAME not in session.states[-1].reason, 3.0, "both are named")
            detail = describe_control(session)
            let_time_pass(session, 0.3)
    kept, figures = _judge_since(session, began_ns)
    session.wait(
        lambda: session.node.count_publishers("joint_states") == 1,
        10.0,
        "the second driver is gone",
    )
    arm.begin()
    named = "/faults" in detail and "/fault" in detail.replace("/faults", "")
    return Outcome(kept and named, figures, detail)


def _stop_under(senders: Sequence[tuple[str, float]], session: Session, sizes: Sizes) -> Outcome:
    """Motion of the joints after a stop, while the senders continue; a few times."""
    arm, rng = ForeignArm(session), np.random.default_rng(sizes.seed)
    stop_s = 0.04 + sizes.stop_p99_ms / 1e3
    late, stopped, ended, kept = [], [], [], True
    for _ in range(max(1, min(3, sizes.stops))):
        arm.begin(_sample_near_home(session, rng))
        session.choose(senders[0][0])
        began_ns = session.now_ns()
        with contextlib.ExitStack() as stack:
            for number, (source, rate_hz) in enumerate(senders):
                stack.enter_context(send_commands(session, source, rate_hz, offset_s=0.05 * number))
            wait_for_motion(session, began_ns)
            let_time_pass(session, float(rng.uniform(0.2, 0.8)))
            asked_ns = session.now_ns()
            session.call("stop")
            let_time_pass(session, STOPPED_S)
            motion = measure_stop(session, asked_ns, session.now_ns(), stop_s)
        kept = (
            kept
            and motion.kept
            and session.states[-1].stopped
            and _judge_since(session, began_ns)[0]
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


def _second_teleop(session: Session, sizes: Sizes) -> Outcome:
    """A second node starts to command as a person: a latched stop that names both, and no motion
    after it.
    """
    arm = ForeignArm(session)
    arm.begin()
    session.choose("teleop")
    began_ns, detail = session.now_ns(), "not stopped"
    with send_commands(session, "teleop"):
        wait_for_motion(session, began_ns)
        other = session.node.create_publisher(PolicyCommand, "command/teleop", NEWEST)
        joined_ns = session.now_ns()
        with contextlib.suppress(RobotError):
            session.wait(lambda: session.states[-1].stopped, SEEN_S, "control stops")
            detail = describe_control(session)
        stopped_ns = session.now_ns()
        let_time_pass(session, STOPPED_S)
        moved = largest_motion_rad(session, stopped_ns + round(REST_S * 1e9))
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


def _sample_near_home(session: Session, rng: np.random.Generator) -> Array:
    """A random pose near home that violates no rule."""
    home = np.array(session.robot.home_rad)
    judge = shared_judge(session.robot_name)
    while judge.is_violating(pose := home + rng.normal(0.0, 0.1, home.shape)):
        pass
    return pose


def _find_violating_pose(kind: str, session: Session, seed: int) -> Array:
    """A pose that violates exactly the rule that `kind` names, in the judge's opinion."""
    judge, rng = shared_judge(session.robot_name), np.random.default_rng(seed)
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


def _home_from(kind: str, session: Session, sizes: Sizes) -> Outcome:
    """`home` from a violating pose: slowly, nothing gets worse, and the arm arrives or at least
    leaves the violation.
    """
    arm = ForeignArm(session)
    pose = _find_violating_pose(kind, session, sizes.seed)
    arm.begin(pose)
    began_ns = session.now_ns()
    detail = _request_home(session)
    kept, figures = _judge_since(session, began_ns)
    figures["moved, rad"] = largest_motion_rad(session, began_ns)
    last = measured_motion(session, began_ns).joint_rad[-1]
    out = not shared_judge(session.robot_name).is_violating(last) or detail == ""
    arm.begin()
    return Outcome(kept and out and figures["moved, rad"] > 0.02, figures, detail)


def _request_home(session: Session) -> str:
    """Go home. Returns why the arm is not there, or ''. A machine that stalls ends homing; then it
    is requested again.
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


def _blocked_joint(action: Sequence[float], joint: str, session: Session, sizes: Sizes) -> Outcome:
    """Something holds a joint. The command stays near it, or control names the joint that does not
    follow.
    """
    arm = ForeignArm(session)
    arm.begin()
    index = session.robot.joint_names.index(joint)
    arm.do(block=joint)
    session.choose("teleop")
    began_ns = session.now_ns()
    detail = ""
    with _push(session, action):
        for _ in range(20):
            let_time_pass(session, 0.1)
            detail = detail or (
                describe_control(session) if joint in describe_control(session) else ""
            )
    commands = [
        state.commanded_rad[index] for state in list(session.states) if _commanded(state, began_ns)
    ]
    ahead = max(
        (abs(value - session.robot.home_rad[index]) for value in commands), default=math.inf
    )
    freed_ns = session.now_ns()
    arm.do(free=True)
    let_time_pass(session, 0.5)
    kept, figures = _judge_since(session, freed_ns)
    arm.begin()
    figures["command ahead of the joint, rad"] = ahead
    near = ahead <= session.robot.max_following_error_rad
    return Outcome(kept and ahead <= FOLLOWING_RAD and (near or joint in detail), figures, detail)


def _commanded(state: RobotState, since_ns: int) -> bool:
    return to_ns(state.header.stamp) >= since_ns and len(state.commanded_rad) > 0


@contextlib.contextmanager
def _push(session: Session, action: Sequence[float]) -> Iterator[None]:
    """A person who pushes in one direction."""
    with send_commands(session, "teleop", action=action, half_s=math.inf):
        yield


def _full_turn_error(session: Session, sizes: Sizes) -> Outcome:
    """An encoder that reads one turn too much: the joint is named, and nothing moves."""
    arm = ForeignArm(session)
    pose = np.array(session.robot.home_rad)
    pose[0] += 2 * np.pi
    arm.begin(pose)
    began_ns = session.now_ns()
    session.choose("policy")
    with send_commands(session, "policy", action=SLOWLY):
        let_time_pass(session, 1.0)
    moved, detail = largest_motion_rad(session, began_ns), describe_control(session)
    named = f"'{session.robot.joint_names[0]}' reads" in session.states[-1].reason
    arm.begin()
    return Outcome(moved <= STILL_RAD and named, {"moved, rad": moved}, detail)


JUDGED = "no jump: speed at the joints within 5 % of the limit"
STOPS = "no motion later than 60 ms after the request beyond braking, none while stopped"
OUT = "homing leaves it slowly; no violated distance shrinks"
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
    foreign_case(
        "one joint sample leaps", JUDGED, partial(_wrong_sample, "one joint sample leaps")
    ),
    foreign_case(
        "one joint sample is huge", JUDGED, partial(_wrong_sample, "one joint sample is huge")
    ),
    foreign_case("joints of 1e308", "named, holds, control lives", _impossible_joints),
    foreign_case(
        "one joint stamp of the future", "moves, or reports why it does not", _future_stamp
    ),
    foreign_case(
        "two publishers of joint_states", "latched stop, both named, no jump", _two_drivers
    ),
    *(
        foreign_case(f"stop under {name}", STOPS, partial(_stop_under, senders))
        for name, senders in SENDERS.items()
    ),
    foreign_case(
        "a second teleop", "latched stop, both named, no motion while stopped", _second_teleop
    ),
    *(foreign_case(f"begins {kind}", OUT, partial(_home_from, kind)) for kind in KINDS),
    foreign_case(
        "elbow blocked",
        NAMED_HOLD,
        partial(_blocked_joint, (0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0), "elbow"),
    ),
    foreign_case(
        "forearm_roll blocked, rotation",
        NAMED_HOLD,
        partial(_blocked_joint, TURNING, "forearm_roll"),
    ),
    foreign_case("a joint reads a turn off", "named, nothing moves", _full_turn_error),
)
