"""The report's metrics are those of flows whose metrics are known, and the verb writes what it
says.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError, SpecMismatch
from conure_training.data.demonstrations import IMAGES, load_demonstrations
from conure_training.data.selection import held_out_steps
from conure_training.data.writer import save_demonstrations
from conure_training.evaluation import prior_metrics as measures
from conure_training.evaluation.prior_report import (
    PriorReportConfig,
    encode_held_out,
    make_prior_report,
    run,
)
from conure_training.prior.flow import ACTION_RANGE, ConditionalRealNVP
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import load_prior
from conure_training.prior.train import PriorConfig, train_prior

CONF = "conure_training.conf"


def identity_flow(dim: int) -> ConditionalRealNVP:
    """Untrained: a = 1.05 tanh(z)."""
    return ConditionalRealNVP(dim, 3, hidden_dims=(8,)).double().requires_grad_(False)


# --- measures
# --------------------------------------------------------------------------------------------------


def test_coverage_is_the_volume_of_the_box_that_the_ball_of_latents_reaches():
    radius = chi_square_radius(0.3, 2)
    axis = np.linspace(-1, 1, 801)
    z = np.arctanh(np.stack(np.meshgrid(axis, axis)) / ACTION_RANGE)
    expected = ((z**2).sum(0) <= radius**2).mean()
    shares = measures.coverage(identity_flow(2), torch.randn(4, 3).double(), radius, 20_000)
    assert shares.shape == (4,)
    np.testing.assert_allclose(shares, expected, atol=0.02)
    assert len(set(shares)) > 1, "every observation draws its own actions"


def test_the_bound_holds_its_share_of_the_prior():
    z = np.random.default_rng(0).standard_normal((200_000, 7))
    assert ((z**2).sum(1) <= chi_square_radius(0.95, 7) ** 2).mean() == pytest.approx(
        0.95, abs=0.003
    )


def test_condition_numbers_are_those_of_a_jacobian_that_is_known():
    latents = torch.tensor(
        [[0.0, 0.0, 0.0], [1.0, 0.0, -0.5], [2.0, 1.0, 0.1]], dtype=torch.float64
    )
    slopes = 1.0 / torch.cosh(latents) ** 2
    expected = (slopes.amax(1) / slopes.amin(1)).numpy()
    found = measures.condition_numbers(identity_flow(3), torch.randn(5, 3).double(), latents)
    np.testing.assert_allclose(found, np.broadcast_to(expected, (5, 3)), rtol=1e-9)


def test_the_grid_lies_on_its_spheres():
    grid = measures.latent_grid(7, [0.0, 1.0, 3.7], 5)
    assert grid.shape == (3, 5, 7)
    torch.testing.assert_close(
        grid.norm(dim=2), torch.tensor([[0.0], [1.0], [3.7]]).double().expand(3, 5)
    )


def test_round_trips_see_an_inverse_that_is_not_one():
    flow = identity_flow(3)
    action, context = 2 * torch.rand(50, 3).double() - 1, torch.randn(50, 3).double()
    latents = measures.latent_grid(3, [1.0], 4)[0]
    assert measures.action_round_trip(flow, action, context) < 1e-12
    assert measures.latent_round_trip(flow, context, latents) < 1e-12

    class Wrong(ConditionalRealNVP):
        def encode(self, action, context):
            return super().encode(action, context) + 0.01

    wrong = Wrong(3, 3, hidden_dims=(8,)).double().requires_grad_(False)
    assert measures.action_round_trip(wrong, action, context) > 1e-3
    assert measures.latent_round_trip(wrong, context, latents) == pytest.approx(0.005)


@pytest.mark.parametrize(("scale", "distance"), [(1.0, 0.0), (2.0, None), (0.5, None)])
def test_calibration_measures_how_wide_the_latents_really_are(scale, distance):
    dim = 4
    found = measures.calibration(
        scale * torch.randn(40_000, dim, generator=torch.Generator().manual_seed(0)), 20
    )
    assert sum(found.histogram) == pytest.approx(1.0)
    assert found.reliability[-1] == pytest.approx(1.0)
    x = np.linspace(0.0, 60.0, 4001)
    wanted = (
        np.abs(stats.chi2.cdf(x, dim) - stats.chi2.cdf(x / scale**2, dim)).max()
        if distance is None
        else distance
    )
    assert found.ks_distance == pytest.approx(wanted, abs=0.01)
    levels = np.linspace(0, 1, 21)[1:-1]
    error = np.abs(stats.chi2.cdf(stats.chi2.ppf(levels, dim) / scale**2, dim) - levels).mean()
    assert found.expected_error == pytest.approx(error, abs=0.01)


def test_the_interval_counts_episodes_and_not_steps():
    rng = np.random.default_rng(0)
    level = rng.normal(size=60)
    episode = np.repeat(np.arange(60), 40)
    found = measures.mean_over_episodes(level[episode], episode)
    assert found.value == pytest.approx(level.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * level.std() / 60**0.5, rel=0.15)
    assert measures.mean_over_episodes(np.ones(5), np.zeros(5, dtype=int)) == measures.Estimate(
        1.0, None, None
    )


# --- the verb
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demos: Path) -> Path:
    """Demonstrations, others, and priors of the first: over single actions and over chunks."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "demos").symlink_to(demos)
    data = load_demonstrations(demos)
    save_demonstrations(folder / "others", replace(data, action=-data.action), {})
    images = {name: np.asarray(getattr(data, name))[:, ::2, ::2] for name in IMAGES}
    small = replace(data, **images)
    save_demonstrations(folder / "small", small, {})
    tiny = ["static_scenes=0", "encoder_steps=2", "joint_steps=1", "flow_steps=3", "batch_size=8"]
    for name, chunk in (("single", 1), ("chunked", 3)):
        words = [f"demos={folder / 'demos'}", f"out={folder / name}", f"size.chunk={chunk}", *tiny]
        train_prior(load_config(CONF, "prior", PriorConfig, words))
    return folder


def words_of(folder: Path, prior: str, demos: str = "demos") -> list[str]:
    paths = [
        f"prior={folder / prior / 'prior.pt'}",
        f"demos={folder / demos}",
        f"out={folder / 'reports' / prior}",
    ]
    return [
        *paths,
        "observations=6",
        "actions=40",
        "latents=2",
        "rollouts.episodes=1",
        "rollouts.workers=1",
    ]


def config_of(*arguments) -> PriorReportConfig:
    return load_config(CONF, "prior_report", PriorReportConfig, words_of(*arguments))


@pytest.mark.parametrize(("prior", "dim"), [("single", 7), ("chunked", 21)])
def test_the_report_on_a_prior_is_written_and_printed(folder, prior, dim, capsys):
    run(words_of(folder, prior))
    printed = capsys.readouterr().out
    assert "nats per dimension" in printed and "rollout success, n = 1" in printed
    out = folder / "reports" / prior
    report = json.loads((out / "prior_report.json").read_text())
    assert (out / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert report["dim"] == dim
    assert report["log_likelihood_per_dim"]["value"] == pytest.approx(
        report["log_likelihood"]["value"] / dim
    )
    assert report["round_trip"]["action_float64"] < 1e-9
    assert report["condition"]["all"]["median"] >= 1.0
    assert 0.0 <= report["coverage"]["value"] <= 1.0
    metrics = json.loads((folder / prior / "metrics.json").read_text())
    assert report["log_likelihood"]["value"] == pytest.approx(
        metrics["held_out_log_likelihood"], abs=1e-3
    )


def test_of_the_prior_s_own_data_only_what_was_held_out_counts_and_of_other_data_all(folder):
    prior = load_prior(folder / "single" / "prior.pt")
    own, other = (
        encode_held_out(config_of(folder, "single"), prior),
        encode_held_out(config_of(folder, "single", "others"), prior),
    )
    data, others = load_demonstrations(folder / "demos"), load_demonstrations(folder / "others")
    outside = held_out_steps(data)
    np.testing.assert_allclose(own.action.numpy(), data.action[outside], atol=1e-7)
    assert own.kind == "episodes held out of its training"
    assert len(other.action) == len(others) and other.kind == "all of another data set"


def test_data_and_prior_that_do_not_fit_are_refused(folder):
    with pytest.raises(
        SpecMismatch, match=r"image has the shape \(24, 24, 3\), the prior .* takes \(48, 48, 3\)"
    ):
        make_prior_report(config_of(folder, "single", "small"))
    with pytest.raises(DataError, match="no prior at"):
        make_prior_report(config_of(folder, "nowhere"))


@pytest.mark.parametrize("word", ["quantile=1.0", "bins=0", "actions=0"])
def test_impossible_settings_are_refused(word):
    with pytest.raises(ConfigError):
        load_config(CONF, "prior_report", PriorReportConfig, [word])
