"""`conure prior-report`: judge a prior before any reinforcement learning: table, JSON, plot."""

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from conure_core.config.loader import load_config
from conure_core.config.values import BATCH, SEED, bounds, check_values
from conure_core.errors import ConfigError, SpecMismatch
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.images import take_images
from conure_training.data.joining import data_folders, load_data_sets
from conure_training.data.selection import choose_episodes, episodes_of, fingerprint, held_out_steps
from conure_training.evaluation import prior_metrics as metrics
from conure_training.evaluation.calibration_plot import draw_calibration
from conure_training.evaluation.evaluate import EvaluateConfig, evaluate
from conure_training.evaluation.prior_metrics import Calibration, Estimate
from conure_training.nn.float64 import in_float64
from conure_training.prior.chunking import chunk_targets
from conure_training.prior.feature_cache import batch_encoder
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior, load_prior, prior_note

UNIT_RADII = (0.0, 1.0, 2.0)


@dataclass(frozen=True)
class PriorReportConfig:
    """The settings of `conure prior-report`."""

    prior: str
    """File of the prior."""

    demos: Any
    """Folder of demonstrations, or a list of folders, whose held-out part is used."""

    out: str
    """Folder for prior_report.json and calibration.png."""

    quantile: float = field(metadata=bounds(0.0, 1.0))
    """Chi-square quantile of |z|^2 that coverage is measured at, in (0, 1)."""

    observations: int = field(metadata=BATCH)
    """Held-out observations for coverage, condition and round trips, at most."""

    actions: int = field(metadata=BATCH)
    """Uniform actions drawn for each observation, for coverage."""

    latents: int = field(metadata=BATCH)
    """Directions of z for each observation and radius, for condition numbers."""

    bins: int = field(metadata=BATCH)
    """Bins of the calibration's histogram."""

    seed: int = field(metadata=SEED)
    """Decides every draw but the rollouts'."""

    rollouts: EvaluateConfig = field(default_factory=partial(OmegaConf.structured, EvaluateConfig))

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        data_folders(self.demos)
        if not 0.0 < self.quantile < 1.0:
            raise ConfigError(f"quantile must lie in (0, 1), got {self.quantile}")


@dataclass(frozen=True)
class HeldOut:
    """n demonstrated steps that the prior was not trained on."""

    features: Tensor
    """Shape (n, F), float64."""

    action: Tensor
    """Chunks of actions, shape (n, D), float64."""

    z: Tensor
    """Their latents, shape (n, D)."""

    log_likelihood: Tensor
    """log p(action | features), shape (n,), nats."""

    episode: NDArray[np.int64]
    """Index of each step's episode, shape (n,)."""

    kind: str
    """Why they are held out, for the report."""


@dataclass(frozen=True)
class PriorReport:
    """The metrics of a prior."""

    held_out: str
    """Why the steps are held out."""

    steps: int
    """Held-out steps."""

    dim: int
    """Values of z, D."""

    success: dict[str, float]
    """Success rate of rollouts, see `estimate_rate`."""

    log_likelihood: Estimate
    """Mean over held-out actions, nats."""

    log_likelihood_per_dim: Estimate
    """The same divided by D, nats."""

    bound: float
    """Chi-square quantile of |z|^2."""

    demonstrations_inside: Estimate
    """Share of held-out steps with |z|^2 <= `bound`."""

    coverage: Estimate
    """Share of [-1, 1]^D with |z|^2 <= `bound`."""

    round_trip: dict[str, float]
    """Largest errors of f(f^-1(a)), over demonstrated and uniform actions, and of f^-1(f(z)),
    relative; in float64, as executed, and in float32.
    """

    condition: dict[str, dict[str, float]]
    """Median, 95 % quantile and largest condition number of df/dz, by |z|."""

    calibration: Calibration
    """Calibration of the held-out log-likelihood."""


def run(overrides: list[str]) -> None:
    """Judge a prior before any reinforcement learning: a table, JSON and a picture."""
    config = load_config("conure_training.conf", "prior_report", PriorReportConfig, overrides)
    Console().print(report_table(make_prior_report(config)))
    print(f"written: {config.out}/prior_report.json and calibration.png")


def make_prior_report(config: PriorReportConfig) -> PriorReport:
    """Compute the report; write `prior_report.json` and `calibration.png` under `config.out`.

    Raises: DataError, SpecMismatch if prior, demonstrations and environment do not fit together.
    """
    with claimed(config.out, "conure prior-report"):
        return _make_prior_report(config)


def _make_prior_report(config: PriorReportConfig) -> PriorReport:
    prior = load_prior(Path(config.prior), chunks=True)
    held = encode_held_out(config, prior)
    rollouts = evaluate(config.rollouts, "the prior's rollouts")
    report = _assess(config, prior, held, rollouts["success"])
    write_json(Path(config.out) / "prior_report.json", {"config": asdict(config), **asdict(report)})
    draw_calibration(report.calibration, report.steps, Path(config.out) / "calibration.png")
    return report


@torch.no_grad()
def encode_held_out(config: PriorReportConfig, prior: Prior) -> HeldOut:
    """Invert the demonstrated actions that the prior was not trained on.

    Args:
        config: Names the demonstrations. Of the prior's own training data the held-out episodes
            count, of any other data set every episode.
        prior: The prior.

    Returns:
        Their features, latents and log-likelihoods.

    Raises:
        SpecMismatch: The demonstrations are of another image size or arm.
        DataError: They cannot be read.
    """
    data, kind = _select_held_out(config)
    for name in ("image", "proprio"):
        shape = getattr(prior.contract.observation, name).shape
        found = getattr(data, name).shape[1:]
        if found != shape:
            raise SpecMismatch(
                f"{config.demos}: {name} has the shape {found}, the prior {config.prior} takes"
                f" {shape}"
            )
    targets, whole = chunk_targets(data.action, data.ends, prior.size.chunk)
    features = batch_encoder(prior.encoder)(
        take_images(data.image, whole), data.proprio[whole]
    ).double()
    action = torch.from_numpy(targets[whole]).double()
    z, log_likelihood = in_float64(prior.flow).encode_with_log_prob(action, features)
    episode = np.repeat(np.arange(len(data.ends)), data.ends - data.starts)
    return HeldOut(features, action, z, log_likelihood, episode[whole], kind)


def _select_held_out(config: PriorReportConfig) -> tuple[Demonstrations, str]:
    data = load_data_sets(config.demos)
    note = prior_note(Path(config.prior))
    if note.get("demonstrations") not in (None, fingerprint(data)):
        return data, "all of another data set"
    trained = note.get("config", {})
    wanted = {name: trained[name] for name in ("tasks", "trajectories", "seed") if name in trained}
    part = choose_episodes(data, **wanted)
    outside = held_out_steps(part)[part.starts]
    return episodes_of(part, np.flatnonzero(outside)), "episodes held out of its training"


@torch.no_grad()
def _assess(
    config: PriorReportConfig, prior: Prior, held: HeldOut, success: dict[str, float]
) -> PriorReport:
    """Compute every metric from held-out steps; `success` is the rollouts'."""
    flow = in_float64(prior.flow)
    dim = prior.latent_dim
    radius = chi_square_radius(config.quantile, dim)

    count = min(config.observations, len(held.action))
    some = np.unique(np.linspace(0, len(held.action) - 1, count).astype(int))
    context = held.features[some]
    covered = metrics.coverage(flow, context, radius, config.actions, config.seed)

    radii = {f"{unit:g}": unit for unit in UNIT_RADII}
    radii[f"{radius:.2f} (bound)"] = radius
    grid = metrics.latent_grid(dim, list(radii.values()), config.latents, config.seed)
    latents = grid.flatten(0, 1)
    condition = metrics.condition_numbers(flow, context, latents)

    log_likelihood = held.log_likelihood.numpy()
    inside = (held.z.norm(dim=1) <= radius).double().numpy()

    def mean(values: NDArray[np.float64]) -> Estimate:
        return metrics.mean_over_episodes(values, held.episode, config.seed)

    return PriorReport(
        held_out=held.kind,
        steps=len(held.action),
        dim=dim,
        success=success,
        log_likelihood=mean(log_likelihood),
        log_likelihood_per_dim=mean(log_likelihood / dim),
        bound=radius**2,
        demonstrations_inside=mean(inside),
        coverage=metrics.mean_over_episodes(covered, held.episode[some], config.seed),
        round_trip=_round_trips(prior, held, some, latents, config.seed),
        condition=_conditions(condition, list(radii)),
        calibration=metrics.calibration(held.z, config.bins),
    )


def _round_trips(
    prior: Prior, held: HeldOut, some: NDArray[np.int64], latents: Tensor, seed: int
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    context = held.features[some]
    size = (len(context), prior.latent_dim)
    uniform = 2 * torch.rand(size, generator=generator, dtype=torch.float64) - 1
    actions = torch.cat([held.action[some], uniform])
    contexts = torch.cat([context, context])

    errors = {}
    precise = in_float64(prior.flow)
    for flow, dtype in ((precise, torch.float64), (prior.flow, torch.float32)):
        name = str(dtype).removeprefix("torch.")
        action_error = metrics.action_round_trip(flow, actions.to(dtype), contexts.to(dtype))
        errors[f"action_{name}"] = action_error
        errors[f"latent_{name}"] = metrics.latent_round_trip(flow, context.to(dtype), latents)
    return errors


def _conditions(numbers: NDArray[np.float64], radii: list[str]) -> dict[str, dict[str, float]]:
    by_radius = numbers.reshape(len(numbers), len(radii), -1).transpose(1, 0, 2)
    groups = {}
    for radius, group in zip(radii, by_radius, strict=True):
        groups[f"|z| = {radius}"] = group
    groups["all"] = numbers
    return {
        name: {
            "median": float(np.median(group)),
            "p95": float(np.quantile(group, 0.95)),
            "largest": float(group.max()),
        }
        for name, group in groups.items()
    }


def report_table(report: PriorReport) -> Table:
    """Lay the report out as a table for the terminal."""
    title = f"{report.steps} steps: {report.held_out}"
    table = Table("prior report", "", "95 % interval", title=title)
    success = report.success
    table.add_row(
        f"rollout success, n = {int(success['trials'])}",
        f"{success['rate']:.1%}",
        f"{success['low']:.1%} to {success['high']:.1%}",
    )
    bound = f"|z|² <= {report.bound:.2f}"
    rows = {
        "log-likelihood, nats": (report.log_likelihood, "{:.3f}"),
        "log-likelihood, nats per dimension": (report.log_likelihood_per_dim, "{:.3f}"),
        f"demonstrations with {bound}": (report.demonstrations_inside, "{:.1%}"),
        f"actions of [-1, 1]^{report.dim} with {bound}": (report.coverage, "{:.3%}"),
    }
    for name, (estimate, form) in rows.items():
        interval = "one episode"
        if estimate.low is not None:
            interval = f"{form.format(estimate.low)} to {form.format(estimate.high)}"
        table.add_row(name, form.format(estimate.value), interval)
    for name, error in report.round_trip.items():
        table.add_row(f"round trip, {name.replace('_', ', ')}", f"{error:.1e}", "")
    for name, numbers in report.condition.items():
        words = f"p95 {numbers['p95']:.3g}, largest {numbers['largest']:.3g}"
        table.add_row(f"condition of df/dz, {name}", f"{numbers['median']:.3g}", words)
    table.add_row("calibration, expected error", f"{report.calibration.expected_error:.3f}", "")
    table.add_row("calibration, KS distance", f"{report.calibration.ks_distance:.3f}", "")
    return table
