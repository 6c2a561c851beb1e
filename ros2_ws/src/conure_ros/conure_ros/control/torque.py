"""Whether the arm's driver switched the torque as it was asked to. Pure: times come in, no clock is
read.
"""

CONFIRM_S = 3.0
"""How long a driver may take to answer."""
NOT_OFF = "torque off is not confirmed: the arm may still be held; cut its power to be sure"


class Torque:
    """The last request to the driver, and its answer.

    >>> torque = Torque()
    >>> request = torque.ask(on=False, now_s=0.0)
    >>> torque.alarm == NOT_OFF, torque.overdue(3.1)
    (True, True)
    >>> torque.answered(request, True, ""), torque.alarm
    (True, '')
    """

    def __init__(self, on: bool = True) -> None:
        self.on = on
        """The torque that was asked for last; an arm has its torque from the start."""
        self.request = 0
        """Its number; requests for the same, one after the other, have one number: the first answer
        counts for all.
        """
        self.alarm = ""
        """Why the arm may still be held though it should be limp; '' if it is not so."""
        self._asked_s: float | None = None

    @property
    def unanswered(self) -> bool:
        return self._asked_s is not None

    def ask(self, on: bool, now_s: float) -> int:
        """Returns the number of this request, which its answer names."""
        if on is not self.on:
            self.request += 1
        self.on, self._asked_s = on, now_s
        self.alarm = "" if on else NOT_OFF
        return self.request

    def answered(self, request: int, success: bool, message: str) -> bool:
        """The driver's answer to a request. Returns whether it counts: one that the opposite
        overtook does not.
        """
        if request != self.request:
            return False
        self._asked_s = None
        self.alarm = "" if success or self.on else f"torque: {message}; {NOT_OFF}"
        return True

    def overdue(self, now_s: float) -> bool:
        """Whether the driver did not answer in time."""
        return self._asked_s is not None and now_s - self._asked_s > CONFIRM_S
