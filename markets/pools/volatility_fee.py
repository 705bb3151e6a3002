"""Fee that follows recent variance: dear when the price moves, cheap when it rests.

    v <- a v + (1 - a) r^2/dt,   a = 2^(-dt/half life),   fee = min(base + gain v, cap)

r: change of the logarithm of the pool's own marginal price over the dt seconds since the last look,
v: variance per day, gain: ppm of fee for one unit of v (a volatility of 5 % a day is v = 0.0025).
The fee moves only between blocks, so every quote of a block holds for all of it. It is rounded to
whole ppm, and kept below 100 %. The form is that of the variable fee of bin pools (a square of
recent movement added to a base fee), with an exponential mean in place of filter and decay periods.
Source: Trader Joe Liquidity Book white paper (base and variable fee), RiskMetrics 1996 (the mean).
Left out: fees that differ by direction.
"""

import math

from pydantic import Field

from markets import params
from markets.rounding import PPM

DAY_SECONDS = 86_400.0


class VolatilityFee:
    """One pool's rule with its memory: the variance and the price seen last."""

    class Params(params.Params):
        """Parameters of the rule; the base fee is the pool's own `fee_ppm`."""

        half_life_seconds: float = Field(3_600.0, gt=0)
        """Half-life of the mean of squared returns."""
        ppm_per_daily_variance: float = Field(1.2e6, ge=0)
        """Gain: ppm of fee for one unit of variance per day."""
        initial_volatility_daily: float = Field(0.0, ge=0)
        """Standard deviation of a day's return that the rule starts from."""
        cap_ppm: int = Field(100_000, ge=0, lt=PPM)
        """The highest fee."""

    def __init__(self, base_ppm: int, params: Params) -> None:
        self.base_ppm = base_ppm
        self.params = params
        self.variance_per_day = params.initial_volatility_daily**2
        self._last_price = math.nan
        self._last_seconds = math.nan

    @property
    def fee_ppm(self) -> int:
        """The fee that holds now; the cap never lowers the base fee."""
        wanted = self.base_ppm + self.params.ppm_per_daily_variance * self.variance_per_day
        return max(self.base_ppm, round(min(wanted, self.params.cap_ppm)))

    def update(self, price: float, seconds: float) -> None:
        """Take note of the pool's price; one that is missing (NaN) is passed over."""
        if not (math.isfinite(price) and price > 0.0):
            return
        elapsed = seconds - self._last_seconds
        if elapsed > 0.0:
            kept = 2.0 ** (-elapsed / self.params.half_life_seconds)
            squared = math.log(price / self._last_price) ** 2 * DAY_SECONDS / elapsed
            self.variance_per_day = kept * self.variance_per_day + (1.0 - kept) * squared
        self._last_price, self._last_seconds = price, seconds
