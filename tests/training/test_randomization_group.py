"""The Hydra group `randomization`: the same options, factors and messages in every verb that has an
environment.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_sim.benchmarks.command import BenchConfig
from conure_sim.randomization.factors import Randomization, find_randomization, preset_names
from conure_sim.tools.view import ViewConfig
from conure_training.data.collect import DemosConfig
from conure_training.demo.demo import DemoConfig, pipeline_steps
from conure_training.evaluation.evaluate import EvaluateConfig
from conure_training.prior.train import PriorConfig
from conure_training.rl.train import RunConfig

TRAINING = "conure_training.conf"
VERBS = {
    "demos": (TRAINING, DemosConfig),
    "prior": (TRAINING, PriorConfig),
    "rl": (TRAINING, RunConfig),
    "evaluate": (TRAINING, EvaluateConfig),
    "view": (TRAINING, ViewConfig),
    "bench_sim": ("conure_sim.conf", BenchConfig),
}
every_verb = pytest.mark.parametrize("verb", VERBS)


def chosen(verb: str, *words: str) -> dict[str, Any]:
    module, schema = VERBS[verb]
    return load_config(module, verb, schema, list(words)).randomization


@every_verb
def test_a_preset_is_what_python_has_under_its_name(verb: str) -> None:
    for name in preset_names():
        config = chosen(verb, f"randomization={name}")
        assert config["name"] == name
        assert find_randomization(config) == find_randomization(name)


@every_verb
def test_any_single_factor_can_be_given_and_the_others_stay(verb: str) -> None:
    for preset in ("none", "full"):
        full = find_randomization(preset)
        values = {
            f.name: [0.5, 0.75] if isinstance(f.default, tuple) else 0.5
            for f in fields(Randomization)
        }
        words = [f"randomization.{name}={value}" for name, value in values.items()]
        assert find_randomization(
            chosen(verb, f"randomization={preset}", *words)
        ) == find_randomization(values)
        one = find_randomization(
            chosen(verb, f"randomization={preset}", "randomization.mass_scale=[0.5,2]")
        )
        assert one == find_randomization({**vars(full), "mass_scale": (0.5, 2)})


@every_verb
def test_a_preset_of_one_s_own_is_a_file_on_which_factors_can_be_changed(
    verb: str, tmp_path: Path
) -> None:
    (tmp_path / "full.yaml").write_text("preset: light\nmass_scale: [0.5, 1.5]\nblur_px: 0.3\n")
    (tmp_path / "mine.yaml").write_text(f"preset: {tmp_path / 'full.yaml'}\ntint: 0.2\n")
    for name in ("full", "mine"):
        path = f"{tmp_path / name}.yaml"
        config = chosen(verb, f"randomization={path}", "randomization.exposure=1.5")
        assert config["name"] == name
        expected = {"preset": path, "exposure": 1.5}
        assert (
            find_randomization(config) == find_randomization(expected) != find_randomization(path)
        )
    assert find_randomization(chosen(verb, "randomization=full")) == find_randomization("full")


@every_verb
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("randomization=ful", "did you mean 'full'.*Valid: full, light, none"),
        ("randomization=nowhere.yaml", "Valid: full, light, none"),
        ("randomization.mas_scale=[1,2]", "did you mean 'mass_scale'.*Valid: .*, tint"),
        ("+randomization.mas_scale=[1,2]", "did you mean 'mass_scale'.*Valid: .*, tint"),
        ("randomization.mass_scale=[2,1]", "mass_scale: expected a range"),
        ("randomization.mass_scale=heavy", "mass_scale: expected a range"),
    ],
)
def test_what_is_no_preset_or_factor_is_refused_by_name(
    verb: str, word: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        chosen(verb, word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("preset: lite", "did you mean 'light'"),
        ("mas_scale: [1, 2]", "did you mean 'mass_scale'"),
        ("- 1", "expected keys with values"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_that_is_no_preset_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        chosen("demos", f"randomization={path}")


@every_verb
def test_help_shows_presets_and_factors(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chosen(verb, "randomization=full", "--help")
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "randomization=full|light|none" in text
    assert "  mass_scale: [0.5, 2.0]\n" in text
    assert all(f"  {factor.name}: " in text for factor in fields(Randomization))


def demo(*words: str) -> DemoConfig:
    return load_config(TRAINING, "demo", DemoConfig, list(words))


def test_every_part_of_the_demo_has_the_group(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("tint: 0.2")
    config = demo(
        "demos.randomization=full", f"rl.randomization={path}", "prior.randomization.tint=0.3"
    )
    assert find_randomization(config.demos.randomization) == find_randomization("full")
    assert find_randomization(config.rl.randomization) == find_randomization(str(path))
    assert find_randomization(config.prior.randomization) == find_randomization(
        {"preset": "light", "tint": 0.3}
    )
    assert config.policy_rollouts.randomization["name"] == "none"
    with pytest.raises(ConfigError, match="did you mean 'full'"):
        demo("policy_rollouts.randomization=ful")


def test_a_changed_factor_makes_the_demo_redo_the_stage_that_has_it() -> None:
    before, after = ({stage.name: stage.settings for stage in pipeline_steps(config)} for config in (
        demo(), demo("rl.randomization.tint=0.3"),
    ))  # fmt: skip
    assert [name for name in before if before[name] != after[name]] == ["rl"]
