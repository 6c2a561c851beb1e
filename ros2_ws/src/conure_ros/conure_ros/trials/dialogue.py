"""What a person is asked in the terminal, and answers by keys. No ROS."""

from collections.abc import Callable, Sequence
from typing import Protocol

from conure_core.errors import RobotError
from conure_ros.commands.stop import say
from conure_ros.trials.journal import FAILURE, INVALID, LONGEST_REASON, SUCCESS

POLL_S = 0.05
STOP, ENTER, BACKSPACE = " ", "\r\n", "\x7f\x08"
ENDED = "\x04"
LABEL_KEYS = {"s": SUCCESS, "f": FAILURE, "i": INVALID}


class TerminalGone(RobotError):
    """Nobody is there any more to answer."""


class Keys(Protocol):
    """Where keys come from, as `teleop.terminal.Keyboard`."""

    def pressed(self, wait_s: float) -> str | None:
        """Keys pressed within `wait_s`; '' if none, None if the terminal is gone."""


class Dialogue:
    """Asks, and waits for keys. Meanwhile `turn` runs; space calls `stop`, but in typed text."""

    def __init__(self, keys: Keys, turn: Callable[[], None], stop: Callable[[], None]) -> None:
        self._keys, self._turn, self._stop = keys, turn, stop
        self._waiting = ""

    def read(self, wait_s: float = 0.0) -> str:
        """The next key; '' if none is pressed within `wait_s`. Raises: TerminalGone."""
        if not self._waiting:
            pressed = self._keys.pressed(wait_s)
            if pressed is None or ENDED in pressed:
                raise TerminalGone("the terminal is closed")
            self._waiting = pressed
        key, self._waiting = self._waiting[:1], self._waiting[1:]
        return key

    def poll(self) -> str:
        """The next key while something runs; space stops the arm."""
        key = self.read()
        if key == STOP:
            self._stop()
            return ""
        return key

    def choose(self, question: str, valid: str) -> str:
        r"""Ask until one of these keys is pressed.

        Args:
            question: What is asked, one line.
            valid: The keys that answer; "\n" is Enter.

        Returns:
            The key, in small letters.
        """
        say(question)
        self._waiting = ""  # what was pressed before the question answers nothing
        while True:
            self._turn()
            key = self.read(POLL_S)
            if key == STOP:
                self._stop()
            answer = "\n" if key and key in ENTER else key.lower()
            if answer and answer in valid:
                return answer

    def type_line(self, question: str) -> str:
        """Ask for a line of text, shown while it is typed; Backspace corrects it.

        Args:
            question: What is asked, one line.

        Returns:
            The line, without blanks around it.
        """
        say(question)
        text = ""
        while True:
            self._turn()
            key = self.read(POLL_S)
            if key and key in ENTER:
                say("")
                return text.strip()
            if key and key in BACKSPACE:
                text = text[:-1]
            elif key.isprintable() and len(text) < LONGEST_REASON:
                text += key
            if key:
                print(f"\r\x1b[K> {text}", end="", flush=True)

    def choose_reason(self, reasons: Sequence[str]) -> str:
        """Ask why a trial failed: a number of the list, or another reason, which extends it.

        Args:
            reasons: Known reasons.

        Returns:
            The reason; never empty.
        """
        listed = ", ".join(f"{number} {reason}" for number, reason in enumerate(reasons, start=1))
        while True:
            answer = self.type_line(f"why? {listed}; a number or a new reason, then Enter")
            if answer.isdecimal():
                number = int(answer)
                if 1 <= number <= len(reasons):
                    return reasons[number - 1]
                say(f"there is no reason {number}; give 1 to {len(reasons)}")
            elif answer:
                return answer

    def explain(self, question: str) -> str:
        """Ask for a text that may not be empty."""
        while not (answer := self.type_line(question)):
            pass
        return answer
