"""Which prices hold orders: a bitmap for each side, searched in a step a storey.

The lowest storey has a bit for each price, in 64-ary words; each storey above has a bit for each
word below it that is not 0, up to one word. `storeys` says where each begins in a row of `bits`;
row 0 is for bids, row 1 for asks. Setting, clearing and finding the next price up or down cost a
few instructions a storey: four storeys for sixteen million prices, however sparse.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.spot.branches import unlikely

NO_PRICE = -1


def _counts_zeros(direction: str) -> Any:
    """A kernel function that counts the zero bits at one end of a word that is not 0."""

    def count(typing: Any, word: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, words: Any) -> Any:
            return getattr(builder, direction)(words[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.int64), emit

    return intrinsic(count)


lowest_bit = _counts_zeros("cttz")
_bits_above = _counts_zeros("ctlz")


@kernel()
def _mark_above(book: Any, row: int, price_ticks: int) -> None:
    """The lowest word of a price holds one again: note it in the storeys above."""
    index = price_ticks >> 6
    for storey in range(1, book.storeys.size):
        place = book.storeys[storey] + (index >> 6)
        word = book.bits[row, place]
        book.bits[row, place] = word | (1 << (index & 63))
        if word != 0:
            return
        index >>= 6


@kernel()
def clear_above(book: Any, row: int, price_ticks: int) -> None:
    """The lowest word of a price holds none any more: note it in the storeys above."""
    index = price_ticks >> 6
    for storey in range(1, book.storeys.size):
        place = book.storeys[storey] + (index >> 6)
        word = book.bits[row, place] & ~(1 << (index & 63))
        book.bits[row, place] = word
        if word != 0:
            return
        index >>= 6


@kernel(forceinline=True)
def mark(book: Any, row: int, price_ticks: int) -> None:
    """Note that a price holds orders of a side."""
    place = np.uint64(price_ticks >> 6)
    word = book.bits[row, place]
    book.bits[row, place] = word | (1 << (price_ticks & 63))
    if unlikely(word == 0):
        _mark_above(book, row, price_ticks)


@kernel(forceinline=True)
def clear(book: Any, row: int, price_ticks: int, empty: bool) -> bool:
    """Note that a price holds none any more, if so; whether `clear_above` must follow."""
    place = np.uint64(price_ticks >> 6)
    word = book.bits[row, place] & ~(int(empty) << (price_ticks & 63))
    book.bits[row, place] = word
    return word == 0


@kernel(forceinline=True)
def next_bid_ticks(book: Any, price_ticks: int) -> int:
    """The highest price below `price_ticks` that holds bids, or NO_PRICE."""
    index = price_ticks
    for storey in range(book.storeys.size):
        word = book.bits[0, book.storeys[storey] + (index >> 6)] & ((1 << (index & 63)) - 1)
        if word != 0:
            index = ((index >> 6) << 6) + 63 - _bits_above(word)
            for below in range(storey - 1, -1, -1):
                index = (index << 6) + 63 - _bits_above(book.bits[0, book.storeys[below] + index])
            return index
        index >>= 6
    return NO_PRICE


@kernel(forceinline=True)
def next_ask_ticks(book: Any, price_ticks: int) -> int:
    """The lowest price above `price_ticks` that holds asks, or NO_PRICE."""
    index = price_ticks
    for storey in range(book.storeys.size):
        word = book.bits[1, book.storeys[storey] + (index >> 6)] & (-2 << (index & 63))
        if word != 0:
            index = ((index >> 6) << 6) + lowest_bit(word)
            for below in range(storey - 1, -1, -1):
                index = (index << 6) + lowest_bit(book.bits[1, book.storeys[below] + index])
            return index
        index >>= 6
    return NO_PRICE


def storeys_of(prices: int) -> tuple[NDArray[np.int64], int]:
    """Where each storey of a bitmap begins, from single prices to one word; and words in all."""
    starts, words = [0], -(-prices // 64)
    while words > 1:
        starts.append(starts[-1] + words)
        words = -(-words // 64)
    return np.array(starts, np.int64), starts[-1] + 1
