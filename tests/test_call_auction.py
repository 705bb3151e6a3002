"""The call auction: its price against trying every tick, its money, its rules, its venue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    FILL_OR_KILL,
    IMMEDIATE_OR_CANCEL,
    POST_ONLY,
    SELL,
    amend,
    cancel,
    deposit,
    good_till,
    iceberg_order,
    limit_order,
    market_order,
    stack,
    stop_order,
)
from markets.market import Market
from markets.outcomes import Code
from markets.spot.auction import NO_CALL, Interest, clear
from markets.spot.call_auction import CallAuction
from markets.spot.order_book import OrderBook
from markets.spot.phases import Period
from markets.venue import Moment

COIN, CASH = Asset("COIN", 4), Asset("CASH", 3)
GRID = Instrument(COIN, CASH, tick_size=0.07, lot_size=0.1)
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


class Floor:
    """A venue with four traders."""

    def __init__(self, kind=CallAuction, base: float = 1e6, quote: float = 1e6, **params) -> None:
        self.venue = kind("venue", "exchange", GRID, kind.Params(**params))
        self.market = Market([Exchange("exchange")], [self.venue])
        self.rows = self.market.open_accounts("traders", "exchange", 4)
        self.market.ledger.issue(self.rows, "COIN", COIN.to_atoms(base))
        self.market.ledger.issue(self.rows, "CASH", CASH.to_atoms(quote))
        self.market.begin()
        self.traders = self.rows.tolist()

    def step(self, step: int, *intents) -> list[Code]:
        moment = Moment(step, float(step), 1.0)
        self.market.accrue(moment)
        self.view = self.venue.observe(moment)
        codes = self.venue.execute(stack(intents), moment)
        self.venue.clear(moment)
        self.market.check()
        self.venue.audit()
        return [Code(code) for code in codes.tolist()]

    def limit(self, trader: int, side: int, lots: int, ticks: int, flags: int = 0):
        return limit_order(0, self.traders[trader], side, lots, ticks, flags)

    def cash(self, trader: int) -> int:
        return int(self.market.ledger.balances[self.traders[trader], 1]) - CASH.to_atoms(1e6)


def test_all_trade_at_one_price_and_the_eager_are_refunded():
    floor = Floor()
    floor.step(0, floor.limit(0, BUY, 10, 110), floor.limit(1, SELL, 6, 90),
               floor.limit(2, SELL, 9, 100))  # fmt: skip
    fills = floor.venue.drain_fills()
    assert set(fills["price_ticks"].tolist()) == {100}
    assert floor.venue.last_call == (100, 10, -5)
    assert floor.cash(0) == -10 * 100 * GRID.notional_atoms
    assert floor.cash(1) == 6 * 100 * GRID.notional_atoms
    assert floor.venue.book.resting_lots(SELL) == 5


def test_better_prices_then_earlier_orders_are_served_first():
    floor = Floor()
    floor.step(0, floor.limit(0, SELL, 4, 100), floor.limit(1, SELL, 4, 100),
               floor.limit(2, SELL, 4, 99), floor.limit(3, BUY, 6, 100))  # fmt: skip
    fills = floor.venue.drain_fills()
    assert fills["maker"].tolist() == [floor.traders[2], floor.traders[0]]
    assert fills["size_lots"].tolist() == [4, 2]


def test_market_orders_need_a_reference_and_leave_after_the_call():
    floor = Floor()
    buy = market_order(0, floor.traders[0], BUY, 5)
    assert floor.step(0, buy) == [Code.NO_LIQUIDITY]
    floor = Floor(opening=7.0)
    assert floor.step(0, buy) == [Code.RESTING]
    assert floor.venue.book.count == 0
    assert floor.cash(0) == 0
    floor.step(1, buy, floor.limit(1, SELL, 3, 104))
    assert floor.venue.last_call == (104, 3, 2)
    assert floor.venue.book.count == 0
    floor.step(2, market_order(0, floor.traders[1], SELL, 2), buy)
    assert floor.venue.last_call == (104, 2, 3)


def test_market_orders_trade_before_limits_however_eager_and_by_time():
    call = Period(phase="call", start_seconds=1, end_seconds=2)
    floor = Floor(OrderBook, opening=7.0, call_collar=0.1, periods=(call,))
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
    floor = Floor(OrderBook, opening=7.0, call_collar=0.1, periods=(call,))
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
    floor = Floor(OrderBook, opening=7.0, call_collar=0.1, periods=(call,))
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
    floor = Floor(keep=False, opening=7.0)
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
        floor = Floor(keep=keep)
        floor.step(0, floor.limit(0, BUY, 5, 90), floor.limit(1, SELL, 5, 110))
        assert floor.venue.book.count == (2 if keep else 0)
    assert floor.cash(0) == 0


def test_calls_come_every_so_many_steps():
    floor = Floor(interval_steps=3)
    floor.step(0, floor.limit(0, BUY, 5, 105), floor.limit(1, SELL, 5, 95))
    assert floor.venue.book.bid_ticks > floor.venue.book.ask_ticks
    assert floor.venue.audit() is None
    floor.step(1)
    assert floor.venue.book.count == 2
    floor.step(2)
    assert floor.venue.book.count == 0
    assert floor.venue.last_call.price_ticks == 100


def test_orders_too_eager_for_the_collar_are_refused():
    floor = Floor(opening=7.0, call_collar=0.1)
    codes = floor.step(0, floor.limit(0, BUY, 1, 111), floor.limit(0, BUY, 1, 110),
                       floor.limit(1, SELL, 1, 89), floor.limit(1, BUY, 1, 10),
                       floor.limit(1, BUY, 1, 100, FILL_OR_KILL))  # fmt: skip
    assert codes == [Code.OUTSIDE_BAND, Code.RESTING, Code.OUTSIDE_BAND, Code.RESTING, Code.INVALID]


@pytest.mark.parametrize("lots", [2**54, 2**55 + 1, 2**63 - 1])
def test_no_size_is_too_large_to_be_refused(lots):
    call = Period(phase="call", start_seconds=0, end_seconds=5)
    for floor in (Floor(opening=7.0), Floor(OrderBook, opening=7.0, periods=(call,))):
        before = floor.market.ledger.balances.copy()
        sides = (market_order(0, floor.traders[0], side, lots) for side in (BUY, SELL))
        codes = floor.step(0, *sides, floor.limit(1, BUY, 10, 100))
        assert max(codes[:2]) < 0
        assert floor.venue.book.count == 1
        assert (floor.market.ledger.balances[floor.traders[0]] == before[floor.traders[0]]).all()


def test_hidden_lots_take_part():
    floor = Floor()
    floor.step(
        0, iceberg_order(0, floor.traders[0], SELL, 20, 100, 3), floor.limit(1, BUY, 17, 101)
    )
    assert floor.venue.last_call.volume_lots == 17
    assert floor.venue.book.resting_lots(SELL) == 1


def test_orders_can_be_cancelled_and_amended_while_they_gather():
    floor = Floor(interval_steps=10)
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
    floor = Floor(base=8.0, quote=90.0, opening=7.0, maker_fee_ppm=maker_fee_ppm,
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


# ---------------------------------------------------------------- phases of an order book


def test_a_planned_call_gathers_and_ends_in_continuous_trading():
    call = Period(phase="call", start_seconds=1, end_seconds=3)
    floor = Floor(OrderBook, periods=(call,))
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
    floor = Floor(OrderBook)
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
    floor = Floor(OrderBook, periods=(outage,), outage=rule)
    floor.step(0, floor.limit(0, BUY, 5, 100))
    expected = Code.OUTAGE if rule == "reject" else Code.WAITING
    assert floor.step(1, floor.limit(1, SELL, 2, 100)) == [expected]
    assert floor.step(2, floor.limit(2, SELL, 2, 100)) == [expected]
    assert len(floor.venue.drain_fills()) == 0
    floor.step(3)
    makers = floor.venue.drain_fills()["taker"].tolist()
    assert makers == ([] if rule == "reject" else floor.traders[1:3])


def test_a_move_too_far_interrupts_trading_before_it_happens():
    floor = Floor(OrderBook, interruption_move=0.05, interruption_seconds=2, opening=7.0)
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
    floor = Floor(OrderBook, periods=(call,), opening=7.0)
    floor.step(0, stop_order(0, floor.traders[3], BUY, 2, 102), floor.limit(0, SELL, 9, 103))
    assert floor.step(1, floor.limit(1, BUY, 4, 103)) == [Code.RESTING]
    floor.step(2)
    assert floor.venue.last_call.volume_lots == 4
    taken = floor.venue.drain_fills()
    assert taken["size_lots"].tolist() == [4, 2]
    assert taken["taker"][1] == floor.traders[3]


def test_stops_that_a_call_reaches_do_not_wait_for_a_message():
    call = Period(phase="call", start_seconds=1, end_seconds=2)
    floor = Floor(OrderBook, periods=(call,), opening=7.0)
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
    floor = Floor(OrderBook, opening=7.0, periods=(pause, call))
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
    floor = Floor(interval_steps=5, opening=7.0, periods=(halt,))
    floor.step(0, floor.limit(0, BUY, 5, 101), floor.limit(1, SELL, 5, 99))
    for step in range(1, 4):
        floor.step(step)
        assert len(floor.venue.drain_fills()) == 0
    floor.step(4)
    assert floor.venue.last_call.volume_lots == 5


def test_the_price_of_before_an_interruption_is_forgotten():
    """A call finds a new price far away; trading at it sets off no second call."""
    floor = Floor(OrderBook, interruption_move=0.1, interruption_seconds=3, opening=7.0,
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
    floor = Floor(OrderBook, opening=7.0, **rules)
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
    floor = Floor(OrderBook, opening=7.0, periods=(pause,))
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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(ACTION, max_size=8), min_size=4, max_size=14),
    st.sampled_from([0.01, 0.03, 0.1]),
    st.sampled_from([0.02, 0.05, 1.0]),
)
def test_interruptions_whatever_is_sent_leave_a_sound_book(steps, move, collar):
    """Each trade is within the guards of its step, or at a call's price within the call's edges.

    The audit after each step finds no crossed book in continuous trading.
    """
    floor = Floor(OrderBook, opening=7.0, interruption_move=move, interruption_seconds=2,
                  interruption_window_seconds=3, call_collar=collar)  # fmt: skip
    floor.step(0, floor.limit(0, SELL, 1, 100), floor.limit(1, BUY, 1, 100))
    floor.venue.drain_fills()
    for number, actions in enumerate(steps, 1):
        last, moment = floor.venue.observe(Moment(0, 0.0, 1.0)).last_ticks, float(number)
        floor.market.accrue(Moment(number, moment, 1.0))
        called = floor.venue.drain_fills()["price_ticks"].tolist()
        assert set(called) <= {floor.venue.last_call.price_ticks}
        assert all(abs(ticks - last) <= collar * last for ticks in called)
        terms = floor.venue._terms
        low, high = int(terms.guard_low_ticks), int(terms.guard_high_ticks)
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
        fills = floor.venue.drain_fills()["price_ticks"].tolist()
        assert all(low <= ticks <= high for ticks in fills)
