"""`fathom sweep`: a design, all of it once, from where it stopped.

    plan -> forget what is committed -> do the rest (`runner.engine`) -> merge small parts
         -> summary, figure

Nothing but the Parquet parts is state: stopping at any moment, by Ctrl-C, SIGTERM or SIGKILL, loses
the runs in hand and no more. The token of a sweep that came to no end makes the next one wary of
runs that kill their process (see `runner.engine`). A copy of the sweep file lies beside the parts
for `fathom analyse`.
"""

import dataclasses
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markets.errors import ConfigError
from runner import store
from runner.child import Children
from runner.cluster import LOCAL, START_SECONDS, require_reachable
from runner.compaction import compact, remove_replaced
from runner.console import say, tell_of_compiling
from runner.design import SWEEP_FILE, Plan, plan_sweep, read_sweep
from runner.engine import Engine, Place, cores, work
from runner.execution import Done, Target, perform
from runner.folder import CannotWrite, Folder
from runner.interrupt import status_of, terminable
from runner.overrides import plain, quoted
from runner.progress import SweepProgress
from runner.results import Results
from runner.spec import RunSpec, files_of
from runner.summary import print_plan, summarise_sweep


@dataclass(frozen=True)
class Options(Engine):
    """How to run a sweep, and with what."""

    dry_run: bool = False
    fresh: bool = False
    retry_failed: bool = False


def run_sweep(file: Path, out: str | Path | None, options: Options) -> int:
    """Do what is left of a sweep; 0, or 1 if any of its runs has failed."""
    if options.address not in (None, LOCAL) and options.workers is not None:
        raise ConfigError("address", "cannot be combined with --workers")
    if options.address is not None and options.workers == 0:
        raise ConfigError("workers", "0 is this process; with an address there must be more")
    if options.address is not None:
        require_reachable(options.address)
    tell_of_compiling()
    plan = read_sweep(file)
    folder = Folder(out or Path("results") / plan.name)
    if options.dry_run:
        return _rehearse(plan, folder, options)
    clock = time.monotonic()
    try:
        finish(plan, folder, options)
    except KeyboardInterrupt as interrupt:
        left = len(plan.specs) - len(_done(plan, folder))
        say(f"stopped: {left} of {len(plan.specs)} runs left; the same command goes on")
        return status_of(interrupt)
    return summarise_sweep(plan, folder, time.monotonic() - clock)


def run_here(design: Mapping[str, Any], out: str | Path) -> Results:
    """What is left of a design, in this process; its runs, those done earlier included.

    `design` holds the fields of a sweep file, relative paths meant from the working directory.
    Raises ConfigError naming the field that is wrong.
    """
    tell_of_compiling()
    folder = Folder(out)
    given = {key: plain(value, key) for key, value in design.items() if value is not None}
    text = "".join(f"{json.dumps(key)} = {quoted(value)}\n" for key, value in given.items())
    plan = plan_sweep(text, Path(str(out).rstrip("/").rpartition("/")[2]))
    finish(plan, folder, Options(workers=0))
    return Results(folder, {spec.run_id for spec in plan.specs})


def finish(plan: Plan, folder: Folder, options: Options) -> None:
    """Do the runs of a plan that are not there yet; an interrupt keeps what is done."""
    folder.prepare()
    token = uuid.uuid4().hex
    with terminable():
        try:
            wary = store.claim(folder, token)
            if wary and options.forks:
                say("a sweep in this folder came to no end: no run is done in this process")
            _resume(plan, folder, token, dataclasses.replace(options, wary=wary))
        finally:
            store.release(folder, token)


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
    seconds = timed.work_seconds * len(todo)
    say(f"one run takes {timed.work_seconds:.2f} s, all of them {_estimate(seconds, options)}")
    return 0


def _estimate(seconds: float, options: Options) -> str:
    """How long so much work takes, and where: more workers than cores are no faster."""
    place = options.best(seconds)
    here = f"about {seconds:.1f} s in one process"
    if place is Place.HERE:
        return here
    if place is Place.CHILDREN:
        took = seconds / min(options.children(seconds), cores())
    else:
        took = START_SECONDS + seconds / min(options.count, cores())
    return f"{here}, {took:.1f} s {options.named(place, seconds)}"


def _timed(spec: RunSpec, plan: Plan, options: Options) -> Done:
    """A run, in a child if there may be one, so that it may die."""
    if not options.forks:
        return perform(spec, limit_seconds=plan.limit_seconds)
    child = Children([spec], plan.limit_seconds)
    try:
        return next(child)
    finally:
        child.close()


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
    limit, files = plan.limit_seconds, files_of(todo[0])
    target = Target(folder.uri, plan.kinds, token, newest, limit, files=files)
    with SweepProgress(todo) as progress:
        work(todo, target, options, progress)
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
