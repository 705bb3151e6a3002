"""Looking ahead in a batch: memory that coming rows will touch is fetched before their turn.

In a book of a million orders every cancel touches six lines of memory that are in no cache, and
waiting for them takes longer than matching. Rows of a batch are known beforehand, so what a row
names is fetched `FAR` rows ahead, and what that is linked with `NEAR` rows ahead. A book that fits
the processor's second cache needs less: the order that a row `NEXT` rows ahead names. Whom takers
will meet no row says, but the queue does: after a taker the orders at its head are fetched.

Fetching only asks the processor: it reads nothing into the program and cannot change a result. An
address may be wrong, so nothing is asked about the row: the guess which kind comes next would cost
more than the fetch.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.spot.book import (
    BEST_BID,
    SLOT_OF_ID,
    BookArrays,
    next_ask_ticks,
    next_bid_ticks,
    row_of,
)
from markets.spot.desk import Batch

DEEP_ORDERS = 10_000
"""With more, orders do not fit the second cache of a processor."""
FURTHEST, FAR, NEAR, NEXT, QUEUE = 64, 32, 16, 6, 5


def _fetches(typing: Any, array: Any, place: Any) -> Any:
    """The processor's prefetch of one row of a whole array, for reading and writing."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, values[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = builder.bitcast(builder.gep(rows.data, [values[1]]), byte)
        builder.call(prefetch, [address, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


_fetch: Any = intrinsic(_fetches)


@kernel(forceinline=True)
def _within(index: int, count: int) -> Any:
    """The index, or 0 where there is no such row."""
    return np.uint64(index) if np.uint64(index) < np.uint64(count) else np.uint64(0)


@kernel(forceinline=True)
def look_ahead(book: BookArrays, intents: NDArray[np.void], row: int) -> None:
    """Fetch the order that a row a little way ahead names, and intents further on."""
    _fetch(intents, row + FURTHEST)
    if row + NEXT < intents.size:
        _fetch(book.orders, intents[np.uint64(row + NEXT)].order & SLOT_OF_ID)


@kernel(forceinline=True)
def look_far_ahead(book: BookArrays, batch: Batch, intents: NDArray[np.void], row: int) -> None:
    """Fetch all that rows some way ahead will touch, whether they place or cancel."""
    orders, levels, balances = book.orders, book.levels, batch.balances
    prices = levels.shape[1]
    _fetch(intents, row + FURTHEST)
    if row + FAR < intents.size:
        intent = intents[np.uint64(row + FAR)]
        _fetch(balances, intent.account * balances.shape[1])
        _fetch(book.heads, intent.account)
        _fetch(orders, intent.order & SLOT_OF_ID)
        _fetch(levels, intent.limit + row_of(intent.side) * prices)
    if row + NEAR < intents.size:
        intent = intents[np.uint64(row + NEAR)]
        order = orders[_within(intent.order & SLOT_OF_ID, orders.size)]
        _fetch(orders, order.level_previous)
        _fetch(orders, order.level_next)
        _fetch(orders, order.account_previous)
        _fetch(orders, order.account_next)
        _fetch(levels, order.price_ticks + row_of(order.side) * prices)
        _fetch(orders, levels[row_of(intent.side), _within(intent.limit, prices)].last)


@kernel()
def look_at_front(book: BookArrays, side: int) -> None:
    """Fetch the orders of a side that the next takers will meet, `QUEUE` of them."""
    row = row_of(side)
    price_ticks = book.state[BEST_BID + row]
    if price_ticks < 0:
        return
    slot = book.levels[row, np.uint64(price_ticks)].first
    for _ in range(QUEUE):
        order = book.orders[slot]
        _fetch(book.orders, order.account_previous)
        _fetch(book.orders, order.account_next)
        slot = order.level_next
        if slot == 0:
            price_ticks = (
                next_bid_ticks(book, price_ticks) if side > 0 else next_ask_ticks(book, price_ticks)
            )
            if price_ticks < 0:
                return
            slot = book.levels[row, np.uint64(price_ticks)].first
        _fetch(book.orders, slot)
