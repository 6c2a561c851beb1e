"""`conure card`: the score card of a prior, before any reinforcement learning: a table, JSON, and a
picture.
"""

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

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
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.selection import choose_episodes, episodes_of, fingerprint, held_out_steps
from conure_training.evaluation import prior_metrics as measures
from conure_training.evaluation.calibration_plot import draw_calibration
from conure_training.evaluation.evaluate import EvaluateConfig, evaluate
from conure_training.evaluation.prior_metrics import Calibration, Estimate
from conure_training.nn.float64 import in_float64
from conure_training.prior.chunking import chunk_targets
from conure_training.prior.feature_cache import encoding_by
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior, load_prior, prior_note

UNIT_RADII = (0.0, 1.0, 2.0)


@dataclass(frozen=True)
class CardConfig:
    """What to judge by what; see conf/card.yaml for the meaning of the numbers."""

    prior: str
    demos: str
    out: str
    quantile: float = field(metadata=bounds(0.0, 1.0))
    observations: int = field(metadata=BATCH)
    actions: int = field(metadata=BATCH)
    latents: int = field(metadata=BATCH)
    bins: int = field(metadata=BATCH)
    seed: int = field(metadata=SEED)
    rollouts: EvaluateConfig = field(default_factory=partial(OmegaConf.structured, EvaluateConfig))

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        if not 0.0 < self.quantile < 1.0:
            raise ConfigError(f"quantile must lie in (0, 1), got {self.quantile}")


@dataclass(frozen=True)
class HeldOut:
    """Demonstrated steps that the prior was not trained on: features (n, F), action and z (n, D),
    log p (n,), nats.

    `episode` (n,): which one a step is of; `kind`: why they are held out.
    """

    features: Tensor
    action: Tensor
    z: Tensor
    log_likelihood: Tensor
    episode: NDArray[np.int64]
    kind: str


@dataclass(frozen=True)
class Card:
    """The figures. Log-likelihoods in nats; `coverage`: share of [-1, 1]^D with |z|^2 <= `bound`.

    `condition`: median, 95 % and largest condition number of df/dz by |z|; `round_trip`: largest
    errors of f(f^-1(a)), of demonstrated and uniform actions, and of f^-1(f(z)), relative, in
    float64 (as executed) and float32.
    """

    held_out: str
    steps: int
    dim: int
    success: dict[str, float]
    log_likelihood: Estimate
    log_likelihood_per_dim: Estimate
    bound: float
    demonstrations_inside: Estimate
    coverage: Estimate
    round_trip: dict[str, float]
    condition: dict[str, dict[str, float]]
    calibration: Calibration


def run(overrides: list[str]) -> None:
    """Judge a prior before any reinforcement learning: a table, JSON and a picture."""
    config = load_config("conure_training.conf", "card", CardConfig, overrides)
    Console().print(table_of(make_card(config)))
    print(f"written: {config.out}/card.json and calibration.png")


def make_card(config: CardConfig) -> Card:
    """Judge the prior; writes `card.json` and `calibration.png` under `config.out`.

    Raises: DataError, SpecMismatch if prior, demonstrations and environment do not fit together.
    """
    with claimed(config.out, "conure card"):
        return _make_card(config)


def _make_card(config: CardConfig) -> Card:
    prior = load_prior(Path(config.prior), chunks=True)
    held = held_out(config, prior)
    card = judged(config, prior, held, evaluate(config.rollouts, "the prior's rollouts")["success"])
    write_json(Path(config.out) / "card.json", {"config": asdict(config), **asdict(card)})
    draw_calibration(card.calibration, card.steps, Path(config.out) / "calibration.png")
    return card


@torch.no_grad()
def held_out(config: CardConfig, prior: Prior) -> HeldOut:
    """Of the data that the prior was trained on, the episodes it was not; of other data, every
    one.
    """
    data, kind = _not_trained_on(config)
    shapes = {
        name: getattr(prior.contract.observation, name).shape for name in ("image", "proprio")
    }
    for name, shape in shapes.items():
        if getattr(data, name).shape[1:] != shape:
            found = getattr(data, name).shape[1:]
            raise SpecMismatch(
                f"{config.demos}: {name} has the shape {found}, the prior {config.prior} takes"
                f" {shape}"
            )
    targets, whole = chunk_targets(data.action, data.ends, prior.size.chunk)
    features = encoding_by(prior.encoder)(data.image[whole], data.proprio[whole]).double()
    action = torch.from_numpy(targets[whole]).double()
    z, log_likelihood = in_float64(prior.flow).encode_with_log_prob(action, features)
    episode = np.repeat(np.arange(len(data.ends)), data.ends - data.starts)[whole]
    return HeldOut(features, action, z, log_likelihood, episode, kind)


def _not_trained_on(config: CardConfig) -> tuple[Demonstrations, str]:
    data, note = load_demonstrations(Path(config.demos)), prior_note(Path(config.prior))
    if note.get("demonstrations") not in (None, fingerprint(data)):
        return data, "all of another data set"
    trained = note.get("config", {})
    wanted = {name: trained[name] for name in ("tasks", "trajectories", "seed") if name in trained}
    part = choose_episodes(data, **wanted)
    outside = held_out_steps(part)[part.starts]
    return episodes_of(part, np.flatnonzero(outside)), "episodes held out of its training"


@torch.no_grad()
def judged(config: CardConfig, prior: Prior, held: HeldOut, success: dict[str, float]) -> Card:
    """The card, from held-out steps and the rollouts' success."""
    flow, dim = in_float64(prior.flow), prior.latent_dim
    some = np.unique(
        np.linspace(0, len(held.action) - 1, min(config.observations, len(held.action))).astype(int)
    )
    context, radius = held.features[some], chi_square_radius(config.quantile, dim)
    radii = {f"{unit:g}": unit for unit in UNIT_RADII} | {f"{radius:.2f} (bound)": radius}
    latents = measures.latent_grid(dim, list(radii.values()), config.latents, config.seed)
    log_likelihood = held.log_likelihood.numpy()

    def mean(values: NDArray[np.float64], episode: NDArray[np.int64] = held.episode) -> Estimate:
        return measures.mean_over_episodes(values, episode, config.seed)

    covered = measures.coverage(flow, context, radius, config.actions, config.seed)
    return Card(
        held_out=held.kind,
        steps=len(held.action),
        dim=dim,
        success=success,
        log_likelihood=mean(log_likelihood),
        log_likelihood_per_dim=mean(log_likelihood / dim),
        bound=radius**2,
        demonstrations_inside=mean((held.z.norm(dim=1) <= radius).double().numpy()),
        coverage=mean(covered, held.episode[some]),
        round_trip=_round_trips(prior, held, some, latents.flatten(0, 1), config.seed),
        condition=_conditions(
            measures.condition_numbers(flow, context, latents.flatten(0, 1)), list(radii)
        ),
        calibration=measures.calibration(held.z, config.bins),
    )


def _round_trips(
    prior: Prior, held: HeldOut, some: NDArray[np.int64], latents: Tensor, seed: int
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    context = held.features[some]
    anywhere = (
        2 * torch.rand(context.shape[0], prior.latent_dim, generator=generator, dtype=torch.float64)
        - 1
    )
    actions, contexts = torch.cat([held.action[some], anywhere]), torch.cat([context, context])
    errors = {}
    for name, flow, kind in (
        ("float64", in_float64(prior.flow), torch.float64),
        ("float32", prior.flow, torch.float32),
    ):
        errors[f"action_{name}"] = measures.action_round_trip(
            flow, actions.to(kind), contexts.to(kind)
        )
        errors[f"latent_{name}"] = measures.latent_round_trip(flow, context.to(kind), latents)
    return errors


def _conditions(numbers: NDArray[np.float64], radii: list[str]) -> dict[str, dict[str, float]]:
    by_radius = numbers.reshape(len(numbers), len(radii), -1).transpose(1, 0, 2)
    groups = {f"|z| = {radius}": group for radius, group in zip(radii, by_radius, strict=True)} | {
        "all": numbers
    }
    return {
        name: {
            "median": float(np.median(group)),
            "p95": float(np.quantile(group, 0.95)),
            "largest": float(group.max()),
        }
        for name, group in groups.items()
    }


def table_of(card: Card) -> Table:
    """The card to read."""
    table = Table("score card", "", "95 % interval", title=f"{card.steps} steps: {card.held_out}")
    success, trials = card.success, int(card.success["trials"])
    table.add_row(
        f"rollout success, n = {trials}",
        f"{success['rate']:.1%}",
        f"{success['low']:.1%} to {success['high']:.1%}",
    )
    rows = {
        "log-likelihood, nats": (card.log_likelihood, "{:.3f}"),
        "log-likelihood, nats per dimension": (card.log_likelihood_per_dim, "{:.3f}"),
        f"demonstrations with |z|² <= {card.bound:.2f}": (card.demonstrations_inside, "{:.1%}"),
        f"actions of [-1, 1]^{card.dim} with |z|² <= {card.bound:.2f}": (card.coverage, "{:.3%}"),
    }
    for name, (estimate, form) in rows.items():
        ends = (
            "one episode"
            if estimate.low is None
            else f"{form.format(estimate.low)} to {form.format(estimate.high)}"
        )
        table.add_row(name, form.format(estimate.value), ends)
    for name, error in card.round_trip.items():
        table.add_row(f"round trip, {name.replace('_', ', ')}", f"{error:.1e}", "")
    for name, numbers in card.condition.items():
        words = f"p95 {numbers['p95']:.3g}, largest {numbers['largest']:.3g}"
        table.add_row(f"condition of df/dz, {name}", f"{numbers['median']:.3g}", words)
    table.add_row("calibration, expected error", f"{card.calibration.expected_error:.3f}", "")
    table.add_row("calibration, KS distance", f"{card.calibration.ks_distance:.3f}", "")
    return table
