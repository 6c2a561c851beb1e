"""Data sets go to LeRobot and robomimic and come back; foreign ones are judged before they are
kept.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as parquet
import pytest

from conure_core.cli import main
from conure_core.config.loader import load_config
from conure_core.control.controller import gripper_position_m
from conure_core.control.loop import ControlLoop
from conure_core.errors import ConfigError, DataError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_training.curation.export_data import ExportDataConfig, export_data
from conure_training.curation.import_data import ImportConfig, import_recordings
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.episode_info import EpisodeInfo
from conure_training.data.writer import save_demonstrations, writing
from conure_training.formats.frames import Frames, frames_of
from conure_training.formats.statistics import PixelStatistics, summarize
from conure_training.formats.steps import StepsReader
from conure_training.formats.video import VideoWriter

from .test_data_sets import data_of, require_equal
from .toy_runs import CONF

ROBOT = load_robot("wx250s")
LENGTHS = (5, 4, 7)
ORACLES = {"lerobot": "CONURE_LEROBOT_PYTHON", "robomimic": "CONURE_ROBOMIMIC_PYTHON"}
SIZE = (48, 64)


def smooth(count, seed):
    """Images without noise, which a video keeps; each another one."""
    begin = np.random.default_rng(seed).uniform(20, 90, (count, 1, 1, 3))
    down = np.linspace(0, 80, SIZE[0])[:, None, None]
    across = np.linspace(0, 60, SIZE[1])[:, None]
    return (begin + down + across).astype(np.uint8)


def arm_data(**changes):
    """Episodes of a person on the wx250s, with everything that a data set may have."""
    data = data_of(LENGTHS, size=SIZE, others=("wrist",), **changes)
    rng = np.random.default_rng(1)
    count, episodes = len(data), len(LENGTHS)

    def measured(rows):
        return rng.uniform(-1, 1, (rows, ROBOT.proprio_size)).astype(np.float32)

    reward = np.zeros(count, np.float32)
    reward[data.ends[0] - 1] = 1.0
    size = data.state.shape[1]
    taken = EpisodeInfo("success", "takeover", ((1, 3),), "wx250s", origin="a", state_size=size)
    failed = EpisodeInfo("failure", "policy", robot="wx250s", state_size=size)
    unknown = EpisodeInfo("unknown", "teleoperation", ((0, 7),), "wx250s", state_size=size)
    return replace(
        data,
        image=smooth(count, 2),
        final_image=smooth(episodes, 3),
        others={"wrist": (smooth(count, 4), smooth(episodes, 5))},
        proprio=measured(count),
        final_proprio=measured(episodes),
        reward=reward,
        infos=(taken, failed, unknown),
    )


def export(folder, form, *words, name="out"):
    given = [f"data={folder / 'set'}", f"format={form}", f"out={folder / name}", *words]
    return export_data(load_config(CONF, "data_export", ExportDataConfig, given))


def imported(path, *words):
    kind = "robomimic" if path.suffix == ".hdf5" else "lerobot"
    out = path.with_name("back")
    given = [f"{kind}={path}", f"out={out}", "image_fit=none", "codec=png", *words]
    return load_demonstrations(
        import_recordings(load_config(CONF, "data_import", ImportConfig, given))
    )


@pytest.fixture
def exported(tmp_path):
    """A folder with a data set `set`, and its export `out` with exact images."""
    save_demonstrations(tmp_path / "set", arm_data(), {})
    export(tmp_path, "lerobot", "codec=png")
    return tmp_path


@pytest.mark.parametrize("parts", [{}, {"state": 0}, {"objects": 0}])
@pytest.mark.parametrize("form", ["lerobot", "robomimic"])
def test_what_is_exported_comes_back_as_it_was(tmp_path, form, parts):
    data = arm_data(**parts)
    save_demonstrations(tmp_path / "set", data, {})
    require_equal(imported(export(tmp_path, form, "codec=png")), data)


def test_a_video_changes_pixels_as_its_codec_does_and_no_number(tmp_path):
    data = arm_data()
    save_demonstrations(tmp_path / "set", data, {})
    back = imported(export(tmp_path, "lerobot"))
    for mine, theirs in (
        (back.image, data.image),
        (back.final_image, data.final_image),
        (back.others["wrist"][0], data.others["wrist"][0]),
    ):
        apart = np.abs(np.asarray(mine).astype(int) - np.asarray(theirs))
        assert apart.mean() < 3.0 and apart.max() < 30, "each image is its own, not a neighbour's"
    kept = {"image": data.image, "final_image": data.final_image, "others": data.others}
    require_equal(replace(back, **kept), data)


def test_many_files_hold_what_one_would(tmp_path, monkeypatch):
    monkeypatch.setattr("conure_training.formats.lerobot_layout.DATA_MB", 0)
    monkeypatch.setattr("conure_training.formats.lerobot_layout.VIDEO_MB", 0)
    monkeypatch.setattr("conure_training.formats.lerobot_layout.CHUNK_FILES", 2)
    data = arm_data()
    save_demonstrations(tmp_path / "set", data, {})
    out = export(tmp_path, "lerobot")
    places = ["chunk-000/file-000", "chunk-000/file-001", "chunk-001/file-000"]
    for place in places:
        assert (out / f"data/{place}.parquet").is_file()
        assert (out / f"videos/observation.images.wrist/{place}.mp4").is_file()
    back = imported(out)
    np.testing.assert_array_equal(back.action, data.action)
    assert np.abs(back.image[:].astype(int) - data.image).mean() < 3.0


def test_statistics_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3))
    found = summarize(rows)
    np.testing.assert_allclose(found["q10"], np.quantile(rows, 0.1, axis=0))
    np.testing.assert_allclose(found["std"], rows.std(axis=0))
    rows[::2, 1] = np.nan
    assert summarize(rows)["max"][1] == np.nanmax(rows[:, 1])
    images = rng.integers(0, 256, (9, 5, 6, 3), dtype=np.uint8)
    pixels = PixelStatistics()
    for part in (images[:4], images[4:]):
        pixels.add(part)
    seen = pixels.summary()
    scaled = images.reshape(-1, 3) / 255.0
    for name, expected in (
        ("min", scaled.min(axis=0)),
        ("max", scaled.max(axis=0)),
        ("mean", scaled.mean(axis=0)),
        ("std", scaled.std(axis=0)),
        ("q90", np.quantile(scaled, 0.9, axis=0, method="inverted_cdf")),
    ):
        np.testing.assert_allclose(np.ravel(seen[name]), expected, atol=1e-9, err_msg=name)
    assert np.shape(seen["mean"]) == (3, 1, 1) and seen["count"] == [9]


def joint_frames(rate_hz=20.0, scale=1.0, ending=".pos"):
    """Joint targets of a controller, two a control period, as another project records them."""
    arm = Arm(ROBOT)
    loop = ControlLoop(arm)
    joints = np.array(ROBOT.home_rad)
    loop.reset(joints, ROBOT.gripper_open_m)
    targets, actions = [], []
    for step in range(6):
        action = np.array([0.2, 0.1, -0.2, 0.0, 0.1, 0.0, 1.0 - step / 5])
        joints = loop.step(action, joints).joint_rad
        opening = gripper_position_m(float(action[6]), ROBOT)
        targets += [np.append(joints, opening)] * 2
        actions.append(action)
    rows = np.array([*targets, targets[-1]], np.float32) * np.float32(scale)
    measured = np.concatenate([np.append(ROBOT.home_rad, ROBOT.gripper_open_m)[None], rows[:-1]])
    names = tuple(f"{name}{ending}" for name in ROBOT.command_names)
    images = {"top": np.zeros((len(rows), 8, 8, 3), np.uint8)}
    frames = Frames(
        measured.astype(np.float32), names, rows, names, images, "Pick the cube.", rate_hz
    )
    return frames, np.array(actions)


@pytest.mark.parametrize("ending", [".pos", ""])
def test_joint_targets_of_others_become_the_actions_that_lead_there(ending):
    frames, actions = joint_frames(ending=ending)
    data, remarks = StepsReader(Arm(ROBOT)).read(frames, "theirs#0")
    np.testing.assert_allclose(data.action, actions, atol=0.01)
    assert data.tasks == ("Pick_the_cube",) and remarks == (
        "theirs#0: its joint targets are its actions, one of 2 frames",
    )
    (info,) = data.episodes
    assert (info.source, info.outcome, info.robot) == ("teleoperation", "unknown", "wx250s")
    np.testing.assert_allclose(data.proprio[0, 10:], ROBOT.home_rad, atol=1e-6)


def test_a_camera_whose_name_is_a_path_writes_nowhere_else():
    frames, _ = joint_frames()
    named = replace(
        frames, images={"camera": frames.images["top"], "../../x": frames.images["top"]}
    )
    data, _ = StepsReader(Arm(ROBOT)).read(named, "theirs#0")
    assert set(data.others) == {"_x"}


def test_motion_is_the_action_where_theirs_has_another_meaning():
    frames, actions = joint_frames()
    other = replace(frames, action=frames.action[:, :2], action_names=("x", "y"))
    data, remarks = StepsReader(Arm(ROBOT)).read(other, "theirs#0")
    np.testing.assert_allclose(data.action[1:, :6], actions[:-1, :6], atol=0.2)
    assert "the measured motion is its action" in remarks[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_hz": 15.0}, "15 frames a second, and the robot 'wx250s' acts at 10 Hz"),
        ({"rate_hz": 1.0}, "1 frames a second"),
        ({"scale": 57.3}, "expected joints in rad and the gripper in m, not degrees"),
        ({"ending": "_position"}, "is not of the robot 'wx250s': its state is"),
    ],
)
def test_frames_that_cannot_be_this_robots_are_refused(change, message):
    frames, _ = joint_frames(**change)
    with pytest.raises(DataError, match=message):
        StepsReader(Arm(ROBOT)).read(frames, "theirs#0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {"state": f.state[:2], "action": f.action[:2]}, "make 0 steps"),
        (lambda f: {"state": f.state * np.nan}, "'state' is not finite at frame 0"),
        (lambda f: {"images": {}}, "only none at all; give camera="),
        (lambda f: {"images": {"a": f.images["top"], "b": f.images["top"]}}, "only a, b; give"),
        (lambda f: {"note": {"outcome": "great"}}, "a note that cannot be read"),
        (lambda f: {"state_names": ()}, "without names"),
    ],
)
def test_frames_without_what_an_episode_needs_are_refused(change, message):
    frames, _ = joint_frames()
    with pytest.raises(DataError, match=message):
        StepsReader(Arm(ROBOT)).read(replace(frames, **change(frames)), "theirs#0")


def info_with(**changes):
    def change(folder):
        path = folder / "meta/info.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def without_rows(folder):
    path = folder / "data/chunk-000/file-000.parquet"
    parquet.write_table(parquet.read_table(path).slice(0, 8), path)


def half(name):
    def change(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


DATA = "data/chunk-000/file-000.parquet"
BROKEN = {
    "no info": (lambda folder: (folder / "meta/info.json").unlink(), "has no meta/info.json"),
    "version": (info_with(codebase_version="v2.1"), "is a LeRobotDataset v2.1, expected v3.0"),
    "features": (info_with(features={}), "has no observation.state and no action"),
    "features of another kind": (info_with(features=[]), "info.json is damaged"),
    "rate": (info_with(fps=0), "info.json is damaged"),
    "path": (info_with(data_path="{nothing}"), "is damaged"),
    "no table": (lambda folder: (folder / DATA).unlink(), "lacks .*file-000.parquet"),
    "half a table": (half(DATA), "file-000.parquet is damaged"),
    "fewer rows": (without_rows, "episode 1 has 2 rows, expected 5"),
    "no episodes": (lambda folder: shutil.rmtree(folder / "meta/episodes"), "holds no table"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN)
def test_a_lerobot_data_set_that_is_broken_is_refused_in_one_line(exported, damage, message):
    damage(exported / "out")
    with pytest.raises(DataError, match=message) as caught:
        imported(exported / "out")
    assert "\n" not in str(caught.value) and not (exported / "back").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "lacks .*file-000.mp4"),
        (lambda path: path.write_bytes(b"no video"), "file-000.mp4 is damaged"),
        (lambda path: shorten(path), "ends .* frames before its episode does"),
    ],
)
def test_a_video_that_is_missing_damaged_or_short_is_named(tmp_path, damage, message):
    save_demonstrations(tmp_path / "set", arm_data(), {})
    out = export(tmp_path, "lerobot")
    damage(out / "videos/observation.images.camera/chunk-000/file-000.mp4")
    with pytest.raises(DataError, match=message):
        imported(out)
    assert not (tmp_path / "back").exists()


def shorten(path):
    writer = VideoWriter(path, 10, SIZE)
    writer.append(smooth(9, 0))
    writer.close()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.pop("data"), "no demonstration in 'data'"),
        (lambda file: file["data/demo_1"].pop("actions"), "demo_1 has no 'actions'"),
        (lambda file: file["data/demo_0/obs"].pop("proprio"), "has neither 'proprio' with names"),
        (lambda file: file["data/demo_2"].attrs.__setitem__("conure", "[1"), "hdf5 is damaged"),
        (lambda file: replace_actions(file["data/demo_0"]), "6 observations and actions of shape"),
        (lambda file: file["data"].attrs.pop("env_args"), ""),
    ],
)
def test_a_robomimic_file_that_lacks_something_is_refused_in_one_line(tmp_path, damage, message):
    save_demonstrations(tmp_path / "set", arm_data(), {})
    path = export(tmp_path, "robomimic")
    with h5py.File(path, "a") as file:
        damage(file)
    if not message:
        assert len(imported(path)) == sum(LENGTHS), "what nobody needs may be missing"
        return
    with pytest.raises(DataError, match=message):
        imported(path)
    assert not (tmp_path / "back").exists()


def replace_actions(demo):
    rows = demo.pop("actions")[:3]
    demo["actions"] = rows


def robosuite_file(path, joints=7):
    """A Panda of robosuite whose first joint turns, at 20 Hz; it closes its gripper half way."""
    count = 13
    home = np.array([*load_robot("panda").home_rad][:joints])
    turned = np.repeat(home[None], count + 1, axis=0)
    turned[:, 0] += 0.004 * np.arange(count + 1)
    fingers = np.full((count + 1, 2), 0.03) * [1, -1]
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_1")
        demo.attrs["num_samples"] = count
        action = np.zeros((count, 7))
        action[:, 6] = np.where(np.arange(count) < 6, -1.0, 1.0)
        demo["actions"], demo["rewards"] = action, np.arange(count) == count - 1
        for name, rows in (("obs", slice(0, count)), ("next_obs", slice(1, None))):
            demo[f"{name}/robot0_joint_pos"] = turned[rows]
            demo[f"{name}/robot0_gripper_qpos"] = fingers[rows]
            demo[f"{name}/agentview_image"] = np.zeros((count, 84, 84, 3), np.uint8)
        given = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}
        file["data"].attrs["env_args"] = json.dumps(given)


def test_joints_of_robosuite_become_actions_with_the_gripper_that_was_asked_for(tmp_path):
    robosuite_file(tmp_path / "in.hdf5")
    data = imported(tmp_path / "in.hdf5", "robot=panda")
    assert data.tasks == ("Lift",) and len(data) == 6
    assert (data.action[:, 1] > 0).all() and data.reward.tolist() == [0] * 5 + [1]
    assert data.action[:, 6].tolist() == [1, 1, 1, -1, -1, -1]
    assert data.image.shape[1:] == (84, 84, 3)
    robosuite_file(tmp_path / "in.hdf5", joints=6)
    with pytest.raises(DataError, match="has 6 joints, and the robot has 7"):
        imported(tmp_path / "in.hdf5", "robot=panda")


def test_an_episode_that_cannot_be_used_can_be_left_out(tmp_path, capsys):
    save_demonstrations(tmp_path / "set", arm_data(), {})
    path = export(tmp_path, "robomimic")
    with h5py.File(path, "a") as file:
        file["data/demo_1/actions"][0] = np.nan
    assert len(imported(path, "skip=true").ends) == 2
    assert "out.hdf5#demo_1 is left out: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lerobot=a", "robomimic=b"], "lerobot and robomimic are given; give one of them"),
        (["lerobot=a", "recordings=b"], "recordings and lerobot are given"),
        (
            ["lerobot=a", "trim_idle=true"],
            "trim_idle=true is for recordings, and lerobot= is given",
        ),
        (["robomimic=a", "image_undistort=true"], "image_undistort=true is for recordings"),
    ],
)
def test_sources_that_do_not_go_together_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        load_config(CONF, "data_import", ImportConfig, words)


def test_an_import_shows_the_policy_what_it_would_see(exported):
    part = ["camera=wrist", "image_crop_px=[8,0,32,32]"]
    back = imported(exported / "out", *part, "task=Put")
    data = arm_data()
    np.testing.assert_array_equal(back.image, data.others["wrist"][0][:, :32, 8:40])
    assert back.tasks == ("Put",) and set(back.others) == {"camera_1"}
    np.testing.assert_array_equal(back.others["camera_1"][0], data.image)
    back = imported(exported / "out", "image_fit=crop", "image_size=24")
    assert back.image.shape[1:] == (24, 24, 3)
    with pytest.raises(DataError, match="would enlarge images of 64x48 px"):
        imported(exported / "out", "image_fit=crop", "image_size=96")


@pytest.mark.parametrize("form", ["lerobot", "robomimic"])
def test_an_export_that_fails_leaves_what_was_there(tmp_path, form, monkeypatch):
    save_demonstrations(tmp_path / "set", arm_data(), {})
    out = export(tmp_path, form)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    content = {path: path.read_bytes() for path in before}

    def full(data, episode, robot):
        if episode == 1:
            raise OSError(28, "No space left on device")
        return frames_of(data, episode, robot)

    for module in ("lerobot_writer", "robomimic_files"):
        monkeypatch.setattr(f"conure_training.formats.{module}.frames_of", full)
    with pytest.raises(OSError, match="No space left"):
        export(tmp_path, form)
    assert out.exists()
    assert {path: path.read_bytes() for path in before} == content
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["robot=panda"], "the data set is of wx250s with 16 values of proprioception, not of"),
        (["format=rlds"], "format"),
        (["codec=av2"], "codec"),
    ],
)
def test_an_export_that_does_not_fit_is_refused(exported, words, message):
    with pytest.raises((ConfigError, DataError), match=message):
        export(exported, "lerobot", *words)


@pytest.mark.parametrize("form", ["lerobot", "robomimic"])
def test_what_only_some_episodes_have_is_left_out_with_a_line(tmp_path, form, capsys):
    recorded = replace(arm_data(state=0), others={})
    with writing(tmp_path / "set", {}) as writer:
        writer.add(arm_data())
        writer.add(recorded)
    back = imported(export(tmp_path, form, "codec=png"))
    said = capsys.readouterr().out
    assert "camera 'wrist' is left out: some episodes have no images of it" in said
    assert len(back.ends) == 6 and not back.others
    both = np.concatenate([arm_data().action, recorded.action])
    np.testing.assert_array_equal(back.action, both)
    if form == "lerobot":
        assert "the privileged state is left out" in said and back.state.shape[1] == 0
    else:
        assert back.state_sizes.tolist() == [5, 5, 5, 0, 0, 0]


def test_images_with_an_odd_side_are_no_video(tmp_path):
    data = arm_data()
    odd = {"image": data.image[:, 1:], "final_image": data.final_image[:, 1:]}
    save_demonstrations(tmp_path / "set", replace(data, **odd), {})
    with pytest.raises(ConfigError, match=r"64x47 px cannot be H.264 video.*give codec=png"):
        export(tmp_path, "lerobot")


@pytest.mark.parametrize(("form", "package"), [("lerobot", "pyarrow"), ("robomimic", "h5py")])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(
    exported, monkeypatch, capsys, form, package
):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    words = [
        "data",
        "export",
        f"data={exported / 'set'}",
        f"format={form}",
        f"out={exported / 'x'}",
    ]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert package in said and "pip install 'conure[formats]' brings it" in said


def ask(name, *words):
    """Run an oracle in the Python that has the library."""
    python = os.environ.get(ORACLES[name])
    if not python:
        pytest.skip(f"{ORACLES[name]} names no Python with {name}; see CONTRIBUTING.md")
    script = Path(__file__).parent / f"{name}_oracle.py"
    subprocess.run([python, str(script), *map(str, words)], check=True, timeout=1100)


@pytest.mark.timeout(1200)
def test_lerobot_itself_loads_edits_and_writes_what_we_write_and_read(tmp_path):
    data = arm_data()
    save_demonstrations(tmp_path / "set", data, {})
    out = export(tmp_path, "lerobot")
    ask("lerobot", out, tmp_path / "found.npz", tmp_path / "theirs")
    found = np.load(tmp_path / "found.npz")
    assert found["episodes"] == len(LENGTHS) and len(found["action"]) == sum(LENGTHS) + 3
    frame = LENGTHS[0] + 1 + 2  # the third of the second episode
    step = LENGTHS[0] + 2
    np.testing.assert_array_equal(found["action"][frame], data.action[step])
    np.testing.assert_array_equal(found["state"][frame], data.proprio[step])
    shown = (255 * found["images.camera"]).round().astype(int).transpose(0, 2, 3, 1)
    assert np.abs(shown[frame] - data.image[step]).mean() < 3.0
    own = imported(out)
    np.testing.assert_array_equal(shown[frame], own.image[step], "we decode what they decode")
    assert set(found["tasks"]) == {"Lift"}
    assert found["fewer"] == sum(LENGTHS[1:]) + 2 and found["both"] == 2 * len(found["action"])
    edited = imported(tmp_path / "fewer")
    np.testing.assert_array_equal(edited.action, data.action[LENGTHS[0] :])
    theirs = imported(tmp_path / "theirs")
    assert len(theirs.ends) == 2 and theirs.tasks == ("Pick_the_cube",)
    assert np.diff(theirs.proprio[: theirs.ends[0], 10]) == pytest.approx(0.01, abs=1e-5)
    assert np.abs(theirs.image[1].astype(int) - 20).max() <= 4, "the third frame, at 10 Hz"


@pytest.mark.timeout(1200)
def test_robomimic_itself_loads_what_we_write(tmp_path):
    data = arm_data()
    save_demonstrations(tmp_path / "set", data, {})
    ask("robomimic", export(tmp_path, "robomimic"), tmp_path / "found.npz")
    found = np.load(tmp_path / "found.npz")
    assert found["demos"].tolist() == ["demo_1", "demo_2"], "demo_0 is held out"
    rest = slice(LENGTHS[0], None)
    np.testing.assert_array_equal(found["actions"], data.action[rest])
    np.testing.assert_array_equal(found["obs/proprio"], data.proprio[rest])
    np.testing.assert_array_equal(found["obs/camera_image"], data.image[rest])
    np.testing.assert_array_equal(found["next_obs/wrist_image"][-1], data.others["wrist"][1][2])
    assert found["dones"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
