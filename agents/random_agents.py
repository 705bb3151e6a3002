"""Random agents: the common model on which simulators of order books are compared.

Each step an agent is active with probability one half. Active, it cancels its own resting order if
it has one, and otherwise places a limit order of random side, price and size. The rule is that of
bourse's example agents (bourse 0.4.0), given in the same form to every simulator measured. Once as
an object that decides alone, once as a cohort that decides for all its members in arrays.

One draw does: below `active` it is, divided by `active`, uniform again, and chooses among all
pairs of side, price and size at once.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from agents.trader import NOTHING, Cohort, Trader
from markets.intents import BUY, CANCEL, INTENT, PLACE, SELL, Intent, Rows, cancel, limit_order
from markets.kernel import njit
from markets.market import Market, View
from markets.splitmix import uniform


class _Range(Trader.Params):
    """Where random orders may lie."""

    venue: str
    """The book's name."""
    low_ticks: int = Field(10, ge=1)
    """Lowest price."""
    high_ticks: int = Field(100, ge=1)
    """Highest price."""
    low_lots: int = Field(10, ge=1)
    """Smallest order."""
    high_lots: int = Field(50, ge=1)
    """Largest order."""
    active: float = Field(0.5, gt=0, le=1)
    """Chance that an agent does something in a step."""
    base: float = Field(1e6, ge=0)
    """Base held by each at the start."""
    quote: float = Field(1e8, ge=0)
    """Quote held by each at the start."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> "_Range":
        if self.high_ticks < self.low_ticks or self.high_lots < self.low_lots:
            raise ValueError("high_ticks and high_lots must be at least low_ticks and low_lots")
        return self


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
        self._venue, self._active, self._draw = params.venue, params.active, self.dice.random
        self._low_ticks, self._low_lots = params.low_ticks, params.low_lots
        self._ticks = params.high_ticks - params.low_ticks + 1
        choices = 2 * self._ticks * (params.high_lots - params.low_lots + 1)
        self._choices_a_draw = math.nextafter(choices / params.active, 0)

    def act(self, view: View) -> Intent:
        """Cancel the own order, or place one."""
        draw = self._draw()
        if draw >= self._active:
            return NOTHING
        book = view.venues[self._venue]
        order = book.newest_order[self.account]
        if order >= 0:
            return cancel(book.index, self.account, order)
        choice = int(draw * self._choices_a_draw)
        side, pair = BUY if choice & 1 else SELL, choice >> 1
        lots, ticks = self._low_lots + pair // self._ticks, self._low_ticks + pair % self._ticks
        return limit_order(book.index, self.account, side, lots, ticks)


class RandomCohort(Cohort):
    """Many random agents deciding in arrays."""

    class Params(_Range, Cohort.Params):
        """Ranges are inclusive."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue")
        base, quote = venue.columns()[:2]
        params = self.params
        held = {base.name: params.base, quote.name: params.quote}
        self.accounts = self.endow_all(market, venue.domain, held)
        ticks, lots = params.high_ticks - params.low_ticks, params.high_lots - params.low_lots
        self._ranges = np.array([params.low_ticks, ticks + 1, params.low_lots, lots + 1])
        self._venue, self._active = params.venue, params.active
        self._start = self.dice.getrandbits
        self._rows = np.zeros(params.count, INTENT)
        self._rows["venue"] = venue.index

    def act(self, view: View) -> Rows:
        """Cancel or place, for all that are active."""
        book, rows, start = view.venues[self._venue], self._rows, self._start(63)
        orders = book.newest_orders(self.accounts)
        return rows[: _decide(self._ranges, self._active, start, self.accounts, orders, rows)]


@njit()
def _decide(
    ranges: NDArray[np.int64],
    active: float,
    start: int,
    accounts: NDArray[np.int64],
    orders: NDArray[np.int64],
    rows: NDArray[np.void],
) -> int:
    """Write the intents of all that are active; returns how many."""
    low_ticks, ticks, low_lots, lots = ranges
    count, choices, acting = 0, 2 * ticks * lots, np.empty(accounts.size, np.int64)
    for member in range(accounts.size):
        acting[count] = member
        count += uniform(start, member) < active
    for place in range(count):
        row, member = rows[place], acting[place]
        order = orders[member]
        resting = order >= 0
        draw = uniform(start, member) / active
        choice = np.uint64(min(int(draw * choices), choices - 1))
        lot, side = (choice >> np.uint64(1)) // np.uint64(ticks), choice & np.uint64(1)
        tick = (choice >> np.uint64(1)) - lot * np.uint64(ticks)
        row.account = accounts[member]
        row.action = CANCEL if resting else PLACE
        row.order = order if resting else 0
        row.side = 0 if resting else 1 - 2 * np.int64(side)
        row.limit = 0 if resting else low_ticks + np.int64(tick)
        row.size = 0 if resting else low_lots + np.int64(lot)
    return count
