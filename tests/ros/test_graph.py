"""The whole graph through the launcher and the table: trials, recordings, a dead policy."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.config.loader import load_config
from conure_core.robot.description import load_robot
from conure_msgs.action import RunTrial
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.bringup.launcher import GraphError, run_graph
from conure_ros.comms.messages import mode_message, to_duration, to_seconds
from conure_ros.comms.qos import LATCHED
from conure_ros.control.arbiter import Mode
from conure_ros.recording.episodes import Episode
from conure_ros.recording.trials import FILE_NAME, read_trials
from conure_training.curation.import_data import ImportConfig, import_recordings
from conure_training.data.demonstrations import load_demonstrations
from conure_training.prior.model import load_prior
from conure_training.prior.train import PriorConfig, train_prior
from tests.ros.goals import done
from tests.training.toy_runs import CONF, TINY_PRIOR

pytestmark = pytest.mark.ros
PERIOD_S = load_robot("wx250s").control_period_s
RECORDED = {
    "/camera/image_raw",
    "/camera/camera_info",
    "/joint_states",
    "/command/policy",
    "/joint_trajectory",
    "/policy/camera_info",
    "/policy/image",
    "/robot_state",
    "/robot_description",
    "/tf",
    "/tf_static",
}
# What depends on how the trial goes: safety's changes, and what is told once a second.
PERHAPS = {"/command/executed", "/diagnostics"}


def test_two_trials_leave_readable_recordings_and_a_restart_goes_on(bundle, tmp_path):
    wanted = {
        "bundle": str(bundle),
        "folder": str(tmp_path / "trials"),
        "first_seed": 7,
        "noise_scale": 0.5,
        "timeout_s": 1.0,
    }
    environment = {"ROS_LOG_DIR": str(tmp_path / "log")}
    run_graph("evaluate", {**wanted, "trials": 1}, environment=environment)
    first_bytes = (tmp_path / "trials" / "trial_000007.mcap").read_bytes()
    run_graph("evaluate", {**wanted, "trials": 2}, environment=environment)
    settings, trials = read_trials(tmp_path / "trials" / FILE_NAME)
    assert [trial.seed for trial in trials] == [7, 8]
    assert len(settings.bundle_hash) == 64
    assert (tmp_path / "trials" / "trial_000007.mcap").read_bytes() == first_bytes, (
        "a finished trial is not run again"
    )
    assert len(list((tmp_path / "trials").iterdir())) == 3
    for trial in trials:
        episode = Episode(tmp_path / "trials" / trial.recording)
        assert {name for name, count in episode.counts.items() if count} - PERHAPS == RECORDED
        assert episode.metadata["seed"] == str(trial.seed)
        assert episode.metadata["task"] == "Lift"
        assert episode.metadata["target"] == trial.target
        assert episode.metadata["label"] == ("success" if trial.success else "failure")
        assert episode.metadata["missing_topics"] == "[]"
        images = [pixels for _, pixels in episode.images()]
        seen = dict(episode.images("policy/image"))
        sent = dict(episode.images())
        assert all(
            np.array_equal(sent[stamp], pixels) for stamp, pixels in seen.items() if stamp in sent
        )
        assert len(images) >= 8
        assert all(pixels.shape == (48, 48, 3) for pixels in images)
        measures = trial.measures
        assert len(measures.capture_to_command_ms) >= 8
        assert np.median(measures.capture_to_command_ms) < PERIOD_S * 1e3
        assert np.median(measures.command_interval_ms) == pytest.approx(PERIOD_S * 1e3, rel=0.2)
        assert np.isfinite(measures.log_likelihood).all()
        assert min(measures.inference_ms) > 0
    require_a_prior_of(tmp_path / "trials", tmp_path)


def require_a_prior_of(recordings, folder):
    """What the graph recorded becomes a data set, and a prior is trained on it alone."""
    words = [f"recordings={recordings}", f"out={folder / 'recorded'}"]
    set_path = import_recordings(load_config(CONF, "data_import", ImportConfig, words))
    data = load_demonstrations(set_path)
    assert data.tasks == ("Lift",) and {7, 8} >= set(data.seed.tolist())
    assert {info.source for info in data.episodes} == {"policy"}
    assert len(data) >= 12, "most of two trials of ten ticks"
    for path in sorted(recordings.glob("*.mcap")):
        decided = [one.message.action for one in Episode(path).messages("/command/policy")]
        mine = [info.origin.startswith(path.name) for info in data.episodes]
        actions = data.action[np.repeat(mine, data.ends - data.starts)]
        asked = np.array(decided, dtype=np.float32)
        apart = np.abs(actions[:, None] - asked[None]).max(axis=2).min(axis=1)
        assert (apart < 1e-6).mean() > 0.4, "safety left most actions as they were"
    words = [f"demos={set_path}", f"out={folder / 'prior'}", "tasks=[Lift]", *TINY_PRIOR]
    trained = train_prior(load_config(CONF, "prior", PriorConfig, words))
    assert load_prior(trained, load_robot("wx250s").contract(48))


def test_a_bundle_for_another_image_size_fails_to_configure_by_name(bundle, tmp_path):
    with pytest.raises(
        GraphError, match=r"observation\.image\.shape: expected \[64, 64, 3\], got \[48, 48, 3\]"
    ):
        run_graph(
            "sim",
            {"bundle": str(bundle), "image_size_px": 64, "folder": str(tmp_path)},
            environment={"ROS_LOG_DIR": str(tmp_path / "log")},
        )


@pytest.fixture(scope="module")
def serving(start, bundle, tmp_path_factory):
    """The graph with an evaluator that waits to be asked."""
    folder = tmp_path_factory.mktemp("serving")
    return start(
        "evaluate", bundle=str(bundle), folder=str(folder), trials=0, noise_scale=0.5
    ), folder


def test_anyone_can_ask_for_a_trial_and_a_killed_policy_means_hold(serving, peer, wait_until):
    graph, folder = serving
    states = peer.listen(RobotState, "robot_state", LATCHED)
    diagnostics = peer.listen(DiagnosticArray, "/diagnostics")
    commands, trajectories = (
        peer.listen(PolicyCommand, "command/policy"),
        peer.listen(JointTrajectory, "joint_trajectory"),
    )

    feedback = []
    client = ActionClient(peer.node, RunTrial, "evaluator/run_trial")
    assert client.wait_for_server(20)

    async def trial(seed, timeout_s):
        goal = RunTrial.Goal(task="Lift", seed=seed, timeout=to_duration(timeout_s))
        handle = await client.send_goal_async(
            goal, lambda message: feedback.append(to_seconds(message.feedback.elapsed))
        )
        return await handle.get_result_async()

    result = done(peer.begin(trial, seed=3, timeout_s=0.8)).result
    assert "after" in result.message
    assert Episode(folder / Path(result.recording).name).metadata["seed"] == "3"
    assert feedback == sorted(feedback) and feedback[-1] > 0.5

    stopped = peer.begin(trial, seed=4, timeout_s=1.5)
    wait_until(lambda: states and states[-1].mode.value == Mode.POLICY, 10)
    assert peer.call(Trigger, "control/stop").success
    assert done(stopped).status == GoalStatus.STATUS_ABORTED
    labels = [Episode(path).metadata["label"] for path in sorted(folder.glob("*.mcap"))]
    assert labels[-1] == "aborted"
    assert peer.call(Trigger, "control/reset_stop").success

    def inferences():
        """The recorder says how it is on this topic as well."""
        return [
            status
            for message in list(diagnostics)
            for status in message.status
            if "inference" in status.name
        ]

    wait_until(inferences, 5)
    values = {pair.key: pair.value for pair in inferences()[-1].values}
    assert float(values["p99_ms"]) > 0 and values["dropped: newer image"] == "0"

    assert peer.call(SetMode, "control/set_mode", mode=mode_message(Mode.POLICY)).success
    wait_until(lambda: states[-1].mode.value == Mode.POLICY, 5)
    assert all(len(command.action) == len(command.z) == 7 for command in commands)
    killed_ns = peer.now_ns
    graph.process("policy").send_signal(signal.SIGKILL)
    assert peer.seconds_until(Mode.HOLD, states, killed_ns) < 2 * PERIOD_S + 0.2
    assert "no policy command for" in states[-1].reason
    time.sleep(0.2)
    count = len(trajectories)
    time.sleep(3 * PERIOD_S)
    assert len(trajectories) == count
    wait_until(lambda: "node policy was killed by SIGKILL" in graph.failure, 5)
