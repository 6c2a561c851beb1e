"""Numbers that are drawn in proportion to their size, in logarithmic time."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class SumTree:
    """A binary tree whose leaves hold n values >= 0, and whose nodes hold the sum below them.

    Source: Schaul et al., Prioritized Experience Replay, arXiv 1511.05952, appendix B.2.1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._depth = max(1, int(np.ceil(np.log2(max(2, size)))))
        self._first = 2**self._depth
        self._nodes = np.zeros(2 * self._first)

    @property
    def values(self) -> Numbers:
        """All leaves, (n,); not to be written to."""
        return self._nodes[self._first : self._first + self.size]

    @property
    def total(self) -> float:
        """Their sum."""
        return float(self._nodes[1])

    def set(self, leaves: NDArray[np.int64], values: Numbers) -> None:
        """Replace leaves.

        Args:
            leaves: Their numbers, shape (k,); where one is there twice, the last value counts.
            values: What they hold then, (k,), >= 0.
        """
        nodes = leaves + self._first
        self._nodes[nodes] = values
        for _ in range(self._depth):
            nodes = np.unique(nodes // 2)
            self._nodes[nodes] = self._nodes[2 * nodes] + self._nodes[2 * nodes + 1]

    def prefix(self, leaf: int) -> float:
        """Sum of the leaves before this one."""
        node, total = leaf + self._first, 0.0
        if leaf >= self._first:
            return self.total
        while node > 1:
            if node % 2:
                total += float(self._nodes[node - 1])
            node //= 2
        return total

    def find(self, masses: Numbers) -> NDArray[np.int64]:
        """Find the leaves that these points of [0, total) fall into.

        Args:
            masses: Shape (k,).

        Returns:
            Numbers of leaves whose value is above 0, (k,).
        """
        nodes = np.ones(len(masses), dtype=np.int64)
        left_over = masses.copy()
        for _ in range(self._depth):
            left = self._nodes[2 * nodes]
            # Rounding must not lead into a branch that holds nothing.
            right = (left_over >= left) & (self._nodes[2 * nodes + 1] > 0)
            left_over = np.where(right, left_over - left, np.minimum(left_over, left))
            nodes = 2 * nodes + right
        return nodes - self._first
