"""`conure gap evaluations`: what simulation promised against what arrived."""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_training.evaluation.comparison import Rate, require_one_task, shown
from conure_training.evaluation.gap.correlation import Correlation, correlate
from conure_training.evaluation.gap.page import write_page
from conure_training.evaluation.gap.sensitivity import FactorEffect, factor_effects
from conure_training.evaluation.outcomes import Evaluation, load_evaluation

ENOUGH_POLICIES = 6
"""Policies below which the report says that a correlation says little."""


@dataclass(frozen=True)
class GapConfig:
    """The settings of `conure gap evaluations`."""

    simulated: list[str]
    """Evaluations in simulation, one a policy."""

    real: list[str]
    """Evaluations of the same policies in the same order on the robot, or on its stand-in."""

    plain: str
    """An evaluation of one policy without any changed factor; empty: no factors."""

    factors: list[str]
    """Evaluations of that policy with one factor changed each; a file's name names the factor."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """Folder for gap.json and gap.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        if not self.real and not self.factors:
            raise ConfigError(
                "nothing to measure: give simulated=[A,B,...] and real=[A,B,...], or plain=FILE and"
                " factors=[FACTOR.json,...], files of conure evaluate out="
            )
        names = [Path(file).stem for file in self.factors]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"expected a file name for each factor, got {', '.join(names)}; rename the files"
            )
        if self.factors and not self.plain:
            raise ConfigError("factors are held against plain, which is empty; give plain=FILE")
        if len(self.simulated) != len(self.real):
            raise ConfigError(
                f"expected one real evaluation for each simulated one, got {len(self.real)} and"
                f" {len(self.simulated)}; give both lists in the same order of policies"
            )


@dataclass(frozen=True)
class Gap:
    """What finished evaluations say about the gap."""

    claim: str
    """In words."""

    rates: tuple[tuple[Rate, Rate], ...]
    """Of each policy, simulated and real."""

    correlation: Correlation | None
    """None: no evaluations of several policies."""

    effects: tuple[FactorEffect, ...]
    """The most harmful factor first."""


def run(overrides: list[str]) -> None:
    """Measure the sim-to-real gap, from finished evaluations."""
    config = load_config("conure_training.conf", "gap_evaluations", GapConfig, overrides)
    gap = measure(config)
    console = Console()
    console.print(gap.claim, highlight=False, markup=False, soft_wrap=True)
    for table in _tables(config, gap):
        console.print(table)
    console.print(f"{Path(config.out) / 'gap.html'}", highlight=False, markup=False)


def measure(config: GapConfig) -> Gap:
    """Measure the gap, and write it.

    Args:
        config: The files.

    Returns:
        The gap; also in `out`/gap.json and, with plots, in `out`/gap.html.

    Raises:
        ConfigError: Files do not fit together.
        DataError: A file cannot be used.
    """
    folder = Path(config.out)
    with claimed(config.out, "conure gap evaluations") if config.out else nullcontext():
        pairs = [_pair(*paths) for paths in zip(config.simulated, config.real, strict=True)]
        rates = tuple((Rate.of(one.outcomes), Rate.of(other.outcomes)) for one, other in pairs)
        correlation = None
        if rates:
            simulated = [one.counts for one, _ in rates]
            correlation = correlate(simulated, [other.counts for _, other in rates])
        effects: list[FactorEffect] = []
        if config.factors:
            changed = {Path(file).stem: load_evaluation(Path(file)) for file in config.factors}
            effects = factor_effects(load_evaluation(Path(config.plain)), changed)
        gap = Gap(_claim(correlation, effects), rates, correlation, tuple(effects))
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "gap.json", {"config": asdict(config), **asdict(gap)})
        write_page(folder / "gap.html", gap.claim, config.real, gap.rates, effects)
    return gap


def _pair(simulated: str, real: str) -> tuple[Evaluation, Evaluation]:
    """Both evaluations of one policy. Raises: ConfigError if they are one file or of two tasks."""
    first, second = load_evaluation(Path(simulated)), load_evaluation(Path(real))
    if first.path.resolve() == second.path.resolve():
        raise ConfigError(f"{first.path} is given as simulated and as real; give two evaluations")
    require_one_task(first, second, "evaluate the policy on the same task on either side")
    return first, second


def _claim(correlation: Correlation | None, effects: list[FactorEffect]) -> str:
    claims: list[str] = []
    if correlation is not None:
        r = correlation.pearson
        mmrv = correlation.rank_violation
        claims.append(
            f"over {correlation.policies} policies simulation and reality correlate with r ="
            f" {r.value:.2f} (95 % interval {r.low:.2f} to {r.high:.2f}; a perfect simulator with"
            f" these trials: {r.floor:.2f} or more), mean maximum rank violation"
            f" {mmrv.value:.3f} ({mmrv.low:.3f} to {mmrv.high:.3f}; a perfect simulator:"
            f" {mmrv.floor:.3f} or less)"
        )
        if correlation.policies < ENOUGH_POLICIES:
            claims.append(
                f"{correlation.policies} policies say little: give at least {ENOUGH_POLICIES}"
            )
    harmful = [effect for effect in effects if effect.change.high < 0 and effect.p_value <= 0.05]
    if effects:
        named = ", ".join(f"{effect.factor} {100 * effect.change.value:+.0f}" for effect in harmful)
        claims.append(f"factors that harm, in points: {named or 'none is shown'}")
    return "; ".join(claims)


def _tables(config: GapConfig, gap: Gap) -> list[Table]:
    tables: list[Table] = []
    if gap.rates:
        table = Table("policy", "simulated, %", "real, %")
        for path, (one, other) in zip(config.real, gap.rates, strict=True):
            table.add_row(escape(path), escape(shown(one)), escape(shown(other)))
        tables.append(table)
    if gap.effects:
        table = Table("factor", "success, %", "change, points", "p")
        for effect in gap.effects:
            change = effect.change
            interval = f"[{100 * change.low:+.0f}, {100 * change.high:+.0f}]"
            points = f"{100 * change.value:+.0f} {interval}"
            cells = (effect.factor, shown(effect.rate), points, f"{effect.p_value:.3f}")
            table.add_row(*map(escape, cells))
        tables.append(table)
    return tables
