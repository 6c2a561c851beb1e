"""The pictures of README and docs: made of a demo's own files, small, and counted as they came."""

import json
import shutil

import pytest
from PIL import Image

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_training.demo import pictures
from conure_training.demo.pictures import PicturesConfig, caption, write_pictures, write_sheets
from conure_training.demo.rollout_film import ANOTHER, NOTHING, TARGET
from conure_training.runtime.marked_blocks import markers, read_block

from .toy_runs import CONF


def settings(demo, out, *words):
    small = ["size=48", "scenes=1", "sheets=false", "readme="]
    return load_config(
        CONF, "pictures", PicturesConfig, [f"demo={demo}", f"out={out}", *small, *words]
    )


@pytest.fixture(scope="module")
def demo(prior, tmp_path_factory):
    """A demo's folder that has got as far as its prior."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "prior").mkdir()
    shutil.copy(prior, folder / "prior" / "prior.pt")
    return folder


def test_a_film_of_what_the_demo_has_so_far_and_a_record_of_it(demo, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n" + "\n".join(markers("rollouts")) + "\nafter\n")
    write_pictures(settings(demo, tmp_path / "out", f"readme={page}"))
    with Image.open(tmp_path / "out" / "rollouts.gif") as film:
        assert film.n_frames > 20
        assert film.width > 2 * 48  # two panels: no policy yet
    shown = json.loads((tmp_path / "out" / "rollouts.json").read_text())
    assert list(shown["outcomes"]) == ["random", "prior"]
    assert all(len(outcomes) == 1 for outcomes in shown["outcomes"].values())
    assert caption(shown) in read_block(page, "rollouts")
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")


def test_the_caption_counts_every_outcome():
    outcomes = {
        "random": [NOTHING] * 3,
        "prior": [TARGET, ANOTHER, ANOTHER],
        "policy": [TARGET] * 3,
    }
    shown = {"task": "Lift", "target": "random_904", "seed": 5, "scenes": 3, "outcomes": outcomes}
    rate = {"rate": 0.995, "low": 0.972, "high": 0.999, "trials": 200}
    shown["evaluations"] = {"policy": {"success": rate, "any_lifted": rate}}
    assert caption(shown).endswith(
        "Lifted: 0 of 3 by random actions, 1 of 3 by the prior (another object in 2), 3 of 3 by the"
        " policy. In the demo's evaluations the policy lifts its target in 99.5 % [97, 100] of 200"
        " episodes.*"
    )


def test_a_demo_without_a_prior_and_an_unknown_target_are_refused(demo, tmp_path):
    with pytest.raises(DataError, match="no prior at"):
        write_pictures(settings(tmp_path, tmp_path / "out"))
    with pytest.raises(ConfigError, match="random_904"):
        settings(demo, tmp_path / "out", "target=teapot")


def test_a_page_without_markers_is_refused(demo, tmp_path):
    (tmp_path / "page.md").write_text("no markers\n")
    with pytest.raises(DataError, match="rollouts: begin"):
        write_pictures(settings(demo, tmp_path / "out", f"readme={tmp_path / 'page.md'}"))


def test_the_sheets_show_every_task_arm_and_draw(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "TASKS", ["PressButton"])
    monkeypatch.setattr(pictures, "arm_names", lambda: ["wx250s", "so101"])
    monkeypatch.setattr(pictures, "TILE_PX", 32)
    monkeypatch.setattr(pictures, "COLUMNS", 2)
    sizes = []
    for path in write_sheets(tmp_path):
        with Image.open(path) as sheet:
            sizes.append((path.stem, sheet.width // 32, sheet.height // 54))
    assert sizes == [("tasks", 1, 1), ("arms", 2, 1), ("randomization", 2, 2)]
