"""Why the arm does not move, in the words of robot_state: what is wrong now, once, and nothing that
is over.
"""

import numpy as np
import pytest

from conure_ros.control.arbiter import Mode
from tests.ros.supervised import FORWARD, HOME, Rig, ready


def swinging(rig):
    """Makes this arm one that never comes to rest."""
    swings = iter(np.abs(np.arange(10**6) % 60 - 30) * 0.01)

    def swing(sample):
        rig.joint_rad = HOME + next(swings)
        return rig.sample()

    rig.spoil = swing
    return rig


def test_why_the_arm_was_stopped_is_said_also_when_its_joint_states_fail():
    rig = ready()
    rig.supervisor.stop("a test")
    rig.supervisor.reject_sample("joint_states lack 'elbow'")
    assert (rig.supervisor.mode, rig.supervisor.reason) == (Mode.STOPPED, "a test")


def test_only_where_somebody_was_chosen_is_an_arm_waited_for():
    rig = swinging(Rig())
    rig.supervisor.activate()
    rig.run(0.3)
    assert rig.state.reason == "activated; choose a mode"
    rig.supervisor.select(Mode.TELEOP)
    assert rig.state.reason == "waiting for the first teleop command; waiting for the arm to rest"


def test_before_activation_no_arm_is_waited_for():
    rig = Rig()
    rig.supervisor.select(Mode.POLICY)
    assert rig.supervisor.reason == "waiting for the first policy command"


def test_that_nothing_is_measured_is_said_alone():
    rig = Rig()
    rig.supervisor.activate()
    rig.supervisor.select(Mode.POLICY)
    assert rig.state.reason == "waiting for joint_states"


def test_what_was_refused_is_no_reason_while_the_arm_moves():
    rig = ready()
    rig.run(0.25, send=FORWARD)
    rig.request(FORWARD, age_s=5.0)
    rig.run(0.1, send=FORWARD)
    assert (rig.state.mode, rig.state.refused, rig.state.reason) == (Mode.POLICY, 1, "")


@pytest.mark.parametrize("end", ["hold", "stop"])
def test_what_was_refused_is_no_reason_where_nobody_is_chosen(end):
    rig = ready()
    rig.request(FORWARD, age_s=5.0)
    assert "the last command was refused" in rig.supervisor.reason
    if end == "hold":
        rig.supervisor.select(Mode.HOLD)
        rig.request(FORWARD, Mode.TELEOP, age_s=5.0)
        assert rig.supervisor.reason == "hold was requested"
    else:
        rig.supervisor.stop("a test")
        assert rig.supervisor.reason == "a test"


def test_what_is_wrong_with_a_command_is_said_once():
    rig = ready()
    rig.request(np.full(7, np.nan))
    assert rig.state.refusal != ""
    assert rig.state.reason == rig.state.refusal


def test_a_state_is_stamped_when_it_is_said():
    rig = ready(None)
    before = len(rig.states)
    while len(rig.states) == before:
        rig.tick()
    assert rig.state.now_ns == rig.now_ns()
