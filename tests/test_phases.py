"""Phases of an order book: calls, halts, outages and interruptions for volatility."""

import numpy as np
import pytest

from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    SELL,
    amend,
    cancel,
    deposit,
    limit_order,
    market_order,
    stack,
    stop_order,
)
from markets.market import Market
from markets.outcomes import Code
from markets.spot.auction import NO_CALL
from markets.spot.call_auction import CallAuction
from markets.spot.order_book import OrderBook
from markets.spot.phases import Period
from markets.venue import Moment
from tests.trading_floor import Floor


def test_a_planned_call_gathers_and_ends_in_continuous_trading():
    call = Period(phase="call", start_seconds=1, end_seconds=3)
    floor = Floor(periods=(call,))
    floor.step(0, floor.limit(0, BUY, 5, 100))
    floor.step(1, floor.limit(1, SELL, 3, 98))
    assert floor.view.phase == "call"
    floor.step(2, floor.limit(2, SELL, 3, 97))
    assert floor.venue.book.count == 3
    floor.step(3)
    assert floor.view.phase == "continuous"
    assert (floor.view.last_call.price_ticks, floor.view.last_call.volume_lots) == (98, 5)
    assert floor.step(4, floor.limit(3, BUY, 1, 98)) == [Code.FILLED]


def test_a_halt_takes_cancels_only():
    floor = Floor()
    floor.step(0, floor.limit(0, BUY, 5, 100))
    floor.venue.halt()
    order = int(floor.venue.newest_order)
    own = floor.traders[0]
    more, less = amend(0, own, order, 9), amend(0, own, order, 2)
    codes = floor.step(1, floor.limit(1, SELL, 5, 100), more, less, cancel(0, own, order))
    assert codes == [Code.HALTED, Code.HALTED, Code.RESTING, Code.CANCELLED]
    floor.venue.resume()
    assert floor.step(2, floor.limit(1, SELL, 5, 100)) == [Code.RESTING]


@pytest.mark.parametrize("rule", ["reject", "queue"])
def test_an_outage_refuses_or_keeps_messages(rule):
    outage = Period(phase="outage", start_seconds=1, end_seconds=3)
    floor = Floor(periods=(outage,), outage=rule)
    floor.step(0, floor.limit(0, BUY, 5, 100))
    expected = Code.OUTAGE if rule == "reject" else Code.WAITING
    assert floor.step(1, floor.limit(1, SELL, 2, 100)) == [expected]
    assert floor.step(2, floor.limit(2, SELL, 2, 100)) == [expected]
    assert len(floor.venue.drain_fills()) == 0
    floor.step(3)
    takers = floor.venue.drain_fills()["taker"].tolist()
    assert takers == ([] if rule == "reject" else floor.traders[1:3])


def test_a_move_too_far_interrupts_trading_before_it_happens():
    floor = Floor(interruption_move=0.05, interruption_seconds=2, opening=7.0)
    floor.step(0, floor.limit(0, SELL, 5, 100), floor.limit(1, BUY, 1, 100))
    floor.step(1, floor.limit(0, SELL, 5, 105), floor.limit(0, SELL, 5, 106))
    codes = floor.step(2, floor.limit(1, BUY, 30, 108), floor.limit(2, SELL, 30, 101),
                       floor.limit(3, BUY, 1, 103))  # fmt: skip
    assert codes == [Code.RESTING] * 3
    fills = floor.venue.drain_fills()
    assert fills["price_ticks"].tolist() == [100, 100, 105]
    floor.step(3)
    assert floor.view.phase == "call"
    floor.step(4)
    assert floor.view.phase == "continuous"
    assert floor.view.last_call.volume_lots == 22
    assert set(floor.venue.drain_fills()["price_ticks"].tolist()) == {
        floor.view.last_call.price_ticks
    }


def test_stops_that_a_call_reaches_enter_when_trading_goes_on():
    call = Period(phase="call", start_seconds=1, end_seconds=2)
    floor = Floor(periods=(call,), opening=7.0)
    floor.step(0, stop_order(0, floor.traders[3], BUY, 2, 102), floor.limit(0, SELL, 9, 103))
    assert floor.step(1, floor.limit(1, BUY, 4, 103)) == [Code.RESTING]
    floor.step(2)
    assert floor.venue.last_call.volume_lots == 4
    taken = floor.venue.drain_fills()
    assert taken["size_lots"].tolist() == [4, 2]
    assert taken["taker"][1] == floor.traders[3]


def test_stops_that_a_call_reaches_do_not_wait_for_a_message():
    call = Period(phase="call", start_seconds=1, end_seconds=2)
    floor = Floor(periods=(call,), opening=7.0)
    floor.step(0, floor.limit(3, SELL, 50, 112), stop_order(0, floor.traders[2], BUY, 5, 105))
    floor.step(1, floor.limit(0, BUY, 5, 110), floor.limit(1, SELL, 5, 110))
    moment = Moment(2, 2.0, 1.0)
    floor.market.accrue(moment)
    assert floor.venue.stops.count == 0
    assert floor.venue.drain_fills()["price_ticks"].tolist() == [110, 112]
    floor.market.check()


@pytest.mark.parametrize("phase", ["halted", "outage"])
def test_a_halt_suspends_a_call(phase):
    """It clears when trading goes on, not before."""
    call = Period(phase="call", start_seconds=1, end_seconds=4)
    pause = Period(phase=phase, start_seconds=2, end_seconds=6)
    floor = Floor(opening=7.0, periods=(pause, call))
    floor.step(0)
    buy = market_order(0, floor.traders[2], BUY, 2)
    floor.step(1, floor.limit(0, BUY, 5, 101), floor.limit(1, SELL, 5, 99), buy)
    for step in range(2, 6):
        floor.step(step)
        assert floor.view.phase == phase
        assert len(floor.venue.drain_fills()) == 0
        assert floor.venue.book.count == 3
    floor.step(6)
    assert floor.view.last_call == (101, 5, 2)
    assert floor.venue.drain_fills()["taker"].tolist() == [floor.traders[2], floor.traders[0]]


def test_a_halt_does_not_end_a_call_of_a_call_auction():
    halt = Period(phase="halted", start_seconds=1, end_seconds=3)
    floor = Floor(CallAuction, interval_steps=5, opening=7.0, periods=(halt,))
    floor.step(0, floor.limit(0, BUY, 5, 101), floor.limit(1, SELL, 5, 99))
    for step in range(1, 4):
        floor.step(step)
        assert len(floor.venue.drain_fills()) == 0
    floor.step(4)
    assert floor.venue.last_call.volume_lots == 5


def test_the_price_of_before_an_interruption_is_forgotten():
    """A call finds a new price far away; trading at it sets off no second call."""
    floor = Floor(interruption_move=0.1, interruption_seconds=3, opening=7.0,
                  interruption_window_seconds=60)  # fmt: skip
    floor.step(0, floor.limit(0, SELL, 1, 100), floor.limit(1, BUY, 1, 100))
    floor.step(1, floor.limit(0, SELL, 50, 130), floor.limit(1, BUY, 50, 130))
    phases = []
    for step in range(2, 12):
        floor.step(step)
        phases.append(floor.view.phase)
        if floor.view.phase == "continuous":
            floor.step(step, floor.limit(2, SELL, 1, 130), floor.limit(3, BUY, 1, 130))
    assert phases == ["call"] * 2 + ["continuous"] * 8
    assert floor.view.last_call == (130, 50, 0)
    floor.step(12, floor.limit(2, SELL, 9, 160), floor.limit(3, BUY, 9, 160))
    floor.step(13)
    assert floor.view.phase == "call"


def test_what_sets_off_a_call_that_would_not_admit_it_is_dropped():
    rules = {"interruption_move": 0.05, "interruption_seconds": 2, "call_collar": 0.1}
    floor = Floor(opening=7.0, **rules)
    floor.step(0, floor.limit(0, SELL, 5, 100), floor.limit(1, BUY, 1, 100))
    floor.step(1, floor.limit(0, SELL, 5, 112), floor.limit(0, SELL, 5, 109))
    codes = floor.step(2, floor.limit(1, BUY, 30, 111), floor.limit(2, BUY, 7, 110))
    assert codes == [Code.PARTLY_FILLED, Code.RESTING]
    floor.step(4)
    assert floor.view.last_call == (110, 5, 2)
    assert (floor.view.bid_ticks, floor.view.ask_ticks) == (110, 112)


@pytest.mark.parametrize("phase", ["call", "halted", "outage"])
def test_there_are_no_quotes_where_nobody_can_trade(phase):
    pause = Period(phase=phase, start_seconds=1, end_seconds=3)
    floor = Floor(opening=7.0, periods=(pause,))
    floor.step(0, floor.limit(0, BUY, 5, 90), floor.limit(1, SELL, 5, 110))
    moment = Moment(0, 0.0, 1.0)
    assert floor.venue.measure(moment)["mid"] == pytest.approx(7.0)
    before = floor.view
    floor.step(1, floor.limit(2, BUY, 4, 120))
    assert before.phase == "continuous"
    assert floor.view.phase == phase
    assert (floor.view.bid_ticks, floor.view.ask_ticks) == (-1, -1)
    assert np.isnan(floor.view.mid)
    measured = floor.venue.measure(moment)
    names = ("mid", "bid", "ask", "bid_depth", "ask_depth")
    assert np.isnan([measured[name] for name in names]).all()
    view = floor.venue.observe(moment)
    assert np.isnan(view.depth(BUY))
    assert view.bids(1).size_lots.tolist() == [4 if phase == "call" else 5]
    assert view.indicative == ((110, 4, -1) if phase == "call" else NO_CALL)


def test_a_book_in_a_call_is_no_index():
    """Whoever bids far up in a call moves neither index nor mark, and liquidates nobody."""
    call = Period(phase="call", start_seconds=120, end_seconds=600)
    grid = Instrument(Asset("COIN", 9), Asset("CASH", 6), tick_size=0.1, lot_size=0.001)
    spot = OrderBook("spot", "x", grid, OrderBook.Params(periods=(call,), opening=100.0))
    rules = Perpetual.Params(
        index_venues=("spot",),
        maker_fee_ppm=0,
        taker_fee_ppm=0,
        initial_margin_ppm=100_000,
        maintenance_tiers=({"maintenance_ppm": 50_000},),
    )
    perpetual = Perpetual("perpetual", "x", grid, rules)
    market = Market([Exchange("x")], [spot, perpetual])
    one, two, three = market.endow("traders", "x", {"COIN": 1e3, "CASH": 1e6}, 3).tolist()
    market.begin()
    quotes = [limit_order(0, one, BUY, 10_000, 999), limit_order(0, one, SELL, 10_000, 1_001)]
    steps = [
        [*quotes, deposit(1, two, 3 * 10**8), deposit(1, three, 10**9),
         limit_order(1, two, SELL, 10_000, 1_000)],
        [limit_order(1, three, BUY, 10_000, 1_000)],
        [market_order(0, one, BUY, 1)], [], [],
    ]  # fmt: skip
    for step, intents in enumerate(steps):
        moment = Moment(step, 60.0 * step, 60.0)
        market.accrue(moment)
        view = market.observe(moment)["perpetual"]
        market.execute(stack(intents), moment, {"x": np.random.default_rng(0)})
        market.liquidate(moment)
        market.check()
    assert view.index_price == pytest.approx(100.0)
    assert view.mark == pytest.approx(100.0)
    assert perpetual.drain_liquidations() is None
