"""A time limit for one run, so that a run that hangs becomes a failed row.

The alarm raises `TimeLimit` in the main thread, again each second in case it was swallowed. Python
code stops at once; compiled code that never comes back does not see it. In a process that may die
(a Ray worker, a child) a watchdog that needs no interpreter ends the process `GRACE_SECONDS`
later, and the runner treats it as any worker that died. With `--workers 0` nothing may die, so
there only Python code can be stopped.
"""

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 5.0
AGAIN_SECONDS = 1.0


class TimeLimit(BaseException):
    """The run took longer than it may; not an Exception, so that no agent catches it."""


@contextmanager
def limited(seconds: float | None, deadly: bool = False) -> Iterator[None]:
    """Raise TimeLimit inside after so long; `deadly` ends the process if that does not help."""
    alarms = hasattr(signal, "setitimer")
    if seconds is None or not alarms or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TimeLimit(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    nowhere = os.open(os.devnull, os.O_WRONLY) if deadly else None
    try:
        if nowhere is not None:
            faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=nowhere)
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        if nowhere is not None:
            faulthandler.cancel_dump_traceback_later()
            os.close(nowhere)
