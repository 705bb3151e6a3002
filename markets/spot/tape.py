"""A tape: many messages of a step in the order sent, some of which depend on the book they meet.

In models of order flow in continuous time a message may depend on the quotes at the instant it
arrives, and a step for each message is slow. A tape holds all messages of a step; what depends on
the state is said in the message and settled on arrival, so that nothing is approximated:

    PEGGED          a limit order `limit` ticks from the opposite best quote: ask - limit for a
                    buyer, bid + limit for a seller; unfilled where the opposite side is empty
    WITHIN          a cancel that counts only if the account's newest order is nearest to furthest
                    ticks away from the opposite best quote
    UNLESS_TRADED   a message that counts only while nothing has traded in this step

All else is the order book's own: the rows, once resolved, go one by one through its matching and
settlement. The view holds the feed of the step before: the top of the book after each message, in
a call of all that gathers; messages that an outage refuses or keeps have no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.domain import Domain
from markets.intents import FIELDS, PLACE, Column, Intent, altered, cancel_all, stack, take
from markets.kernel import kernel
from markets.outcomes import FILL, Code, Fills
from markets.spot.book import BEST_ASK, BEST_BID, BookArrays, level_lots
from markets.spot.desk import batch_at, book_at
from markets.spot.messages import execute_batch
from markets.spot.order_book import BookView, OrderBook
from markets.spot.settlement import TRADES, Phase
from markets.venue import Moment

ALWAYS, PEGGED, WITHIN, UNLESS_TRADED = range(4)
TAPE_FIELDS = (*FIELDS[:10], "condition", "nearest_ticks", "furthest_ticks")
TAPE_INTENT = np.dtype([(field, np.int64) for field in TAPE_FIELDS])
"""The memory of INTENT by the names that a tape gives it."""

FEED = np.dtype(
    [(name, np.int64) for name in ("bid_ticks", "ask_ticks", "bid_lots", "ask_lots", "trades")]
)
"""After a message: best quotes (-1 without), lots resting there, trades in this step so far."""

_VOID = int(Code.UNFILLED)


def conditional(intent: Intent, condition: Column) -> Intent:
    """Any of `markets.intents`, under a condition; PEGGED makes its limit a distance."""
    return altered(intent, FIELDS[10], condition, 0, 0)


def withdrawal(
    venue: int, account: Column, nearest_ticks: Column, furthest_ticks: Column
) -> Intent:
    """Cancel the account's orders if the newest is so far from the opposite best quote."""
    places = (WITHIN, nearest_ticks, furthest_ticks)
    return altered(cancel_all(venue, account), FIELDS[10], *places)


def in_time(
    times: Sequence[NDArray[np.float64]], intents: Sequence[Intent]
) -> tuple[NDArray[np.float64], list[Intent]]:
    """Merge columns of intents, each with its times, into one tape; returns its times as well."""
    moments = np.concatenate(times)
    order = _ranks(moments)
    columns = zip(intents, times, strict=True)
    rows = [intent * len(own) if isinstance(intent, bytes) else intent for intent, own in columns]
    return moments[order], [take(stack(rows), order)]


def _ranks(moments: NDArray[np.float64]) -> NDArray[np.int64]:
    """What sorts them, equal ones in the order given; the faster sort does where none are equal."""
    order = np.argsort(moments)
    ordered = moments[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.argsort(moments, kind="stable")
    return order


class AsSent(Domain):
    """An exchange that executes messages in the order in which they were sent."""

    def __init__(self, name: str) -> None:
        self.name = name

    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """See `Domain.batch`."""
        return intents


@kernel()
def _resolve(book: BookArrays, intent: Any, traded: bool) -> bool:
    """Turn a row of the tape into a plain one; whether it counts."""
    condition = intent.condition
    nearest_ticks, furthest_ticks = intent.nearest_ticks, intent.furthest_ticks
    intent.condition, intent.nearest_ticks, intent.furthest_ticks = 0, 0, 0
    if condition == ALWAYS:
        return True
    if condition == UNLESS_TRADED:
        return not traded
    if condition == PEGGED and intent.action == PLACE:
        opposite_ticks = book.state[BEST_ASK if intent.side > 0 else BEST_BID]
        intent.limit = opposite_ticks - intent.side * intent.limit
        return opposite_ticks >= 0
    if condition != WITHIN or not 0 < intent.account < book.heads.size:
        return False
    slot = book.heads[intent.account]
    if slot <= 0:
        return False
    order = book.orders[slot]
    opposite_ticks = book.state[BEST_ASK if order.side > 0 else BEST_BID]
    distance_ticks = (opposite_ticks - order.price_ticks) * order.side
    return opposite_ticks >= 0 and nearest_ticks <= distance_ticks <= furthest_ticks


@kernel()
def _report(book: BookArrays, trades: int, top: Any) -> None:
    bid_ticks, ask_ticks = book.state[BEST_BID], book.state[BEST_ASK]
    top.bid_ticks, top.ask_ticks, top.trades = bid_ticks, ask_ticks, trades
    top.bid_lots = level_lots(book, 1, bid_ticks) if bid_ticks >= 0 else 0
    top.ask_lots = level_lots(book, -1, ask_ticks) if ask_ticks >= 0 else 0


class Tape(NamedTuple):
    """Rows by the names of INTENT and of TAPE_INTENT, codes, feed, trades before the step."""

    intents: NDArray[np.void]
    codes: NDArray[np.int64]
    messages: NDArray[np.void]
    feed: NDArray[np.void]
    trades_before: int


@kernel()
def execute_tape(desk: int, tape: Tape, first: int) -> int:
    """Carry out rows from `first` on; returns the number done, fewer where room is needed."""
    book, tally = book_at(desk), batch_at(desk).tally
    for row in range(first, tape.intents.size):
        if _resolve(book, tape.messages[row], tally[TRADES] > tape.trades_before):
            rows, codes = tape.intents[row : row + 1], tape.codes[row : row + 1]
            if execute_batch(desk, rows, codes, 0) == 0:
                return row
        else:
            tape.codes[row] = _VOID
        _report(book, tally[TRADES] - tape.trades_before, tape.feed[row])
    return tape.intents.size


@dataclass(frozen=True)
class TapeView:
    """The book as it is, and what the tape of the step before did to it."""

    index: int
    book: BookView
    feed: NDArray[np.void]
    """A FEED row for each message, in the order sent."""
    fills: Fills
    """The trades of that step; `feed["trades"]` counts how many there were by then."""


class TapeBook(OrderBook):
    """An order book that reads tapes."""

    feed: NDArray[np.void] = np.zeros(0, FEED)
    fills: Fills = np.zeros(0, FILL)
    _trades_before = 0

    def observe(self, moment: Moment) -> TapeView:  # type: ignore[override]
        return TapeView(self.index, super().observe(moment), self.feed, self.fills)

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        received = 0 if self.phase == Phase.OUTAGE else len(intents)
        self.feed = np.zeros(received, FEED)
        self._trades_before = int(self._tally[TRADES])
        earlier = len(self._fills)
        codes = super().execute(intents.copy(), moment)
        self.fills = np.concatenate([np.zeros(0, FILL), *self._fills[earlier:]])
        return codes

    def _run(self, intents: NDArray[np.void], codes: NDArray[np.int64], first: int) -> int:
        messages = intents.view(TAPE_INTENT)
        tape = Tape(intents, codes, messages, self.feed, self._trades_before)
        done: int = execute_tape(self.desk, tape, first)
        return done
