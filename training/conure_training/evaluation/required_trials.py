"""`conure power`: how many trials tell two success rates apart."""

from dataclasses import dataclass, field

from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_training.evaluation.intervals import wilson_interval
from conure_training.evaluation.statistics.power import (
    PairedRates,
    pairs_fixed,
    pairs_sequential,
    trials_per_policy,
)

EXAMPLES = (20, 50, 200)
"""Trials after which an interval is shown."""
INSIDE = bounds(0.001, 0.999)


@dataclass(frozen=True)
class PowerConfig:
    """The settings of `conure power`."""

    rate: float = field(metadata=INSIDE)
    """Success rate of one policy."""

    other: float = field(metadata=INSIDE)
    """Success rate of the other policy."""

    correlation: float = field(metadata=bounds(-1.0, 1.0))
    """Of both policies' outcomes on the same scene; 0: the scene decides nothing."""

    alpha: float = field(metadata=bounds(0.0001, 0.5))
    """Two-sided probability of a claim without a difference."""

    power: float = field(metadata=bounds(0.05, 0.999))
    """Probability of finding the difference."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        _ = self.rates

    @property
    def rates(self) -> PairedRates:
        """Both rates, the lower one first. Raises: ConfigError if they are equal."""
        return PairedRates(min(self.rate, self.other), max(self.rate, self.other), self.correlation)


def run(overrides: list[str]) -> None:
    """Compute how many trials tell two success rates apart."""
    config = load_config("conure_training.conf", "power", PowerConfig, overrides)
    print("\n".join(describe(config)))


def describe(config: PowerConfig) -> list[str]:
    """Say what a rate's interval is worth, and what each design needs, a line each.

    Raises: ConfigError if the rates are too close.
    """
    rates = config.rates
    alpha = config.alpha / 2
    trials = trials_per_policy(rates.rate, rates.higher, alpha, config.power)
    pairs = pairs_fixed(rates, alpha, config.power)
    plan = pairs_sequential(rates, alpha, config.power)
    known = ", ".join(_interval(config.rate, count) for count in EXAMPLES)
    told = f"to tell {_percent(rates.rate)} from {_percent(rates.higher)}"
    errors = f"with probability {_percent(config.power)}, at {_percent(config.alpha)}, two-sided"
    return [
        f"a rate of {_percent(config.rate)} has a 95 % interval of {known}",
        f"{told} {errors}:",
        f"  each policy in scenes of its own: {trials} trials a policy",
        f"  the same scenes for both, correlation {rates.correlation:g}: {pairs} pairs",
        f"  the same scenes, looked at after every pair: {plan.mean:.0f} pairs on average,"
        f" at most {plan.most}, given up at an e-value below {plan.futile:g}",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _interval(rate: float, trials: int) -> str:
    low, high = wilson_interval(round(rate * trials), trials)
    return f"{low:.0%} to {high:.0%} after {trials} trials"
