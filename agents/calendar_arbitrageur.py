"""Calendar arbitrageurs: one future against another whose basis a year differs from it.

With index x and T years to expiry a future's basis a year is b = ln(F/x)/T. The trader buys the
future with the lower basis at its ask and sells the other at its bid, `order_size` a step, while
what the spread is off, counted at the far expiry's horizon,

    ln(F_far/F_near) - carry (T_far - T_near),      F at the prices to be traded,

is more than `edge` either way; the position is flat in the underlying and carried until the near
future settles or the spread comes back. A leg that fills alone is completed in the next step.
"""

import math
from collections.abc import Sequence

from pydantic import Field

from agents.calendar_trader import YEAR_SECONDS, CalendarTrader
from agents.immediate_order import immediate_order
from agents.trader import NOTHING
from markets.intents import BUY, SELL, Intent
from markets.market import View
from markets.spot.order_book import BookView


class CalendarArbitrageur(CalendarTrader):
    """Trades the spread between two dated futures."""

    class Params(CalendarTrader.Params):
        """Parameters."""

        order_size: float = Field(default=1.0, gt=0)
        """Most traded in a step, in base."""
        largest_position: float = Field(default=50.0, gt=0)
        """Limit of the position in each future, in base."""
        carry_per_year: float = 0.05
        """Basis a year that it takes for fair."""
        edge: float = Field(default=0.002, gt=0)
        """Least gap of the spread, as a part of price, that it trades for."""
        slippage: float = Field(default=0.001, ge=0)
        """How far beyond the best price its orders may trade, as a part of it."""

    def trade(self, view: View) -> Sequence[Intent]:
        """Complete what stands alone, or trade the spread."""
        near, far = view[self.params.near], view[self.params.far]
        if view.moment.seconds >= self.expiry[self.params.near]:
            return NOTHING
        held = [self.position(view, name) for name in self.expiry]
        alone = held[0] + held[1]
        if abs(alone) >= far.instrument.lot_size:
            return self._order(far, SELL if alone > 0 else BUY, abs(alone))
        side = self._side(near, far)
        if not side or side * held[1] >= self.params.largest_position:
            return NOTHING
        size = self.params.order_size
        return [*self._order(far, side, size), *self._order(near, -side, size)]

    def _side(self, near: BookView, far: BookView) -> int:
        """The side of the far leg; 0 where the spread pays for nothing."""
        if min(near.bid_ticks, near.ask_ticks, far.bid_ticks, far.ask_ticks) <= 0:
            return 0
        first, last = self.expiry.values()
        due = self.params.carry_per_year * ((last - first) / YEAR_SECONDS)
        if math.log(far.bid / near.ask) - due > self.params.edge:
            return SELL
        return BUY if due - math.log(far.ask / near.bid) > self.params.edge else 0

    def _order(self, book: BookView, side: int, size: float) -> Sequence[Intent]:
        return immediate_order(book, self.account, side, size, self.params.slippage)
