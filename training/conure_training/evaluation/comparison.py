"""Two finished evaluations held against each other: the claim, its interval, every condition."""

from collections.abc import Sequence
from dataclasses import dataclass

from conure_core.errors import ConfigError
from conure_training.evaluation.intervals import exact_interval, wilson_interval
from conure_training.evaluation.outcomes import Evaluation, Outcome
from conure_training.evaluation.statistics.differences import (
    PairCounts,
    difference_interval,
    paired_interval,
    paired_p_value,
    unpaired_p_value,
)
from conure_training.evaluation.statistics.posterior import (
    probability_better,
    probability_wins_more,
)
from conure_training.evaluation.statistics.sequential import SequentialPairedTest

ALPHA = 0.05
"""Two-sided error rate of a claim."""
ALL = "all"

Pair = tuple[Outcome, Outcome]


@dataclass(frozen=True)
class Rate:
    """A success rate, with both 95 % intervals."""

    successes: int
    trials: int
    rate: float

    low: float
    """Lower end of Wilson's interval."""

    high: float
    """Upper end of it."""

    exact_low: float
    """Lower end of the exact interval."""

    exact_high: float
    """Upper end of it."""

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "Rate":
        """Count outcomes, at least one."""
        successes = sum(outcome.success for outcome in outcomes)
        trials = len(outcomes)
        wilson = wilson_interval(successes, trials)
        exact = exact_interval(successes, trials)
        return cls(successes, trials, successes / trials, *wilson, *exact)

    @property
    def counts(self) -> tuple[int, int]:
        """Successes and trials."""
        return self.successes, self.trials


def shown(rate: Rate | None) -> str:
    """Percentage, Wilson's interval and counts, for a table; "-" where there is no rate."""
    if rate is None:
        return "-"
    interval = f"[{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
    return f"{100 * rate.rate:.1f} {interval} {rate.successes}/{rate.trials}"


@dataclass(frozen=True)
class Difference:
    """One success rate minus another one, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __neg__(self) -> "Difference":
        return Difference(-self.value, -self.high, -self.low)


@dataclass(frozen=True)
class ConditionRow:
    """One condition, or all of them."""

    condition: str
    """Object to act on; ALL: every trial that is compared."""

    first: Rate | None
    """None: no trial of it."""

    second: Rate | None
    """None: no trial of it."""

    difference: Difference | None
    """First rate minus second rate; None: one of them is missing."""


@dataclass(frozen=True)
class Sequential:
    """The pairs in the order in which they were run, looked at after each one."""

    better: str
    """The policy that was shown to be better; empty: neither was."""

    decided_after: int | None
    """Pairs that decided; None: undecided."""

    p_value: float
    """Two-sided, valid whenever one stops."""

    e_values: tuple[float, float]
    """Evidence after the last pair that the first policy is better, and that the second one is."""


@dataclass(frozen=True)
class Comparison:
    """What two evaluations say about each other."""

    claim: str
    """In words, with its interval."""

    is_shown: bool
    """Whether interval and test both say that the rates differ."""

    unpaired_because: str
    """Why trials are not compared in pairs; empty: they are."""

    rows: tuple[ConditionRow, ...]
    """All trials that are compared, then each condition."""

    p_value: float
    """Two-sided: McNemar's exact test for pairs, else Fisher's."""

    probability_first_better: float
    """Posterior from uniform priors."""

    pairs: PairCounts | None
    """None: trials are not pairs."""

    sequential: Sequential | None
    """None: trials are not pairs."""

    left_out: tuple[int, int]
    """Trials of either evaluation that have no partner."""

    invalid: tuple[int, int]
    """Trials of either evaluation that could not begin."""


def require_one_task(first: Evaluation, second: Evaluation, remedy: str) -> None:
    """Refuse two evaluations of different tasks.

    Args:
        first: One of them.
        second: The other one.
        remedy: What to do, the end of the sentence.

    Raises:
        ConfigError: Their tasks differ.
    """
    if first.task != second.task:
        raise ConfigError(
            f"expected one task, got '{first.task}' in {first.path} and '{second.task}' in"
            f" {second.path}; {remedy}"
        )


def compare_evaluations(first: Evaluation, second: Evaluation) -> Comparison:
    """Compare two evaluations of one task, in pairs where their scenes are the same.

    Args:
        first: One policy's trials.
        second: The other one's trials.

    Returns:
        The comparison; differences are first minus second.

    Raises:
        ConfigError: Both are one file, or their tasks differ.
    """
    if first.path.resolve() == second.path.resolve():
        raise ConfigError(f"{first.path} was given twice; give two evaluations")
    require_one_task(first, second, "evaluate both policies on the same task")
    unpaired_because = _different_scenes(first, second)
    if unpaired_because:
        return _compare_unpaired(first, second, unpaired_because)
    return _compare_pairs(first, second)


def _different_scenes(first: Evaluation, second: Evaluation) -> str:
    """Why equal seeds are not equal scenes; empty: they are."""
    shared = [name for name in first.scene if name in second.scene]
    names = [name for name in shared if first.scene[name] != second.scene[name]]
    reasons = []
    if first.source != second.source:
        reasons.append("one ran in simulation, the other through the graph")
    if names:
        reasons.append(f"the scenes differ: {', '.join(names)}")
    if reasons:
        return ", and ".join(reasons)
    pairs = _pairs(first, second)
    if not pairs:
        return "they have no seed in common"
    moved = [one.seed for one, other in pairs if one.condition != other.condition]
    if moved:
        return f"the scenes differ: seed {moved[0]} has another target"
    return ""


def _pairs(first: Evaluation, second: Evaluation) -> list[Pair]:
    partners = second.by_seed
    return [
        (outcome, partners[outcome.seed]) for outcome in first.outcomes if outcome.seed in partners
    ]


def _compare_pairs(first: Evaluation, second: Evaluation) -> Comparison:
    pairs = _pairs(first, second)
    counts = _counts(pairs)
    rows = _rows([one for one, _ in pairs], [other for _, other in pairs], is_paired=True)
    p_value = paired_p_value(counts)
    how = f"{counts.pairs} pairs of the same scenes"
    return Comparison(
        claim=_claim(first, second, rows[0], p_value, how),
        is_shown=_is_shown(rows[0].difference, p_value),
        unpaired_because="",
        rows=rows,
        p_value=p_value,
        probability_first_better=probability_wins_more(counts.only_first, counts.only_second),
        pairs=counts,
        sequential=_sequential(first, second, pairs),
        left_out=(len(first.outcomes) - len(pairs), len(second.outcomes) - len(pairs)),
        invalid=(first.invalid, second.invalid),
    )


def _compare_unpaired(first: Evaluation, second: Evaluation, because: str) -> Comparison:
    rows = _rows(first.outcomes, second.outcomes, is_paired=False)
    counts = [Rate.of(side.outcomes).counts for side in (first, second)]
    p_value = unpaired_p_value(*counts)
    how = f"{counts[0][1]} and {counts[1][1]} trials, not in pairs as {because}"
    return Comparison(
        claim=_claim(first, second, rows[0], p_value, how),
        is_shown=_is_shown(rows[0].difference, p_value),
        unpaired_because=because,
        rows=rows,
        p_value=p_value,
        probability_first_better=probability_better(*counts),
        pairs=None,
        sequential=None,
        left_out=(0, 0),
        invalid=(first.invalid, second.invalid),
    )


def _rows(
    first: Sequence[Outcome], second: Sequence[Outcome], is_paired: bool
) -> tuple[ConditionRow, ...]:
    """All trials, and each condition where there are several."""
    rows = [_row(ALL, first, second, is_paired)]
    conditions = sorted({outcome.condition for outcome in [*first, *second]})
    if len(conditions) > 1:
        for condition in conditions:
            one, other = (_of_condition(condition, outcomes) for outcomes in (first, second))
            rows.append(_row(condition, one, other, is_paired))
    return tuple(rows)


def _of_condition(condition: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.condition == condition]


def _row(
    condition: str, first: Sequence[Outcome], second: Sequence[Outcome], is_paired: bool
) -> ConditionRow:
    one = Rate.of(first) if first else None
    other = Rate.of(second) if second else None
    if one is None or other is None:
        return ConditionRow(condition, one, other, None)
    if is_paired:
        interval = paired_interval(_counts(list(zip(first, second, strict=True))))
    else:
        interval = difference_interval(one.counts, other.counts)
    difference = Difference(one.rate - other.rate, *interval)
    return ConditionRow(condition, one, other, difference)


def _counts(pairs: Sequence[Pair]) -> PairCounts:
    return PairCounts.of((one.success, other.success) for one, other in pairs)


def _is_shown(difference: Difference | None, p_value: float) -> bool:
    if difference is None:
        return False
    return p_value <= ALPHA and not difference.low <= 0.0 <= difference.high


def _claim(
    first: Evaluation, second: Evaluation, row: ConditionRow, p_value: float, how: str
) -> str:
    """Write the difference in words, the better policy first."""
    names = (str(first.path), str(second.path))
    rates = (row.first, row.second)
    difference = row.difference
    if difference is None or rates[0] is None or rates[1] is None:
        return f"nothing to compare: {how}"
    if difference.value < 0:
        names, rates, difference = names[::-1], rates[::-1], -difference
    interval = f"95 % interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    size = f"{100 * difference.value:.1f} points ({interval})"
    measured = " against ".join(f"{rate.rate:.1%}" for rate in rates if rate)
    if _is_shown(difference, p_value):
        return f"{names[0]} succeeds more often than {names[1]}, by {size}: {measured}, {how}"
    return f"no difference is shown: {names[0]} minus {names[1]} is {size}: {measured}, {how}"


def _sequential(first: Evaluation, second: Evaluation, pairs: Sequence[Pair]) -> Sequential:
    """Look after every pair, at half the error rate for either policy."""
    tests = (SequentialPairedTest(ALPHA / 2), SequentialPairedTest(ALPHA / 2))
    for one, other in pairs:
        tests[0].add(one.success, other.success)
        tests[1].add(other.success, one.success)
    p_value = min(1.0, 2 * min(test.p_value for test in tests))
    e_values = (tests[0].e_value, tests[1].e_value)
    decided = [
        (test.decided_after, str(side.path))
        for test, side in zip(tests, (first, second), strict=True)
        if test.decided_after is not None
    ]
    if not decided:
        return Sequential("", None, p_value, e_values)
    after, better = min(decided)
    return Sequential(better, after, p_value, e_values)
