"""Videos, contact sheets and the refusal of a window; the whole verb with an expert and with a
learned policy.
"""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from conure_core.cli import main
from conure_core.config.loader import load_config
from conure_sim.envs.rollout import expert, random_actions
from conure_sim.envs.viewpoints import VIEWPOINTS
from conure_sim.tools.pictures import MARGIN_PX, add_caption, contact_sheet, write_video
from conure_sim.tools.recording import Recording, record
from conure_sim.tools.view import ViewConfig, make_environment
from conure_training.rl.methods.scratch import ImagePolicy, ScratchConfig, save_policy

SIZE_PX = 64


def toy(tmp_path, *words):
    return ["view", f"out={tmp_path}", f"size={SIZE_PX}", *words]


def decoded(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            return capture, frames
        frames.append(frame[:, :, ::-1])


@pytest.fixture
def env():
    made = make_environment_of("Lift")
    yield made
    made.close()


def make_environment_of(task, **changes):
    words = [f"task={task}", *(f"{name}={value}" for name, value in changes.items())]
    return make_environment(load_config("conure_training.conf", "view", ViewConfig, words))


def test_a_video_holds_every_frame_in_order_and_can_be_sought_in(tmp_path):
    frames = [
        np.full((64, 96, 3), (10 * step, 255 - 10 * step, 128), dtype=np.uint8)
        for step in range(20)
    ]
    write_video(tmp_path / "colours.mp4", frames, 10.0)
    capture, read = decoded(tmp_path / "colours.mp4")
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    assert len(read) == len(frames)
    assert all(
        np.abs(one.astype(int) - other).mean() < 6 for one, other in zip(read, frames, strict=True)
    )
    capture.set(cv2.CAP_PROP_POS_FRAMES, 13)
    assert np.abs(capture.read()[1][:, :, ::-1].astype(int) - frames[13]).mean() < 6
    assert [path.name for path in tmp_path.iterdir()] == ["colours.mp4"]


def test_a_recording_has_a_frame_before_the_first_step_and_one_after_each(env):
    recording = record(env, expert, 0, VIEWPOINTS, SIZE_PX)
    assert recording.success
    assert 5 < recording.steps < env.max_steps
    for frames in recording.frames.values():
        assert {frame.shape for frame in frames} == {(SIZE_PX, SIZE_PX, 3)}
        assert len(frames) == recording.steps + 1
        assert not np.array_equal(frames[0], frames[-1])


def test_random_actions_repeat_themselves_by_seed_and_fail(env):
    first, second = (record(env, random_actions(3), 0, (), SIZE_PX) for _ in range(2))
    assert np.array_equal(first.actions, second.actions)
    assert not first.success
    assert first.steps == env.max_steps


def test_the_policys_camera_is_the_one_that_it_observes_with(env):
    observation, _ = env.reset(seed=4)
    frames = record(
        env, random_actions(0), 4, ("table",), env.contract.observation.image.shape[0]
    ).frames["table"]
    assert np.array_equal(frames[0], observation["image"])


def test_a_contact_sheet_marks_success_only_at_the_end():
    frames = {"table": [np.zeros((300, 300, 3), dtype=np.uint8)] * 6}
    sheets = [
        contact_sheet(Recording(frames, np.zeros((5, 7)), success, "x"), "table", "t", 4)
        for success in (0, 1)
    ]
    tile = sheets[0].shape[1] // 4
    assert np.array_equal(sheets[0][:, : 3 * tile], sheets[1][:, : 3 * tile])
    assert not np.array_equal(sheets[0][:, 3 * tile :], sheets[1][:, 3 * tile :])


def test_a_caption_leaves_the_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    framed = add_caption(image, ["step 3"])
    assert np.array_equal(framed[:300], image)
    assert (framed[300 + MARGIN_PX :] < 128).any()
    assert framed.shape[0] % 2 == 0


def test_the_verb_writes_a_video_and_a_contact_sheet(tmp_path, capsys):
    assert main(toy(tmp_path, "task=PressButton", "arm=panda", "randomization=full", "seed=2")) == 0
    assert "after" in capsys.readouterr().out
    name = "PressButton-panda-full-expert-2"
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.mp4", f"{name}.png"}
    assert len(decoded(tmp_path / f"{name}.mp4")[1]) > 3
    assert cv2.imread(str(tmp_path / f"{name}.png")) is not None


def test_the_verb_runs_a_learned_policy_at_the_image_size_it_was_trained_with(tmp_path, capsys):
    env = make_environment_of("Lift")
    contract, config = env.robot.contract(32), ScratchConfig()
    env.close()
    torch.manual_seed(0)
    policy = ImagePolicy(32, contract.observation.proprio.shape[0], 7, config)
    save_policy(tmp_path / "policy.pt", policy, contract, config, {})
    out = tmp_path / "view"
    assert main(["view", f"out={out}", f"size={SIZE_PX}", f"policy={tmp_path / 'policy.pt'}"]) == 0
    assert (out / "Lift-wx250s-none-policy-0.mp4").is_file()
    assert main(["view", f"out={out}", f"policy={tmp_path / 'policy.pt'}", "arm=panda"]) == 1
    assert "panda" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("task=Lfit", "Lift"),
        ("camera=side", "overview"),
        ("policy=/no/such/policy.pt", "/no/such/policy.pt"),
        ("randomization=heavy", "full"),
        ("size=63", "even"),
        ("sheet_frames=1", "from 2 up to"),
    ],
)
def test_bad_settings_are_refused_with_what_is_valid(tmp_path, capsys, word, named):
    assert main(toy(tmp_path, word)) == 1
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
@pytest.mark.parametrize("display", ["", ":93"])
def test_a_window_without_a_display_is_refused_and_the_process_lives_on(display, tmp_path):
    code = (
        "import gymnasium, conure_sim\n"
        "from conure_core.errors import ConfigError\n"
        "try:\n    gymnasium.make('conure/Lift-v0', window=True)\n"
        "except ConfigError as error:\n    print(error)\n"
        "print(gymnasium.make('conure/Lift-v0').reset(seed=0)[0]['image'].shape)\n"
    )
    environment = {**os.environ, "DISPLAY": display}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert "display" in run.stdout, run.stderr
    assert "(48, 48, 3)" in run.stdout
