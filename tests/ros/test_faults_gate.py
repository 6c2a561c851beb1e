"""Random commands through the real gate, judged by what comes out; `conure faults gate` runs
millions of them.
"""

import numpy as np
import pytest

from conure_core.control.loop import ControlLoop
from conure_core.control.safety import SafetyGate
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_ros.faults import gate
from conure_ros.faults.gate import EPISODE, Episode, run_gate, start_poses
from conure_ros.faults.judge.rules import Judge


@pytest.fixture(scope="module")
def judge():
    judge = Judge("wx250s")
    yield judge
    judge.close()


@pytest.mark.parametrize(
    ("robot", "scale", "commands"),
    [("wx250s", 1.0, 2_500), ("wx250s", 0.1, 1_500), ("panda", 0.2, 1_250)],
)
def test_no_random_command_leaves_the_limits_wherever_it_begins(robot, scale, commands):
    run = run_gate(robot, commands, seed=1, acceleration_scale=scale)
    assert run.commands + run.refused == commands
    assert run.refused > 0.01 * commands, "bad targets were among them"
    assert run.violating > 0.1 * run.episodes, "bad starts were among them"
    assert run.commanded.distances_measured > 0
    assert run.kept, run


def test_episodes_begin_at_home_elsewhere_and_where_the_arm_may_not_be(judge):
    starts = start_poses(judge, np.random.default_rng(0), 200)
    robot = judge.robot
    beyond = np.maximum(robot.lower_rad - starts, starts - robot.upper_rad).max(axis=1)
    left_m = judge.clearances.near(starts).left_m
    assert (starts == robot.home_rad).all(axis=1).sum() > 30
    assert (beyond > 0.05).sum() > 10
    assert (robot.outside_m(starts) > 0.05).sum() > 10
    assert (left_m[:, : len(judge.clearances.pairs)] < 0.0).any(axis=1).sum() > 20, "folded"
    assert (left_m[:, len(judge.clearances.pairs) :] < 0.0).any(axis=1).sum() > 20, "on the table"


class Careless(SafetyGate):
    """A gate that forgets one of its rules."""

    def _within_space(self, speed, last_rad, violations, changes):
        return speed


def test_a_gate_that_forgets_box_and_clearances_is_seen(monkeypatch):
    monkeypatch.setattr("conure_core.control.loop.SafetyGate", Careless)
    run = run_gate("wx250s", 6 * EPISODE, seed=1)
    assert {"box_m", "table_m"} <= set(run.commanded.broken)
    assert not run.kept


def test_a_gate_whose_speed_limit_is_a_tenth_too_high_is_seen(monkeypatch):
    before = SafetyGate.__init__

    def faster(self, arm):
        before(self, arm)
        self._speed_limit = 1.1 * self._speed_limit

    monkeypatch.setattr(SafetyGate, "__init__", faster)
    monkeypatch.setattr(
        gate, "start_poses", lambda judge, rng, count: np.tile(judge.robot.home_rad, (count, 1))
    )
    run = run_gate("wx250s", 6 * EPISODE, seed=1)
    assert set(run.commanded.broken) == {"speed"}
    assert "speed" in run.measured.broken, "it is seen at the joints as well"


def test_a_gate_that_never_lets_an_arm_out_is_seen(judge, monkeypatch):
    starts = start_poses(judge, np.random.default_rng(0), 100)
    bad = np.array([start for start in starts if judge.is_violating(start)][:4])
    monkeypatch.setattr(
        SafetyGate, "_within_space", lambda self, speed, *others: np.zeros_like(speed)
    )
    monkeypatch.setattr(
        SafetyGate, "_within_speed", lambda self, wanted, last, *others: np.zeros_like(last)
    )
    monkeypatch.setattr(gate, "start_poses", lambda judge, rng, count: bad[:count])
    run = run_gate("wx250s", len(bad) * EPISODE, seed=1)
    assert run.stuck == run.violating == len(bad)
    assert not run.kept


def test_an_episode_feeds_back_what_a_lagging_arm_measures():
    loop = ControlLoop(Arm(load_robot("wx250s")))
    episode = Episode(loop, np.array(loop.arm.config.home_rad), np.random.default_rng(3))
    episode.run(50)
    last = episode.commands()[-1].commands_rad
    assert len(last) and np.abs(episode.arm.plant.positions[:-1] - last[-1]).max() > 1e-4
