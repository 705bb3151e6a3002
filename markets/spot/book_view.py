"""What agents see of an order book: prices, depth, flow and their own orders. Frozen for the step.

Top of book, last price, volume, phase and last call are values. Everything else is read from the
live book when it is asked for, hence only before the next batch; then it raises. There are quotes
and a mid only in continuous trading: while orders gather for a call their sides cross, and nobody
can trade at what rests, as in a halt. `indicative` says what the call would come to. Prices are
quote per base, depth is in base units, ticks and lots are integers; NaN or NO_PRICE (-1) where
there is nothing.

    imbalance            (bid lots - ask lots) / (bid lots + ask lots) over some best levels
    realised volatility  sqrt(sum of squared log returns of the last steps' closing prices), over
                         these steps, not annualised
    queue position       lots that must trade at an order's price before it does
"""

import math
import operator
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.assets import Instrument
from markets.errors import FathomError
from markets.intents import BUY, SELL
from markets.kernel import kernel
from markets.outcomes import Fills
from markets.spot.auction import NO_CALL, Call
from markets.spot.book import BEST_ASK, BEST_BID, Book, lots_within, newest_slot, order_id
from markets.spot.desk import book_at
from markets.spot.settlement import Phase

if TYPE_CHECKING:
    from markets.spot.order_book import OrderBook

_SLACK = 1e-9
"""So that a price just at the distance is within it, whatever floats make of it."""


class Levels(NamedTuple):
    """Prices of one side, best first, and what rests there."""

    price_ticks: NDArray[np.int64]
    size_lots: NDArray[np.int64]


class OpenOrders(NamedTuple):
    """An account's resting orders, newest first."""

    order: NDArray[np.int64]
    side: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    remaining_lots: NDArray[np.int64]


@dataclass(frozen=True)
class BookView:
    """The book as agents see it; NO_PRICE (-1) where a side is empty or nothing has traded."""

    index: int
    instrument: Instrument
    bid_ticks: int
    ask_ticks: int
    last_ticks: int
    volume_lots: int
    """Lots traded during the step before."""
    _venue: "OrderBook"
    _batches: int
    _phase: Phase = field(default=Phase.CONTINUOUS, kw_only=True)
    last_call: Call = field(default=NO_CALL, kw_only=True)
    """Price, volume and surplus of the last call auction."""

    @property
    def bid(self) -> float:
        """Best bid in quote per base, NaN without."""
        return price_of(self.instrument, self.bid_ticks)

    @property
    def ask(self) -> float:
        """Best ask in quote per base, NaN without."""
        return price_of(self.instrument, self.ask_ticks)

    @property
    def mid(self) -> float:
        """Halfway between bid and ask, NaN where a side is empty or trading is not continuous."""
        return (self.bid + self.ask) / 2

    @property
    def last(self) -> float:
        """Price of the last trade in quote per base, NaN before the first."""
        return price_of(self.instrument, self.last_ticks)

    @property
    def phase(self) -> str:
        """continuous, call, halted or outage."""
        return self._phase.name.lower()

    @property
    def indicative(self) -> Call:
        """Price, volume and surplus that a call would have with the orders that rest now."""
        self._book()
        return NO_CALL if self._phase == Phase.CONTINUOUS else self._venue.indicative()

    @cached_property
    def newest_order(self) -> "memoryview[int]":
        """By account (ledger row): id of the latest own order that rests, -1 without."""
        return self.newest_orders(np.arange(len(self._book().arrays.heads))).data

    def newest_orders(self, accounts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same as a column, for some accounts only."""
        self._book()
        orders = np.empty(len(accounts), np.int64)
        _newest_orders(self._venue.desk, np.asarray(accounts, np.int64), orders)
        return orders

    def bids(self, levels: int = 10) -> Levels:
        """The best bids."""
        return self._best(BUY, levels)

    def asks(self, levels: int = 10) -> Levels:
        """The best asks."""
        return self._best(SELL, levels)

    def _best(self, side: int, levels: int) -> Levels:
        if _whole("levels", levels) < 0:
            raise FathomError(f"levels must not be negative, got {levels}")
        return Levels(*self._book().levels(side, levels))

    def depth_lots(self, side: int, limit_ticks: int) -> int:
        """Lots resting on a side at the limit or better."""
        return self._book().lots_within(_side(side), _whole("limit_ticks", limit_ticks))

    def depth(self, side: int, distance: float = 0.01) -> float:
        """Base units resting on a side within a fraction of the mid; NaN where there is no mid."""
        self._book()
        place = 0 if _side(side) > 0 else 1
        if not isinstance(distance, Real):
            raise FathomError(f"distance must be a fraction of the mid, got {distance!r}")
        if self._phase != Phase.CONTINUOUS:
            return math.nan
        lots = lots_near(self._venue.desk, float(distance))[place]
        return float(self.instrument.to_base(lots)) if lots >= 0 else math.nan

    def imbalance(self, levels: int = 5) -> float:
        """From -1, only asks, to 1, only bids, over the best levels; NaN in an empty book."""
        bid_lots, ask_lots = (int(side(levels)[1].sum()) for side in (self.bids, self.asks))
        if bid_lots + ask_lots == 0:
            return math.nan
        return (bid_lots - ask_lots) / (bid_lots + ask_lots)

    def trades(self, count: int = 100) -> Fills:
        """The last trades, oldest first, as FILL rows; as many as the venue still remembers."""
        self._book()
        return self._venue.recent_fills(count)

    def realised_volatility(self, steps: int = 100) -> float:
        """Root of the summed squared log returns of the last steps; NaN before two prices."""
        self._book()
        closes = self._venue.closes(steps + 1)
        if len(closes) < 2:
            return math.nan
        return float(np.sqrt(np.sum(np.diff(np.log(closes)) ** 2)))

    def open_orders(self, account: int) -> OpenOrders:
        """The account's resting orders as columns; of icebergs what they show."""
        order, rows = self._book().own_orders(_whole("account", account))
        side = rows["side"].astype(np.int64)
        return OpenOrders(order, side, rows["price_ticks"], rows["remaining_lots"])

    def waiting_stops(self, account: int) -> OpenOrders:
        """The account's stop orders that wait: `price_ticks` is the trigger."""
        self._book()
        order, rows = self._venue.own_stops(_whole("account", account))
        side = -rows["side"].astype(np.int64)
        return OpenOrders(order, side, rows["price_ticks"], rows["remaining_lots"])

    def queue_ahead(self, account: int) -> NDArray[np.int64]:
        """For each of `open_orders`: lots of its price that come before it."""
        return self._book().lots_ahead(_whole("account", account))

    def _book(self) -> Book:
        if self._venue.batches != self._batches:
            raise FathomError(f"{self._venue.name}: this view is of a book that has moved on")
        return self._venue.book


def _side(side: Any) -> int:
    if side != BUY and side != SELL:
        raise FathomError(f"side must be BUY (1) or SELL (-1), got {side!r}")
    return int(side)


def _whole(field: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise FathomError(f"{field} must be an integer, got {value!r}") from None


def price_of(instrument: Instrument, price_ticks: int) -> float:
    """Ticks as quote per base; NaN where there is no price."""
    return float(instrument.to_price(price_ticks)) if price_ticks >= 0 else math.nan


@kernel()
def lots_near(desk: int, distance: float) -> tuple[int, int]:
    """Lots of bids and of asks within a fraction of the mid; -1 where there is no mid."""
    book = book_at(desk)
    bid_ticks, ask_ticks = book.state[BEST_BID], book.state[BEST_ASK]
    if bid_ticks < 0 or ask_ticks < 0:
        return -1, -1
    mid_ticks, reach = (bid_ticks + ask_ticks) / 2, distance + _SLACK
    bid_lots = lots_within(book, 1, math.ceil(mid_ticks * (1 - reach)))
    return bid_lots, lots_within(book, -1, math.floor(mid_ticks * (1 + reach)))


@kernel()
def _newest_orders(desk: int, accounts: NDArray[np.int64], orders: NDArray[np.int64]) -> None:
    """The id of the order that each account placed last among those that rest, or -1."""
    book = book_at(desk)
    for place in range(accounts.size):
        slot = newest_slot(book, accounts[place])
        orders[place] = order_id(book, slot) if slot > 0 else -1
