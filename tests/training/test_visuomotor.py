"""The visuomotor system: each part by itself, what may see what, an interrupted run, and bundles with
a memory.
"""

import json

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.contract.bundle import load_bundle
from conure_core.errors import BundleError, ConfigError, DataError
from conure_core.robot.description import load_robot
from conure_sim.scenes.scene import MAX_OBJECTS, PRESENCE, SLOT_STATE
from conure_training.data.demonstrations import load_demonstrations
from conure_training.export.export import run as export
from conure_training.nn.weights import seeded
from conure_training.policies.bundle import BundlePolicy
from conure_training.rl.adversarial.cloning import CloningConfig, clone
from conure_training.rl.adversarial.reward import AdversarialReward
from conure_training.rl.demo_resets.worker import TRUE_START
from conure_training.rl.on_policy.observations import take
from conure_training.rl.on_policy.ppo import Ppo, PpoConfig, ppo_loss
from conure_training.rl.on_policy.trajectories import TaskReward, Trajectory, make_batch
from conure_training.rl.policy_file import load_policy
from conure_training.rl.train import RunConfig, train_rl
from conure_training.rl.visuomotor import aggregation
from conure_training.rl.visuomotor.method import build, make_environments
from conure_training.rl.visuomotor.networks import PixelSize, position_error
from conure_training.rl.visuomotor.resets import longest

from .toy_runs import CONF

torch.set_num_threads(1)
STATE = 16 + MAX_OBJECTS * SLOT_STATE
SIZE = PixelSize(
    observation=STATE,
    actions=7,
    discrete=False,
    hidden=(16,),
    memory=8,
    image_px=16,
    image_features=12,
    proprio=16,
    objects=16,
    auxiliary_weight=0.5,
)


def network(size=SIZE):
    with seeded(0):
        return size.make()


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8),
        "proprio": rng.standard_normal((count, 16), dtype=np.float32),
        "state": rng.standard_normal((count, STATE), dtype=np.float32),
    }


def trajectory(steps, seed=0, burn_in=0):
    rng = np.random.default_rng(seed)
    return Trajectory(
        rows(steps + 1, seed),
        rng.standard_normal((steps, 7), dtype=np.float32),
        rng.standard_normal(steps, dtype=np.float32),
        True,
        burn_in,
    )


# Networks.


def test_the_auxiliary_loss_is_the_mean_squared_distance_over_the_objects_that_are_there():
    slots = torch.zeros(2, MAX_OBJECTS, SLOT_STATE)
    slots[0, 0, :3] = torch.tensor([0.1, 0.2, 0.0])
    slots[0, 0, PRESENCE] = 1.0
    slots[1, 1, PRESENCE] = 1.0
    found = torch.full((2, MAX_OBJECTS, 3), 7.0)  # anything where there is no object
    found[0, 0] = torch.tensor([1.0, 1.0, 0.0])
    found[1, 1] = torch.tensor([0.0, 0.0, 3.0])
    # In units of 0.1 m: one is off by (0, -1, 0), the other by (0, 0, 3).
    assert position_error(found, slots).item() == pytest.approx((1.0 + 9.0) / 2)
    assert position_error(found, torch.zeros_like(slots)).item() == 0.0


def test_the_auxiliary_loss_teaches_the_encoder_and_weighs_as_configured():
    net = network()
    batch = make_batch(net, [trajectory(6)], 0.9, 0.9)
    net.zero_grad()
    loss, metrics = ppo_loss(net, batch, PpoConfig(value_weight=0.0, entropy_weight=0.0))
    slots = batch.observation["state"][:, 16:].unflatten(1, (MAX_OBJECTS, SLOT_STATE))
    features = net.features(batch.observation, batch.lengths)
    located = net.locate(features.encoded[:, :12]).unflatten(1, (MAX_OBJECTS, 3))
    assert metrics["auxiliary"] == pytest.approx(0.5 * position_error(located, slots).item())
    assert loss.item() == pytest.approx(metrics["auxiliary"] - metrics["surrogate"], rel=1e-4)
    loss.backward()
    assert net.locate[0].weight.grad.abs().sum() > 0
    assert net.image_encoder.project[1].weight.grad.abs().sum() > 0


def test_cloning_teaches_the_auxiliary_head_too():
    net = network()
    item = trajectory(12)
    item.observation["state"][:, 16 + PRESENCE] = 1.0

    def error():
        rows = as_tensors(item)
        return net.auxiliary_loss(rows, net.encode(rows)).item()

    before = error()
    clone(net, [item], CloningConfig(updates=60, minibatch=12, input_noise=0.0), seed=0)
    assert error() < 0.7 * before


def test_the_value_function_sees_the_state_alone_and_the_policy_never_does():
    net = network()
    given = {name: torch.from_numpy(value) for name, value in rows(5).items()}
    other = {name: torch.from_numpy(value) for name, value in rows(5, seed=1).items()}
    seen = net.features(given, (5,))
    other_seen = net.features({**other, "state": given["state"]}, (5,))
    other_state = net.features({**given, "state": other["state"]}, (5,))
    assert torch.equal(net.value(seen), net.value(other_seen))
    assert not torch.equal(net.value(seen), net.value(other_state))
    assert torch.equal(seen.actor, other_state.actor)
    assert not torch.equal(seen.actor, other_seen.actor)


def test_the_value_function_of_pixels_sees_what_the_policy_sees():
    net = network(PixelSize(**{**vars(SIZE), "privileged_value": False}))
    given = {name: torch.from_numpy(value) for name, value in rows(5).items()}
    changed = {**given, "state": given["state"] + 1.0}
    seen, other = net.features(given, (5,)), net.features(changed, (5,))
    assert torch.equal(net.value(seen), net.value(other))


def test_steps_of_a_burn_in_teach_nothing_but_warm_the_memory():
    results = []
    for change in (False, True):
        net = network()
        batch = make_batch(net, [trajectory(9, burn_in=4)], 0.9, 0.8)
        if change:
            for values in (batch.action, batch.advantage, batch.target, batch.log_prob):
                values[:4] += 3.0
            batch.observation["state"][:4] += 2.0  # of the auxiliary head too
        Ppo(net, PpoConfig(epochs=1), 0).update(batch)
        results.append(net.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())
    warmed = network()
    item = trajectory(9, burn_in=4)
    whole = warmed.features(take(as_tensors(item), slice(9)), (9,)).actor[4:]
    cold = warmed.features(take(as_tensors(item), slice(4, 9)), (5,)).actor
    assert not torch.allclose(whole, cold)


def as_tensors(item):
    return {name: torch.from_numpy(values) for name, values in item.observation.items()}


# Runs, at toy size.


def visuomotor(demos, out, *words):
    given = [
        "method=visuomotor",
        "task=Lift",
        f"demos={demos}",
        "objects=train",
        "image_size=48",
        "method.trajectories=2",
        "method.environments=2",
        "method.rollout_steps=12",
        "method.memory=8",
        "method.hidden_width=16",
        "method.burn_in=3",
        "method.ppo.epochs=1",
        "method.discriminator.updates=1",
        "steps=40",
        "checkpoint_every=20",
        f"out={out}",
        *words,
    ]
    return load_config(CONF, "rl", RunConfig, given)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(demos, tmp_path, short_episodes):
    class Interrupted(Exception):
        pass

    def interrupt(entry):
        if entry["steps"] > 20:
            raise Interrupted

    words = ["evaluate_every=20", "evaluate_episodes=1"]
    train_rl(visuomotor(demos, tmp_path / "whole", *words))
    with pytest.raises(Interrupted):
        train_rl(visuomotor(demos, tmp_path / "cut", *words), on_episode=interrupt)
    train_rl(visuomotor(demos, tmp_path / "cut", *words))
    whole, cut = (
        json.loads((tmp_path / name / "curve.json").read_text()) for name in ("whole", "cut")
    )
    assert whole["episodes"] == cut["episodes"]
    assert whole["figures"] == cut["figures"]
    assert {"auxiliary", "imitation_reward"} <= whole["figures"]["updates"][-1].keys()
    weights = [
        torch.load(tmp_path / name / "policy.pt", weights_only=True)["weights"]
        for name in ("whole", "cut")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize(
    ("word", "is_off"),
    [
        ("method.gail_share=0", lambda made: isinstance(made.reward, TaskReward)),
        ("method.gail_share=1", lambda made: made.reward.rule.share == 1.0),
        ("method.auxiliary_weight=0", lambda made: made.size.make().locate is None),
        ("method.privileged_value=false", lambda made: not made.size.privileged_value),
        ("method.resets=0", lambda made: made.curriculum.options() == {}),
        ("method.memory=0", lambda made: made.size.make().memory is None),
        ("method.actor=state", lambda made: not made.evaluation.unwrapped.images),
    ],
)
def test_each_part_can_be_switched_off(word, is_off, demos, tmp_path):
    on = visuomotor(demos, tmp_path)
    off = visuomotor(demos, tmp_path, word)
    with_part, without = build(on, on.method), build(off, off.method)
    assert is_off(without)
    assert not is_off(with_part)
    with_part.evaluation.close()
    without.evaluation.close()


def test_a_policy_is_cloned_from_its_own_episodes_as_a_clone_on_the_state_would_act(
    demos, tmp_path, short_episodes, monkeypatch
):
    words = ["method.cloning.updates=2", "method.aggregation.steps=8"]
    run = visuomotor(demos, tmp_path, *words, "method.aggregation.rounds=2")
    made = build(run, run.method)
    cloned = []

    def keep(net, episodes, *rest):
        cloned.append((net, list(episodes)))
        return clone(net, episodes, *rest)

    monkeypatch.setattr(aggregation, "clone", keep)
    with seeded(0):
        net = made.size.make()
    made.pretrain(net)
    made.evaluation.close()
    (teacher, demonstrated), first, second, third = cloned
    assert [item[0] is net for item in (first, second, third)] == [True] * 3
    assert teacher.size.observation == demonstrated[0].observation.shape[1]
    counts = [len(item[1]) for item in (first, second, third)]
    assert counts[0] == len(demonstrated) == 2
    assert counts[0] < counts[1] < counts[2]
    for episode in third[1][2:]:
        state = torch.from_numpy(episode.observation["state"][:-1])
        mean = teacher.distribution_of(teacher.encode(state)).mean
        np.testing.assert_array_equal(episode.action, mean.detach().clamp(-1.0, 1.0).numpy())


def test_the_steps_of_aggregation_count_as_the_run_s(demos, tmp_path, short_episodes):
    words = ["method.cloning.updates=1", "method.aggregation.steps=30", "evaluate_every=15"]
    train_rl(visuomotor(demos, tmp_path / "run", *words, "evaluate_episodes=1"))
    curve = json.loads((tmp_path / "run" / "curve.json").read_text())
    assert curve["evaluations"][0]["steps"] == 30
    assert curve["episodes"][0]["steps"] > 30


def test_the_discriminator_sees_objects_and_no_arm(demos, tmp_path):
    run = visuomotor(demos, tmp_path)
    made = build(run, run.method)
    assert isinstance(made.reward, AdversarialReward)
    env = made.evaluation
    observation, _ = env.reset(seed=0)
    layout = env.unwrapped.state_layout
    episode = Trajectory(
        {name: np.stack([value, value]) for name, value in observation.items()},
        np.zeros((1, 7), np.float32),
        np.zeros(1, np.float32),
        True,
    )
    seen = made.reward.view(episode)
    for part, sees in (("objects", True), ("proprio", False)):
        state = episode.observation["state"].copy()
        state[:, layout[part]] += 1.0
        moved = Trajectory({**episode.observation, "state": state}, episode.action, None, True)
        assert (made.reward.view(moved) != seen).any() == sees
    env.close()


def test_a_share_of_episodes_begins_near_the_end_of_one_of_the_demonstrations(demos, tmp_path):
    run = visuomotor(demos, tmp_path, "method.window=0", "method.actor=state")
    (env,) = make_environments(run, run.method, 1)
    last = longest(env.demonstrations) - 1
    begun = set()
    for seed in range(40):
        observation, info = env.reset(seed=seed, options={"reset_point": last})
        begun.add(info["start"])
        if info["start"] != TRUE_START:
            assert info["start"] == last  # whatever the demonstration's length
            first = len(env.demonstration) - 1 - 3  # the burn-in
            np.testing.assert_array_equal(observation, env.demonstration.observations[first])
    assert begun == {TRUE_START, last}
    env.close()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["method.actor=image"], "method.actor.*pixels"),
        (["method.curriculum=none"], "method.curriculum.*reverse"),
        (["method.algorithm=trpo"], "method.auxiliary_weight=0"),
        (["method.trajectories=99"], "asks for 99"),
        (["method.aggregation.steps=9"], "method.cloning.updates=500"),
        (["task=atari/Pong"], "demo_resets"),
        (["objects=test"], "was recorded with objects='train'"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(words, reason, demos, tmp_path):
    with pytest.raises((ConfigError, DataError), match=reason) as caught:
        train_rl(visuomotor(demos, tmp_path / "run", *words))
    assert "\n" not in str(caught.value)


# From a policy to a bundle.


def drive(policy, observations, noise):
    policy.begin()
    return np.stack([policy.act(seen, one) for seen, one in zip(observations, noise, strict=True)])


@pytest.mark.parametrize("actor", ["pixels", "latent"])
def test_an_exported_policy_remembers_as_torch_does(actor, demos, prior, tmp_path, short_episodes):
    words = [f"method.actor={actor}", f"prior={prior}", "steps=1"]
    policy = train_rl(visuomotor(demos, tmp_path / "run", *words))
    data = torch.load(policy, weights_only=True)
    data["weights"]["actor.2.weight"] *= 30.0  # an untrained policy hardly listens to its memory
    torch.save(data, policy)
    folder = tmp_path / "bundle"
    export([f"agent={policy}", f"out={folder}", f"demos={demos}", "metrics=", "observations=20"])
    bundle = load_bundle(folder, load_robot("wx250s").contract(48))
    assert bundle.spec.memory_size == 8
    assert bundle.spec.has_prior == (actor == "latent")

    data = load_demonstrations(demos)
    seen = [{"image": data.image[row], "proprio": data.proprio[row]} for row in range(6)]
    noise = 0.1 * np.random.default_rng(0).standard_normal((6, 7), dtype=np.float32)
    wanted = drive(load_policy(policy), seen, noise)
    ours = BundlePolicy(folder)
    np.testing.assert_allclose(drive(ours, seen, noise), wanted, atol=1e-5)
    np.testing.assert_allclose(drive(ours, seen, noise), wanted, atol=1e-5)  # begin() forgets
    ours.begin()
    assert np.abs(ours.act(seen[5], noise[5]) - wanted[5]).max() > 1e-4  # what it remembers counts

    if actor == "pixels":
        output = bundle.act(seen[0])
        assert output.z.shape == (0,)
        assert np.isnan(output.log_likelihood)
        with pytest.raises(BundleError, match="has no prior"):
            bundle.invert(seen[0], np.zeros(7))


def test_a_policy_on_the_privileged_state_stays_in_simulation(demos, tmp_path, short_episodes):
    words = ["method.actor=state", "steps=1"]
    policy = train_rl(visuomotor(demos, tmp_path / "run", *words))
    with pytest.raises(ConfigError, match="privileged state, which no robot measures"):
        export([f"agent={policy}", f"out={tmp_path}/bundle"])
