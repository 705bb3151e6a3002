"""Runs in forked children of this process: no start-up, and a run that dies takes nobody with it.

The children take the runs one by one from a common pipe and hand each `Done` back through a pipe of
their own; the parent commits it while they go on. If a child dies (a crash of compiled code, out of
memory, a hang that only the watchdog could end), the run it had in hand is tried once more, and
then it is a failed row. Children write no files, start no threads, and end with their parent. They
are forked before Ray starts; while it does they go on, and one that dies then is not replaced: Ray
does its run again. Where a fork is not safe (not Linux) runs are done in this process.
"""

import ctypes
import dataclasses
import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Self

from markets.errors import ConfigError, FathomError
from runner.execution import Done, failed, perform
from runner.memory import peak_bytes
from runner.spec import RunSpec

ATTEMPTS = 2
PIPE_BYTES = 1 << 20
SET_PIPE_SIZE = 1031
INDEX_BYTES = 4
WAIT_SECONDS = 0.1
PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGINT, signal.SIGTERM)


class WorkerDied(FathomError):
    """The process that did the run died, each time it was tried."""


def possible() -> bool:
    """Whether this system forks safely."""
    return sys.platform == "linux"


@dataclasses.dataclass
class Child:
    """A process, the pipe from it, and the index of the run that it has in hand."""

    process: int
    pipe: Connection
    index: int | None = None


class Children:
    """An iterator of finished runs, as they end; with one child, in order."""

    def __init__(
        self, specs: Sequence[RunSpec], limit_seconds: float | None = None, count: int = 1
    ) -> None:
        self._specs, self._limit = list(specs), limit_seconds
        self._left = len(self._specs)
        self._todo = deque(range(self._left))
        self._deaths: dict[int, int] = {}
        self._children: dict[Connection, Child] = {}
        self._stopped = self._shrinks = self._drains = False
        self._drained = threading.Event()
        self._lost = set(self._todo)
        self._out, self._in = os.pipe()
        _widen(self._in)
        os.set_blocking(self._in, False)
        self.grow(count)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Done:
        while self._left and self._children and not self._stopped:
            self._feed()
            for pipe in wait(list(self._children), WAIT_SECONDS):
                assert isinstance(pipe, Connection)
                done = self._receive(self._children[pipe])
                if done is not None:
                    self._left -= 1
                    return done
        self.close()
        raise StopIteration

    def grow(self, count: int) -> None:
        """Have as many children, but not more than there are runs."""
        while len(self._children) < min(count, self._left):
            self._fork()

    def shrink(self) -> None:
        """From now on no child that dies is replaced: other threads make a fork unsafe."""
        self._shrinks = True

    def drain(self) -> list[RunSpec]:
        """Hand out nothing more; the runs that are not in hand. Another thread iterates on."""
        self._drains = True
        self._drained.wait()
        return [self._specs[index] for index in self._todo]

    def lost(self) -> list[RunSpec]:
        """After the end: runs that were handed out and never came back."""
        return [self._specs[index] for index in sorted(self._lost.difference(self._todo))]

    def stop(self) -> None:
        """End the iteration soon; may be called from another thread."""
        self._stopped = True

    def close(self) -> None:
        """End the children; what they have in hand is lost."""
        for child in self._children.values():
            child.pipe.close()
            os.kill(child.process, signal.SIGKILL)
            os.waitpid(child.process, 0)
        self._children = {}
        self._take_back()

    def _feed(self) -> None:
        """Put indices where the children find them, as many as fit."""
        if self._drains:
            self._take_back()
        while self._todo and self._in >= 0:
            try:
                os.write(self._in, self._todo[0].to_bytes(INDEX_BYTES, "little"))
            except BlockingIOError:
                return
            self._todo.popleft()

    def _take_back(self) -> None:
        """Nothing more is handed out; what nobody has taken is to be done again."""
        if self._in >= 0:
            os.close(self._in)
            back = []
            while index := os.read(self._out, INDEX_BYTES):
                back.append(int.from_bytes(index, "little"))
            os.close(self._out)
            self._in = self._out = -1
            self._todo.extendleft(reversed(back))
        self._drained.set()

    def _receive(self, child: Child) -> Done | None:
        """What a child says: the run that it starts (then None), or the run that it has done."""
        try:
            said = child.pipe.recv()
        except (EOFError, OSError):
            return self._died(child)
        if not isinstance(said, Done):
            child.index = said
            return None
        if child.index is not None:
            self._lost.discard(child.index)
        child.index = None
        return said

    def _died(self, child: Child) -> Done | None:
        child.pipe.close()
        del self._children[child.pipe]
        _, status = os.waitpid(child.process, 0)
        if self._shrinks:
            return None
        self._fork()
        if child.index is None:
            return None
        deaths = self._deaths[child.index] = self._deaths.get(child.index, 0) + 1
        if deaths < ATTEMPTS:
            self._todo.appendleft(child.index)
            return None
        self._lost.discard(child.index)
        code = os.waitstatus_to_exitcode(status)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return failed(self._specs[child.index], WorkerDied(how))

    def _fork(self) -> None:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        _widen(theirs.fileno())
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
            if process == 0:
                self._live(theirs, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._children[ours] = Child(process, ours)

    def _live(self, pipe: Connection, parent: int) -> None:
        """The child's life; never returns. Ctrl-C is the parent's to handle."""
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            os.close(self._in)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(code)
            gc.freeze()
            while index := os.read(self._out, INDEX_BYTES):
                at = int.from_bytes(index, "little")
                pipe.send(at)
                done = perform(self._specs[at], limit_seconds=self._limit, deadly=True)
                cause = done.cause if isinstance(done.cause, ConfigError) else None
                pipe.send(dataclasses.replace(done, cause=cause, peak_bytes=peak_bytes()))
            code = 0
        except OSError:
            code = 1
        finally:
            os._exit(code)


def _widen(pipe: int) -> None:
    """So that nobody waits while the other is busy."""
    import fcntl

    try:
        fcntl.fcntl(pipe, SET_PIPE_SIZE, PIPE_BYTES)
    except OSError:
        return
