"""The scripted operator at the real graph, at toy size."""

import pytest
from conure_experiments.operator import Operator, run

from conure_ros.recording.episodes import Episode

pytestmark = pytest.mark.ros


def test_it_records_what_becomes_a_data_set_and_goes_on_where_it_was(tmp_path):
    config = Operator(episodes=1, folder=str(tmp_path), failed_share=0.0, looked_at=8)
    found = run(config)
    assert found["recorded"] == found["imported"] == 1
    assert found["lost_messages"] == 0
    metadata = Episode(tmp_path / "recordings/episode_0000.mcap").metadata
    assert metadata["task"] == "Lift"
    assert metadata["label"] in ("success", "failure")
    assert found["seen_to_succeed"] == (metadata["label"] == "success")
    assert run(config) == found, "nothing is recorded twice"
