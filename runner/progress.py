"""How far a sweep is: a live bar on a terminal, a plain line every ten seconds elsewhere.

Counts runs, not chunks: done, failed, running, runs per second, and the time left at that rate.
"""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from runner.console import console, say
from runner.execution import Status

LINE_SECONDS = 10.0
FIRST_RUNS = 4


class SweepProgress:
    """A context manager; `report` takes statuses, `running` how many runs are in hand."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.total, self.done, self.failed, self.running = total, 0, 0, 0
        self._start = self._line = time.monotonic()
        self._screen = console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            console=self._screen,
            disable=not self._screen.is_terminal,
        )
        self._task = self._bar.add_task("runs", total=total, counts="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def report(self, statuses: Iterable[Status]) -> None:
        """Some runs have ended."""
        for status in statuses:
            self.done += 1
            self.failed += not status.ok
        self.refresh()

    def refresh(self, running: int | None = None) -> None:
        """Show the counts; away from a terminal, if ten seconds have passed."""
        self.running = self.running if running is None else running
        self._bar.update(self._task, completed=self.done, counts=self._counts())
        now = time.monotonic()
        if self._bar.disable and now - self._line >= LINE_SECONDS:
            self._line = now
            say(f"{self.done}/{self.total} runs, {self._counts()}{self._left()}")

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._screen.print(text, markup=False)

    def _left(self) -> str:
        """Time left at the rate so far; the first runs, which compile, say nothing about it."""
        if self.done < FIRST_RUNS:
            return ""
        return f", about {(self.total - self.done) * self.seconds / self.done:.0f} s left"

    def _counts(self) -> str:
        rate = self.done / max(self.seconds, 1e-9)
        return f"{self.failed} failed, {self.running} running, {rate:.2f} runs/s"
