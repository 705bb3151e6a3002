"""A published result and what the simulator gives: the row that every reproduction is made of.

A module of `experiments/published/` has `CITATION` (a string), `DEFAULT_RUNS` (an int) and
`reproduce(runs, seed)` that returns `Row`s. A row is good when what the simulator gives is
accepted: within an absolute tolerance of the published figure, or inside a `Range`, where what is
published is one, or a bound, or where no more than the sign of the figure is claimed.
"""

import importlib
import math
import pkgutil
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from experiments import published
from markets.errors import ConfigError


class Range(NamedTuple):
    """What lies between the two, neither included; infinite where there is no such bound."""

    low: float = -math.inf
    high: float = math.inf


ABOVE_ZERO = Range(low=0.0)


@dataclass(frozen=True)
class Row:
    """One quantity, all in its unit. `published` is NaN where the range is all that is published.

    `tolerance` is the distance from the published figure that is accepted, or the accepted range.
    """

    name: str
    quantity: str
    published: float
    tolerance: float | Range
    got: float
    standard_error: float

    @property
    def accepted(self) -> Range:
        """Between which figures a good one lies."""
        if isinstance(self.tolerance, Range):
            return self.tolerance
        return Range(self.published - self.tolerance, self.published + self.tolerance)

    @property
    def ok(self) -> bool:
        """Whether the figure is accepted; NaN never is."""
        if isinstance(self.tolerance, Range):
            return self.tolerance.low < self.got < self.tolerance.high
        return abs(self.got - self.published) <= self.tolerance


def mean_row(
    name: str,
    quantity: str,
    published: float,
    tolerance: float | Range,
    figures: Iterable[float],
) -> Row:
    """The row of a mean over runs."""
    figures = [float(figure) for figure in figures]
    got = statistics.fmean(figures)
    return Row(name, quantity, published, tolerance, got, standard_error(figures))


def standard_error(figures: Iterable[float]) -> float:
    """Of the mean over runs; NaN for a single one."""
    figures = [float(figure) for figure in figures]
    if len(figures) < 2:
        return math.nan
    mean = statistics.fmean(figures)
    squares = math.fsum((figure - mean) ** 2 for figure in figures)
    return math.sqrt(squares / (len(figures) - 1) / len(figures))


Reproduce = Callable[[int, int], list[Row]]


def reproduction_names() -> list[str]:
    """The published results that can be reproduced."""
    return sorted(module.name for module in pkgutil.iter_modules(published.__path__))


def find_reproduction(name: str) -> ModuleType:
    """The module of a reproduction; raises ConfigError if there is none of that name."""
    if name not in reproduction_names():
        known = ", ".join(reproduction_names())
        raise ConfigError("reproduction", f"no reproduction {name!r}; known: {known}")
    return importlib.import_module(f"{published.__name__}.{name}")
