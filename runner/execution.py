"""Doing runs: one at a time, a chunk at a time, the same code here and in a Ray worker.

A run that raises is a result too: a row with status `failed`, the error, its traceback and the
command that does it again; the runs beside it go on. A chunk keeps the tables of its runs in memory
and commits them as one part, so a chunk is the unit of work and of loss. What goes back to the
driver is small: one `Status` a run.
"""

import dataclasses
import datetime
import json
import platform
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.simulate import resolve, simulate
from experiments.tables import SCHEMA_VERSION, TABLES, Columns
from markets.compilation import loading_seconds
from markets.errors import FathomError
from runner import schemas, store
from runner.limit import TimeLimit, limited
from runner.memory import peak_bytes
from runner.provenance import ID_DIGITS, provenance
from runner.spec import RunSpec, file_hash, load_history, load_scenario

OnStep = Callable[[int, int], None]


class OtherCode(FathomError):
    """The source, or a file that a run reads, is not that with which the sweep was planned."""

    def __init__(self, what: str, ours: str, planned: str) -> None:
        super().__init__(
            f"{what} is {ours[:ID_DIGITS] or 'gone'}, but the sweep was planned with "
            f"{planned[:ID_DIGITS]}; "
            "leave it alone while a sweep runs, then start the sweep again"
        )
        self.versions = (what, ours, planned)

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), self.versions


@dataclass(frozen=True)
class Done:
    """A run that ended, well or not: `error` is type and message of what it raised, or empty.

    Part of its time may have gone into loading kernels, which the next run finds loaded.
    `peak_bytes` is the most memory that the worker has held which did it; 0 if this process did.
    """

    spec: RunSpec
    started_at: datetime.datetime
    wall_seconds: float
    loading_seconds: float = 0.0
    tables: Mapping[str, Columns] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    cause: BaseException | None = None
    peak_bytes: int = 0

    @property
    def work_seconds(self) -> float:
        """What it would have taken with all kernels loaded."""
        return self.wall_seconds - self.loading_seconds

    @property
    def ok(self) -> bool:
        """Whether it ran to its end."""
        return not self.error


@dataclass(frozen=True)
class Status:
    """What the driver hears of a run; `peak_bytes` as in `Done`."""

    run_id: str
    ok: bool
    error: str
    wall_seconds: float
    peak_bytes: int = 0


@dataclass(frozen=True)
class Target:
    """Where a chunk goes: folder, the kinds of the varied parameters, the sweep's token.

    `code_version` is the driver's, `files` the hashes of what the runs read: the run ids stand for
    them. `generation` tells newer from older.
    """

    out: str
    parameters: Mapping[str, str]
    token: str | None = None
    generation: int = 0
    limit_seconds: float | None = None
    code_version: str = field(default_factory=lambda: provenance().code_version)
    files: Mapping[str, str] = field(default_factory=dict)


def perform(
    spec: RunSpec,
    on_step: OnStep | None = None,
    limit_seconds: float | None = None,
    deadly: bool = False,
) -> Done:
    """Do a run; whatever it raises, except an interrupt, is part of the result.

    `deadly` allows a run over its limit that does not stop to end this process.
    """
    started_at, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    before = loading_seconds()
    try:
        with limited(limit_seconds, deadly):
            module = load_scenario(spec.scenario)
            params = resolve(module, spec.overrides)
            history = None if spec.history is None else load_history(Path(spec.history))
            outcome = simulate(module, params, spec.seed, spec.steps, history, on_step)
    except (Exception, TimeLimit) as error:
        wall, loading = time.perf_counter() - clock, loading_seconds() - before
        text, trace = _text(error), traceback.format_exc()
        return Done(spec, started_at, wall, loading, error=text, trace=trace, cause=error)
    wall, loading = time.perf_counter() - clock, loading_seconds() - before
    return Done(spec, started_at, wall, loading, outcome.tables, outcome.metrics)


def failed(spec: RunSpec, cause: BaseException) -> Done:
    """A run whose worker died, so that nobody was left to say why."""
    now = datetime.datetime.now(datetime.UTC)
    return Done(spec, now, 0.0, error=_text(cause), cause=cause)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def status(done: Done) -> Status:
    """What is worth telling of a run."""
    return Status(done.spec.run_id, done.ok, done.error, done.wall_seconds, done.peak_bytes)


def execute_chunk(specs: Sequence[RunSpec], target: Target) -> list[Status]:
    """As a worker: do runs and commit them as one part.

    Raises OtherCode where the source is not the same.
    """
    ours = provenance().code_version
    if ours != target.code_version:
        raise OtherCode(f"the source on {platform.node()}", ours, target.code_version)
    done = [perform(spec, None, target.limit_seconds, deadly=True) for spec in specs]
    write(done, target)
    peak = peak_bytes()
    return [status(dataclasses.replace(each, peak_bytes=peak)) for each in done]


def write(done: Sequence[Done], target: Target) -> str:
    """Commit finished runs as one part; returns its name.

    Raises OtherCode if a file that they may have read is not as it was.
    """
    for path, planned in target.files.items():
        if (now := file_hash(path)) != planned:
            raise OtherCode(path, now, planned)
    origin = _origin([each.spec for each in done])
    tables = {}
    for name in TABLES:
        held = [(each.spec.run_id, each.tables[name]) for each in done if name in each.tables]
        tables[name] = schemas.stamped(schemas.to_arrow(name, held), name, origin)
    runs = schemas.runs_table([_row(each, target) for each in done], target.parameters)
    tables[store.RUNS] = schemas.stamped(runs, store.RUNS, origin)
    return store.commit(target.out, tables, target.token)


def _origin(specs: Sequence[RunSpec]) -> dict[str, Any]:
    """What made a part; the same for the same runs and code, so it holds no clock."""
    source = provenance()
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": {"name": specs[0].scenario, "params": specs[0].params},
        "runs": {
            spec.run_id: {"seed": spec.seed, "steps": spec.steps, "set": dict(spec.varied)}
            for spec in specs
        },
        "versions": source.versions,
        "code_version": source.code_version,
        "commit": source.commit,
        "dirty": source.dirty,
    }


def _row(done: Done, target: Target) -> dict[str, Any]:
    spec, source = done.spec, provenance()
    return {
        "run_id": spec.run_id,
        "scenario": spec.scenario,
        "seed": spec.seed,
        "steps": spec.steps,
        "history": spec.history or "",
        "params": json.dumps(spec.params, sort_keys=True),
        "status": "ok" if done.ok else "failed",
        "error": done.error,
        "traceback": done.trace,
        "replay": spec.replay,
        "versions": json.dumps(source.versions, sort_keys=True),
        "code_version": source.code_version,
        "commit": source.commit,
        "dirty": source.dirty,
        "wall_seconds": done.wall_seconds,
        "started_at": done.started_at,
        "generation": target.generation,
        "varied": spec.varied,
        "metrics": done.metrics,
    }
