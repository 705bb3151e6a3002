"""Runs in a forked child of this process: no start-up, and a run that dies takes nobody with it.

The child does the runs in order and hands each `Done` back through a pipe; the parent commits it
while the child does the next. If the child dies (a crash of compiled code, out of memory, a hang
that only the watchdog could end), the run in hand is tried once more in a new child, and then it is
a failed row. The child writes no files and starts no threads, and it is forked before Ray starts;
where a fork is not safe (not Linux) runs are done in this process.
"""

import dataclasses
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Self

from markets.errors import ConfigError, FathomError
from runner.execution import Done, failed, perform
from runner.spec import RunSpec

ATTEMPTS = 2
PIPE_BYTES = 1 << 20
SET_PIPE_SIZE = 1031


class WorkerDied(FathomError):
    """The process that did the run died, each time it was tried."""


def possible() -> bool:
    """Whether this system forks safely."""
    return sys.platform == "linux"


class Child:
    """An iterator of finished runs, in order. Close it to end the child."""

    def __init__(self, specs: Sequence[RunSpec], limit_seconds: float | None = None) -> None:
        self._specs, self._limit = list(specs), limit_seconds
        self._at = self._deaths = 0
        self._process = 0
        self._pipe: Connection | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Done:
        while self._at < len(self._specs):
            if self._pipe is None:
                self._fork()
            done = self._receive()
            if done is not None:
                self._at, self._deaths = self._at + 1, 0
                return done
        self.close()
        raise StopIteration

    def finished(self) -> Iterator[Done]:
        """What has ended by now, without waiting."""
        while self._pipe is not None and self._at < len(self._specs) and self._pipe.poll():
            yield next(self)

    def close(self) -> None:
        """End the child; the run that it has in hand is lost."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)

    def _receive(self) -> Done | None:
        """The run in hand; None if the child died and the run is to be tried again."""
        assert self._pipe is not None
        try:
            done: Done = self._pipe.recv()
            return done
        except (EOFError, OSError):
            self._pipe.close()
            self._pipe = None
        _, status = os.waitpid(self._process, 0)
        self._deaths += 1
        return self._given_up(status) if self._deaths == ATTEMPTS else None

    def _given_up(self, status: int) -> Done:
        code = os.waitstatus_to_exitcode(status)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return failed(self._specs[self._at], WorkerDied(how))

    def _fork(self) -> None:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        _widen(theirs)
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = os.fork()
        if self._process == 0:
            ours.close()
            _work(self._specs[self._at :], self._limit, theirs)
        theirs.close()
        self._pipe = ours


def _widen(pipe: Connection) -> None:
    """So that the child need not wait while the parent is busy."""
    import fcntl

    try:
        fcntl.fcntl(pipe.fileno(), SET_PIPE_SIZE, PIPE_BYTES)
    except OSError:
        return


def _work(specs: Sequence[RunSpec], limit_seconds: float | None, pipe: Connection) -> None:
    """The child's life; never returns. Ctrl-C is the parent's to handle."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for spec in specs:
            done = perform(spec, limit_seconds=limit_seconds, deadly=True)
            cause = done.cause if isinstance(done.cause, ConfigError) else None
            pipe.send(dataclasses.replace(done, cause=cause))
        code = 0
    finally:
        os._exit(code)
