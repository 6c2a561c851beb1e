"""The display of a running pipeline: a line a step, with a bar, time taken and time left."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import get_console
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from conure_training.demo.pipeline import PipelineStep

BAR_WIDTH = 28
ALMOST = 0.97
"""Share at which the bar of a step waits that takes longer than its estimate."""


class StepDisplay:
    """A live table on a terminal, a line at each start and end elsewhere.

    A step's own bars appear below the table. Time left is a step's estimate, scaled by the ratio of
    time taken to estimate over the finished steps.
    """

    def __init__(
        self,
        steps: Sequence[PipelineStep],
        estimates_s: Mapping[str, float],
        console: Console | None = None,
    ) -> None:
        """Prepare the display.

        Args:
            steps: All steps, in order.
            estimates_s: Expected time of each, by name.
            console: Where to draw; None: where the steps draw their own bars.
        """
        self._steps = steps
        self._estimates_s = estimates_s
        self._taken_s: dict[str, float] = {}
        self._now = ""
        self._start_s = 0.0
        self._console = console or get_console()
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)

    def __enter__(self) -> "StepDisplay":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._now = ""
        if self._console.is_terminal:
            self._live.stop()

    def on_start(self, step: PipelineStep, seconds_before: float) -> None:
        """Show that a step starts, see Watcher.

        Args:
            step: The step.
            seconds_before: Work of earlier, interrupted runs.
        """
        self._now = step.name
        self._start_s = time.monotonic() - seconds_before
        how = "resumed" if seconds_before > 0 else "started"
        left = duration(self.left_s(step.name))
        self._say(f"{self._place(step)}: {how}; about {left} left for it")

    def on_end(self, step: PipelineStep, seconds: float, kept: bool) -> None:
        """Show that a step is finished, see Watcher.

        Args:
            step: The step.
            seconds: Work of all runs.
            kept: Whether it was finished before.
        """
        self._taken_s[step.name] = seconds
        self._now = ""
        how = "finished before" if kept else f"finished after {duration(seconds)}"
        self._say(f"{self._place(step)}: {how}; about {duration(self.all_left_s())} left in all")

    def left_s(self, name: str) -> float:
        """Estimate the seconds that a step still takes; 0 if finished or beyond its estimate."""
        if name in self._taken_s:
            return 0.0
        elapsed_s = time.monotonic() - self._start_s if name == self._now else 0.0
        return max(0.0, self._estimate_s(name) - elapsed_s)

    def all_left_s(self) -> float:
        """Estimate the seconds that all steps together still take."""
        return sum(self.left_s(step.name) for step in self._steps)

    def _estimate_s(self, name: str) -> float:
        expected_s = sum(self._estimates_s[done] for done in self._taken_s)
        pace = sum(self._taken_s.values()) / expected_s if expected_s else 1.0
        return self._estimates_s[name] * pace

    def _place(self, step: PipelineStep) -> str:
        return f"step {self._steps.index(step) + 1}/{len(self._steps)}, {step.title}"

    def _say(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for justify in ("left", "left", "right", "left"):
            table.add_column(justify=justify)
        for number, step in enumerate(self._steps, 1):
            table.add_row(f"{number} {step.title}", *self._row(step.name))
        taken_s = sum(self._taken_s.values())
        if self._now:
            taken_s += time.monotonic() - self._start_s
        left_s = self.all_left_s()
        share = taken_s / (taken_s + left_s) if taken_s + left_s else 0.0
        bar = ProgressBar(1.0, share, BAR_WIDTH)
        table.add_row("  all", bar, duration(taken_s), self._left(left_s), style="bold")
        return table

    def _row(self, name: str) -> tuple[Any, str, str]:
        if name in self._taken_s:
            return ProgressBar(1.0, 1.0, BAR_WIDTH), duration(self._taken_s[name]), "done"
        if name != self._now:
            return ProgressBar(1.0, 0.0, BAR_WIDTH), "", self._left(self._estimate_s(name))
        elapsed_s = time.monotonic() - self._start_s
        share = min(ALMOST, elapsed_s / max(1e-9, self._estimate_s(name)))
        left_s = self.left_s(name)
        left = self._left(left_s) if left_s else "longer than expected"
        return ProgressBar(1.0, share, BAR_WIDTH), duration(elapsed_s), left

    @staticmethod
    def _left(seconds: float) -> str:
        return f"about {duration(seconds)} left" if seconds else ""


def duration(seconds: float) -> str:
    """Format a time for people: '45 s', '3 min 05 s', '1 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
