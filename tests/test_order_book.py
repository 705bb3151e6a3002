"""The order-book exchange against its plain reference, and the rules of money and priority."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.errors import BrokenInvariant, ConfigError, FathomError
from markets.exchange import Exchange
from markets.intents import (
    AMEND,
    BUY,
    CANCEL,
    CANCEL_ALL,
    IMMEDIATE_OR_CANCEL,
    INTENT,
    MARKET,
    PLACE,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    cancel,
    cancel_all,
    limit_order,
    market_order,
    stack,
    swap_exact_in,
)
from markets.market import Market
from markets.outcomes import FILL, Code, Reason
from markets.spot.book import Book
from markets.spot.order_book import OrderBook
from markets.venue import Moment
from tests.reference.order_book import ReferenceBook

NOW = Moment(step=0, seconds=0.0, step_seconds=1.0)
COIN = Asset("COIN", 4)
CASH = Asset("CASH", 3)
GRID = Instrument(COIN, CASH, tick_size=0.07, lot_size=0.1)
FEES = [(0, 0), (100, 500), (333, 77_777), (-100, 250), (-999, 999), (5_000, 0)]


class Floor:
    """A market with one order book and a few traders."""

    def __init__(self, traders: int = 4, base: float = 1e6, quote: float = 1e6, **params) -> None:
        self.venue = OrderBook("book", "exchange", GRID, OrderBook.Params(**params))
        self.market = Market([Exchange("exchange"), Exchange("other")], [self.venue])
        self.rows = self.market.open_accounts("traders", "exchange", traders)
        self.stranger = int(self.market.open_accounts("stranger", "other")[0])
        self.market.ledger.issue(self.rows, "COIN", COIN.to_atoms(base))
        self.market.ledger.issue(self.rows, "CASH", CASH.to_atoms(quote))
        self.market.begin()
        self.traders = self.rows.tolist()

    def do(self, *intents) -> list[Code]:
        """Execute in one batch, then audit everything."""
        codes = self.venue.execute(stack(intents), NOW)
        self.market.check()
        self.venue.audit()
        return [Code(code) for code in codes.tolist()]

    def limit(self, trader: int, side: int, size_lots: int, limit_ticks: int, flags: int = 0):
        return limit_order(0, self.traders[trader], side, size_lots, limit_ticks, flags)

    def take(self, trader: int, side: int, size_lots: int):
        return market_order(0, self.traders[trader], side, size_lots)

    def newest(self, trader: int) -> int:
        return self.venue.observe(NOW).newest_order[self.traders[trader]]

    def cash(self, account: int) -> int:
        return int(self.market.ledger.balances[account, 1])

    def coin(self, account: int) -> int:
        return int(self.market.ledger.balances[account, 0])

    def fills(self) -> np.ndarray:
        return self.venue.drain_fills()


# ---------------------------------------------------------------- against the plain reference


@dataclass
class Session:
    """The same messages through the venue and through the reference, compared after each."""

    floor: Floor
    reference: ReferenceBook
    serial_of: dict[int, int] = field(default_factory=dict)
    messages: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def open(
        cls, fees: tuple[int, int], base: float, quote: float, self_trade: str, **params
    ) -> "Session":
        floor = Floor(5, base, quote, maker_fee_ppm=fees[0], taker_fee_ppm=fees[1],
                      self_trade=self_trade, **params)  # fmt: skip
        balances = {row: [floor.coin(row), floor.cash(row)] for row in floor.traders}
        grid = (GRID.lot_atoms, GRID.notional_atoms)
        return cls(floor, ReferenceBook(balances, *grid, *fees, self_trade))

    @property
    def ids(self) -> list[int]:
        return list(self.serial_of)

    def id_of(self, serial: int) -> int:
        return next(order for order, known in self.serial_of.items() if known == serial)

    def send(
        self, action, trader, side, size_lots, limit_ticks, order, flags, special=(0, 0, 0)
    ) -> Code:
        account = self.floor.traders[trader]
        row = (action, 0, account, side, size_lots, limit_ticks, order, flags, 0, 0, *special)
        intent = np.array([row], INTENT)
        self.messages.append(intent)
        moment = Moment(self.reference.step, float(self.reference.step), 1.0)
        got = Code(self.floor.venue.execute(intent, moment)[0])
        reference, serial = self.reference, self.serial_of.get(order, -1)
        if action == PLACE:
            trigger, display, expiry = special
            expected = reference.place(
                account, side, size_lots, limit_ticks, flags, display, expiry, trigger
            )
        elif action == AMEND:
            expected = reference.amend(account, serial, size_lots, limit_ticks, special[0])
        elif action == CANCEL:
            expected = reference.cancel(account, serial)
            if expected == Code.UNKNOWN_ORDER:
                expected = reference.cancel_stop(account, serial)
        else:
            expected = reference.cancel_all(account)
        reference.let_in()
        assert got == expected
        self.compare()
        return got

    def advance(self) -> None:
        """Go on to the next step on both sides."""
        self.reference.begin_step(self.reference.step + 1)
        step = self.reference.step
        self.floor.venue.accrue(Moment(step, float(step), 1.0))
        assert self.floor.venue.last_call == self.reference.last_call
        self.compare()

    def meet(self, order: int, serial: int) -> None:
        """An id stands for one order of the reference from when it is first seen."""
        if order not in self.serial_of:
            assert serial not in self.serial_of.values()
        assert self.serial_of.setdefault(order, serial) == serial

    def compare(self) -> None:
        fills = self.floor.venue.drain_fills()
        assert len(fills) == len(self.reference.fills)
        for order, expected in zip(fills["maker_order"], self.reference.fills, strict=True):
            self.meet(int(order), expected[2])
        fills["maker_order"] = [self.serial_of[order] for order in fills["maker_order"].tolist()]
        assert [fill[:-1] for fill in fills.tolist()] == self.reference.fills
        self.reference.fills.clear()
        escrow, fees = self.floor.venue.accounts.tolist()
        for row in self.floor.traders:
            assert [self.floor.coin(row), self.floor.cash(row)] == self.reference.balances[row]
        assert [self.floor.coin(escrow), self.floor.cash(escrow)] == self.reference.escrow
        assert self.floor.cash(fees) == self.reference.fees_atoms >= 0
        self.compare_queues()

    def compare_queues(self) -> None:
        """Every resting order, at its place in the queue, with its id, owner and size; stops."""
        book = self.floor.venue.book
        for side in (BUY, SELL):
            got = []
            for price_ticks in book.levels(side, 10_000)[0].tolist():
                slot = int(book.arrays.levels[(1 - side) // 2, price_ticks]["first"])
                while slot:
                    order = book.arrays.orders[slot].tolist()
                    order_id = slot + (order[10] << 32)
                    hidden = int(book.arrays.clauses[slot]["hidden_lots"]) if order[11] & 1 else 0
                    got.append((order_id, order[4], price_ticks, order[1], hidden))
                    slot = order[7]
            expected = self.reference.side(side)
            assert len(got) == len(expected)
            for order, plain in zip(got, expected, strict=True):
                self.meet(order[0], plain.serial)
                assert order[1:] == (
                    plain.account, plain.price_ticks, plain.left_lots, plain.hidden_lots
                )  # fmt: skip
        for trader in self.floor.traders:
            ids = self.floor.venue.own_stops(trader)[0].tolist()
            own = [stop for stop in self.reference.stops if stop.account == trader]
            assert len(ids) == len(own)
            for order_id, stop in zip(ids, own[::-1], strict=True):
                self.meet(order_id, stop.serial)

    def compare_books(self) -> None:
        """Everything once more, and what the venue says of itself."""
        self.floor.market.check()
        self.floor.venue.audit()
        self.compare_escrow()

    def compare_escrow(self) -> None:
        """What each owner still has in escrow, and that the holder holds just that."""
        for asset, escrow in enumerate(self.floor.venue.escrowed()):
            held = dict.fromkeys(self.floor.traders, 0)
            for order in self.reference.orders:
                held[order.account] += self.reference.escrowed(order)[asset]
            got = dict.fromkeys(self.floor.traders, 0)
            for account, atoms in zip(*(column.tolist() for column in escrow[2:]), strict=True):
                got[account] += atoms
            assert got == held
            balance = self.floor.market.ledger.balances[escrow.holder, escrow.column]
            assert balance == sum(held.values())


def random_message(session: Session, rng: np.random.Generator) -> tuple[int, ...]:
    """Mostly sensible, sometimes absurd."""
    trader = int(rng.integers(5))
    side, size_lots = int(rng.choice([BUY, SELL])), int(rng.integers(1, 25))
    limit_ticks = int(rng.integers(85, 116))
    kind = rng.random()
    if kind < 0.55:
        return PLACE, trader, side, size_lots, limit_ticks, 0, 0
    if kind < 0.60:
        return PLACE, trader, side, size_lots, limit_ticks, 0, IMMEDIATE_OR_CANCEL
    if kind < 0.66:
        return PLACE, trader, side, size_lots, limit_ticks, 0, POST_ONLY
    if kind < 0.72:
        return PLACE, trader, side, size_lots, 0, 0, MARKET | IMMEDIATE_OR_CANCEL
    if kind < 0.74:
        return PLACE, trader, side, 10**6, limit_ticks, 0, int(rng.choice([0, MARKET]))
    if kind < 0.94 and session.reference.orders:
        order = session.reference.orders[int(rng.integers(len(session.reference.orders)))]
        owner = session.floor.traders.index(order.account)
        order_id = session.id_of(order.serial)
        return CANCEL, owner, 0, 0, 0, order_id, 0
    if kind < 0.96 and session.ids:
        return CANCEL, trader, 0, 0, 0, int(rng.choice(session.ids[-60:])), 0
    if kind < 0.97:
        return CANCEL_ALL, trader, 0, 0, 0, 0, 0
    absurd = int(rng.integers(-2, 2))
    return PLACE, trader, side + absurd, size_lots * absurd, limit_ticks * absurd, 0, REDUCE_ONLY


def differential(seed: int, messages: int, fees: tuple[int, int], self_trade: str) -> Session:
    rng = np.random.default_rng(seed)
    session = Session.open(fees, base=25.0, quote=170.0, self_trade=self_trade)
    for number in range(messages):
        session.send(*random_message(session, rng))
        if number % 250 == 0:
            session.compare_books()
    session.compare_books()
    return session


@pytest.mark.parametrize("self_trade", ["cancel_newest", "cancel_oldest", "allow"])
@pytest.mark.parametrize("fees", FEES)
def test_agrees_with_the_reference_after_every_message(fees, self_trade):
    session = differential(7, 1_500, fees, self_trade)
    assert session.reference.placed > 300


@pytest.mark.slow
@pytest.mark.parametrize("fees", FEES)
def test_agrees_with_the_reference_over_long_streams(fees):
    differential(11, 20_000, fees, "cancel_newest")


@pytest.mark.parametrize("fees", [(333, 77_777), (-999, 999)])
def test_one_batch_does_what_single_messages_did(fees):
    session = differential(3, 1_500, fees, "cancel_newest")
    again = Session.open(fees, 25.0, 170.0, "cancel_newest").floor
    again.venue.book = Book(orders=1, price_range=64, accounts=len(again.market.ledger.owner))
    again.venue.begin()
    again.venue._fill_buffer = np.zeros(3, FILL)
    again.venue._lay()
    again.venue.execute(np.concatenate(session.messages), NOW)
    assert np.array_equal(again.market.ledger.balances, session.floor.market.ledger.balances)
    for side in (BUY, SELL):
        ours, theirs = (f.venue.book.levels(side, 999) for f in (again, session.floor))
        assert np.array_equal(ours, theirs)
    again.venue.audit()


MESSAGE = st.tuples(
    st.sampled_from([PLACE, PLACE, PLACE, PLACE, CANCEL, CANCEL_ALL]),
    st.integers(0, 4),
    st.sampled_from([BUY, SELL]),
    st.one_of(st.integers(1, 9), st.integers(-1, 2**62)),
    st.one_of(st.integers(98, 102), st.integers(-1, 2**26)),
    st.integers(0, 40),
    st.sampled_from([0, 0, 0, IMMEDIATE_OR_CANCEL, POST_ONLY, MARKET, MARKET | POST_ONLY]),
)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(MESSAGE, max_size=40),
    st.tuples(st.integers(-20_000, 300_000), st.integers(20_000, 300_000)),
    st.sampled_from(["cancel_newest", "cancel_oldest", "allow"]),
)
def test_agrees_with_the_reference_on_any_messages(messages, fees, self_trade):
    session = Session.open(fees, base=3.0, quote=20.0, self_trade=self_trade)
    for action, trader, side, size_lots, limit_ticks, which, flags in messages:
        order = session.ids[which % len(session.ids)] if session.ids else which
        session.send(action, trader, side, size_lots, limit_ticks, order, flags)
    session.compare_books()


# ---------------------------------------------------------------- priority


def test_a_sweep_pays_each_level_its_own_price():
    floor = Floor()
    floor.do(*[floor.limit(i, SELL, 10, 100 + i) for i in range(3)])
    assert floor.do(floor.limit(3, BUY, 25, 110)) == [Code.FILLED]
    fills = floor.fills()
    assert fills["price_ticks"].tolist() == [100, 101, 102]
    assert fills["size_lots"].tolist() == [10, 10, 5]
    paid = CASH.to_atoms(1e6) - floor.cash(floor.traders[3])
    assert paid == (10 * 100 + 10 * 101 + 5 * 102) * GRID.notional_atoms


def test_orders_of_one_price_and_moment_are_distinct_and_first_come_first_served():
    floor = Floor()
    floor.do(floor.limit(0, BUY, 10, 100), floor.limit(1, BUY, 7, 100))
    view = floor.venue.observe(NOW)
    assert [column.tolist() for column in view.bids()] == [[100], [17]]
    assert view.newest_order[floor.traders[0]] != view.newest_order[floor.traders[1]]
    assert floor.do(floor.limit(2, SELL, 17, 100)) == [Code.FILLED]
    fills = floor.fills()
    assert fills["maker"].tolist() == floor.traders[:2]
    assert fills["size_lots"].tolist() == [10, 7]
    assert floor.venue.book.count == 0


def test_a_partly_filled_order_keeps_its_place():
    floor = Floor()
    floor.do(floor.limit(0, SELL, 10, 100), floor.limit(1, SELL, 10, 100))
    floor.do(floor.take(2, BUY, 4), floor.take(2, BUY, 8))
    assert floor.fills()["maker"].tolist() == [floor.traders[i] for i in (0, 0, 1)]


def test_an_aggressive_order_takes_all_it_can_and_never_rests_crossed():
    floor = Floor()
    floor.do(*[floor.limit(i % 2, SELL, 2, 100 + i // 3) for i in range(9)])
    assert floor.do(floor.limit(3, BUY, 16, 101)) == [Code.RESTING]
    assert floor.fills()["size_lots"].sum() == 12
    view = floor.venue.observe(NOW)
    assert (view.bid_ticks, view.ask_ticks) == (101, 102)
    assert view.bids().size_lots.tolist() == [4]


def test_a_price_no_better_than_the_queue_allows():
    """Each fill takes from the best price, and the limit is never passed."""
    rng = np.random.default_rng(5)
    floor = Floor()
    for _ in range(300):
        trader, side = int(rng.integers(4)), int(rng.choice([BUY, SELL]))
        limit_ticks = int(rng.integers(95, 106))
        best = floor.venue.book.levels(-side, 1_000)[0].tolist()
        floor.do(floor.limit(trader, side, int(rng.integers(1, 30)), limit_ticks))
        prices = floor.fills()["price_ticks"].tolist()
        assert sorted(prices, key=lambda ticks: side * ticks) == prices
        assert list(dict.fromkeys(prices)) == best[: len(set(prices))]
        assert all(side * (limit_ticks - ticks) >= 0 for ticks in prices)


# ---------------------------------------------------------------- order rules


def test_immediate_or_cancel_drops_the_rest():
    floor = Floor()
    floor.do(floor.limit(0, SELL, 5, 100))
    codes = floor.do(
        floor.limit(1, BUY, 3, 99, IMMEDIATE_OR_CANCEL),
        floor.limit(1, BUY, 3, 100, IMMEDIATE_OR_CANCEL),
        floor.limit(1, BUY, 3, 100, IMMEDIATE_OR_CANCEL),
    )
    assert codes == [Code.UNFILLED, Code.FILLED, Code.PARTLY_FILLED]
    assert floor.venue.book.count == 0


def test_post_only_rests_or_is_refused():
    floor = Floor()
    floor.do(floor.limit(0, SELL, 5, 100))
    codes = floor.do(floor.limit(1, BUY, 5, 100, POST_ONLY), floor.limit(1, BUY, 5, 99, POST_ONLY))
    assert codes == [Code.WOULD_CROSS, Code.RESTING]


@pytest.mark.parametrize(
    ("rule", "code", "resting"),
    [("cancel_newest", Code.PARTLY_FILLED, 4), ("cancel_oldest", Code.RESTING, 5),
     ("allow", Code.RESTING, 1)],
)  # fmt: skip
def test_meeting_an_own_order(rule, code, resting):
    floor = Floor(self_trade=rule)
    floor.do(floor.limit(1, SELL, 3, 99), floor.limit(0, SELL, 4, 100))
    assert floor.do(floor.limit(0, BUY, 8, 100)) == [code]
    own = floor.fills()["maker"] == floor.traders[0]
    assert own.any() == (rule == "allow")
    assert floor.venue.book.resting_lots(BUY) + floor.venue.book.resting_lots(SELL) == resting


def test_an_own_order_in_front_refuses_the_whole():
    floor = Floor()
    floor.do(floor.limit(0, SELL, 4, 100))
    assert floor.do(floor.take(0, BUY, 1), floor.limit(0, BUY, 1, 100)) == [Code.SELF_TRADE] * 2


def test_orders_of_others_and_stale_orders_are_unknown():
    floor = Floor()
    floor.do(floor.limit(0, BUY, 1, 100))
    order = floor.newest(0)
    mine, theirs = (cancel(0, floor.traders[trader], order) for trader in (0, 1))
    assert floor.do(theirs, mine, mine) == [
        Code.UNKNOWN_ORDER,
        Code.CANCELLED,
        Code.UNKNOWN_ORDER,
    ]
    floor.do(floor.limit(0, BUY, 1, 100))
    assert floor.newest(0) != order
    assert floor.do(mine) == [Code.UNKNOWN_ORDER]
    strange = [cancel(0, floor.traders[0], number) for number in (0, -1, 2**31, 2**62, 77)]
    assert floor.do(*strange) == [Code.UNKNOWN_ORDER] * 5


def test_cancel_all_takes_only_own_orders():
    floor = Floor()
    floor.do(*[floor.limit(i % 2, BUY, 1, 90 + i) for i in range(8)])
    floor.do(cancel_all(0, floor.traders[1]))
    view = floor.venue.observe(NOW)
    assert view.open_orders(floor.traders[0]).price_ticks.tolist() == [96, 94, 92, 90]
    assert view.open_orders(floor.traders[1]).order.tolist() == []
    newest = view.newest_orders(floor.rows).tolist()
    assert newest == [view.newest_order[row] for row in floor.traders]
    assert newest == [view.open_orders(floor.traders[0]).order[0], -1, -1, -1]


def test_what_is_no_order_is_invalid_and_moves_nothing():
    floor = Floor()
    before = floor.market.ledger.balances.copy()
    account = floor.traders[0]
    codes = floor.do(
        floor.limit(0, BUY, 0, 100),
        floor.limit(0, BUY, -1, 100),
        floor.limit(0, BUY, 1, 0),
        floor.limit(0, BUY, 1, 2**26),
        floor.limit(0, BUY, 1, 2**62),
        floor.limit(0, BUY, 2**61, 2**20),
        floor.limit(0, SELL, 2**61, 1),
        floor.limit(0, 2, 1, 100),
        floor.limit(0, BUY, 1, 100, REDUCE_ONLY),
        floor.limit(0, BUY, 1, 100, POST_ONLY | IMMEDIATE_OR_CANCEL),
        swap_exact_in(0, account, BUY, 10),
        *[
            (*floor.limit(0, BUY, 1, 100)[:-3], *special)
            for special in (-np.eye(3, dtype=int)).tolist()
        ],
        limit_order(0, floor.stranger, SELL, 1, 100),
        cancel_all(0, floor.stranger),
        *[limit_order(0, row, SELL, 1, 100) for row in (-1, 0, 10**6, *floor.venue.accounts)],
    )
    assert set(codes) == {Code.INVALID}
    assert np.array_equal(floor.market.ledger.balances, before)


def test_a_market_order_finds_nothing_in_an_empty_book():
    floor = Floor()
    assert floor.do(floor.take(0, BUY, 1), floor.take(0, SELL, 1)) == [Code.NO_LIQUIDITY] * 2


# ---------------------------------------------------------------- money


def test_a_limit_order_must_be_covered_with_its_fee():
    floor = Floor(quote=0.0, maker_fee_ppm=1_000, taker_fee_ppm=2_000)
    buyer = floor.traders[0]
    floor.market.ledger.issue(floor.rows[:1], "CASH", 100 * GRID.notional_atoms)
    assert floor.do(floor.limit(0, BUY, 1, 100)) == [Code.INSUFFICIENT_BALANCE]
    floor.market.ledger.issue(
        floor.rows[:1], "CASH", -(-100 * GRID.notional_atoms * 2_000 // 10**6)
    )
    assert floor.do(floor.limit(0, BUY, 1, 100)) == [Code.RESTING]
    assert floor.cash(buyer) >= 0


@pytest.mark.parametrize(
    ("maker_fee_ppm", "taker_fee_ppm", "resting_lots", "needed_atoms"),
    [
        (1_001, 1_001, 0, 4_900 + 5),
        (1_001, 1_001, 3, 4_900 + 3 + 3),
        (9_000, 1_001, 0, 4_900 + 45),
        (9_000, 1_001, 7, 4_900 + 45 + 1),
        (-500, 1_001, 3, 4_900 + 5),
        (0, 0, 3, 4_900),
    ],
)
def test_the_least_that_covers_seven_lots_at_a_hundred(
    maker_fee_ppm, taker_fee_ppm, resting_lots, needed_atoms
):
    """A lot costs 700 atoms; taking three and resting four rounds two fees up: 3 + 3, not 5."""
    for cash_atoms in range(needed_atoms - 3, needed_atoms + 3):
        floor = Floor(quote=0.0, maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm)
        floor.market.ledger.issue(floor.rows[1:2], "CASH", cash_atoms)
        if resting_lots:
            floor.do(floor.limit(0, SELL, resting_lots, 100))
        accepted = floor.do(floor.limit(1, BUY, 7, 100))[0] > 0
        assert accepted == (cash_atoms >= needed_atoms)
        assert floor.cash(floor.traders[1]) >= 0


def test_escrow_is_exact_after_partial_fill_and_cancel():
    floor = Floor(maker_fee_ppm=12_345, taker_fee_ppm=54_321)
    escrow, fees = floor.venue.accounts.tolist()
    floor.do(floor.limit(0, BUY, 13, 101))
    floor.do(floor.take(1, SELL, 5), floor.take(1, SELL, 1))
    spent = CASH.to_atoms(1e6) - floor.cash(floor.traders[0]) - floor.cash(escrow)
    notional = 6 * 101 * GRID.notional_atoms
    maker_fee = -(-notional * 12_345 // 10**6)
    assert spent == notional + maker_fee
    floor.do(cancel(0, floor.traders[0], floor.newest(0)))
    assert (floor.coin(escrow), floor.cash(escrow)) == (0, 0)
    assert floor.cash(floor.traders[0]) == CASH.to_atoms(1e6) - notional - maker_fee
    taker_fees = sum(-(-lots * 101 * GRID.notional_atoms * 54_321 // 10**6) for lots in (5, 1))
    assert floor.cash(fees) == maker_fee + taker_fees


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(0, 300_000))
@settings(max_examples=60, deadline=None)
def test_many_small_fills_of_an_order_cost_its_maker_no_more_than_one(sizes, maker_fee_ppm):
    floor = Floor(maker_fee_ppm=maker_fee_ppm)
    floor.do(floor.limit(0, BUY, sum(sizes), 3))
    floor.do(*[floor.take(1, SELL, lots) for lots in sizes])
    notional = 3 * sum(sizes) * GRID.notional_atoms
    paid = CASH.to_atoms(1e6) - floor.cash(floor.traders[0])
    assert paid == notional - (-notional * maker_fee_ppm // 10**6)
    assert floor.cash(int(floor.venue.accounts[0])) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=25))
@settings(max_examples=60, deadline=None)
def test_rebates_never_overdraw_the_fee_account(trades):
    """At maker = -taker every atom of the fee account is rounding: never below 0."""
    floor = Floor(maker_fee_ppm=-1_001, taker_fee_ppm=1_001)
    fees = int(floor.venue.accounts[1])
    for side in (BUY, SELL):
        floor.do(*[floor.limit(i, side, 400, 100 - side * (1 + i)) for i in range(3)])
    for trader, lots in trades:
        floor.do(floor.take(3, BUY if trader else SELL, lots))
        assert floor.cash(fees) >= 0
    assert all(fill["maker_fee_atoms"] <= 0 for fill in floor.fills())


@pytest.mark.parametrize("taker_fee_ppm", [0, 1, 777, 123_456])
def test_a_market_buy_spends_no_more_than_there_is_and_all_that_fits(taker_fee_ppm):
    for cash_atoms in range(1_400, 1_475, 3):
        floor = Floor(quote=0.0, taker_fee_ppm=taker_fee_ppm)
        floor.market.ledger.issue(floor.rows[1:2], "CASH", cash_atoms)
        floor.do(floor.limit(0, SELL, 1, 100), floor.limit(0, SELL, 50, 103))
        code = floor.do(floor.take(1, BUY, 5))[0]
        lots = int(floor.fills()["size_lots"].sum())
        left = floor.cash(floor.traders[1])
        assert left >= 0
        one_more = (103 if lots else 100) * GRID.notional_atoms
        assert left < one_more + -(-one_more * taker_fee_ppm // 10**6)
        assert code == (Code.PARTLY_FILLED if lots else Code.INSUFFICIENT_BALANCE)


def test_a_market_sell_is_limited_by_what_is_owned():
    floor = Floor(base=1.0)
    floor.do(floor.limit(0, BUY, 50, 100))
    assert floor.do(floor.take(1, SELL, 50)) == [Code.PARTLY_FILLED]
    assert floor.coin(floor.traders[1]) == 0
    assert floor.do(floor.take(1, SELL, 1)) == [Code.INSUFFICIENT_BALANCE]


def test_fee_flows_explain_the_fee_account():
    floor = Floor(maker_fee_ppm=-100, taker_fee_ppm=900)
    floor.do(floor.limit(0, SELL, 40, 99), floor.limit(1, BUY, 40, 98))
    floor.do(floor.take(2, BUY, 17), floor.take(3, SELL, 23))
    flows = floor.venue.drain_flows()
    fees = int(floor.venue.accounts[1])
    received = flows["atoms"][flows["receiver"] == fees].sum()
    paid = flows["atoms"][flows["payer"] == fees].sum()
    assert received - paid == floor.cash(fees) > 0
    assert paid > 0
    assert set(flows["reason"].tolist()) == {Reason.FEE}
    assert len(floor.venue.drain_flows()) == 0


def test_money_in_escrow_that_no_order_needs_is_a_broken_invariant():
    floor = Floor()
    floor.do(floor.limit(0, BUY, 5, 100))
    escrow = int(floor.venue.accounts[0])
    floor.market.ledger.balances[escrow, 1] += 1
    with pytest.raises(BrokenInvariant, match=r"escrow.*CASH.*difference 1 "):
        floor.venue.check()


# ---------------------------------------------------------------- growth and range


def test_orders_levels_and_fills_grow_without_losing_any():
    floor = Floor(quote=1e8)
    orders = [floor.limit(i % 3, SELL, 1 + i % 5, 1_000 + 97 * (i % 211)) for i in range(6_000)]
    assert set(floor.do(*orders)) == {Code.RESTING}
    assert floor.venue.book.count == 6_000
    lots = sum(1 + i % 5 for i in range(6_000))
    assert floor.venue.book.resting_lots(SELL) == lots
    assert floor.do(floor.take(3, BUY, lots)) == [Code.FILLED]
    fills = floor.fills()
    assert len(fills) == 6_000
    assert len(set(fills["maker_order"].tolist())) == 6_000
    assert np.all(np.diff(fills["price_ticks"]) >= 0)


@pytest.mark.parametrize("limit_ticks", [4_095, 4_096, 8_192, 2**20, 2**20 + 1])
def test_a_price_at_the_edge_of_the_range(limit_ticks):
    floor = Floor()
    assert floor.do(floor.limit(0, SELL, 1, limit_ticks)) == [Code.RESTING]
    assert floor.venue.observe(NOW).ask_ticks == limit_ticks


def test_sparse_prices():
    floor = Floor(quote=1e12)
    floor.do(
        floor.limit(0, BUY, 1, 1), floor.limit(0, SELL, 1, 10_000_000), floor.limit(0, BUY, 1, 7)
    )
    assert floor.do(floor.limit(1, SELL, 2, 1)) == [Code.FILLED]
    assert floor.do(floor.limit(1, BUY, 1, 2**26 - 1)) == [Code.FILLED]
    assert floor.fills()["price_ticks"].tolist() == [7, 1, 10_000_000]
    assert floor.venue.book.count == 0


# ---------------------------------------------------------------- view, measures, settings


def test_the_view_shows_best_prices_depth_and_the_last_trade():
    floor = Floor()
    empty = floor.venue.observe(NOW)
    assert (empty.bid_ticks, empty.ask_ticks, empty.last_ticks) == (-1, -1, -1)
    assert np.isnan([empty.bid, empty.ask, empty.mid, empty.last]).all()
    floor.do(floor.limit(0, BUY, 3, 98), floor.limit(0, BUY, 4, 97), floor.limit(1, SELL, 5, 102))
    floor.do(floor.take(2, BUY, 2))
    view = floor.venue.observe(NOW)
    assert (view.bid_ticks, view.ask_ticks, view.last_ticks) == (98, 102, 102)
    assert (view.mid, view.last) == pytest.approx((7.0, 7.14))
    assert view.volume_lots == 2
    assert [column.tolist() for column in view.bids(1)] == [[98], [3]]
    assert [column.tolist() for column in view.asks()] == [[102], [3]]
    assert view.depth_lots(BUY, 97) == 7
    assert type(view.bid_ticks) is int
    assert type(view.newest_order[0]) is int
    assert floor.venue.observe(NOW).volume_lots == 0


def test_a_view_of_the_past_is_refused():
    floor = Floor()
    view = floor.venue.observe(NOW)
    floor.do(floor.limit(0, BUY, 3, 98))
    with pytest.raises(FathomError, match="moved on"):
        view.bids()


def test_measures():
    floor = Floor()
    floor.do(
        *[floor.limit(0, BUY, 10, ticks) for ticks in (990, 1_000, 980)],
        *[floor.limit(1, SELL, 10, ticks) for ticks in (1_002, 1_011, 1_012)],
    )
    floor.venue.observe(NOW)
    floor.do(floor.take(2, BUY, 4), floor.take(2, SELL, 1))
    measured = floor.venue.measure(NOW)
    assert measured["mid"] == pytest.approx(1_001 * 0.07)
    assert (measured["bid"], measured["ask"]) == pytest.approx((70.0, 1_002 * 0.07))
    assert measured["bid_depth"] == pytest.approx(0.9)
    assert measured["ask_depth"] == pytest.approx(1.6)
    assert measured["volume"] == pytest.approx(0.5)
    assert measured["trades"] == 2


def test_a_rebate_above_the_taker_fee_is_a_config_error():
    with pytest.raises(ConfigError, match="maker_fee_ppm"):
        OrderBook.Params.read({"maker_fee_ppm": -200, "taker_fee_ppm": 100}, "book")
    with pytest.raises(ConfigError, match=r"book\.self_trade"):
        OrderBook.Params.read({"self_trade": "perhaps"}, "book")


# ---------------------------------------------------------------- one message a call


def test_single_calls_do_what_a_batch_does():
    session = differential(4, 600, (333, 77_777), "cancel_newest")
    rows = np.concatenate(session.messages)
    plain = rows[(rows["flags"] < 8) & (rows["action"] != CANCEL_ALL)]
    batch, calls = (
        Session.open((333, 77_777), 25.0, 170.0, "cancel_newest").floor for _ in range(2)
    )
    expected = batch.venue.execute(plain, NOW).tolist()
    got = []
    for row in plain:
        if row["action"] == PLACE:
            columns = (int(row[name]) for name in ("account", "side", "size", "limit", "flags"))
            got.append(calls.venue.place(*columns))
        else:
            got.append(calls.venue.cancel(int(row["account"]), int(row["order"])))
    assert got == expected
    assert np.array_equal(batch.market.ledger.balances, calls.market.ledger.balances)
    assert np.array_equal(batch.venue.drain_fills(), calls.venue.drain_fills())
    assert len(calls.venue.drain_flows()) > 0
    calls.venue.audit()


def test_single_calls_grow_what_they_need():
    floor = Floor(quote=1e9)
    for number in range(5_000):
        code = floor.venue.place(floor.traders[0], SELL, 1, 5_000 + 3 * number)
        assert code == Code.RESTING
    newest = floor.venue.newest_order
    assert newest == floor.newest(0)
    floor.venue._fill_buffer = floor.venue._fill_buffer[:10].copy()
    floor.venue._lay()
    assert floor.venue.place(floor.traders[1], BUY, 4_000, 50_000) == Code.FILLED
    assert len(floor.fills()) == 4_000
    assert floor.venue.cancel(floor.traders[0], newest) == Code.CANCELLED
