"""A full walk over a book: does every list, total and bit agree with the orders themselves?

The book keeps each fact twice or more for speed: an order is in the list of its price and of its
account, its lots are part of the level's and of the side's sum, a price that holds orders is a bit
in every storey of the bitmap. `faults` derives each from the rows of `orders` alone and names what
differs. It costs O(orders + prices) in Python: for tests and for finding bugs, not for each step.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from markets.spot.book import (
    ASK_LOTS,
    BEST_ASK,
    BEST_BID,
    BID_LOTS,
    COUNT,
    FREE,
    NO_PRICE,
    USED,
    Book,
)

Place = tuple[int, int]
"""A side and a price."""


def faults(book: Book, may_cross: bool = False) -> Iterator[str]:
    """Describe everything about the book that contradicts its orders; nothing if it is sound.

    Sides may cross while orders are collected for a call auction.
    """
    orders = book.arrays.orders
    resting = np.flatnonzero(orders["side"]).tolist()
    by_price: dict[Place, set[int]] = defaultdict(set)
    by_account: dict[int, set[int]] = defaultdict(set)
    for slot in resting:
        side, price_ticks = int(orders[slot]["side"]), int(orders[slot]["price_ticks"])
        by_price[side, price_ticks].add(slot)
        by_account[int(orders[slot]["account"])].add(slot)
        if not 0 < orders[slot]["remaining_lots"] <= orders[slot]["size_lots"]:
            yield f"order in slot {slot} has {orders[slot]['remaining_lots']} lots remaining"
    yield from _wrong_totals(book, resting)
    yield from _wrong_levels(book, by_price)
    yield from _wrong_accounts(book, by_account)
    yield from _wrong_bits(book, by_price)
    if NO_PRICE < book.ask_ticks <= book.bid_ticks and not may_cross:
        yield f"crossed: bid {book.bid_ticks}, ask {book.ask_ticks}"


def _wrong_totals(book: Book, resting: list[int]) -> Iterator[str]:
    orders, state = book.arrays.orders, book.arrays.state
    rows = orders[resting]
    bids, asks = rows[rows["side"] > 0], rows[rows["side"] < 0]
    free = _walk(orders, int(state[FREE]), "level_next")
    expected = {
        COUNT: len(resting),
        BEST_BID: int(bids["price_ticks"].max(initial=NO_PRICE)),
        BEST_ASK: int(asks["price_ticks"].min()) if len(asks) else NO_PRICE,
        BID_LOTS: int(bids["remaining_lots"].sum()),
        ASK_LOTS: int(asks["remaining_lots"].sum()),
        USED: len(resting) + len(free) + 1,
    }
    for place, value in expected.items():
        if state[place] != value:
            yield f"state {place} is {state[place]}, orders say {value}"
    if set(free) & set(resting):
        yield "a slot is both free and resting"


def _wrong_levels(book: Book, by_price: dict[Place, set[int]]) -> Iterator[str]:
    orders, levels = book.arrays.orders, book.arrays.levels
    rows, held = np.nonzero((levels["first"] != 0) | (levels["last"] != 0) | (levels["lots"] != 0))
    if set(zip((1 - 2 * rows).tolist(), held.tolist(), strict=True)) != set(by_price):
        yield "levels hold other prices than the orders"
    for (side, price_ticks), slots in by_price.items():
        level = levels[(1 - side) // 2, price_ticks]
        forth = _walk(orders, int(level["first"]), "level_next")
        back = _walk(orders, int(level["last"]), "level_previous")
        if set(forth) != slots or forth != back[::-1]:
            yield f"list of price {price_ticks} is broken"
        if level["lots"] != sum(int(orders[slot]["remaining_lots"]) for slot in slots):
            yield f"lots at price {price_ticks} are not the sum of its orders"


def _wrong_accounts(book: Book, by_account: dict[int, set[int]]) -> Iterator[str]:
    orders = book.arrays.orders
    for account, head in enumerate(book.arrays.heads.tolist()):
        slots = _walk(orders, max(head, 0), "account_next")
        before = [0, *slots][: len(slots)]
        if set(slots) != by_account.get(account, set()):
            yield f"list of account {account} is broken"
        if orders["account_previous"][slots].tolist() != before:
            yield f"list of account {account} is broken backwards"


def _wrong_bits(book: Book, by_price: dict[Place, set[int]]) -> Iterator[str]:
    arrays = book.arrays
    for row, side in ((0, 1), (1, -1)):
        held = sorted(price_ticks for place, price_ticks in by_price if place == side)
        expected: dict[int, int] = defaultdict(int)
        for start in arrays.storeys.tolist():
            for index in held:
                expected[start + (index >> 6)] |= 1 << (index & 63)
            held = sorted({index >> 6 for index in held})
        bits = {place: int(arrays.bits[row, place]) % 2**64 for place in _set(arrays.bits[row])}
        if bits != expected:
            yield f"bitmap of side {side} differs from the orders"


def _set(words: Any) -> list[int]:
    places: list[int] = np.flatnonzero(words).tolist()
    return places


def _walk(orders: Any, slot: int, link: str) -> list[int]:
    """Slots of a list, cut off where it would run in a circle."""
    slots: list[int] = []
    while slot and len(slots) <= len(orders):
        slots.append(slot)
        slot = int(orders[slot][link])
    return slots
