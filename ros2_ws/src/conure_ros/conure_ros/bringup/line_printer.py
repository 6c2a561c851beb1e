"""Prints the nodes' output on a thread of its own."""

import contextlib
import io
import os
import queue
import select
import sys
import threading

WAITING_LINES = 10_000
LAST_LINES_S = 1.0
"""How long the end waits for lines that are not printed yet."""


class LinePrinter:
    """Prints lines behind their node's name. Never waits for the reader of the output.

    A pager that shows one page, or a terminal that was stopped, takes no more lines: the graph must
    end all the same when it is told to. Lines beyond `WAITING_LINES` are dropped then.

    >>> with LinePrinter() as printer:
    ...     printer("control", "[INFO] hold")
    """

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._gone = False
        self._thread = threading.Thread(target=self._print, daemon=True, name="output")
        self._thread.start()

    def __enter__(self) -> "LinePrinter":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
            self._thread.join(LAST_LINES_S)

    def __call__(self, name: str, line: str) -> None:
        """Print a line soon.

        Args:
            name: The node.
            line: One line of its output.

        Raises:
            BrokenPipeError: The reader of the output is gone.
        """
        if self._gone:
            raise BrokenPipeError
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(f"{name:>10} | {line}\n")

    def _print(self) -> None:
        try:
            while (text := self._lines.get()) is not None:
                _write(text.encode(errors="replace"))
        except (OSError, ValueError):
            self._gone = True


def _write(data: bytes) -> None:
    """Past Python's buffer, whose lock a thread that waits would keep at the interpreter's end.
    Raises: OSError, ValueError if the output is gone.
    """
    if sys.stdout is None:
        raise BrokenPipeError
    try:
        output = sys.stdout.fileno()
    except io.UnsupportedOperation:  # a notebook's
        sys.stdout.write(data.decode())
        return
    while data:
        try:
            data = data[os.write(output, data) :]
        except BlockingIOError:
            select.select([], [output], [])
