"""A saved moment is the very moment: what follows a restore is what followed the save, to the
bit.
"""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from conure_core.errors import StateError
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.randomization.factors import preset_names
from conure_sim.tasks import TASKS

FOLLOWING = 25


def play(env, actions):
    """Observations, rewards and infos of these actions; a finished episode goes on, as the physics
    does.
    """
    return [env.step(action) for action in actions]


def demonstrated(env, rng, steps):
    """Actions of a noisy expert, carried out: they bring hand, objects and container into
    contact.
    """
    expert, actions = env.task.expert(env.scene), []
    for _ in range(steps):
        actions.append(np.clip(expert.action() + 0.15 * rng.normal(size=7), -1, 1))
        env.step(actions[-1])
    return actions


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one[0].keys() == other[0].keys()
        for name in one[0]:
            np.testing.assert_array_equal(one[0][name], other[0][name])
        assert one[1:] == other[1:]


def crowd(env, rng):
    """The other objects into the container, or together: where PyBullet's own restoreState loses
    contacts.
    """
    middle = env.scene.container.position if env.scene.container else np.array([0.28, 0.0, 0.0])
    for item in env.scene.objects[1:]:
        offset = [*rng.uniform(-0.04, 0.04, 2), rng.uniform(0.01, 0.06)]
        env.world.place(item.body, middle + offset, np.array([0, 0, 0, 1.0]))


@pytest.mark.parametrize(
    ("task", "randomization"),
    [*((task, "full") for task in TASKS), *(("PlaceInTray", name) for name in preset_names())],
)
def test_what_follows_a_restore_is_what_followed_the_save_in_this_and_in_another_environment(
    task, randomization
):
    rng = np.random.default_rng(0)
    env, another = (TabletopEnv(task, randomization=randomization, distractors=3) for _ in range(2))
    env.reset(seed=1)
    if task in ("PlaceInTray", "PlaceInBox"):
        crowd(env, rng)
    if env.task.any_object:
        env.scene.aim_at(1)
    demonstrated(env, rng, 14)
    state, actions = env.save_state(), rng.uniform(-1, 1, (FOLLOWING, 7)) - [0, 0, 0.3, 0, 0, 0, 0]
    expert = env.task.expert(env.scene).action()
    expected, following = play(env, actions), env.reset()[0]
    another.reset(seed=7)
    demonstrated(another, rng, 10)
    for restored in (env, another):
        restored.restore_state(pickle.loads(pickle.dumps(state)))
        np.testing.assert_array_equal(restored.task.expert(restored.scene).action(), expert)
        assert_same(play(restored, actions), expected)
        np.testing.assert_array_equal(restored.reset()[0]["image"], following["image"])
        restored.close()


RESTORE_AND_PLAY = """
import pickle, sys
from conure_sim.envs.tabletop import TabletopEnv
state, actions = pickle.load(sys.stdin.buffer)
env = TabletopEnv(**state.settings)
env.restore_state(state)
pickle.dump([env.step(action) for action in actions], sys.stdout.buffer)
"""


def test_a_state_restores_in_another_process():
    env, rng = TabletopEnv("PlaceInTray", randomization="light"), np.random.default_rng(5)
    env.reset(seed=3, options={"tool": (0.28, 0.02, 0.1, 0.3), "gripper": -1.0})
    demonstrated(env, rng, 9)
    state, actions = env.save_state(), rng.uniform(-1, 1, (20, 7))
    expected = play(env, actions)
    command, given = [sys.executable, "-c", RESTORE_AND_PLAY], pickle.dumps((state, actions))
    run = subprocess.run(command, input=given, capture_output=True, timeout=120, check=True)
    assert_same(pickle.loads(run.stdout), expected)


def test_saving_changes_nothing():
    actions, runs = np.random.default_rng(0).uniform(-1, 1, (20, 7)), []
    for saving in (False, True):
        env, steps = TabletopEnv("PlaceInBox", randomization="light"), []
        env.reset(seed=4)
        for action in actions:
            steps.append(env.step(action))
            if saving:
                env.save_state()
        runs.append(steps)
        env.close()
    assert_same(*runs)


def test_a_state_of_other_settings_or_version_is_refused_by_name_and_nothing_is_touched():
    env = TabletopEnv("Lift")
    env.reset(seed=0)
    state, before = env.save_state(), env.observe()
    for other, named in (
        (TabletopEnv("PlaceInTray"), "task='Lift'.*task='PlaceInTray'"),
        (TabletopEnv("Lift", image_size=64), "image_size=48.*image_size=64"),
    ):
        other.reset(seed=1)
        with pytest.raises(StateError, match=named):
            other.restore_state(state)
        other.step(np.zeros(7))
        other.close()
    with pytest.raises(StateError, match="version 0"):
        env.restore_state(replace(state, version=0))
    with pytest.raises(StateError, match="save_state"):
        env.restore_state({"version": 1})
    after = env.observe()
    np.testing.assert_array_equal(before["state"], after["state"])


def test_before_a_reset_there_is_nothing_to_save():
    with pytest.raises(StateError, match="reset first"):
        TabletopEnv().save_state()


def test_a_moment_that_was_reached_past_the_recorded_methods_is_an_error_not_a_guess():
    env = TabletopEnv()
    env.reset(seed=0)
    body = env.scene.target.body
    env.world.client.resetBasePositionAndOrientation(body, [0.3, 0.1, 0.2], [0, 0, 0, 1])
    state = env.save_state()
    with pytest.raises(StateError, match="not reached to the bit"):
        env.restore_state(state)
    with pytest.raises(StateError, match="reset first"):
        env.save_state()
    env.reset(seed=0)
    env.restore_state(env.save_state())


def test_an_episode_without_end_is_given_up_rather_than_kept_for_ever(monkeypatch):
    monkeypatch.setattr("conure_sim.physics.journal.MAX_CALLS", 10)
    env = TabletopEnv()
    env.reset(seed=0)
    env.save_state()
    for _ in range(5):
        env.step(np.zeros(7))
    with pytest.raises(StateError, match="more than"):
        env.save_state()
