"""`on_stop: limp`: a stopped arm falls under gravity in the simulation, and holds where it fell to
after the reset.
"""

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from conure_core.robot.description import load_robot
from conure_msgs.msg import RobotState
from conure_msgs.srv import ResetScene
from conure_ros.bringup.graphs import CONTROL, GRAPHS, SIM_ROBOT, SIM_SERVOS, build_graph
from conure_ros.comms.messages import joint_sample
from conure_ros.comms.qos import LATCHED
from conure_ros.control.arbiter import Mode

pytestmark = pytest.mark.ros
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
FALLEN_RAD, JUMP_RAD = 0.2, 0.03
ARMS = {"simulated": (SIM_ROBOT,), "serial": SIM_SERVOS}


@pytest.mark.parametrize("arm", ARMS)
def test_a_stopped_arm_goes_limp_and_holds_where_it_fell_to_after_the_reset(
    arm, start, peer, domain, calm_robot, wait_until
):
    joints, states = (
        peer.listen(JointState, "joint_states"),
        peer.listen(RobotState, "robot_state", LATCHED),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "limp", build_graph(*ARMS[arm], CONTROL))
        patch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
        graph = start(
            "limp",
            robot="wx250s" if arm == "simulated" else calm_robot,
            **{"control.on_stop": "limp"},
        )
    joints.clear()

    def joint_rad():
        return joint_sample(joints[-1], ROBOT).joint_rad

    def still(seconds=0.5):
        count, before = len(joints), joint_rad()
        wait_until(lambda: len(joints) > count + 100 * seconds / 2, 20)
        return float(np.abs(joint_rad() - before).max()) < 0.02

    def stop_and_fall():
        wait_until(lambda: joints and still(0.2), 20, "the arm holds at first")
        assert peer.call(Trigger, "control/stop").success
        wait_until(lambda: np.abs(joint_rad() - HOME).max() > FALLEN_RAD, 10, "the arm falls")
        assert states[-1].stopped

    stop_and_fall()
    wait_until(still, 20, "it lies")
    fallen = joint_rad()
    assert peer.call(Trigger, "control/reset_stop").success
    assert still(1.0)
    assert np.abs(joint_rad() - fallen).max() < JUMP_RAD
    assert peer.call(ResetScene, "scene/reset", seed=0).success  # which puts it up again
    stop_and_fall()
    assert peer.call(Trigger, "control/reset_stop").success
    wait_until(still, 10, "it holds again")
    assert min(np.abs(joint_rad() - pose).max() for pose in (HOME, fallen)) > 0.1, "in mid-air"
    assert not states[-1].stopped and states[-1].mode.value == Mode.HOLD, (
        states[-1].reason,
        states[-1].alarm,
    )
    graph.stop()
