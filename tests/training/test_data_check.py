"""Episodes that do not fit the others are found by what was planted in them, and few others are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from conure_core.config.loader import load_config
from conure_core.errors import DataError
from conure_training.curation.check import CheckConfig, check, measure_quality
from conure_training.curation.likelihood import find_unlikely
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.episode_info import EpisodeInfo
from conure_training.data.joining import join_demonstrations
from conure_training.data.writer import save_demonstrations
from conure_training.prior.model import load_prior

from .toy_runs import CONF

EPISODES = 120
STEPS = 24
SIZE = 24


def picture(tool_m, task, rng):
    """A bright tool where it is, on a table with a mark that tells the task."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    u, v = SIZE * (0.5 + 1.5 * tool_m[1]), SIZE * (1.2 - 2.5 * tool_m[0])
    light = 170 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * (2 + 20 * tool_m[2]) ** 2))
    light[:5, 19 * task : 19 * task + 5] += 60
    noisy = light[..., None] + 20 + rng.normal(scale=3, size=(SIZE, SIZE, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def episode(number):
    """The tool goes over the table, down and, where the episode succeeds, up again."""
    rng = np.random.default_rng(number)
    task, won = number % 2, number % 6 != 0
    phase = np.linspace(0, 1, STEPS + 1)
    start, goal = rng.uniform([0.2, -0.2], [0.4, 0.2], (2, 2))
    height = np.interp(phase, [0, 0.5, 0.7, 1], [0.2, 0.02, 0.02, 0.2 if won else 0.02])
    there = start + np.minimum(2 * phase, 1)[:, None] * (goal - start)
    sway = 0.02 * np.sin(6 * phase + rng.uniform(0, 6))[:, None]
    tool_m = np.column_stack([there + sway, height]).astype(np.float32)
    proprio = np.column_stack([tool_m, np.zeros((STEPS + 1, 7), np.float32)]).astype(np.float32)
    seen = np.stack([picture(place, task, rng) for place in tool_m])
    action = np.zeros((STEPS, 7), np.float32)
    action[:, :3] = np.clip(np.diff(tool_m, axis=0) / 0.05, -1, 1)
    return Demonstrations(
        image=seen[:-1],
        final_image=seen[-1:],
        proprio=proprio[:-1],
        final_proprio=proprio[-1:],
        state=np.zeros((STEPS, 0), np.float32),
        final_state=np.zeros((1, 0), np.float32),
        positions=np.zeros((STEPS, 0, 3), np.float32),
        action=action,
        reward=np.zeros(STEPS, np.float32),
        ends=np.array([STEPS]),
        task=np.zeros(1, np.int64),
        seed=np.zeros(1, np.int64),
        tasks=(("Lift", "Place")[task],),
        time_s=np.arange(STEPS) / 10,
        infos=(EpisodeInfo("success" if won else "failure", "teleoperation"),),
    )


@pytest.fixture(scope="module")
def recorded():
    return join_demonstrations([episode(number) for number in range(EPISODES)])


def plant(data, faults):
    image, proprio, task = data.image.copy(), data.proprio.copy(), data.task.copy()
    infos = list(data.episodes)
    for number, kind in faults.items():
        steps = data.steps_of(number)
        if kind == "camera":
            image[steps] = image[steps][:, :, ::-1]
        elif kind == "joints":
            rows = proprio[steps]
            proprio[steps] = np.concatenate([np.repeat(rows[:1], 4, axis=0), rows[:-4]])
        elif kind == "frozen camera":
            image[steps.start + 4 : steps.start + 16] = image[steps.start + 4]
        elif kind == "task":
            task[number] = 1 - task[number]
        else:
            other = "failure" if infos[number].outcome == "success" else "success"
            infos[number] = replace(infos[number], outcome=other)
    return replace(data, image=image, proprio=proprio, task=task, infos=tuple(infos))


FAULTS = {5: "camera", 8: "camera", 13: "joints", 20: "joints", 27: "frozen camera", 32: "task"}
FAULTS |= {39: "outcome", 41: "task", 46: "outcome"}


def checked(data, folder):
    save_demonstrations(folder / "set", data, {})
    words = [f"data={folder / 'set'}", f"out={folder / 'check.json'}"]
    return check(load_config(CONF, "data_check", CheckConfig, words))


def test_planted_faults_are_named_and_good_episodes_are_left_alone(recorded, tmp_path, capsys):
    found = checked(plant(recorded, FAULTS), tmp_path)
    reasons = {number: {one.kind for one in found if one.episode == number} for number in FAULTS}
    missed = {number for number, kind in FAULTS.items() if kind not in reasons[number]}
    assert not missed, reasons
    others = {one.episode for one in found} - set(FAULTS)
    assert len(others) <= 0.05 * EPISODES, [one for one in found if one.episode in others]
    report = json.loads((tmp_path / "check.json").read_text())
    assert len(report["episodes"]) == EPISODES and len(report["suspects"]) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert f"{len(found)} suspects among {EPISODES} episodes" in capsys.readouterr().out


def test_a_set_without_faults_has_few_suspects(recorded, tmp_path):
    assert len({one.episode for one in checked(recorded, tmp_path)}) <= 0.05 * EPISODES


def test_each_episode_is_measured(recorded):
    still = replace(recorded, action=np.zeros_like(recorded.action))
    late = recorded.time_s.copy()
    late[10:STEPS] += 0.4
    measured = measure_quality(replace(still, time_s=late))
    assert [one.episode for one in measured] == list(range(EPISODES))
    assert all(one.idle_share == 1.0 for one in measured)
    assert measured[0].longest_gap_s == pytest.approx(0.5) and measured[1].longest_gap_s < 0.11
    assert 0.5 < measured[3].path_of_median < 2 and measured[3].jerk_m_s3 > 0


def test_actions_that_the_prior_would_not_choose_are_found(demos, prior, tmp_path):
    data = load_demonstrations(demos)
    wild = data.action.copy()
    steps = data.steps_of(3)
    wild[steps.start + 2] = [1, -1, 1, -1, 1, -1, 1]
    wild[steps] = np.where(np.arange(7) < 6, -np.sign(wild[steps]), wild[steps])
    found = find_unlikely(replace(data, action=wild), load_prior(prior))
    assert [one.episode for one in found][:1] == [3]
    assert "the worst moment is step" in found[0].why


def test_few_episodes_cannot_be_compared(recorded, tmp_path):
    few = join_demonstrations([episode(number) for number in range(3)])
    with pytest.raises(DataError, match="has 3 episodes, and 12 or more can be compared"):
        checked(few, tmp_path)
