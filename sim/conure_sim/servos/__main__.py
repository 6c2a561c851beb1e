"""`python -m conure_sim.servos ROBOT PORT`: an arm on simulated servos, in real time, until it is
interrupted.
"""

import contextlib
import signal
import sys
import time
from pathlib import Path

import numpy as np

from conure_core.robot.description import load_robot
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.physics.world import PHYSICS_HZ, World
from conure_sim.servos.arm import ServoArm

TICK_S = 0.01


def run(robot_name: str, port: Path) -> None:
    """Physics follows the steady clock; what a slow machine cannot keep up with is left out."""
    robot = load_robot(robot_name)
    world = World(robot, table_camera(48, robot_name))
    world.reset(np.array(robot.home_rad), robot.gripper_open_m)
    with ServoArm(robot_name, world, port) as arm:
        print("ready", flush=True)
        began_s, steps = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began_s) * PHYSICS_HZ) - steps
            now = min(due, PHYSICS_HZ // 10)
            arm.exchange(world, now / PHYSICS_HZ)
            world.advance_steps(now)
            steps += due
            time.sleep(max(0.0, TICK_S - (time.monotonic() - began_s) % TICK_S))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        run(sys.argv[1], Path(sys.argv[2]))
