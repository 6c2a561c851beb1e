"""A paired test that may be looked at after every pair, with its error rate kept."""

from dataclasses import dataclass, field
from math import exp, log

import numpy as np
from scipy.special import betainc, betaln

from conure_core.types import Array

PRIOR = (1.0, 1.0)
"""Beta distribution, cut to shares of wins above 1/2, that bets are spread over."""


def log_e_value(wins: Array | int, losses: Array | int) -> Array:
    """Compute the evidence that wins are more frequent than losses, natural logarithm.

    Only pairs count in which one policy alone succeeds. A gambler starts with the capital 1 and
    bets on the next such pair: a bet on the share theta of wins multiplies the capital by 2 theta
    after a win and by 2 (1 - theta) after a loss. The e-value is the mean capital over all
    theta > 1/2 under PRIOR, in closed form.

    If wins have a share of at most 1/2, each bet multiplies the expected capital by
    1 + (2 theta - 1) (2 share - 1) <= 1, whatever came before. So the e-value is a supermartingale
    that starts at 1. By Ville's inequality it ever reaches 1/alpha with a probability of at most
    alpha, however often one looks and whenever one stops.

    Args:
        wins: Pairs that the first policy alone solves, any shape.
        losses: Pairs that the second policy alone solves, same shape.

    Returns:
        Log of the e-value, same shape; 0 without pairs.

    Source: Ville, Etude critique de la notion de collectif, 1939; Robbins, Annals of Mathematical
    Statistics 41(5), 1970 (mixtures); Shafer, JRSS A 184(2), 2021 (bets).
    """
    wins = np.asarray(wins, dtype=float)
    losses = np.asarray(losses, dtype=float)
    a, b = PRIOR
    mean_capital = betaln(wins + a, losses + b) - betaln(a, b)
    with np.errstate(divide="ignore"):
        above_half = np.log(betainc(losses + b, wins + a, 0.5)) - np.log(betainc(b, a, 0.5))
    return np.asarray((wins + losses) * log(2.0) + mean_capital + above_half)


def wins_needed(most_losses: int, alpha: float) -> Array:
    """Find the fewest wins that decide, by number of losses.

    Args:
        most_losses: Largest number of losses.
        alpha: Error rate, in (0, 1).

    Returns:
        Wins, shape (most_losses + 1,), int.
    """
    needed = np.zeros(most_losses + 1, dtype=int)
    wins = 0
    for losses in range(most_losses + 1):
        while log_e_value(wins, losses) < -log(alpha):
            wins += 1
        needed[losses] = wins
    return needed


@dataclass
class SequentialPairedTest:
    """Whether the first policy is better than the second, looked at after every pair.

    >>> test = SequentialPairedTest(alpha=0.05)
    >>> for _ in range(7):
    ...     test.add(True, False)
    >>> test.pairs, test.is_decided
    (7, True)
    """

    alpha: float = 0.05
    """Probability of deciding at any time for a policy that is not better; one-sided."""

    pairs: int = field(default=0, init=False)
    """Pairs so far."""

    wins: int = field(default=0, init=False)
    """Pairs that the first policy alone solved."""

    losses: int = field(default=0, init=False)
    """Pairs that the second policy alone solved."""

    largest_log_e: float = field(default=0.0, init=False)
    """Largest log e-value so far."""

    decided_after: int | None = field(default=None, init=False)
    """Pairs that decided; None: not decided yet."""

    def add(self, first: bool, second: bool) -> None:
        """Add the outcome of a pair, in the order in which pairs were run.

        Args:
            first: Whether the first policy succeeded.
            second: Whether the second policy succeeded on the same scene.
        """
        self.pairs += 1
        self.wins += first and not second
        self.losses += second and not first
        self.largest_log_e = max(self.largest_log_e, float(log_e_value(self.wins, self.losses)))
        if self.is_decided and self.decided_after is None:
            self.decided_after = self.pairs

    @property
    def is_decided(self) -> bool:
        """Whether the first policy has been shown to be better; it stays so."""
        return self.largest_log_e >= -log(self.alpha)

    @property
    def p_value(self) -> float:
        """One-sided p-value that is valid at every pair."""
        return exp(-self.largest_log_e)


def decision_probabilities(share: float, most: int, alpha: float) -> Array:
    """Compute when the test decides, counted in pairs that one policy alone solves.

    Args:
        share: Of wins among these pairs, in [0, 1].
        most: Largest number of such pairs.
        alpha: Error rate of the test, in (0, 1).

    Returns:
        Probability that the test decides at exactly that number, shape (most + 1,). The sum is the
        power; at a share of 1/2 it is the error rate, exactly.
    """
    needed = wins_needed(most, alpha)
    losses = np.arange(most + 1)
    undecided = np.zeros(most + 1)
    undecided[0] = 1.0
    decided = np.zeros(most + 1)
    for count in range(1, most + 1):
        lost = np.roll(undecided, 1)
        lost[0] = 0.0
        undecided = share * undecided + (1 - share) * lost
        ends = count - losses >= needed
        decided[count] = undecided[ends].sum()
        undecided[ends] = 0.0
    return decided
