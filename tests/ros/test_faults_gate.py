"""Random commands through the real gate, judged by what comes out; `conure faults gate` runs millions of them."""

import numpy as np
import pytest

from conure_core.arm import Arm
from conure_core.robot import load_robot
from conure_ros.faults import gate
from conure_ros.faults.gate import run_gate


@pytest.mark.parametrize(
    ("robot", "scale", "commands"), [("wx250s", 1.0, 10_000), ("wx250s", 0.1, 6_000), ("panda", 0.2, 4_000)]
)
def test_no_random_command_leaves_the_limits(robot, scale, commands):
    excess = run_gate(robot, commands, seed=1, acceleration_scale=scale)
    assert excess.commands + excess.refused == commands
    assert excess.refused > 0.01 * commands, "bad targets were among them"
    assert excess.within_limits, excess


@pytest.mark.parametrize(("step", "limit"), [(0.5, "speed_rad_s"), (4.0, "position_rad"), (np.nan, "not_finite")])
def test_the_judge_sees_commands_beyond_a_limit(step, limit):
    arm = Arm(load_robot("wx250s"))
    home = np.array(arm.config.home_rad)
    log = gate._Log(before=[home], commands=[home + step], restarted=[True])
    excess = gate._judged(arm, log)
    assert getattr(excess, limit) > 0
    assert not excess.within_limits


def test_the_judge_sees_a_speed_that_changes_too_fast():
    arm = Arm(load_robot("wx250s"))
    home = np.array(arm.config.home_rad)
    there = home + 0.2
    excess = gate._judged(arm, gate._Log(before=[home, there], commands=[there, home], restarted=[True, False]))
    assert excess.speed_rad_s <= 0 < excess.acceleration_rad_s2
