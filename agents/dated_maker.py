"""Makers of dated futures: quotes on two expiries around the carry, inventory locked and rolled.

A future with T years to go is quoted around F = index e^{bT}, b the carry a year that the maker
counts on, leaning against inventory. Position it holds in the near future beyond `lock_size` is
locked: the opposite is traded in the far future, so that only the spread between the two is left.
Within `roll_seconds` of the near expiry the near position is closed and opened again in the far
future, lot by lot (which undoes the lock there), and the near book is quoted no more.
Left out: more than two expiries, hedges with spot.
"""

import math
from collections.abc import Sequence

from pydantic import Field

from agents.calendar_trader import YEAR_SECONDS, CalendarTrader
from agents.immediate_order import immediate_order
from markets.derivatives.fair_price import dated_price
from markets.intents import (
    BUY,
    POST_ONLY,
    SELL,
    Intent,
    cancel_all,
    limit_order,
)
from markets.market import View


class DatedMaker(CalendarTrader):
    """Makes markets in a near and a far future of the same underlying."""

    class Params(CalendarTrader.Params):
        """Parameters."""

        order_size: float = Field(default=1.0, gt=0)
        """Size at each level, in base."""
        levels: int = Field(default=3, ge=1, le=50)
        """Price levels on each side."""
        half_spread: float = Field(default=0.0005, gt=0, lt=0.1)
        """Distance of the best quotes from their middle, as a part of price."""
        level_distance: float = Field(default=0.0005, gt=0, lt=0.1)
        """Distance between levels, as a part of price."""
        carry_per_year: float = 0.05
        """Basis a year that it quotes around."""
        skew_per_unit: float = Field(default=0.00005, ge=0)
        """How far a unit of inventory moves the quotes."""
        lock_size: float = Field(default=5.0, ge=0)
        """Near position, in base, beyond which the rest is locked in the far future."""
        trade_size: float = Field(default=2.0, gt=0)
        """Largest lock or roll in one step."""
        roll_seconds: float = Field(default=86_400.0, ge=0)
        """Time before the near expiry from which the near position is rolled."""
        slippage: float = Field(default=0.002, ge=0)
        """How far beyond the best price its locks and rolls may trade, as a part of it."""

    def fair(self, view: View, name: str) -> float:
        """Price of a future at the carry that the maker counts on; NaN without an index."""
        years = max(0.0, self.expiry[name] - view.moment.seconds) / YEAR_SECONDS
        return float(dated_price(view[name].index_price, self.params.carry_per_year, 0.0, years))

    def trade(self, view: View) -> Sequence[Intent]:
        """Quote, lock and roll."""
        params = self.params
        left = self.expiry[params.near] - view.moment.seconds
        near, far = (self.position(view, name) for name in (params.near, params.far))
        orders: list[Intent] = []
        if left > params.roll_seconds:
            orders += self._ladder(view, params.near, near + far)
            beyond = near + far
            if abs(beyond) > params.lock_size:
                orders += self._trade(view, params.far, -beyond)
        elif left > 0:
            orders.append(cancel_all(view[params.near].index, self.account))
            moved = math.copysign(min(abs(near), params.trade_size), near)
            if moved:
                orders += [
                    *self._trade(view, params.near, -moved),
                    *self._trade(view, params.far, moved),
                ]
        return [*orders, *self._ladder(view, params.far, near + far)]

    def _ladder(self, view: View, name: str, inventory: float) -> list[Intent]:
        """Post-only orders on both sides of the fair price, moved against the inventory."""
        book, fair, params = view[name], self.fair(view, name), self.params
        orders = [cancel_all(book.index, self.account)]
        if not fair > 0:
            return orders
        centre = fair * (1 - params.skew_per_unit * inventory)
        lots = max(1, book.instrument.to_lots(params.order_size))
        for level in range(params.levels):
            distance = params.half_spread + level * params.level_distance
            for side in (BUY, SELL):
                ticks = book.instrument.to_ticks(centre * (1 - side * distance))
                orders.append(limit_order(book.index, self.account, side, lots, ticks, POST_ONLY))
        return orders

    def _trade(self, view: View, name: str, size: float) -> Sequence[Intent]:
        """Immediate order for so many base units, at most `trade_size`, near the best quote."""
        size_now = min(abs(size), self.params.trade_size)
        side = BUY if size > 0 else SELL
        return immediate_order(view[name], self.account, side, size_now, self.params.slippage)
