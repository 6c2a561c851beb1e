"""How well flows learn precise demonstrations: our flow against the authors', whose log-scales are
clamped to +-1.

Demonstrations a = m(c) + sigma n, n ~ N(0, I), m(c) = 0.6 sin(W c), have the entropy D (log sigma +
log(2 pi e) / 2). No model's negative log-likelihood (NLL) is below it on average; what it is above
is what the model cannot say.

    python -m conure_training.experiments.precise_demonstrations sigma=0.03 seed=0
"""

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_training.nn.weights import seeded
from conure_training.prior.flow import AUTHORS_FLOW, ConditionalRealNVP
from conure_training.runtime.parallel import progress_bar

AMPLITUDE = 0.6
FLOWS: dict[str, dict[str, Any]] = {"ours": {}, "authors": AUTHORS_FLOW}


@dataclass(frozen=True)
class PreciseDemonstrations:
    """`sigma`: of the demonstrations, as a fraction of the largest action; `held_out`: as many
    more, to measure on.
    """

    action_dim: int = 8
    context_dim: int = 4
    sigma: float = 0.03
    demonstrations: int = 50_000
    held_out: int = 10_000
    hidden: tuple[int, ...] = (256, 256)
    couplings: int = 4
    steps: int = 4000
    batch_size: int = 256
    rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            not 0.0 < self.sigma <= 0.1
        ):  # beyond, actions would leave the box and the entropy were another
            raise ConfigError(f"sigma must lie in (0, 0.1], got {self.sigma}")
        for name in ("demonstrations", "held_out", "steps", "batch_size"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, got {getattr(self, name)}")

    @property
    def entropy_nats(self) -> float:
        """Differential entropy of an action given its context."""
        return self.action_dim * (math.log(self.sigma) + 0.5 * math.log(2 * math.pi * math.e))


def run(config: PreciseDemonstrations) -> dict[str, float]:
    """`entropy_nats`, and of each flow `nll_nats_*` on held-out demonstrations, its standard error,
    `excess_nats_*`.
    """
    figures = {"entropy_nats": config.entropy_nats}
    for name, options in FLOWS.items():
        with seeded(config.seed):
            (action, context), held_out = _demonstrations(config)
            flow = ConditionalRealNVP(
                config.action_dim, config.context_dim, config.couplings, config.hidden, **options
            )
            _fit(flow, action, context, config, name)
        with torch.no_grad():
            nll = -flow.log_prob(*held_out)
        figures[f"nll_nats_{name}"] = nll.mean().item()
        figures[f"nll_standard_error_nats_{name}"] = (nll.std() / math.sqrt(len(nll))).item()
        figures[f"excess_nats_{name}"] = nll.mean().item() - config.entropy_nats
    return figures


def _demonstrations(config: PreciseDemonstrations) -> list[tuple[Tensor, Tensor]]:
    """(action, context), to train on and held out; the same for every flow."""
    mixing = torch.randn(config.context_dim, config.action_dim)
    sets = []
    for count in (config.demonstrations, config.held_out):
        context = 2 * torch.rand(count, config.context_dim) - 1
        noise = config.sigma * torch.randn(count, config.action_dim)
        sets.append((AMPLITUDE * torch.sin(context @ mixing) + noise, context))
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


if __name__ == "__main__":
    settings = load_config(
        "conure_training.conf", "precise_demonstrations", PreciseDemonstrations, sys.argv[1:]
    )
    print(json.dumps(run(settings), indent=1))
