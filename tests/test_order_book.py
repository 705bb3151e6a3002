"""The order book: who is filled first, what orders may do, how far it grows."""

import numpy as np
import pytest

from markets.errors import ConfigError
from markets.intents import (
    BUY,
    IMMEDIATE_OR_CANCEL,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    altered,
    cancel,
    cancel_all,
    limit_order,
    swap_exact_in,
)
from markets.outcomes import Code
from markets.spot.order_book import OrderBook
from tests.trading_floor import CASH, GRID, NOW, Floor

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
            altered(floor.limit(0, BUY, 1, 100), "trigger_ticks", *special)
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


# ---------------------------------------------------------------- settings


def test_a_rebate_above_the_taker_fee_is_a_config_error():
    with pytest.raises(ConfigError, match="maker_fee_ppm"):
        OrderBook.Params.read({"maker_fee_ppm": -200, "taker_fee_ppm": 100}, "book")
    with pytest.raises(ConfigError, match=r"book\.self_trade"):
        OrderBook.Params.read({"self_trade": "perhaps"}, "book")


def test_an_opening_price_below_a_tick_is_a_config_error():
    with pytest.raises(ConfigError, match=r"book\.opening"):
        Floor(opening=0.01)
