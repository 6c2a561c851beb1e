"""A person's takeovers say what is missing, and become training data of prior and policy."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError, SpecMismatch
from conure_training.curation.takeovers import (
    CHOSE_BADLY,
    LACKS_SKILL,
    TakeoversConfig,
    invert_episode,
    report,
)
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.environments import make_environment
from conure_training.data.episode_info import EpisodeInfo
from conure_training.data.selection import episodes_of, taught_steps
from conure_training.data.writer import save_demonstrations
from conure_training.prior.model import load_prior, prior_note
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.rl.interventions import WEIGHTINGS, BlendedSource, WeightedReplay
from conure_training.rl.replay import Episode, Field, Replay, ReplayConfig
from conure_training.rl.train import build_method, train_rl

from .toy_runs import CONF, TINY_PRIOR, rl_config

PERSON = (2, 6)
"""The steps in which a person acts, of every episode."""


@pytest.fixture
def taken(demos, prior, tmp_path):
    """A recorded data set without privileged state: in its first two episodes of Lift a person
    takes over, who acts as the prior might, then as it never would; the third is a person's own.
    """
    data = load_demonstrations(demos)
    lift = np.flatnonzero(data.task == data.tasks.index("Lift"))[:3]
    data = episodes_of(data, lift)
    model = load_prior(prior)
    action = data.action.copy()
    for episode, far in ((0, 0.5), (1, 9.0)):
        steps = data.steps_of(episode)
        steps = slice(steps.start + PERSON[0], steps.start + PERSON[1])
        features = model.encoder(
            torch.from_numpy(data.image[steps]), torch.from_numpy(data.proprio[steps])
        )
        z = torch.full((PERSON[1] - PERSON[0], 7), far / 7**0.5)
        action[steps] = model.flow.decode(z, features).clamp(-1, 1).numpy()
    infos = [
        EpisodeInfo(outcome, source, operator, state_size=0)
        for outcome, source, operator in (
            ("success", "takeover", (PERSON,)),
            ("failure", "takeover", (PERSON,)),
            ("success", "teleoperation", ((0, 4),)),
        )
    ]
    without = {
        "state": data.state[:, :0],
        "final_state": data.final_state[:, :0],
        "positions": data.positions[:, :0],
    }
    recorded = replace(data, action=action, infos=tuple(infos), **without)
    path = tmp_path / "taken"
    save_demonstrations(path, recorded, {})
    return path


def takeovers_config(data, prior, out):
    words = [f"data={data}", f"prior={prior}", f"out={out}"]
    return load_config(CONF, "data_takeovers", TakeoversConfig, words)


def test_a_takeover_that_the_prior_might_have_made_is_told_from_one_beyond_it(
    taken, prior, tmp_path, capsys
):
    found = report(takeovers_config(taken, prior, tmp_path / "takeovers.json"))
    assert [one.why for one in found] == [CHOSE_BADLY, LACKS_SKILL]
    assert [(one.episode, one.first, one.end) for one in found] == [(0, *PERSON), (1, *PERSON)]
    assert found[0].latent_norm == pytest.approx(0.5, abs=0.1)
    assert found[0].log_likelihood > found[1].log_likelihood
    written = json.loads((tmp_path / "takeovers.json").read_text())
    assert written["counts"] == {CHOSE_BADLY: 1, LACKS_SKILL: 1}
    assert written["radius"] == pytest.approx(4.3, abs=0.05), "chi-square, 7 dimensions, 99 %"
    shown = capsys.readouterr().out
    assert f"1 of 2: {CHOSE_BADLY}" in shown and f"1 of 2: {LACKS_SKILL}" in shown


def test_z_of_an_episode_decodes_to_its_actions(taken, prior):
    data, model = load_demonstrations(taken), load_prior(prior)
    inverted = invert_episode(model, data, 1)
    steps = data.steps_of(1)
    features = model.encoder(
        torch.from_numpy(data.image[steps]), torch.from_numpy(data.proprio[steps])
    )
    decoded = model.flow.decode(torch.from_numpy(inverted.z), features)
    np.testing.assert_allclose(decoded.numpy(), data.action[steps], atol=1e-3)


def test_a_data_set_without_takeovers_says_so(demos, prior, tmp_path):
    with pytest.raises(DataError, match="holds no takeover: nobody acted in place of a policy"):
        report(takeovers_config(demos, prior, tmp_path / "takeovers.json"))
    assert not (tmp_path / "takeovers.json").exists()


def test_a_prior_imitates_the_person_and_not_the_policy_that_was_taken_over(taken):
    data = load_demonstrations(taken)
    taught = taught_steps(data)
    for episode in (0, 1):
        mine = taught[data.steps_of(episode)]
        assert np.flatnonzero(mine).tolist() == list(range(*PERSON))
    assert taught[data.steps_of(2)].all()


def test_a_prior_is_refined_and_keeps_its_encoder(demos, prior, taken, tmp_path):
    words = [f"demos=[{demos},{taken}]", f"out={tmp_path / 'refined'}", f"finetune={prior}"]
    config = load_config(CONF, "prior", PriorConfig, [*words, *TINY_PRIOR])
    path = train_prior(config)
    before, after = (torch.load(file, weights_only=True)["weights"] for file in (prior, path))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed and all(name.startswith("flow.") for name in changed), changed
    assert not list((tmp_path / "refined").glob("static_scenes*"))
    assert prior_note(path)["config"]["finetune"] == str(prior)
    moved = (after["flow." + changed[0].removeprefix("flow.")] - before[changed[0]]).abs().max()
    assert moved < 0.1, "it goes on from where it was"


def test_a_prior_of_another_image_size_is_not_refined(demos, tmp_path, prior):
    data = load_demonstrations(demos)
    smaller = replace(
        data, image=data.image[:][:, ::2, ::2], final_image=data.final_image[:][:, ::2, ::2]
    )
    save_demonstrations(tmp_path / "small", smaller, {})
    words = [f"demos={tmp_path / 'small'}", f"out={tmp_path / 'x'}", f"finetune={prior}"]
    with pytest.raises(SpecMismatch, match="image"):
        train_prior(load_config(CONF, "prior", PriorConfig, [*words, *TINY_PRIOR]))


@pytest.mark.parametrize("method", ["latent", "latent_inverted"])
def test_takeovers_are_in_the_batches_with_their_actions_or_their_z(
    demos, prior, taken, tmp_path, method
):
    words = [f"interventions={taken}", "intervention_share=1.0", "intervention_weighting=hg_dagger"]
    words += ["method.critic=features", "relabel=false"]
    config = rl_config(demos, prior, tmp_path / "rl", *words, method=method)
    with closing(make_environment(config.task, config, config.target)) as env:
        built = build_method(config, env)
    batch = built.replay.sample(40, torch.Generator().manual_seed(0))
    data = load_demonstrations(taken)
    model = load_prior(prior)
    rows = [
        invert_episode(model, data, episode).z
        if method == "latent_inverted"
        else data.action[data.steps_of(episode)]
        for episode in (0, 1)
    ]
    wanted = np.concatenate([row[slice(*PERSON)] for row in rows])
    apart = np.abs(batch.action.numpy()[:, None] - wanted).max(axis=2).min(axis=1)
    assert apart.max() < 1e-3, "each is one of a person's steps"
    counted = built.metrics["interventions"]
    assert (counted["episodes"], counted["person_steps"]) == (2, 8)
    assert (counted[CHOSE_BADLY], counted[LACKS_SKILL]) == (1, 1)


def test_a_run_with_takeovers_trains_and_notes_them(demos, prior, taken, tmp_path):
    words = [f"interventions={taken}", "method.critic=features", "relabel=false", "steps=30"]
    path = train_rl(rl_config(demos, prior, tmp_path / "rl", *words))
    curve = json.loads(path.with_name("curve.json").read_text())
    assert curve["figures"]["interventions"]["episodes"] == 2
    assert curve["config"]["interventions"] == str(taken)


def test_takeovers_and_how_they_weigh_make_another_run_and_nothing_else_does(
    demos, prior, taken, tmp_path
):
    def identity(*words):
        return rl_config(demos, prior, tmp_path, *words).identity()

    plain = identity()
    assert "intervention" not in plain, "what earlier versions began is resumed"
    assert identity("intervention_share=0.1") == plain
    with_them = identity(f"interventions={taken}")
    changed = ("intervention_share=0.1", "intervention_weighting=sirius")
    others = [identity(f"interventions={taken}", word) for word in changed]
    assert len({plain, with_them, *others}) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=rlpd"], "for methods in z of a prior.*method=rlpd does not take takeovers"),
        (["method=trajectory"], "method=trajectory does not take takeovers"),
        (["intervention_weighting=iwrr"], "did you mean 'iwr'"),
        (["intervention_share=1.5"], "intervention_share"),
    ],
)
def test_settings_of_takeovers_that_do_not_fit_are_refused(demos, prior, tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        rl_config(demos, prior, tmp_path, "interventions=x", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["relabel=false"], "method.critic=state needs .*privileged state"),
        (["method.critic=features", "task=PlaceInTray"], "no takeover of PlaceInTray"),
    ],
)
def test_takeovers_that_do_not_serve_are_refused(demos, prior, taken, tmp_path, words, message):
    config = rl_config(demos, prior, tmp_path, f"interventions={taken}", *words)
    with (
        closing(make_environment(config.task, config, config.target)) as env,
        pytest.raises(DataError, match=message),
    ):
        build_method(config, env)


PERSON_MASK = np.array([0, 0, 0, 0, 1, 1, 0, 0], bool)
BEFORE_MASK = np.array([0, 0, 1, 1, 0, 0, 0, 0], bool)


@pytest.mark.parametrize(
    ("name", "person", "before"),
    [
        ("hg_dagger", 1.0, 0.0),
        ("iwr", 0.5, 1 / 6),
        ("hil_serl", 0.625, 0.125),
        ("sirius", 0.5, 0.002),
    ],
)
def test_each_weighting_gives_its_share_to_people_and_to_what_led_to_them(name, person, before):
    weights = WEIGHTINGS[name](PERSON_MASK, BEFORE_MASK)
    weights = weights / weights.sum()
    assert weights[PERSON_MASK].sum() == pytest.approx(person)
    assert weights[BEFORE_MASK].sum() == pytest.approx(before)
    none = WEIGHTINGS[name](np.ones(3, bool), np.zeros(3, bool))
    assert none.sum() > 0, "an episode of a person alone"


def test_a_blend_draws_by_weight_and_share():
    config = ReplayConfig(capacity=20, n_step=1)

    def replay_of(value):
        replay = Replay({"x": Field((1,))}, 1, config)
        seen = {"x": torch.full((5, 1), value)}
        replay.add(Episode(seen, torch.arange(4.0)[:, None] + value, torch.zeros(4), True))
        return replay

    weights = torch.tensor([0.0, 0.0, 1.0, 0.0])
    blend = BlendedSource(replay_of(0.0), WeightedReplay(replay_of(100.0), weights), 0.25)
    batch = blend.sample(40, torch.Generator().manual_seed(0))
    assert (batch.action[30:] == 102.0).all() and (batch.action[:30] < 10.0).all()
    assert batch.online is None and len(blend.rows("x")) == 10
