"""Where the runs of a sweep are done: in this process, in children of it, or on Ray.

    here        less work than children are worth; all of it with `--workers 0`, for debugging
    children    forked from this process: as many as there is work for, at most one a core
    Ray         from the break-even of `runner.cluster` on, or with an address

What is left is estimated anew with every run, without the time that went into loading kernels, and
goes from here to children and from there to Ray, never back. A run that kills the process that does
it is a failed row if that was a child, and ends the sweep here; so only a sweep of few runs begins
here. It begins in one child alone if it has a time limit, since compiled code that hangs ends with
its process only, or if the last sweep in its folder came to no end: thus the same command gets past
a run that killed it. On the way to Ray the children go on while it starts and finish what they have
in hand; Ray does the rest, and what a child that died had in hand.
"""

import enum
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
CHILD_SECONDS = 0.4
"""Work that is worth a child. To fork one, have it touch its memory and end it took 0.03 to 0.09
seconds, and a run comes back through a pipe in 0.002: two of them were level with one process at
0.5 seconds of work (`fathom bench runner`)."""
ALONE_SECONDS = 5.0
"""Work that is worth a single child, which ends no sooner: it costs a hundredth and is safer."""
FEW_RUNS = 100
"""More are worth children whatever they are: a run takes five milliseconds at least."""


class Place(enum.IntEnum):
    """Where runs are done, in the order in which a sweep may move."""

    HERE = 0
    CHILDREN = 1
    RAY = 2


@dataclass(frozen=True)
class Engine:
    """What was asked for: `workers` None is one for each core, 0 this process alone.

    `wary` of runs that kill their process: none is done here.
    """

    workers: int | None = None
    address: str | None = None
    wary: bool = False

    @property
    def count(self) -> int:
        """How many workers there are on this machine."""
        return cores() if self.workers is None else self.workers

    @property
    def forks(self) -> bool:
        """Whether there may be children."""
        return self.workers != 0 and possible()

    def begins(self, runs: int, limit_seconds: float | None) -> Place:
        """Where the first of so many runs is done."""
        here = runs <= FEW_RUNS and limit_seconds is None and self.address is None
        return Place.HERE if (here and not self.wary) or not self.forks else Place.CHILDREN

    def best(self, seconds: float) -> Place:
        """Where so much work is done soonest."""
        if self.count and (self.address is not None or seconds >= break_even_seconds(self.count)):
            return Place.RAY
        return Place.CHILDREN if self.forks and seconds >= self.forking_seconds else Place.HERE

    @property
    def forking_seconds(self) -> float:
        """Work from which it goes to children."""
        return 2 * CHILD_SECONDS if self.count > 1 else ALONE_SECONDS

    def children(self, seconds: float) -> int:
        """How many of them so much work is for."""
        return max(1, int(min(self.count, seconds / CHILD_SECONDS)))

    def named(self, place: Place, seconds: float) -> str:
        """A place for so much work, for people."""
        if place is Place.HERE:
            more = f", in children of it from {self.forking_seconds:g} s on" if self.forks else ""
            return f"in this process{more}"
        if place is Place.CHILDREN:
            least = break_even_seconds(self.count)
            more = "" if least == float("inf") else f", on Ray from {least:.0f} s on"
            return f"in {self.children(seconds)} children of this process{more}"
        if self.address in (None, LOCAL):
            return f"on {self.count} local Ray workers"
        return f"on the Ray cluster at {self.address}"


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Outlook:
    """How much work is left, and where it is done; says so whenever that changes.

    Ray is not started on less than `TRUST_SECONDS` of runs.
    """

    def __init__(self, engine: Engine, total: int, place: Place, progress: SweepProgress) -> None:
        self._engine, self.left, self.place, self._progress = engine, total, place, progress
        self._timed, self._sum = 0, 0.0
        self._said: Place | None = None

    @property
    def run_seconds(self) -> float:
        """Mean time of a run; infinite as long as none is known."""
        return self._sum / self._timed if self._timed else float("inf")

    @property
    def children(self) -> int:
        """How many of them what is left is for; one until a run has been timed."""
        return self._engine.children(self.seconds) if self._timed else 1

    @property
    def seconds(self) -> float:
        """Work that is left."""
        return self.run_seconds * self.left if self.left else 0.0

    def moves(self, done: Done) -> bool:
        """Count a run; whether what is left is done in another place from now on."""
        self.left -= 1
        if not done.error.startswith(WorkerDied.__name__):
            self._sum, self._timed = self._sum + done.work_seconds, self._timed + 1
        before, self.place = self.place, max(self.place, self._wanted())
        if self._timed and self.place is not self._said:
            self._said = self.place
            work = f"about {self.seconds:.1f} s of work left" if self.left else "one run, done"
            self._progress.say(f"{work}: {self._engine.named(self.place, self.seconds)}")
        return self.place is not before

    def _wanted(self) -> Place:
        wanted = self._engine.best(self.seconds) if self.left else self.place
        if self._engine.address is not None or self._sum >= TRUST_SECONDS:
            return wanted
        return min(wanted, Place.CHILDREN if self._engine.forks else Place.HERE)


def work(todo: Sequence[RunSpec], target: Target, engine: Engine, progress: SweepProgress) -> None:
    """Do the runs and commit them.

    Raises the ConfigError of the first run, before anything is written.
    """
    begin = engine.begins(len(todo), target.limit_seconds)
    outlook = Outlook(engine, len(todo), begin, progress)
    if begin is Place.HERE:
        runs = (perform(spec, limit_seconds=target.limit_seconds) for spec in todo)
        work_here(runs, target, progress, outlook.moves)
    rest = todo[len(todo) - outlook.left :]
    if rest and engine.forks:
        _in_children(rest, target, engine, outlook, progress)
    elif rest:
        with session(engine.count, engine.address) as crew:
            Dispatcher(crew, rest, target, outlook.run_seconds, progress).work()


def _in_children(
    rest: Sequence[RunSpec],
    target: Target,
    engine: Engine,
    outlook: Outlook,
    progress: SweepProgress,
) -> None:
    """In children first, which are more when there is work for more, and then perhaps on Ray."""
    children = Children(rest, target.limit_seconds, outlook.children)

    def to_ray(done: Done) -> bool:
        moves = outlook.moves(done)
        children.grow(outlook.children)
        return moves

    try:
        if outlook.place is Place.RAY or work_here(children, target, progress, to_ray):
            with (
                _meanwhile(children, target, progress) as end,
                session(engine.count, engine.address) as crew,
            ):
                for left in (children.drain, end):
                    Dispatcher(crew, left(), target, outlook.run_seconds, progress).work()
    finally:
        children.close()


def _never(done: Done) -> bool:
    return False


def work_here(
    runs: Iterable[Done],
    target: Target,
    progress: SweepProgress,
    enough: Callable[[Done], bool] = _never,
) -> bool:
    """Commit runs as they end, the first at once and others every few seconds.

    Returns whether it stopped because a run was `enough`. Raises the ConfigError of the first run.
    """
    batch: list[Done] = []
    clock = time.monotonic()
    progress.refresh(1)
    try:
        for done in runs:
            first = not progress.done and not batch
            if first and isinstance(done.cause, ConfigError):
                raise done.cause
            batch.append(done)
            if enough(done):
                return True
            late = time.monotonic() - clock >= COMMIT_SECONDS
            if first or late or len(batch) >= COMMIT_RUNS:
                _commit(batch, target, progress)
                batch, clock = [], time.monotonic()
    finally:
        if batch:
            _commit(batch, target, progress)
    return False


def _commit(batch: Sequence[Done], target: Target, progress: SweepProgress) -> None:
    write(batch, target)
    progress.report([status(done) for done in batch])


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
