"""A snapshot brings back the very positions, speeds and Python state; contacts alone may differ."""

import pickle
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from conure_core.errors import StateError
from conure_sim.envs.snapshot import FastRestore
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.randomization.adaptive import AdaptiveRandomization
from conure_sim.tasks import TASKS

FULL = {"randomization": "full"}


def play(env, actions):
    return [env.step(action) for action in actions]


def demonstrated(env, steps):
    expert = env.task.expert(env.scene)
    for _ in range(steps):
        env.step(expert.action())


def assert_observed(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("task", TASKS)
def test_a_snapshot_brings_back_the_moment_whatever_scene_or_environment_it_meets(task) -> None:
    env, another = (TabletopEnv(task, image_size=16, **FULL) for _ in range(2))
    env.reset(seed=1)
    if env.task.any_object:
        env.scene.aim_at(1)
    demonstrated(env, 12)
    snapshot = pickle.loads(pickle.dumps(env.save_snapshot()))
    seen, physics, action = env.observe(), env.world.physics(), env.task.expert(env.scene).action()
    loop, drawn = env.loop.get_state(), env.np_random.bit_generator.state
    demonstrated(env, 5)

    def restored(where: TabletopEnv) -> None:
        where.restore_snapshot(snapshot)
        assert_observed(where.observe(), seen)
        np.testing.assert_array_equal(where.world.physics(), physics)
        np.testing.assert_array_equal(where.task.expert(where.scene).action(), action)
        assert where.np_random.bit_generator.state == drawn
        assert repr(where.loop.get_state()) == repr(loop)

    restored(env)
    env.reset(seed=9)
    restored(env)
    restored(another)
    env.close()
    another.close()


@pytest.mark.parametrize("task", ["BlockLift", "PlaceInDrawer", "Pour"])
def test_after_a_rebuild_what_follows_is_the_same_every_time_and_everywhere(task) -> None:
    env, another = (TabletopEnv(task, images=False) for _ in range(2))
    env.reset(seed=2)
    demonstrated(env, 15)
    snapshot, actions = env.save_snapshot(), np.random.default_rng(0).uniform(-1, 1, (8, 7))
    runs = []
    for where in (env, env, another):
        where.reset(seed=len(runs))
        demonstrated(where, 3 * len(runs))
        where.restore_snapshot(snapshot, rebuild=True)
        runs.append([row[0]["state"] for row in play(where, actions)])
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


def test_a_lift_goes_on_from_a_snapshot_as_it_did() -> None:
    env = TabletopEnv("BlockLift", images=False)
    env.reset(seed=0)
    expert, actions, snapshots, success = env.task.expert(env.scene), [], [], False
    while not success:
        snapshots.append(env.save_snapshot())
        actions.append(expert.action())
        _, _, success, _, _ = env.step(actions[-1])
    height = env.scene.height_m(env.scene.target)
    for step in range(1, len(actions), 2):
        env.restore_snapshot(snapshots[step])
        *_, last = play(env, actions[step:])
        assert last[2]
        assert env.scene.height_m(env.scene.target) == pytest.approx(height, abs=0.001)


def test_what_powers_the_motors_and_where_they_head_is_restored() -> None:
    env = TabletopEnv("Lift", images=False)
    env.reset(seed=0)
    env.step(np.array([0.5, 0.5, -0.5, 0, 0, 0, -1.0]))
    env.world.power(np.zeros(len(env.world.driven), dtype=bool))
    snapshot, heading = env.save_snapshot(), env.world.set_point
    following = play(env, np.zeros((3, 7)))[-1][0]["proprio"]
    env.world.power(np.ones(len(env.world.driven), dtype=bool))
    play(env, np.ones((3, 7)))
    env.restore_snapshot(snapshot)
    np.testing.assert_array_equal(env.world.set_point, heading)
    np.testing.assert_allclose(play(env, np.zeros((3, 7)))[-1][0]["proprio"], following, atol=1e-6)


def test_an_episode_from_a_rebuilt_snapshot_can_be_saved_exactly_and_one_in_place_is_refused():
    env = TabletopEnv("PlaceInTray", images=False)
    env.reset(seed=0)
    demonstrated(env, 10)
    snapshot = env.save_snapshot()
    env.restore_snapshot(snapshot)
    with pytest.raises(StateError, match="rebuild=True"):
        env.save_state()
    env.save_snapshot()
    env.restore_snapshot(snapshot, rebuild=True)
    demonstrated(env, 4)
    state, actions = env.save_state(), np.random.default_rng(0).uniform(-1, 1, (6, 7))
    expected = play(env, actions)[-1][0]["state"]
    env.restore_state(state)
    np.testing.assert_array_equal(play(env, actions)[-1][0]["state"], expected)


def test_what_does_not_fit_is_refused_by_name() -> None:
    env, other = TabletopEnv("Lift", images=False), TabletopEnv("BlockLift", images=False)
    with pytest.raises(StateError, match="not reset yet"):
        env.save_snapshot()
    env.reset(seed=0)
    snapshot = env.save_snapshot()
    for wrong, message in (
        (replace(snapshot, version=0), "version 0"),
        (env.save_state(), r"save_snapshot\(\)"),
        (replace(snapshot, positions=snapshot.positions + 1e-9), "not reached to the bit"),
    ):
        with pytest.raises(StateError, match=message):
            env.restore_snapshot(wrong)
    with pytest.raises(StateError, match=r"task='Lift'.*task='BlockLift'"):
        other.restore_snapshot(snapshot)


def test_a_scene_that_changed_ranges_would_draw_otherwise_is_refused() -> None:
    env = TabletopEnv("Lift", images=False)
    wrapped = AdaptiveRandomization(env, widest="full", boundary_chance=1.0, episodes=1)
    wrapped.reset(seed=0)
    snapshot = env.save_snapshot()
    env.randomization = replace(env.randomization, mass_scale=(0.2, 0.3))
    with pytest.raises(StateError, match="another scene"):
        env.restore_snapshot(snapshot, rebuild=True)


def test_fast_restore_gives_snapshots_the_names_that_learners_know() -> None:
    env = FastRestore(TabletopEnv("PushToGoal", images=False))
    env.reset(seed=0)
    state, before = env.save_state(), env.observe()
    env.step(np.ones(7))
    env.restore_state(state)
    assert_observed(env.observe(), before)


def test_restoring_takes_milliseconds_and_neither_memory_nor_files_are_kept() -> None:
    env = TabletopEnv("PlaceInDrawer", images=False)
    env.reset(seed=0)
    demonstrated(env, 10)
    process = psutil.Process()
    taken = []
    for count in range(330):
        if count == 30:
            before, files = process.memory_info().rss, process.num_fds()
        began = time.process_time()
        env.restore_snapshot(env.save_snapshot())
        taken.append(time.process_time() - began)
    assert process.num_fds() == files
    assert process.memory_info().rss - before < 3e6
    assert np.median(taken) < 0.01
