"""Random agents: the common model on which simulators of order books are compared.

Each step an agent is active with probability one half. Active, it cancels its own resting order if
it has one, and otherwise places a limit order of random side, price and size. The rule is that of
bourse's example agents (bourse 0.4.0), given in the same form to every simulator measured. Once as
an object that decides alone, once as a cohort that decides for all its members in arrays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.trader import NOTHING, Cohort, Trader
from markets.intents import BUY, CANCEL, INTENT, PLACE, SELL, Intent, Rows, cancel, limit_order
from markets.kernel import njit
from markets.market import Market, View


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
        self._low_ticks, self._ticks = params.low_ticks, params.high_ticks - params.low_ticks + 1
        self._low_lots, self._lots = params.low_lots, params.high_lots - params.low_lots + 1

    def act(self, view: View) -> Sequence[Intent]:
        """Cancel the own order, or place one."""
        draw = self._draw
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
        params = self.params
        held = {base.name: params.base, quote.name: params.quote}
        self.accounts = self.endow_all(market, venue.domain, held)
        ticks, lots = params.high_ticks - params.low_ticks, params.high_lots - params.low_lots
        self._ranges = np.array([params.low_ticks, ticks + 1, params.low_lots, lots + 1])
        self._venue, self._active, self._draws = params.venue, params.active, self.stream.random
        self._rows = np.zeros(params.count, INTENT)

    def act(self, view: View) -> Sequence[Rows]:
        """Cancel or place, for all that are active."""
        book, accounts, rows = view.venues[self._venue], self.accounts, self._rows
        draws, orders = self._draws(len(rows)), book.newest_orders(accounts)
        decided = rows[: _decide(self._ranges, self._active, draws, accounts, orders, rows)]
        decided["venue"] = book.index
        return (decided,)


@njit()
def _decide(
    ranges: NDArray[np.int64],
    active: float,
    draws: NDArray[np.float64],
    accounts: NDArray[np.int64],
    orders: NDArray[np.int64],
    rows: NDArray[np.void],
) -> int:
    """Write the intents of all that are active; returns how many.

    A draw below `active` is, divided by it, uniform again: it chooses among all pairs of side,
    price and size at once. A row is written for every member, and stays if it is active.
    """
    low_ticks, ticks, low_lots, lots = ranges
    count, choices = 0, 2 * ticks * lots
    for member in range(accounts.size):
        row, resting = rows[count], orders[member] >= 0
        choice = min(int(draws[member] / max(active, draws[member]) * choices), choices - 1)
        row.action = CANCEL if resting else PLACE
        row.account = accounts[member]
        row.order = orders[member] if resting else 0
        row.side = 0 if resting else 1 - 2 * (choice & 1)
        row.limit = 0 if resting else low_ticks + (choice >> 1) % ticks
        row.size = 0 if resting else low_lots + (choice >> 1) // ticks
        count += draws[member] < active
    return count
