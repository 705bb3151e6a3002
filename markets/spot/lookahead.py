"""Looking ahead in a batch: memory that coming rows will touch is fetched before their turn.

In a book of a million orders every cancel touches six lines of memory that are in no cache, and
waiting for them takes longer than matching. Rows of a batch are known beforehand, so the account,
order or level that a row names is fetched `FAR` rows ahead, and what that is linked with `NEAR`
rows ahead.
Fetching only asks the processor: it reads nothing into the program and cannot change a result.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from markets.intents import CANCEL
from markets.kernel import kernel
from markets.spot.book import SLOT_OF_ID, BookArrays

FAR, NEAR = 32, 16


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
def look_ahead(
    book: BookArrays, balances: NDArray[np.int64], intents: NDArray[np.void], row: int
) -> None:
    """Fetch what the rows some way ahead of `row` will touch."""
    orders, levels = book.orders, book.levels
    if row + FAR < intents.size:
        intent = intents[row + FAR]
        _fetch(balances, intent.account * balances.shape[1])
        _fetch(book.heads, intent.account)
        slot = intent.order & SLOT_OF_ID
        if intent.action == CANCEL and slot < orders.size:
            _fetch(orders, slot)
        elif 0 < intent.limit < levels.shape[1]:
            _fetch(levels, intent.limit + (0 if intent.side > 0 else levels.shape[1]))
    if row + NEAR < intents.size:
        intent = intents[row + NEAR]
        slot = intent.order & SLOT_OF_ID
        if intent.action == CANCEL and slot < orders.size:
            order = orders[slot]
            _fetch(orders, order.level_previous)
            _fetch(orders, order.level_next)
            _fetch(orders, order.account_previous)
            _fetch(orders, order.account_next)
            _fetch(levels, order.price_ticks + (0 if order.side > 0 else levels.shape[1]))
        elif 0 < intent.limit < levels.shape[1]:
            _fetch(orders, levels[0 if intent.side > 0 else 1, intent.limit].last)
