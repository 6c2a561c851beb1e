"""Precise demonstrations: our flow against that of PARROT's authors, whose log-scales are clamped
to +-1.

Demonstrations a = m(c) + sigma n, n ~ N(0, I), m(c) = 0.6 sin(W c), have the entropy D (log sigma +
log(2 pi e) / 2). No model has a lower negative log-likelihood (NLL) on average. The excess is what
the model cannot represent.

    python training/experiments/run.py experiment precise_demonstrations sigma=0.03 seed=0
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.errors import ConfigError
from conure_training.nn.weights import seeded
from conure_training.prior.flow import AUTHORS_FLOW, ConditionalRealNVP
from conure_training.runtime.parallel import progress_bar

AMPLITUDE = 0.6
FLOWS: dict[str, dict[str, Any]] = {"ours": {}, "authors": AUTHORS_FLOW}


@dataclass(frozen=True)
class PreciseDemonstrations:
    """The experiment's settings."""

    action_dim: int = 8
    """Values of an action, D."""

    context_dim: int = 4
    """Values of a context c."""

    sigma: float = 0.03
    """Standard deviation of the demonstrations, as a fraction of the largest action."""

    demonstrations: int = 50_000
    """To train on."""

    held_out: int = 10_000
    """To measure on."""

    hidden: tuple[int, ...] = (256, 256)
    """Hidden widths of the couplings' MLPs."""

    couplings: int = 4
    """Affine couplings of each flow."""

    steps: int = 4000
    """Optimizer steps."""

    batch_size: int = 256
    """Demonstrations in a step."""

    rate: float = 2e-3
    """Highest learning rate."""

    seed: int = 0
    """Decides demonstrations, weights and batches."""

    def __post_init__(self) -> None:
        # Beyond 0.1 actions leave the box, and the entropy is another one.
        if not 0.0 < self.sigma <= 0.1:
            raise ConfigError(f"sigma must lie in (0, 0.1], got {self.sigma}")
        for name in ("demonstrations", "held_out", "steps", "batch_size"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, got {getattr(self, name)}")

    @property
    def entropy_nats(self) -> float:
        """Differential entropy of an action given its context."""
        return self.action_dim * (math.log(self.sigma) + 0.5 * math.log(2 * math.pi * math.e))


def run(config: PreciseDemonstrations) -> dict[str, float]:
    """Train both flows, and measure their NLL on held-out demonstrations.

    Returns `entropy_nats`, and for each flow `nll_nats_*`, its standard error, and `excess_nats_*`.
    """
    metrics = {"entropy_nats": config.entropy_nats}
    for name, options in FLOWS.items():
        with seeded(config.seed):
            (action, context), held_out = _demonstrations(config)
            flow = ConditionalRealNVP(
                config.action_dim, config.context_dim, config.couplings, config.hidden, **options
            )
            _fit(flow, action, context, config, name)
        with torch.no_grad():
            nll = -flow.log_prob(*held_out)
        mean = nll.mean().item()
        standard_error = nll.std() / math.sqrt(len(nll))
        metrics[f"nll_nats_{name}"] = mean
        metrics[f"nll_standard_error_nats_{name}"] = standard_error.item()
        metrics[f"excess_nats_{name}"] = mean - config.entropy_nats
    return metrics


def _demonstrations(config: PreciseDemonstrations) -> list[tuple[Tensor, Tensor]]:
    """Draw (action, context) to train on and held out; the same for every flow."""
    mixing = torch.randn(config.context_dim, config.action_dim)
    sets = []
    for count in (config.demonstrations, config.held_out):
        context = 2 * torch.rand(count, config.context_dim) - 1
        noise = config.sigma * torch.randn(count, config.action_dim)
        action = AMPLITUDE * torch.sin(context @ mixing) + noise
        sets.append((action, context))
    return sets


def _fit(
    flow: ConditionalRealNVP,
    action: Tensor,
    context: Tensor,
    config: PreciseDemonstrations,
    label: str,
) -> None:
    optimizer = torch.optim.AdamW(flow.parameters(), config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, config.steps, pct_start=0.15
    )
    with progress_bar() as bar:
        task = bar.add_task(f"precise: {label}", total=config.steps, note="")
        for _ in range(config.steps):
            batch = torch.randint(len(action), (config.batch_size,))
            loss = -flow.log_prob(action[batch], context[batch]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            bar.advance(task)
