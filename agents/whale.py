"""Whales: one large parent order, worked in equal slices over a stretch of time.

A time-weighted schedule: of `size` base units, (elapsed / duration) should be done at any time. In
each step the whale sends a market order for what it is behind, so that a slice the book could not
fill is caught up later; whatever is left at the end of the stretch is given up.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.intents import BUY, SELL, Intent, market_order
from markets.market import Market, View
from markets.spot.order_book import OrderBook


class Whale(Trader):
    """Sells (or buys) a fixed amount of base on one spot book."""

    class Params(Trader.Params):
        """Parameters; size in base units, times in seconds from the start of the run."""

        venue: str
        """The venue's name."""
        size: float = Field(gt=0)
        """Base that is traded in all."""
        buys: bool = False
        """Whether it buys."""
        quote: float = Field(0.0, ge=0)
        """Quote held, which a buyer spends."""
        start_seconds: float = Field(0.0, ge=0)
        """When it begins."""
        duration_seconds: float = Field(3600.0, gt=0)
        """Time over which it trades evenly."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue", OrderBook)
        base, quote = venue.columns()[:2]
        held = 0.0 if self.params.buys else self.params.size
        self.account = self.endow(
            market, venue.domain, {base.name: held, quote.name: self.params.quote}
        )
        self._base, self._base_column = base, market.ledger.column[base.name]
        self._begun = False

    def act(self, view: View) -> Sequence[Intent]:
        """Catch up with the schedule while it lasts."""
        elapsed = view.moment.seconds + view.moment.step_seconds - self.params.start_seconds
        if not 0 < elapsed <= self.params.duration_seconds + view.moment.step_seconds:
            return NOTHING
        if not self._begun:
            self._begun = True
            self.note("begins", self.params.size)
        book = view[self.params.venue]
        held = self._base.to_units(int(view.balances[self.account, self._base_column]))
        done = held if self.params.buys else self.params.size - held
        due = self.params.size * min(1.0, elapsed / self.params.duration_seconds)
        lots = book.instrument.to_lots(due - done)
        if lots <= 0:
            return NOTHING
        return [market_order(book.index, self.account, BUY if self.params.buys else SELL, lots)]
