"""`conure trials run` with a scripted person at a pseudo-terminal, beside the simulated graph."""

import json
import re
import signal
from pathlib import Path

import pytest
import yaml
from std_msgs.msg import String

from conure_msgs.msg import RobotState
from conure_ros.bringup.graphs import (
    CONTROL,
    FAULT,
    GRAPHS,
    POLICY,
    RECORDER,
    SIM_ROBOT,
    build_graph,
    through_fault_node,
)
from conure_ros.comms.qos import LATCHED, STREAM
from conure_ros.control.arbiter import Mode
from conure_ros.recording.episodes import Episode
from conure_ros.trials.journal import FAILURE, INVALID, SUCCESS, Journal
from conure_ros.trials.session import INTERRUPTED, JOURNAL_FILE, read_key
from conure_training.evaluation.planned_trials import report_trials
from tests.ros.terminal import Terminal

pytestmark = [pytest.mark.ros, pytest.mark.slow]
PATIENCE_S = 120.0
HOME, MOVE = "Enter sends the arm home", "Enter lets the policy move"


class Person:
    """Reads what the terminal shows from where they read last, and answers it."""

    def __init__(self, terminal, wait_until):
        self.terminal, self._wait_until, self._read = terminal, wait_until, 0

    def wait_for(self, text):
        def shown():
            assert self.terminal.process.poll() is None, self.terminal.shown
            return text in self.terminal.shown[self._read :]

        self._wait_until(shown, PATIENCE_S, f"{text} in {self.terminal.shown[-2000:]}")
        self._read = self.terminal.shown.index(text, self._read) + len(text)

    def answer(self, text, keys):
        self.wait_for(text)
        self.terminal.press(keys)

    def begin(self):
        """Until the policy moves the arm."""
        self.answer(HOME, "\r")
        self.answer(MOVE, "\r")
        self.wait_for("the policy moves")


@pytest.fixture(scope="module")
def graph(start, two_bundles, tmp_path_factory):
    """As graph=sim, with a camera that can be unplugged."""
    folder = tmp_path_factory.mktemp("recordings")
    robot = through_fault_node(SIM_ROBOT, "camera/image_raw", "joint_states")
    policy = through_fault_node(POLICY, "command/policy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "tried", build_graph(robot, CONTROL, policy, RECORDER, FAULT))
        graph = start("tried", bundle=str(two_bundles / "one"), folder=str(folder))
    graph.folder = folder
    return graph


@pytest.fixture
def plan(two_bundles, tmp_path):
    policies = {"chosen_one": str(two_bundles / "one"), "rival_one": str(two_bundles / "other")}
    path = tmp_path / "PLAN.yaml"
    data = {
        "policies": policies,
        "operator": "ada",
        "robot": "wx250s",
        "trials": 2,
        "time_limit_s": 20.0,
        "failure_reasons": ["missed"],
    }
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def session(domain, plan, tmp_path, wait_until):
    terminals = []

    def opened():
        words = ("trials", "run", f"plan={plan}", f"folder={tmp_path / 't'}")
        terminals.append(Terminal(domain, *words))
        return Person(terminals[-1], wait_until)

    yield opened
    for terminal in terminals:
        terminal.close()


def mistakes(person, states, wait_until):
    """The first trial and half of the second, with an undo, a slip and an invalid one."""
    person.begin()
    wait_until(lambda: states[-1].mode.value == Mode.POLICY, 30, "the policy moves the arm")
    person.terminal.press("s")
    person.wait_for("trial 1: success; 1 of 4")
    assert states[-1].mode.value == Mode.HOLD

    person.answer(HOME, "u")
    person.wait_for("trial 1 has no label now")
    person.answer("s success | f failure", "f")
    person.answer("why? 1 missed", "7\r")
    person.answer("there is no reason 7", "slid awaz\x7fy\r")
    person.wait_for("trial 1: failure: slid away; 1 of 4")

    person.begin()
    person.terminal.press("i")
    person.answer("why is it invalid?", "a hand in the picture\r")
    person.wait_for("trial 2: invalid: a hand in the picture; 1 of 4")


def after_the_kill(person, states, wait_until):
    """The second trial, then the person leaves."""
    person.wait_for("trial 2 of 4")
    wait_until(lambda: states[-1].mode.value == Mode.HOLD, 10, "the next session holds the arm")
    person.begin()
    person.terminal.press("f")
    person.answer("why? 1 missed, 2 slid away", "2\r")
    person.wait_for("trial 2: failure: slid away; 2 of 4")
    person.answer(HOME, "q")
    person.wait_for("2 of 4 trials are labelled; the same command goes on")
    assert person.terminal.process.wait(30) == 0 and person.terminal.restored


def the_rest(person):
    for number in (3, 4):
        person.begin()
        person.terminal.press("s")
        person.wait_for(f"trial {number}: success; {number} of 4")
    person.answer("Enter ends", "\r")
    assert person.terminal.process.wait(30) == 0


def require_blinding(graph, shown, journal, key):
    logs = "\n".join(line for _, line in graph.lines)
    names = " ".join(path.name for path in graph.folder.glob("*.mcap"))
    for name in ("chosen_one", "rival_one"):
        assert name not in shown and name not in names and name not in logs
    described = re.findall(r"bundle (\S+)$", logs, re.MULTILINE)
    assert {trial.code for trial in key} == set(described), "each trial has a name of its own"
    for trial in key:
        name = Path(journal.state(trial.number).recording).name
        metadata = Episode(graph.folder / name).metadata
        assert metadata["code"] == trial.code and "policy" not in metadata


def test_two_policies_with_mistakes_undo_and_a_kill_lose_no_trial_and_stay_hidden(
    graph, peer, session, tmp_path, wait_until
):
    states = peer.listen(RobotState, "robot_state", LATCHED)
    first = session()
    mistakes(first, states, wait_until)
    first.begin()
    first.terminal.process.send_signal(signal.SIGKILL)
    first.terminal.process.wait()
    second = session()
    after_the_kill(second, states, wait_until)
    third = session()
    the_rest(third)

    path = tmp_path / "t" / JOURNAL_FILE
    journal, key = Journal(path), read_key(tmp_path / "t")
    labels = [journal.state(trial.number).label.label for trial in key]
    assert labels == [FAILURE, FAILURE, SUCCESS, SUCCESS]
    reasons = [label.reason for label in journal.state(2).invalid]
    assert reasons == ["a hand in the picture", INTERRUPTED]
    shown = "".join(person.terminal.shown for person in (first, second, third))
    require_blinding(graph, shown, journal, key)

    report = report_trials(tmp_path / "t")
    assert report.finished == 4 and report.comparisons[0].pairs is not None
    assert sum(result.rates["all"].trials for result in report.policies) == 4
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "opened"


def test_a_lost_camera_a_signal_and_a_stop_cut_a_trial_off_with_the_arm_in_hold(
    graph, peer, session, tmp_path, wait_until
):
    states = peer.listen(RobotState, "robot_state", LATCHED)
    faults = peer.node.create_publisher(String, "faults/inject", STREAM)
    person = session()
    person.begin()
    faults.publish(String(data="camera unplugged"))
    person.wait_for("trial 1 is invalid, and runs again: the camera was lost")
    assert states[-1].mode.value == Mode.HOLD
    faults.publish(String(data=""))

    person.begin()
    wait_until(lambda: states[-1].mode.value == Mode.POLICY, 30, "the policy moves the arm")
    person.terminal.process.terminate()
    assert person.terminal.process.wait(30) == 143
    wait_until(lambda: states[-1].mode.value == Mode.HOLD, 10, "the session left the arm in hold")

    person = session()
    person.begin()
    person.terminal.press(" ")
    person.wait_for("trial 1 is invalid, and runs again: the arm was stopped")
    assert states[-1].stopped
    state = Journal(tmp_path / "t" / JOURNAL_FILE).state(1)
    labels = [*state.invalid, state.label]
    assert [label.label for label in labels] == [INVALID] * 3
    assert [label.reason.partition(":")[0] for label in labels] == [
        "the camera was lost",
        INTERRUPTED,
        "the arm was stopped",
    ]
