"""A price seen once a block: geometric Brownian motion sampled at the times of blocks.

    ln P' - ln P = -sigma^2 t/2 + sigma sqrt(t) N,   t = dt, or exponential with mean dt (Poisson)

One step of the world is one block, whatever time it took: blocks in which nothing can happen cost
nothing, and time enters only through t. sigma per square root of a second; without drift, P is a
martingale. The path starts again from its first price every `restart` blocks, so that it stays in
a range where whole atoms mean the same at both ends.

`Innovation` is the law of one block's ln P' - ln P: its mean, mean square, and beyond a level a the
chance and E[(d - a)+^2]. With Poisson blocks it is a Laplace law of two rates, the roots c of
dt sigma^2 (c^2 - c)/2 = 1. Both are exact.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Innovation:
    """Law of the change of ln P over one block; `deviation` is sigma sqrt(dt)."""

    deviation: float
    poisson: bool

    @property
    def mean(self) -> float:
        """E[d]."""
        return -(self.deviation**2) / 2

    @property
    def mean_square(self) -> float:
        """E[d^2]; an exponential time has twice the squared mean as mean square."""
        return self.deviation**2 + self.deviation**4 * (0.5 if self.poisson else 0.25)

    def above(self, level: Values) -> tuple[Values, Values]:
        """P(d > a) and E[(d - a)+^2] for levels a >= 0."""
        return self._beyond(level, 1.0)

    def below(self, level: Values) -> tuple[Values, Values]:
        """P(-d > a) and E[(-d - a)+^2] for levels a >= 0."""
        return self._beyond(level, -1.0)

    def _beyond(self, level: Values, sign: float) -> tuple[Values, Values]:
        if not self.poisson:
            return _normal_tail((level - sign * self.mean) / self.deviation, self.deviation)
        root = math.sqrt(0.25 + 2 / self.deviation**2)
        own, other = root + sign * 0.5, root - sign * 0.5
        chance = other / (own + other) * np.exp(-own * level)
        return chance, 2 / own**2 * chance


def _normal_tail(standard: Values, deviation: float) -> tuple[Values, Values]:
    """P(N > a) and E[(s N - s a)+^2] for standardised levels a."""
    chance = 0.5 * erfc(standard / math.sqrt(2))
    density = np.exp(-(standard**2) / 2) / math.sqrt(2 * math.pi)
    return chance, deviation**2 * ((1 + standard**2) * chance - standard * density)


@dataclass(frozen=True)
class BlockPrices:
    """A price process for worlds whose step is a block; see the module."""

    asset: str
    start: float
    volatility_per_root_second: float
    poisson: bool
    restart: int

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Values:
        """See `Process.sample`; `step_seconds` is the mean time of a block."""
        times = np.full(steps, step_seconds)
        if self.poisson:
            times = stream.exponential(step_seconds, steps)
        variance = self.volatility_per_root_second**2 * times
        moves = np.sqrt(variance) * stream.standard_normal(steps) - variance / 2
        level = np.append(0.0, np.cumsum(moves))
        since = np.arange(steps + 1) // self.restart * self.restart
        return self.start * np.exp(level - level[since])


def innovation(process: BlockPrices, step_seconds: float) -> Innovation:
    """The law of one block of a process."""
    deviation = process.volatility_per_root_second * math.sqrt(step_seconds)
    return Innovation(deviation, process.poisson)


def fresh(process: BlockPrices, steps: int, settle: int) -> Any:
    """Which of the steps stand more than `settle` blocks behind a start of the path."""
    return np.arange(steps) % process.restart > settle
