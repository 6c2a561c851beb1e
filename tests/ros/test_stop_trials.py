"""Stops in simulated time: a core that obeys passes, and cores with the faults that were seen do
not.
"""

import numpy as np
import pytest

from conure_core.control.loop import ControlLoop
from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_ros.control.supervisor import Supervisor
from conure_ros.faults.arms.models import Order
from conure_ros.faults.stop_trials import ARMS, SENDERS, run_stop_trials
from conure_ros.faults.supervised import SupervisedArm


class Obedient:
    """The least that keeps the promises: one command a period, and a stop that holds the present
    set point.
    """

    def __init__(self, robot, clock, sink):
        self.robot, self.clock, self.sink = robot, clock, sink
        self.loop = ControlLoop(Arm(robot))
        self.mode, self.halted, self.measured = "hold", False, None
        self.reached_s, self.next_s, self.start = 0.0, 0.0, None

    def measure(self, stamp_s, joint_rad, gripper_m):
        self.measured = joint_rad, gripper_m

    def set_mode(self, mode):
        if not self.halted:
            self.mode = mode
            self.loop.reset(*self.measured)
            self.start = np.append(*self.measured)

    def set_point(self):
        goal, began_s, ends_s, start = self.way
        return start + min(1.0, (self.clock() - began_s) / (ends_s - began_s)) * (goal - start)

    def command(self, source, action, stamp_s):
        if self.halted or source != self.mode or self.clock() < self.next_s:
            return
        try:
            command = self.loop.step(
                action, *self.measured[:1], self.clock() - stamp_s, self.measured[1]
            )
        except RobotError:
            return
        self.send(np.append(command.joint_rad, command.gripper_m), command.duration_s)
        self.next_s = self.clock() + self.robot.control_period_s - 1e-9

    def send(self, goal, duration_s):
        start = self.set_point() if hasattr(self, "way") else self.start
        self.way = goal, self.clock(), self.clock() + duration_s, start
        self.sink(Order(goal, duration_s, self.clock()))

    def tick(self):
        pass

    def stop(self, why):
        self.halted, self.mode = True, "hold"
        if hasattr(self, "way"):
            here = self.set_point()
            self.sink(Order(here, 0.01, self.clock()))
            del self.way

    def reset_stop(self):
        self.halted = False


class Queue(Obedient):
    """Every command takes as long as the ones before it still need, and the hold sends the last
    target again.
    """

    def command(self, source, action, stamp_s):
        self.next_s = 0.0
        super().command(source, action, stamp_s)

    def send(self, goal, duration_s):
        self.last, now_s = goal, self.clock()
        duration_s += max(0.0, self.reached_s - now_s)
        self.reached_s = now_s + duration_s
        super().send(goal, duration_s)

    def stop(self, why):
        self.halted, self.mode = True, "hold"
        if hasattr(self, "last"):
            self.send(self.last, self.robot.settle_s)


class Forgets(Obedient):
    """A stop that ends by itself."""

    def stop(self, why):
        super().stop(why)
        self.halted, self.mode = False, "policy"
        self.loop.reset(*self.measured)
        self.start = np.append(*self.measured)


class Hasty(Obedient):
    """Commands that come early make the arm faster."""

    def command(self, source, action, stamp_s):
        self.next_s = 0.0
        super().command(source, action, stamp_s)


class Deaf(Obedient):
    def command(self, source, action, stamp_s):
        pass


def test_a_core_that_obeys_passes_under_every_sender_and_arm():
    trials = run_stop_trials(Obedient, stops=len(SENDERS) * len(ARMS), seed=1)
    assert trials.stops == len(SENDERS) * len(ARMS)
    assert trials.kept, trials.failures or trials.measured


def test_control_itself_passes_under_every_sender_and_arm():
    trials = run_stop_trials(SupervisedArm, stops=len(SENDERS) * len(ARMS), seed=2)
    assert trials.stops == len(SENDERS) * len(ARMS)
    assert trials.kept, trials.failures or trials.measured


def test_a_control_whose_stop_does_not_end_its_last_command_is_seen(monkeypatch):
    monkeypatch.setattr(Supervisor, "_rest", lambda self: None)
    trials = run_stop_trials(
        SupervisedArm, stops=8, senders=["bursts of teleop"], arms=["trajectory"]
    )
    assert trials.failures, trials


@pytest.mark.parametrize("sender", ["teleop at 50 Hz", "two teleops"])
def test_a_queue_of_durations_is_seen(sender):
    trials = run_stop_trials(Queue, stops=4, senders=[sender], arms=["trajectory"])
    assert len(trials.failures) >= 2, trials
    assert trials.worst_late_rad > 0.05
    assert sender in trials.failures[0][0]


def test_a_stop_that_ends_by_itself_is_seen():
    trials = run_stop_trials(Forgets, stops=2, senders=["policy at 10 Hz"], arms=["trajectory"])
    assert len(trials.failures) == 2
    assert trials.worst_stopped_rad > 0.05


def test_commands_that_come_early_and_make_the_arm_faster_are_seen():
    trials = run_stop_trials(Hasty, stops=2, senders=["teleop at 50 Hz"], arms=["trajectory"])
    assert "speed" in trials.measured.broken
    assert not trials.kept


def test_stops_of_an_arm_that_never_moved_prove_nothing():
    trials = run_stop_trials(Deaf, stops=2, senders=["policy at 10 Hz"], arms=["trajectory"])
    assert not trials.failures and not trials.kept


@pytest.mark.parametrize("sender", ["teleop at 20 Hz", "two teleops"])
def test_a_hold_is_no_faster_where_the_controller_queues_motions(sender):
    """It goes on after a stop, which is not promised of such a controller; its speed is."""
    trials = run_stop_trials(SupervisedArm, stops=4, senders=[sender], arms=["queue"])
    assert trials.moved and "speed" not in trials.measured.broken, trials.measured
