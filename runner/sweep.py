"""`fathom sweep`: a design, all of it once, from where it stopped.

    plan -> forget what is committed -> first run here -> the rest here or on Ray -> summary, figure

The first run is done in this process: it fills Numba's cache, which the workers then share, and
says how long a run takes. Starting Ray costs seconds, so a sweep with less work left than that
saves stays in this process. Nothing but the Parquet parts is state: stopping at any moment, by
Ctrl-C, SIGTERM or SIGKILL, loses the chunks in hand and no more.
"""

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markets.errors import ConfigError
from runner import store
from runner.cluster import break_even_seconds, require_reachable, session
from runner.console import say
from runner.design import Plan, read_sweep
from runner.dispatch import Dispatcher
from runner.execution import Done, Status, Target, perform, write
from runner.interrupt import status_of, terminable
from runner.progress import SweepProgress
from runner.spec import RunSpec
from runner.summary import print_plan, summarise_sweep

COMMIT_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """How to run: `workers` None is one for each core, 0 this process."""

    workers: int | None = None
    address: str | None = None
    dry_run: bool = False
    fresh: bool = False
    retry_failed: bool = False

    def where(self, workers: int) -> str:
        """Where Ray works, for people."""
        if self.address is not None:
            return f"on the Ray cluster at {self.address}"
        return f"on {workers} local Ray workers"


def run_sweep(file: Path, out: Path | None, options: Options) -> int:
    """Do what is left of a sweep; 0, or 1 if any of its runs has failed."""
    if options.address is not None and options.workers is not None:
        raise ConfigError("address", "cannot be combined with --workers")
    if options.address is not None:
        require_reachable(options.address)
    plan = read_sweep(file)
    folder = (out or Path("results") / plan.name).resolve()
    if options.dry_run:
        print_plan(plan, folder, set() if options.fresh else set(store.committed(folder)))
        return 0
    store.prepare(folder)
    clock, token = time.monotonic(), uuid.uuid4().hex
    with terminable():
        try:
            store.claim(folder, token)
            _resume(plan, Target(str(folder), plan.kinds, token), options)
        except KeyboardInterrupt as interrupt:
            left = len(plan.specs) - len(_done(plan, folder))
            say(f"stopped: {left} of {len(plan.specs)} runs left; the same command goes on")
            return status_of(interrupt)
        finally:
            if store.owns(folder, token):
                store.sweep_up(folder)
    return summarise_sweep(plan, folder, time.monotonic() - clock)


def _resume(plan: Plan, target: Target, options: Options) -> None:
    """Do the runs that are not there yet."""
    folder = Path(target.out)
    if options.fresh:
        store.wipe(folder)
    store.sweep_up(folder)
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
    if todo:
        with SweepProgress(len(todo)) as progress:
            _work(todo, target, options, progress)


def _done(plan: Plan, folder: Path) -> dict[str, str]:
    """The plan's runs that are committed, with their status."""
    committed = store.committed(folder)
    return {s.run_id: committed[s.run_id] for s in plan.specs if s.run_id in committed}


def _work(
    todo: Sequence[RunSpec], target: Target, options: Options, progress: SweepProgress
) -> None:
    """Here first, then where it ends sooner."""
    seconds = _first(todo[0], target, progress)
    rest = todo[1:]
    workers = _workers(options)
    if workers and rest:
        forced = options.workers is not None or options.address is not None
        if not forced:
            seconds, rest = _second(seconds, rest, target, workers, progress)
        estimate = seconds * len(rest)
        if forced or estimate >= break_even_seconds(workers):
            progress.say(f"about {estimate:.0f} s of work left: {options.where(workers)}")
            with session(workers, options.address) as crew:
                Dispatcher(crew, rest, target, seconds, progress).work()
            return
        least = break_even_seconds(workers)
        progress.say(
            f"about {estimate:.1f} s of work left: in this process, Ray pays from {least:.0f} s on"
        )
    work_here(rest, target, progress)


def _workers(options: Options) -> int:
    if options.workers is not None:
        return options.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first(spec: RunSpec, target: Target, progress: SweepProgress) -> float:
    """The first run: a setting that it cannot use stops the sweep before anything is written.

    Returns the seconds that it took.
    """
    done = perform(spec)
    if isinstance(done.cause, ConfigError):
        raise done.cause
    _commit([done], target, progress)
    return done.wall_seconds


def _second(
    seconds: float,
    rest: Sequence[RunSpec],
    target: Target,
    workers: int,
    progress: SweepProgress,
) -> tuple[float, Sequence[RunSpec]]:
    """One more run here, where compiling may have made the first look long.

    Returns the seconds that a run takes, and the runs that are left.
    """
    if seconds * len(rest) < break_even_seconds(workers):
        return seconds, rest
    return work_here(rest[:1], target, progress)[0].wall_seconds, rest[1:]


def work_here(specs: Sequence[RunSpec], target: Target, progress: SweepProgress) -> list[Status]:
    """Do the runs one after the other in this process; commits every few seconds."""
    statuses: list[Status] = []
    batch: list[Done] = []
    clock = time.monotonic()
    try:
        for spec in specs:
            progress.refresh(1)
            batch.append(perform(spec))
            if time.monotonic() - clock >= COMMIT_SECONDS:
                statuses += _commit(batch, target, progress)
                batch, clock = [], time.monotonic()
    finally:
        if batch:
            statuses += _commit(batch, target, progress)
    return statuses


def _commit(batch: Sequence[Done], target: Target, progress: SweepProgress) -> list[Status]:
    write(batch, target)
    statuses = [Status(d.spec.run_id, d.ok, d.error, d.wall_seconds) for d in batch]
    progress.report(statuses)
    return statuses
