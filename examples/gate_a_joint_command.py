"""Pass joint targets through the safety gate, without ROS: what it changes, and why.

python examples/gate_a_joint_command.py
"""

import numpy as np

from conure_core.control.controller import JointTarget
from conure_core.control.safety import SafetyGate
from conure_core.errors import StaleInput
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

robot = load_robot("wx250s")
gate = SafetyGate(Arm(robot))
home = np.array(robot.home_rad)
gate.reset(home, robot.gripper_open_m)  # where the arm was measured

small = home + np.array([0.01, 0, 0, 0, 0, 0])
command = gate.check(JointTarget(small, robot.gripper_open_m), age_s=0.0)
print(f"0.01 rad: changed {command.changes or 'nothing'}")

far = home + np.array([1.0, 0, 0, 0, 0, 0])
command = gate.check(JointTarget(far, robot.gripper_open_m), age_s=0.0)
moved = command.joint_rad[0] - small[0]
print(f"1 rad in one step: moves {moved:.3f} rad, changed {', '.join(command.changes)}")

try:
    gate.check(JointTarget(home, robot.gripper_open_m), age_s=10.0)
except StaleInput as error:
    print(f"an answer to an old image: {error}")
