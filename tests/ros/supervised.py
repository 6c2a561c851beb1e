"""A Supervisor with its clock, an arm that follows late, and everything that it said, in simulated
time.
"""

from dataclasses import dataclass, field

import numpy as np

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_ros.comms.messages import JointGoal, JointPart, JointSample
from conure_ros.control.arbiter import Mode, Request
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.supervisor import Supervisor

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
FAR = np.array([0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
ELSEWHERE = HOME + [0.5, 0.1, -0.1, 0.2, 0.1, -0.3]
TICK_S = 0.01
PERIOD_S = ROBOT.control_period_s
FORWARD = np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
BEGAN_NS = 1_000_000_000_000


@dataclass
class Rig:
    """Time runs only in `run`. The arm goes straight from where it is to the newest command, and
    lags by `lag`.
    """

    settings: ControlParameters = field(default_factory=ControlParameters)
    arm: Arm = ARM
    stopped_by: str = ""
    lag: float = 0.5
    """Share of the rest that is left after each tick."""
    ros_rate: float = 1.0
    spoil: object = None
    """What becomes of a sample: it, another, or None."""
    refuses: object = None
    """Which commands the arm's controller refuses, as one that hears them too late."""
    gripper_every: int = 0
    """Ticks between two messages of a gripper that is published apart; 0: it is not."""

    def __post_init__(self):
        self.t_s, self.ros_ns, self.offset_ns = 100.0, BEGAN_NS, 0
        self.joint_rad, self.gripper_m = (
            np.array(self.arm.config.home_rad),
            self.arm.config.gripper_open_m,
        )
        self.start, self.goal, self.began_s, self.duration_s = (
            self.joint_rad,
            self.joint_rad,
            0.0,
            1e-9,
        )
        self.blocked = np.zeros(len(self.joint_rad), dtype=bool)
        self.publishers, self.commands, self.states = {}, [], []
        self.torques, self.requests, self.track = [], {}, []
        self.supervisor = Supervisor(self.arm, self.settings, self, self, self.stopped_by)

    # The clock.

    def steady_s(self):
        return self.t_s

    def now_ns(self):
        return self.ros_ns + self.offset_ns

    # The sink.

    def send(self, command, now_ns):
        self.commands.append(command)
        if self.refuses is not None and self.refuses(command):
            return
        self.start, self.goal = self.set_point(), command.joint_rad
        self.began_s, self.duration_s = self.t_s, max(command.duration_s, 1e-9)
        self.gripper_m = command.gripper_m

    def begin(self, joint_rad, gripper_m):
        pass

    def report(self, status):
        self.states.append(status)

    def torque(self, on, request):
        self.torques.append(on)
        self.requests[on] = request

    def take_torque_answer(self, on, success, message):
        """The driver's answer to what it was asked last, of on and off."""
        self.supervisor.take_torque_answer(self.requests[on], success, message)

    # The arm.

    def set_point(self):
        share = min(1.0, (self.t_s - self.began_s) / self.duration_s)
        return self.start + share * (self.goal - self.start)

    def may_come_to(self):
        """Between which poses the arm brakes, (n, joints): its own, the set point, and, where that
        goes back to an arm that could not follow, the end of that.
        """
        goes_back = self.commands and self.commands[-1].changes == ("hold",)
        return np.array([self.joint_rad, self.set_point(), *([self.goal] if goes_back else [])])

    def put(self, joint_rad):
        """By hand, at once."""
        self.joint_rad = np.array(joint_rad)
        self.start = self.goal = self.joint_rad

    def sample(self):
        return JointSample(self.now_ns(), self.joint_rad.copy(), self.gripper_m)

    def run(self, seconds, send=None, every_s=PERIOD_S, source=Mode.POLICY):
        """Let time pass; with `send`, an action, a command of it every so often. Returns how many
        commands came out.
        """
        before, due_s, end_s = len(self.commands), self.t_s, self.t_s + seconds
        while self.t_s < end_s - 1e-9:
            if send is not None and self.t_s >= due_s - 1e-9:
                due_s += every_s
                self.request(send, source)
            self.tick()
        return len(self.commands) - before

    def tick(self):
        self.t_s += TICK_S
        self.ros_ns += round(TICK_S * self.ros_rate * 1e9)
        self.joint_rad = np.where(
            self.blocked,
            self.joint_rad,
            self.set_point() + self.lag * (self.joint_rad - self.set_point()),
        )
        self.track.append(self.joint_rad)
        sample = self.sample() if self.spoil is None else self.spoil(self.sample())
        if sample is not None:
            self._publish(sample.part)
        self.supervisor.tick(self.publishers)

    def _publish(self, part):
        if not self.gripper_every:
            self.supervisor.take_sample(part)
            return
        arm, gripper = np.arange(len(part.index) - 1), np.array([len(part.index) - 1])
        self.supervisor.take_sample(JointPart(part.stamp_ns, arm, part.positions[:-1]))
        if len(self.track) % self.gripper_every == 0:
            self.supervisor.take_sample(JointPart(part.stamp_ns, gripper, part.positions[-1:]))

    def request(self, action, source=Mode.POLICY, age_s=0.0, log_likelihood=float("nan")):
        captured_ns = self.now_ns() - round(age_s * 1e9)
        wanted = action if isinstance(action, JointGoal) else np.array(action)
        request = Request(captured_ns, wanted, log_likelihood=log_likelihood)
        self.supervisor.take_request(source, request)

    @property
    def state(self):
        return self.states[-1]


def ready(mode=Mode.POLICY, **words):
    """At home, anchored, with a mode chosen."""
    rig = Rig(**words)
    rig.supervisor.activate()
    rig.run(0.1)
    if mode is not None:
        rig.supervisor.select(mode)
    rig.run(0.02)
    return rig


def going_home(way_rad=FAR, **words):
    """So far from home, just asked to go there; and the answers."""
    rig, answers = ready(None, **words), []
    rig.put(HOME + way_rad)
    rig.run(0.1)
    rig.supervisor.home(answers.append)
    return rig, answers
