"""Backstop providers: capital that waits for forced sales and buys them at a discount.

While the book stands within `trigger` of the index the provider does nothing. When its bid is
gone or further below the index than that, it rests bids at a `discount` to the index, and in a
squeeze offers at the same premium above it, as far as its limit goes. What it has bought it sells
passively close to the index once the book is back, a part a step. Nobody obliges it: it earns the
discount and bears what the index does meanwhile.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.derivatives.perpetual import Perpetual
from markets.intents import (
    BUY,
    IMMEDIATE_OR_CANCEL,
    REDUCE_ONLY,
    SELL,
    Intent,
    cancel_all,
    deposit,
    limit_order,
)
from markets.market import Market, View
from markets.spot.order_book import BookView


class BackstopProvider(Trader):
    """Steps in on one perpetual where others have left."""

    class Params(Trader.Params):
        """Parameters."""

        venue: str
        """The perpetual's name."""
        margin: float = Field(gt=0)
        """Quote deposited at the start."""
        order_size: float = Field(default=10.0, gt=0)
        """Size of each bid or offer, in base."""
        largest_position: float = Field(default=100.0, gt=0)
        """Limit of the position either way, in base."""
        trigger: float = Field(default=0.01, gt=0)
        """Distance of the book from the index, as a part of it, beyond which it steps in."""
        discount: float = Field(default=0.02, gt=0, lt=1)
        """Distance of its quotes from the index, as a part of it."""
        unwind_size: float = Field(default=5.0, gt=0)
        """Most that it sells again in a step, in base."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue", Perpetual)
        quote = venue.columns()[1]
        self.account = self.endow(market, venue.domain, {quote.name: self.params.margin})
        self._margin_atoms = quote.to_atoms(self.params.margin)

    def act(self, view: View) -> Sequence[Intent]:
        """Rest where the book has gone; unwind where it is back."""
        perpetual, params = view[self.params.venue], self.params
        if view.moment.step == 0:
            return [deposit(perpetual.index, self.account, self._margin_atoms)]
        index = perpetual.index_price
        if not index > 0:
            return NOTHING
        lots = int(view.balances[self.account, perpetual.contract_column])
        position = perpetual.instrument.to_base(lots)
        orders = [cancel_all(perpetual.index, self.account)]
        needed = False
        for side, best in ((BUY, perpetual.bid), (SELL, perpetual.ask)):
            gone = not best > 0 or side * (index - best) > params.trigger * index
            room = params.largest_position - side * position
            needed = needed or gone
            if gone and room > 0:
                price = index * (1 - side * params.discount)
                size = min(params.order_size, room)
                orders.append(self._order(perpetual, side, size, price, 0))
        if position and not needed:
            side = SELL if position > 0 else BUY
            best = perpetual.bid if side == SELL else perpetual.ask
            size = min(params.unwind_size, abs(position))
            flags = IMMEDIATE_OR_CANCEL | REDUCE_ONLY
            orders.append(self._order(perpetual, side, size, best, flags))
        return orders

    def _order(self, book: BookView, side: int, size: float, price: float, flags: int) -> Intent:
        """A limit order of the account."""
        instrument = book.instrument
        lots, ticks = max(1, instrument.to_lots(size)), max(1, instrument.to_ticks(price))
        return limit_order(book.index, self.account, side, lots, ticks, flags)
