"""Carry arbitrageurs: spot against perpetual for the sake of the funding, at a cost of capital.

Long spot and short perpetual earns the funding rate F and costs the carry g, the rate of quote less
the rate of base over a funding interval; the reverse earns -F and saves g. The trader knows the
rule of the venue and expects what the premium P seen now would bring if it stayed,

    F(P) = P + clamp(I - P, -d, +d), scaled to the interval and capped,
    sells perpetual and buys spot while   F(P) - g (1 + P) >  cost,
    buys perpetual and sells spot while   F(P) - g (1 + P) < -cost,

`order_size` a step until the premium it thereby moves leaves nothing to earn. `cost` is what
fees and spreads come to in an interval of the time that the position is meant to be held.
Interest is not paid in the model: g stands for what the trader's money would bring elsewhere.
Sources: Ackerer, Hugonnier and Jermann, Perpetual Futures Pricing; funding as in `funding`.
"""

from typing import Any

from pydantic import Field

from agents.spot_hedge import SpotHedge
from markets.derivatives.funding import damped_rate, interval_rate
from markets.intents import BUY, SELL
from markets.spot.order_book import BookView

_HOURS_A_YEAR = 365 * 24.0
_SECONDS_AN_HOUR = 3_600.0


class CarryArbitrageur(SpotHedge):
    """Holds spot and perpetual against each other, as much as the funding pays for."""

    class Params(SpotHedge.Params):
        """Parameters."""

        largest_position: float = Field(default=1e6, gt=0)
        """Position on the perpetual, either way, beyond which it stops."""
        carry_per_year: float = 0.05
        """Rate of quote less rate of base."""
        cost: float = Field(default=0.00002, ge=0)
        """Fraction of the notional that an interval's funding must bring beyond the carry."""

    def side(self, spot: BookView, perpetual: Any) -> int:
        """Short the perpetual while that earns more than it costs, long while the reverse does."""
        edge = self.edge(perpetual.premium)
        if edge > self.params.cost:
            return SELL
        return BUY if edge < -self.params.cost else 0

    def edge(self, premium: float) -> float:
        """What an interval would bring to a short hedged with spot, as a fraction of spot."""
        rule = self.contract
        hours = rule.funding_interval_seconds / _SECONDS_AN_HOUR
        rate = damped_rate(premium, rule.interest_rate, rule.funding_damper)
        funding = float(interval_rate(rate, hours, rule.funding_cap))
        return funding - self.params.carry_per_year * hours / _HOURS_A_YEAR * (1 + premium)
