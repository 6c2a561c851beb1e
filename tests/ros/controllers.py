"""An arm behind ros2_control, as a process: `python controllers.py '{"output": ..., "joints": [...], ...}'`.

What joint_trajectory_controller and forward_command_controller refuse and do, after their sources (ros2_controllers,
validate_trajectory_msg and ForwardControllersBase::update): neither package is to be had here. Positions without
velocities are interpolated linearly, from where the joints are to the point, reached at stamp + time_from_start.
joint_states come in an order of their own, with joints that are nobody's. What was refused is told on `refused`.
"""

import contextlib
import json
import sys

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

PERIOD_S = 0.01
EXTRA = {"wheel_left": 12.0, "pan_tilt": -0.4}


def seconds(time):
    return time.sec + time.nanosec * 1e-9


class Controller:
    """One controller over some of the hardware's joints."""

    def __init__(self, node, joints, topic, positions):
        self.node, self.joints, self.hardware = node, joints, positions
        self.goal, self.start, self.began_s, self.reached_s = None, None, 0.0, 0.0

    def refuse(self, why):
        self.node.refused.publish(String(data=why))

    def advance(self, now_s):
        if self.goal is None:
            return
        span_s = max(self.reached_s - self.began_s, 1e-9)
        share = min(1.0, max(0.0, (now_s - self.began_s) / span_s))
        for name, goal in self.goal.items():
            self.hardware[name] = self.start[name] + share * (goal - self.start[name])

    def head_for(self, goal, reached_s):
        now_s = self.node.now_s()
        self.start = {name: self.hardware[name] for name in goal}
        self.goal, self.began_s, self.reached_s = goal, now_s, reached_s


class TrajectoryController(Controller):
    def __init__(self, node, joints, topic, positions):
        super().__init__(node, joints, topic, positions)
        node.create_subscription(JointTrajectory, topic, self.on_trajectory, 10)

    def on_trajectory(self, message):
        why = self.invalid(message)
        if why:
            self.refuse(why)
            return
        point = message.points[-1]
        stamp_s = seconds(message.header.stamp) or self.node.now_s()
        goal = dict(zip(message.joint_names, point.positions, strict=True))
        self.head_for(goal, stamp_s + seconds(point.time_from_start))

    def invalid(self, message):
        if len(message.joint_names) != len(self.joints):
            return "Joints on incoming trajectory don't match the controller joints."
        if not message.points:
            return "Empty trajectory received."
        stamp_s, end_s = seconds(message.header.stamp), seconds(message.points[-1].time_from_start)
        if stamp_s and stamp_s + end_s < self.node.now_s():
            return "Received trajectory with non-zero start time that ends in the past"
        for name in message.joint_names:
            if name not in self.joints:
                return f"Incoming joint {name} doesn't match the controller's joints."
        before_s = 0.0
        for index, point in enumerate(message.points):
            if index and seconds(point.time_from_start) <= before_s:
                return "Time between points is not strictly increasing"
            before_s = seconds(point.time_from_start)
            if len(point.positions) != len(message.joint_names):
                return f"Mismatch between joint_names size and positions at point #{index}."
            for values in (point.velocities, point.accelerations):
                if len(values) not in (0, len(message.joint_names)):
                    return f"Mismatch between joint_names size and a field at point #{index}."
            if len(point.effort):
                return "Trajectories with effort fields are currently not supported."
        return ""


class ForwardController(Controller):
    def __init__(self, node, joints, topic, positions):
        super().__init__(node, joints, topic, positions)
        node.create_subscription(Float64MultiArray, topic, self.on_command, 10)

    def on_command(self, message):
        if len(message.data) != len(self.joints):
            self.refuse(f"command size ({len(message.data)}) does not match number of interfaces ({len(self.joints)})")
            return
        self.head_for(dict(zip(self.joints, message.data, strict=True)), self.node.now_s())


class Hardware(Node):
    """The arm's controller and the gripper's, and a joint_state_broadcaster."""

    def __init__(self, output, joints, topic, gripper_joint, gripper_topic, start):
        super().__init__("controllers")
        self.positions = {**EXTRA, **start}
        self.order = sorted(self.positions, key=lambda name: name[::-1])
        self.refused = self.create_publisher(String, "refused", 100)
        kind = {"trajectory": TrajectoryController, "positions": ForwardController}[output]
        self.controllers = [kind(self, joints, topic, self.positions)]
        self.controllers.append(kind(self, [gripper_joint], gripper_topic, self.positions))
        self.states = self.create_publisher(JointState, "joint_states", 10)
        self.create_timer(PERIOD_S, self.update)

    def now_s(self):
        return self.get_clock().now().nanoseconds * 1e-9

    def update(self):
        for controller in self.controllers:
            controller.advance(self.now_s())
        message = JointState(name=self.order, position=[float(self.positions[name]) for name in self.order])
        message.header.stamp = self.get_clock().now().to_msg()
        self.states.publish(message)


if __name__ == "__main__":
    rclpy.init()
    node = Hardware(**json.loads(sys.argv[1]))
    with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.spin(node)
