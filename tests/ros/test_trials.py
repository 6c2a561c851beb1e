import dataclasses
import json
from types import SimpleNamespace

import pytest

from conure_core.errors import ConfigError, DataError
from conure_core.runtime.claim import claimed
from conure_ros.nodes.evaluator_node import EvaluatorNode, EvaluatorParameters
from conure_ros.recording.trials import (
    FILE_NAME,
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
