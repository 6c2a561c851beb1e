"""Recordings of people become data sets: what was executed, what was seen, and nothing by halves."""

import resource
from dataclasses import replace

import numpy as np
import pytest

from conure_core.cli import main
from conure_core.config.loader import load_config
from conure_core.control.loop import ControlLoop
from conure_core.errors import ConfigError, DataError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_ros.control.arbiter import Mode
from conure_ros.recording.episodes import Episode
from conure_training.curation.import_data import ImportConfig, import_recordings
from conure_training.data.demonstrations import load_demonstrations
from conure_training.prior.model import load_prior
from conure_training.prior.train import PriorConfig, train_prior

from .arm_recording import ArmRecording, record
from .older_recording import OlderRecording
from .toy_runs import CONF, TINY_PRIOR

FAST = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0]
"""An action that the gate slows down."""
SLOW = [0.2, 0, -0.1, 0, 0.1, 0, 1.0]


def config(folder, out, *words) -> ImportConfig:
    given = [f"recordings={folder}", f"out={out}", *words]
    return load_config(CONF, "data_import", ImportConfig, given)


def imported(folder, *words):
    return load_demonstrations(import_recordings(config(folder, folder / "set", *words)))


def test_what_was_executed_is_what_was_asked_for_or_leads_where_the_gate_let_it(tmp_path):
    recording = ArmRecording(tmp_path)
    for action in ([0.2, 0, -0.1, 0, 0.1, 0, 1.0], FAST, FAST, [0, 0, 0.2, 0, 0, 0, -1.0]):
        recording.tick(action)
    recording.close(task="Lift", seed=7)
    data = imported(tmp_path)
    assert data.tasks == ("Lift",) and data.seed.tolist() == [7] and len(data) == 4
    np.testing.assert_allclose(data.action[0], recording.asked[0])
    np.testing.assert_allclose(data.action[3], recording.asked[3])
    assert np.abs(data.action[1] - recording.asked[1]).max() > 0.05, "the gate changed it"

    robot = load_robot("wx250s")
    loop = ControlLoop(Arm(robot))
    joints = np.array(robot.home_rad)
    loop.reset(joints, robot.gripper_open_m)
    for action, commanded in zip(data.action, recording.commanded, strict=True):
        joints = loop.step(action.astype(float), joints).joint_rad
        reached, wanted = (loop.arm.forward(pose)[:3, 3].copy() for pose in (joints, commanded))
        assert np.abs(reached - wanted).max() < 0.002, "m: it replays to where it was"


def test_a_recording_of_an_older_release_becomes_the_same_data_set(tmp_path):
    kinds, sets = {"new": ArmRecording, "old": OlderRecording}, {}
    for name, kind in kinds.items():
        recording = kind(tmp_path / name)
        for index, action in enumerate((SLOW, FAST, FAST, SLOW)):
            recording.tick(action, by_person=index < 2)
        recording.tick()
        recording.close(task="Lift", seed=7)
        sets[name] = imported(tmp_path / name)
    new, old = sets["new"], sets["old"]
    assert len(new) == 4 and (np.abs(new.action[1] - FAST) > 0.05).any(), "the gate changed it"
    np.testing.assert_array_equal(new.action, old.action)
    assert new.episodes[0].operator == old.episodes[0].operator == ((0, 2),)
    (first, *_) = (
        one.message for one in Episode(tmp_path / "old/one.mcap").messages("robot_state")
    )
    assert first.mode == Mode.TELEOP and first.capture_to_command_s == pytest.approx(0.02)


def test_an_episode_says_who_acted_when_how_it_ended_and_where_it_is_from(tmp_path):
    recording = ArmRecording(tmp_path, "taken", topics=(*ArmRecording.topics,))
    for index in range(8):
        recording.tick([0.1, 0, 0, 0, 0, 0, 1.0], by_person=2 <= index < 5)
    recording.close("failure", task="Lift")
    record(tmp_path, "taught", ticks=3)
    data = imported(tmp_path)
    taken, taught = data.episodes
    assert (taken.source, taken.operator, taken.outcome) == ("takeover", ((2, 5),), "failure")
    assert (taught.source, taught.operator, taught.outcome) == (
        "teleoperation",
        ((0, 3),),
        "success",
    )
    assert taken.robot == "wx250s" and taken.origin == "taken.mcap#1"
    assert taken.recorded.startswith("2023-11-14T22:13:20") and len(taken.contract) == 64
    assert data.reward.tolist() == [0.0] * 10 + [1.0]
    np.testing.assert_allclose(np.diff(data.time_s[:8]), 0.1, atol=1e-6)
    assert data.state.shape == (11, 0) and data.positions.shape == (11, 0, 3)
    assert not data.labelled.any()


def test_images_are_framed_as_the_policy_frames_them_and_both_cameras_are_kept(tmp_path):
    recording = record(tmp_path, ticks=3)
    data = imported(tmp_path, "image_fit=none", "codec=png")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(data.image[0], pixels)
    np.testing.assert_array_equal(data.others["wrist"][0][0], 255 - pixels)
    squares = imported(tmp_path, "image_size=48")
    np.testing.assert_array_equal(squares.image[0], pixels[:, 8:56])
    cut = imported(tmp_path, "image_size=16", "image_crop_px=[10,4,16,16]")
    np.testing.assert_array_equal(cut.image[0], pixels[4:20, 10:26])
    assert squares.final_image.shape == (1, 48, 48, 3) and recording.asked


def test_the_lens_is_taken_out_by_the_recorded_calibration_or_its_lack_is_named(tmp_path):
    matrix = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    recording = ArmRecording(tmp_path)
    recording.calibrate(matrix, [-0.3, 0.1, 0, 0, 0])
    for _ in range(3):
        recording.tick([0.1, 0, 0, 0, 0, 0, 1.0])
    recording.close(task="Lift")
    whole = imported(tmp_path, "image_fit=none", "codec=png")
    straight = imported(tmp_path, "image_fit=none", "codec=png", "image_undistort=true")
    assert (whole.image[0] != straight.image[0]).mean() > 0.3
    (tmp_path / "more").mkdir()
    record(tmp_path / "more")
    with pytest.raises(DataError, match=r"no calibration on /camera/camera_info.*undistort=false"):
        imported(tmp_path / "more", "image_undistort=true")


def test_pauses_hold_and_idle_ends_are_trimmed_where_it_is_asked_for(tmp_path):
    recording = ArmRecording(tmp_path)
    still = [0, 0, 0, 0, 0, 0, 1.0]
    for action in (still, still, [0.3, 0, 0, 0, 0, 0, 1.0], None, None):
        recording.tick(action)
    recording.tick([0, 0.3, 0, 0, 0, 0, 1.0])
    recording.tick(still)
    recording.close(task="Lift")
    data = imported(tmp_path)
    moved = np.abs(data.action[:, :6]).max(axis=1) > 0
    assert moved.tolist() == [False, False, True, False, False, True, False]
    assert (data.action[:, 6] == 1.0).all()
    assert len(imported(tmp_path, "trim_idle=true")) == 4


def test_gaps_and_clock_steps_cut_and_say_where(tmp_path, capsys):
    recording = ArmRecording(tmp_path, "gap")
    for index in range(12):
        recording.tick([0.1, 0, 0, 0, 0, 0, 1.0], image=not 4 <= index < 8)
    recording.close(task="Lift")
    for name, step_s in (("back", -3.0), ("forth", 5.0)):
        recording = ArmRecording(tmp_path, name)
        for index in range(8):
            recording.clock_ns = int(step_s * 1e9) if index >= 4 else 0
            recording.tick([0.1, 0, 0, 0, 0, 0, 1.0])
        recording.close(task="Lift")
    data = imported(tmp_path)
    origins = [info.origin for info in data.episodes]
    assert origins == [
        f"{name}.mcap#{part}" for name in ("back", "forth", "gap") for part in (1, 2)
    ]
    assert [info.outcome for info in data.episodes] == ["unknown", "success"] * 3
    lines = capsys.readouterr().out.splitlines()
    assert "back.mcap is cut at 0.40 s: the clock of joint_states was set by -3.00 s" in lines
    assert "forth.mcap is cut at 0.40 s: the clock of joint_states was set by +5.00 s" in lines
    assert "gap.mcap is cut at 0.52 s: the last image was 0.22 s old" in lines


def test_a_clock_that_is_set_back_by_little_mixes_nothing(tmp_path):
    recording = ArmRecording(tmp_path)
    for index in range(12):
        recording.clock_ns = -int(0.35e9) if index >= 6 else 0
        recording.tick([0.0, 0, -0.2, 0, 0, 0, 1.0])
    recording.close(task="Lift")
    data = imported(tmp_path)
    assert (data.ends - data.starts).tolist() == [5, 6]
    heights = [data.proprio[data.steps_of(part), 2] for part in range(2)]
    assert all((np.diff(height) < 0).all() for height in heights)
    assert heights[1][0] < heights[0][-1]


def test_commands_that_came_out_of_order_or_were_not_recorded_are_found_in_what_control_did(
    tmp_path,
):
    recording = ArmRecording(tmp_path)
    for index in range(6):
        recording.tick([0.2, 0.1, 0, 0, 0, 0, 1.0], answered=index != 3)
    recording.close(task="Lift")
    data = imported(tmp_path)
    np.testing.assert_allclose(data.action, np.array(recording.asked), atol=0.02)


def test_an_episode_of_one_frame_is_left_out_with_a_line(tmp_path, capsys):
    record(tmp_path, "long", ticks=4)
    record(tmp_path, "once", ticks=1)
    record(tmp_path, "never", ticks=0)
    data = imported(tmp_path)
    assert [info.origin for info in data.episodes] == ["long.mcap#1"]
    out = capsys.readouterr().out
    assert "once.mcap is left out: 1 of 1 parts are left out: fewer than 2 steps" in out
    assert "never.mcap is left out" in out


def test_arm_and_gripper_that_come_apart_are_one_robot(tmp_path):
    record(tmp_path, "one", ticks=4)
    whole = imported(tmp_path)
    (tmp_path / "apart").mkdir()
    record(tmp_path / "apart", "one", ticks=4, apart=True)
    apart = imported(tmp_path / "apart")
    np.testing.assert_array_equal(apart.proprio, whole.proprio)
    np.testing.assert_array_equal(apart.action, whole.action)


def without(topic):
    return tuple(name for name in ArmRecording.topics if name != topic)


@pytest.mark.parametrize("topic", ["/camera/image_raw", "/joint_states", "/robot_state"])
def test_a_stream_that_is_missing_is_named(tmp_path, topic):
    recording = ArmRecording(tmp_path, topics=without(topic))
    recording.tick([0.1, 0, 0, 0, 0, 0, 1.0])
    recording.writer.close({"task": "Lift"})
    with pytest.raises(DataError, match=f"one.mcap holds no message of {topic[1:]}.*record it"):
        imported(tmp_path)
    assert not (tmp_path / "set").exists()


def test_two_arms_in_one_folder_are_refused_before_anything_is_read(tmp_path):
    record(tmp_path, "mine")
    record(tmp_path, "other", robot="so101")
    with pytest.raises(DataError, match=r"1 of 2 recordings are not of the robot 'wx250s': other"):
        imported(tmp_path)
    data = imported(tmp_path, "skip=true")
    assert [info.origin for info in data.episodes] == ["mine.mcap#1"]


def test_images_of_several_sizes_are_refused_or_made_one_size(tmp_path):
    record(tmp_path, "small", size=(48, 64))
    record(tmp_path, "large", size=(96, 128))
    with pytest.raises(DataError, match=r"images of 64x48 px beside ones of 128x96 px"):
        imported(tmp_path, "image_fit=none")
    assert not (tmp_path / "set").exists()
    assert imported(tmp_path, "image_fit=crop").image.shape == (16, 48, 48, 3)


def test_images_are_not_enlarged(tmp_path):
    record(tmp_path)
    with pytest.raises(DataError, match=r"image_size=96 would enlarge images of 64x48 px"):
        imported(tmp_path, "image_size=96")


def test_what_cannot_be_imported_is_one_line_and_leaves_what_was_there(tmp_path, capsys):
    record(tmp_path, task="")
    before = imported(tmp_path, "task=Lift")
    words = ["data", "import", f"recordings={tmp_path}", f"out={tmp_path / 'set'}"]
    assert main(words) == 1
    assert "does not say of which task it is; give task=NAME" in capsys.readouterr().err
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        assert main([*words, "task=Lift"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "one.mcap").write_bytes((tmp_path / "one.mcap").read_bytes()[:-50])
    assert main([*words, "task=Lift"]) == 1
    assert "one.mcap is damaged" in capsys.readouterr().err
    after = load_demonstrations(tmp_path / "set")
    assert (after.action == before.action).all()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_interrupted_import_leaves_nothing_by_halves(tmp_path, monkeypatch):
    record(tmp_path, "first")
    record(tmp_path, "second")
    from conure_training.curation import import_data

    add = import_data.DataSetWriter.add
    added = []

    def interrupted(self, part):
        if added:
            raise KeyboardInterrupt
        added.append(part)
        add(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(import_data.DataSetWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            imported(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.mcap", "second.mcap"]
    assert len(imported(tmp_path).ends) == 2


def test_a_folder_without_recordings_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no file \*\.mcap; record some by conure up"):
        imported(tmp_path)
    (tmp_path / "one.mcap.partial").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"\(1 partial files: conure recordings recover\)"):
        imported(tmp_path)


def test_a_prior_is_trained_on_recordings_alone_and_beside_simulated_episodes(demos, tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name in ("a", "b", "c"):
        record(recordings, name, ticks=12)
    recorded = import_recordings(config(recordings, tmp_path / "recorded"))
    for number, given in enumerate((str(recorded), f"[{demos},{recorded}]")):
        words = [f"demos={given}", f"out={tmp_path / str(number)}", *TINY_PRIOR, "tasks=[Lift]"]
        path = train_prior(load_config(CONF, "prior", PriorConfig, words))
        assert load_prior(path, load_robot("wx250s").contract(48))
    data = load_demonstrations(recorded)
    assert replace(data, infos=()).episodes[0].outcome == "success"
