"""The way home ends: at home, or with the name of what is in the way; and leads out of a pose that
may not be.
"""

import numpy as np
import pytest

from conure_core.control.loop import ControlLoop
from conure_core.errors import UnsafeCommand
from conure_ros.control import homing as homing_module
from conure_ros.control.homing import WAYS, Homing, blocked_by
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


def test_a_way_of_the_joints_that_would_be_cut_is_left_for_one_of_the_tool():
    """Cut, it would not be straight any more; nobody could say where it leads."""
    loop = ControlLoop(ARM)
    loop.reset(np.array([-0.47, -1.1515, -0.7342, -2.62, 0.9519, 2.96]), ROBOT.gripper_open_m)
    homing, taken = Homing(loop, speed_rad_s=0.8), []
    while not homing.arrived:
        cut = blocked_by(homing.step(age_s=0.0))
        taken.append(homing._ways[0])
        assert not (cut and taken[-1] == "joints"), cut
    assert taken[0] == "position" and taken[-1] == "joints"


@pytest.mark.parametrize(
    "offset_rad", [[0.9, 0, 0, 0, 0, 0], [-0.9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0.9, 0]]
)
def test_a_slow_way_of_one_joint_comes_nearer_all_the_time(offset_rad):
    """It lasts longer than homing waits for a way that comes no nearer."""
    loop = ControlLoop(ARM)
    loop.reset(HOME + offset_rad, ROBOT.gripper_open_m)
    homing, steps = Homing(loop, speed_rad_s=0.1), 0
    while not homing.arrived:
        homing.step(age_s=0.0)
        steps += 1
        assert homing._ways == WAYS and steps < LONG
    assert steps > 60


@pytest.mark.parametrize(
    "start_rad",
    [
        [-1.691, 0.8013, 0.9971, -1.9012, 1.6168, 1.0685],
        [-0.8563, -0.8017, -0.5227, 2.8728, -0.4585, 1.9318],
        [0.8028, -1.0979, -1.035, 0.42, 1.5947, 2.3569],
    ],
)
def test_the_way_out_leads_off_what_is_violated_before_it_leads_home(start_rad):
    """Straight home the violations of these poses stay as they are for a while."""
    loop = ControlLoop(ARM)
    loop.reset(np.array(start_rad), ROBOT.gripper_open_m)
    command = Homing(loop, speed_rad_s=0.8).step(age_s=0.0)
    depth_before, depth_after = map(np.sum, map(loop.gate.depths, (start_rad, command.joint_rad)))
    assert depth_before > 0.0
    assert depth_after < 0.985 * depth_before


def test_the_way_out_avoids_what_the_first_attempt_met():
    start_rad = np.array([0.6001, 1.8318, 1.7077, 0.9196, -2.1558, 0.9153])
    loop = ControlLoop(ARM)
    loop.reset(start_rad, ROBOT.gripper_open_m)
    command = Homing(loop, speed_rad_s=0.8).step(age_s=0.0)
    assert loop.gate.depths(command.joint_rad).sum() < 0.99 * loop.gate.depths(start_rad).sum()


def test_where_nothing_leads_off_all_violations_at_once_it_goes_home(monkeypatch):
    monkeypatch.setattr(homing_module, "_smallest_mixture", lambda rows: np.zeros(rows.shape[1]))
    start_rad = np.array(HOME)
    start_rad[5] = ARM.upper_rad[5] + 0.05
    loop = ControlLoop(ARM)
    loop.reset(start_rad, ROBOT.gripper_open_m)
    command = Homing(loop, speed_rad_s=0.8).step(age_s=0.0)
    assert command.joint_rad[5] < start_rad[5]


def test_limits_that_no_joint_changes_have_no_gradient():
    loop = ControlLoop(ARM)
    loop.reset(HOME, ROBOT.gripper_open_m)
    every = np.ones(len(loop.gate.depths(HOME)), dtype=bool)
    assert not loop.gate.depths(HOME).any()
    assert Homing(loop, speed_rad_s=0.8)._gradients(HOME, every).shape == (0, len(HOME))
