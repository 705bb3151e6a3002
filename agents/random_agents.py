"""Random agents: the common model on which simulators of order books are compared.

Each step an agent is active with probability one half. Active, it cancels its own resting order if
it has one, and otherwise places a limit order of random side, price and size. The rule is that of
bourse's example agents (bourse 0.4.0), given in the same form to every simulator measured. Once as
an object that decides alone, once as a cohort that decides for all its members in arrays.
"""

from collections.abc import Sequence
from typing import NamedTuple

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
        self._rule = _Rule(params.active, params.low_ticks, ticks + 1, params.low_lots, lots + 1)
        self._rows = np.zeros(params.count, INTENT)

    def act(self, view: View) -> Sequence[Rows]:
        """Cancel or place, for all that are active."""
        book = view.venues[self.params.venue]
        draws, orders = self.stream.random(self.params.count), book.newest_orders(self.accounts)
        placed = _decide(self._rule, draws, self.accounts, orders, self._rows)
        rows = self._rows[:placed]
        rows["venue"] = book.index
        return (rows,)


class _Rule(NamedTuple):
    """The probability of being active, and the ranges: their lowest figure and how many."""

    active: float
    low_ticks: int
    ticks: int
    low_lots: int
    lots: int


@njit()
def _decide(
    rule: _Rule,
    draws: NDArray[np.float64],
    accounts: NDArray[np.int64],
    orders: NDArray[np.int64],
    rows: NDArray[np.void],
) -> int:
    """Write the intents of all that are active; returns how many.

    A draw below `active` is, divided by it, uniform again: it chooses among all pairs of side,
    price and size at once.
    """
    count, choices = 0, 2 * rule.ticks * rule.lots
    for member in range(accounts.size):
        if draws[member] >= rule.active:
            continue
        row = rows[count]
        count += 1
        row.account = accounts[member]
        if orders[member] >= 0:
            row.action, row.order = CANCEL, orders[member]
            row.side, row.size, row.limit = 0, 0, 0
        else:
            choice = min(int(draws[member] / rule.active * choices), choices - 1)
            row.action, row.order = PLACE, 0
            row.side = BUY if choice & 1 else SELL
            row.limit = rule.low_ticks + (choice >> 1) % rule.ticks
            row.size = rule.low_lots + (choice >> 1) // rule.ticks
    return count
