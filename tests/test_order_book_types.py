"""All order types and rules together against the plain reference, message by message."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.exchange import Exchange
from markets.intents import (
    AMEND,
    BUY,
    CANCEL,
    CANCEL_ALL,
    FILL_OR_KILL,
    IMMEDIATE_OR_CANCEL,
    MARKET,
    PLACE,
    POST_ONLY,
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
from markets.spot.fees import Tier
from markets.spot.order_book import OrderBook
from markets.spot.phases import Period
from tests.reference.order_book import Rules
from tests.test_order_book import NOW, Floor, Session

FLAGS = [0] * 8 + [IMMEDIATE_OR_CANCEL, POST_ONLY, FILL_OR_KILL, FILL_OR_KILL]
TIERS = (Tier(volume=1.0, maker_fee_ppm=-200, taker_fee_ppm=300),)
RATES = [(100, 500), (-200, 300), (-200, 400), (7_000, 300), (0, 200)]

CALLS = {step: "call" for step in range(1, 999) if step % 7 in (1, 2, 5)}
CALLS |= {step: "halted" for step in range(1, 999) if step % 14 in (3, 9)}
"""Calls of two steps and of one, some of them suspended by a halt."""


def session_of(
    fees=(100, 500), self_trade="cancel_newest", tiered=False, calls=False, **rules
) -> Session:
    """A venue and a reference under the same rules."""
    plain = Rules(**rules)
    plain.phases |= CALLS if calls else {}
    session = Session.open(
        fees,
        base=25.0,
        quote=170.0,
        self_trade=self_trade,
        priority="pro_rata" if plain.pro_rata else "time",
        minimum_size=plain.minimum_lots * 0.1,
        maximum_open_orders=plain.most_orders,
        price_band=plain.band_ppm / 1e6,
        band_around="mid" if plain.around_mid else "last",
        opening=plain.opening_ticks * 0.07 if plain.opening_ticks > 0 else 0.0,
        call_collar=plain.collar_ppm / 1e6,
        periods=[
            Period(phase=phase, start_seconds=step, end_seconds=step + 1)
            for step, phase in plain.phases.items()
        ],
        tiers=TIERS if tiered else (),
    )
    if tiered:
        plain.rates = dict(zip(session.floor.traders, RATES, strict=True))
        session.floor.venue.fee_tiers.rates[session.floor.rows] = RATES
    session.reference.rules = plain
    return session


def any_order(session: Session, rng: np.random.Generator) -> tuple[int, int]:
    """Owner and id of something that rests or waits, or nothing."""
    known = [*session.reference.orders, *session.reference.stops]
    if not known:
        return 0, 77
    chosen = known[int(rng.integers(len(known)))]
    return session.floor.traders.index(chosen.account), session.id_of(chosen.serial)


def message(session: Session, rng: np.random.Generator) -> Code:
    """One message of any type."""
    trader, side = int(rng.integers(5)), int(rng.choice([BUY, SELL]))
    lots, ticks = int(rng.integers(1, 25)), int(rng.integers(92, 109))
    kind, flags = rng.random(), int(rng.choice(FLAGS))
    expiry = session.reference.step + int(rng.integers(-1, 4)) if rng.random() < 0.15 else 0
    display = int(rng.integers(1, 6)) if rng.random() < 0.25 else 0
    if kind < 0.5:
        return session.send(PLACE, trader, side, lots, ticks, 0, flags, (0, display, expiry))
    if kind < 0.58:
        whole = FILL_OR_KILL if rng.random() < 0.3 else 0
        return session.send(PLACE, trader, side, lots, 0, 0, MARKET | whole, (0, 0, 0))
    if kind < 0.68:
        trigger = int(rng.integers(94, 107))
        special = (trigger, display if rng.random() < 0.3 else 0, expiry)
        market = rng.random() < 0.5
        limit = 0 if market else trigger + int(rng.integers(-2, 3))
        flags = MARKET if market else int(rng.choice([0, IMMEDIATE_OR_CANCEL]))
        return session.send(PLACE, trader, side, lots, limit, 0, flags, special)
    owner, order = any_order(session, rng)
    if kind < 0.80:
        limit = 0 if rng.random() < 0.5 else ticks
        trigger = int(rng.integers(94, 107)) if rng.random() < 0.1 else 0
        return session.send(AMEND, owner, 0, lots - 2, limit, order, 0, (trigger, 0, 0))
    if kind < 0.97:
        return session.send(CANCEL, owner if kind < 0.95 else trader, 0, 0, 0, order, 0)
    if kind < 0.98:
        return session.send(CANCEL_ALL, trader, 0, 0, 0, 0, 0)
    absurd = (int(rng.integers(-2, 2)), int(rng.integers(-2, 2)), int(rng.integers(-2, 2)))
    return session.send(PLACE, trader, side, lots, ticks, 0, int(rng.integers(0, 255)), absurd)


def play(session: Session, seed: int, messages: int) -> set[Code]:
    rng = np.random.default_rng(seed)
    seen = set()
    for number in range(messages):
        seen.add(message(session, rng))
        if number % 25 == 24:
            session.advance()
        if number % 100 == 99:
            session.compare_books()
    return seen


RULES = [
    {},
    {"self_trade": "cancel_oldest"},
    {"self_trade": "cancel_both", "fees": (-300, 300)},
    {"self_trade": "allow", "fees": (0, 0)},
    {"pro_rata": True},
    {"pro_rata": True, "self_trade": "cancel_oldest", "fees": (333, 77_777)},
    {"pro_rata": True, "self_trade": "cancel_both"},
    {"pro_rata": True, "self_trade": "allow", "fees": (-999, 999)},
    {"tiered": True, "self_trade": "allow"},
    {"minimum_lots": 4, "most_orders": 5},
    {"band_ppm": 30_000, "opening_ticks": 100},
    {"band_ppm": 40_000, "around_mid": True},
    {"calls": True},
    {"calls": True, "opening_ticks": 100, "collar_ppm": 50_000, "fees": (7_000, 300)},
    {"calls": True, "opening_ticks": 103, "collar_ppm": 20_000, "self_trade": "cancel_both"},
    {"calls": True, "opening_ticks": 100, "pro_rata": True, "fees": (-300, 300)},
    {"calls": True, "opening_ticks": 100, "band_ppm": 60_000, "around_mid": True,
     "minimum_lots": 3, "most_orders": 6, "collar_ppm": 40_000, "tiered": True},
]  # fmt: skip


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_every_order_type_agrees_with_the_reference(rules):
    seen = play(session_of(**rules), seed=5, messages=600)
    assert {Code.RESTING, Code.FILLED, Code.UNFILLED, Code.WAITING, Code.CANCELLED} <= seen


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


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_every_order_type_agrees_with_the_reference_over_long_streams(rules):
    play(session_of(**rules), seed=6, messages=9_000)


# ---------------------------------------------------------------- calls, driven by Hypothesis

STEP = (0, 0, 0, 0, 0, 0, 0)
MESSAGE = st.one_of(
    st.just(STEP),
    st.tuples(
        st.sampled_from([PLACE, PLACE, PLACE, PLACE, AMEND, CANCEL]),
        st.integers(0, 4),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 12),
        st.integers(93, 108),
        st.sampled_from([0, 0, 0, 0, MARKET, IMMEDIATE_OR_CANCEL, POST_ONLY, FILL_OR_KILL]),
        st.sampled_from([0, 0, 0, 1, 3]),
    ),
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(MESSAGE, min_size=10, max_size=60),
    st.lists(st.sampled_from(["call", "call", "continuous", "halted"]), min_size=20, max_size=20),
    st.sampled_from([(0, 0), (7_000, 77_777), (-300, 300)]),
    st.sampled_from([10_000, 30_000, 60_000, 1_000_000]),
)
def test_calls_agree_with_the_reference_on_any_messages(messages, phases, fees, collar_ppm):
    """Orders from before, market orders, icebergs and amendments in calls of any width."""
    planned = {step: phase for step, phase in enumerate(phases, 1) if phase != "continuous"}
    session = session_of(fees, phases=planned, opening_ticks=100, collar_ppm=collar_ppm)
    for number, (action, trader, side, lots, ticks, flags, display) in enumerate(messages):
        if action == 0:
            session.advance()
            continue
        order = session.ids[number % len(session.ids)] if session.ids else 0
        if action == PLACE:
            limit = 0 if flags & MARKET else ticks
            special = (0, 0 if flags & ~POST_ONLY else display, 0)
            session.send(PLACE, trader, side, lots, limit, 0, flags, special)
        else:
            session.send(action, trader, 0, lots, ticks, order, 0)
    while session.reference.step < len(phases) + 1:
        session.advance()
    session.compare_books()


@pytest.mark.parametrize("rules", [rules for rules in RULES if "calls" in rules], ids=str)
def test_calls_in_these_streams_do_trade(rules):
    """So that agreeing with the reference means something."""
    session, rng = session_of(**rules), np.random.default_rng(8)
    volumes = []
    for _ in range(150):
        for _ in range(5):
            message(session, rng)
        session.advance()
        volumes.append(session.floor.venue.last_call.volume_lots)
    assert np.count_nonzero(np.diff(volumes)) > 10
    assert sum(volumes) > 50


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
