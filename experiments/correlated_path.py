"""A price whose returns go with those of another price of the same run.

    d ln Z = -s^2/2 dt + s sqrt(dt) (rho u + sqrt(1 - rho^2) e)

u are the leader's log returns, less their mean and over their standard deviation, e independent.
The leader must come first in the scenario's list of processes: what it has sampled is remembered.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.paths import YEAR_SECONDS, Process

Prices = NDArray[np.float64]


@dataclass
class Leader:
    """A process that remembers what it has sampled."""

    process: Process
    prices: Prices = field(default_factory=lambda: np.zeros(0))

    @property
    def asset(self) -> str:
        """See `Process.asset`."""
        return self.process.asset

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """See `Process.sample`."""
        self.prices = self.process.sample(steps, step_seconds, stream)
        return self.prices


@dataclass(frozen=True)
class Follower:
    """A lognormal price with a correlation to its leader."""

    asset: str
    start: float
    volatility_per_year: float
    correlation: float
    leader: Leader

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> Prices:
        """See `Process.sample`."""
        led = np.diff(np.log(self.leader.prices))
        scale = led.std()
        common = (led - led.mean()) / scale if scale > 0 else np.zeros(steps)
        own = stream.standard_normal(steps)
        mixed = self.correlation * common + np.sqrt(1 - self.correlation**2) * own
        spread = self.volatility_per_year * np.sqrt(step_seconds / YEAR_SECONDS)
        returns = spread * mixed - spread**2 / 2
        return self.start * np.exp(np.concatenate(([0.0], np.cumsum(returns))))
