"""What a person sees while stages run: one line a stage with a bar, time taken and time left, and
the whole below.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import get_console
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from conure_training.demo.pipeline import Stage

BAR_WIDTH = 28
ALMOST = 0.97  # a bar that outruns its estimate waits here


class StageDisplay:
    """A live table on a terminal, a line at each begin and end elsewhere. A stage's own bars appear
    below the table.

    Time left comes from `estimates_s`, by stage, scaled by what finished stages took against
    theirs.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        estimates_s: Mapping[str, float],
        console: Console | None = None,
    ) -> None:
        self._stages, self._estimates_s = stages, estimates_s
        self._taken_s: dict[str, float] = {}
        self._now, self._began_s = "", 0.0
        self._console = console or get_console()  # the one that the stages' own bars are drawn on
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)

    def __enter__(self) -> "StageDisplay":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._now = ""
        if self._console.is_terminal:
            self._live.stop()

    def begins(self, stage: Stage, seconds_before: float) -> None:
        """See stages.Watcher."""
        self._now, self._began_s = stage.name, time.monotonic() - seconds_before
        again = ", going on" if seconds_before > 0 else ""
        self._say(
            f"{self._place(stage)}: begun{again}; about {duration(self.left_s(stage.name))} left"
            " for it"
        )

    def ended(self, stage: Stage, seconds: float, kept: bool) -> None:
        """See stages.Watcher."""
        self._taken_s[stage.name] = seconds
        self._now = ""
        how = "finished before" if kept else f"finished after {duration(seconds)}"
        self._say(f"{self._place(stage)}: {how}; about {duration(self.all_left_s())} left in all")

    def left_s(self, name: str) -> float:
        """Estimated seconds that a stage still takes, 0 if it is finished or takes longer than was
        thought.
        """
        if name in self._taken_s:
            return 0.0
        gone_s = time.monotonic() - self._began_s if name == self._now else 0.0
        return max(0.0, self._estimate_s(name) - gone_s)

    def all_left_s(self) -> float:
        """Of all stages together."""
        return sum(self.left_s(stage.name) for stage in self._stages)

    def _estimate_s(self, name: str) -> float:
        thought_s = sum(self._estimates_s[done] for done in self._taken_s)
        pace = sum(self._taken_s.values()) / thought_s if thought_s else 1.0
        return self._estimates_s[name] * pace

    def _place(self, stage: Stage) -> str:
        return f"stage {self._stages.index(stage) + 1}/{len(self._stages)}, {stage.title}"

    def _say(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for justify in ("left", "left", "right", "left"):
            table.add_column(justify=justify)
        for number, stage in enumerate(self._stages, 1):
            table.add_row(f"{number} {stage.title}", *self._row(stage.name))
        taken_s = sum(self._taken_s.values()) + (
            time.monotonic() - self._began_s if self._now else 0.0
        )
        left_s = self.all_left_s()
        share = taken_s / (taken_s + left_s) if taken_s + left_s else 0.0
        table.add_row(
            "  all",
            ProgressBar(1.0, share, BAR_WIDTH),
            duration(taken_s),
            self._left(left_s),
            style="bold",
        )
        return table

    def _row(self, name: str) -> tuple[Any, str, str]:
        if name in self._taken_s:
            return ProgressBar(1.0, 1.0, BAR_WIDTH), duration(self._taken_s[name]), "done"
        if name != self._now:
            return ProgressBar(1.0, 0.0, BAR_WIDTH), "", self._left(self._estimate_s(name))
        gone_s = time.monotonic() - self._began_s
        share = min(ALMOST, gone_s / max(1e-9, self._estimate_s(name)))
        left_s = self.left_s(name)
        left = self._left(left_s) if left_s else "longer than thought"
        return ProgressBar(1.0, share, BAR_WIDTH), duration(gone_s), left

    @staticmethod
    def _left(seconds: float) -> str:
        return f"about {duration(seconds)} left" if seconds else ""


def duration(seconds: float) -> str:
    """For people: '45 s', '3 min 05 s', '1 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
