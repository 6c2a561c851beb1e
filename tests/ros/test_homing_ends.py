"""The way home ends: at home, or with the name of what is in the way; and leads out of a pose that
may not be.
"""

import numpy as np
import pytest

from conure_core.control import ControlLoop
from conure_core.errors import UnsafeCommand
from conure_ros.control.homing import Homing
from conure_ros.faults.judge.rules import CommandedMotion, Judge

from .supervised import ARM, HOME, ROBOT

WENT_BACK_AND_FORTH = [
    [2.2186, -0.1582, 1.5201, 2.8805, 1.5922, 2.0845],
    [-0.9262, -1.8650, -0.7368, 2.4821, 0.7172, -1.5992],
    [-1.3134, -1.2860, -0.3708, -2.2877, 0.1292, -0.8428],
]
"""Out of these poses the joints' way and the tool's led to and fro without end."""
LONG = 1000


@pytest.fixture(scope="module")
def judge():
    judge = Judge("wx250s")
    yield judge
    judge.close()


def way_home(start_rad):
    """Commands (k, n), and what blocked the way; '' at home."""
    loop = ControlLoop(ARM)
    loop.reset(np.array(start_rad), ROBOT.gripper_open_m)
    homing, commands = Homing(loop, speed_rad_s=0.8), []
    while not homing.arrived:
        assert len(commands) < LONG, "it does not end"
        try:
            commands.append(homing.step(age_s=0.0).joint_rad)
        except UnsafeCommand as error:
            return np.array(commands), str(error)
    return np.array(commands), ""


@pytest.mark.parametrize("start_rad", WENT_BACK_AND_FORTH, ids=range(len(WENT_BACK_AND_FORTH)))
def test_out_of_a_bad_pose_it_ends_at_home_or_names_what_blocks_it_and_makes_nothing_worse(
    judge, start_rad
):
    commands, blocked = way_home(start_rad)
    rested = np.arange(len(commands)) == 0
    assert judge.is_violating(start_rad)
    assert judge.judge_commands(CommandedMotion(np.array(start_rad), commands, rested)).kept
    assert not judge.is_violating(commands[-1]), "it came out"
    assert blocked == "" or "homing is blocked: " in blocked
    assert blocked or np.abs(commands[-1] - HOME).max() < 1e-5


def test_the_tools_way_leads_on_where_the_joints_straight_way_leaves_the_box(judge):
    commands, blocked = way_home([-0.47, -1.1515, -0.7342, -2.62, 0.9519, 2.96])
    assert blocked == ""
    assert judge.robot.outside_m(commands).max() <= 1e-3
