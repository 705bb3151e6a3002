"""Short-run volatility as a participant sees it: an exponentially weighted mean of squared returns.

With decay a = 2**(-step/half_life), v <- a v + (1-a) r**2, and sigma = sqrt(v / step_seconds) per
square root of a second. RiskMetrics form (J.P. Morgan 1996) with a half-life in place of lambda.
"""

import math


class VolatilityMeter:
    """Feeds on one price a step; `per_hour` is the standard deviation of an hour's return."""

    def __init__(self, half_life_seconds: float, initial_per_hour: float) -> None:
        self._half_life = half_life_seconds
        self._variance = initial_per_hour**2 / 3600
        self._last = math.nan

    def update(self, observed: float, step_seconds: float) -> None:
        """Take note of a price; one that is missing (NaN) is passed over."""
        if not math.isfinite(observed):
            return
        if math.isfinite(self._last):
            keep = 2 ** (-step_seconds / self._half_life)
            squared = math.log(observed / self._last) ** 2 / step_seconds
            self._variance = keep * self._variance + (1 - keep) * squared
        self._last = observed

    @property
    def per_hour(self) -> float:
        """Standard deviation of the return over an hour, as a fraction."""
        return math.sqrt(self._variance * 3600)

    @property
    def per_root_second(self) -> float:
        """Standard deviation of the return over a second, as a fraction."""
        return math.sqrt(self._variance)
