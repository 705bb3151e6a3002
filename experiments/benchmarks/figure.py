"""One measured figure of a benchmark, with the target it is held against.

Rates depend on the machine: compare figures of one run with each other before anything else.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`target` is a lower bound for rates and an upper bound for times; or None."""

    name: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""


def best_seconds(
    work: Callable[[], object], prepare: Callable[[], object] = lambda: None, repeats: int = 5
) -> float:
    """The shortest of several runs of `work`, each after an untimed `prepare`."""
    best = float("inf")
    for _ in range(repeats):
        prepare()
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
