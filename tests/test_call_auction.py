"""The call auction: its price against trying every tick, its money, its rules, its venue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.intents import (
    BUY,
    FILL_OR_KILL,
    IMMEDIATE_OR_CANCEL,
    POST_ONLY,
    SELL,
    amend,
    cancel,
    good_till,
    iceberg_order,
    limit_order,
    market_order,
)
from markets.outcomes import Code
from markets.spot.auction import NO_CALL, Interest, clear
from markets.spot.call_auction import CallAuction
from markets.spot.phases import Period
from tests.trading_floor import CASH, GRID, Floor

ORDER = st.tuples(st.integers(90, 110), st.integers(1, 20))
SIDE = st.tuples(st.lists(ORDER, max_size=12), st.sampled_from([0, 0, 5, 30]))


def side(orders: list[tuple[int, int]], market_lots: int) -> Interest:
    ticks, lots = np.array(orders, np.int64).reshape(-1, 2).T
    return Interest(ticks, lots, market_lots)


def curves(bids, asks, ticks: int) -> tuple[int, int]:
    """Volume and surplus at a price, by adding up order by order."""
    demand = bids[1] + sum(lots for limit, lots in bids[0] if limit >= ticks)
    supply = asks[1] + sum(lots for limit, lots in asks[0] if limit <= ticks)
    return min(demand, supply), demand - supply


@settings(max_examples=400, deadline=None)
@given(
    SIDE,
    SIDE,
    st.sampled_from([-1, 80, 95, 100, 104, 120]),
    st.sampled_from([(0, 2**26 - 1), (98, 103), (90, 101), (100, 100)]),
)
def test_the_price_follows_the_rules_one_after_the_other(bids, asks, reference, edges):
    low, high = edges
    if not low <= reference <= high:
        reference = -1
    eager = {min(limit, high) for limit, _ in bids[0]} | {max(limit, low) for limit, _ in asks[0]}
    prices = sorted(ticks for ticks in eager | {reference} if ticks >= 0 and low <= ticks <= high)
    call = clear(side(*bids), side(*asks), reference, edges)
    volumes = {ticks: curves(bids, asks, ticks)[0] for ticks in prices}
    if max(volumes.values(), default=0) == 0:
        assert call == NO_CALL
        return
    left = [ticks for ticks in prices if volumes[ticks] == max(volumes.values())]
    surplus = {ticks: curves(bids, asks, ticks)[1] for ticks in left}
    least = min(abs(lots) for lots in surplus.values())
    left = [ticks for ticks in left if abs(surplus[ticks]) == least]
    signs = {np.sign(surplus[ticks]) for ticks in left}
    if signs == {1}:
        expected = max(left)
    elif signs == {-1}:
        expected = min(left)
    elif reference >= 0:
        expected = min(left, key=lambda ticks: (abs(ticks - reference), ticks))
    else:
        expected = (min(left) + max(left)) // 2
    assert call.price_ticks == expected
    assert (call.volume_lots, call.surplus_lots) == curves(bids, asks, expected)


def test_more_volume_at_no_other_tick():
    """Whatever the limits: no price at all trades more than the call's."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        bids, asks = (
            (list(zip(rng.integers(90, 111, 8).tolist(), rng.integers(1, 9, 8).tolist(),
                      strict=True)), int(rng.integers(0, 9)))
            for _ in range(2)
        )  # fmt: skip
        low, high = sorted(rng.integers(85, 116, 2).tolist())
        call = clear(side(*bids), side(*asks), (low + high) // 2, (low, high))
        expected = max(curves(bids, asks, ticks)[0] for ticks in range(low, high + 1))
        assert call.volume_lots == expected
        assert call == NO_CALL or low <= call.price_ticks <= high


def gained(floor: Floor, trader: int) -> int:
    """Cash in atoms that a trader has more than at first."""
    return floor.cash(floor.traders[trader]) - CASH.to_atoms(1e6)


def test_all_trade_at_one_price_and_the_eager_are_refunded():
    floor = Floor(CallAuction)
    floor.step(0, floor.limit(0, BUY, 10, 110), floor.limit(1, SELL, 6, 90),
               floor.limit(2, SELL, 9, 100))  # fmt: skip
    fills = floor.venue.drain_fills()
    assert set(fills["price_ticks"].tolist()) == {100}
    assert floor.venue.last_call == (100, 10, -5)
    assert gained(floor, 0) == -10 * 100 * GRID.notional_atoms
    assert gained(floor, 1) == 6 * 100 * GRID.notional_atoms
    assert floor.venue.book.resting_lots(SELL) == 5


def test_better_prices_then_earlier_orders_are_served_first():
    floor = Floor(CallAuction)
    floor.step(0, floor.limit(0, SELL, 4, 100), floor.limit(1, SELL, 4, 100),
               floor.limit(2, SELL, 4, 99), floor.limit(3, BUY, 6, 100))  # fmt: skip
    fills = floor.venue.drain_fills()
    assert fills["maker"].tolist() == [floor.traders[2], floor.traders[0]]
    assert fills["size_lots"].tolist() == [4, 2]


def test_market_orders_need_a_reference_and_leave_after_the_call():
    floor = Floor(CallAuction)
    buy = market_order(0, floor.traders[0], BUY, 5)
    assert floor.step(0, buy) == [Code.NO_LIQUIDITY]
    floor = Floor(CallAuction, opening=7.0)
    assert floor.step(0, buy) == [Code.RESTING]
    assert floor.venue.book.count == 0
    assert gained(floor, 0) == 0
    floor.step(1, buy, floor.limit(1, SELL, 3, 104))
    assert floor.venue.last_call == (104, 3, 2)
    assert floor.venue.book.count == 0
    floor.step(2, market_order(0, floor.traders[1], SELL, 2), buy)
    assert floor.venue.last_call == (104, 2, 3)


def test_market_orders_trade_before_limits_however_eager_and_by_time():
    call = Period(phase="call", start_seconds=1, end_seconds=2)
    floor = Floor(opening=7.0, call_collar=0.1, periods=(call,))
    floor.step(0, floor.limit(0, BUY, 2, 130))
    sizes = ((1, 3), (2, 4))
    buyers = [market_order(0, floor.traders[trader], BUY, lots) for trader, lots in sizes]
    floor.step(1, floor.limit(3, BUY, 5, 110), *buyers, floor.limit(3, SELL, 8, 100))
    floor.step(2)
    assert floor.venue.last_call == (110, 8, 6)
    fills = floor.venue.drain_fills()
    assert fills["taker"].tolist() == [floor.traders[trader] for trader in (1, 2, 0)]
    assert fills["size_lots"].tolist() == [3, 4, 1]


def test_a_call_clears_within_its_edges_whatever_rests_beyond_them():
    call = Period(phase="call", start_seconds=1, end_seconds=3)
    floor = Floor(opening=7.0, call_collar=0.1, periods=(call,))
    floor.step(0, floor.limit(0, SELL, 100, 150), floor.limit(0, BUY, 3, 60))
    buy = market_order(0, floor.traders[3], BUY, 100)
    floor.step(1, floor.limit(1, SELL, 5, 105), floor.limit(2, BUY, 5, 108), buy)
    assert floor.venue.indicative() == (108, 5, 100)
    codes = floor.step(2, floor.limit(1, SELL, 1, 89), floor.limit(1, BUY, 1, 111),
                       floor.limit(1, SELL, 1, 120), floor.limit(1, BUY, 1, 80))  # fmt: skip
    assert codes == [Code.OUTSIDE_BAND, Code.OUTSIDE_BAND, Code.RESTING, Code.RESTING]
    floor.step(3)
    assert floor.view.last_call == (108, 5, 100)
    assert floor.venue.drain_fills()["size_lots"].sum() == 5
    assert (floor.view.bid_ticks, floor.view.ask_ticks) == (108, 120)


def test_nobody_meets_an_order_beyond_the_edges():
    """A bid from before the call takes part at the edge; what would meet it beyond is refused."""
    call = Period(phase="call", start_seconds=1, end_seconds=2)
    floor = Floor(opening=7.0, call_collar=0.1, periods=(call,))
    floor.step(0, floor.limit(0, BUY, 5, 150))
    codes = floor.step(1, floor.limit(1, SELL, 2, 120), floor.limit(1, SELL, 2, 151),
                       floor.limit(1, SELL, 3, 110))  # fmt: skip
    assert codes == [Code.OUTSIDE_BAND, Code.RESTING, Code.RESTING]
    old = floor.venue.newest_order
    assert floor.step(1, amend(0, floor.traders[1], old, 3, 130)) == [Code.OUTSIDE_BAND]
    floor.step(2)
    assert floor.view.last_call == (110, 3, 2)
    assert (floor.view.bid_ticks, floor.view.ask_ticks) == (150, 151)


def test_orders_that_expire_hide_or_only_post_are_as_good_as_any_where_none_is_kept():
    floor = Floor(CallAuction, keep=False, opening=7.0)
    account = floor.traders[0]
    codes = floor.step(
        0,
        floor.limit(0, BUY, 1, 90, POST_ONLY),
        good_till(floor.limit(0, BUY, 1, 91), 5),
        iceberg_order(0, account, BUY, 9, 92, 3),
        floor.limit(1, SELL, 12, 89, POST_ONLY),
    )
    assert codes == [Code.RESTING] * 4
    assert floor.venue.last_call.volume_lots == 11
    assert floor.venue.book.count == 0


def test_orders_outlive_a_call_only_where_they_are_kept():
    for keep in (True, False):
        floor = Floor(CallAuction, keep=keep)
        floor.step(0, floor.limit(0, BUY, 5, 90), floor.limit(1, SELL, 5, 110))
        assert floor.venue.book.count == (2 if keep else 0)
    assert gained(floor, 0) == 0


def test_calls_come_every_so_many_steps():
    floor = Floor(CallAuction, interval_steps=3)
    floor.step(0, floor.limit(0, BUY, 5, 105), floor.limit(1, SELL, 5, 95))
    assert floor.venue.book.bid_ticks > floor.venue.book.ask_ticks
    assert floor.venue.audit() is None
    floor.step(1)
    assert floor.venue.book.count == 2
    floor.step(2)
    assert floor.venue.book.count == 0
    assert floor.venue.last_call.price_ticks == 100


def test_orders_too_eager_for_the_collar_are_refused():
    floor = Floor(CallAuction, opening=7.0, call_collar=0.1)
    codes = floor.step(0, floor.limit(0, BUY, 1, 111), floor.limit(0, BUY, 1, 110),
                       floor.limit(1, SELL, 1, 89), floor.limit(1, BUY, 1, 10),
                       floor.limit(1, BUY, 1, 100, FILL_OR_KILL))  # fmt: skip
    assert codes == [Code.OUTSIDE_BAND, Code.RESTING, Code.OUTSIDE_BAND, Code.RESTING, Code.INVALID]


@pytest.mark.parametrize("lots", [2**54, 2**55 + 1, 2**63 - 1])
def test_no_size_is_too_large_to_be_refused(lots):
    call = Period(phase="call", start_seconds=0, end_seconds=5)
    for floor in (Floor(CallAuction, opening=7.0), Floor(opening=7.0, periods=(call,))):
        before = floor.market.ledger.balances.copy()
        sides = (market_order(0, floor.traders[0], side, lots) for side in (BUY, SELL))
        codes = floor.step(0, *sides, floor.limit(1, BUY, 10, 100))
        assert max(codes[:2]) < 0
        assert floor.venue.book.count == 1
        assert (floor.market.ledger.balances[floor.traders[0]] == before[floor.traders[0]]).all()


def test_hidden_lots_take_part():
    floor = Floor(CallAuction)
    floor.step(
        0, iceberg_order(0, floor.traders[0], SELL, 20, 100, 3), floor.limit(1, BUY, 17, 101)
    )
    assert floor.venue.last_call.volume_lots == 17
    assert floor.venue.book.resting_lots(SELL) == 1


def test_orders_can_be_cancelled_and_amended_while_they_gather():
    floor = Floor(CallAuction, interval_steps=10)
    floor.step(0, floor.limit(0, BUY, 5, 105), floor.limit(1, SELL, 5, 95))
    bid, ask = floor.venue.book.newest_orders(floor.rows)[:2].tolist()
    codes = floor.step(2, cancel(0, floor.traders[0], bid), amend(0, floor.traders[1], ask, 3))
    assert codes == [Code.CANCELLED, Code.RESTING]
    assert floor.venue.book.resting_lots(SELL) == 3


ACTION = st.tuples(
    st.integers(0, 3),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 20),
    st.integers(85, 115),
    st.sampled_from(["limit", "limit", "limit", "market", "iceberg", "now"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ACTION, max_size=12), max_size=6), st.integers(-3_000, 200_000))
def test_money_is_exact_whatever_is_sent(steps, maker_fee_ppm):
    floor = Floor(CallAuction, base=8.0, quote=90.0, opening=7.0, maker_fee_ppm=maker_fee_ppm,
                  taker_fee_ppm=3_000)  # fmt: skip
    for number, actions in enumerate(steps):
        intents = []
        for trader, way, lots, ticks, kind in actions:
            account = floor.traders[trader]
            if kind == "market":
                intents.append(market_order(0, account, way, lots))
            elif kind == "iceberg":
                intents.append(iceberg_order(0, account, way, lots, ticks, 1 + lots // 4))
            else:
                flags = IMMEDIATE_OR_CANCEL if kind == "now" else 0
                intents.append(limit_order(0, account, way, lots, ticks, flags))
        floor.step(number, *intents)
        call, fills = floor.venue.last_call, floor.venue.drain_fills()
        assert fills["size_lots"].sum() == call.volume_lots
        assert set(fills["price_ticks"].tolist()) <= {call.price_ticks}
        book = floor.venue.book
        assert book.ask_ticks < 0 or book.bid_ticks < book.ask_ticks
    assert (floor.market.ledger.balances[floor.venue.accounts] >= 0).all()
