"""A book without money does what the plain reference does where all can pay for everything."""

import numpy as np
import pytest

from markets.errors import FathomError
from markets.intents import AMEND, BUY, CANCEL, INTENT, PLACE, SELL, limit_order, stack
from markets.outcomes import Code
from markets.spot.audit import faults
from markets.spot.matching_book import MatchingBook
from markets.spot.settlement import SelfTrade
from markets.spot.stops import STOP_BIT
from tests.reference.order_book import ReferenceBook, Rules
from tests.reference_session import Session

WEALTH = [2**80, 2**80]
HUGE_LOTS = 2**62
"""More than may rest at any price; a market order for so many takes all there is."""


class Counter:
    """The book in the place that a venue has in a session; traders are accounts 1 to 5."""

    def __init__(self, self_trade: str) -> None:
        self.traders = [1, 2, 3, 4, 5]
        self.venue, self.plain = self, MatchingBook(5, SelfTrade[self_trade.upper()])
        self.book, self.stops = self.plain.book, self.plain.stops

    def execute(self, intents, moment):
        return self.plain.execute(intents)

    def own_stops(self, account):
        order, rows = self.stops.own_orders(account)
        return order | STOP_BIT, rows


class Replay(Session):
    """Fills and both books are compared after every message; there are no balances."""

    @classmethod
    def of(cls, self_trade: str) -> "Replay":
        counter = Counter(self_trade)
        balances = {account: WEALTH.copy() for account in counter.traders}
        rules = Rules(iceberg_parts=1_000_000)
        return cls(counter, ReferenceBook(balances, 1, 1, 0, 0, self_trade, rules=rules))

    def compare(self) -> None:
        fills = self.floor.plain.drain_fills()
        assert len(fills) == len(self.reference.fills)
        for fill, expected in zip(fills.tolist(), self.reference.fills, strict=True):
            self.meet(fill[2], expected[2])
            assert (*fill[:2], *fill[3:10]) == (*expected[:2], *expected[3:])
        self.reference.fills.clear()
        self.compare_queues()


def random_message(replay: Replay, rng: np.random.Generator) -> tuple:
    trader, side = int(rng.integers(5)), int(rng.choice([BUY, SELL]))
    size_lots, limit_ticks = int(rng.integers(1, 25)), int(rng.integers(90, 111))
    kind = rng.random()
    if kind < 0.3 and replay.reference.orders:
        order = replay.reference.orders[int(rng.integers(len(replay.reference.orders)))]
        action = CANCEL if kind < 0.25 else AMEND
        return action, order.account - 1, 0, size_lots, 0, replay.id_of(order.serial), 0
    if kind < 0.32:
        size_lots = HUGE_LOTS
    flags = int(rng.choice([0, 0, 0, 0, 1, 2, 4, 64]))
    display_lots = int(rng.choice([0, 0, 0, 2])) if flags == 0 else 0
    trigger_ticks = int(rng.choice([0] * 9 + [limit_ticks])) if flags != 2 else 0
    special = (trigger_ticks, display_lots, 0)
    return PLACE, trader, side, size_lots, limit_ticks, 0, flags, special


def drive(seed: int, messages: int, self_trade: str) -> Replay:
    rng, replay = np.random.default_rng(seed), Replay.of(self_trade)
    for _ in range(messages):
        replay.send(*random_message(replay, rng))
    assert list(faults(replay.floor.book)) == list(faults(replay.floor.stops, True)) == []
    return replay


@pytest.mark.parametrize("self_trade", ["cancel_newest", "allow"])
def test_agrees_with_the_reference_after_every_message(self_trade):
    replay = drive(5, 800, self_trade)
    assert replay.reference.placed > 300
    messages = replay.messages
    again = MatchingBook(5, SelfTrade[self_trade.upper()])
    again._fill_buffer = again._fill_buffer[:3]
    again._lay()
    codes = again.execute(messages)
    assert (codes == Code.FILLED).sum() > 50
    assert len(again.drain_fills()) > 100
    for side in (BUY, SELL):
        ours, theirs = (book.levels(side, 999) for book in (again.book, replay.floor.book))
        assert np.array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("self_trade", ["cancel_newest", "cancel_oldest", "cancel_both", "allow"])
def test_agrees_with_the_reference_over_long_streams(self_trade):
    drive(6, 20_000, self_trade)


def test_books_and_fills_grow():
    book = MatchingBook(1, SelfTrade.ALLOW)
    rows = np.zeros(6_000, INTENT)
    rows["action"], rows["account"], rows["side"], rows["size"] = PLACE, 1, SELL, 1
    rows["limit"] = 1_000_000 + np.arange(6_000)
    assert (book.execute(rows) == Code.RESTING).all()
    taker = stack([limit_order(0, 1, BUY, 6_000, 2_000_000)])
    assert book.execute(taker).tolist() == [Code.FILLED]
    assert np.array_equal(book.drain_fills()["price_ticks"], rows["limit"])
    assert len(book.drain_fills()) == book.book.count == 0


def test_rows_may_lie_apart_and_must_be_rows():
    book = MatchingBook(3)
    rows = stack([limit_order(0, account, BUY, 1, 10 + account) for account in (1, 2, 3)])
    assert book.execute(rows[::2]).tolist() == [Code.RESTING] * 2
    assert book.book.levels(BUY, 9)[0].tolist() == [13, 11]
    for wrong in (limit_order(0, 1, BUY, 1, 5), np.zeros((2, 13), np.int64), None):
        with pytest.raises(FathomError, match="rows of dtype INTENT"):
            book.execute(wrong)


def test_fills_that_were_given_out_stay_as_they_are():
    book, given = MatchingBook(2), []
    for size_lots in (1, 2):
        sold = limit_order(0, 1, SELL, size_lots, 10)
        book.execute(stack([sold, limit_order(0, 2, BUY, size_lots, 10)]))
        given.append(book.drain_fills())
    assert [fills["size_lots"].tolist() for fills in given] == [[1], [2]]
