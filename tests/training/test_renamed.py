"""Old names of keys in the verbs: the same run as under the new ones, and a hint on stderr."""

import pytest

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_training.demo.demo import DemoConfig
from conure_training.rl.config import RunConfig

from .toy_runs import CONF


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("latent.updates_per_step=2 critic=features", "method.updates_per_step=2 method.critic=features"),
        ("escape=true escape_margin=0.2 escape_cloning.steps=7 latent.batch_size=9", "method=latent_escape method.margin=0.2 method.cloning.steps=7 method.batch_size=9"),
        ("method=latent demonstrations_in=z latent.batch_size=9", "method=latent_inverted method.batch_size=9"),
        ("finetune_encoder=true", "method=latent_finetuned"),
        ("escape=false demonstrations_in=action finetune_encoder=false scratch.batch_size=9", ""),
        ("method=scratch scratch.batch_size=9 latent.batch_size=8", "method=scratch method.batch_size=9"),
        ("method=bc features.hidden_width=9 features.batch_size=8 cloning.steps=7", "method=bc method.hidden_width=9 method.cloning.steps=7"),
        ("method=vae features.batch_size=9 vae.code_dim=8", "method=vae method.batch_size=9 method.vae.code_dim=8"),
        ("method=prior_explore prior_explore_epsilon=0.2", "method=prior_explore method.epsilon=0.2"),
        ("method=rlpd rlpd.batch_size=9 features.batch_size=8", "method=rlpd method.batch_size=9"),
        ("method=hierarchical hierarchical.horizon=9 trajectory.horizon=8 latent.cost=entropy", "method=hierarchical method.skills.horizon=9 method.cost=entropy"),
        ("method=steered steered.steps=9", "method=steered method.flow_matching.steps=9"),
    ],
)  # fmt: skip
def test_an_old_command_runs_what_the_new_one_does_and_hears_of_it(old, new, capsys) -> None:
    config = load_config(CONF, "rl", RunConfig, old.split())
    hints = capsys.readouterr().err
    assert config == load_config(CONF, "rl", RunConfig, new.split())
    assert capsys.readouterr().err == ""
    renamed = [word for word in old.split() if not word.startswith("method=")]
    assert [word for word in renamed if word not in hints] == []
    assert hints.count("conure rl: ") == len(renamed)


def test_the_demo_takes_old_names_too(capsys) -> None:
    words = ["++rl.latent.batch_size=9", "rl.scratch.batch_size=8", "rl.escape=true"]
    config = load_config(CONF, "demo", DemoConfig, words)
    assert "write scratch.batch_size=8 instead of rl.scratch" in capsys.readouterr().err
    new = ["rl.method=latent_escape", "rl.method.batch_size=9", "scratch.batch_size=8"]
    assert config == load_config(CONF, "demo", DemoConfig, new)
    assert (config.rl.method.name, config.from_scratch.method.name) == ("latent_escape", "scratch")
    assert capsys.readouterr().err == ""


def test_two_old_flags_still_exclude_one_another() -> None:
    with pytest.raises(ConfigError, match=r"demonstrations_in=z goes with method=latent, not with"):
        load_config(CONF, "rl", RunConfig, ["escape=true", "demonstrations_in=z"])
