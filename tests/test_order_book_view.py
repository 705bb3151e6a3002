"""What agents see of a book, fee tiers over the days, and orders that expire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.errors import ConfigError, FathomError
from markets.intents import BUY, SELL, good_till, iceberg_order, stop_order
from markets.outcomes import Code
from markets.spot.fees import DAY_SECONDS, DAYS, FeeTiers, Tier
from markets.spot.order_book import OrderBook
from markets.venue import Moment
from tests.trading_floor import CASH, GRID, NOW, Floor


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


# ---------------------------------------------------------------- fee tiers


def test_volumes_of_thirty_days_decide_the_rates_of_the_next():
    tier = Tier(volume=1.0, maker_fee_ppm=-100, taker_fee_ppm=400)
    floor = Floor(maker_fee_ppm=100, taker_fee_ppm=500, tiers=(tier,))
    floor.do(floor.limit(0, SELL, 10, 100), floor.take(1, BUY, 10))
    tiers = floor.venue.fee_tiers
    assert tiers.rates[floor.traders[1]].tolist() == [100, 500]
    notional = 10 * 100 * GRID.notional_atoms
    seen = []
    for day in range(1, DAYS + 3):
        floor.venue.accrue(Moment(day, day * DAY_SECONDS, DAY_SECONDS))
        volumes = tiers.volume_atoms()[floor.rows].tolist()
        assert volumes == ([notional] * 2 + [0] * 2 if day <= DAYS else [0] * 4)
        seen.append(tiers.rates[floor.rows].tolist())
    assert seen[0] == seen[DAYS - 1] == [[-100, 400]] * 2 + [[100, 500]] * 2
    assert seen[-1] == [[100, 500]] * 4


def test_an_order_keeps_the_rate_with_which_it_came_to_rest():
    tier = Tier(volume=1.0, maker_fee_ppm=0, taker_fee_ppm=400)
    floor = Floor(maker_fee_ppm=1_000, taker_fee_ppm=1_000, tiers=(tier,))
    floor.do(floor.limit(0, SELL, 10, 100), floor.take(1, BUY, 10), floor.limit(1, BUY, 100, 100))
    floor.fills()
    floor.venue.accrue(Moment(1, DAY_SECONDS, DAY_SECONDS))
    floor.do(floor.take(0, SELL, 50), floor.limit(1, BUY, 50, 99), floor.take(0, SELL, 100))
    fees = floor.fills()["maker_fee_atoms"].tolist()
    assert fees == [50 * 100 * GRID.notional_atoms // 1_000] * 2 + [0]


def test_days_without_a_step_count_as_days():
    tiers = FeeTiers((5, 7), (Tier(volume=1.0, maker_fee_ppm=1, taker_fee_ppm=2),), CASH.scale)
    tiers.open(2)
    fills = np.zeros(1, [("taker", int), ("maker", int), ("quote_atoms", int)])
    fills["maker"], fills["quote_atoms"] = 1, CASH.scale
    tiers.count(fills)
    assert not tiers.advance(DAY_SECONDS - 1)
    assert tiers.advance(29 * DAY_SECONDS)
    assert tiers.rates.tolist() == [[1, 2]] * 2
    assert tiers.advance(31 * DAY_SECONDS)
    assert tiers.rates.tolist() == [[5, 7]] * 2
    tiers.count(fills)
    assert tiers.advance(500 * DAY_SECONDS)
    assert tiers.tiers().tolist() == [0, 0]


@pytest.mark.parametrize("fills", [1, 8, 70_000])
def test_volumes_stop_at_their_cap_and_never_turn_over(fills):
    tiers = FeeTiers((5, 7), (Tier(volume=1e6, maker_fee_ppm=0, taker_fee_ppm=0),), 10**9)
    tiers.open(3)
    rows = np.zeros(fills, [("taker", int), ("maker", int), ("quote_atoms", int)])
    rows["taker"], rows["maker"], rows["quote_atoms"] = 1, 2, 2**62 - 1
    tiers.count(rows[:0])
    tiers.count(rows)
    small = rows[:1].copy()
    small["quote_atoms"] = 2**33 + 5
    tiers.count(small)
    tiers.advance(DAY_SECONDS)
    assert tiers.volume_atoms().tolist() == [0, 2**57, 2**57]
    assert tiers.tiers().tolist() == [0, 1, 1]


@given(st.lists(st.lists(st.integers(0, 2**40), max_size=6), max_size=5))
def test_volumes_are_the_sums_of_all_notionals(batches):
    tiers = FeeTiers((5, 7), (), 1)
    tiers.open(2)
    for notionals in batches:
        rows = np.zeros(len(notionals), [("taker", int), ("maker", int), ("quote_atoms", int)])
        rows["taker"], rows["maker"], rows["quote_atoms"] = 1, 0, notionals
        tiers.count(rows)
    tiers.advance(DAY_SECONDS)
    assert tiers.volume_atoms().tolist() == [sum(map(sum, batches))] * 2


def test_tiers_that_could_overdraw_the_fee_account_are_config_errors():
    low = {"volume": 1.0, "maker_fee_ppm": -300, "taker_fee_ppm": 900}
    with pytest.raises(ConfigError, match="maker_fee_ppm"):
        OrderBook.Params.read({"taker_fee_ppm": 200, "tiers": [low]}, "book")
    with pytest.raises(ConfigError, match="must rise"):
        OrderBook.Params.read({"taker_fee_ppm": 500, "tiers": [low, low]}, "book")
