"""The tree of errors. A message says what was expected, what came and what to do."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_IN_ADDRESS = re.compile(r"://[^\s'\"]*@")
_AS_FIELD = re.compile(r"(?i)(?<![a-z])(pass(?:word|wd)?|pwd?|token|secret)=[^&\s'\"]+")


class ConureError(Exception):
    """Root of every error that Conure raises on purpose; the command line prints it as one line."""


class ConfigError(ConureError):
    """A configuration file or an override that cannot be used."""


class SpecMismatch(ConureError):
    """Two sides of the contract differ (arm, image size, rate, ...)."""


class BundleError(ConureError):
    """A policy bundle that is missing, truncated, altered or does not reproduce its golden
    outputs.
    """


class DataError(ConureError):
    """A data set or an episode that cannot be used."""


class StateError(ConureError):
    """A saved state that does not fit this environment, or cannot be reached in it."""


class WorkerError(ConureError):
    """A process that worked for this one failed or died."""


class RobotError(ConureError):
    """Root of the errors that keep an arm from moving."""


class UnsafeCommand(RobotError):
    """A command that must not reach the arm."""


class StaleInput(RobotError):
    """An observation or a command older than its limit."""


def without_passwords(text: str) -> str:
    """Hide what a message must not show: users and passwords of addresses.

    >>> without_passwords("rtsp://me:secret@camera/1?pwd=secret")
    'rtsp://...@camera/1?pwd=...'
    """
    return _AS_FIELD.sub(r"\1=...", _IN_ADDRESS.sub("://...@", text))


def unknown_name(
    kind: str,
    name: str,
    valid: Iterable[str],
    error: type[ConureError] = ConfigError,
) -> ConureError:
    """Build the error for a name that is not among the valid ones.

    Args:
        kind: What the name should name, such as "robot".
        name: What came.
        valid: The valid names, in any order; the message lists them all, and the closest one.
        error: Type of the error.

    Returns:
        The error, for the caller to raise.
    """
    names = sorted(valid)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    listed = ", ".join(names) or "none"
    return error(f"unknown {kind} '{name}'{hint} Valid: {listed}.")
