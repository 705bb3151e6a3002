"""The price-time structure: lists, levels, bitmaps and growth, against plain lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.intents import BUY, SELL
from markets.spot.audit import faults
from markets.spot.book import (
    ASK_LOTS,
    BEST_BID,
    MAX_PRICE_TICKS,
    NO_PRICE,
    NO_SLOT,
    ORDER,
    Book,
    best_ask_ticks,
    best_bid_ticks,
    find,
    fits,
    front,
    insert,
    next_ask_ticks,
    next_bid_ticks,
    order_id,
    reduce,
    unlink,
)

MIDDLE = 5_000
OPERATION = st.one_of(
    st.tuples(st.just("insert"), st.integers(1, MIDDLE - 1), st.integers(1, 9)),
    st.tuples(st.just("insert"), st.integers(MIDDLE - 3, MIDDLE + 3), st.integers(1, 9)),
    st.tuples(st.just("unlink"), st.integers(0, 99), st.just(0)),
    st.tuples(st.just("reduce"), st.integers(0, 99), st.integers(1, 9)),
    st.tuples(st.just("front"), st.integers(0, 1), st.integers(1, 9)),
)


class Twin:
    """A book beside a plain list of [id, account, side, price, remaining lots]."""

    def __init__(self, **sizes: int) -> None:
        self.book = Book(**{"orders": 2, "price_range": 64, "accounts": 4} | sizes)
        self.plain: list[list[int]] = []
        self.gone: list[int] = []

    def insert(self, account: int, side: int, price_ticks: int, size_lots: int) -> int:
        if not fits(self.book.arrays, price_ticks):
            self.book.ensure(free_orders=1, price_range=price_ticks + 1)
        assert fits(self.book.arrays, price_ticks)
        order = insert(self.book.arrays, account, side, price_ticks, size_lots)
        self.plain.append([order, account, side, price_ticks, size_lots])
        return order

    def unlink(self, row: list[int]) -> None:
        unlink(self.book.arrays, find(self.book.arrays, row[0]))
        self.remove(row)

    def reduce(self, row: list[int], size_lots: int) -> None:
        reduce(self.book.arrays, find(self.book.arrays, row[0]), size_lots)
        row[4] -= size_lots
        if row[4] <= 0:
            self.remove(row)

    def remove(self, row: list[int]) -> None:
        self.plain.remove(row)
        self.gone.append(row[0])

    def best(self, side: int) -> list[int] | None:
        """By price, then by time: `plain` is in order of arrival and `min` takes the first."""
        own = [row for row in self.plain if row[2] == side]
        return min(own, key=lambda row: -side * row[3], default=None)

    def compare(self) -> None:
        arrays = self.book.arrays
        assert list(faults(self.book)) == []
        assert self.book.count == len(self.plain)
        for side, best_ticks in ((BUY, best_bid_ticks(arrays)), (SELL, best_ask_ticks(arrays))):
            best = self.best(side)
            slot = front(arrays, side)
            assert best_ticks == (best[3] if best else NO_PRICE)
            assert (order_id(arrays, slot) if slot > 0 else slot) == (best[0] if best else NO_SLOT)
            lots: dict[int, int] = {}
            for row in self.plain:
                if row[2] == side:
                    lots[row[3]] = lots.get(row[3], 0) + row[4]
            levels = sorted(lots.items(), reverse=side > 0)
            got = self.book.levels(side, 10_000)
            assert list(zip(*(column.tolist() for column in got), strict=True)) == levels
            assert self.book.resting_lots(side) == sum(lots.values())
            for limit_ticks in (MIDDLE - 2, MIDDLE + 2):
                within = sum(n for ticks, n in levels if side * (ticks - limit_ticks) >= 0)
                assert self.book.lots_within(side, limit_ticks) == within
        for account in range(4):
            own = [row[0] for row in self.plain if row[1] == account]
            assert self.book.own_orders(account)[0].tolist() == own[::-1]
            assert self.book.newest_orders()[account] == (own[-1] if own else -1)
        assert all(find(arrays, order) == NO_SLOT for order in self.gone)


def play(twin: Twin, operations: list[tuple[str, int, int]]) -> None:
    for number, (operation, which, lots) in enumerate(operations):
        if operation == "insert":
            bid, ask = twin.book.bid_ticks, twin.book.ask_ticks
            side = BUY if number % 2 else SELL
            price_ticks = which if number % 2 else 2 * MIDDLE - which
            barrier = ask if side == BUY else bid
            if barrier < 0 or side * (barrier - price_ticks) > 0:
                twin.insert(number % 4, side, price_ticks, lots)
        elif operation == "front":
            best = twin.best(BUY if which else SELL)
            if best:
                twin.reduce(best, min(lots, best[4]))
        elif twin.plain:
            row = twin.plain[which % len(twin.plain)]
            if operation == "unlink":
                twin.unlink(row)
            else:
                twin.reduce(row, min(lots, row[4]))


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATION, max_size=60))
def test_agrees_with_plain_lists(operations):
    twin = Twin()
    play(twin, operations)
    twin.compare()


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_plain_lists_over_long_sequences(seed):
    rng = np.random.default_rng(seed)
    twin = Twin()
    for _ in range(60):
        kinds = rng.choice(["insert", "insert", "insert", "unlink", "reduce", "front"], 50)
        which = np.where(kinds == "front", 1, rng.integers(MIDDLE - 200, MIDDLE + 3, 50))
        play(twin, list(zip(kinds, which.tolist(), rng.integers(1, 9, 50).tolist(), strict=True)))
        twin.compare()
    assert len(twin.plain) > 300


def test_orders_of_a_price_keep_their_order_of_arrival():
    twin = Twin()
    rows = [twin.insert(i % 3, BUY, 50, 1 + i) for i in range(6)]
    twin.unlink(twin.plain[2])
    twin.unlink(twin.plain[0])
    twin.unlink(twin.plain[-1])
    arrays, left = twin.book.arrays, []
    while front(arrays, BUY) > 0:
        left.append(order_id(arrays, front(arrays, BUY)))
        unlink(arrays, front(arrays, BUY))
    assert left == [rows[1], rows[3], rows[4]]


def test_a_slot_used_again_has_a_new_id():
    twin = Twin()
    old = twin.insert(1, BUY, 50, 1)
    twin.unlink(twin.plain[0])
    new = twin.insert(1, BUY, 50, 1)
    arrays = twin.book.arrays
    assert find(arrays, new) == old % 2**32 == new % 2**32
    assert find(arrays, old) == NO_SLOT
    strange = (0, -1, 2**31, 2**62, -new, new + 2**32, 2)
    assert [find(arrays, order) for order in strange] == [NO_SLOT] * len(strange)


def test_growth_keeps_ids_and_places():
    twin = Twin(orders=1)
    order = twin.insert(0, BUY, 1, 1)
    for i in range(700):
        twin.insert(i % 4, SELL, 40 + 37 * (i % 90), 1 + i)
    twin.compare()
    assert find(twin.book.arrays, order) > 0
    assert len(twin.book.arrays.orders) >= 702
    twin.book.ensure(accounts=9)
    assert len(twin.book.arrays.heads) == 9
    assert twin.book.own_orders(8)[0].tolist() == []
    twin.compare()


def test_ensure_makes_room_for_as_many_as_it_was_asked():
    book = Book(orders=1, price_range=64, accounts=1)
    book.ensure(free_orders=777)
    arrays = book.arrays
    for number in range(777):
        assert fits(arrays, 1 + number % 63)
        insert(arrays, 0, BUY, 1 + number % 63, 1)
    assert list(faults(book)) == []


def test_the_next_price_is_found_across_any_gap():
    prices = [1, 2, 63, 64, 65, 127, 4_095, 4_096, 262_143, 262_144, 10_000_000, MAX_PRICE_TICKS]
    book = Book(orders=32, price_range=MAX_PRICE_TICKS + 1, accounts=1)
    arrays = book.arrays
    for price_ticks in prices:
        insert(arrays, 0, SELL, price_ticks, 1)
    for low, high in zip([0, *prices], [*prices, NO_PRICE], strict=True):
        assert next_ask_ticks(arrays, low) == high
    for price_ticks in prices:
        assert best_ask_ticks(arrays) == price_ticks
        unlink(arrays, front(arrays, SELL))
    assert best_ask_ticks(arrays) == NO_PRICE
    for price_ticks in prices:
        insert(arrays, 0, BUY, price_ticks, 1)
    for low, high in zip([NO_PRICE, *prices[:-1]], prices, strict=True):
        assert next_bid_ticks(arrays, high) == low
        assert next_bid_ticks(arrays, high - 1) == low or high - 1 == low
    for price_ticks in prices[::-1]:
        assert best_bid_ticks(arrays) == price_ticks
        unlink(arrays, front(arrays, BUY))
    assert not arrays.bits.any()


def test_an_order_takes_less_than_a_hundred_bytes():
    book = Book(orders=2**16 - 1)
    heads = book.arrays.heads
    assert ORDER.itemsize == 64
    assert book.arrays.orders.nbytes + heads.nbytes + book.arrays.state.nbytes < 100 * 2**16
    assert book.arrays.orders.ctypes.data % 64 == 0


@pytest.mark.parametrize(
    ("array", "field", "place", "value", "fault"),
    [
        ("levels", "lots", (0, 50), 9, "lots at price 50"),
        ("levels", "first", (1, 60), 1, "other prices"),
        ("state", ..., BEST_BID, 49, "state"),
        ("state", ..., ASK_LOTS, 1, "state"),
        ("bits", ..., (0, 0), 0, "bitmap of side 1"),
        ("bits", ..., (1, 0), 1, "bitmap of side -1"),
        ("heads", ..., 1, 1, "list of account 1"),
        ("orders", "account_previous", 1, 0, "backwards"),
        ("orders", "level_next", 1, 0, "list of price 50"),
        ("orders", "level_next", 2, 1, "list of price 50"),
        ("orders", "remaining_lots", 1, 0, "0 lots remaining"),
        ("orders", "side", 1, SELL, "other prices"),
    ],
)
def test_the_audit_sees_what_is_broken(array, field, place, value, fault):
    book = Book(orders=7, price_range=64, accounts=3)
    for size_lots in (2, 3):
        insert(book.arrays, 1, BUY, 50, size_lots)
    assert list(faults(book)) == []
    getattr(book.arrays, array)[field][place] = value
    assert any(fault in found for found in faults(book))
