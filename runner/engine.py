"""Where the runs of a sweep are done: in this process, in children of it, or on Ray.

    --workers 0     in this very process, one after the other, for debugging
    otherwise       in forked children of it, one a core, which have nothing to start
    and from the break-even of `runner.cluster` on, or with an address, on Ray

The first run is done by one child alone: it fills Numba's cache, which the others then share, says
whether the settings can be used at all, and may die without taking the sweep along. After that the
work that is left is estimated anew with every run. When it is worth Ray's start, the children go on
while Ray starts and finish what they have in hand; Ray does the rest, and what a child that died
had in hand.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from markets.errors import ConfigError
from runner.child import Children, WorkerDied, possible
from runner.cluster import LOCAL, break_even_seconds, session
from runner.dispatch import Dispatcher
from runner.execution import Done, Target, perform, status, write
from runner.progress import SweepProgress
from runner.spec import RunSpec

COMMIT_SECONDS = 2.0
COMMIT_RUNS = 256
TRUST_SECONDS = 1.0


@dataclass(frozen=True)
class Engine:
    """What was asked for: `workers` None is one for each core, 0 this process alone."""

    workers: int | None = None
    address: str | None = None

    @property
    def count(self) -> int:
        """How many workers there are on this machine."""
        return cores() if self.workers is None else self.workers

    @property
    def here(self) -> str:
        """What works without Ray, for people."""
        return f"{self.count} children of this process" if possible() else "this process"

    @property
    def there(self) -> str:
        """Where Ray works, for people."""
        if self.address in (None, LOCAL):
            return f"on {self.count} local Ray workers"
        return f"on the Ray cluster at {self.address}"

    def pays(self, seconds: float) -> bool:
        """Whether so much work is for Ray."""
        return bool(self.count) and (
            self.address is not None or seconds >= break_even_seconds(self.count)
        )


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Outlook:
    """How long a run takes and how much work is left; says where it is done, once it is known.

    The first run may have compiled: it is forgotten as soon as there is another, and Ray is not
    started on less than `TRUST_SECONDS` of other runs.
    """

    def __init__(self, engine: Engine, total: int, progress: SweepProgress) -> None:
        self._engine, self.left, self._progress = engine, total, progress
        self._timed, self._sum, self._said = 0, 0.0, False

    @property
    def seconds(self) -> float:
        """Mean time of a run; infinite as long as none is known."""
        return self._sum / max(self._timed - 1, 1) if self._timed else float("inf")

    @property
    def _trusted(self) -> bool:
        return self._timed > 1 and self._sum >= TRUST_SECONDS

    def ray_after(self, done: Done) -> bool:
        """Count a run; whether what is left is for Ray from now on."""
        self.left -= 1
        if not done.error.startswith(WorkerDied.__name__):
            self._sum = done.wall_seconds + (self._sum if self._timed > 1 else 0.0)
            self._timed += 1
        if not self.left or not self._engine.count:
            return False
        work = self.seconds * self.left
        pays = self._engine.pays(work)
        if pays and self._engine.address is None and not self._trusted:
            return False
        if pays or not self._said:
            self._say(work, pays)
        return pays

    def _say(self, work: float, pays: bool) -> None:
        self._said = True
        least = break_even_seconds(self._engine.count)
        where = self._engine.there if pays else f"in {self._engine.here}"
        more = "" if pays or least == float("inf") else f", on Ray from {least:.0f} s on"
        self._progress.say(f"about {work:.1f} s of work left: {where}{more}")


def one_by_one(
    specs: Sequence[RunSpec], limit_seconds: float | None, engine: Engine
) -> Iterator[Done]:
    """The runs in a child at first, or in this process if that is asked for."""
    if engine.workers != 0 and possible():
        return Children(specs, limit_seconds)
    return (perform(spec, limit_seconds=limit_seconds) for spec in specs)


def work(todo: Sequence[RunSpec], target: Target, engine: Engine, progress: SweepProgress) -> None:
    """Do the runs and commit them.

    Raises the ConfigError of the first run, before anything is written.
    """
    runs = one_by_one(todo, target.limit_seconds, engine)
    outlook = Outlook(engine, len(todo), progress)
    try:
        first = next(runs)
        if isinstance(first.cause, ConfigError):
            raise first.cause
        _commit([first], target, progress)
        to_ray = outlook.ray_after(first)
        if isinstance(runs, Children):
            runs.grow(engine.count)
        if to_ray or work_here(runs, target, progress, outlook.ray_after):
            here = runs if isinstance(runs, Children) else None
            _fan_out(here, todo[-outlook.left :], target, (engine, outlook.seconds, progress))
    finally:
        if isinstance(runs, Children):
            runs.close()


def _never(done: Done) -> bool:
    return False


def work_here(
    runs: Iterable[Done],
    target: Target,
    progress: SweepProgress,
    enough: Callable[[Done], bool] = _never,
) -> bool:
    """Commit runs as they end, every few seconds; whether it stopped because one was `enough`."""
    batch: list[Done] = []
    clock = time.monotonic()
    progress.refresh(1)
    try:
        for done in runs:
            batch.append(done)
            if enough(done):
                return True
            if time.monotonic() - clock >= COMMIT_SECONDS or len(batch) >= COMMIT_RUNS:
                _commit(batch, target, progress)
                batch, clock = [], time.monotonic()
    finally:
        if batch:
            _commit(batch, target, progress)
    return False


def _commit(batch: Sequence[Done], target: Target, progress: SweepProgress) -> None:
    write(batch, target)
    progress.report([status(done) for done in batch])


def _fan_out(
    children: Children | None,
    rest: Sequence[RunSpec],
    target: Target,
    how: tuple[Engine, float, SweepProgress],
) -> None:
    """The rest on Ray, less what the children do while Ray starts."""
    engine, seconds, progress = how
    if children is None:
        with session(engine.count, engine.address) as crew:
            Dispatcher(crew, rest, target, seconds, progress).work()
        return
    with (
        _meanwhile(children, target, progress) as end,
        session(engine.count, engine.address) as crew,
    ):
        for left in (children.drain, end):
            Dispatcher(crew, left(), target, seconds, progress).work()


@contextmanager
def _meanwhile(
    runs: Children, target: Target, progress: SweepProgress
) -> Iterator[Callable[[], list[RunSpec]]]:
    """The children go on, committed by a thread.

    Gives a function that waits for their end and returns the runs that died with a child.
    """
    failures: list[BaseException] = []

    def go_on() -> None:
        try:
            work_here(runs, target, progress)
        except BaseException as error:
            failures.append(error)
        finally:
            runs.close()

    thread = threading.Thread(target=go_on)

    def end() -> list[RunSpec]:
        thread.join()
        if failures:
            raise failures[0]
        return runs.lost()

    runs.shrink()
    thread.start()
    try:
        yield end
    finally:
        runs.stop()
        thread.join()
