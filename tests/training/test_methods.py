"""Every method of `conure rl` at toy size: it resumes to the bit, evaluates itself, and hands out
what it evaluated.
"""

import ast
import inspect
import json
import shutil
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.environments import make_environment
from conure_training.evaluation.evaluate import run_episode
from conure_training.export.export import load_exportable
from conure_training.export.export import run as export
from conure_training.policies.bundle import BundlePolicy
from conure_training.policies.latent import LatentPolicy
from conure_training.policies.policy import as_batch
from conure_training.prior.model import load_prior
from conure_training.rl.config import RunConfig
from conure_training.rl.demonstrations import invert_actions
from conure_training.rl.loop import EVALUATION_SEEDS, Loop, evaluate_learner
from conure_training.rl.policy_file import load_policy
from conure_training.rl.prior_features import Features
from conure_training.rl.registry import METHODS, config_class, environment_maker, loop_maker
from conure_training.rl.replay import ReplayConfig
from conure_training.rl.train import build_method, train_rl

from .methods_table import methods_table
from .toy_runs import CONF, EPISODE_STEPS, rl_config

VARIANTS: dict[str, tuple[str, ...]] = {
    **{name: () for name in METHODS if not (loop_maker(name) or environment_maker(name))},
    "trajectory": ("method.skills.horizon=5",),
    "symmetric_bounded": (
        "method.critic=features",
        "method.z_bound_quantile=0.9",
        "method.cost=entropy",
    ),
}


THREE_EPISODES = (f"steps={3 * EPISODE_STEPS}", f"checkpoint_every={EPISODE_STEPS}")
EVALUATIONS = (f"evaluate_every={EPISODE_STEPS + 1}", "evaluate_episodes=1")


@pytest.fixture(autouse=True)
def few_steps_an_episode(short_episodes: None) -> None:
    """All that is tested here happens at the ends of episodes."""


def config_of(variant: str, demos: Path, prior: Path, out: Path, *words: str) -> RunConfig:
    method = variant if variant in METHODS else "latent"
    given = (*THREE_EPISODES, *EVALUATIONS, *VARIANTS[variant], *words)
    return rl_config(demos, prior, out, *given, method=method)


class Stop(Exception):
    """Ends a run after its second episode."""


def stop(episode: dict) -> None:
    if episode["steps"] > EPISODE_STEPS:
        raise Stop


def tensors(data: object) -> list[torch.Tensor]:
    if isinstance(data, torch.Tensor):
        return [data]
    return [t for value in data.values() for t in tensors(value)] if isinstance(data, dict) else []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    variant: str, demos: Path, prior: Path, tmp_path: Path
) -> None:
    """What a power cut in the second episode leaves is the folder as it is then."""
    config = config_of(variant, demos, prior, tmp_path / "run")

    def keep(episode: dict) -> None:
        if EPISODE_STEPS < episode["steps"] <= 2 * EPISODE_STEPS:
            shutil.copytree(tmp_path / "run", tmp_path / "cut")

    train_rl(config, keep)
    whole = (tmp_path / "run").rename(tmp_path / "whole") / "policy.pt"
    (tmp_path / "cut").rename(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert not (tmp_path / "run" / "policy.pt").exists()
    resumed: list[int] = []
    cut = train_rl(config, lambda episode: resumed.append(episode["steps"]))
    assert resumed == [2 * EPISODE_STEPS, 3 * EPISODE_STEPS]
    first, second = (tensors(torch.load(path, weights_only=True)) for path in (whole, cut))
    assert len(first) == len(second) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    one, other = (json.loads((path.parent / "curve.json").read_text()) for path in (whole, cut))
    assert one["episodes"] == other["episodes"]
    assert [without_time(entry) for entry in one["evaluations"]] == [
        without_time(entry) for entry in other["evaluations"]
    ]
    assert [entry["steps"] for entry in one["evaluations"]] == [
        0,
        2 * EPISODE_STEPS,
        3 * EPISODE_STEPS,
    ]
    assert sorted(path.name for path in whole.parent.iterdir()) == ["curve.json", "policy.pt"]


def without_time(entry: dict) -> dict:
    assert entry["seconds"] >= 0
    return {name: value for name, value in entry.items() if name != "seconds"}


# What is handed out is what was evaluated.


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_policy_s_file_acts_as_the_learner_does_in_its_evaluations(
    variant, demos, prior, tmp_path
) -> None:
    config = config_of(variant, demos, prior, tmp_path, "evaluate_every=0")
    with closing(make_environment(config.task, config, config.target)) as env:
        method = build_method(config, env)
        loop = Loop(config, method, env)
        with pytest.raises(Stop):
            loop.run(stop)
        method.save(tmp_path / "policy.pt", {})
        agent = load_policy(tmp_path / "policy.pt", env.contract)
        assert exports(tmp_path / "policy.pt") == (documented_export(variant) == "yes")
        agent.begin()
        observation, _ = env.reset(seed=1)
        if variant in ("trajectory", "hierarchical"):
            compare_skills(method, agent, env, observation)
            return
        _, graph = load_exportable(tmp_path / "policy.pt")
        acting = method.environment(env)
        observation, _ = acting.reset(seed=1)
        for step in range(3):
            batch = {name: value[None] for name, value in method.observe(observation).items()}
            noise = torch.randn(1, 7, generator=torch.Generator().manual_seed(step))
            with method.learner.averaged():
                chosen = method.learner.act(
                    batch, torch.Generator().manual_seed(step), exploring=False
                )
            expected = method.command(batch, chosen)
            action = agent.act(observation, noise[0].numpy())
            np.testing.assert_allclose(action, expected[0].numpy(), atol=1e-4)
            exported = graph(*as_batch(observation), noise)[0]
            np.testing.assert_allclose(exported[0].numpy(), action, atol=1e-4)
            observation, *_ = acting.step(action)


def exports(path: Path) -> bool:
    try:
        load_exportable(path)
    except ConfigError:
        return False
    return True


def test_a_policy_that_carries_out_skills_becomes_a_bundle_that_remembers_them(
    demos, prior, tmp_path
) -> None:
    policy = train_rl(
        config_of("trajectory", demos, prior, tmp_path, "evaluate_every=0", "steps=1")
    )
    folder = tmp_path / "bundle"
    export([f"agent={policy}", f"out={folder}", f"demos={demos}", "observations=20", "calls=1"])
    ours, theirs = BundlePolicy(folder), load_policy(policy)
    data = load_demonstrations(demos)
    noise = np.random.default_rng(0).standard_normal((8, 7), dtype=np.float32)
    for agent in (ours, theirs):
        agent.begin()
    for row in range(8):  # a skill of five steps ends, and the next one begins
        seen = {"image": data.image[row], "proprio": data.proprio[row]}
        given = noise[row]
        np.testing.assert_allclose(ours.act(seen, given), theirs.act(seen, given), atol=1e-5)


def documented_export(variant: str) -> str:
    return methods_table()[variant if variant in METHODS else "latent"]["exported"]


def compare_skills(method, agent, env, observation) -> None:
    """One latent, carried out by the agent and by the environment around this one."""
    batch = {name: value[None] for name, value in method.observe(observation).items()}
    noise = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))
    with method.learner.averaged():
        z = method.learner.act(batch, torch.Generator().manual_seed(0))
    chunked = method.environment(env)
    chunked.reset(seed=1)
    last, *_, info = chunked.step(z[0].numpy())
    env.reset(seed=1)
    for _ in range(info["env_steps"]):
        observation, *_ = env.step(agent.act(observation, noise[0].numpy()))
    np.testing.assert_allclose(observation["state"], last["state"], atol=1e-4)


# Evaluations.


def test_evaluations_leave_the_training_as_it_is_and_repeat_themselves(
    demos, prior, tmp_path
) -> None:
    curves = []
    period = EPISODE_STEPS - 2
    for every in (0, period):
        words = (f"evaluate_every={every}", "evaluate_episodes=2", f"tensorboard={every > 0}")
        words += THREE_EPISODES
        out = tmp_path / str(every)
        path = train_rl(rl_config(demos, prior, out, *words, method="prior_explore"))
        curves.append(json.loads((path.parent / "curve.json").read_text()))
    assert curves[0]["episodes"] == curves[1]["episodes"]
    assert curves[0]["evaluations"] == []
    evaluations = curves[1]["evaluations"]
    assert [entry["episodes"] for entry in evaluations] == [2] * len(evaluations)
    assert [entry["steps"] // period >= index for index, entry in enumerate(evaluations)] == [
        True
    ] * len(evaluations)
    assert len(evaluations) == 1 + curves[1]["episodes"][-1]["steps"] // period
    assert curves[1]["wall_s"] > 0 and curves[1]["commit"]
    assert list((tmp_path / str(period) / "tensorboard").glob("events*"))


def test_an_untrained_policy_in_z_is_evaluated_as_the_prior_is(demos, prior, tmp_path) -> None:
    """First rollouts: the same z for the same noise, the same actions, hence the same successes."""
    config = rl_config(demos, prior, tmp_path, "evaluate_episodes=3", "evaluate_noise_scale=1.0")
    alone = load_prior(prior)
    with closing(make_environment(config.task, config, config.target)) as env:
        method = build_method(config, env)
        noise = torch.randn(3, 7, generator=torch.Generator().manual_seed(5))
        observation, _ = env.reset(seed=EVALUATION_SEEDS)
        seen = {
            name: value[None].expand(3, -1) for name, value in method.observe(observation).items()
        }
        assert torch.equal(method.learner.policy.draw(seen["features"], noise), noise)
        action = method.learner.act(seen, torch.Generator().manual_seed(5))
        assert torch.equal(action, alone.flow.decode(noise, seen["features"]))
        for one, expected in zip(noise.numpy(), action.numpy(), strict=True):
            np.testing.assert_allclose(
                LatentPolicy(alone).act(observation, one), expected.clip(-1, 1), atol=1e-4
            )
        assert evaluate_learner(config, method, env) == evaluate_learner(config, method, env)


# Options.


def test_an_unknown_method_lists_the_methods() -> None:
    with pytest.raises(ConfigError, match=r"rlpd.*steered"):
        config_class("rldp")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("method=rldp",), "unknown method 'rldp'; did you mean 'rlpd'"),
        (("method=rlpd", "method.name=ibrl"), "expected a IbrlConfig"),
        (("method.critic=pixels",), "method.critic"),
        (("method=scratch", "method.critic=features"), "unknown key in 'method.critic'"),
        (("method=rlpd", "method.margin=0.1"), "'margin'; did you mean"),
        (("method=latent_escape", "method.margin=-0.1"), "method.margin"),
        (("method=ibrl", "method.cloning.stesp=2"), "'stesp'; did you mean 'steps'"),
        (("evaluate_every=-1",), "evaluate_every"),
        (("method.cost=kl2",), "method.cost"),
        (("method.z_bound_quantile=0",), "method.z_bound_quantile"),
        (("method.updates_per_step=nan",), "method.updates_per_step must be a finite number"),
        (("method=rlpd", "method.target_subset=9"), "method.target_subset"),
        (("method=bc", "method.cloning.steps=0"), "PretrainingConfig.steps"),
        (("method=trajectory", "method.skills.horizon=0"), "SkillConfig.horizon"),
        (("method=prior_explore", "method.epsilon=2"), "method.epsilon"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(words, says) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(CONF, "rl", RunConfig, list(words))


@pytest.mark.parametrize("name", METHODS)
def test_the_command_runs_the_defaults_that_python_has(name: str) -> None:
    config = load_config(CONF, "rl", RunConfig, [f"method={name}"])
    default = RunConfig(config_class(name)())
    assert config.method.name == name
    assert config == replace(default, randomization=config.randomization)
    light = load_config(CONF, "rl", RunConfig, ["randomization=light"]).randomization
    assert config.randomization == light


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_of_a_method_is_documented_below_its_field(name: str) -> None:
    undocumented = [
        f"{owner.__name__}.{field}"
        for owner in (config_class(name), RunConfig, ReplayConfig)
        for field in undocumented_fields(owner)
    ]
    assert undocumented == []


def undocumented_fields(owner: type) -> set[str]:
    """Fields of a dataclass without a docstring below them, in it or a parent."""
    documented: set[str] = set()
    for parent in owner.__mro__[:-1]:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(body, ast.ClassDef)
        for statement, below in pairwise(body.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(below, ast.Expr):
                documented.add(ast.unparse(statement.target))
    return {field.name for field in fields(owner)} - documented


def test_a_configuration_of_a_method_of_one_s_own_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("preset: rlpd\nupdates_per_step: 2\n")
    words = [f"method={tmp_path / 'mine.yaml'}", "method.batch_size=8"]
    config = load_config(CONF, "rl", RunConfig, words)
    rlpd = config_class("rlpd")
    assert config.method == rlpd(updates_per_step=2.0, batch_size=8)
    (tmp_path / "mine.yaml").write_text("updates_per_step: 2\n")
    with pytest.raises(ConfigError, match="expected preset: bc"):
        load_config(CONF, "rl", RunConfig, words)


def test_a_method_is_imported_when_it_is_chosen() -> None:
    code = (
        "import sys\n"
        "from conure_core.config.loader import load_config\n"
        "from conure_training.rl.config import RunConfig\n"
        "assert not [name for name in sys.modules if 'rl.methods' in name]\n"
        "load_config('conure_training.conf', 'rl', RunConfig, ['method=latent'])\n"
        "print(sorted(name for name in sys.modules if 'rl.methods.' in name))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "['conure_training.rl.methods.latent']", run.stderr


def test_inverted_demonstrations_decode_to_what_was_demonstrated(demos, prior, tmp_path) -> None:
    config = rl_config(demos, prior, tmp_path)
    with closing(make_environment(config.task, config, config.target)) as env:
        features = Features(config, env)
    for episode in features.task_demonstrations():
        told = invert_actions(episode, features.prior.flow)
        action = features.prior.flow.decode(told.action, episode.observations["features"][:-1])
        torch.testing.assert_close(action, episode.action, atol=1e-4, rtol=0)
        assert told.reward is episode.reward


def test_a_skilled_agent_forgets_between_episodes(demos, prior, tmp_path) -> None:
    config = config_of("trajectory", demos, prior, tmp_path, "method.skills.horizon=8")
    with closing(make_environment(config.task, config, config.target)) as env:
        method = build_method(config, env)
        method.save(tmp_path / "policy.pt", {})
        agent = load_policy(tmp_path / "policy.pt")
        assert run_episode(env, agent, 3, 1.0) == run_episode(env, agent, 3, 1.0)
