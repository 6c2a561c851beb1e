"""A demonstration as states: repeated to the bit, or refused with the step at which it diverged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conure_core.errors import ConfigError, DataError
from conure_sim.envs.rollout import expert, rollout
from conure_sim.envs.tabletop import TabletopEnv
from conure_training.data.demonstration_states import load_demonstration_states, replay_episode
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.recorded_episodes import load_recorded_episode


@pytest.mark.parametrize("episode", [0, 5, 7])
def test_an_episode_of_a_data_set_is_repeated_as_it_was_collected(demos: Path, episode) -> None:
    data = load_demonstrations(demos, images=False)
    env, found = load_demonstration_states(demos, episode, images=False)
    steps = slice(data.starts[episode], data.ends[episode])
    np.testing.assert_array_equal(found.observations["state"][:-1], data.state[steps])
    np.testing.assert_array_equal(found.observations["proprio"][-1], data.final_proprio[episode])
    np.testing.assert_array_equal(found.rewards, data.reward[steps])
    assert len(found.states) == len(found) + 1
    for step in (len(found), 0, len(found) // 2):
        env.restore_snapshot(found.states[step])
        for name, rows in found.observations.items():
            np.testing.assert_array_equal(env.observe()[name], rows[step])


def test_its_last_states_lead_to_its_reward(demos: Path) -> None:
    env, found = load_demonstration_states(demos, 0, images=False)
    env.restore_snapshot(found.states[-3])
    rewards = [env.step(action)[1] for action in found.actions[-2:]]
    assert rewards == found.rewards[-2:].tolist() == [0.0, 1.0]


def test_states_can_be_exact(demos: Path) -> None:
    recorded = load_recorded_episode(demos, 1)
    env = recorded.make_environment(images=False)
    found = replay_episode(env, recorded, exact=True)
    env.restore_state(found.states[3])
    after = env.step(found.actions[3].astype(np.float64))[0]
    np.testing.assert_array_equal(after["state"], found.observations["state"][4])


def test_a_file_of_actions_repeats_an_episode_with_or_without_what_was_observed(
    demos: Path, tmp_path: Path
) -> None:
    _, first = load_demonstration_states(demos, 2, images=False)
    first.save(tmp_path / "one.npz")
    _, again = load_demonstration_states(tmp_path / "one.npz", images=False, velocities=True)
    size = first.observations["state"].shape[1]
    np.testing.assert_array_equal(
        again.observations["state"][:, :size], first.observations["state"]
    )

    env = TabletopEnv("BlockLift", images=False)
    actions: list[np.ndarray] = []
    rollout(env, expert, 4, lambda step: actions.append(step.action))
    bare = tmp_path / "bare.npz"
    settings = np.array('{"task": "BlockLift"}')
    np.savez(bare, settings=settings, seed=np.array(4), actions=np.array(actions))
    _, played = load_demonstration_states(bare, images=False)
    assert played.rewards.sum() == played.rewards[-1] == 1.0


def test_one_that_no_longer_replays_says_where_it_diverged(demos: Path) -> None:
    recorded = load_recorded_episode(demos, 0)
    env = recorded.make_environment(images=False)
    steps = len(recorded.actions)
    other = recorded.actions.copy()
    other[4] *= -1
    moved = {name: rows.copy() for name, rows in recorded.observed.items()}
    moved["state"][0, -1] += 1
    rewarded = recorded.rewards.copy()
    rewarded[2] = 1
    longer = np.concatenate([recorded.actions, recorded.actions[-1:]])
    for wrong, message in (
        (replace(recorded, actions=other), f"diverged at step 5 of {steps}: proprio differs by"),
        (replace(recorded, observed=moved), r"step 0 of \d+: state \(container\) differs by 1"),
        (replace(recorded, rewards=rewarded), "step 3 .*: the reward is 0, not 1"),
        (
            replace(recorded, actions=longer, observed={}, rewards=None),
            f"diverged at step {steps} of {steps + 1}: the episode ended there",
        ),
    ):
        with pytest.raises(DataError, match=message):
            replay_episode(env, wrong)


def test_another_environment_and_what_cannot_be_read_are_refused_by_name(
    demos: Path, tmp_path: Path
) -> None:
    recorded = load_recorded_episode(demos, 0)
    other = TabletopEnv("Lift", images=False, distractors=1)
    with pytest.raises(ConfigError, match="distractors=2, not 1"):
        replay_episode(other, recorded)
    with pytest.raises(DataError, match="episodes 0 to 7, got 8"):
        load_recorded_episode(demos, 8)
    with pytest.raises(DataError, match="no file of actions"):
        load_recorded_episode(tmp_path / "none.npz")
    with pytest.raises(DataError, match="no data set"):
        load_recorded_episode(tmp_path / "none")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged"):
        load_recorded_episode(tmp_path / "bad.npz")
