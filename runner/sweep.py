"""`fathom sweep`: a design, all of it once, from where it stopped.

    plan -> forget what is committed -> first runs in a child -> the rest there or on Ray
         -> merge small parts -> summary, figure

The first run is done in a forked child: it fills Numba's cache, which the workers then share, says
how long a run takes, and may die without taking the sweep along. Starting Ray costs seconds, so a
sweep with less work left than that saves stays with children of this process, one a core; a longer
one goes to Ray, and the children go on while Ray starts. With `--workers 0` every run is done in
this very process. Nothing but the Parquet parts is state: stopping at any moment, by Ctrl-C,
SIGTERM or SIGKILL, loses the chunks in hand and no more. A copy of the sweep file lies beside them
for `fathom analyse`.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from markets.errors import ConfigError
from runner import store
from runner.child import Children, WorkerDied, possible
from runner.cluster import START_SECONDS, break_even_seconds, require_reachable, session
from runner.compaction import compact, remove_replaced
from runner.console import say
from runner.design import SWEEP_FILE, Plan, read_sweep
from runner.dispatch import Dispatcher
from runner.execution import Done, Target, perform, status, write
from runner.folder import CannotWrite, Folder
from runner.interrupt import status_of, terminable
from runner.progress import SweepProgress
from runner.spec import RunSpec
from runner.summary import print_plan, summarise_sweep

COMMIT_SECONDS = 2.0
COMMIT_RUNS = 256
AGAIN_SECONDS = 10.0


@dataclass(frozen=True)
class Options:
    """How to run: `workers` None is one for each core, 0 this process."""

    workers: int | None = None
    address: str | None = None
    dry_run: bool = False
    fresh: bool = False
    retry_failed: bool = False

    @property
    def forced(self) -> bool:
        """Whether Ray is asked for, however little there is to do."""
        return bool(self.workers) or self.address is not None

    def where(self, workers: int) -> str:
        """Where Ray works, for people."""
        if self.address is not None:
            return f"on the Ray cluster at {self.address}"
        return f"on {workers} local Ray workers"


def run_sweep(file: Path, out: str | Path | None, options: Options) -> int:
    """Do what is left of a sweep; 0, or 1 if any of its runs has failed."""
    if options.address is not None and options.workers is not None:
        raise ConfigError("address", "cannot be combined with --workers")
    if options.address is not None:
        require_reachable(options.address)
    plan = read_sweep(file)
    folder = Folder(out or Path("results") / plan.name)
    if options.dry_run:
        return _rehearse(plan, folder, options)
    folder.prepare()
    clock, token = time.monotonic(), uuid.uuid4().hex
    with terminable():
        try:
            store.claim(folder, token)
            _resume(plan, folder, token, options)
        except KeyboardInterrupt as interrupt:
            left = len(plan.specs) - len(_done(plan, folder))
            say(f"stopped: {left} of {len(plan.specs)} runs left; the same command goes on")
            return status_of(interrupt)
        finally:
            if store.owns(folder, token):
                store.sweep_up(folder)
    return summarise_sweep(plan, folder, time.monotonic() - clock)


def _rehearse(plan: Plan, folder: Folder, options: Options) -> int:
    """Print the plan and how long it would take, from one run that is timed and forgotten."""
    done = set() if options.fresh else set(store.committed(folder))
    print_plan(plan, folder, done)
    todo = [spec for spec in plan.specs if spec.run_id not in done]
    if not todo:
        return 0
    timed = _timed(todo[0], plan, options)
    if not timed.ok:
        say(f"the first run fails: {timed.error}")
        return 0
    work, workers = timed.wall_seconds * len(todo), _workers(options) or 1
    here = f"about {work:.1f} s in one process"
    pays = options.address is None and work >= break_even_seconds(workers)
    there = f", {START_SECONDS + work / workers:.1f} s {options.where(workers)}" if pays else ""
    say(f"one run takes {timed.wall_seconds:.2f} s, all of them {here}{there}")
    return 0


def _timed(spec: RunSpec, plan: Plan, options: Options) -> Done:
    """A run; once more if it was short, since the first one compiles."""
    runs = _alone([spec, spec], plan.limit_seconds, options)
    try:
        done = next(runs)
        return next(runs) if done.ok and done.wall_seconds < AGAIN_SECONDS else done
    finally:
        if isinstance(runs, Children):
            runs.close()


def _resume(plan: Plan, folder: Folder, token: str, options: Options) -> None:
    """Do the runs that are not there yet."""
    if options.fresh:
        store.wipe(folder)
    damaged = store.sweep_up(folder)
    if damaged:
        say(f"{damaged} parts were damaged and are removed; their runs are done again")
    remove_replaced(folder)
    done = _done(plan, folder)
    if options.retry_failed:
        again = {run_id for run_id, status in done.items() if status == "failed"}
        store.drop(folder, again)
        done = {run_id: status for run_id, status in done.items() if run_id not in again}
    todo = [spec for spec in plan.specs if spec.run_id not in done]
    earlier = f", {len(done)} done earlier" if done else ""
    say(f"{plan.name}: {len(plan.specs)} runs{earlier}, {len(todo)} to do, into {folder}")
    others = len(store.committed(folder)) - len(done)
    if others:
        say(f"{others} runs of other designs or other code are there too; --fresh removes them")
    if not todo:
        return
    newest = store.next_generation(folder)
    target = Target(folder.uri, plan.kinds, token, newest, plan.limit_seconds)
    with SweepProgress(todo) as progress:
        _work(todo, target, options, progress)
    folder.write(SWEEP_FILE, plan.text.encode())
    _merge(folder, token)


def _merge(folder: Folder, token: str) -> None:
    """Small parts into large ones; a disk too full for that loses nothing."""
    try:
        merged = compact(folder, token)
    except CannotWrite as error:
        say(f"small parts were not merged: {error}")
        return
    if merged:
        say(f"{merged} small parts merged")


def _done(plan: Plan, folder: Folder) -> dict[str, str]:
    """The plan's runs that are committed, with their status."""
    committed = store.committed(folder)
    return {s.run_id: committed[s.run_id] for s in plan.specs if s.run_id in committed}


def _work(
    todo: Sequence[RunSpec], target: Target, options: Options, progress: SweepProgress
) -> None:
    """One by one first, then where it ends sooner."""
    runs = _alone(todo, target.limit_seconds, options)
    try:
        seconds, count = _first(runs, len(todo), target, options, progress)
        if count == len(todo):
            return
        to_ray = _goes_to_ray(seconds, len(todo) - count, options, progress)
        if isinstance(runs, Children):
            runs.grow(_workers(options))
        if to_ray:
            _fan_out(todo[count:], runs, seconds, (target, options, progress))
        else:
            work_here(runs, target, progress)
    finally:
        if isinstance(runs, Children):
            runs.close()


def _alone(
    specs: Sequence[RunSpec], limit_seconds: float | None, options: Options
) -> Iterator[Done]:
    """The runs in a child at first, or in this process if that is asked for."""
    if options.workers != 0 and possible():
        return Children(specs, limit_seconds)
    return (perform(spec, limit_seconds=limit_seconds) for spec in specs)


def _first(
    runs: Iterator[Done], total: int, target: Target, options: Options, progress: SweepProgress
) -> tuple[float, int]:
    """The first run: a setting that it cannot use stops the sweep before anything is written.

    One more is done where compiling may have made the first look long, or where it died and took
    its time along. Returns the seconds that a run takes, and how many are done.
    """
    least, seconds = break_even_seconds(_workers(options)), float("inf")
    count = 0
    for done in runs:
        if isinstance(done.cause, ConfigError) and not count:
            raise done.cause
        _commit([done], target, progress)
        count += 1
        died = done.error.startswith(WorkerDied.__name__)
        seconds = seconds if died else done.wall_seconds
        enough = count > 1 or options.forced or seconds * (total - count) < least
        if count == total or (enough and not died):
            break
    return seconds, count


def _goes_to_ray(seconds: float, left: int, options: Options, progress: SweepProgress) -> bool:
    """Whether the rest is for Ray, and say why."""
    workers = _workers(options)
    if not workers:
        return False
    least, estimate = break_even_seconds(workers), seconds * left
    if options.forced or estimate >= least:
        progress.say(f"about {estimate:.0f} s of work left: {options.where(workers)}")
        return True
    where = f"{workers} children of this process" if possible() else "this process"
    progress.say(f"about {estimate:.1f} s of work left: in {where}, on Ray from {least:.0f} s on")
    return False


def _fan_out(
    todo: Sequence[RunSpec],
    runs: Iterator[Done],
    seconds: float,
    how: tuple[Target, Options, SweepProgress],
) -> None:
    """On Ray, less what the children do while Ray starts."""
    target, options, progress = how
    if not isinstance(runs, Children):
        with session(_workers(options), options.address) as crew:
            Dispatcher(crew, todo, target, seconds, progress).work()
        return
    with (
        _meanwhile(runs, target, progress) as stop,
        session(_workers(options), options.address) as crew,
    ):
        stop()
        left = [spec for spec in todo if spec.run_id not in runs.done]
        Dispatcher(crew, left, target, seconds, progress).work()


@contextmanager
def _meanwhile(
    runs: Children, target: Target, progress: SweepProgress
) -> Iterator[Callable[[], None]]:
    """The children go on, committed by a thread, until the function that this gives is called."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            work_here(runs, target, progress)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)

    def stop() -> None:
        runs.stop()
        thread.join()
        if failures:
            raise failures[0]

    runs.shrink()
    thread.start()
    try:
        yield stop
    finally:
        runs.stop()
        thread.join()


def _workers(options: Options) -> int:
    if options.workers is not None:
        return options.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_here(runs: Iterable[Done], target: Target, progress: SweepProgress) -> int:
    """Commit runs as they end, every few seconds; returns how many there were."""
    batch: list[Done] = []
    count, clock = 0, time.monotonic()
    progress.refresh(1)
    try:
        for done in runs:
            batch.append(done)
            count += 1
            if time.monotonic() - clock >= COMMIT_SECONDS or len(batch) >= COMMIT_RUNS:
                _commit(batch, target, progress)
                batch, clock = [], time.monotonic()
    finally:
        if batch:
            _commit(batch, target, progress)
    return count


def _commit(batch: Sequence[Done], target: Target, progress: SweepProgress) -> None:
    write(batch, target)
    progress.report([status(done) for done in batch])
