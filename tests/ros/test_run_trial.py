"""The action run_trial: one trial at a time, and whoever asked for it can end it at any moment, the
arm in hold.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from builtin_interfaces.msg import Duration
from rclpy.action import ActionClient
from trajectory_msgs.msg import JointTrajectory

from conure_core.robot.description import load_robot
from conure_msgs.action import RunTrial
from conure_msgs.msg import RobotState
from conure_ros.bringup.graphs import EVALUATOR, GRAPHS, build_graph
from conure_ros.comms.messages import to_duration, to_ns
from conure_ros.comms.qos import LATCHED
from conure_ros.comms.sole_publisher import UNSEEN_S
from conure_ros.control.arbiter import Mode
from conure_ros.recording.episodes import Episode
from conure_ros.recording.trial_goals import refusal
from tests.ros.goals import GoalClient, done

ros = pytest.mark.ros
PERIOD_S = load_robot("wx250s").control_period_s
# A client that tells when its goal was accepted, and what became of it.
CLIENT = """
    import sys, rclpy
    from rclpy.action import ActionClient
    from conure_msgs.action import RunTrial
    from conure_ros.comms.messages import to_duration
    rclpy.init()
    node = rclpy.create_node("client")
    client = ActionClient(node, RunTrial, "evaluator/run_trial")
    client.wait_for_server()
    sent = client.send_goal_async(RunTrial.Goal(task="Lift", seed=5, timeout=to_duration(60.0)))
    rclpy.spin_until_future_complete(node, sent)
    print("accepted" if sent.result().accepted else "rejected", flush=True)
    rclpy.spin(node)
"""


@pytest.mark.parametrize(
    ("goal", "reason"),
    [
        ({"timeout": Duration(sec=-1)}, "timeout must be from 0 to 3600 s, got -1"),
        ({"timeout": Duration(sec=3600, nanosec=1)}, "timeout must be from 0 to 3600 s, got 3600"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**40}, "seed must be from 0"),
        ({"task": ""}, "task must name a task"),
        ({}, ""),
    ],
)
def test_a_goal_whose_values_make_no_sense_is_refused_by_name(goal, reason):
    assert refusal(RunTrial.Goal(**{"task": "Lift", **goal})).startswith(reason)
    assert bool(refusal(RunTrial.Goal(**{"task": "Lift", **goal}))) == bool(reason)


class Rig(GoalClient):
    """The graph with an evaluator that waits to be asked, and a client."""

    def __init__(self, graph, folder, peer):
        super().__init__(peer)
        self.graph, self.folder = graph, folder
        self.states = peer.listen(RobotState, "robot_state", LATCHED)
        self.commands = peer.listen(JointTrajectory, "joint_trajectory")
        self.client = ActionClient(peer.node, RunTrial, "evaluator/run_trial")
        assert self.client.wait_for_server(20)

    def send(self, seed, timeout_s=0.0, task="Lift"):
        """The answer to a goal: accepted or not."""
        goal = RunTrial.Goal(task=task, seed=seed, timeout=to_duration(timeout_s))

        async def sending():
            return await self.client.send_goal_async(goal)

        return done(self.peer.begin(sending))

    def lines(self):
        return [line for name, line in list(self.graph.lines) if name == "evaluator"]

    @property
    def moving(self):
        return (
            self.states and self.states[-1].mode.value == Mode.POLICY and not self.states[-1].reason
        )


@pytest.fixture(scope="module")
def rig(start, bundle, peer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    graph = start("evaluate", bundle=str(bundle), folder=str(folder), trials=0, noise_scale=0.5)
    return Rig(graph, folder, peer)


@ros
def test_a_cancelled_trial_holds_at_once_is_labelled_aborted_and_says_why(rig, wait_until):
    handle = rig.send(seed=1, timeout_s=60.0)
    assert handle.accepted
    result = rig.result(handle)
    wait_until(lambda: rig.moving, 60, "the policy moves the arm")
    asked_ns = rig.peer.now_ns
    assert done(rig.cancel(handle)).return_code == CancelGoal.Response.ERROR_NONE
    assert rig.peer.seconds_until(Mode.HOLD, rig.states, asked_ns) < 0.2
    answer = done(result)
    assert answer.status == GoalStatus.STATUS_CANCELED
    assert (
        "cancelled by its client" in answer.result.message
        and "aborted after" in answer.result.message
    )
    assert not answer.result.success
    assert Episode(Path(answer.result.recording)).metadata["label"] == "aborted"
    held_ns = rig.peer.now_ns
    time.sleep(5 * PERIOD_S)
    assert not [command for command in rig.commands if to_ns(command.header.stamp) > held_ns], (
        "nothing moves any more"
    )


@ros
def test_a_trial_cancelled_before_it_begins_never_moves_under_the_policy(rig):
    recordings, began = set(rig.folder.glob("*.mcap")), len(rig.states)
    handle = rig.send(seed=2, timeout_s=60.0)
    result = rig.result(handle)
    done(rig.cancel(handle))
    assert done(result).status == GoalStatus.STATUS_CANCELED
    time.sleep(5 * PERIOD_S)
    modes = {state.mode.value for state in rig.states[began:]}
    assert Mode.POLICY not in modes
    assert set(rig.folder.glob("*.mcap")) == recordings, "nothing was recorded yet"


@ros
def test_a_second_goal_is_rejected_with_the_reason_and_the_first_goes_on(rig, wait_until):
    first = rig.send(seed=3, timeout_s=2.0)
    second = rig.send(seed=4, timeout_s=2.0)
    assert (first.accepted, second.accepted) == (True, False)
    wait_until(lambda: any("rejected: another trial runs" in line for line in rig.lines()), 5)
    result = done(rig.result(first))
    assert result.status == GoalStatus.STATUS_SUCCEEDED and "after" in result.result.message
    assert not rig.send(seed=5, timeout_s=-1.0).accepted
    wait_until(lambda: any("rejected: timeout must be" in line for line in rig.lines()), 5)
    third = rig.send(seed=6, timeout_s=0.5)
    assert third.accepted, "the next one is welcome again"
    assert done(rig.result(third)).status == GoalStatus.STATUS_SUCCEEDED


@ros
def test_a_goal_that_cannot_be_run_says_why(rig):
    result = done(rig.result(rig.send(task="Nope", seed=1)))
    assert result.status == GoalStatus.STATUS_ABORTED
    assert "unknown task 'Nope'" in result.result.message


@ros
def test_an_evaluator_of_another_graph_leaves_this_ones_arm_alone(
    rig, start, tmp_path, monkeypatch, wait_until
):
    monkeypatch.setitem(GRAPHS, "other", build_graph(EVALUATOR))
    other = start("other", wait=False, folder=str(tmp_path / "other"), trials=1)
    wait_until(lambda: other.failure, 60, "it ends")
    assert "control belongs to another graph on this ROS domain" in other.failure
    assert rig.states[-1].mode.value == Mode.HOLD


@ros
def test_a_client_that_is_killed_ends_its_trial(rig, short_lived, wait_until):
    """Whoever listens to the feedback beside it would keep it alive: this test's own client is
    taken away.
    """
    rig.peer.executor.create_task(rig.client.destroy)
    wait_until(
        lambda: rig.peer.node.count_subscribers("evaluator/run_trial/_action/feedback") == 0, 10
    )
    words = [sys.executable, "-c", textwrap.dedent(CLIENT)]
    with subprocess.Popen(
        words, env={**os.environ, **short_lived}, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout.readline() == "accepted\n"
        wait_until(lambda: rig.moving, 60, "the policy moves the arm")
        client.send_signal(signal.SIGKILL)
        client.wait()
    wait_until(lambda: rig.states[-1].mode.value == Mode.HOLD, 30, "the dead client is missed")
    wait_until(lambda: any("its client is gone" in line for line in rig.lines()), 5)


@ros
def test_a_goal_whose_client_is_gone_before_it_was_seen_ends_too(rig, wait_until):
    """Only the request of such a client arrives: nobody subscribes to the feedback."""
    assert rig.peer.node.count_subscribers("evaluator/run_trial/_action/feedback") == 0
    goal = {"goal": RunTrial.Goal(task="Lift", seed=8, timeout=to_duration(3600.0))}
    began, kind = len(rig.lines()), RunTrial.Impl.SendGoalService
    wait_until(
        lambda: rig.peer.call(kind, "evaluator/run_trial/_action/send_goal", **goal).accepted,
        20,
        "the trial before is over",
    )
    wait_until(
        lambda: any("its client is gone" in line for line in rig.lines()[began:]),
        UNSEEN_S + 20,
        "the evaluator misses the client",
    )
    wait_until(lambda: rig.states[-1].mode.value == Mode.HOLD, 5)


@ros
def test_an_evaluator_that_is_told_to_end_leaves_the_arm_in_hold(rig, wait_until):
    """Last: the graph ends with it."""
    client = ActionClient(rig.peer.node, RunTrial, "evaluator/run_trial")
    assert client.wait_for_server(20)

    async def sending():
        return await client.send_goal_async(
            RunTrial.Goal(task="Lift", seed=7, timeout=to_duration(60.0))
        )

    wait_until(lambda: done(rig.peer.begin(sending)).accepted, 20, "the trial before is over")
    wait_until(lambda: rig.moving, 60, "the policy moves the arm")
    asked_ns = rig.peer.now_ns
    rig.graph.process("evaluator").send_signal(signal.SIGTERM)
    wait_until(lambda: rig.graph.process("evaluator").poll() is not None, 10)
    assert rig.peer.seconds_until(Mode.HOLD, rig.states, asked_ns) < 0.5
    labels = [Episode(path).metadata["label"] for path in sorted(rig.folder.glob("*.mcap"))]
    assert labels[-1] in ("aborted", "interrupted")


@ros
def test_while_the_evaluator_runs_its_own_trials_goals_are_rejected(
    rig, start, bundle, peer, tmp_path, wait_until
):
    rig.graph.stop()
    graph = start(
        "evaluate", bundle=str(bundle), folder=str(tmp_path / "trials"), trials=1, timeout_s=3.0
    )
    client = ActionClient(peer.node, RunTrial, "evaluator/run_trial")
    assert client.wait_for_server(20)

    async def sending():
        return await client.send_goal_async(RunTrial.Goal(task="Lift"))

    assert not done(peer.begin(sending)).accepted
    told = "rejected: the evaluator runs its own 1 trials"
    wait_until(lambda: any(told in line for _, line in list(graph.lines)), 5)
    wait_until(lambda: graph.process("evaluator").poll() == 0, 60)
    assert json.loads((tmp_path / "trials" / "trials.json").read_text())["trials"]
