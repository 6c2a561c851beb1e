"""Intervals, tests and plans agree with libraries that are trusted, and keep what they promise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom, binomtest, fisher_exact

from conure_core.errors import ConfigError
from conure_training.evaluation.intervals import exact_interval, wilson_interval
from conure_training.evaluation.statistics.agreement import cohen_kappa
from conure_training.evaluation.statistics.differences import (
    PairCounts,
    difference_interval,
    paired_interval,
    paired_p_value,
)
from conure_training.evaluation.statistics.posterior import (
    probability_better,
    probability_wins_more,
)
from conure_training.evaluation.statistics.power import (
    PairedRates,
    pairs_fixed,
    pairs_sequential,
    trials_per_policy,
)
from conure_training.evaluation.statistics.sequential import (
    PRIOR,
    SequentialPairedTest,
    ending_probabilities,
    fewest_wins,
    log_e_value,
)

COUNTS = st.integers(1, 2000).flatmap(
    lambda trials: st.tuples(st.integers(0, trials), st.just(trials))
)
FEW = st.integers(0, 40)
PAIRS = st.builds(PairCounts, FEW, FEW, FEW, FEW).filter(lambda counts: counts.pairs)


@given(COUNTS)
def test_wilson_interval_is_scipys(counts):
    expected = binomtest(*counts).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(*counts) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(COUNTS)
def test_exact_interval_is_scipys(counts):
    expected = binomtest(*counts).proportion_ci(confidence_level=0.95, method="exact")
    assert exact_interval(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("interval", [wilson_interval, exact_interval])
@given(counts=COUNTS)
def test_an_interval_holds_the_rate_and_lies_in_the_unit_interval(interval, counts):
    low, high = interval(*counts)
    assert 0.0 <= low <= counts[0] / counts[1] + 1e-12
    assert counts[0] / counts[1] - 1e-12 <= high <= 1.0


@pytest.mark.parametrize("interval", [wilson_interval, exact_interval])
def test_nothing_is_known_without_trials(interval):
    assert interval(0, 0) == (0.0, 1.0)


def test_exact_interval_covers_every_rate_at_least_as_often_as_it_says():
    successes = np.arange(21)
    ends = np.array([exact_interval(count, 20) for count in successes])
    for rate in np.linspace(0.01, 0.99, 99):
        holds = (ends[:, 0] <= rate) & (rate <= ends[:, 1])
        assert binom.pmf(successes, 20, rate) @ holds >= 0.95


def test_interval_of_a_difference_is_that_of_newcombes_paper():
    assert difference_interval((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(PAIRS)
def test_a_difference_lies_in_its_interval_which_turns_with_the_sides(counts):
    low, high = paired_interval(counts)
    difference = (counts.only_first - counts.only_second) / counts.pairs
    assert -1 <= low <= difference + 1e-12 and difference - 1e-12 <= high <= 1
    turned = PairCounts(counts.both, counts.only_second, counts.only_first, counts.neither)
    assert paired_interval(turned) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(("trials", "correlation"), [(20, 0.0), (50, 0.3), (50, 0.6)])
def test_paired_interval_covers_the_difference(trials, correlation):
    rates = PairedRates(0.8, 0.9, correlation)
    alone = (rates.higher - rates.both, rates.rate - rates.both)
    chances = (rates.both, *alone, 1 - rates.both - sum(alone))
    drawn = np.random.default_rng(0).multinomial(trials, chances, size=4000)
    intervals = np.array([paired_interval(PairCounts(*map(int, row))) for row in drawn])
    covered = (intervals[:, 0] <= 0.1) & (intervals[:, 1] >= 0.1)
    assert 0.935 <= covered.mean() <= 0.985


@given(PAIRS)
def test_paired_p_value_is_the_binomial_tests(counts):
    discordant = counts.only_first + counts.only_second
    expected = binomtest(counts.only_first, discordant).pvalue if discordant else 1.0
    assert paired_p_value(counts) == pytest.approx(expected)


@given(st.tuples(FEW, FEW), st.tuples(FEW, FEW))
def test_posterior_is_the_integral_over_both_rates(first, second):
    (wins, losses), (other_wins, other_losses) = first, second
    counts = ((wins, wins + losses), (other_wins, other_wins + other_losses))
    rate = beta(1 + wins, 1 + losses)
    other = beta(1 + other_wins, 1 + other_losses)
    expected = quad(lambda x: rate.pdf(x) * other.cdf(x), 0, 1, points=[rate.mean()])[0]
    assert probability_better(*counts) == pytest.approx(expected, abs=1e-6)
    assert probability_better(*counts[::-1]) == pytest.approx(1 - expected, abs=1e-6)


@given(FEW, FEW)
def test_posterior_of_pairs_is_that_of_the_share_of_wins(wins, losses):
    assert probability_wins_more(wins, losses) == pytest.approx(beta.sf(0.5, 1 + wins, 1 + losses))


@given(FEW, FEW)
def test_the_e_value_is_the_mean_capital_of_all_bets(wins, losses):
    def weighted_capital(share):
        weight = beta.pdf(share, *PRIOR) / beta.sf(0.5, *PRIOR)
        return weight * (2 * share) ** wins * (2 * (1 - share)) ** losses

    expected = quad(weighted_capital, 0.5, 1)[0]
    assert np.exp(log_e_value(wins, losses)) == pytest.approx(expected, rel=1e-6)


@given(FEW, FEW, st.floats(0, 0.5))
def test_no_policy_that_is_not_better_can_expect_to_gain(wins, losses, share):
    after = [np.exp(log_e_value(wins + 1, losses)), np.exp(log_e_value(wins, losses + 1))]
    assert share * after[0] + (1 - share) * after[1] <= np.exp(log_e_value(wins, losses)) + 1e-9


@pytest.mark.parametrize("share", [0.5, 0.4])
def test_looking_after_every_pair_keeps_the_error_rate(share):
    decided, _ = ending_probabilities(share, 1500, 0.05)
    assert 0.0 < decided.sum() <= 0.05


def test_the_test_decides_at_its_boundary_and_stays_decided():
    for losses, wins in enumerate(fewest_wins(20, 6)):
        test = SequentialPairedTest(0.05)
        for outcome in [(False, True)] * losses + [(True, True)] + [(True, False)] * (wins - 1):
            test.add(*outcome)
        assert not test.is_decided and test.decided_after is None
        test.add(True, False)
        assert test.is_decided and test.decided_after == losses + wins + 1
        assert test.p_value <= 0.05
        test.add(False, True)
        assert test.is_decided and test.decided_after == losses + wins + 1


def test_a_test_is_futile_below_its_e_value_until_it_rises_again():
    test = SequentialPairedTest(0.05, futile=0.15)
    while not test.is_futile:
        test.add(False, True)
    assert test.e_value < 0.15 and test.pairs < 10
    while not test.is_decided:
        test.add(True, False)
        assert test.is_futile == (test.e_value < 0.15)
    assert test.pairs < 40


def test_power_and_mean_of_a_sequential_plan_are_those_of_simulated_tests():
    rates = PairedRates(0.5, 0.9)
    plan = pairs_sequential(rates)
    rng = np.random.default_rng(0)
    found = []
    pairs = []
    for _ in range(1500):
        test = SequentialPairedTest(0.05, plan.futile)
        while not (test.is_decided or test.is_futile) and test.pairs < plan.most:
            draw = rng.random()
            test.add(draw < 0.45, 0.45 <= draw < 0.5)
        found.append(test.is_decided)
        pairs.append(test.pairs)
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)
    assert np.mean(pairs) == pytest.approx(plan.mean, rel=0.06)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6])
def test_looking_after_every_pair_saves_pairs_at_equal_power(correlation):
    rates = PairedRates(0.8, 0.9, correlation)
    assert pairs_sequential(rates).mean <= 0.85 * pairs_fixed(rates)


def test_a_fixed_number_of_pairs_has_the_power_that_was_asked_for():
    rates = PairedRates(0.8, 0.9, 0.3)
    pairs = pairs_fixed(rates)
    rng = np.random.default_rng(0)
    discordant = rng.binomial(pairs, rates.discordant, size=4000)
    wins = rng.binomial(discordant, rates.share)
    p_values = binom.sf(wins - 1, discordant, 0.5)
    assert np.mean(p_values <= 0.05) == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(("rate", "higher"), [(0.5, 0.9), (0.7, 0.9), (0.8, 0.95)])
def test_trials_of_each_policy_are_those_of_fishers_exact_test(rate, higher):
    trials = trials_per_policy(rate, higher)
    found = 0.0
    for worse in range(trials + 1):
        chance = binom.pmf(worse, trials, rate)
        if chance > 1e-5:
            found += chance * chance_of_a_claim(worse, trials, higher)
    assert 0.79 <= found <= 0.84


def chance_of_a_claim(worse, trials, higher):
    """Probability that the better policy succeeds often enough for Fisher's one-sided test."""
    for better in range(worse, trials + 1):
        table = [[better, trials - better], [worse, trials - worse]]
        if fisher_exact(table, alternative="greater")[1] <= 0.05:
            return binom.sf(better - 1, trials, higher)
    return 0.0


def test_what_is_easier_to_tell_apart_needs_fewer_trials():
    plans = [PairedRates(0.8, higher, 0.3) for higher in (0.85, 0.9, 0.95)]
    for harder, easier in pairwise(plans):
        assert pairs_fixed(easier) < pairs_fixed(harder)
        assert pairs_sequential(easier).mean < pairs_sequential(harder).mean
        assert trials_per_policy(0.8, easier.higher) < trials_per_policy(0.8, harder.higher)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ((0.9, 0.8), "the lower one first, got 0.9 and 0.8"),
        ((0.8, 0.8), "the lower one first"),
        ((0.0, 0.8), "between 0 and 1"),
        ((0.8, 1.0), "between 0 and 1"),
        ((0.8, 0.9, 0.9), "must be from -0.17 to 0.67, got 0.9"),
        ((0.8, 0.9, float("nan")), "got nan"),
    ],
)
def test_rates_that_no_policies_can_have_are_refused(rates, said):
    with pytest.raises(ConfigError, match=said):
        PairedRates(*rates)


def test_rates_that_are_too_close_are_refused():
    for plan in (pairs_fixed, pairs_sequential):
        with pytest.raises(ConfigError, match="more than 8192 pairs; give rates that differ more"):
            plan(PairedRates(0.8, 0.801))


def test_kappa_is_that_of_a_table_done_by_hand():
    first = ["success"] * 25 + ["dropped"] * 25
    second = ["success"] * 20 + ["dropped"] * 5 + ["success"] * 10 + ["dropped"] * 15
    agreement = cohen_kappa(first, second)
    assert agreement.agreed == 35
    assert agreement.by_chance == pytest.approx(0.5)
    assert agreement.kappa == pytest.approx(0.4)
    low, high = agreement.kappa_interval
    assert 0.1 < low < 0.4 < high < 0.7


def test_interval_of_kappa_covers_it():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1500):
        truth = rng.random(60) < 0.6
        labels = [np.where(rng.random(60) < 0.1, ~truth, truth) for _ in range(2)]
        low, high = cohen_kappa(*(label.tolist() for label in labels)).kappa_interval
        covered.append(low <= (0.82 - 0.5128) / (1 - 0.5128) <= high)
    assert 0.93 <= np.mean(covered) <= 0.99


def test_perfect_agreement_of_a_few_trials_is_not_certain():
    low, high = cohen_kappa([True, False] * 5, [True, False] * 5).kappa_interval
    assert low < 0.5 and high == pytest.approx(1.0)


def test_two_raters_with_one_label_tell_nothing_about_their_agreement():
    agreement = cohen_kappa(["success"] * 5, ["success"] * 5)
    assert agreement.agreed == 5
    assert agreement.kappa is None and agreement.kappa_interval is None


@pytest.mark.parametrize("labels", [([True], []), ([], [])])
def test_labels_that_do_not_belong_together_are_refused(labels):
    with pytest.raises(ConfigError, match="agreement needs two labels of each trial"):
        cohen_kappa(*labels)
