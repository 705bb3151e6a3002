"""Handing chunks of runs to Ray workers, and what becomes of those whose worker dies.

A chunk is some seconds of work: large enough that a task costs nothing, small enough that little
is lost and that nobody idles at the end. Two chunks a worker are in flight, however many there are:
nothing piles up. Ray itself retries nothing. If a chunk was committed before its worker died it
counts; otherwise it is cut in half until one run is left, and a run that dies twice alone becomes a
failed row. A chunk whose node vanished did nothing wrong and is done again whole. The number of
workers is asked for again now and then, since nodes come and go.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markets.errors import FathomError
from runner import store
from runner.child import ATTEMPTS, WorkerDied
from runner.cluster import Crew
from runner.execution import OtherCode, Status, Target, execute_chunk, failed, write
from runner.limit import GRACE_SECONDS, TimeLimit
from runner.progress import SweepProgress
from runner.provenance import HOME, code_version
from runner.spec import RunSpec

LEAST_SECONDS, MOST_SECONDS = 1.0, 4.0
CHUNK_RUNS = 256
NODE_DEATHS = 8
COUNT_SECONDS = 5.0
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Chunk:
    """Runs for one worker; how often it has died alone, and with its node."""

    specs: tuple[RunSpec, ...]
    attempts: int = 0
    nodes: int = 0
    sent: float = field(default_factory=time.monotonic)

    @property
    def run_ids(self) -> list[str]:
        """Of the runs, in order."""
        return [spec.run_id for spec in self.specs]


class Dispatcher:
    """Keeps every worker busy, sizes the chunks, and decides what becomes of the dead.

    `run_seconds` is how long a run is expected to take, infinite if nobody knows; it counts as one
    run beside those that are timed.
    """

    def __init__(
        self,
        crew: Crew,
        specs: Sequence[RunSpec],
        target: Target,
        run_seconds: float,
        progress: SweepProgress,
    ) -> None:
        self._ray, self._crew = crew.ray, crew
        self._workers, self._counted = crew.workers, time.monotonic()
        self._task = crew.ray.remote(num_cpus=1, max_retries=0)(execute_chunk)
        self._pending = deque(specs)
        self._again: deque[Chunk] = deque()
        self._running: dict[Any, Chunk] = {}
        self._target = target
        self._seconds, self._timed = min(run_seconds, MOST_SECONDS), 1
        self._progress = progress

    def work(self) -> None:
        """Until nothing is pending, to be done again, or running."""
        while self._pending or self._again or self._running:
            while (self._pending or self._again) and len(self._running) < self._window:
                self._submit(self._again.popleft() if self._again else self._next())
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=WAIT_SECONDS)
            for reference in ready:
                self._collect(reference, self._running.pop(reference))
            self._progress.refresh(sum(len(chunk.specs) for chunk in self._running.values()))
            self._count()

    @property
    def _window(self) -> int:
        """Chunks in flight; one waits for a worker to come if there is none."""
        return max(1, 2 * self._workers)

    def _count(self) -> None:
        """How many workers there are now."""
        if time.monotonic() - self._counted < COUNT_SECONDS:
            return
        self._counted = time.monotonic()
        before, self._workers = self._workers, self._crew.count()
        if before and not self._workers:
            self._progress.say("the cluster has no worker at the moment: waiting for one")

    def _submit(self, chunk: Chunk) -> None:
        self._running[self._task.remote(chunk.specs, self._target)] = chunk

    def _next(self) -> Chunk:
        """Seconds of work, but not so much that others idle at the end."""
        seconds = max(self._seconds, 1e-6)
        share = len(self._pending) / (3 * max(1, self._workers))
        wanted = min(MOST_SECONDS / seconds, max(share, LEAST_SECONDS / seconds), CHUNK_RUNS)
        size = min(max(1, int(wanted)), len(self._pending))
        return Chunk(tuple(self._pending.popleft() for _ in range(size)))

    def _collect(self, reference: Any, chunk: Chunk) -> None:
        errors = self._ray.exceptions
        try:
            statuses = self._ray.get(reference)
        except errors.RayTaskError as error:
            self._check_source(error.cause)
            raise error.cause from None
        except errors.RayError as error:
            self._died(chunk, error)
            return
        self._progress.report(statuses)
        self._time(statuses)

    def _check_source(self, cause: Exception) -> None:
        """A worker that could not load the source says so in many ways."""
        ours, planned = code_version(HOME), self._target.code_version
        if ours != planned and not isinstance(cause, FathomError):
            raise OtherCode(f"the source in {HOME}", ours, planned) from None

    def _time(self, statuses: Sequence[Status]) -> None:
        """Mean duration of the runs so far."""
        total = self._seconds * self._timed + sum(each.wall_seconds for each in statuses)
        self._timed += len(statuses)
        self._seconds = total / self._timed

    def _died(self, chunk: Chunk, error: Exception) -> None:
        out = self._target.out
        node = isinstance(error, self._ray.exceptions.NodeDiedError)
        if store.is_committed(out, chunk.run_ids):
            found = store.committed(out)
            done = [Status(each, found[each] == "ok", "", 0.0) for each in chunk.run_ids]
            self._progress.report(done)
        elif node and chunk.nodes < NODE_DEATHS:
            self._progress.say("a node has vanished: its runs are done again elsewhere")
            self._again.append(Chunk(chunk.specs, chunk.attempts, chunk.nodes + 1))
        elif len(chunk.specs) > 1:
            middle = len(chunk.specs) // 2
            halves = chunk.specs[:middle], chunk.specs[middle:]
            self._again += (Chunk(half, 0, chunk.nodes) for half in halves)
        elif chunk.attempts + 1 < ATTEMPTS:
            self._again.append(Chunk(chunk.specs, chunk.attempts + 1, chunk.nodes))
        else:
            self._give_up(chunk, error)

    def _give_up(self, chunk: Chunk, error: Exception) -> None:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        cause: BaseException = WorkerDied(reason)
        limit = self._target.limit_seconds
        if limit is not None and time.monotonic() - chunk.sent >= limit + GRACE_SECONDS:
            cause = TimeLimit(f"not done after {limit:g} s and did not stop: its worker was ended")
        gone = failed(chunk.specs[0], cause)
        write([gone], self._target)
        self._progress.report([Status(gone.spec.run_id, False, gone.error, 0.0)])
