"""`conure bench statistics`: intervals and the sequential paired test in simulated evaluations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from conure_core.cli.bench_report import Row, measure_rows
from conure_core.config.loader import load_config
from conure_core.config.values import SEED, bounds, check_values
from conure_core.errors import unknown_name
from conure_core.types import Array
from conure_training.evaluation.intervals import exact_interval, wilson_interval
from conure_training.evaluation.statistics.power import PairedRates, pairs_fixed, pairs_sequential
from conure_training.evaluation.statistics.sequential import (
    ending_probabilities,
    fewest_wins,
)

INTERVALS = {"exact": exact_interval, "Wilson": wilson_interval}
ENUMERATED = np.linspace(0.001, 0.999, 999)
"""True rates for which coverage is summed over all numbers of successes, without simulation."""

LONG_RUN = 2000

Counts = NDArray[np.integer]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class BenchStatisticsConfig:
    """The settings of `conure bench statistics`."""

    out: str
    """JSON file for the report."""

    rows: list[str]
    """Names of the measurements, in order."""

    evaluations: int = field(metadata=bounds(1, 1_000_000))
    """Simulated evaluations of each row."""

    trials: list[int] = field(metadata=bounds(1, 10_000))
    """Trials of each evaluation whose intervals are examined."""

    rate: float = field(metadata=bounds(0.001, 0.999))
    """Success rate of the policy that is worse."""

    higher: float = field(metadata=bounds(0.001, 0.999))
    """Success rate of the better policy."""

    correlations: list[float] = field(metadata=bounds(-1.0, 1.0))
    """Correlations of both policies' outcomes on the same scene."""

    alpha: float = field(metadata=bounds(0.0001, 0.5))
    """One-sided error rate."""

    power: float = field(metadata=bounds(0.05, 0.999))
    """Probability of finding the difference."""

    seed: int = field(metadata=SEED)
    """Of all draws."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for row in self.rows:
            if row not in MEASUREMENTS:
                raise unknown_name("row of conure bench statistics", row, MEASUREMENTS)
        _ = self.rates

    @property
    def rates(self) -> list[PairedRates]:
        """Both policies, by correlation. Raises: ConfigError if there are none such."""
        return [PairedRates(self.rate, self.higher, value) for value in self.correlations]


def run(overrides: list[str]) -> None:
    """Examine intervals and the sequential paired test in simulated evaluations."""
    config = load_config(
        "conure_training.conf", "bench_statistics", BenchStatisticsConfig, overrides
    )
    measure_rows(config, MEASUREMENTS)


def covered(ends: Array, successes: Counts, rates: Array) -> Flags:
    """Tell which intervals hold the true rate.

    Args:
        ends: Lower and upper end by number of successes, shape (trials + 1, 2).
        successes: Numbers of successes, any shape.
        rates: True rates, same shape.

    Returns:
        bool, same shape.
    """
    found = ends[successes]
    return np.asarray((found[..., 0] <= rates) & (rates <= found[..., 1]))


def outcome_sums(
    rng: np.random.Generator, shape: tuple[int, int], win: float, loss: float
) -> tuple[Counts, Counts]:
    """Simulate evaluations in pairs.

    Args:
        rng: Where draws come from.
        shape: Evaluations and pairs of each.
        win: Probability that the first policy alone succeeds.
        loss: Probability that the second policy alone succeeds.

    Returns:
        Wins and losses up to every pair, of that shape each.
    """
    drawn = rng.random(shape)
    wins = np.cumsum(drawn < win, axis=1, dtype=np.int64)
    losses = np.cumsum((drawn >= win) & (drawn < win + loss), axis=1, dtype=np.int64)
    return wins, losses


def _intervals(config: BenchStatisticsConfig) -> Iterator[Row]:
    rng = np.random.default_rng(config.seed)
    for trials in config.trials:
        rates = rng.random(config.evaluations)
        drawn = rng.binomial(trials, rates)
        successes = np.arange(trials + 1)
        chances = binom.pmf(successes, trials, ENUMERATED[:, None])
        for name, interval in INTERVALS.items():
            ends = np.array([interval(count, trials) for count in range(trials + 1)])
            simulated = float(covered(ends, drawn, rates).mean())
            every = covered(ends, successes[None, :], ENUMERATED[:, None])
            lowest = float((chances * every).sum(axis=1).min())
            yield from _coverage(f"{name}, n = {trials}", name, simulated, lowest)


def _coverage(label: str, name: str, simulated: float, lowest: float) -> Iterator[Row]:
    """Coverages in [0, 1], with what is asked of that interval."""
    drawn = f"{label}: coverage, rates drawn uniformly"
    worst = f"{label}: lowest coverage of any rate, enumerated"
    if name == "exact":
        yield Row(drawn, 100 * simulated, "%", 95.0)
        yield Row(worst, 100 * lowest, "%", 95.0)
    else:
        yield Row(drawn, 100 * simulated, "%", 94.0, 96.0)
        yield Row(worst, 100 * lowest, "%")


def _type_one(config: BenchStatisticsConfig) -> Iterator[Row]:
    """Both policies equal, at the lower rate, looked at after every pair."""
    rng = np.random.default_rng(config.seed)
    for rates in config.rates:
        most = pairs_sequential(rates, config.alpha, config.power).most
        either = rates.rate * (1 - rates.rate) * (1 - rates.correlation)
        sums = outcome_sums(rng, (config.evaluations, most), either, either)
        rejected = float(_is_decided(*sums, config.alpha).any(axis=1).mean())
        label = f"type I error, correlation {rates.correlation:g}, looked at after each of {most}"
        yield Row(f"{label} pairs", 100 * rejected, "%", None, 100 * config.alpha)
        repeated = float(_is_significant(*sums, config.alpha).any(axis=1).mean())
        yield Row(f"{label} pairs, McNemar's test instead", 100 * repeated, "%")
    bound = float(ending_probabilities(0.5, LONG_RUN, config.alpha)[0].sum())
    label = f"type I error, looked at after each of {LONG_RUN} discordant pairs, enumerated"
    yield Row(label, 100 * bound, "%", None, 100 * config.alpha)


def _pairs(config: BenchStatisticsConfig) -> Iterator[Row]:
    """One policy better than the other one, looked at after every pair."""
    rng = np.random.default_rng(config.seed)
    for rates in config.rates:
        plan = pairs_sequential(rates, config.alpha, config.power)
        fixed = pairs_fixed(rates, config.alpha, config.power)
        shape = (config.evaluations, plan.most)
        sums = outcome_sums(rng, shape, rates.higher - rates.both, rates.rate - rates.both)
        decided = _is_decided(*sums, config.alpha)
        ended = decided | _is_futile(*sums, plan.futile)
        ended[:, -1] = True
        last = ended.argmax(axis=1)
        found = decided[np.arange(len(last)), last]
        mean = float(last.mean()) + 1
        label = f"{rates.rate:.0%} against {rates.higher:.0%}, correlation {rates.correlation:g}"
        yield Row(f"{label}: fixed design, McNemar's exact test", fixed, "pairs")
        yield Row(f"{label}: sequential, at most {plan.most}, on average", mean, "pairs")
        yield Row(f"{label}: sequential, power", 100 * float(found.mean()), "%")
        yield Row(f"{label}: saved at equal power", 100 * (1 - mean / fixed), "%", 15.0)


def _is_decided(wins: Counts, losses: Counts, alpha: float) -> Flags:
    return np.asarray(wins >= fewest_wins(1 / alpha, int(losses.max()))[losses])


def _is_futile(wins: Counts, losses: Counts, futile: float) -> Flags:
    if futile == 0.0:
        return np.zeros(wins.shape, dtype=bool)
    return np.asarray(wins < fewest_wins(futile, int(losses.max()))[losses])


def _is_significant(wins: Counts, losses: Counts, alpha: float) -> Flags:
    most = int((wins + losses).max())
    needed = binom.isf(alpha, np.arange(most + 1), 0.5)
    return np.asarray(wins > needed[wins + losses])


MEASUREMENTS: dict[str, Callable[[BenchStatisticsConfig], Iterator[Row]]] = {
    "intervals": _intervals,
    "type_one": _type_one,
    "pairs": _pairs,
}
