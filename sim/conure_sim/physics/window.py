"""Whether a window can be opened here. PyBullet itself ends the whole process where it cannot."""

import ctypes
import ctypes.util
import os
import sys

from conure_core.errors import ConfigError


def require_display() -> None:
    """Raises: ConfigError where there is no display to open a window on (Linux; elsewhere there
    always is one).
    """
    if not sys.platform.startswith("linux"):
        return
    name = os.environ.get("DISPLAY", "")
    if not name:
        raise ConfigError(
            "a window needs a display, and DISPLAY is not set; leave the window out, or log in with"
            " ssh -X"
        )
    if not _opens():
        raise ConfigError(
            f"a window needs a display, and '{name}' (DISPLAY) cannot be opened; leave the"
            " window out"
        )


def _opens() -> bool:
    library = ctypes.util.find_library("X11")
    if library is None:
        return False
    x11 = ctypes.CDLL(library)
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = x11.XOpenDisplay(None)
    if display:
        x11.XCloseDisplay(display)
    return bool(display)
