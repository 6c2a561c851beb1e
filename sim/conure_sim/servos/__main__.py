"""`python -m conure_sim.servos ROBOT PORT`: an arm on simulated servos, in real time."""

import contextlib
import signal
import sys
import time
from pathlib import Path

import numpy as np

from conure_core.robot.description import load_robot
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.physics.world import PHYSICS_HZ
from conure_sim.servos.arm import ServoArm

TICK_S = 0.01


def run(robot_name: str, port: Path) -> None:
    """Simulate in real time, until interrupted; a slow machine leaves out what it cannot follow.

    Args:
        robot_name: A robot with a section `bus`, or the path of its YAML file.
        port: Where to link the pseudo-terminal.
    """
    robot = load_robot(robot_name)
    world = BulletWorld(robot, table_camera(48, robot_name))
    world.reset(np.array(robot.home_rad), robot.gripper_open_m)
    with ServoArm(robot_name, world, port) as arm:
        print("ready", flush=True)
        began_s = time.monotonic()
        steps = 0
        while True:
            elapsed_s = time.monotonic() - began_s
            due = int(elapsed_s * PHYSICS_HZ) - steps
            now = min(due, PHYSICS_HZ // 10)
            arm.exchange(world, now / PHYSICS_HZ)
            world.advance_steps(now)
            steps += due

            elapsed_s = time.monotonic() - began_s
            time.sleep(max(0.0, TICK_S - elapsed_s % TICK_S))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        run(sys.argv[1], Path(sys.argv[2]))
