"""Price processes: the world outside the model, sampled before the first step.

A process gives the price of one asset at the start of every step and at the end of the last:

    GeometricBrownian   d ln P = (drift - sigma**2/2) dt + sigma dW                    per year
    JumpDiffusion       the same, plus normal jumps of ln P at Poisson times (Merton 1976)
    ArithmeticWalk      P moves by +-sigma sqrt(dt) with equal chance (Avellaneda-Stoikov 2008)
    Replay              a history of points; between two points a Brownian bridge of ln P

A bridge visits every point exactly and wanders between them with its own volatility (0: straight
in the logarithm). Years have 365 days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from markets.errors import ConfigError

YEAR_SECONDS = 365 * 24 * 3600
LARGEST_PRICE = 1e12
Prices = NDArray[np.float64]


class Process(Protocol):
    """An exogenous price: `asset` in quote units."""

    @property
    def asset(self) -> str:
        """Name of the base asset that the price is of."""

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """The price at the start of each step and at the end of the last: steps + 1 values."""


@dataclass(frozen=True)
class GeometricBrownian:
    """Lognormal returns without memory."""

    asset: str
    start: float
    volatility_per_year: float
    drift_per_year: float = 0.0

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """See `Process.sample`."""
        return self.start * np.exp(_accumulate(self._returns(steps, step_seconds, stream)))

    def _returns(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        years = step_seconds / YEAR_SECONDS
        drift = (self.drift_per_year - self.volatility_per_year**2 / 2) * years
        return drift + self.volatility_per_year * np.sqrt(years) * stream.standard_normal(steps)


@dataclass(frozen=True)
class JumpDiffusion(GeometricBrownian):
    """Lognormal returns with jumps; the drift is not compensated for them."""

    jumps_per_year: float = 0.0
    jump_mean: float = 0.0
    jump_deviation: float = 0.0

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """See `Process.sample`."""
        returns = self._returns(steps, step_seconds, stream)
        jumps = stream.poisson(self.jumps_per_year * step_seconds / YEAR_SECONDS, steps)
        size = self.jump_mean * jumps + self.jump_deviation * np.sqrt(jumps) * (
            stream.standard_normal(steps)
        )
        return self.start * np.exp(_accumulate(returns + size))


@dataclass(frozen=True)
class ArithmeticWalk:
    """A binomial walk in price; `volatility` in quote units per square root of a second."""

    asset: str
    start: float
    volatility: float

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """See `Process.sample`."""
        signs = 2 * stream.integers(0, 2, steps) - 1
        return self.start + _accumulate(self.volatility * np.sqrt(step_seconds) * signs)


@dataclass(frozen=True)
class History:
    """Prices that were: rising times in seconds from the start, and the price at each."""

    seconds: NDArray[np.float64]
    price: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.seconds) < 2:
            raise ConfigError("path", f"needs at least 2 points, has {len(self.seconds)}")
        if not np.all(np.isfinite(self.price)) or np.any(self.price <= 0):
            row = int(np.flatnonzero(~(np.isfinite(self.price) & (self.price > 0)))[0])
            raise ConfigError("path", f"price of point {row} must be a number above 0")
        if self.price.max() > LARGEST_PRICE:
            raise ConfigError("path", f"prices above {LARGEST_PRICE:.0e} are out of range")
        if np.any(~np.isfinite(self.seconds)) or np.any(np.diff(self.seconds) <= 0):
            raise ConfigError("path", "times must rise from row to row")

    @property
    def duration_seconds(self) -> float:
        """From the first point to the last."""
        return float(self.seconds[-1] - self.seconds[0])

    @classmethod
    def from_bars(cls, seconds: Prices, bars: Sequence[Prices]) -> "History":
        """Open, high, low and close of bars that begin at `seconds`.

        Within a bar the path goes open, low, high, close where it rises and open, high, low, close
        where it falls, the extremes at a third and two thirds; the last bar is as long as the one
        before it. A bar's open at the same time as the close before it replaces that close.
        """
        if len(seconds) < 2:
            raise ConfigError("path", f"needs at least 2 bars, has {len(seconds)}")
        opened, high, low, close = bars
        length = np.append(np.diff(seconds), seconds[-1] - seconds[-2])
        rises = close >= opened
        first, second = np.where(rises, low, high), np.where(rises, high, low)
        times = np.stack([seconds, seconds + length / 3, seconds + length * 2 / 3], axis=1).ravel()
        points = np.stack([opened, first, second], axis=1).ravel()
        return cls(np.append(times, seconds[-1] + length[-1]), np.append(points, close[-1]))


@dataclass(frozen=True)
class Replay:
    """A history on the model's clock; before the first and after the last point it stands still."""

    asset: str
    history: History
    bridge_volatility_per_year: float = 0.0

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """See `Process.sample`."""
        knots = self.history.seconds - self.history.seconds[0]
        grid = np.arange(steps + 1, dtype=np.float64) * step_seconds
        straight = np.interp(grid, knots, np.log(self.history.price))
        return np.exp(straight + self._bridge(grid, knots, stream))

    def _bridge(self, grid: Prices, knots: Prices, stream: np.random.Generator) -> Prices:
        """Brownian motion on grid and knots together, minus its straight line between knots."""
        times = np.union1d(grid, knots)
        spread = self.bridge_volatility_per_year * np.sqrt(np.diff(times) / YEAR_SECONDS)
        motion = _accumulate(spread * stream.standard_normal(len(times) - 1))
        line = np.interp(times, knots, motion[np.searchsorted(times, knots)])
        inside = (times >= knots[0]) & (times <= knots[-1])
        return np.where(inside, motion - line, 0.0)[np.searchsorted(times, grid)]


def _accumulate(increments: Prices) -> Prices:
    return np.concatenate(([0.0], np.cumsum(increments)))
