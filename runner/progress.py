"""How far a sweep is: a live bar on a terminal, one line for each run elsewhere.

    bar     done/all, failed, running, runs/s, memory of driver and largest worker, time left
    line    done/all, ok or failed, run id, seed, varied parameters, seconds, time left, memory

Counts runs, not chunks; two threads may report. Lines go to a log: they hold no control characters.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from runner.console import console, say
from runner.execution import Status
from runner.memory import held_bytes
from runner.spec import RunSpec

FIRST_RUNS = 4


class SweepProgress:
    """A context manager; `report` takes statuses, `running` how many runs are in hand."""

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._specs = {spec.run_id: spec for spec in specs}
        self.total, self.done, self.failed, self.running = len(specs), 0, 0, 0
        self._peak = 0
        self._lock = threading.Lock()
        self._start = time.monotonic()
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
        self._task = self._bar.add_task("runs", total=self.total, counts="")

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
        with self._lock:
            for status in statuses:
                self.done += 1
                self.failed += not status.ok
                self._peak = max(self._peak, status.peak_bytes)
                if self._bar.disable:
                    say(self._line(status))
        self.refresh()

    def refresh(self, running: int | None = None) -> None:
        """Show the counts."""
        self.running = self.running if running is None else running
        self._bar.update(self._task, completed=self.done, counts=self._counts())

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._screen.print(text, markup=False)

    def _line(self, status: Status) -> str:
        spec = self._specs.get(status.run_id)
        what = [] if spec is None else [f"seed {spec.seed}"]
        what += [] if spec is None else [f"{name}={value}" for name, value in spec.varied.items()]
        state = "ok" if status.ok else f"failed ({status.error[:80]})"
        took = f"{status.wall_seconds:.2f} s"
        told = [f"{self.done}/{self.total}", state, status.run_id, *what, took]
        return " ".join(" ".join(told).split()) + self._left() + f", {self._memory()}"

    def _left(self) -> str:
        """Time left at the rate so far; the first runs, which compile, say nothing about it."""
        if self.done < FIRST_RUNS:
            return ""
        return f", about {(self.total - self.done) * self.seconds / self.done:.0f} s left"

    def _counts(self) -> str:
        rate = self.done / max(self.seconds, 1e-9)
        return f"{self.failed} failed, {self.running} running, {rate:.2f} runs/s, {self._memory()}"

    def _memory(self) -> str:
        here = f"{held_bytes() / 2**20:.0f} MB"
        return f"{here} + {self._peak / 2**20:.0f} MB a worker" if self._peak else here
