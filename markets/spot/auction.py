"""The call auction: one price for all, chosen to trade the most.

With D(p) the lots of market bids and of bids at p or above, S(p) those of market asks and of asks
at p or below, the price is taken from the reference and the limits of the orders, both within the
edges that the call has (an order that would go beyond an edge counts there), by these rules, each
among what the one before leaves:

    1. volume          min(D, S) is largest
    2. surplus         |D - S| is smallest
    3. pressure        if all have D > S the highest price, if all have D < S the lowest
    4. reference       the price nearest the reference; without one the middle, rounded down

All trades are at that price. Each side trades its market orders first, by time, then in order of
price and time; hidden lots take part. Afterwards nothing that could trade is left. The rules are
those of Xetra's and Euronext's opening auctions (Xetra Market Model, Equities, release 16, section
11). Left out: random ends, extensions, imbalance orders.

Orders of one account may meet, whatever the venue's rule on self-trades. So it is at CME, whose
self-match prevention is off in the pre-open and in new price indication (CME Globex Self-Match
Prevention FAQ), and at Eurex, where it is for continuous trading (Readiness Newsflash, 9 March
2021); the closing call of Toronto has it (TMX Order Types Guide, 3.6.2).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.spot.book import (
    BEST_ASK,
    BEST_BID,
    MAX_PRICE_TICKS,
    NO_PRICE,
    USED,
    BookArrays,
    front,
)
from markets.spot.desk import Terms, batch_at, book_at, terms_at
from markets.spot.settlement import (
    AT_ANY_PRICE,
    CALL_ONLY,
    CALL_ORDERS,
    FILLED_ROWS,
    ICEBERG,
    cross,
    withdraw,
)


class Call(NamedTuple):
    """What a call comes to: NO_PRICE where nothing can trade; surplus above 0: unfilled demand."""

    price_ticks: int
    volume_lots: int
    surplus_lots: int


class Interest(NamedTuple):
    """One side of a call: limits in ticks with lots each, and lots at any price."""

    limit_ticks: NDArray[np.int64]
    size_lots: NDArray[np.int64]
    market_lots: int


NO_CALL = Call(NO_PRICE, 0, 0)
ANYWHERE = (0, MAX_PRICE_TICKS)
"""Edges that keep a call from no price."""


def _lots_up_to(interest: Interest, ticks: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Lots of a side whose limits allow each of the prices."""
    order = np.argsort(-side * interest.limit_ticks, kind="stable")
    sums = np.concatenate(([0], np.cumsum(interest.size_lots[order])))
    keys = -side * interest.limit_ticks[order]
    return interest.market_lots + sums[np.searchsorted(keys, -side * ticks, side="right")]


def _curves(
    bids: Interest, asks: Interest, ticks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Volume and surplus at each of the prices."""
    demand, supply = _lots_up_to(bids, ticks, 1), _lots_up_to(asks, ticks, -1)
    return np.minimum(demand, supply), demand - supply


def _candidates(
    bids: Interest, asks: Interest, reference_ticks: int, edges: tuple[int, int]
) -> NDArray[np.int64]:
    """The prices that a call may have, rising."""
    low_ticks, high_ticks = edges
    ticks = np.concatenate(
        (
            np.minimum(bids.limit_ticks, high_ticks),
            np.maximum(asks.limit_ticks, low_ticks),
            np.array([reference_ticks] if reference_ticks != NO_PRICE else [], np.int64),
        )
    )
    return np.unique(ticks[(ticks >= low_ticks) & (ticks <= high_ticks)])


def clear(
    bids: Interest, asks: Interest, reference_ticks: int, edges: tuple[int, int] = ANYWHERE
) -> Call:
    """The price of a call between two edges; `reference_ticks` may be NO_PRICE."""
    ticks = _candidates(bids, asks, reference_ticks, edges)
    volume, surplus = _curves(bids, asks, ticks)
    if volume.max(initial=0) == 0:
        return NO_CALL
    best = np.flatnonzero(volume == volume.max())
    best = best[np.abs(surplus[best]) == np.abs(surplus[best]).min()]
    if (surplus[best] > 0).all():
        price_ticks = ticks[best[-1]]
    elif (surplus[best] < 0).all():
        price_ticks = ticks[best[0]]
    elif reference_ticks != NO_PRICE:
        price_ticks = ticks[best[np.argmin(np.abs(ticks[best] - reference_ticks))]]
    else:
        price_ticks = (ticks[best[0]] + ticks[best[-1]]) // 2
    volume, surplus = _curves(bids, asks, np.array([price_ticks]))
    return Call(int(price_ticks), int(volume[0]), int(surplus[0]))


def interest(book: BookArrays, side: int) -> Interest:
    """What one side of a book would trade in a call, hidden lots included."""
    orders = book.orders[: book.state[USED]]
    slots = np.flatnonzero(orders["side"] == side)
    orders = orders[slots]
    lots = orders["remaining_lots"].copy()
    iceberg = orders["flags"] & ICEBERG != 0
    if iceberg.any():
        lots[iceberg] += book.clauses["hidden_lots"][slots[iceberg]]
    at_any = orders["flags"] & AT_ANY_PRICE != 0
    limited = ~at_any
    return Interest(orders["price_ticks"][limited], lots[limited], int(lots[at_any].sum()))


def outcome(book: BookArrays, terms: Terms, last_ticks: int) -> Call:
    """What a call of the orders in a book comes to."""
    if not 0 <= book.state[BEST_ASK] <= book.state[BEST_BID]:
        return NO_CALL
    reference_ticks = last_ticks if last_ticks >= 0 else int(terms.opening_ticks)
    edges = int(terms.call_low_ticks), int(terms.call_high_ticks)
    edges = ANYWHERE if edges[0] == NO_PRICE else edges
    return clear(interest(book, 1), interest(book, -1), reference_ticks, edges)


@kernel()
def _market_order(book: BookArrays, slot: int) -> int:
    """The first market order from a slot on along the list of its price, or 0."""
    while slot != 0 and not book.orders[slot].flags & AT_ANY_PRICE:
        slot = book.orders[slot].level_next
    return slot


@kernel()
def _first_market_order(book: BookArrays, tally: NDArray[np.int64], side: int, edge: int) -> int:
    """The oldest market order of a side: they rest at the edge of the call; 0 without."""
    if tally[CALL_ORDERS] == 0 or edge < 0 or edge >= book.levels.shape[1]:
        return 0
    return _market_order(book, book.levels[0 if side > 0 else 1, edge].first)


@kernel()
def trade_at(desk: int, price_ticks: int) -> bool:
    """Trade everything that can trade at the price; False where the buffer of fills is full."""
    book, batch, terms = book_at(desk), batch_at(desk), terms_at(desk)
    tally = batch.tally
    market_bid = _first_market_order(book, tally, 1, terms.call_high_ticks)
    market_ask = _first_market_order(book, tally, -1, terms.call_low_ticks)
    while True:
        bid = market_bid if market_bid != 0 else front(book, 1)
        ask = market_ask if market_ask != 0 else front(book, -1)
        if bid < 0 or ask < 0:
            return True
        bid_order, ask_order = book.orders[bid], book.orders[ask]
        if bid_order.price_ticks < price_ticks or ask_order.price_ticks > price_ticks:
            return True
        if tally[FILLED_ROWS] == batch.fills.size:
            return False
        after_bid, after_ask = bid_order.level_next, ask_order.level_next
        lots = min(bid_order.remaining_lots, ask_order.remaining_lots)
        cross(book, terms, batch, (bid, ask, price_ticks, lots))
        if market_bid != 0 and book.orders[bid].side == 0:
            market_bid = _market_order(book, after_bid)
        if market_ask != 0 and book.orders[ask].side == 0:
            market_ask = _market_order(book, after_ask)


@kernel()
def drop_call_orders(desk: int, every: bool) -> None:
    """Withdraw what was for this call only, or every order; O(slots), so only where there is."""
    book, batch, terms = book_at(desk), batch_at(desk), terms_at(desk)
    slot = 1
    while (every or batch.tally[CALL_ORDERS] > 0) and slot < book.state[USED]:
        order = book.orders[slot]
        if order.side != 0 and (every or order.flags & CALL_ONLY):
            withdraw(book, terms, batch, slot)
        slot += 1
