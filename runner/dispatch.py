"""Handing chunks of runs to Ray workers, and what becomes of those whose worker dies.

A chunk is some seconds of work: large enough that a task costs nothing, small enough that little
is lost and that nobody idles at the end. Two chunks a worker are in flight. Ray itself retries
nothing: a worker that dies takes a chunk with it; if the chunk was committed it counts, otherwise
it is cut in half until one run is left, and a run that dies twice alone becomes a failed row.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markets.errors import FathomError
from runner import store
from runner.cluster import Crew
from runner.execution import Status, Target, execute_chunk, failed, write
from runner.progress import SweepProgress
from runner.spec import RunSpec

LEAST_SECONDS, MOST_SECONDS = 1.0, 4.0
CHUNK_RUNS = 256
ATTEMPTS = 2


class WorkerDied(FathomError):
    """The process that did the run died, each time it was tried."""


@dataclass(frozen=True)
class Chunk:
    """Runs for one worker; `attempts` that have died before."""

    specs: tuple[RunSpec, ...]
    attempts: int = 0

    @property
    def run_ids(self) -> list[str]:
        """Of the runs, in order."""
        return [spec.run_id for spec in self.specs]


class Dispatcher:
    """Keeps every worker busy, sizes the chunks, and decides what becomes of the dead.

    `run_seconds` is how long a run is expected to take, until some have been timed.
    """

    def __init__(
        self,
        crew: Crew,
        specs: Sequence[RunSpec],
        target: Target,
        run_seconds: float,
        progress: SweepProgress,
    ) -> None:
        self._ray, self._workers = crew.ray, crew.workers
        self._task = crew.ray.remote(num_cpus=1, max_retries=0)(execute_chunk)
        self._pending = deque(specs)
        self._again: deque[Chunk] = deque()
        self._running: dict[Any, Chunk] = {}
        self._target = target
        self._seconds, self._timed = run_seconds, 1
        self._progress = progress

    def work(self) -> None:
        """Until nothing is pending, to be done again, or running."""
        while self._pending or self._again or self._running:
            while (self._pending or self._again) and len(self._running) < 2 * self._workers:
                self._submit(self._again.popleft() if self._again else self._next())
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0.5)
            for reference in ready:
                self._collect(reference, self._running.pop(reference))
            self._progress.refresh(sum(len(chunk.specs) for chunk in self._running.values()))

    def _submit(self, chunk: Chunk) -> None:
        self._running[self._task.remote(chunk.specs, self._target)] = chunk

    def _next(self) -> Chunk:
        """Seconds of work, but not so much that others idle at the end."""
        seconds = max(self._seconds, 1e-6)
        share = len(self._pending) / (3 * self._workers)
        wanted = min(MOST_SECONDS / seconds, max(share, LEAST_SECONDS / seconds), CHUNK_RUNS)
        size = min(max(1, int(wanted)), len(self._pending))
        return Chunk(tuple(self._pending.popleft() for _ in range(size)))

    def _collect(self, reference: Any, chunk: Chunk) -> None:
        errors = self._ray.exceptions
        try:
            statuses = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            self._died(chunk, error)
            return
        self._progress.report(statuses)
        self._time(statuses)

    def _time(self, statuses: Sequence[Status]) -> None:
        """Mean duration of the runs so far."""
        total = self._seconds * self._timed + sum(each.wall_seconds for each in statuses)
        self._timed += len(statuses)
        self._seconds = total / self._timed

    def _died(self, chunk: Chunk, error: Exception) -> None:
        out = Path(self._target.out)
        if store.is_committed(out, chunk.run_ids):
            found = store.committed(out)
            done = [Status(each, found[each] == "ok", "", 0.0) for each in chunk.run_ids]
            self._progress.report(done)
        elif len(chunk.specs) > 1:
            middle = len(chunk.specs) // 2
            self._again += (Chunk(chunk.specs[:middle]), Chunk(chunk.specs[middle:]))
        elif chunk.attempts + 1 < ATTEMPTS:
            self._again.append(Chunk(chunk.specs, chunk.attempts + 1))
        else:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            gone = failed(chunk.specs[0], WorkerDied(reason))
            write([gone], self._target)
            self._progress.report([Status(gone.spec.run_id, False, gone.error, 0.0)])
