"""Zero-intelligence traders in an induced-value market: they shout random prices, nothing more.

Each member is a buyer who redeems units at given values, or a seller who buys units at given costs;
unit i is traded before unit i + 1. At each turn a random member with units left shouts a price: an
order for one lot, uniform over 1 to the highest price, or, where members are constrained, over the
part of it that cannot lose: 1 to the value, the cost to the highest. Orders rest, a shout that
crosses trades at the price of the older order, and a trade clears the book for the next unit.

Shouts are sent as a tape, some dozens a step, that stops at the first trade; those behind it were
never made, and are drawn anew. A period lasts a number of shouts; then units are handed out again.
Model: Gode and Sunder (1993).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.trader import Cohort
from markets.intents import BUY, SELL, Intent, cancel_all, limit_order
from markets.market import Market, View
from markets.outcomes import Fills
from markets.spot.tape import UNLESS_TRADED, TapeView, conditional


class ZeroIntelligenceTraders(Cohort):
    """All buyers, then all sellers; `profits` has a row for each period that is over."""

    class Params(Cohort.Params):
        """Parameters; units are traded in the order in which they are listed."""

        venue: str
        """The tape book's name."""
        values_ticks: tuple[tuple[int, ...], ...]
        """Values of each buyer's units."""
        costs_ticks: tuple[tuple[int, ...], ...]
        """Costs of each seller's units."""
        constrained: bool
        """Whether nobody may shout a price that loses."""
        highest_ticks: int = 200
        """The highest price that is shouted."""
        shouts: int = 2_000
        """Shouts in a period."""
        shouts_a_step: int = 64
        """Shouts sent in a step."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue, params = market.venue(self.params.venue, f"{self.name}.venue"), self.params
        units = [np.array(own, np.int64) for own in params.values_ticks + params.costs_ticks]
        buyers, count = len(params.values_ticks), len(units)
        self.worth_ticks = np.zeros((count, max(map(len, units))), np.int64)
        for member, own in enumerate(units):
            self.worth_ticks[member, : len(own)] = own
        self.units = np.array([len(own) for own in units])
        self.sides = np.where(np.arange(count) < buyers, BUY, SELL)
        base, quote = venue.columns()[:2]
        held = {base.name: 1e6, quote.name: 1e9}
        self.accounts = market.endow(self.name, venue.domain, held, count)
        self.profits: list[NDArray[np.int64]] = []
        self.sent, self.traded = 0, False
        self._begin()

    def _begin(self) -> None:
        self.done = np.zeros(len(self.units), np.int64)
        self.profit_ticks = np.zeros(len(self.units), np.int64)
        self.left = self.params.shouts

    def act(self, view: View) -> Sequence[Intent]:
        """Book the trade of the last step, and shout on."""
        tape_view: TapeView = view[self.params.venue]
        self._account(tape_view)
        clearing = self.traded
        if not self.left or not self._active(BUY).size or not self._active(SELL).size:
            self.profits.append(self.profit_ticks)
            self._begin()
            clearing = True
        self.sent = min(self.left, self.params.shouts_a_step)
        shouts = self._shouts(tape_view.index)
        clears = cancel_all(tape_view.index, self.accounts)
        return (clears, shouts) if clearing else (shouts,)

    def _active(self, side: int) -> NDArray[np.int64]:
        return np.flatnonzero((self.done < self.units) & (self.sides == side))

    def _shouts(self, venue: int) -> Intent:
        active = np.flatnonzero(self.done < self.units)
        members = active[self.stream.integers(0, len(active), self.sent)]
        sides, highest = self.sides[members], self.params.highest_ticks
        lowest_ticks, highest_ticks = np.ones(self.sent, np.int64), np.full(self.sent, highest)
        if self.params.constrained:
            worth_ticks = self.worth_ticks[members, self.done[members]]
            lowest_ticks = np.where(sides == SELL, worth_ticks, 1)
            highest_ticks = np.where(sides == BUY, worth_ticks, highest)
        limits = self.stream.integers(lowest_ticks, highest_ticks + 1)
        order = limit_order(venue, self.accounts[members], sides, 1, limits)
        return conditional(order, UNLESS_TRADED)

    def _account(self, view: TapeView) -> None:
        """Count the shouts that were made, and what a trade was worth to both."""
        fills: Fills = view.fills[:1] if self.sent else view.fills[:0]
        self.traded = len(fills) > 0
        if not self.traded:
            self.left -= self.sent
            return
        idle = len(view.feed) - self.sent
        self.left -= int(np.searchsorted(view.feed["trades"], 1, "left")) + 1 - idle
        for account in (int(fills["taker"][0]), int(fills["maker"][0])):
            member = account - int(self.accounts[0])
            gain_ticks = self.worth_ticks[member, self.done[member]] - int(fills["price_ticks"][0])
            self.profit_ticks[member] += self.sides[member] * gain_ticks
            self.done[member] += 1
