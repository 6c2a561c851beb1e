"""A teleop_node in this process, what a hand does to it, and what it sends: with clocks of the
test's own.
"""

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import JointState, Joy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from conure_core.robot.description import load_robot
from conure_ros.comms.messages import joint_state_message, to_time
from conure_ros.nodes import teleop_node
from conure_ros.nodes.teleop_node import TeleopParameters

ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
PERIOD_S = ROBOT.control_period_s
PAD = TeleopParameters()
STALE_S, UNCHANGED_S = PAD.stale_s, PAD.unchanged_s
BEGAN_NS = 1_000_000_000_000
SUCCESS = TransitionCallbackReturn.SUCCESS
HALF_OPEN_M = 0.5 * (ROBOT.gripper_closed_m + ROBOT.gripper_open_m)


class Claim:
    """Stands for the claim to command/teleop; keeps what is sent."""

    topic = "/command/teleop"

    def __init__(self):
        self.sent, self.held, self.found = [], False, ""

    def claim(self):
        self.held = True

    def release(self):
        self.held = False

    def publish(self, message):
        assert self.held
        self.sent.append(message)

    def other_publishers(self):
        return self.found


class Log:
    def __init__(self):
        self.said, self.infos = [], []

    def info(self, text):
        self.infos.append(text)

    def __getattr__(self, level):
        return lambda text: self.said.append((level, text))


class Hand:
    """A node whose time runs only in `wait`; its timers run only when the test says so."""

    def __init__(self, node, monkeypatch):
        self.node, self.t_s, self.resets, self.diagnoses = node, 100.0, 0, []
        self.log = Log()
        node.commands, node.get_logger = Claim(), lambda: self.log
        node.now_ns = lambda: BEGAN_NS + round((self.t_s - 100.0) * 1e9)
        monkeypatch.setattr(teleop_node.time, "monotonic", lambda: self.t_s)
        node.timer.reset = self._reset
        node.diagnostics = self
        assert node.trigger_activate() == SUCCESS

    def _reset(self):
        self.resets += 1

    def publish(self, message):
        self.diagnoses.append(message)

    def wait(self, seconds):
        self.t_s += seconds

    def hear(self, topic, message, stamped=True, age_s=0.0):
        if stamped:
            message.header.stamp = to_time(self.node.now_ns() - round(age_s * 1e9))
        (callback,) = (
            some.callback
            for some in self.node.subscriptions
            if some.topic_name.lstrip("/") == topic
        )
        callback(message)

    def joy(self, *pressed, age_s=0.0, stamped=True, **axes):
        values = [0.0] * PAD.axis_count
        for name, value in axes.items():
            values[int(name[1:])] = value
        buttons = [int(number in pressed) for number in range(PAD.button_count)]
        self.hear("joy", Joy(axes=values, buttons=buttons), stamped, age_s)

    def push(self, *pressed, forward=0.5, **words):
        self.joy(PAD.dead_man_button, *pressed, a1=forward, **words)

    def twist(self, linear_x, frame="", **words):
        message = TwistStamped()
        message.header.frame_id, message.twist.linear.x = frame, linear_x
        self.hear("teleop/twist", message, **words)

    def gripper(self, position_m, **words):
        self.hear(
            "teleop/gripper", JointState(name=[ROBOT.gripper_joint], position=[position_m]), **words
        )

    def measure(self, gripper_m):
        message = joint_state_message(ROBOT, HOME, np.zeros(6), gripper_m, self.node.now_ns())
        self.hear("joint_states", message, stamped=False)

    def command(self, gripper_m, names=(ROBOT.gripper_joint,), points=1):
        positions = [gripper_m] * len(names)
        ways = [JointTrajectoryPoint(positions=[0.0] * len(names)) for _ in range(points - 1)]
        ways += [JointTrajectoryPoint(positions=positions)] * min(1, points)
        self.hear(
            "joint_trajectory", JointTrajectory(joint_names=list(names), points=ways), stamped=False
        )

    @property
    def sent(self):
        return self.node.commands.sent

    @property
    def action(self):
        return list(self.sent[-1].action)

    def fault(self):
        self.node._diagnose()
        (status,) = self.diagnoses[-1].status
        assert status.name == "teleop: input"
        return status.message
