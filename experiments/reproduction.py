"""A published result and what the simulator gives: the row that every reproduction is made of.

A module of `experiments/published/` has `CITATION` (a string), `DEFAULT_RUNS` (an int) and
`reproduce(runs, seed)` that returns `Row`s. A row is good when the figure lies within the tolerance
of the published one.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from experiments import published
from markets.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """One quantity. `tolerance` is absolute, in the quantity's unit."""

    name: str
    quantity: str
    published: float
    tolerance: float
    got: float
    standard_error: float

    @property
    def ok(self) -> bool:
        """Whether the figure is within tolerance; NaN never is."""
        return abs(self.got - self.published) <= self.tolerance


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
