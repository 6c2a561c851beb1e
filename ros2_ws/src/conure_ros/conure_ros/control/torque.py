"""Did the arm's driver switch the torque as requested? Pure: times come in, no clock is read."""

CONFIRM_S = 3.0
"""Longest time for a driver's answer."""
NOT_OFF = "torque off is not confirmed: the arm may still be held; cut its power to be sure"


class Torque:
    """The last request to the driver, and its answer.

    >>> torque = Torque()
    >>> request = torque.ask(on=False, now_s=0.0)
    >>> torque.alarm == NOT_OFF, torque.overdue(3.1)
    (True, True)
    >>> torque.take_answer(request, True, ""), torque.alarm
    (True, '')
    """

    def __init__(self, on: bool = True) -> None:
        self.on = on
        """The last requested torque; an arm has torque at the start."""
        self.request = 0
        """Its number. Equal requests in a row share one number: the first answer counts for all.
        """
        self.alarm = ""
        """Why the arm may still have torque though it should be limp; '' if it has not."""
        self._asked_s: float | None = None

    @property
    def unanswered(self) -> bool:
        return self._asked_s is not None

    def ask(self, on: bool, now_s: float) -> int:
        """Note a request to the driver.

        Args:
            on: Whether the arm is to have torque.
            now_s: Present time on the steady clock, s.

        Returns:
            The number of this request, which its answer names.
        """
        if on is not self.on:
            self.request += 1
        self.on, self._asked_s = on, now_s
        self.alarm = "" if on else NOT_OFF
        return self.request

    def take_answer(self, request: int, success: bool, message: str) -> bool:
        """Note the driver's answer.

        Args:
            request: Number of the request that it answers.
            success: Whether the driver switched the torque.
            message: The driver's explanation, for `alarm`.

        Returns:
            Whether the answer counts. An answer to an older, opposite request does not.
        """
        if request != self.request:
            return False
        self._asked_s = None
        self.alarm = "" if success or self.on else f"torque: {message}; {NOT_OFF}"
        return True

    def overdue(self, now_s: float) -> bool:
        """Whether the driver did not answer within CONFIRM_S."""
        return self._asked_s is not None and now_s - self._asked_s > CONFIRM_S
