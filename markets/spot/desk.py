"""The desk: everything a kernel of the order book works on, behind one address.

One block of words holds the arrays of the book and of the waiting stops, the buffer of fills, the
tally, the rates and the ledger's balances, and the venue's terms. A kernel is called with the
desk's address and takes it apart with `book_at`, `stops_at`, `batch_at` and `terms_at`.

    terms   columns and rows of the ledger that the venue uses, its grid, rates, rules and limits.
            Limits are 0 where there is none. Guards: trading stops itself before a price beyond
            them. Collar: part of the last price by which a call may move it. Call prices: its edges
            and where market orders stand, -1 without a reference price.
            `settles` the compiler knows: 1, but 0 for a book without money (`matching_at`), of
            whose terms it knows all but one, so that whatever they rule out is not compiled
    batch   fills (a buffer of FILL rows), tally, rates (maker and taker rate of each account, where
            they differ), balances
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.outcomes import FILL
from markets.spot.book import CLAUSE, LEVEL, MAX_PRICE_TICKS, NO_PRICE, ORDER, BookArrays
from markets.spot.pointers import Block

TERMS = np.dtype(
    [
        (name, np.int64)
        for name in (
            "base_column",
            "quote_column",
            "escrow_row",
            "fee_row",
            "lot_atoms",
            "notional_atoms",
            "maker_fee_ppm",
            "taker_fee_ppm",
            "self_trade",
            "tiered",
            "pro_rata",
            "limited",
            "phase",
            "minimum_lots",
            "most_orders",
            "band_ppm",
            "band_around_mid",
            "iceberg_parts",
            "opening_ticks",
            "guard_low_ticks",
            "guard_high_ticks",
            "collar_ppm",
            "call_low_ticks",
            "call_high_ticks",
        )
    ]
)

_BOOK = Block(
    "book",
    {
        "orders": (ORDER, 1),
        "clauses": (CLAUSE, 1),
        "levels": (LEVEL, 2),
        "bits": (np.int64, 2),
        "storeys": (np.int64, 1),
        "heads": (np.int32, 1),
        "state": (np.int64, 1),
    },
)
_BATCH = Block(
    "batch",
    {
        "fills": (FILL, 1),
        "tally": (np.int64, 1),
        "rates": (np.int64, 2),
        "balances": (np.int64, 2),
    },
)
_TERMS = Block("terms", {**dict.fromkeys(TERMS.names or ()), "settles": 1})
_MATCHING = Block(
    "matching",
    {
        **dict.fromkeys(TERMS.names or (), 0),
        "lot_atoms": 1,
        "notional_atoms": 1,
        "self_trade": None,
        "iceberg_parts": 1_000_000,
        "opening_ticks": NO_PRICE,
        "guard_high_ticks": MAX_PRICE_TICKS,
        "call_low_ticks": NO_PRICE,
        "call_high_ticks": NO_PRICE,
        "settles": 0,
    },
)
_STOPS_AT = _BOOK.size
_BATCH_AT = _STOPS_AT + _BOOK.size
_TERMS_AT = _BATCH_AT + _BATCH.size
_TERMS_END = _TERMS_AT + len(TERMS.names or ())
_STOPS_BYTES, _BATCH_BYTES, _TERMS_BYTES = 8 * _STOPS_AT, 8 * _BATCH_AT, 8 * _TERMS_AT

book_at = _BOOK.at
_batch_at, _terms_at, _matching_at = _BATCH.at, _TERMS.at, _MATCHING.at

Terms = Any
"""A record of dtype TERMS, or in kernels its address."""

Batch = Any
"""In kernels: what comes out, behind its address."""


@kernel(forceinline=True)
def stops_at(desk: int) -> Any:
    """The book of waiting stops."""
    return book_at(desk + _STOPS_BYTES)


@kernel(forceinline=True)
def batch_at(desk: int) -> Any:
    """Fills, tally, rates and balances."""
    return _batch_at(desk + _BATCH_BYTES)


@kernel(forceinline=True)
def terms_at(desk: int) -> Any:
    """The venue's terms."""
    return _terms_at(desk + _TERMS_BYTES)


@kernel(forceinline=True)
def matching_at(desk: int) -> Any:
    """The terms of a book without money, which the compiler knows but for self-trades."""
    return _matching_at(desk + _TERMS_BYTES)


class Desk:
    """The block itself. `terms` may be written at any time between two calls of kernels."""

    def __init__(self) -> None:
        self._words = np.zeros(_TERMS_AT + _TERMS.size, np.int64)
        self._laid: tuple[Any, ...] = (None,) * 6
        self.address: int = self._words.ctypes.data
        self.terms: Terms = self._words[_TERMS_AT:_TERMS_END].view(TERMS).view(np.recarray)[0]

    def lay(self, book: BookArrays, stops: BookArrays, *batch: NDArray[Any]) -> int:
        """Take up the arrays (of the batch: fills, tally, rates, balances); returns the address."""
        arrays = (book, stops, *batch)
        if any(new is not old for new, old in zip(arrays, self._laid, strict=True)):
            self._laid = arrays
            _BOOK.fill(self._words, book._asdict())
            _BOOK.fill(self._words[_STOPS_AT:], stops._asdict())
            named = zip(("fills", "tally", "rates", "balances"), batch, strict=True)
            _BATCH.fill(self._words[_BATCH_AT:], dict(named))
        return self.address
