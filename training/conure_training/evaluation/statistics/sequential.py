"""A paired test that may be looked at after every pair, with its error rate kept."""

from dataclasses import dataclass, field
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln

from conure_core.types import Array

PRIOR = (3.0, 1.0)
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


def fewest_wins(e_value: float, most_losses: int) -> NDArray[np.int64]:
    """Find the fewest wins that reach an e-value, by number of losses.

    Args:
        e_value: To be reached: 1/alpha decides.
        most_losses: Largest number of losses.

    Returns:
        Wins, shape (most_losses + 1,), int.
    """
    fewest = np.zeros(most_losses + 1, dtype=np.int64)
    wins = 0
    for losses in range(most_losses + 1):
        while log_e_value(wins, losses) < log(e_value):
            wins += 1
        fewest[losses] = wins
    return fewest


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

    futile: float = 0.0
    """E-value below which a plan ends undecided, as `SequentialPlan` has it; 0: it goes on."""

    pairs: int = field(default=0, init=False)
    """Pairs so far."""

    wins: int = field(default=0, init=False)
    """Pairs that the first policy alone solved."""

    losses: int = field(default=0, init=False)
    """Pairs that the second policy alone solved."""

    log_e: float = field(default=0.0, init=False)
    """Log of the e-value."""

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
        self.log_e = float(log_e_value(self.wins, self.losses))
        self.largest_log_e = max(self.largest_log_e, self.log_e)
        if self.is_decided and self.decided_after is None:
            self.decided_after = self.pairs

    @property
    def is_decided(self) -> bool:
        """Whether the first policy has been shown to be better; it stays so."""
        return self.largest_log_e >= -log(self.alpha)

    @property
    def is_futile(self) -> bool:
        """Whether a plan ends here, undecided. Going on keeps the error rate."""
        return not self.is_decided and self.e_value < self.futile

    @property
    def e_value(self) -> float:
        """Evidence at the last pair; more than 1e300 is given as that."""
        return exp(min(self.log_e, log(1e300)))

    @property
    def p_value(self) -> float:
        """One-sided p-value that is valid at every pair."""
        return exp(-self.largest_log_e)


def ending_probabilities(
    share: float, most: int, alpha: float, futile: float = 0.0
) -> tuple[Array, Array]:
    """Compute when the test ends, counted in pairs that one policy alone solves.

    Args:
        share: Of wins among these pairs, in [0, 1].
        most: Largest number of such pairs.
        alpha: Error rate of the test, in (0, 1).
        futile: E-value below which it ends undecided; 0: it goes on.

    Returns:
        Probabilities that the test ends at exactly that number, decided and undecided, shape
        (most + 1,) each. The sum of the first is the power; at a share of 1/2 it is the error rate,
        exactly.
    """
    needed = fewest_wins(1 / alpha, most)
    kept = fewest_wins(futile, most) if futile > 0 else np.zeros(most + 1, dtype=int)
    losses = np.arange(most + 1)
    running = np.zeros(most + 1)
    running[0] = 1.0
    decided = np.zeros(most + 1)
    undecided = np.zeros(most + 1)
    for count in range(1, most + 1):
        lost = np.roll(running, 1)
        lost[0] = 0.0
        running = share * running + (1 - share) * lost
        wins = count - losses
        decided[count] = running[wins >= needed].sum()
        undecided[count] = running[wins < kept].sum()
        running[(wins >= needed) | (wins < kept)] = 0.0
    return decided, undecided
