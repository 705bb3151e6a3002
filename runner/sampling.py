"""Designs that draw their points: random, Latin hypercube, Sobol, Saltelli, and one at a time.

    [design]
    kind = "sobol"
    samples = 64
    seed = 0
    [design.ranges]
    "traders.leverage_mean" = {low = 2, high = 50, log = true}
    "maker.count" = {low = 1, high = 20, whole = true}

Points u in the unit cube come from `scipy.stats.qmc` and become low + u (high - low), or low
(high/low)^u where `log` is set; `whole` rounds to the nearest. Sobol needs a power of two of
samples. `one_at_a_time` takes `samples` even levels of each range, one range after the other, and
leaves all other parameters where they are; it draws nothing.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from markets.errors import ConfigError
from markets.params import Params


class Range(Params):
    """Of one parameter, both ends included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a range above 0, got low = {self.low}")
        return self

    def at(self, part: float) -> int | float:
        """The value at a part, 0 to 1, of the range."""
        if self.log:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + part * (self.high - self.low)
        return round(value) if self.whole else float(value)


class Sampling(Params):
    """A drawn design."""

    kind: Literal["random", "latin_hypercube", "sobol", "saltelli", "one_at_a_time"]
    samples: int = Field(ge=1)
    seed: int = Field(0, ge=0)
    ranges: dict[str, Range] = Field(min_length=1)


def sample(design: Sampling) -> list[dict[str, Any]]:
    """The points; the same design gives the same ones."""
    paths = list(design.ranges)
    if design.kind == "one_at_a_time":
        levels = np.linspace(0.0, 1.0, design.samples) if design.samples > 1 else [0.5]
        return [{path: design.ranges[path].at(level)} for path in paths for level in levels]
    return [
        {path: design.ranges[path].at(part) for path, part in zip(paths, row, strict=True)}
        for row in _unit_points(design)
    ]


def _unit_points(design: Sampling) -> Sequence[Sequence[float]]:
    """`samples` points of the unit cube."""
    from scipy.stats import qmc

    size, rng = len(design.ranges), np.random.default_rng(design.seed)
    power = design.samples.bit_length() - 1
    if design.kind in ("sobol", "saltelli") and design.samples != 1 << power:
        raise ConfigError("design.samples", f"must be a power of 2, got {design.samples}")
    if design.kind == "saltelli":
        points = _saltelli(design)
    elif design.kind == "sobol":
        points = qmc.Sobol(size, rng=rng).random_base2(power)
    elif design.kind == "latin_hypercube":
        points = qmc.LatinHypercube(size, rng=rng).random(design.samples)
    else:
        points = rng.random((design.samples, size))
    rows: list[list[float]] = points.tolist()
    return rows


def problem(design: Sampling) -> dict[str, Any]:
    """The design as SALib describes it, on the unit cube."""
    names = list(design.ranges)
    return {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}


def _saltelli(design: Sampling) -> Any:
    from SALib.sample import sobol

    return sobol.sample(problem(design), design.samples, calc_second_order=False, seed=design.seed)
