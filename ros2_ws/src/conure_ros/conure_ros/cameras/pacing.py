"""Which images a policy answers: one a control period, at any rate of the camera. Pure."""

EARLY = 0.25
"""Part of a period by which an image may come early: cameras jitter."""


class Pace:
    """A grid of times one period apart, which moves with the accepted images. Images in between are
    skipped.

    An action is what should happen within one control period. More answers would command more
    motion than the demonstrations contain. If the camera's rate is no multiple of the control rate,
    the mean rate is kept.

    >>> pace = Pace(period_ns=100_000_000)
    >>> [pace.takes(index * 33_333_333) for index in range(7)]  # 30 Hz, a policy at 10 Hz
    [True, False, False, True, False, False, True]
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._early_ns = round(EARLY * period_ns)
        self._due_ns: int | None = None

    def takes(self, captured_ns: int) -> bool:
        """Whether to answer the image captured at this time, ns. A clock that went back restarts
        the grid.
        """
        due_ns = self._due_ns
        if due_ns is None or captured_ns < due_ns - 2 * self._period_ns:
            due_ns = captured_ns
        if captured_ns < due_ns - self._early_ns:
            return False
        self._due_ns = max(due_ns, captured_ns - self._early_ns) + self._period_ns
        return True
