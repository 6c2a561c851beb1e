import dataclasses
import json
from types import SimpleNamespace

import pytest
from builtin_interfaces.msg import Duration

from conure_core.errors import ConfigError, DataError, RobotError
from conure_core.runtime.claim import claimed
from conure_ros.comms.service_names import HOME, SCENE_RESET, SCENE_STATUS, SET_MODE
from conure_ros.nodes.evaluator_node import (
    INVALID_IN_A_ROW,
    CannotBegin,
    EvaluatorNode,
    EvaluatorParameters,
    Interrupted,
    Request,
)
from conure_ros.recording.trial_goals import LIMIT_S, time_limit_s
from conure_ros.recording.trials import (
    FILE_NAME,
    InvalidTrial,
    Measures,
    Settings,
    Trial,
    TrialsFile,
    read_trials,
)

SETTINGS = Settings(task="Lift", target="", first_seed=10, timeout_s=0.0, bundle_hash="abc")


def trial(seed):
    return Trial(
        seed,
        "cube",
        seed % 2 == 0,
        1.5,
        f"trial_{seed}.mcap",
        "success",
        Measures(inference_ms=[0.1]),
    )


def test_a_restart_goes_on_from_the_first_unfinished_trial(tmp_path):
    first = TrialsFile(tmp_path, SETTINGS)
    assert first.unfinished(4) == [10, 11, 12, 13]
    first.add(trial(10))
    first.add(trial(11))
    again = TrialsFile(tmp_path, SETTINGS)
    assert again.unfinished(4) == [12, 13]
    assert again.trials == [trial(10), trial(11)]
    assert again.unfinished(2) == []


@pytest.mark.parametrize(
    "change", [{"task": "Pick"}, {"first_seed": 3}, {"bundle_hash": "def"}, {"timeout_s": 1.0}]
)
def test_trials_of_other_settings_are_refused_by_name(tmp_path, change):
    TrialsFile(tmp_path, SETTINGS).add(trial(10))
    with pytest.raises(ConfigError, match=f"another run: its {next(iter(change))} is "):
        TrialsFile(tmp_path, dataclasses.replace(SETTINGS, **change))


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": 99}', '{"format": 1, "settings": {}, "trials": []}', "[1]"]
)
def test_a_broken_file_is_refused_and_kept(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(DataError, match=r"trials\.json"):
        TrialsFile(tmp_path, SETTINGS)
    assert (tmp_path / FILE_NAME).read_text() == text


def test_the_file_is_plain_json(tmp_path):
    TrialsFile(tmp_path, SETTINGS).add(trial(10))
    data = json.loads((tmp_path / FILE_NAME).read_text())
    assert data["trials"][0]["measures"]["inference_ms"] == [0.1]
    assert read_trials(tmp_path / FILE_NAME) == (SETTINGS, [trial(10)])
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_two_evaluators_never_write_to_one_folder(tmp_path):
    """Each keeps the trials in memory: the second to write would drop those of the first."""
    evaluator = SimpleNamespace(
        parameters=EvaluatorParameters(folder=str(tmp_path)), bundle_hash="abc"
    )
    with (
        claimed(tmp_path / FILE_NAME, "evaluate", "file"),
        pytest.raises(ConfigError, match="is being written by 'evaluate'"),
    ):
        EvaluatorNode._run_all(evaluator)


def test_a_trial_that_could_not_begin_is_kept_with_its_reason_and_run_again_by_a_rerun(tmp_path):
    first = TrialsFile(tmp_path, SETTINGS)
    first.add_invalid(InvalidTrial(10, "home: 'waist' is 0.080 rad away"))
    first.add(trial(11))
    data = json.loads((tmp_path / FILE_NAME).read_text())
    assert data["invalid"] == [{"seed": 10, "reason": "home: 'waist' is 0.080 rad away"}]
    assert read_trials(tmp_path / FILE_NAME)[1] == [trial(11)], "neither success nor failure"
    again = TrialsFile(tmp_path, SETTINGS)
    assert again.unfinished(3) == [10, 12]
    again.add(trial(10))
    assert json.loads((tmp_path / FILE_NAME).read_text())["invalid"] == []


class Scene:
    """Stands for the graph: keeps the services that the evaluator calls, and answers them."""

    def __init__(self, tmp_path, trials=4, fails=()):
        self.calls, self.fails, self.lines = [], list(fails), []
        self.parameters = EvaluatorParameters(folder=str(tmp_path), trials=trials, first_seed=10)
        self.acted_s, self.recorded, self.bundle_hash = 0.0, "", "abc"

    def call(self, service, /, **fields):
        self.calls.append(service)
        if service == HOME and self.fails and (error := self.fails.pop(0)):
            raise error
        return SimpleNamespace(target="cube", objects=["cube"], time_limit=Duration())

    def _try(self, service, /, **fields):
        self.calls.append(service)

    def _go_home(self):
        EvaluatorNode._go_home(self)

    def _recorded(self, request, about, limit_s):
        self.calls.append(f"record for {limit_s:.0f} s")
        return trial(request.seed)

    def run_trial(self, request):
        return EvaluatorNode.run_trial(self, request)

    def get_logger(self):
        note = self.lines.append
        return SimpleNamespace(info=note, warning=note, error=note)


REQUEST = Request(seed=10, task="Lift", target="", timeout_s=0.0, name="trial")
NOT_HOME = RobotError("home: the arm did not settle")


def test_the_arm_is_home_before_anybody_lays_the_scene(tmp_path):
    scene = Scene(tmp_path)
    scene.run_trial(REQUEST)
    assert scene.calls == [
        SET_MODE,
        HOME,
        SCENE_RESET,
        SCENE_STATUS,
        f"record for {LIMIT_S:.0f} s",
    ]


def test_where_the_arm_does_not_get_home_the_scene_is_left_alone_and_the_arm_holds(tmp_path):
    scene = Scene(tmp_path, fails=[NOT_HOME])
    with pytest.raises(CannotBegin, match="did not settle"):
        scene.run_trial(REQUEST)
    assert scene.calls == [SET_MODE, HOME, SET_MODE]


def test_a_trial_that_its_client_ends_on_the_way_home_is_interrupted_and_not_invalid(tmp_path):
    scene = Scene(tmp_path, fails=[Interrupted("cancelled by its client")])
    with pytest.raises(Interrupted):
        scene.run_trial(REQUEST)


def test_a_homing_that_fails_costs_one_trial_and_not_the_series(tmp_path):
    scene, file = Scene(tmp_path, fails=[None, NOT_HOME]), TrialsFile(tmp_path, SETTINGS)
    EvaluatorNode._run_unfinished(scene, file)
    assert [done.seed for done in file.trials] == [10, 12, 13]
    assert file.invalid == [InvalidTrial(11, "home: the arm did not settle")]
    assert any("trial of seed 11 is invalid: home: " in line for line in scene.lines)
    assert "1 of 4 trials are invalid and not counted" in scene.lines[-1]


def test_a_series_in_which_no_homing_succeeds_ends_soon_with_the_reason(tmp_path):
    scene, file = Scene(tmp_path, trials=50, fails=[NOT_HOME] * 50), TrialsFile(tmp_path, SETTINGS)
    with pytest.raises(RobotError, match=f"{INVALID_IN_A_ROW} trials in a row are invalid: home"):
        EvaluatorNode._run_unfinished(scene, file)
    assert len(file.invalid) == INVALID_IN_A_ROW


@pytest.mark.parametrize(
    ("given", "limit_s"),
    [
        (Duration(), LIMIT_S),
        (Duration(sec=20), 20.0),
        (Duration(nanosec=500_000_000), 0.5),
        (Duration(sec=3600), 3600.0),
    ],
)
def test_the_scenes_node_may_give_a_time_limit(given, limit_s):
    assert time_limit_s(given) == limit_s


@pytest.mark.parametrize(
    ("given", "why"), [(Duration(sec=-1), "got -1"), (Duration(sec=3601), "got 3601")]
)
def test_a_time_limit_that_makes_no_sense_is_refused_by_name(given, why):
    with pytest.raises(RobotError, match="scene/status: time_limit must be from 0 to") as refused:
        time_limit_s(given)
    assert why in str(refused.value)


class NoScene(Scene):
    """Of a real arm: nobody puts the scene back."""

    def _offered(self, service, limit_s):
        self.calls.append((service, limit_s))
        raise RobotError(f"no node offers the service '/{service}'")

    def _require_scene(self):
        EvaluatorNode._require_scene(self)


def test_where_nobody_lays_the_scene_it_is_said_soon_and_what_a_person_does_instead(tmp_path):
    scene = NoScene(tmp_path)
    with pytest.raises(RobotError, match=r"offers the service '/scene/reset': on a real arm") as no:
        EvaluatorNode.run(scene)
    assert "graph=robot" in str(no.value) and "conure keys" in str(no.value)
    ((service, limit_s),) = scene.calls
    assert service == SCENE_RESET and limit_s <= 10.0, "before it waits for anything else"
