"""Silence PyBullet, which prints from C, past Python's own streams, when imported or connected."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STREAMS = (1, 2)


@contextmanager
def quiet() -> Iterator[None]:
    """Send what the C library prints meanwhile, on stdout and stderr, to /dev/null."""
    sys.stdout.flush()
    sys.stderr.flush()
    copies = {stream: os.dup(stream) for stream in STREAMS}
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in copies:
            os.dup2(null, stream)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        for stream, copy in copies.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(null)
