"""Order types and limits of an order book, one by one."""

import numpy as np
import pytest

from markets.assets import Asset, Instrument
from markets.errors import FathomError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    FILL_OR_KILL,
    SELL,
    amend,
    good_till,
    iceberg_order,
    limit_order,
    market_order,
    stack,
    stop_order,
)
from markets.market import Market
from markets.outcomes import FILL, Code
from markets.spot.order_book import OrderBook
from markets.venue import Moment
from tests.trading_floor import NOW, Floor


@pytest.mark.parametrize(
    ("lot_size", "minimum_size", "least_lots"),
    [
        (0.1, 1.1, 11),
        (0.1, 0.3, 3),
        (0.001, 0.009, 9),
        (0.1, 0.35, 4),
        (0.1, 0.0, 0),
        (2.0, 3.0, 2),
    ],
)
def test_the_least_size_is_what_was_asked_for_in_whole_lots(lot_size, minimum_size, least_lots):
    grid = Instrument(Asset("COIN", 4), Asset("CASH", 9), tick_size=1.0, lot_size=lot_size)
    book = OrderBook("book", "exchange", grid, OrderBook.Params(minimum_size=minimum_size))
    market = Market([Exchange("exchange")], [book])
    trader = int(market.endow("trader", "exchange", {"COIN": 1e3})[0])
    market.begin()
    sizes = [max(least_lots - 1, 0), max(least_lots, 1)]
    orders = [limit_order(0, trader, SELL, lots, 1) for lots in sizes]
    codes = book.execute(stack(orders), NOW).tolist()
    assert codes == [Code.BELOW_MINIMUM if sizes[0] else Code.INVALID, Code.RESTING]


@pytest.mark.parametrize("orders", [7, 60])
def test_shares_and_the_rest_by_time_fit_the_buffer_of_fills(orders):
    """Taking all but one lot of many orders of two fills each of them twice, but for the last."""
    floor = Floor(priority="pro_rata")
    floor.do(*[floor.limit(0, SELL, 2, 100)] * orders)
    memory = np.zeros(4 * orders, FILL)
    memory["reason"] = 77
    floor.venue._fill_buffer = memory[: orders + 1]
    floor.venue._lay()
    floor.venue._lay()
    assert floor.do(floor.limit(1, BUY, 2 * orders - 1, 100)) == [Code.FILLED]
    assert (memory["reason"][orders + 1 :] == 77).all()
    fills = floor.fills()
    assert len(fills) == 2 * orders - 1
    assert fills["size_lots"].sum() == 2 * orders - 1


# ---------------------------------------------------------------- amendments that fail, and others


def test_an_amendment_is_not_measured_by_the_band_that_is_left_without_the_order():
    floor = Floor(price_band=0.1, band_around="mid")
    floor.do(
        floor.limit(0, SELL, 10, 110), floor.limit(1, BUY, 1, 90), floor.limit(2, BUY, 10, 104)
    )
    assert floor.do(amend(0, floor.traders[2], floor.newest(2), 10, 115)) == [Code.FILLED]
    assert floor.fills()["price_ticks"].tolist() == [110]


@pytest.mark.parametrize("priority", ["time", "pro_rata"])
def test_an_amendment_into_an_own_order_is_refused_without_a_trace(priority):
    floor = Floor(priority=priority)
    floor.do(floor.limit(0, SELL, 10, 110), floor.limit(0, BUY, 10, 100))
    order = floor.newest(0)
    assert floor.do(amend(0, floor.traders[0], order, 10, 110)) == [Code.SELF_TRADE]
    assert floor.newest(0) == order
    assert floor.venue.book.levels(BUY, 3)[0].tolist() == [100]
    floor.do(floor.limit(1, SELL, 4, 109))
    assert floor.do(amend(0, floor.traders[0], order, 10, 110)) == [Code.PARTLY_FILLED]


def test_an_iceberg_that_shows_all_still_hides_what_is_added():
    floor = Floor()
    floor.do(iceberg_order(0, floor.traders[0], SELL, 10, 100, 10))
    assert floor.do(amend(0, floor.traders[0], floor.newest(0), 100)) == [Code.RESTING]
    assert floor.venue.book.levels(SELL, 1)[1].tolist() == [10]


def test_a_market_order_fills_whole_or_not_at_all():
    floor = Floor(base=1.0, quote=8.0, taker_fee_ppm=10_000)
    floor.do(floor.limit(0, SELL, 5, 100), floor.limit(1, SELL, 6, 110))
    codes = floor.do(
        market_order(0, floor.traders[2], BUY, 12, FILL_OR_KILL),
        market_order(0, floor.traders[2], BUY, 11, FILL_OR_KILL),
        market_order(0, floor.traders[2], BUY, 10, FILL_OR_KILL),
        market_order(0, floor.traders[3], SELL, 1, FILL_OR_KILL),
    )
    expected = [Code.UNFILLED, Code.INSUFFICIENT_BALANCE, Code.FILLED, Code.NO_LIQUIDITY]
    assert codes == expected
    assert floor.fills()["size_lots"].tolist() == [5, 5]
    floor.do(floor.limit(2, BUY, 12, 1))
    sell = market_order(0, floor.traders[3], SELL, 11, FILL_OR_KILL)
    assert floor.do(sell) == [Code.INSUFFICIENT_BALANCE]


def test_what_never_rests_is_not_counted_among_open_orders():
    floor = Floor(maximum_open_orders=1)
    floor.do(floor.limit(1, SELL, 10, 100), floor.limit(0, BUY, 1, 90))
    codes = floor.do(
        floor.limit(0, BUY, 1, 100, FILL_OR_KILL),
        market_order(0, floor.traders[0], BUY, 1),
        floor.limit(0, BUY, 1, 91),
    )
    assert codes == [Code.FILLED, Code.FILLED, Code.TOO_MANY_ORDERS]


def test_stops_set_each_other_off():
    floor = Floor()
    floor.do(*[floor.limit(0, BUY, 1, ticks) for ticks in (100, 99, 98, 97)])
    floor.do(*[stop_order(0, floor.traders[1], SELL, 1, ticks) for ticks in (99, 100, 98)])
    floor.do(floor.take(2, SELL, 1))
    fills = floor.fills()
    assert fills["price_ticks"].tolist() == [100, 99, 98, 97]
    assert floor.venue.stops.count == 0


def test_orders_leave_when_their_last_step_is_over():
    floor = Floor()
    stop = good_till(stop_order(0, floor.traders[0], SELL, 5, 90), 4)
    floor.do(good_till(floor.limit(0, BUY, 5, 100), 3), stop, floor.limit(0, BUY, 1, 99))
    for step, (orders, stops) in enumerate([(2, 1)] * 4 + [(1, 1), (1, 0)]):
        floor.venue.accrue(Moment(step, float(step), 1.0))
        assert (floor.venue.book.count, floor.venue.stops.count) == (orders, stops)
        floor.market.check()
        floor.venue.audit()


def test_stops_are_amended_with_their_trigger():
    floor = Floor()
    account = floor.traders[0]
    floor.do(
        good_till(stop_order(0, account, SELL, 5, 90), 9), stop_order(0, account, BUY, 5, 120, 121)
    )
    view = floor.venue.observe(NOW)
    bought, sold = view.waiting_stops(account).order.tolist()
    codes = floor.do(
        amend(0, account, sold, 7, 0, 95),
        amend(0, account, bought, 3, 119),
        amend(0, floor.traders[1], bought, 3),
        amend(0, account, bought, 3),
    )
    assert codes == [Code.WAITING, Code.WAITING, Code.UNKNOWN_ORDER, Code.UNKNOWN_ORDER]
    stops = floor.venue.observe(NOW).waiting_stops(account)
    assert stops.price_ticks.tolist() == [120, 95]
    assert stops.remaining_lots.tolist() == [3, 7]
    assert floor.do(amend(0, account, int(stops.order[1]), 7, 94)) == [Code.INVALID]
    floor.do(floor.limit(1, BUY, 9, 95), floor.limit(2, SELL, 1, 95))
    assert floor.fills()["size_lots"].tolist() == [1, 7]


@pytest.mark.parametrize("nothing", [0, np.array([90, 0])])
def test_a_stop_without_trigger_and_an_iceberg_without_display_are_refused_by_name(nothing):
    with pytest.raises(FathomError, match="trigger_ticks"):
        stop_order(0, 1, SELL, 5, nothing)
    with pytest.raises(FathomError, match="display_lots"):
        iceberg_order(0, 1, SELL, 5, 100, nothing)
