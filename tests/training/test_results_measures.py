"""What is computed of curves and seeds agrees with direct computations."""

import itertools

import numpy as np
import pytest
from conure_experiments.measures import area_under_curve, curve_of, final_success, steps_to
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from conure_training.evaluation.intervals import (
    bracketed_interval,
    interquartile_mean,
    stratified_interval,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(SCORES)
def test_interquartile_mean_is_scipys_trimmed_mean(scores):
    assert interquartile_mean(np.array(scores)) == pytest.approx(trim_mean(scores, 0.25), abs=1e-12)


def test_bootstrap_draws_every_stratum_by_itself():
    # All ways to draw two runs of each task, each as likely: the interval's ends are quantiles of
    # their means.
    strata = [np.array([0.0, 1.0]), np.array([10.0, 30.0])]
    draws = itertools.product(*(itertools.product(task, repeat=2) for task in strata))
    means = np.array([np.mean(np.concatenate(draw)) for draw in draws])
    ends = np.quantile(means, [0.1, 0.9])
    assert stratified_interval(strata, confidence=0.8, resamples=4000) == pytest.approx(ends)
    low, high = stratified_interval(strata)
    assert (low, high) == (means.min(), means.max())


def test_bootstrap_of_one_task_agrees_with_scipys():
    from scipy.stats import bootstrap

    scores = np.random.default_rng(0).uniform(size=12)
    wanted = bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert stratified_interval([scores], resamples=20_000) == pytest.approx(
        (wanted.low, wanted.high), abs=0.005
    )


@given(SCORES)
def test_interval_repeats_itself_and_lies_among_the_scores(scores):
    low, high = stratified_interval([np.array(scores)], resamples=20)
    assert (low, high) == stratified_interval([np.array(scores)], resamples=20)
    assert min(scores) - 1e-12 <= low <= high <= max(scores) + 1e-12


def test_area_of_a_straight_line_is_half_and_ends_are_held():
    assert area_under_curve([0, 100], [0, 1], 100) == pytest.approx(0.5)
    assert area_under_curve([0, 50, 100], [0, 1, 1], 100) == pytest.approx(0.75)
    assert area_under_curve([40, 60], [0.2, 0.2], 100) == pytest.approx(0.2)
    assert area_under_curve([0, 100, 200], [0, 1, 1], 50) == pytest.approx(0.25)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_area_is_that_of_a_fine_grid(success):
    steps = np.linspace(0, 1000, len(success))
    grid = np.linspace(0, 1000, 20_001)
    direct = np.interp(grid, steps, success).mean()
    assert area_under_curve(steps, success, 1000) == pytest.approx(direct, abs=1e-3)


def test_steps_to_a_level_lie_between_the_points_where_it_is_crossed_first():
    steps, success = [0, 100, 200, 300], [0.0, 0.6, 0.4, 1.0]
    assert steps_to(steps, success, 0.3) == pytest.approx(50)
    assert steps_to(steps, success, 0.8) == pytest.approx(200 + 100 * 0.4 / 0.6)
    assert steps_to(steps, success, 0.0) == 0
    assert steps_to(steps, [0, 0.1, 0.2, 0.79], 0.8) == float("inf")
    assert final_success(success) == 1.0


def test_a_curve_is_of_evaluations_or_without_any_of_the_last_training_episodes():
    twice = {"steps": 20, "success": 0.5, "episodes": 4, "seconds": 3.0}
    points = [{"steps": 0, "success": 0.0, "episodes": 4, "seconds": 1.0}, twice, twice]
    training = {"steps": [10, 20, 30], "success": [0, 1, 1]}
    evaluated = curve_of({"evaluations": points, "curve": training})
    assert (evaluated.steps.tolist(), evaluated.success.tolist(), evaluated.evaluated) == (
        [0, 20],
        [0, 0.5],
        True,
    )
    assert evaluated.seconds.tolist() == [1, 3]
    trained = curve_of({"evaluations": [], "curve": training})
    assert trained.success.tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert not trained.evaluated
    assert np.isnan(trained.seconds).all()


def test_a_task_of_a_single_run_leaves_no_interval_to_show():
    mixed, two = (
        [np.array([0.2]), np.array([0.0, 1.0])],
        [np.array([0.2, 0.2]), np.array([0.0, 1.0])],
    )
    assert bracketed_interval(mixed, str) == ""
    assert bracketed_interval(two, lambda end: f"{end:.1f}") == " [0.1, 0.6]"
