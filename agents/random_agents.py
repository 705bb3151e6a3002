"""Random agents: the common model on which simulators of order books are compared.

Each step an agent is active with probability one half. Active, it cancels its own resting order if
it has one, and otherwise places a limit order of random side, price and size. The rule is that of
bourse's example agents (bourse 0.4.0), given in the same form to every simulator measured. Once as
an object that decides alone, once as a cohort that decides for all its members in arrays.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Cohort, Trader
from markets.intents import BUY, SELL, Intent, cancel, limit_order
from markets.market import Market, View


class _Range(Trader.Params):
    """Where random orders may lie."""

    venue: str
    low_ticks: int = Field(10, ge=1)
    high_ticks: int = Field(100, ge=1)
    low_lots: int = Field(10, ge=1)
    high_lots: int = Field(50, ge=1)
    active: float = Field(0.5, ge=0, le=1)
    base: float = Field(1e6, ge=0)
    quote: float = Field(1e8, ge=0)


class RandomAgent(Trader):
    """One random agent."""

    class Params(_Range):
        """Ranges are inclusive."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote}
        self.account = self.endow(market, venue.domain, held)
        params = self.params
        self._venue, self._active = params.venue, params.active
        self._low_ticks, self._ticks = params.low_ticks, params.high_ticks - params.low_ticks + 1
        self._low_lots, self._lots = params.low_lots, params.high_lots - params.low_lots + 1

    def act(self, view: View) -> Sequence[Intent]:
        """Cancel the own order, or place one."""
        draw = self.dice.random
        if draw() >= self._active:
            return NOTHING
        book = view.venues[self._venue]
        order = book.newest_order[self.account]
        if order >= 0:
            return (cancel(book.index, self.account, order),)
        side = BUY if draw() < 0.5 else SELL
        ticks = self._low_ticks + int(draw() * self._ticks)
        lots = self._low_lots + int(draw() * self._lots)
        return (limit_order(book.index, self.account, side, lots, ticks),)


class RandomCohort(Cohort):
    """Many random agents deciding in arrays."""

    class Params(_Range, Cohort.Params):
        """Ranges are inclusive."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote}
        self.accounts = self.endow_all(market, venue.domain, held)

    def act(self, view: View) -> Sequence[Intent]:
        """Cancel or place, for all that are active."""
        params, stream = self.params, self.stream
        book = view[params.venue]
        active = self.accounts[stream.random(params.count) < params.active]
        orders = book.newest_orders(active)
        resting = orders >= 0
        placing = active[~resting]
        count = len(placing)
        sides = 1 - 2 * stream.integers(0, 2, count)
        ticks = stream.integers(params.low_ticks, params.high_ticks + 1, count)
        lots = stream.integers(params.low_lots, params.high_lots + 1, count)
        return (
            cancel(book.index, active[resting], orders[resting]),
            limit_order(book.index, placing, sides, lots, ticks),
        )
