"""Basis traders: arbitrage between a spot book and a perpetual, carried until funding undoes it.

Where the perpetual's bid stands above the spot ask by more than the entry premium, the trader sells
perpetual and buys spot, `order_size` a step; below the spot bid by as much, the reverse, out of the
spot inventory it starts with. The position is carried and earns the funding that the premium makes.
"""

from typing import Any

from pydantic import Field

from agents.spot_hedge import SpotHedge
from markets.intents import BUY, SELL
from markets.spot.order_book import BookView


class BasisTrader(SpotHedge):
    """Trades the premium of a perpetual over spot, hedged."""

    class Params(SpotHedge.Params):
        """Parameters."""

        entry_premium: float = Field(0.002, gt=0)
        """Fraction of price by which the legs must be apart, both at the prices to be traded."""

    def side(self, spot: BookView, perpetual: Any) -> int:
        """Sell the perpetual where it is dear, buy it where it is cheap."""
        edge = 1 + self.params.entry_premium
        if perpetual.bid > spot.ask * edge:
            return SELL
        return BUY if perpetual.ask * edge < spot.bid else 0
