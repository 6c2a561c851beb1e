"""The keyboard of the terminal."""

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator

from conure_core.errors import ConfigError
from conure_ros.teleop.key_parser import KeyParser

CHUNK_BYTES = 64
BRACKETED_PASTE = "\x1b[?2004h", "\x1b[?2004l"
INPUT_FLAGS, CONTROL_CHARACTERS = 0, 6


def require_terminal(verb: str) -> None:
    """Raises: ConfigError if the standard input is not a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(
            f"conure {verb} needs a terminal to read keys from; this input is not a terminal"
        )


class Keyboard:
    """The keys pressed in this terminal, as bytes or as keys."""

    def __init__(self) -> None:
        self._parser = KeyParser()

    def read(self, wait_s: float) -> bytes | None:
        """Bytes that came within `wait_s`; b'' if none, None if the terminal is gone."""
        try:
            if not select.select([sys.stdin], [], [], wait_s)[0]:
                return b""
            return os.read(sys.stdin.fileno(), CHUNK_BYTES) or None
        except (OSError, ValueError):
            return None

    def pressed(self, wait_s: float) -> str | None:
        """Keys pressed within `wait_s`; '' if none, None if the terminal is gone."""
        data = self.read(wait_s)
        return None if data is None else self._parser.feed(data, time.monotonic())


@contextlib.contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Read keys without Enter and without echo. The terminal is always restored at the end.

    Ctrl-S, which would stop the output, and Ctrl-Z, which would stop the process, are keys here.
    Pasted text is marked, so that it is not taken for keys.
    """
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin.fileno())
        ours = termios.tcgetattr(sys.stdin)
        ours[INPUT_FLAGS] &= ~termios.IXON
        ours[CONTROL_CHARACTERS][termios.VSUSP] = b"\0"
        termios.tcsetattr(sys.stdin, termios.TCSANOW, ours)
        _show(BRACKETED_PASTE[0])
        yield Keyboard()
    finally:
        _show(BRACKETED_PASTE[1])
        with contextlib.suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _show(sequence: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stdout.isatty():
            sys.stdout.write(sequence)
            sys.stdout.flush()
