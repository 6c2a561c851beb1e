"""The price of safety: what was executed in place of what the policy chose, in the prior's own
terms.
"""

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from conure_core.contract.bundle import load_bundle
from conure_core.control.loop import ControlLoop
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.robot.proprioception import proprioception
from conure_msgs.msg import PolicyCommand, RobotState
from conure_ros.comms.messages import to_ns, to_time
from conure_ros.control.executed_actions import Decision, ExecutedActions

ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
CAPTURED_NS, LATENCY_NS = 1_700_000_000_123_456_789, 21_300_000


@pytest.fixture
def executed(bundle):
    published = []
    actions = ExecutedActions(Arm(ROBOT), load_bundle(bundle), published.append)
    actions.published = published
    yield actions
    actions.close()


def state(joint_rad, captured_ns, changes=()):
    message = RobotState(commanded_rad=list(joint_rad), safety_changes=list(changes))
    message.header.stamp = to_time(captured_ns + LATENCY_NS)
    message.capture_stamp = to_time(captured_ns)
    return message


def test_a_shortened_action_is_published_with_the_z_that_the_prior_gives_it(
    executed, bundle, wait_until
):
    arm, loop = Arm(ROBOT), ControlLoop(Arm(ROBOT))
    loop.reset(HOME, ROBOT.gripper_open_m)
    observation = {
        "image": np.full((48, 48, 3), 90, np.uint8),
        "proprio": proprioception(arm, HOME, 0.03),
    }
    action = np.array([1.0, 0, 0, 0, 0, 1.0, 0.5])
    before = loop.reset(HOME, 0.03).joint_rad
    half = before + 0.5 * (loop.step(action, before).joint_rad - before)
    executed.remember(Decision(CAPTURED_NS, observation, action, np.zeros(7)))
    executed.take_state(state(before, CAPTURED_NS - 10**8))
    executed.take_state(state(half, CAPTURED_NS, ["speed waist"]))
    wait_until(lambda: executed.published, 5)
    (command,) = executed.published
    assert command.source == PolicyCommand.EXECUTED
    assert to_ns(command.header.stamp) == CAPTURED_NS
    np.testing.assert_allclose(command.action, [0.5, 0, 0, 0, 0, 0.5, 0.5], atol=0.05)
    z, log_likelihood = load_bundle(bundle).invert(observation, np.array(command.action))
    np.testing.assert_allclose(command.z, z, atol=1e-6)
    assert command.log_likelihood == pytest.approx(log_likelihood)
    wait_until(lambda: executed.values()["safety changed"] == "1", 5)
    assert float(executed.values()["price of safety |z| mean"]) == pytest.approx(
        np.linalg.norm(z), abs=1e-3
    )


def test_what_safety_left_alone_and_what_nobody_chose_has_no_price(executed):
    executed.take_state(state(HOME, CAPTURED_NS))
    executed.take_state(state(HOME + 0.1, CAPTURED_NS))
    executed.take_state(state(HOME, CAPTURED_NS + 5, ["hold"]))
    executed.take_state(RobotState())
    for captured in (Time(), Time(sec=-(2**31), nanosec=2**32 - 1), Time(sec=2**31 - 1)):
        said = state(HOME + 0.1, CAPTURED_NS, ["hold"])
        said.capture_stamp = captured
        executed.take_state(said)
    for joint_rad in (HOME[:-1], [*HOME, 0.0]):
        executed.take_state(state(joint_rad, CAPTURED_NS, ["hold"]))
    assert executed.values() == {"safety changed": "0"}
    assert not executed.published


def test_a_shortened_action_of_a_policy_without_a_prior_is_published_without_z(wait_until):
    class Bundle:
        hash = "abc"

        class spec:
            has_prior = False

    published = []
    executed = ExecutedActions(Arm(ROBOT), Bundle(), published.append)
    arm, loop = Arm(ROBOT), ControlLoop(Arm(ROBOT))
    before = loop.reset(HOME, 0.03).joint_rad
    action = np.array([1.0, 0, 0, 0, 0, 0, 0.5])
    half = before + 0.5 * (loop.step(action, before).joint_rad - before)
    seen = {"proprio": proprioception(arm, HOME, 0.03)}
    executed.remember(Decision(CAPTURED_NS, seen, action, np.zeros(0)))
    executed.take_state(state(before, CAPTURED_NS - 10**8))
    executed.take_state(state(half, CAPTURED_NS, ["speed waist"]))
    wait_until(lambda: published, 5)
    (command,) = published
    assert len(command.z) == 0
    assert np.isnan(command.log_likelihood)
    assert executed.values() == {"safety changed": "0"}
    executed.close()
