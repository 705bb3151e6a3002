"""Tapes: conditions are settled on arrival, the feed says what each message did."""

from collections.abc import Sequence

import numpy as np
import pytest

from agents.poisson_flow import ANYWHERE, bands
from agents.trader import Trader
from experiments.taped_scenario import VENUE, taped
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.errors import ConfigError
from markets.intents import (
    BUY,
    SELL,
    Intent,
    cancel_all,
    limit_order,
    market_order,
    stack,
)
from markets.market import Market, View
from markets.outcomes import Code
from markets.spot.phases import Period
from markets.spot.tape import (
    PEGGED,
    UNLESS_TRADED,
    AsSent,
    TapeBook,
    conditional,
    in_time,
    withdrawal,
)
from markets.venue import Moment


class Author(Trader):
    """Sends the tapes it is given, one a step."""

    def open(self, market: Market) -> None:
        held = {"share": 100, "cash": 100_000}
        self.accounts = market.endow(self.name, "exchange", held, 6)
        self.tapes: list[list[Intent]] = []

    def act(self, view: View) -> Sequence[Intent]:
        return self.tapes.pop(0)


def performed(*tapes: Sequence[tuple[int, ...]]) -> tuple[TapeBook, list[tuple[int, ...]]]:
    """The book after the tapes, and the feed of the last one as tuples."""
    world = World(taped(Author, Author.Params(), 1.0), 0, record=())
    author, book = world.traders[0], world.market.venues[VENUE]
    assert isinstance(author, Author)
    assert isinstance(book, TapeBook)
    author.tapes = [list(tape) for tape in tapes]
    for _ in tapes:
        world.step()
    book.audit()
    return book, [tuple(row) for row in book.feed.tolist()]


def order(account: int, side: int, ticks: int, condition: int = 0) -> Intent:
    return conditional(limit_order(0, account, side, 1, ticks), condition)


QUOTES = [order(5, BUY, 100), order(6, SELL, 104)]
"""Accounts 0 to 2 are the issuer's and the venue's."""


def test_messages_run_in_the_order_sent_whoever_sends_them() -> None:
    book, feed = performed([order(8, BUY, 100), order(3, BUY, 100), market_order(0, 5, SELL, 1)])
    assert book.fills["maker"].tolist() == [8]
    assert feed == [(100, -1, 1, 0, 0), (100, -1, 2, 0, 0), (100, -1, 1, 0, 1)]


def test_a_pegged_order_keeps_its_distance_from_what_it_finds() -> None:
    tape = [
        order(3, BUY, 1, PEGGED),
        order(4, BUY, 1, PEGGED),
        order(7, SELL, 3, PEGGED),
    ]
    _, feed = performed(QUOTES, tape)
    assert feed == [(103, 104, 1, 1, 0), (103, 104, 2, 1, 0), (103, 104, 2, 1, 0)]


def test_a_pegged_order_without_opposite_quote_does_nothing() -> None:
    _, feed = performed([order(3, BUY, 5, PEGGED)])
    assert feed == [(-1, -1, 0, 0, 0)]


def test_a_withdrawal_counts_only_within_its_distances() -> None:
    tape = [withdrawal(0, 5, 5, 9), withdrawal(0, 5, 1, 3), withdrawal(0, 5, 4, 4)]
    _, feed = performed(QUOTES, tape)
    assert [row[0] for row in feed] == [100, 100, -1]


def test_a_withdrawal_of_an_account_without_orders_does_nothing() -> None:
    _, feed = performed(QUOTES, [withdrawal(0, 7, 1, ANYWHERE), withdrawal(0, 8, 1, ANYWHERE)])
    assert [row[:2] for row in feed] == [(100, 104), (100, 104)]


def test_messages_unless_traded_stop_at_the_first_trade_and_begin_anew() -> None:
    shouts = [order(3, BUY, 101, UNLESS_TRADED), order(4, BUY, 104, UNLESS_TRADED)] * 2
    _, feed = performed(QUOTES, shouts)
    assert [row[4] for row in feed] == [0, 1, 1, 1]
    assert feed[1] == feed[3]
    _, feed = performed(QUOTES, shouts, [order(7, BUY, 102, UNLESS_TRADED)])
    assert feed == [(102, -1, 1, 0, 0)]


def test_a_long_tape_grows_the_book() -> None:
    rows = np.arange(6_000)
    bids = limit_order(0, 3 + rows % 6, BUY, 1, 1 + rows % 7)
    asks = limit_order(0, 3 + rows % 6, SELL, 1, 9_000 + rows % 7)
    book, feed = performed([bids, asks])
    assert book.book.count == 6_600, "all bids, and asks as far as the shares go"
    assert feed[-1][:2] == (7, 9_000)


def test_tapes_merge_by_time() -> None:
    times = [np.array([0.3, 0.1]), np.array([0.2])]
    moments, tape = in_time(
        times, [limit_order(0, np.array([3, 4]), BUY, 1, 5), withdrawal(0, 9, 1, 2)]
    )
    assert moments.tolist() == [0.1, 0.2, 0.3]
    assert tape[0]["account"].tolist() == [4, 9, 3]
    assert tape[0]["expiry_step"].tolist() == [0, 2, 0]


def test_bands_of_rates() -> None:
    upper, nearest, furthest = bands((0.71, 0.81, 0.68, 0.47))
    assert upper.tolist() == [0.47, 0.68, 0.71, 0.81]
    assert nearest.tolist() == [1, 1, 1, 2]
    assert furthest.tolist() == [ANYWHERE, 3, 2, 2]
    with pytest.raises(ConfigError, match="one peak"):
        bands((1.0, 0.5, 1.0))


class Reader:
    """A tape book read by hand, with three rich accounts."""

    def __init__(self, **params) -> None:
        coin, cash = Asset("coin", 0), Asset("cash", 0)
        grid = Instrument(coin, cash, tick_size=1.0, lot_size=1.0)
        self.book = TapeBook("book", "exchange", grid, TapeBook.Params(**params))
        self.market = Market([AsSent("exchange")], [self.book])
        wealth = {"coin": 1e6, "cash": 1e9}
        self.accounts = self.market.endow("readers", "exchange", wealth, 3).tolist()
        self.market.begin()

    def step(self, step: int, *intents: Intent) -> list[Code]:
        moment = Moment(step, float(step), 1.0)
        self.market.accrue(moment)
        self.view = self.book.observe(moment)
        codes = self.book.execute(stack(intents), moment)
        self.market.check()
        self.book.audit()
        return [Code(code) for code in codes.tolist()]

    def limit(self, who: int, side: int, lots: int, ticks: int) -> Intent:
        return limit_order(0, self.accounts[who], side, lots, ticks)


def test_a_tape_goes_on_in_the_call_that_it_sets_off() -> None:
    reader = Reader(interruption_move=0.1, interruption_seconds=2, opening=100.0)
    buy = market_order(0, reader.accounts[1], BUY, 1)
    reader.step(0, reader.limit(0, SELL, 1, 100), reader.limit(0, SELL, 1, 150), buy)
    codes = reader.step(1, buy, reader.limit(2, BUY, 3, 150), cancel_all(0, reader.accounts[1]))
    assert codes == [Code.UNFILLED, Code.RESTING, Code.CANCELLED]
    assert reader.book.feed.tolist()[1:] == [(150, 150, 3, 1, 0)] * 2
    reader.step(2)
    assert reader.view.book.phase == "call"
    reader.step(3)
    assert reader.view.book.last_call == (150, 1, 2)


@pytest.mark.parametrize("rule", ["reject", "queue"])
def test_an_outage_stops_a_tape(rule: str) -> None:
    outage = Period(phase="outage", start_seconds=1, end_seconds=3)
    reader = Reader(periods=(outage,), outage=rule)
    reader.step(0, reader.limit(0, SELL, 1, 100))
    sent = (cancel_all(0, reader.accounts[0]), order(reader.accounts[1], BUY, 3, PEGGED))
    expected = Code.OUTAGE if rule == "reject" else Code.WAITING
    assert reader.step(1, *sent, reader.limit(0, SELL, 1, 101)) == [expected] * 3
    assert (reader.book.book.count, len(reader.book.feed)) == (1, 0)
    reader.step(2)
    reader.step(3)
    assert reader.book.book.ask_ticks == (100 if rule == "reject" else 101)
    assert reader.book.book.count == 1
