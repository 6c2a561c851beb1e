"""Run a bundle as the robot does: no torch, no simulator, no ROS.

python examples/run_a_bundle.py [BUNDLE]
"""

import sys

import numpy as np

from conure_core.contract.bundle import load_bundle
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.robot.proprioception import proprioception

robot = load_robot("wx250s")
folder = sys.argv[1] if len(sys.argv) > 1 else "out/demo/bundle"
bundle = load_bundle(folder, robot.contract(image_size_px=48))  # refused by name if it differs

image = np.zeros((48, 48, 3), dtype=np.uint8)  # from a camera, on a robot
joint_rad = np.array(robot.home_rad)
observation = {
    "image": image,
    "proprio": proprioception(Arm(robot), joint_rad, robot.gripper_open_m),
}

output = bundle.act(observation)  # the policy's mean; noise=... samples
print("action:", *(f"{value:+.2f}" for value in output.action))
print(f"log-likelihood under the prior: {output.log_likelihood:.1f} nats")

z, log_likelihood = bundle.invert(observation, np.zeros(7))  # any action has a z
print(f"standing still: |z| = {np.linalg.norm(z):.1f}, {log_likelihood:.1f} nats")
