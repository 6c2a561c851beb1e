"""A verb of conure in a terminal of its own."""

import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time

CODE = "import sys; from conure_core.cli import main; sys.exit(main())"


class Terminal:
    """A verb of conure behind a pseudo-terminal; what it shows is read on a thread."""

    def __init__(self, environment, *words):
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.shown, self._ended = "", threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, *words],
            env={**os.environ, **environment},
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while not self._ended.is_set():
            if select.select([self.ours], [], [], 0.05)[0]:
                self.shown += os.read(self.ours, 4096).decode(errors="replace")

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def hold(self, key, seconds, rate_hz=30.0):
        """As a keyboard repeats a key."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.press(key)
            time.sleep(1 / rate_hz)

    @property
    def restored(self):
        return termios.tcgetattr(self.theirs) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._ended.set()
        self._thread.join()
        os.close(self.ours)
        os.close(self.theirs)
