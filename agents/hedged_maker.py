"""Hedged market makers: quotes on a perpetual, its inventory laid off on the spot book.

The ladder is that of `PerpetualMaker`. What it is filled with is carried until position and spot
inventory together are more than `tolerance` away from flat; then the difference is traded on the
spot book at once. So it earns the spread and carries the basis, not the price; and in a crash its
own hedge is a seller on the spot book, which takes the fall from one book to the other.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.immediate_order import immediate_order
from agents.market_maker import PerpetualMaker
from agents.trader import NOTHING
from markets.intents import BUY, SELL, Intent
from markets.market import Market, View
from markets.spot.order_book import OrderBook


class HedgedMaker(PerpetualMaker):
    """Makes a market on a perpetual and stays flat with spot."""

    class Params(PerpetualMaker.Params):
        """Parameters; `base` is the spot inventory it starts with and measures the hedge from."""

        spot: str
        """The spot book that it hedges on."""
        hedge_quote: float = Field(default=1e6, ge=0)
        """Quote for spot purchases, kept out of the margin."""
        tolerance: float = Field(default=1.0, ge=0)
        """Base units that may stay unhedged."""
        slippage: float = Field(default=0.005, ge=0)
        """How far beyond the best price hedges may trade, as a part of it."""

    def open(self, market: Market) -> None:
        """See `Trader.open`: spending money on top of the margin."""
        super().open(market)
        market.venue(self.params.spot, f"{self.name}.spot", OrderBook)
        quote = market.venues[self.params.venue].columns()[1]
        spending = quote.to_atoms(self.params.hedge_quote)
        market.ledger.issue(np.array([self.account]), quote.name, spending)

    def act(self, view: View) -> Sequence[Intent]:
        """Quote, then hedge what was filled before."""
        return [*super().act(view), *self._hedge(view)]

    def exposure(self, view: View) -> float:
        """Position and spot inventory beyond what it started with, in base units."""
        held = self._base.to_units(int(view.balances[self.account, self._base_column]))
        return self.inventory(view) + float(held) - self.params.base

    def _hedge(self, view: View) -> Sequence[Intent]:
        exposed, spot = self.exposure(view), view[self.params.spot]
        if abs(exposed) <= self.params.tolerance:
            return NOTHING
        side = SELL if exposed > 0 else BUY
        return immediate_order(spot, self.account, side, abs(exposed), self.params.slippage)
