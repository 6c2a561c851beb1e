"""The terminal's keyboard, key by key."""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

from conure_core.errors import ConfigError

CHUNK_BYTES = 64


def require_terminal(verb: str) -> None:
    """Raises: ConfigError if the input is no terminal."""
    if not sys.stdin.isatty():
        raise ConfigError(f"conure {verb} needs a terminal to read keys from; this input is none")


@contextlib.contextmanager
def keyboard() -> Iterator[None]:
    """Keys come without Enter and are not shown; the terminal is put back as it was, however this ends."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin.fileno())
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def pressed(wait_s: float) -> str | None:
    """The keys pressed, '' if none within so long, None if the terminal is gone."""
    if not select.select([sys.stdin], [], [], wait_s)[0]:
        return ""
    try:
        return os.read(sys.stdin.fileno(), CHUNK_BYTES).decode(errors="replace") or None
    except OSError:
        return None
