"""What agents see of a book: prices, depth, trades and their own orders."""

import numpy as np
import pytest

from markets.errors import FathomError
from markets.intents import BUY, SELL, iceberg_order, stop_order
from markets.outcomes import Code
from markets.venue import Moment
from tests.trading_floor import NOW, Floor


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


def test_depth_within_a_part_of_the_mid():
    floor = Floor()
    floor.do(*[floor.limit(0, BUY, 10, ticks) for ticks in (999, 995, 985, 970)])
    floor.do(*[floor.limit(1, SELL, 20, ticks) for ticks in (1_001, 1_010, 1_020, 1_040)])
    view = floor.venue.observe(NOW)
    assert [view.depth(BUY, part) for part in (0.001, 0.01, 0.02)] == pytest.approx([1, 2, 3])
    assert [view.depth(SELL, part) for part in (0.001, 0.01, 0.02)] == pytest.approx([2, 4, 6])
    assert view.imbalance(1) == pytest.approx((10 - 20) / 30)
    assert np.isnan(Floor().venue.observe(NOW).depth(BUY))
    assert np.isnan(Floor().venue.observe(NOW).imbalance())


def test_the_last_trades_and_what_prices_did():
    floor = Floor()
    prices = (100, 110, 105, 105)
    for step, ticks in enumerate(prices):
        floor.do(floor.limit(0, SELL, 1, ticks), floor.limit(1, BUY, 1, ticks))
        view = floor.venue.observe(Moment(step, float(step), 1.0))
    assert view.trades(3)["price_ticks"].tolist() == list(prices[1:])
    returns = np.diff(np.log(prices))
    assert view.realised_volatility() == pytest.approx(np.sqrt((returns**2).sum()))
    assert view.realised_volatility(1) == pytest.approx(0.0)
    floor.do(floor.limit(0, BUY, 1, 50))
    with pytest.raises(FathomError, match="moved on"):
        view.trades()


def test_the_place_of_own_orders_in_the_queue():
    floor = Floor()
    floor.do(floor.limit(0, BUY, 7, 100), floor.limit(1, BUY, 3, 100), floor.limit(2, BUY, 2, 100),
             floor.limit(1, BUY, 9, 100), floor.limit(1, BUY, 1, 101))  # fmt: skip
    view = floor.venue.observe(NOW)
    assert view.open_orders(floor.traders[1]).price_ticks.tolist() == [101, 100, 100]
    assert view.queue_ahead(floor.traders[1]).tolist() == [0, 12, 7]


@pytest.mark.parametrize("stranger", [-1, 99, 10**6, 2**40])
def test_an_account_that_is_none_has_no_orders(stranger):
    floor = Floor()
    floor.do(floor.limit(0, BUY, 7, 100))
    view = floor.venue.observe(NOW)
    for orders in (view.open_orders(stranger), view.waiting_stops(stranger)):
        assert orders.order.tolist() == []
    assert view.queue_ahead(stranger).tolist() == []
    assert view.newest_orders(np.array([stranger])).tolist() == [-1]


def test_icebergs_show_only_a_part_and_stops_nothing():
    floor = Floor()
    trader = floor.traders[0]
    stops = (stop_order(0, trader, SELL, 5, 90), stop_order(0, trader, BUY, 5, 120, 125))
    codes = floor.do(iceberg_order(0, trader, SELL, 20, 100, 4), *stops)
    assert codes == [Code.RESTING, Code.WAITING, Code.WAITING]
    view = floor.venue.observe(NOW)
    assert view.asks().size_lots.tolist() == [4]
    stops = view.waiting_stops(trader)
    assert stops.side.tolist() == [BUY, SELL]
    assert stops.price_ticks.tolist() == [120, 90]
    assert view.newest_order[trader] not in stops.order.tolist()


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda view: view.depth("buy"), "side"),
        (lambda view: view.depth(0), "side"),
        (lambda view: view.depth(BUY, "near"), "distance"),
        (lambda view: view.depth_lots(2, 90), "side"),
        (lambda view: view.depth_lots(BUY, 90.5), "limit_ticks"),
        (lambda view: view.bids(1.5), "levels"),
        (lambda view: view.asks(-1), "levels"),
        (lambda view: view.imbalance("five"), "levels"),
        (lambda view: view.open_orders("me"), "account"),
        (lambda view: view.waiting_stops(None), "account"),
        (lambda view: view.queue_ahead(1.0), "account"),
    ],
)
def test_questions_that_make_no_sense_are_refused_by_name(ask, field):
    with pytest.raises(FathomError, match=f"^{field} must"):
        ask(Floor().venue.observe(NOW))
