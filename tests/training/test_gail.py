"""Adversarial imitation: numbers computed by hand, the reward's sign and what it does where success
ends an episode, on a corridor in seconds, and the method on the table.
"""

import json
import math
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.writer import save_demonstrations
from conure_training.nn.weights import seeded
from conure_training.rl.adversarial.cloning import CloningConfig, clone
from conure_training.rl.adversarial.demonstrations import StateView
from conure_training.rl.adversarial.discriminator import (
    DiscriminatorConfig,
    DiscriminatorLearner,
    adversarial_loss,
    bernoulli_entropy,
    reward,
)
from conure_training.rl.adversarial.method import GailConfig, build
from conure_training.rl.adversarial.reward import AdversarialReward, RewardRule
from conure_training.rl.config import RunConfig
from conure_training.rl.on_policy.loop import OnPolicyLoop, OnPolicyMethod
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize, size_for
from conure_training.rl.on_policy.trajectories import Trajectory
from conure_training.rl.on_policy.workers import open_workers
from conure_training.rl.policy_file import load_policy
from conure_training.rl.train import train_rl
from conure_training.runtime.parallel import Engine

from .toy_corridor import Corridor
from .toy_runs import CONF

torch.set_num_threads(1)
GAMMA = 0.9


# The discriminator.


def test_the_loss_is_that_computed_by_hand():
    own, demonstrated = torch.tensor([0.0, math.log(3.0)]), torch.tensor([math.log(4.0)])
    # D = 1/2, 3/4 of own rows and 4/5 of the demonstrated one.
    error = -(math.log(1 / 2) + math.log(1 / 4)) / 2 - math.log(4 / 5)
    entropy = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (1 / 2, 3 / 4, 4 / 5)]
    expected = error - 0.1 * sum(entropy) / 3
    assert adversarial_loss(own, demonstrated, 0.1).item() == pytest.approx(expected, abs=1e-6)
    found = bernoulli_entropy(torch.cat([own, demonstrated]))
    torch.testing.assert_close(found, torch.tensor(entropy))


def test_the_reward_is_minus_log_of_one_minus_d_and_clipped():
    logits = torch.tensor([math.log(1 / 3), 0.0, math.log(3.0), 50.0])  # D = 1/4, 1/2, 3/4, 1
    expected = [-math.log(3 / 4), -math.log(1 / 2), -math.log(1 / 4), 5.0]
    torch.testing.assert_close(reward(logits, clip=5.0), torch.tensor(expected))


def rows(values):
    return torch.tensor([[value] for value in values])


def test_what_looks_demonstrated_earns_more():
    learner = DiscriminatorLearner(1, DiscriminatorConfig(minibatch=32), seed=0)
    for _ in range(30):
        learner.update(rows([-1.0, -0.5]), rows([0.5, 1.0]))
    earned = learner.reward(rows([-1.0, 1.0]))
    assert earned[1] > math.log(2.0) > earned[0] > 0.0


def test_a_gradient_penalty_keeps_the_discriminator_from_certainty():
    def certainty(weight):
        config = DiscriminatorConfig(minibatch=32, updates=200, gradient_penalty=weight)
        metrics = DiscriminatorLearner(1, config, 0).update(rows([-1.0]), rows([1.0]))
        return metrics["discriminator_demonstrated"]

    assert certainty(10.0) < 0.95 < certainty(0.0)


# What the discriminator sees.


@pytest.fixture(scope="module")
def lift():
    env = gymnasium.make("conure/Lift-v0", images=False).unwrapped
    yield env
    env.close()


def test_the_discriminator_sees_objects_and_not_the_arm(lift):
    layout = lift.state_layout
    size = max(part.stop for part in layout.values())
    state = np.random.default_rng(0).normal(size=(3, size)).astype(np.float32)
    action = np.full((2, 7), 3.0, np.float32)
    trajectory = Trajectory(state, action, np.zeros(2, np.float32), True)
    arm = layout["proprio"]
    assert arm.start == 0

    objects = state[:, arm.stop :]
    expected = np.concatenate([objects[1:], objects[1:] - objects[:-1]], axis=1)
    np.testing.assert_array_equal(StateView(layout)(trajectory), expected)

    expected = np.concatenate([state[1:], state[1:] - state[:-1], np.ones((2, 7))], axis=1)
    np.testing.assert_array_equal(StateView(layout, arm=True)(trajectory), expected)


# The reward of an episode.


def episode(values, terminated=True, burn_in=0):
    observation = np.array([[value] for value in values], np.float32)
    task = np.zeros(len(values) - 1, np.float32)
    task[-1] = float(terminated)
    return Trajectory(observation, np.zeros(len(task), np.int64), task, terminated, burn_in)


def view(trajectory):
    return trajectory.observation[1:, :1]


def make_reward(**rule):
    learner = DiscriminatorLearner(1, DiscriminatorConfig(minibatch=16), seed=0)
    settings = {"share": 1.0, "gamma": GAMMA, **rule}
    return AdversarialReward(learner, [episode([0, 1, 2])], view, RewardRule(**settings))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_mixed_reward_goes_on_after_success_and_not_after_a_time_limit(share):
    model = make_reward(share=share)
    ended, cut_off = episode([0, 1, 2]), episode([0, 1, 2], terminated=False)
    (first, second), metrics = model.relabel([ended, cut_off])

    imitation = model.learner.reward(rows([1.0, 2.0])).numpy()
    after = model.reward_after_end(ends=1, steps=4)
    assert metrics["reward_after_end"] == pytest.approx(after)
    mixed = share * imitation + (1 - share) * np.array([0.0, 1.0])
    later = GAMMA / (1 - GAMMA) * (share * after + (1 - share))
    expected = (1 - GAMMA) * (mixed + [0.0, later])
    np.testing.assert_allclose(first.reward, expected, rtol=1e-5)
    np.testing.assert_allclose(second.reward, (1 - GAMMA) * share * imitation, rtol=1e-5)
    np.testing.assert_array_equal(ended.reward, [0.0, 1.0])  # the original stays


def test_the_reward_after_the_end_counts_ends():
    model = make_reward()  # demonstrated: one end after two steps
    # D = 1/2 where one row of three is after the end, as demonstrated: an own end counts one more.
    assert model.reward_after_end(ends=4, steps=10) == pytest.approx(math.log(2.0))
    # D = 1/3 / (1/3 + 1/10)
    assert model.reward_after_end(ends=0, steps=9) == pytest.approx(-math.log(3 / 13))
    assert model.reward_after_end(ends=0, steps=10**9) == DiscriminatorConfig().reward_clip


def test_a_burn_in_is_not_shown_to_the_discriminator():
    model = make_reward()
    shown = []
    model.learner.update = lambda own, demonstrated: shown.append(own) or {}
    model.relabel([episode([0, 7, 1, 2], terminated=False, burn_in=1)])
    assert shown[0][:, 0].tolist() == [1, 2]


# A corridor: one demonstration walks to its end.


LIMIT = 16
STEPS = 5000


def walk_right():
    env = Corridor(limit=LIMIT)
    observations, rewards = [env.reset(seed=0)[0]], []
    while not rewards or rewards[-1] == 0.0:
        observation, value, *_ = env.step(1)
        observations.append(observation)
        rewards.append(value)
    action = np.ones(len(rewards), np.int64)
    return Trajectory(np.stack(observations), action, np.array(rewards, np.float32), True)


def short_corridors(count):
    return [Corridor(limit=LIMIT) for _ in range(count)]


def imitate(out, steps, checkpoint_every=STEPS, **settings):
    config = GailConfig(environments=8, rollout_steps=32, gamma=0.97, hidden_width=32, **settings)
    run = RunConfig(
        config, task="Lift", out=str(out), steps=steps, checkpoint_every=checkpoint_every
    )
    learner = DiscriminatorLearner(1, DiscriminatorConfig(minibatch=128), run.seed)
    rule = RewardRule(config.gail_share, config.gamma, config.after_end)
    method = OnPolicyMethod(
        config=config,
        size=size_for(Corridor(), config.hidden_dims),
        make=short_corridors,
        evaluation=Corridor(limit=LIMIT),
        reward=AdversarialReward(learner, [walk_right()], view, rule),
    )
    with open_workers(Engine(workers=1)) as workers:
        loop = OnPolicyLoop(run, method, workers)
        loop.run()
    return loop


def recent_success(loop):
    return np.mean([entry["success"] for entry in loop.curve[-30:]])


@pytest.mark.parametrize(("algorithm", "steps"), [("trpo", STEPS), ("ppo", 3 * STEPS)])
def test_one_demonstration_teaches_to_reach_the_end_and_to_finish(tmp_path, algorithm, steps):
    loop = imitate(tmp_path, steps, algorithm=algorithm)
    assert recent_success(loop) > 0.9
    assert loop.evaluate() >= 0.9


def test_without_rows_after_the_end_the_policy_learns_not_to_finish(tmp_path):
    assert recent_success(imitate(tmp_path, STEPS, after_end=False)) < 0.5


def test_a_run_repeats_itself_to_the_bit_also_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(RunConfig, "identity", lambda self: "one run, whatever its steps")
    whole = imitate(tmp_path / "whole", 1500)
    imitate(tmp_path / "cut", 700, checkpoint_every=1)
    resumed = imitate(tmp_path / "cut", 1500)
    assert resumed.updates == whole.updates
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


# On the table.


def configured(method, demos, *words):
    small = ["method.environments=2", "method.rollout_steps=12", "method.hidden_width=16"]
    cloned = ["method.cloning.updates=20", "method.trajectories=3", f"demos={demos}"]
    return load_config(CONF, "rl", RunConfig, [f"method={method}", *small, *cloned, *words])


def test_a_run_writes_what_it_learned_and_a_policy_that_acts(demos, short_episodes, tmp_path):
    words = ["steps=60", "evaluate_every=30", "evaluate_episodes=1", f"out={tmp_path}"]
    policy = load_policy(train_rl(configured("gail", demos, "method.gail_share=0.5", *words)))
    record = json.loads((tmp_path / "curve.json").read_text())
    assert {"discriminator_own", "imitation_reward", "kl"} <= record["figures"]["updates"][
        -1
    ].keys()
    assert len(record["evaluations"]) >= 2
    env = gymnasium.make("conure/Lift-v0", images=False, objects="test")
    observation, _ = env.reset(seed=0)
    action = policy.act(observation, np.zeros(7, np.float32))
    env.close()
    assert action.shape == (7,)


def test_behavior_cloning_comes_before_the_first_episode_and_its_steps_change_nothing(
    demos, short_episodes, tmp_path
):
    saved = [
        torch.load(train_rl(configured("state_bc", demos, f"steps={steps}", f"out={out}")))
        for steps, out in ((1, tmp_path / "one"), (60, tmp_path / "many"))
    ]
    first, many = (item["weights"] for item in saved)
    assert all(torch.equal(first[name], many[name]) for name in first)


def test_a_cloned_policy_acts_as_demonstrated():
    size = NetworkSize(1, 1, discrete=False, hidden=(16,))
    with seeded(0):
        network = ActorCriticNetwork(size)
    observation = np.linspace(-1, 1, 41, dtype=np.float32)[:, None]
    action = (0.5 * observation[:-1]).astype(np.float32)
    shown = Trajectory(observation, action, np.zeros(40, np.float32), True)
    clone(network, [shown], CloningConfig(updates=200, input_noise=0.0, std=0.2), seed=0)
    found = network.distribution(network.features(torch.tensor([[0.6]]), ()))
    assert found.mean.item() == pytest.approx(0.3, abs=0.05)
    assert found.std.item() == pytest.approx(0.2)


# Bad input: one line that says what to do.


def refusal(error, method, demos, *words):
    with pytest.raises(error) as caught:
        config = configured(method, demos, *words)
        build(config, config.method)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_enough_episodes_of_the_task_says_how_to_get_them(demos):
    few = refusal(DataError, "gail", demos, "method.trajectories=7")
    assert "holds 6 successful episodes of Lift, method.trajectories asks for 7" in few
    none = refusal(DataError, "gail", demos, "task=BlockLift")
    assert "0 successful episodes of BlockLift" in none and "conure demos" in none
    missing = refusal(DataError, "gail", "nowhere")
    assert "no data set at nowhere" in missing


def test_episodes_that_failed_are_not_imitated(demos, tmp_path):
    data = load_demonstrations(demos)
    failed = data.reward.copy()
    failed[: data.ends[0]] = 0.0
    save_demonstrations(tmp_path / "demos", replace(data, reward=failed), {})
    error = refusal(DataError, "gail", tmp_path / "demos", "method.trajectories=6")
    assert "holds 5 successful episodes of Lift" in error


def test_states_of_another_arm_or_task_are_refused(demos, tmp_path):
    data = load_demonstrations(demos)
    renamed = replace(data, tasks=("PushToGoal", *data.tasks[1:]))
    save_demonstrations(tmp_path / "demos", renamed, {})
    error = refusal(DataError, "gail", tmp_path / "demos", "task=PushToGoal")
    assert "a privileged state of" in error and "collect them with this arm" in error


def test_a_data_set_without_states_is_refused(demos, tmp_path):
    data = load_demonstrations(demos)
    bare = {"state": data.state[:, :0], "final_state": data.final_state[:, :0], "infos": ()}
    save_demonstrations(tmp_path / "demos", replace(data, **bare), {})
    error = refusal(DataError, "state_bc", tmp_path / "demos")
    assert "privileged state, which 6 of 6 episodes of Lift lack" in error
    assert "conure demos" in error


@pytest.mark.parametrize("method", ["gail", "state_bc"])
def test_a_game_has_discrete_actions(method, demos):
    error = refusal(ConfigError, method, demos, "task=atari/Pong")
    assert "continuous actions" in error and "method=demo_resets" in error
