"""Deep Q-learning from demonstrations: each part of the loss by hand, sampling by its distribution,
what is kept in replay, discrete actions, and `conure rl method=dqfd`, resumed, and its refusals.
"""

import json
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_sim.envs.rollout import act_until_done, expert
from conure_training.data.atari import AtariRam, AtariScreens
from conure_training.data.discrete_actions import (
    DiscreteActions,
    axis_actions,
    cluster_actions,
    nearest,
)
from conure_training.export.export import ExportConfig, export_policy
from conure_training.rl.dqfd.config import DqfdConfig
from conure_training.rl.dqfd.demonstrations import FILE, convert, find_demonstrations, load, show
from conure_training.rl.dqfd.games import UntilScore, load_game_demonstration, scale_reward
from conure_training.rl.dqfd.learner import SEEN, Dqfd
from conure_training.rl.dqfd.losses import (
    cross_entropy_loss,
    double_target,
    importance_weights,
    margin_loss,
)
from conure_training.rl.dqfd.method import size_for
from conure_training.rl.dqfd.network import DuelingNetwork, QNetworkSize
from conure_training.rl.dqfd.replay import PrioritizedReplay
from conure_training.rl.dqfd.sum_tree import SumTree
from conure_training.rl.loop import Loop
from conure_training.rl.method import Method
from conure_training.rl.policy_file import load_policy
from conure_training.rl.replay import Episode, Field
from conure_training.rl.train import RunConfig, train_rl

from .toy_corridor import LENGTH, Corridor
from .toy_runs import CONF

ROOT = Path(__file__).resolve().parents[2]
MONTEZUMA = ROOT / "training/experiments/conure_experiments/demonstrations/montezuma.npz"
FIELDS = {SEEN: Field((2,))}
SMALL = {"hidden_width": 32, "batch_size": 32, "pretraining_updates": 200, "n_step": 3}
NO_DEMONSTRATIONS = {"demonstrations": "none", "pretraining_updates": 0, "margin_weight": 0.0}


def episode(rewards, terminated=True, first=0.0, actions=None):
    """Observation i is (first + i, 0)."""
    length = len(rewards)
    places = first + torch.arange(length + 1, dtype=torch.float32)
    seen = torch.stack([places, torch.zeros(length + 1)], dim=1)
    done = torch.zeros(length) if actions is None else torch.tensor(actions)
    return Episode({SEEN: seen}, done.float()[:, None], torch.tensor(rewards), terminated)


def everything(replay, generator=None):
    """A batch large enough to hold every transition, by where it begins."""
    batch = replay.sample(400, generator or torch.Generator().manual_seed(0))
    return {float(seen[0]): row for row, seen in enumerate(batch.observation[SEEN])}, batch


# The losses.


def test_the_present_network_chooses_and_the_target_network_judges():
    target = double_target(
        reward=torch.tensor([1.0, 2.0]),
        discount=torch.tensor([0.9, 0.0]),
        next_q=torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]]),
        next_q_target=torch.tensor([[9.0, 4.0, 7.0], [8.0, 8.0, 8.0]]),
    )
    assert target.tolist() == pytest.approx([1.0 + 0.9 * 4.0, 2.0])


def test_the_margin_holds_for_demonstrated_actions_alone():
    q = torch.tensor([[1.0, 0.5, 1.5], [3.0, 0.0, 0.0], [1.0, 0.5, 1.5]], requires_grad=True)
    loss = margin_loss(q, torch.tensor([0, 0, 0]), torch.tensor([True, True, False]), 0.8)
    # Behind by .5 and .8 of margin; ahead by more than the margin; own.
    assert loss.tolist() == pytest.approx([1.3, 0.0, 0.0])
    loss.sum().backward()
    assert q.grad[0].tolist() == [-1.0, 0.0, 1.0]
    assert not q.grad[1:].any()


def test_cross_entropy_is_that_of_the_demonstrated_action():
    q = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    loss = cross_entropy_loss(q, torch.tensor([0, 0]), torch.tensor([True, False]))
    assert loss.tolist() == pytest.approx([np.log(1 + np.e), 0.0])


def test_the_dueling_network_adds_the_centred_advantage_to_the_value():
    network = DuelingNetwork(QNetworkSize((2,), 3, (8,)))
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    q = network(rows)
    features = network.trunk(rows)
    torch.testing.assert_close(q.mean(dim=1), network.value(features)[:, 0])
    advantage = network.advantage(features)
    torch.testing.assert_close(q[:, 0] - q[:, 2], advantage[:, 0] - advantage[:, 2])


def test_the_loss_is_the_weighted_sum_of_its_parts_of_a_batch_computed_by_hand():
    config = DqfdConfig(**{**SMALL, "batch_size": 64}, gamma=0.5, importance_exponent=1.0)
    shown = episode([0.0, 0.0, 1.0], actions=[1, 1, 1])
    replay = PrioritizedReplay(FIELDS, [shown], config, 50)
    replay.add(episode([0.0, 2.0], terminated=False, first=10.0, actions=[0, 1]))
    learner = Dqfd(config, QNetworkSize((2,), 2, (8,)))
    with torch.no_grad():
        for weight in learner.policy.parameters():
            weight += 0.3  # unlike the target network
    batch = replay.sample(64, learner.generator)
    found = learner.losses(batch)

    def q(network, place):
        return network(torch.tensor([[place, 0.0]]))[0].tolist()

    def after(place):
        return q(learner.target, place)[int(np.argmax(q(learner.policy, place)))]

    returns = {  # of one step, of three
        0.0: (0.5 * after(1.0), 0.25),
        1.0: (0.5 * after(2.0), 0.5),
        2.0: (1.0, 1.0),
        10.0: (0.5 * after(11.0), 1.0 + 0.25 * after(12.0)),
        11.0: (2.0 + 0.5 * after(12.0), 2.0 + 0.5 * after(12.0)),
    }
    leaves = replay.tree.values[replay.tree.values > 0]
    small, large = leaves.min(), leaves.max()
    one, many, margin, weights = [], [], [], []
    for seen, action in zip(batch.observation[SEEN], batch.action[:, 0], strict=True):
        place, done = float(seen[0]), int(action)
        values = q(learner.policy, place)
        one.append(values[done] - returns[place][0])
        many.append(values[done] - returns[place][1])
        ahead = max(values[done], values[1 - done] + 0.8) - values[done]
        margin.append(ahead if place < 5 else 0.0)
        weights.append(small / large if place < 5 else 1.0)
    one, many, margin, weights = (np.array(part) for part in (one, many, margin, weights))
    l2 = sum(weight.square().sum().item() for weight in learner.policy.parameters())

    assert found.one_step.item() == pytest.approx((weights * one**2).mean(), rel=1e-5)
    assert found.n_step.item() == pytest.approx((weights * many**2).mean(), rel=1e-5)
    assert found.margin.item() == pytest.approx((weights * margin).mean(), rel=1e-5)
    assert found.l2.item() == pytest.approx(l2, rel=1e-5)
    np.testing.assert_allclose(found.errors, np.abs(one), rtol=1e-4)
    total = found.one_step + found.n_step + found.margin + 1e-5 * found.l2
    assert found.total(config).item() == pytest.approx(total.item())


def test_own_steps_get_no_margin_and_no_cross_entropy():
    replay = PrioritizedReplay(FIELDS, [], DqfdConfig(**SMALL), 50)
    replay.add(episode([0.0, 0.0, 1.0]))
    learner = Dqfd(DqfdConfig(**SMALL), QNetworkSize((2,), 2, (8,)))
    losses = learner.losses(replay.sample(8, learner.generator))
    assert losses.margin == losses.cross_entropy == 0.0
    assert losses.one_step > 0


def test_the_target_network_is_replaced_every_period_and_stands_still_between():
    config = DqfdConfig(**SMALL, target_period=2)
    learner = Dqfd(config, QNetworkSize((2,), 2, (8,)))
    replay = PrioritizedReplay(FIELDS, [episode([0.0, 1.0])], config, 50)
    before = learner.target.value[-1].bias.clone()
    learner.update(replay.sample(8, learner.generator))
    torch.testing.assert_close(learner.target.value[-1].bias, before)
    assert not torch.equal(learner.policy.value[-1].bias, before)
    learner.update(replay.sample(8, learner.generator))
    torch.testing.assert_close(learner.target.value[-1].bias, learner.policy.value[-1].bias)


# Replay.


def test_returns_over_n_steps_stop_at_the_end_of_an_episode():
    config = DqfdConfig(**SMALL, gamma=0.5)
    replay = PrioritizedReplay(FIELDS, [episode([1.0, 2.0, 4.0, 8.0])], config, 50)
    replay.add(episode([1.0, 2.0], terminated=False, first=10.0))
    row, batch = everything(replay)
    assert batch.reward[row[0.0]] == 1 + 0.5 * 2 + 0.25 * 4
    assert batch.discount[row[0.0]] == 0.125
    assert batch.next_observation[SEEN][row[0.0], 0] == 3.0
    assert batch.reward[row[2.0]] == 4 + 0.5 * 8
    assert batch.discount[row[2.0]] == 0.0
    assert (batch.reward[row[10.0]], batch.discount[row[10.0]]) == (2.0, 0.25)
    assert batch.next_observation[SEEN][row[10.0], 0] == 12.0

    assert batch.one_step_reward[row[2.0]] == 4.0
    assert batch.one_step_discount[[row[2.0], row[3.0], row[11.0]]].tolist() == [0.5, 0.0, 0.5]
    assert batch.one_step_observation[SEEN][row[2.0], 0] == 3.0


def test_a_sum_tree_finds_what_a_cumulative_sum_finds():
    rng = np.random.default_rng(0)
    tree = SumTree(37)
    values = rng.uniform(size=37) * (rng.uniform(size=37) < 0.6)
    tree.set(np.arange(37), values)
    masses = rng.uniform(0, tree.total, 500)
    expected = np.searchsorted(np.cumsum(values), masses, side="right")
    np.testing.assert_array_equal(tree.find(masses), expected)
    assert tree.total == pytest.approx(values.sum())
    assert [tree.prefix(leaf) for leaf in (0, 5, 37)] == pytest.approx(
        [0.0, values[:5].sum(), values.sum()]
    )
    assert values[tree.find(np.array([0.0, tree.total, np.nextafter(tree.total, 0)]))].all()


def test_sampling_follows_the_priorities_and_its_weights_undo_them():
    config = DqfdConfig(**SMALL)
    replay = PrioritizedReplay(FIELDS, [episode([0.0] * 4)], config, 50)
    replay.add(episode([0.0] * 6, first=10.0))
    generator = torch.Generator().manual_seed(3)
    batch = replay.sample(64, generator)
    batch.report(batch.observation[SEEN][:, 0] ** 2)

    expected = {}
    for place in (0, 1, 2, 3, 10, 11, 12, 13, 14, 15):
        expected[float(place)] = (place**2 + (1.0 if place < 5 else 0.001)) ** 0.4
    total = sum(expected.values())
    np.testing.assert_allclose(sorted(replay.priorities())[-10:], sorted(expected.values()), 1e-5)

    counts = dict.fromkeys(expected, 0)
    for _ in range(400):  # one at a time: strata would make the counts too even
        drawn = replay.sample(1, generator)
        counts[float(drawn.observation[SEEN][0, 0])] += 1
    wanted = [400 * value / total for value in expected.values()]
    assert chisquare(list(counts.values()), wanted).pvalue > 0.01
    assert chisquare(list(counts.values()), [40.0] * 10).pvalue < 0.01

    drawn = replay.sample(200, generator)
    probability = np.array([expected[float(seen[0])] / total for seen in drawn.observation[SEEN]])
    np.testing.assert_allclose(drawn.density, 10 * probability, rtol=1e-5)
    weights = (10 * probability) ** -0.6
    found = importance_weights(drawn.density, config.beta(0))
    np.testing.assert_allclose(found, weights / weights.max(), rtol=1e-4)
    assert (config.beta(0), config.beta(10_000), config.beta(10**6)) == (0.6, 0.8, 1.0)


@pytest.mark.parametrize(("use", "stays"), [("kept", True), ("mixed", True), ("prefilled", False)])
def test_demonstrations_are_never_given_up_unless_they_only_fill_the_replay(use, stays):
    config = DqfdConfig(**SMALL, demonstrations=use)
    replay = PrioritizedReplay(FIELDS, [episode([0.0] * 4)], config, capacity=12)
    row, batch = everything(replay)
    assert sorted(row) == [0, 1, 2, 3]
    assert bool(batch.demonstrated.all()) == stays
    for number in range(6):
        replay.add(episode([0.0] * 4, first=100.0 + 10 * number))
    row, batch = everything(replay)
    assert ({0, 1, 2, 3} <= set(row)) == stays
    assert {140, 141, 142, 143, 150, 151, 152, 153} <= set(row)
    assert 110 not in row
    share = float(batch.demonstrated.float().mean())
    assert share == {"mixed": 0.5, "prefilled": 0.0}.get(use, pytest.approx(0.5, abs=0.15))


def test_own_steps_of_before_are_overwritten_with_their_priorities():
    config = DqfdConfig(**{**SMALL, **NO_DEMONSTRATIONS})
    replay = PrioritizedReplay(FIELDS, [], config, capacity=8)
    for number in range(5):
        replay.add(episode([0.0] * 3, first=10.0 * number))
    row, _ = everything(replay)
    assert sorted(row) == [30, 31, 32, 40, 41, 42]
    assert np.count_nonzero(replay.priorities()) == 6


# Discrete actions.


def test_an_axis_action_moves_along_one_axis_in_both_gripper_states():
    table = axis_actions((1.0, 0.3))
    assert table.shape == (34, 7)
    assert len(np.unique(table, axis=0)) == 34
    assert (np.count_nonzero(table[:, :6], axis=1) <= 1).all()
    np.testing.assert_array_equal(nearest(table, table), np.arange(34))


def test_clusters_are_what_was_done():
    rng = np.random.default_rng(0)
    done = np.array([[1.0] * 7, [-1.0] * 7, [0.0] * 7])[rng.integers(3, size=200)]
    noisy = done + rng.normal(0, 0.01, done.shape)
    table = cluster_actions(noisy, 3, seed=0)
    np.testing.assert_allclose(sorted(table[:, 0]), [-1, 0, 1], atol=0.01)
    assert len(cluster_actions(done, 8, seed=0)) == 3


@pytest.fixture(scope="module")
def table_env():
    env = gymnasium.make(
        "conure/PressButton-v0", objects="test", distractors=0, images=False
    ).unwrapped
    yield env
    env.close()


def test_the_expert_still_succeeds_through_the_discrete_actions(table_env):
    table = axis_actions()
    env = DiscreteActions(table_env, table)
    assert env.action_space.n == len(table)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        policy = expert(table_env)
        done = False
        while not done:
            number = nearest(table, policy(observation)[None])[0]
            observation, _, terminated, truncated, info = env.step(number)
            done = terminated or truncated
        assert info["is_success"]


def test_what_the_expert_shows_replays_exactly(table_env, tmp_path):
    shown = show(table_env, DqfdConfig(episodes=2), seed=0)
    shown.save(tmp_path / "shown.npz")
    read = load(tmp_path / "shown.npz")
    assert len(read.episodes) == 2
    kept = read.episodes[0]
    observation, _ = table_env.reset(seed=4_000_000)
    steps = iter(kept.actions)
    result = act_until_done(table_env, lambda _: read.table[int(next(steps))], observation)
    assert result.success
    assert result.steps == len(kept.actions)
    assert kept.rewards.tolist() == [0.0] * (result.steps - 1) + [1.0]
    np.testing.assert_array_equal(table_env.observe()["state"], kept.seen[-1])


def test_recorded_actions_become_the_nearest_of_the_table(table_env):
    shown = show(table_env, DqfdConfig(episodes=1), seed=0)
    first = shown.episodes[0]
    continuous = shown.table[first.actions.astype(int)] + 0.05
    converted = convert([replace(first, actions=continuous)], DqfdConfig(), seed=0)
    np.testing.assert_array_equal(converted.episodes[0].actions, first.actions)


# Games.


def test_the_demonstration_earns_the_first_key_with_actions_of_the_learners_length():
    env = AtariScreens("atari/MontezumaRevenge")
    shown, points = load_game_demonstration(env, MONTEZUMA, rewards=1)
    assert points == 100.0
    assert shown.reward[-1] == pytest.approx(np.log(101))
    assert torch.count_nonzero(shown.reward) == 1
    assert (scale_reward(-100.0), scale_reward(0.0)) == pytest.approx((-np.log(101), 0.0))
    assert shown.observations[SEEN].shape == (len(shown.reward) + 1, 4, 84, 84)
    assert shown.observations[SEEN].dtype == torch.uint8

    game = UntilScore(env, points, max_steps=200)
    observation, _ = game.reset(seed=0)
    for number, action in enumerate(shown.action[:, 0]):
        np.testing.assert_array_equal(observation, shown.observations[SEEN][number])
        observation, _, terminated, truncated, info = game.step(action)
    assert (terminated, truncated, info["is_success"]) == (True, False, True)
    state = env.save_state()
    np.testing.assert_array_equal(state.screens, observation)

    network = DuelingNetwork(size_for(game, DqfdConfig(hidden_width=16)))
    assert network(torch.from_numpy(observation)[None]).shape == (1, 18)


def test_a_demonstration_that_does_not_earn_what_is_asked_for_is_refused(tmp_path):
    np.savez(tmp_path / "idle.npz", actions=np.zeros(40, int))
    env = AtariRam("atari/MontezumaRevenge")
    with pytest.raises(DataError, match="earns no 1 rewards with actions of 4 frames each"):
        load_game_demonstration(env, tmp_path / "idle.npz", rewards=1)


# Learning.


class Numbers(gymnasium.Wrapper):
    def step(self, action):
        return self.env.step(int(action))


def corridor_run(out, **settings):
    """Of a seed whose untrained network walks left everywhere."""
    method = DqfdConfig(**{**SMALL, **settings})
    return RunConfig(
        method=method, out=str(out), steps=400, evaluate_every=200, evaluate_episodes=5, seed=2
    )


def corridor_loop(out, shown=1, **settings):
    config = corridor_run(out, **settings)
    method = config.method
    episodes = []
    if shown:
        env = Corridor()
        seen = [env.reset(seed=9)[0]] + [env.step(1)[0] for _ in range(LENGTH)]
        rewards = torch.zeros(LENGTH)
        rewards[-1] = 1.0
        seen = {SEEN: torch.from_numpy(np.stack(seen))}
        episodes = [Episode(seen, torch.ones(LENGTH, 1), rewards, True)]
    learner = Dqfd(method, size_for(Corridor(), method), seed=config.seed)
    replay = PrioritizedReplay(FIELDS, episodes, method, 1000)
    made = Method(
        learner,
        replay,
        observe=lambda seen: {SEEN: torch.from_numpy(seen)},
        save=lambda path, note: None,
        command=lambda observation, action: action[:, 0].long(),
        environment=Numbers,
    )
    return Loop(config, made, Corridor(), Corridor())


def success(loop):
    return [entry["success"] for entry in loop.evaluations]


def test_pretraining_alone_walks_the_corridor_and_no_demonstration_never_does(tmp_path):
    loop = corridor_loop(tmp_path / "dqfd")
    loop.run()
    assert success(loop) == [1.0, 1.0, 1.0]

    without = corridor_loop(tmp_path / "none", shown=0, **NO_DEMONSTRATIONS)
    without.run()
    assert success(without) == [0.0, 0.0, 0.0]

    imitation = {"one_step_weight": 0.0, "n_step_weight": 0.0, "margin_weight": 0.0}
    cloned = corridor_loop(
        tmp_path / "bc", cross_entropy_weight=1.0, updates_per_step=0.0, **imitation
    )
    cloned.run()
    assert success(cloned)[0] == 1.0
    assert cloned.learner.updates == SMALL["pretraining_updates"]


def test_chance_finds_the_way_by_q_learning_alone(tmp_path):
    fast = {"updates_per_step": 1.0, "target_period": 40, "learning_rate": 2e-3}
    loop = corridor_loop(tmp_path, shown=0, epsilon=1.0, **fast, **NO_DEMONSTRATIONS)
    loop.config = replace(loop.config, steps=600, evaluate_every=600)
    loop.run()
    assert success(loop) == [0.0, 1.0]


def test_the_same_seed_gives_the_same_bits_after_an_interruption_too(tmp_path, monkeypatch):
    whole = corridor_loop(tmp_path / "whole")
    whole.config = replace(whole.config, checkpoint_every=60)
    whole.run()

    class Interrupted(Exception):
        pass

    def cut_loop():
        loop = corridor_loop(tmp_path / "cut")
        loop.config = replace(loop.config, checkpoint_every=60)
        return loop

    def interrupt(entry):
        if entry["steps"] > 200:
            raise Interrupted

    with pytest.raises(Interrupted):
        cut_loop().run(on_episode=interrupt)
    resumed = cut_loop()
    resumed.run()
    assert resumed.curve == whole.curve
    for name, value in whole.learner.policy.state_dict().items():
        assert torch.equal(resumed.learner.policy.state_dict()[name], value)
    np.testing.assert_array_equal(resumed.replay.priorities(), whole.replay.priorities())


# The command.


def press_button(out, *words):
    base = ["method=dqfd", "task=PressButton", "randomization=none", "distractors=0"]
    sizes = ["method.episodes=3", "method.pretraining_updates=60", "method.hidden_width=32"]
    run = [f"out={out}", "steps=60"]
    return load_config(CONF, "rl", RunConfig, [*base, *sizes, *run, *words])


def test_the_command_learns_saves_a_policy_that_acts_and_refuses_to_export_it(tmp_path, table_env):
    path = train_rl(press_button(tmp_path / "run"))
    record = json.loads((tmp_path / "run" / "curve.json").read_text())
    assert record["figures"]["actions"] == 34
    assert record["gradient_steps"][-1]["updates"] == 60
    assert record["episodes"][-1]["steps"] >= 60
    policy = load_policy(path)
    observation, _ = table_env.reset(seed=0)
    action = policy.act(observation, np.zeros(policy.noise_dim, np.float32))
    assert (axis_actions() == action).all(axis=1).any()
    words = [f"agent={path}", f"out={tmp_path / 'bundle'}"]
    with pytest.raises(ConfigError, match="privileged state, which no robot measures"):
        export_policy(load_config(CONF, "export", ExportConfig, words))

    shown = tmp_path / "run" / FILE
    again = train_rl(press_button(tmp_path / "again", f"method.demonstration={shown}"))
    for name, value in torch.load(path, weights_only=False)["weights"].items():
        assert torch.equal(torch.load(again, weights_only=False)["weights"][name], value)


def test_clusters_are_a_table_of_the_file(table_env, tmp_path):
    config = DqfdConfig(actions="clusters", clusters=4, episodes=2)
    shown = show(table_env, config, seed=0)
    assert shown.table.shape == (4, 7)
    shown.save(tmp_path / "shown.npz")
    run = press_button(tmp_path)
    read = replace(config, demonstration=str(tmp_path / "shown.npz"))
    np.testing.assert_array_equal(find_demonstrations(run, read, table_env).table, shown.table)
    with pytest.raises(ConfigError, match="in 4 actions that are not the 34 of"):
        find_demonstrations(run, replace(read, actions="axes"), table_env)


def test_bad_input_is_refused_in_one_line(table_env, tmp_path):
    run = press_button(tmp_path)
    with pytest.raises(ConfigError, match="wrap it in DiscreteActions"):
        size_for(table_env, DqfdConfig())
    with pytest.raises(ConfigError, match="expected actions of 7 numbers"):
        DiscreteActions(Corridor(), axis_actions())
    with pytest.raises(DataError, match=r"no demonstrations at .*none\.npz"):
        find_demonstrations(run, DqfdConfig(demonstration=str(tmp_path / "none.npz")), table_env)
    (tmp_path / "torn.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="show them again"):
        find_demonstrations(run, DqfdConfig(demonstration=str(tmp_path / "torn.npz")), table_env)
    with pytest.raises(ConfigError, match="leaves nothing to pretrain on"):
        DqfdConfig(demonstrations="none")
    with pytest.raises(ConfigError, match=r"mixd.*mixed"):
        DqfdConfig(demonstrations="mixd")
    with pytest.raises(ConfigError, match=r"method\.actions.*axes"):
        DqfdConfig(actions="axis")
    with pytest.raises(ConfigError, match="is for games, PressButton is seen by"):
        train_rl(press_button(tmp_path / "pixels", "method.pixels=true"))
    words = ["method=dqfd", "task=atari/MontezumaRevenge", f"out={tmp_path / 'game'}"]
    with pytest.raises(ConfigError, match="a game has no expert of its own"):
        train_rl(load_config(CONF, "rl", RunConfig, words))


def test_demonstrations_of_another_task_are_refused(table_env, demos, tmp_path):
    run = press_button(tmp_path)
    config = DqfdConfig(demonstration=str(demos))
    with pytest.raises(DataError, match="holds no episode of PressButton, only of Lift"):
        find_demonstrations(run, config, table_env)
    lift = replace(run, task="Lift")
    with pytest.raises(ConfigError, match="numbers of privileged state, the environment"):
        find_demonstrations(lift, config, table_env)
