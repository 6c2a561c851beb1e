"""A camera's fault holds the arm: real camera_node, policy and control, with the simulated arm
moved by them.
"""

import time
from dataclasses import replace

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from trajectory_msgs.msg import JointTrajectory

from conure_core.robot.description import load_robot
from conure_msgs.msg import RobotState
from conure_ros.bringup.graphs import CAMERA, CONTROL, GRAPHS, POLICY, SIM_ROBOT, build_graph
from conure_ros.comms.qos import LATCHED
from conure_ros.control.arbiter import Mode

pytestmark = pytest.mark.ros
PERIOD_S = load_robot("wx250s").control_period_s
# The arm is simulated, the camera is not.
BLIND_ARM = replace(
    SIM_ROBOT,
    remaps=(("camera/image_raw", "unseen/image_raw"), ("camera/camera_info", "unseen/camera_info")),
)


@pytest.fixture(scope="module")
def graph(start, bundle, stream):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "seen", build_graph(BLIND_ARM, CAMERA, CONTROL, POLICY))
        words = {
            "camera_source": stream.address,
            "camera.rate_hz": stream.rate_hz,
            "camera.resume_s": 0.4,
        }
        return start("seen", bundle=str(bundle), noise_scale=0.5, start_mode="policy", **words)


@pytest.mark.parametrize("shows", ["the last frame", "black", "nothing"])
def test_the_arm_holds_while_the_camera_is_at_fault_and_goes_on_after(
    graph, peer, stream, shows, wait_until
):
    states = peer.listen(RobotState, "robot_state", LATCHED)
    trajectories = peer.listen(JointTrajectory, "joint_trajectory")
    diagnostics = peer.listen(DiagnosticArray, "/diagnostics")

    def moving():
        return states and states[-1].mode.value == Mode.POLICY and not states[-1].reason

    wait_until(moving, 30, "the policy moves the arm")
    began_ns = peer.now_ns
    stream.shows = shows
    # Two periods of silence make it hold; a frame, its way here and a busy machine are added.
    assert peer.seconds_until(Mode.HOLD, states, began_ns) < 4 * PERIOD_S + 0.3
    assert "no policy command for" in states[-1].reason
    told = ("camera: capture", DiagnosticStatus.WARN)
    wait_until(
        lambda: told in [(item.status[0].name, item.status[0].level) for item in diagnostics],
        5,
        told,
    )
    count = len(trajectories)
    time.sleep(3 * PERIOD_S)
    assert len(trajectories) == count, "nothing moves the arm"
    stream.shows = "scene"
    wait_until(moving, 20, "the policy moves the arm again")
