"""Data sets: whatever was recorded fits in, images stay on the disk, nothing is lost on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st

from conure_core.cli import main
from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_sim.physics.arm_simulation import table_camera
from conure_training.benchmarks.data_loading import MEASUREMENTS, BenchDataConfig
from conure_training.curation.edit import EditConfig, edit
from conure_training.curation.show import ShowConfig, show
from conure_training.data import images as encoded
from conure_training.data.demonstrations import (
    ARRAYS,
    IMAGES,
    Demonstrations,
    load_demonstrations,
    require_state,
)
from conure_training.data.episode_info import EpisodeInfo
from conure_training.data.joining import join_demonstrations, load_data_sets
from conure_training.data.selection import episodes_of
from conure_training.data.writer import save_demonstrations, writing
from conure_training.prior.training_images import frames_of_demonstrations
from conure_training.rl.train import train_rl

from .toy_runs import CONF, rl_config


def data_of(lengths=(3, 2), task="Lift", state=5, objects=2, size=(6, 8), others=(), seed=0):
    """Random episodes; `state` and `objects` 0: not recorded."""
    rng = np.random.default_rng(seed)
    count, episodes = sum(lengths), len(lengths)

    def pictures(rows):
        return rng.integers(0, 256, (rows, *size, 3), dtype=np.uint8)

    def numbers(*shape):
        return rng.uniform(-1, 1, shape).astype(np.float32)

    return Demonstrations(
        image=pictures(count),
        final_image=pictures(episodes),
        others={name: (pictures(count), pictures(episodes)) for name in others},
        proprio=numbers(count, 4),
        final_proprio=numbers(episodes, 4),
        state=numbers(count, state),
        final_state=numbers(episodes, state),
        action=numbers(count, 7),
        reward=np.zeros(count, np.float32),
        positions=numbers(count, objects, 3),
        ends=np.cumsum(lengths),
        task=np.zeros(episodes, np.int64),
        seed=np.arange(episodes),
        tasks=(task,),
        time_s=np.concatenate([np.arange(length) / 10 for length in lengths]),
        infos=(EpisodeInfo("success", "teleoperation", ((0, 2),), "arm", origin="a"),) * episodes,
    )


def require_equal(found, expected):
    for name in (*ARRAYS, *IMAGES):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert found.tasks == expected.tasks and found.episodes == expected.episodes
    assert set(found.others) == set(expected.others)
    for name, pair in expected.others.items():
        for mine, theirs in zip(found.others[name], pair, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "parts",
    [{}, {"state": 0}, {"objects": 0}, {"state": 0, "objects": 0, "others": ("wrist", "left")}],
    ids=["all", "no state", "no labels", "an arm with three cameras"],
)
def test_what_was_recorded_comes_back_to_the_bit(tmp_path, parts):
    data = data_of(**parts)
    save_demonstrations(tmp_path / "set", data, {"config": {"a": 1}})
    require_equal(load_demonstrations(tmp_path / "set"), data)


def test_images_are_decoded_when_they_are_asked_for_and_not_before(tmp_path, monkeypatch):
    data = data_of((30, 20))
    save_demonstrations(tmp_path / "set", data, {})
    decoded = []
    decode = encoded.cv2.imdecode
    monkeypatch.setattr(encoded.cv2, "imdecode", lambda *a: decoded.append(1) or decode(*a))
    monkeypatch.setattr(encoded, "DECODED_BYTES", 1000)
    found = load_demonstrations(tmp_path / "set")
    part = episodes_of(found, np.array([1]))
    assert found.image.shape == (50, 6, 8, 3) and not decoded
    np.testing.assert_array_equal(part.image[3:5], data.image[33:35])
    np.testing.assert_array_equal(found.image[7], data.image[7])
    np.testing.assert_array_equal(found.image[np.array([4, 4, 2])], data.image[[4, 4, 2]])
    assert len(decoded) == 6
    monkeypatch.setattr(encoded, "DECODED_BYTES", 10**6)
    small = load_demonstrations(tmp_path / "set")
    assert (np.asarray(small.image) == np.asarray(small.image)).all()
    assert len(decoded) == 6 + 50, "a set that fits is decoded once"
    monkeypatch.setattr(encoded, "DECODED_BYTES", 2 * small.image[:].nbytes - 1)
    other = load_demonstrations(tmp_path / "set")
    for _ in range(2):
        np.asarray(other.image)
    assert len(decoded) == 6 + 50 + 100, "two that do not fit together are not both kept"
    del small
    third = load_demonstrations(tmp_path / "set")
    for _ in range(2):
        np.asarray(third.image)
    assert len(decoded) == 6 + 50 + 100 + 50, "what is no longer used makes room"


def test_a_set_that_is_replaced_meanwhile_stays_readable(tmp_path):
    first, second = data_of(), data_of(seed=1)
    save_demonstrations(tmp_path / "set", first, {})
    found = load_demonstrations(tmp_path / "set")
    save_demonstrations(tmp_path / "set", second, {})
    np.testing.assert_array_equal(found.image[:], first.image)


def test_jpeg_is_small_and_near(tmp_path):
    smooth = np.linspace(0, 255, 96 * 128 * 3).reshape(96, 128, 3).astype(np.uint8)
    data = replace(data_of(), image=np.stack([smooth] * 5), final_image=np.stack([smooth] * 2))
    save_demonstrations(tmp_path / "set", data, {}, codec="jpeg")
    found = load_demonstrations(tmp_path / "set")
    assert np.abs(found.image[0].astype(int) - smooth).max() < 12
    assert (tmp_path / "set" / "images" / "camera.bin").stat().st_size < smooth.nbytes
    with pytest.raises(ConfigError, match="did you mean 'jpeg'"):
        save_demonstrations(tmp_path / "set", data, {}, codec="jpg")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=4))
def test_tasks_with_other_states_and_labels_stand_in_one_set(kinds):
    parts = [
        data_of(task=f"Task{index}", state=state, objects=objects, seed=index)
        for index, (state, objects) in enumerate(kinds)
    ]
    joined = join_demonstrations(parts)
    assert joined.tasks == tuple(part.tasks[0] for part in parts)
    number = 0
    for part in parts:
        for episode in range(2):
            np.testing.assert_array_equal(joined.states_of(number), part.states_of(episode))
            steps = joined.steps_of(number)
            assert joined.labelled[steps].all() == (part.positions.shape[1] > 0)
            np.testing.assert_array_equal(joined.image[steps], part.image[part.steps_of(episode)])
            number += 1


def test_a_camera_that_only_some_episodes_have_is_absent_in_the_others_by_name(tmp_path):
    with writing(tmp_path / "set", {}) as writer:
        writer.add(data_of(others=("left",)))
        writer.add(data_of(others=("right",), seed=1))
    found = load_demonstrations(tmp_path / "set")
    left, right = found.others["left"][0], found.others["right"][0]
    assert left.present.tolist() == [True] * 5 + [False] * 5
    assert right.present.tolist() == [False] * 5 + [True] * 5
    with pytest.raises(DataError, match=r"right\.bin has no image of step 2"):
        right[2]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"size": (8, 8)}, "images of 8x6 px beside|images of 8x6 and 8x8 px"),
        ({"proprio": np.zeros((5, 9), np.float32)}, "of different arms .*4, 9 values"),
    ],
)
def test_what_cannot_be_one_set_is_refused(tmp_path, other, reason):
    second = data_of(seed=1, size=other.pop("size", (6, 8)))
    with pytest.raises(DataError, match=reason):
        join_demonstrations([data_of(), replace(second, **other)])
    assert not list(tmp_path.iterdir())


def test_a_method_that_needs_the_state_says_which_episodes_lack_it():
    data = join_demonstrations([data_of(state=5), data_of(state=0, seed=1)])
    with pytest.raises(DataError, match=r"critics need .*which 2 of 4 episodes of Lift lack"):
        require_state(data, "Lift", 5, "critics need")
    with pytest.raises(DataError, match=r"a privileged state of 6 values, .* of Lift have 5"):
        require_state(data_of(state=5), "Lift", 6, "critics need")
    require_state(data_of(state=5), "Lift", 5, "critics need")


def test_sets_that_hold_images_in_one_array_are_read(tmp_path):
    data = replace(data_of(), infos=(), time_s=None)
    group = zarr.open_group(tmp_path / "set", mode="w")
    for name in (*IMAGES, *ARRAYS):
        if name != "time_s":
            group.create_array(name, data=getattr(data, name))
    group.attrs.update({"format": 1, "tasks": ["Lift"]})
    found = load_demonstrations(tmp_path / "set")
    np.testing.assert_array_equal(found.image, data.image)
    assert [info.outcome for info in found.episodes] == ["unknown"] * 2
    group.attrs.update({"format": 3})
    with pytest.raises(DataError, match="data set of format 3, this version reads 1 and 2; update"):
        load_demonstrations(tmp_path / "set")


@pytest.mark.parametrize("name", ["images/camera.bin", "images/camera.npy", "episodes.json"])
def test_a_part_that_is_missing_or_short_is_named(tmp_path, name):
    for number, damage in enumerate((lambda path: path.unlink(), lambda path: cut(path))):
        path = tmp_path / str(number)
        save_demonstrations(path, data_of(), {})
        damage(path / name)
        with pytest.raises(DataError, match=f"{path.name} is damaged"):
            load_demonstrations(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def test_labels_of_recordings_are_unknown_and_containers_are_each_task_s_own():
    first, second = data_of(state=6), data_of(state=9, seed=1)
    for part, size in ((first, 6), (second, 9)):
        part.state[:, size - 1] = 1.0
    recorded = data_of(state=0, objects=0, seed=2)
    data = join_demonstrations([first, second, recorded])
    frames, whole = frames_of_demonstrations(data, table_camera(48))
    assert whole.all()
    np.testing.assert_array_equal(frames.container[:5], first.state[:, 2:5])
    np.testing.assert_array_equal(frames.container[5:10], second.state[:, 5:8])
    assert frames.container[10:].isnan().all() and frames.positions[10:].isnan().all()
    batch = frames.at(torch.tensor([11, 3]), torch.device("cpu"))
    np.testing.assert_array_equal(batch.image, data.image[[11, 3]])


def edited(*words) -> list:
    return edit(load_config(CONF, "data_edit", EditConfig, list(words)))


def test_episodes_are_removed_relabelled_renamed_and_merged(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    save_demonstrations(first, data_of((3, 2, 4)), {"config": {"seed": 1}}, codec="jpeg")
    save_demonstrations(second, data_of((2,), task="Pour", state=0, seed=1), {})
    before = load_demonstrations(first)
    edited(
        f"data={first}",
        f"out={tmp_path / 'out'}",
        f"merge=[{second}]",
        "remove=[1]",
        "episodes=[0,3]",
        "outcome=failure",
        "task=Push",
        "rename=[Pour:Sweep,Lift:Raise]",
    )
    data = load_demonstrations(tmp_path / "out")
    assert [data.tasks[number] for number in data.task] == ["Push", "Raise", "Push"]
    assert [info.outcome for info in data.episodes] == ["failure", "success", "failure"]
    assert data.state_sizes.tolist() == [5, 5, 0]
    kept = np.r_[0:3, 5:9]
    np.testing.assert_array_equal(data.image[:7], before.image[kept])
    np.testing.assert_array_equal(data.action[:7], before.action[kept])
    require_equal(load_demonstrations(first), before)


def test_in_place_a_backup_is_kept(tmp_path):
    path = tmp_path / "set"
    save_demonstrations(path, data_of((3, 2)), {"config": {"seed": 1}})
    before = load_demonstrations(path)
    for number in (1, 2):
        edited(f"data={path}", "episodes=[0]", "outcome=unknown")
        assert (tmp_path / f"set.backup-{number}").is_dir()
    require_equal(load_demonstrations(tmp_path / "set.backup-1"), before)
    assert load_demonstrations(path).episodes[0].outcome == "unknown"


def test_a_set_is_split_and_its_parts_are_the_whole(tmp_path):
    path = tmp_path / "set"
    joined = join_demonstrations([data_of(), data_of(task="Pour", state=2, seed=1)])
    save_demonstrations(path, joined, {})
    edited(f"data={path}", f"out={tmp_path / 'by'}", "split=task")
    parts = [str(tmp_path / "by" / name) for name in ("Lift", "Pour")]
    require_equal(load_data_sets(parts), joined)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "nothing to edit"),
        (["remove=[7]"], "holds the episodes 0 to 1, got 7"),
        (["remove=[0,1]"], "names all 2 episodes"),
        (["episodes=[0]"], "belong together"),
        (["episodes=[0]", "outcome=won"], "outcome 'won'"),
        (["rename=[Lfit:Raise]"], "did you mean 'Lift'"),
        (["split=task"], "split needs out="),
        (["rename=[Lift:../Lift]"], "names the task '../Lift'; use letters"),
        (["rename=[Lift]"], r"takes OLD:NEW, as .*, got 'Lift'"),
    ],
)
def test_edits_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, words, reason):
    path = tmp_path / "set"
    save_demonstrations(path, data_of(), {})
    with pytest.raises((ConfigError, DataError), match=reason):
        edited(f"data={path}", *words)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def test_the_page_shows_every_episode_and_loads_nothing(tmp_path, demos, prior):
    save_demonstrations(tmp_path / "set", data_of(task="<b>Lift"), {})
    words = [f"data={tmp_path / 'set'}", f"out={tmp_path / 'data.html'}"]
    page = show(load_config(CONF, "data_show", ShowConfig, words)).read_text()
    assert page.count("<tr>") == 3 and page.count("data:image/jpeg;base64,") == 2
    assert "&lt;b&gt;Lift" in page and "<b>Lift" not in page
    assert "http:" not in page and "https:" not in page and 'src="data:' in page
    words = [f"data={demos}", f"out={tmp_path / 'demos.html'}", f"prior={prior}"]
    page = show(load_config(CONF, "data_show", ShowConfig, words)).read_text()
    assert page.count("<polyline") == page.count("<img") == 8


def test_the_benchmark_measures_a_toy(tmp_path):
    toy = ["episodes=2", "steps=4", "height_px=48", "width_px=64", "cell_px=4", "batch_size=2"]
    words = [*toy, f"out={tmp_path / 'data.json'}", f"data={tmp_path / 'set'}", "training_steps=2"]
    config = load_config(CONF, "bench_data", BenchDataConfig, words)
    rows = [row for name in config.rows for row in MEASUREMENTS[name](config)]
    assert len(rows) == 5 and all(row.value > 0 for row in rows)
    assert len(load_demonstrations(tmp_path / "set").others) == 1


def test_the_verbs_answer(tmp_path, capsys):
    assert main(["data", "show", f"data={tmp_path}/none", f"out={tmp_path}/page.html"]) == 1
    assert "no data set at" in capsys.readouterr().err


def test_rl_takes_a_set_without_states_where_no_state_is_needed_or_says_what_needs_it(
    demos, prior, tmp_path, short_episodes
):
    data = load_demonstrations(demos)
    bare = {"state": data.state[:, :0], "final_state": data.final_state[:, :0], "infos": ()}
    save_demonstrations(tmp_path / "set", replace(data, **bare), {})

    def learn(*words):
        given = ["steps=12", *words]
        return train_rl(rl_config(tmp_path / "set", prior, tmp_path / "out", *given))

    lack = r"which 6 of 6 episodes of Lift lack"
    with pytest.raises(DataError, match=f"method.critic=state learns from .*{lack}"):
        learn()
    with pytest.raises(DataError, match=f"relabel=true finds other targets in .*{lack}"):
        learn("method.critic=features")
    assert learn("method.critic=features", "relabel=false").is_file()
