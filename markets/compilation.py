"""How long this process has compiled kernels or loaded them, and who hears of it.

A kernel is compiled when it is called for the first time, which takes seconds, or loaded from where
`markets.kernel` keeps it. Whoever times what kernels do takes off `loading_seconds`. A process that
compiles for more than a moment tells its observer, once; nothing is printed here.
"""

import time
from collections.abc import Callable

from numba.core import event

MOMENT_SECONDS = 1.0


class _Clock(event.Listener):
    """The time inside one kind of Numba's events; one inside another counts once."""

    def __init__(self) -> None:
        self.observer: Callable[[], None] | None = None
        self._depth, self._since, self._sum = 0, 0.0, 0.0

    def seconds(self) -> float:
        """So far, with what has begun and not ended."""
        return self._sum + (time.perf_counter() - self._since if self._depth else 0.0)

    def on_start(self, event: event.Event) -> None:
        """Something begins; the observer hears of what was before."""
        if self.observer is not None and self.seconds() >= MOMENT_SECONDS:
            observer, self.observer = self.observer, None
            observer()
        if not self._depth:
            self._since = time.perf_counter()
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """It has ended."""
        self._depth -= 1
        if not self._depth:
            self._sum += time.perf_counter() - self._since


_loading, _compiling = _Clock(), _Clock()
event.register("numba:compiler_lock", _loading)
event.register("numba:compile", _compiling)


def loading_seconds() -> float:
    """Spent so far on compiling kernels and on loading them."""
    return _loading.seconds()


def observe(observer: Callable[[], None]) -> None:
    """Call this once, as soon as more than a moment has gone into compiling."""
    _compiling.observer = observer
