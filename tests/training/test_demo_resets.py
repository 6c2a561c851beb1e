"""Demonstration resets: where episodes begin, when they count, where tau* goes; Montezuma's first
key; `conure rl method=demo_resets`, resumed, and its refusals.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_training.data.atari import AtariRam
from conure_training.rl.demo_resets.curriculum import ReverseCurriculum
from conure_training.rl.demo_resets.demonstration import replay
from conure_training.rl.demo_resets.guide import DemonstrationGuide, PolicyGuide
from conure_training.rl.demo_resets.optimizer import ResetOptimizer, ResetSchedule
from conure_training.rl.demo_resets.sources import load_demonstration
from conure_training.rl.demo_resets.worker import TRUE_START, ResetRule, ResetWorker
from conure_training.rl.on_policy import loop as on_policy_loop
from conure_training.rl.on_policy.collection import Block, collect
from conure_training.rl.on_policy.networks import ActorCriticNetwork, size_for
from conure_training.rl.on_policy.policy import load_network
from conure_training.rl.on_policy.ppo import Ppo, PpoConfig
from conure_training.rl.on_policy.trajectories import Trajectory, make_batch
from conure_training.rl.train import RunConfig, train_rl

from .toy_corridor import LENGTH, Corridor

ROOT = Path(__file__).resolve().parents[2]
MONTEZUMA = ROOT / "training/experiments/conure_experiments/demonstrations/montezuma.npz"
KEY_FRAME = 356
"""Of the demonstration's first key: measured once, with ale-py 0.12.1."""


def corridor_demonstration(limit=24):
    env = Corridor(limit=limit)
    return replay(env, env.reset(seed=0)[0], [1] * LENGTH, 0)


def worker(rule=None, guide=None, limit=24):
    demonstration = corridor_demonstration(limit)
    guide = guide and guide(demonstration)
    return ResetWorker(Corridor(limit=limit), demonstration, rule or ResetRule(), guide)


# The worker.


def test_an_episode_begins_in_a_demonstrated_state_up_to_d_steps_before_tau():
    env = worker(ResetRule(window=3))
    starts = set()
    for seed in range(60):
        _, info = env.reset(seed=seed, options={"reset_point": 6})
        assert env.unwrapped.place == info["start"]
        starts.add(info["start"])
    assert starts == {3, 4, 5, 6}


def test_it_succeeds_with_the_demonstrations_return_and_fails_once_it_lags_behind():
    env = worker(ResetRule(window=0, lag=2))
    env.reset(seed=0, options={"reset_point": 6})
    assert not env.step(1)[4]["is_success"]
    _, reward, terminated, _, info = env.step(1)
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)

    env.reset(seed=0, options={"reset_point": 6})
    ends = [env.step(0)[2] for _ in range(4)]
    assert ends == [False, False, False, True]  # rewarded after 2 steps; 2 more are allowed
    assert env.step_index == LENGTH + 2


def test_a_burn_in_repeats_the_demonstration_whatever_the_policy_chooses():
    env = worker(ResetRule(window=0, burn_in=4))
    first, _ = env.reset(seed=0, options={"reset_point": 6})
    np.testing.assert_array_equal(first, env.demonstration.observations[2])
    for step in range(3, 7):
        observation, _, _, _, info = env.step(0)
        assert info["burn_in"]
        np.testing.assert_array_equal(observation, env.demonstration.observations[step])
    assert env.unwrapped.place == 6
    assert not env.step(1)[4]["burn_in"]


def test_collected_episodes_say_how_many_steps_are_burnt_in():
    env = worker(ResetRule(window=2, burn_in=3))
    network = ActorCriticNetwork(size_for(env, (8,), memory=4))
    for item in collect([env], network, Block((0,), 1, 40), {"reset_point": 6}):
        assert item.burn_in == 3
        assert len(item) > item.burn_in


def test_a_guide_goes_to_the_starting_step_where_states_cannot_be_restored():
    env = worker(ResetRule(window=0), DemonstrationGuide)
    env.unwrapped.restore_state = None
    env.reset(seed=0, options={"reset_point": 5})
    burnt_in = [env.step(0)[4]["burn_in"] for _ in range(6)]
    assert burnt_in == [True] * 5 + [False]
    assert env.unwrapped.place == 4  # five steps right by the guide, one left by the policy


class Rightwards:
    """A policy of the corridor that keeps what it was given."""

    noise_dim = 1

    def begin(self):
        self.given = []

    def act(self, observation, noise):
        self.given.append((float(observation[0]), float(noise[0])))
        return np.array([1.0], np.float32)


def test_a_guiding_policy_begins_anew_sees_the_environment_and_draws_noise_by_the_seed():
    guide = PolicyGuide(Rightwards())
    env = ResetWorker(Corridor(discrete=False), corridor_demonstration(), ResetRule(0), guide)

    def led(seed, steps=3):
        env.reset(seed=seed, options={"reset_point": steps})
        for _ in range(steps):
            assert env.step(np.array([-1.0]))[4]["burn_in"]
        return guide.policy.given

    first = led(seed=0)
    assert [place for place, _ in first] == [0, 1 / LENGTH, 2 / LENGTH]
    assert env.unwrapped.place == 3
    assert not env.step(np.array([-1.0]))[4]["burn_in"]
    assert env.unwrapped.place == 2
    assert led(seed=0) == first
    assert [noise for _, noise in led(seed=1)] != [noise for _, noise in first]


def test_the_return_of_a_guiding_policys_steps_counts_for_its_scene_is_no_demonstrations():
    env = ResetWorker(
        Corridor(discrete=False), corridor_demonstration(), ResetRule(0), PolicyGuide(Rightwards())
    )
    env.reset(seed=0, options={"reset_point": LENGTH})
    for _ in range(LENGTH):
        *_, terminated, truncated, info = env.step(np.array([-1.0]))
    assert terminated and not truncated and info["is_success"]


# The optimizer.


def after(optimizer, successes, failures, start=0):
    for succeeded in [True] * successes + [False] * failures:
        optimizer.report(start, succeeded)
    return optimizer.move()


def test_tau_moves_earlier_from_the_success_rate_on_and_never_before_the_start():
    optimizer = ResetOptimizer(7, ResetSchedule(shift=3, threshold=0.2, episodes=10))
    assert after(optimizer, 1, 8) == 7  # too few episodes
    assert after(optimizer, 1, 0) == 4  # 2 of 10
    assert after(optimizer, 1, 9) == 4
    assert after(optimizer, 9, 1) == 1
    assert after(optimizer, 9, 1) == 0
    assert not optimizer.finished
    assert after(optimizer, 9, 1) == 0
    assert optimizer.finished


def test_tau_moves_later_again_when_nothing_succeeds_and_never_beyond_the_end():
    optimizer = ResetOptimizer(4, ResetSchedule(shift=3, threshold=0.5, episodes=5, patience=10))
    after(optimizer, 5, 0)
    assert optimizer.point == 1
    assert after(optimizer, 0, 5) == 1
    assert after(optimizer, 0, 5) == 4
    assert after(optimizer, 0, 10) == 4


def test_episodes_from_beyond_tau_do_not_count():
    optimizer = ResetOptimizer(9, ResetSchedule(episodes=5))
    after(optimizer, 5, 0)
    assert optimizer.point == 6
    assert after(optimizer, 9, 0, start=7) == 6


def test_an_optimizer_resumes_where_it_was():
    one = ResetOptimizer(9, ResetSchedule(episodes=4))
    after(one, 2, 1)
    two = ResetOptimizer(9, ResetSchedule(episodes=4))
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert after(one, 0, 1) == after(two, 0, 1) == 6


def test_the_forward_part_prefers_starts_that_now_succeed_and_now_fail():
    optimizer = ResetOptimizer(0, ResetSchedule(episodes=1))
    curriculum = ReverseCurriculum(optimizer, starts=3)
    assert curriculum.options() == {"reset_point": 0}
    after(optimizer, 1, 0)

    def episode(seed, succeeded):
        info = {"is_success": succeeded, "start": TRUE_START, "forward_seed": seed}
        return Trajectory(np.zeros((2, 1)), np.zeros(1), np.zeros(1), True, info=info)

    curriculum.update([episode(0, True), episode(1, True), episode(1, False), episode(2, False)])
    never_fails, now_and_then, never_succeeds = curriculum.options()["weights"]
    assert now_and_then > never_succeeds > never_fails


def test_a_corridor_too_long_for_chance_is_learned_from_one_demonstration():
    env = worker(ResetRule(window=2, lag=2), limit=LENGTH)
    environments = [worker(ResetRule(window=2, lag=2), limit=LENGTH) for _ in range(8)]
    torch.manual_seed(0)
    network = ActorCriticNetwork(size_for(env, (32,)))
    learner = Ppo(network, PpoConfig(learning_rate=3e-3), 0)
    curriculum = ReverseCurriculum(
        ResetOptimizer(LENGTH - 1, ResetSchedule(shift=1, episodes=16, threshold=0.5))
    )
    for update in range(40):
        episodes = collect(environments, network, Block((0, update), 8, 24), curriculum.options())
        learner.update(make_batch(network, episodes, 0.99, 0.95))
        curriculum.update(episodes)
    assert curriculum.optimizer.finished


# Atari.


def test_the_demonstration_of_montezuma_gets_its_first_key():
    env = AtariRam("atari/MontezumaRevenge")
    demonstration = load_demonstration(env, MONTEZUMA, 0, rewards=1)
    assert len(demonstration) == KEY_FRAME // 4 + 1
    assert demonstration.score() == 100.0
    # From any of its states the rest replays to the same observation.
    env.restore_state(demonstration.states[40])
    for action in demonstration.actions[40:]:
        observation, reward, *_ = env.step(action)
    assert reward == 100.0
    np.testing.assert_array_equal(observation, demonstration.observations[-1])


def test_an_unknown_game_is_refused_with_the_games_there_are():
    with pytest.raises(ConfigError, match=r"'Montezuma'; expected one of .*MontezumaRevenge"):
        AtariRam("atari/Montezuma")


# The verb.


def configured(*words):
    return load_config("conure_training.conf", "rl", RunConfig, list(words))


def montezuma(out, *words):
    return configured(
        "method=demo_resets",
        "task=atari/MontezumaRevenge",
        f"method.demonstration={MONTEZUMA}",
        "method.rewards=1",
        "method.environments=4",
        "method.rollout_steps=16",
        "method.hidden_width=16",
        "steps=300",
        "checkpoint_every=100",
        "evaluate_every=200",
        "evaluate_episodes=1",
        f"out={out}",
        *words,
    )


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    train_rl(montezuma(tmp_path / "whole"))

    class Interrupted(Exception):
        pass

    calls = []

    def interrupt(entry):
        calls.append(entry)
        if entry["steps"] > 200:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_rl(montezuma(tmp_path / "cut"), on_episode=interrupt)
    assert (tmp_path / "cut" / "checkpoint.pt").is_file()
    train_rl(montezuma(tmp_path / "cut"))

    whole, cut = (
        json.loads((tmp_path / name / "curve.json").read_text()) for name in ("whole", "cut")
    )
    assert whole["episodes"] == cut["episodes"]
    assert whole["figures"] == cut["figures"]
    weights = [
        torch.load(tmp_path / name / "policy.pt", weights_only=True)["weights"]
        for name in ("whole", "cut")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_run_is_the_same_by_what_is_in_its_demonstration_wherever_it_lies(tmp_path):
    def identity(method, *words):
        return configured(f"method={method}", "task=atari/Pong", *words).identity()

    one, copy, other = (tmp_path / f"{name}.npz" for name in ("one", "copy", "other"))
    one.write_bytes(MONTEZUMA.read_bytes())
    copy.write_bytes(one.read_bytes())
    np.savez(other, actions=np.zeros(8))
    resets = [identity("demo_resets", f"method.demonstration={path}") for path in (one, copy)]
    assert len({*resets, identity("demo_resets", f"demos={one}")}) == 1
    assert identity("demo_resets", f"method.demonstration={other}") not in resets
    guided = ["method.curriculum=guided", f"method.demonstration={one}"]
    guides = {identity("demo_resets", *guided, f"method.guide={path}") for path in (one, other)}
    assert len(guides) == 2
    for method in ("ppo", "trpo"):
        assert identity(method, f"demos={one}") == identity(method, f"demos={other}")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["method.curriculum=backwards"], r"method.curriculum.*reverse"),
        (["method.burn_in=4"], "method.memory"),
        (["method.demonstration=nowhere.npz"], "no demonstration at nowhere.npz"),
        (["method.algorithm=dqn"], "ppo"),
        (["method.cloning.updates=1"], "clones continuous actions"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(words, reason, tmp_path):
    with pytest.raises((ConfigError, DataError), match=reason) as caught:
        train_rl(montezuma(tmp_path / "run", *words))
    assert "\n" not in str(caught.value)


def test_methods_for_arms_refuse_games(tmp_path):
    with pytest.raises(ConfigError, match="continuous actions"):
        train_rl(configured("method=scratch", "task=atari/Pong", f"out={tmp_path}/run"))


def test_actions_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "actions.npz"
    np.savez(path, actions=np.zeros((5, 7), np.float32))
    with pytest.raises(ConfigError, match=r"one number each.*\(5, 7\)"):
        load_demonstration(AtariRam("atari/MontezumaRevenge"), path, 0)


def test_an_environment_without_restore_is_refused_with_the_way_out():
    env = Corridor()
    with pytest.raises(ConfigError, match="curriculum=guided"):
        load_demonstration(_WithoutRestore(env), MONTEZUMA, 0)


class _WithoutRestore:
    def __init__(self, env):
        self.action_space = env.action_space


def test_a_demonstration_without_a_reward_is_refused():
    env = Corridor()
    with pytest.raises(DataError, match="3 steps earn no reward"):
        replay(env, env.reset(seed=0)[0], [1] * 3, 0).until_last_reward()


@pytest.mark.parametrize(
    "words",
    [
        ["method.curriculum=uniform"],
        ["method.curriculum=none"],
        ["method.curriculum=guided"],
        ["method.algorithm=trpo"],
        ["method.memory=8", "method.burn_in=4"],
        ["method.anywhere=0.5", "method.blocks=2"],
    ],
    ids=str,
)
def test_every_variant_learns_something(words, tmp_path):
    policy = train_rl(montezuma(tmp_path / "run", "steps=60", "evaluate_every=0", *words))
    record = json.loads((tmp_path / "run" / "curve.json").read_text())
    assert record["episodes"][-1]["steps"] >= 60
    network = load_network(torch.load(policy, weights_only=True))
    assert not torch.equal(network.normalize.mean, torch.zeros(128))
    assert np.isfinite(record["figures"]["updates"][-1]["value_error"])


def test_every_update_gets_the_present_tau(tmp_path, monkeypatch):
    seen = []
    original = on_policy_loop.CollectBlock

    def spy(**settings):
        seen.append(settings["options"]["reset_point"])
        return original(**settings)

    monkeypatch.setattr(on_policy_loop, "CollectBlock", spy)
    train_rl(montezuma(tmp_path / "run", "method.schedule.episodes=1", "evaluate_every=0"))
    record = json.loads((tmp_path / "run" / "curve.json").read_text())
    points = [update["reset_point"] for update in record["figures"]["updates"]]
    assert seen == [KEY_FRAME // 4, *map(int, points[:-1])]
