"""All order types and rules together against the plain reference, message by message."""

import numpy as np
import pytest

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
    limit_order,
    stack,
)
from markets.market import Market
from markets.outcomes import FILL, Code
from markets.spot.fees import Tier
from markets.spot.order_book import OrderBook
from tests.reference.order_book import Rules
from tests.test_order_book import NOW, Floor, Session

FLAGS = [0] * 8 + [IMMEDIATE_OR_CANCEL, POST_ONLY, FILL_OR_KILL, FILL_OR_KILL]
TIERS = (Tier(volume=1.0, maker_fee_ppm=-200, taker_fee_ppm=300),)
RATES = [(100, 500), (-200, 300), (-200, 400), (7_000, 300), (0, 200)]


def session_of(fees=(100, 500), self_trade="cancel_newest", tiered=False, **rules) -> Session:
    """A venue and a reference under the same rules."""
    plain = Rules(**rules)
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
        return session.send(PLACE, trader, side, lots, 0, 0, MARKET, (0, 0, 0))
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
        return session.send(AMEND, owner, 0, lots - 2, limit, order, 0)
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
]


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
