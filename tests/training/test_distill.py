"""`conure rl method=distill`: what the student is taught, who acts when, teachers that are refused,
and a bundle in the end.
"""

from contextlib import closing

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, ConureError, SpecMismatch
from conure_sim.envs.rollout import expert
from conure_training.data.environments import make_environment
from conure_training.export.export import ExportConfig, export_policy
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.rl.distill.learner import Dagger, DaggerConfig
from conure_training.rl.distill.teacher import LABEL, LabelledEnvironment, Teacher, load_teacher
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize
from conure_training.rl.on_policy.policy import save_policy
from conure_training.rl.replay import Batch
from conure_training.rl.train import RunConfig, build_method, train_rl

from .toy_runs import CONF, EPISODE_STEPS, rl_config


@pytest.fixture
def env():
    with closing(make_environment("Lift", load_config(CONF, "rl", RunConfig, []))) as made:
        yield made


@pytest.fixture
def privileged(env, tmp_path):
    """Write an untrained policy on the privileged state."""

    def write(task="Lift"):
        size = NetworkSize(env.observation_space["state"].shape[0], 7, False, (8,))
        save_policy(tmp_path / "teacher.pt", ActorCriticNetwork(size), task, env.contract, {})
        return tmp_path / "teacher.pt"

    return write


# What is learned.


def test_the_student_learns_what_the_teacher_would_have_done_not_what_was_done():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 3, generator=generator)
    taught = torch.tanh(features @ torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.3, -0.3]]))
    done = -taught
    learner = Dagger(
        GaussianPolicy(3, 2, (32,)), 2, DaggerConfig(policy_average=0.1, learning_rate=0.01)
    )
    for _ in range(150):
        rows = torch.randint(400, (64,), generator=generator)
        seen = {"features": features[rows], LABEL: taught[rows]}
        zeros = torch.zeros(64)
        learner.update(Batch(seen, done[rows], zeros, seen, zeros))
    with learner.averaged():
        chosen = learner.act({"features": features}, generator, noise_scale=0.0, exploring=False)
    assert (chosen - taught).abs().mean() < 0.1


def test_an_observation_holds_the_teachers_action_of_the_same_moment(env):
    labelled = LabelledEnvironment(env, Teacher(None))
    observation, _ = labelled.reset(seed=0)
    for _ in range(5):
        expected = np.clip(expert(env)(observation), -1.0, 1.0)
        np.testing.assert_array_equal(observation[LABEL], expected.astype(np.float32))
        observation, *_ = labelled.step(np.full(7, 0.3))
    assert labelled.observation_space[LABEL].contains(observation[LABEL])


class Counting:
    """A policy that says how often it was asked since the episode began, and its noise."""

    noise_dim = 7

    def begin(self):
        self.asked = 0

    def act(self, observation, noise):
        self.asked += 1
        return np.array([self.asked / 10, *noise[1:]], np.float32)


def test_a_teacher_with_a_memory_begins_anew_and_its_noise_is_the_episodes(env):
    labelled = LabelledEnvironment(env, Teacher(Counting(), noise_scale=0.1))

    def episode(seed):
        labels = [labelled.reset(seed=seed)[0][LABEL]]
        labels += [labelled.step(np.zeros(7))[0][LABEL] for _ in range(2)]
        return np.stack(labels)

    first = episode(1)
    np.testing.assert_allclose(first[:, 0], [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(episode(1), first)
    assert not np.array_equal(episode(2), first)


# Who acts.


def test_the_teacher_acts_alone_at_first_then_ever_less():
    learner = Dagger(GaussianPolicy(3, 2, (8,)), 2, DaggerConfig(iteration_steps=300, decay=0.5))
    generator = torch.Generator().manual_seed(0)
    seen = {"features": torch.zeros(300, 3), LABEL: torch.full((300, 2), 0.25)}
    shares = []
    for _ in range(3):
        action = learner.act(seen, generator)
        shares.append((action == 0.25).all(dim=1).float().mean().item())
    assert shares == pytest.approx([1.0, 0.5, 0.25], abs=0.1)
    assert not (learner.act(seen, generator, exploring=False) == 0.25).all(dim=1).any()
    assert DaggerConfig(decay=0.0).decay ** 0 == 1


def test_nothing_is_learned_in_the_first_iteration_and_nothing_is_forgotten(
    demos, prior, tmp_path, short_episodes
):
    config = DaggerConfig(iteration_steps=100, updates_per_step=0.5)
    assert config.updates_due(0, 90) == 0
    assert config.updates_due(90, 120) == 10
    assert config.updates_due(120, 140) == 10
    steps = 4 * EPISODE_STEPS
    words = (f"steps={steps}", "replay.capacity=20")
    run = rl_config(demos, prior, tmp_path, *words, method="distill")
    with closing(make_environment(run.task, run)) as env:
        assert build_method(run, env).replay.config.capacity > steps + EPISODE_STEPS


# Teachers.


def test_a_teacher_of_another_task_arm_or_kind_is_refused_in_one_line(
    env, privileged, prior, demos, tmp_path
):
    def load(path, task="Lift", contract=env.contract):
        return load_teacher(str(path), 0.0, task, contract)

    assert load(privileged()).policy.task == "Lift"
    with pytest.raises(ConfigError, match=r"has learned task=PlaceInBox, the student .* Lift"):
        load(privileged("PlaceInBox"))
    larger = load_config(CONF, "rl", RunConfig, ["image_size=64"])
    with closing(make_environment("Lift", larger)) as other:
        assert load(privileged(), contract=other.contract).policy is not None
        with pytest.raises(SpecMismatch, match="image"):
            load(prior, contract=other.contract)
    panda = load_config(CONF, "rl", RunConfig, ["arm=panda"])
    with (
        closing(make_environment("Lift", panda)) as other,
        pytest.raises(SpecMismatch, match=r"does not fit: .*robot"),
    ):
        load(privileged(), contract=other.contract)
    with pytest.raises(ConureError, match="no policy at") as caught:
        load(tmp_path / "nowhere.pt")
    assert "\n" not in str(caught.value)


def test_a_run_is_that_of_its_teacher_wherever_the_file_lies(prior, privileged, tmp_path):
    def identity(teacher):
        words = ["method=distill", f"prior={prior}", f"method.teacher={teacher}"]
        return load_config(CONF, "rl", RunConfig, words).identity()

    path = privileged()
    copy = tmp_path / "copy.pt"
    copy.write_bytes(path.read_bytes())
    assert identity(path) == identity(copy) != identity("expert")
    torch.manual_seed(1)
    assert identity(privileged()) != identity(copy)


# From a policy that no robot can run to one that it can.


def test_a_policy_on_the_privileged_state_is_distilled_and_exported(
    demos, prior, privileged, tmp_path, short_episodes
):
    teacher = privileged()
    words = [f"agent={teacher}", f"out={tmp_path / 'bundle'}", f"demos={demos}", "observations=8"]
    words += ["golden=4", "calls=1", "report=", "metrics="]
    with pytest.raises(ConfigError, match="method=distill"):
        export_policy(load_config(CONF, "export", ExportConfig, words))
    steps = f"steps={2 * EPISODE_STEPS}"
    run = rl_config(
        demos, prior, tmp_path / "run", steps, f"method.teacher={teacher}", method="distill"
    )
    words[0] = f"agent={train_rl(run)}"
    parity = export_policy(load_config(CONF, "export", ExportConfig, words))["parity"]
    assert parity["action"] < 1e-5
