"""The call auction: one price for all, chosen to trade the most.

With D(p) the lots of market bids and of bids at p or above, S(p) those of market asks and of asks
at p or below, the price is taken from the limits of the orders and the reference by these rules,
each among what the one before leaves:

    1. volume          min(D, S) is largest
    2. surplus         |D - S| is smallest
    3. pressure        if all have D > S the highest price, if all have D < S the lowest
    4. reference       the price nearest the reference; without one the middle, rounded down

All trades are at that price. Each side trades in order of price, then time, market orders first;
hidden lots take part. The rules are those of Xetra's and Euronext's opening auctions (Xetra Market
Model, Equities, release 16, section 11). Orders of one account may meet: self-trade rules are for
continuous trading. Left out: random ends, extensions, imbalance orders.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.spot.book import NO_PRICE, USED, BookArrays, front
from markets.spot.desk import batch_at, book_at, terms_at
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


def clear(bids: Interest, asks: Interest, reference_ticks: int) -> Call:
    """The price of a call; `reference_ticks` may be NO_PRICE."""
    reference = np.array([reference_ticks] if reference_ticks != NO_PRICE else [], np.int64)
    ticks = np.unique(np.concatenate((bids.limit_ticks, asks.limit_ticks, reference)))
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


@kernel()
def trade_at(desk: int, price_ticks: int) -> bool:
    """Trade everything that can trade at the price; False where the buffer of fills is full."""
    book, batch, terms = book_at(desk), batch_at(desk), terms_at(desk)
    while True:
        bid, ask = front(book, 1), front(book, -1)
        if bid < 0 or ask < 0:
            return True
        bid_order, ask_order = book.orders[bid], book.orders[ask]
        if bid_order.price_ticks < price_ticks or ask_order.price_ticks > price_ticks:
            return True
        if batch.tally[FILLED_ROWS] == batch.fills.size:
            return False
        lots = min(bid_order.remaining_lots, ask_order.remaining_lots)
        cross(book, terms, batch, (bid, ask, price_ticks, lots))


@kernel()
def drop_call_orders(desk: int) -> None:
    """Withdraw what was for this call only; O(slots), so only where there is any."""
    book, batch, terms = book_at(desk), batch_at(desk), terms_at(desk)
    slot = 1
    while batch.tally[CALL_ORDERS] > 0 and slot < book.state[USED]:
        order = book.orders[slot]
        if order.side != 0 and order.flags & CALL_ONLY:
            withdraw(book, terms, batch, slot)
        slot += 1
