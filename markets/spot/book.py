"""Resting orders by price, then time: the structure alone, no money in it.

A slot is a row of `orders` (64 bytes, a cache line). Orders of one price form a list, oldest first;
orders of one account another, newest first. `levels` is dense, a row a side, indexed by price in
ticks: a book whose sides cross, as one does before a call auction, is sound. Two bitmaps of 64-ary
words, one a side, tell which prices hold orders, each word's presence being a bit one storey above,
so the next best price is found in a step a storey however sparse the book. Slot 0 is nobody, so
zeroed memory is an empty book.

    order_id = slot + generation * 2**32

A slot freed is reused next, under a new generation: old ids are stale, never somebody else's.
Cost: insert, unlink, reduce and best price O(1); memory 64 bytes an order (24 more where it has
clauses), 16 a price and side, untouched ones unpaid. Kernels never grow arrays: ask `fits` first,
then let `Book.ensure` grow them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.kernel import kernel, njit
from markets.spot.bitmap import NO_PRICE as NO_PRICE
from markets.spot.bitmap import clear, clear_above, lowest_bit, mark, storeys_of
from markets.spot.bitmap import next_ask_ticks as next_ask_ticks
from markets.spot.bitmap import next_bid_ticks as next_bid_ticks
from markets.spot.branches import unlikely

NO_SLOT = -1
MAX_PRICE_TICKS = 2**26 - 1
"""Highest price a book may hold."""

ORDER = np.dtype(
    [
        ("price_ticks", np.int64),
        ("remaining_lots", np.int64),
        ("size_lots", np.int64),
        ("venue_atoms", np.int64),
        ("account", np.int32),
        ("side", np.int32),
        ("level_previous", np.uint32),
        ("level_next", np.uint32),
        ("account_previous", np.uint32),
        ("account_next", np.uint32),
        ("generation", np.int32),
        ("flags", np.int32),
    ]
)
"""A resting order; `venue_atoms` and `flags` are the venue's own, 0 when inserted."""

LEVEL = np.dtype([("lots", np.int64), ("first", np.uint32), ("last", np.uint32)])
"""A price: lots resting there, its oldest and newest slot (0 where it is empty)."""

CLAUSE = np.dtype(
    [("hidden_lots", np.int64), ("display_lots", np.int64), ("expiry_step", np.int64)]
)
"""What few orders have, by slot; the venue's own. Read only where `flags` says so."""

FREE, USED, COUNT, BEST_BID, BEST_ASK, BID_LOTS, ASK_LOTS = range(7)
_GENERATIONS = 2**31 - 1
SLOT_OF_ID = 2**32 - 1
"""The bits of an order's id that are its slot."""


class BookArrays(NamedTuple):
    """What the kernels work on; `levels` and `bits` have a row for bids (0), one for asks (1)."""

    orders: NDArray[np.void]
    clauses: NDArray[np.void]
    levels: NDArray[np.void]
    bits: NDArray[np.int64]
    storeys: NDArray[np.int64]
    heads: NDArray[np.int32]
    state: NDArray[np.int64]


@kernel()
def best_bid_ticks(book: BookArrays) -> int:
    """Highest bid, or NO_PRICE."""
    return book.state[BEST_BID]


@kernel()
def best_ask_ticks(book: BookArrays) -> int:
    """Lowest ask, or NO_PRICE."""
    return book.state[BEST_ASK]


@kernel(forceinline=True)
def row_of(side: int) -> int:
    """The row of `levels` and `bits` for a side: 0 for bids, 1 for asks.

    Computed, as nobody can predict which side comes next: a wrong guess costs more.
    """
    return ((1 - side) >> 1) & 1


@kernel(forceinline=True)
def front(book: BookArrays, side: int) -> int:
    """Slot of the oldest order at the best price among resting orders of `side`, or NO_SLOT."""
    row = row_of(side)
    best_ticks = book.state[BEST_BID + row]
    return int(book.levels[row, np.uint64(best_ticks)].first) if best_ticks >= 0 else NO_SLOT


@kernel()
def level_lots(book: BookArrays, side: int, price_ticks: int) -> int:
    """Lots resting on a side at one price."""
    return book.levels[row_of(side), np.uint64(price_ticks)].lots


@kernel()
def fits(book: BookArrays, price_ticks: int) -> bool:
    """Whether one more order can be inserted at this price without growing."""
    return book.state[COUNT] + 1 < book.orders.size and price_ticks < book.levels.shape[1]


@kernel()
def order_id(book: BookArrays, slot: int) -> np.int64:
    """The id of the order in a slot."""
    return np.int64(slot) + (int(book.orders[slot].generation) << 32)


@kernel(forceinline=True)
def find(book: BookArrays, order: int) -> int:
    """Slot of a resting order by its id, or NO_SLOT where it is unknown or stale."""
    slot = order & SLOT_OF_ID
    if order <= 0 or slot == 0 or slot >= book.state[USED]:
        return NO_SLOT
    row = book.orders[slot]
    if row.side == 0 or row.generation != order >> 32:
        return NO_SLOT
    return slot


@kernel(forceinline=True)
def _append(book: BookArrays, slot: int, side: int, price_ticks: int) -> None:
    """Put a slot at the end of its price."""
    row, state = row_of(side), book.state
    order, level = book.orders[slot], book.levels[row, np.uint64(price_ticks)]
    last = level.last
    order.level_previous = last
    order.level_next = 0
    level.last = slot
    level.first |= slot * (last == 0)
    book.orders[last].level_next = slot
    mark(book, row, price_ticks)
    best_ticks = state[BEST_BID + row]
    better = (best_ticks < 0) | ((price_ticks - best_ticks) * side > 0)
    state[BEST_BID + row] = price_ticks if better else best_ticks


@kernel(forceinline=True)
def insert(book: BookArrays, account: int, side: int, price_ticks: int, size_lots: int) -> np.int64:
    """Put a new order behind all others of its price; returns its id. Only where it `fits`."""
    state, row = book.state, row_of(side)
    slot = np.uint64(state[FREE])
    if slot != 0:
        state[FREE] = book.orders[slot].level_next
    else:
        slot = np.uint64(state[USED])
        state[USED] += 1
    order = book.orders[slot]
    order.price_ticks = price_ticks
    order.remaining_lots = size_lots
    order.size_lots = size_lots
    order.venue_atoms = 0
    order.account = account
    order.side = side
    order.flags = 0
    _append(book, slot, side, price_ticks)
    head = np.uint32(book.heads[account])
    order.account_previous = 0
    order.account_next = head
    book.orders[head].account_previous = slot
    book.heads[account] = slot
    book.levels[row, np.uint64(price_ticks)].lots += size_lots
    state[BID_LOTS + row] += size_lots
    state[COUNT] += 1
    return np.int64(slot) + (int(order.generation) << 32)


@kernel(forceinline=True)
def _leave_level(book: BookArrays, slot: int, level: Any) -> bool:
    """Take an order out of the list of its price; whether it was the last there."""
    orders = book.orders
    order = orders[slot]
    before, after = order.level_previous, order.level_next
    first, last = level.first, level.last
    first = after if first == slot else first
    level.first = first
    level.last = before if last == slot else last
    orders[before].level_next = after
    orders[after].level_previous = before
    return first == 0


@kernel()
def requeue(book: BookArrays, slot: int, size_lots: int) -> None:
    """Put a resting order behind all others of its price, with so many lots."""
    order = book.orders[slot]
    row = row_of(order.side)
    more_lots = size_lots - order.remaining_lots
    level = book.levels[row, order.price_ticks]
    level.lots += more_lots
    book.state[BID_LOTS + row] += more_lots
    order.remaining_lots = size_lots
    if order.level_next != 0:
        _leave_level(book, slot, level)
        _append(book, slot, order.side, order.price_ticks)


@kernel()
def _next_best(book: BookArrays, row: int, price_ticks: int) -> None:
    """The best price of a side holds no order any more."""
    if row == 0:
        book.state[BEST_BID] = next_bid_ticks(book, price_ticks)
    else:
        book.state[BEST_ASK] = next_ask_ticks(book, price_ticks)


@kernel()
def unlink(book: BookArrays, slot: int) -> None:
    """Take a resting order out of the book; its id is stale from here on."""
    orders, state = book.orders, book.state
    order = orders[np.uint64(slot)]
    row, price_ticks, account = row_of(order.side), order.price_ticks, np.uint32(order.account)
    left_lots, level = order.remaining_lots, book.levels[row, np.uint64(price_ticks)]
    level.lots -= left_lots
    state[BID_LOTS + row] -= left_lots
    state[COUNT] -= 1
    empty = _leave_level(book, np.uint64(slot), level)
    if unlikely(clear(book, row, price_ticks, empty)):
        clear_above(book, row, price_ticks)
    if empty & (price_ticks == state[BEST_BID + row]):
        _next_best(book, row, price_ticks)
    before, after = order.account_previous, order.account_next
    heads = book.heads
    head = np.uint32(heads[account])
    heads[account] = after if head == slot else head
    orders[before].account_next = after
    orders[after].account_previous = before
    order.side = 0
    order.generation = (order.generation + 1) & _GENERATIONS
    order.level_next = state[FREE]
    state[FREE] = slot


@kernel()
def reduce(book: BookArrays, slot: int, size_lots: int) -> None:
    """Take lots off a resting order; when nothing remains it leaves the book."""
    order = book.orders[slot]
    if size_lots >= order.remaining_lots:
        unlink(book, slot)
        return
    row = row_of(order.side)
    order.remaining_lots -= size_lots
    book.levels[row, np.uint64(order.price_ticks)].lots -= size_lots
    book.state[BID_LOTS + row] -= size_lots


@njit(cache=True)
def best_levels(book: BookArrays, side: int, count: int) -> NDArray[np.int64]:
    """Price in ticks and size in lots of the best levels of a side, best first, a row each."""
    rows = np.empty((count, 2), np.int64)
    price_ticks = book.state[BEST_BID] if side > 0 else book.state[BEST_ASK]
    found = 0
    while found < count and price_ticks >= 0:
        rows[found, 0] = price_ticks
        rows[found, 1] = level_lots(book, side, price_ticks)
        found += 1
        if side > 0:
            price_ticks = next_bid_ticks(book, price_ticks)
        else:
            price_ticks = next_ask_ticks(book, price_ticks)
    return rows[:found]


@kernel()
def lots_within(book: BookArrays, side: int, limit_ticks: int) -> int:
    """Lots that rest on a side at the limit or better."""
    lots = 0
    price_ticks = book.state[BEST_BID] if side > 0 else book.state[BEST_ASK]
    while price_ticks >= 0 and (price_ticks - limit_ticks) * side >= 0:
        lots += level_lots(book, side, price_ticks)
        if side > 0:
            price_ticks = next_bid_ticks(book, price_ticks)
        else:
            price_ticks = next_ask_ticks(book, price_ticks)
    return lots


@kernel()
def newest_slot(book: BookArrays, account: int) -> int:
    """Slot of the order that an account placed last among those that rest; 0 or less without."""
    return book.heads[account] if 0 <= account < book.heads.size else NO_SLOT


@njit(cache=True)
def own_slots(book: BookArrays, account: int) -> NDArray[np.int64]:
    """Slots of an account's resting orders, newest first."""
    count = 0
    slot = newest_slot(book, account)
    while slot > 0:
        count += 1
        slot = book.orders[slot].account_next
    slots = np.empty(count, np.int64)
    slot = newest_slot(book, account)
    for place in range(count):
        slots[place] = slot
        slot = book.orders[slot].account_next
    return slots


@njit(cache=True)
def lots_ahead(book: BookArrays, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lots that stand before each of the slots in the list of its price."""
    ahead = np.zeros(slots.size, np.int64)
    for place in range(slots.size):
        slot = book.orders[slots[place]].level_previous
        while slot != 0:
            ahead[place] += book.orders[slot].remaining_lots
            slot = book.orders[slot].level_previous
    return ahead


@kernel()
def _move_levels(old: BookArrays, new: BookArrays) -> None:
    """Copy the prices that hold orders, and mark them."""
    for row in range(2):
        for place in range(old.levels.shape[1] >> 6):
            word = old.bits[row, place]
            while word != 0:
                price_ticks = (place << 6) + lowest_bit(word)
                new.levels[row, price_ticks] = old.levels[row, price_ticks]
                mark(new, row, price_ticks)
                word &= word - 1


def _blank_orders(slots: int) -> NDArray[np.void]:
    """Zeroed rows, each on a cache line of its own."""
    line = ORDER.itemsize
    memory = np.zeros((slots + 1) * line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + slots * line].view(ORDER)


def _blank_levels(prices: int) -> dict[str, Any]:
    storeys, words = storeys_of(prices)
    bits = np.zeros((2, words), np.int64)
    return {"levels": np.zeros((2, prices), LEVEL), "bits": bits, "storeys": storeys}


class Book:
    """Owns the arrays and grows them; `arrays` is what kernels take, re-read after `ensure`."""

    def __init__(self, orders: int = 1024, price_range: int = 4096, accounts: int = 0) -> None:
        state = np.zeros(7, np.int64)
        state[[USED, BEST_BID, BEST_ASK]] = 1, NO_PRICE, NO_PRICE
        self.arrays = BookArrays(
            orders=_blank_orders(_power_of_two(orders + 1)),
            clauses=np.zeros(_power_of_two(orders + 1), CLAUSE),
            heads=np.zeros(accounts, np.int32),
            state=state,
            **_blank_levels(_power_of_two(max(price_range, 64))),
        )

    def ensure(self, free_orders: int = 0, price_range: int = 0, accounts: int = 0) -> None:
        """Make room: for so many more orders, prices below `price_range`, and ledger rows."""
        old = self.arrays
        slots = int(old.state[COUNT]) + free_orders + 1
        if slots > len(old.orders):
            orders = _blank_orders(_power_of_two(slots))
            orders[: len(old.orders)] = old.orders
            clauses = np.zeros(len(orders), CLAUSE)
            clauses[: len(old.clauses)] = old.clauses
            self.arrays = self.arrays._replace(orders=orders, clauses=clauses)
        if price_range > old.levels.shape[1]:
            self.arrays = self.arrays._replace(**_blank_levels(_power_of_two(price_range)))
            _move_levels(old, self.arrays)
        if accounts > len(old.heads):
            heads = np.zeros(accounts, np.int32)
            heads[: len(old.heads)] = old.heads
            self.arrays = self.arrays._replace(heads=heads)

    def bar(self, accounts: NDArray[np.int64]) -> None:
        """Mark accounts that may not trade here: their head is below 0."""
        self.arrays.heads[accounts] = NO_SLOT

    @property
    def count(self) -> int:
        """Orders resting."""
        return int(self.arrays.state[COUNT])

    @property
    def bid_ticks(self) -> int:
        """Highest bid, or NO_PRICE."""
        return int(self.arrays.state[BEST_BID])

    @property
    def ask_ticks(self) -> int:
        """Lowest ask, or NO_PRICE."""
        return int(self.arrays.state[BEST_ASK])

    def resting_lots(self, side: int) -> int:
        """Lots that rest on a side in all."""
        return int(self.arrays.state[BID_LOTS if side > 0 else ASK_LOTS])

    def levels(self, side: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Prices in ticks and sizes in lots of the best levels of a side, best first."""
        rows = best_levels(self.arrays, side, count)
        return rows[:, 0], rows[:, 1]

    def lots_within(self, side: int, limit_ticks: int) -> int:
        """Lots that rest on a side at the limit or better."""
        return int(lots_within(self.arrays, side, limit_ticks))

    def ids(self, slots: NDArray[Any]) -> NDArray[np.int64]:
        """Order ids of slots; -1 where there is no slot."""
        generation = self.arrays.orders["generation"][slots].astype(np.int64)
        return np.where(slots > 0, slots + (generation << 32), -1)

    def newest_orders(self, accounts: Any = slice(None)) -> NDArray[np.int64]:
        """For each account, the id of the order it placed last among those that rest, or -1."""
        return self.ids(np.maximum(self.arrays.heads[accounts], 0))

    def own_orders(self, account: int) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Ids and rows (dtype ORDER, a copy) of an account's resting orders, newest first."""
        slots = own_slots(self.arrays, account)
        return self.ids(slots), self.arrays.orders[slots]

    def lots_ahead(self, account: int) -> NDArray[np.int64]:
        """For each of an account's orders, newest first: lots before it at its price."""
        return lots_ahead(self.arrays, own_slots(self.arrays, account))


def _power_of_two(least: int) -> int:
    return 1 << max(int(least) - 1, 1).bit_length()
