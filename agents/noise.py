"""Noise takers: a cohort whose members trade at random, on an order book or on a pool.

Each member trades at a Poisson rate, buys or sells with equal chance, in lognormal sizes. The flow
carries no information: it is what makers and liquidity providers live on.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.trader import NOTHING, Cohort
from markets.intents import BUY, SELL, Intent, market_order, swap_exact_in
from markets.market import Market, View
from markets.pools.pool import PoolView


class NoiseTakers(Cohort):
    """Uninformed takers on one venue, with base and quote of their own."""

    class Params(Cohort.Params):
        """Parameters; sizes and endowments in base and quote units, rates per hour and member."""

        venue: str
        """The venue's name."""
        count: int = Field(100, ge=1, le=10_000_000)
        """Members."""
        base: float = Field(10.0, ge=0)
        """Base held by each at the start."""
        quote: float = Field(100_000.0, ge=0)
        """Quote held by each at the start."""
        trades_per_hour: float = Field(1.0, ge=0)
        """Mean number of trades of a member (Poisson)."""
        size_median: float = Field(0.05, gt=0, le=1e6)
        """Median size of a trade, in base."""
        size_sigma: float = Field(1.0, ge=0, le=5)
        """Standard deviation of the logarithm of size."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote}
        self.accounts = self.endow_all(market, venue.domain, held)

    def act(self, view: View) -> Sequence[Intent]:
        """Market orders, or swaps, of those whose turn it is."""
        hours = view.moment.step_seconds / 3600
        chance = -np.expm1(-self.params.trades_per_hour * hours)
        members = np.flatnonzero(self.stream.random(self.params.count) < chance)
        if not len(members):
            return NOTHING
        sides = np.where(self.stream.random(len(members)) < 0.5, BUY, SELL)
        spread = np.exp(self.params.size_sigma * self.stream.standard_normal(len(members)))
        sizes = self.params.size_median * spread
        venue, accounts = view[self.params.venue], self.accounts[members]
        if isinstance(venue, PoolView):
            if not venue.base_atoms:
                return NOTHING
            paid = np.where(sides == SELL, sizes, sizes * venue.mid)
            base, quote = venue.instrument.base, venue.instrument.quote
            atoms = np.where(sides == SELL, base.to_atoms(paid), quote.to_atoms(paid))
            return [swap_exact_in(venue.index, accounts, sides, np.maximum(atoms, 1))]
        lots = np.maximum(venue.instrument.to_lots(sizes), 1)
        return [market_order(venue.index, accounts, sides, lots)]
