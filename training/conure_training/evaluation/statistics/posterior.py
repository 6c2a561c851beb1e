"""Bayesian posteriors of success rates, from uniform priors."""

import numpy as np
from scipy.special import betainc, betaln


def probability_better(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Compute the posterior probability that the first success rate is the higher one.

    Both rates have a uniform prior, so that their posteriors are Beta(1 + successes, 1 + failures).
    The integral over both is a finite sum.

    Args:
        first: Successes and trials of one policy.
        second: Successes and trials of the other one, in trials of its own.

    Returns:
        A probability in [0, 1]; 0.5 without trials.

    Source: Miller, Formulas for Bayesian A/B Testing, 2015.
    """
    wins, losses = _posterior(first)
    other_wins, other_losses = _posterior(second)
    terms = np.arange(wins)
    log_terms = (
        betaln(other_wins + terms, losses + other_losses)
        - np.log(losses + terms)
        - betaln(1 + terms, losses)
        - betaln(other_wins, other_losses)
    )
    return float(np.clip(np.exp(log_terms).sum(), 0.0, 1.0))


def probability_wins_more(wins: int, losses: int) -> float:
    """Compute the posterior probability that wins are more frequent than losses.

    For pairs of the same scene: a win is a pair that the first policy alone solves. Pairs with
    equal outcomes say nothing about which policy is better. The share of wins has a uniform prior.

    Args:
        wins: Pairs that the first policy alone solves.
        losses: Pairs that the second policy alone solves.

    Returns:
        A probability in [0, 1]; 0.5 without either.
    """
    return float(betainc(losses + 1, wins + 1, 0.5))


def _posterior(counts: tuple[int, int]) -> tuple[int, int]:
    successes, trials = counts
    return 1 + successes, 1 + trials - successes
