"""Ctrl-C and SIGTERM, both as an exception that unwinds: what is finished is committed on the way.

A batch system ends a job with SIGTERM, which by default kills without a word. Ray installs its own
handler when it starts, so ours is put in place again after that.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


def status_of(interrupt: KeyboardInterrupt) -> int:
    """Exit status, 128 plus the signal, as shells have it."""
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def catch_terminate() -> None:
    """From now on SIGTERM raises Terminated in the main thread."""
    signal.signal(signal.SIGTERM, _raise)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises inside, and is as before outside; in another thread than the main one it never
    does, for Python handles no signals there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    catch_terminate()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise(signum: int, frame: FrameType | None) -> None:
    raise Terminated
