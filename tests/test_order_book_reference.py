"""An order book against its plain reference, message by message: all order types, all phases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    REDUCE_ONLY,
    SELL,
)
from markets.outcomes import FILL, Code
from markets.spot.book import Book
from markets.venue import Moment
from tests.reference_session import Session
from tests.trading_floor import NOW

FEES = [(0, 0), (100, 500), (333, 77_777), (-100, 250), (-999, 999), (5_000, 0)]
FLAGS = [0] * 8 + [IMMEDIATE_OR_CANCEL, POST_ONLY, FILL_OR_KILL, FILL_OR_KILL]

CALLS = {step: "call" for step in range(1, 999) if step % 7 in (1, 2, 5)}
CALLS |= {step: "halted" for step in range(1, 999) if step % 14 in (3, 9)}
"""Calls of two steps and of one, some of them suspended by a halt."""
OUTAGES = {step: "outage" for step in range(1, 999) if step % 10 in (4, 5)}
OUTAGES |= {step: "call" for step in range(1, 999) if step % 20 in (3, 6)}
OUTAGES |= {step: "halted" for step in range(1, 999) if step % 30 == 6}
"""Outages that begin in a call, or end in one, or in a halt."""


def random_message(session: Session, rng: np.random.Generator) -> tuple[int, ...]:
    """Mostly sensible, sometimes absurd."""
    trader = int(rng.integers(5))
    side, size_lots = int(rng.choice([BUY, SELL])), int(rng.integers(1, 25))
    limit_ticks = int(rng.integers(85, 116))
    kind = rng.random()
    if kind < 0.55:
        return PLACE, trader, side, size_lots, limit_ticks, 0, 0
    if kind < 0.60:
        return PLACE, trader, side, size_lots, limit_ticks, 0, IMMEDIATE_OR_CANCEL
    if kind < 0.66:
        return PLACE, trader, side, size_lots, limit_ticks, 0, POST_ONLY
    if kind < 0.72:
        return PLACE, trader, side, size_lots, 0, 0, MARKET | IMMEDIATE_OR_CANCEL
    if kind < 0.74:
        return PLACE, trader, side, 10**6, limit_ticks, 0, int(rng.choice([0, MARKET]))
    if kind < 0.94 and session.reference.orders:
        order = session.reference.orders[int(rng.integers(len(session.reference.orders)))]
        owner = session.floor.traders.index(order.account)
        order_id = session.id_of(order.serial)
        return CANCEL, owner, 0, 0, 0, order_id, 0
    if kind < 0.96 and session.ids:
        return CANCEL, trader, 0, 0, 0, int(rng.choice(session.ids[-60:])), 0
    if kind < 0.97:
        return CANCEL_ALL, trader, 0, 0, 0, 0, 0
    absurd = int(rng.integers(-2, 2))
    return PLACE, trader, side + absurd, size_lots * absurd, limit_ticks * absurd, 0, REDUCE_ONLY


def differential(seed: int, messages: int, fees: tuple[int, int], self_trade: str) -> Session:
    rng = np.random.default_rng(seed)
    session = Session.open(fees, self_trade)
    for number in range(messages):
        session.send(*random_message(session, rng))
        if number % 250 == 0:
            session.compare_books()
    session.compare_books()
    return session


@pytest.mark.parametrize("self_trade", ["cancel_newest", "cancel_oldest", "allow"])
@pytest.mark.parametrize("fees", FEES)
def test_agrees_with_the_reference_after_every_message(fees, self_trade):
    session = differential(7, 1_500, fees, self_trade)
    assert session.reference.placed > 300


@pytest.mark.slow
@pytest.mark.parametrize("fees", FEES)
def test_agrees_with_the_reference_over_long_streams(fees):
    differential(11, 20_000, fees, "cancel_newest")


@pytest.mark.parametrize("fees", [(333, 77_777), (-999, 999)])
def test_one_batch_does_what_single_messages_did(fees):
    session = differential(3, 1_500, fees, "cancel_newest")
    again = Session.open(fees).floor
    again.venue.book = Book(orders=1, price_range=64, accounts=len(again.market.ledger.owner))
    again.venue.begin()
    again.venue._fill_buffer = np.zeros(3, FILL)
    again.venue._lay()
    again.venue.execute(session.messages, NOW)
    assert np.array_equal(again.market.ledger.balances, session.floor.market.ledger.balances)
    for side in (BUY, SELL):
        ours, theirs = (f.venue.book.levels(side, 999) for f in (again, session.floor))
        assert np.array_equal(ours, theirs)
    again.venue.audit()


MESSAGE = st.tuples(
    st.sampled_from([PLACE, PLACE, PLACE, PLACE, CANCEL, CANCEL_ALL]),
    st.integers(0, 4),
    st.sampled_from([BUY, SELL]),
    st.one_of(st.integers(1, 9), st.integers(-1, 2**62)),
    st.one_of(st.integers(98, 102), st.integers(-1, 2**26)),
    st.integers(0, 40),
    st.sampled_from([0, 0, 0, IMMEDIATE_OR_CANCEL, POST_ONLY, MARKET, MARKET | POST_ONLY]),
)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(MESSAGE, max_size=40),
    st.tuples(st.integers(-20_000, 300_000), st.integers(20_000, 300_000)),
    st.sampled_from(["cancel_newest", "cancel_oldest", "allow"]),
)
def test_agrees_with_the_reference_on_any_messages(messages, fees, self_trade):
    session = Session.open(fees, self_trade, (3.0, 20.0))
    for action, trader, side, size_lots, limit_ticks, which, flags in messages:
        order = session.ids[which % len(session.ids)] if session.ids else which
        session.send(action, trader, side, size_lots, limit_ticks, order, flags)
    session.compare_books()


def test_single_calls_do_what_a_batch_does():
    session = differential(4, 600, (333, 77_777), "cancel_newest")
    rows = session.messages
    plain = rows[(rows["flags"] < 8) & (rows["action"] != CANCEL_ALL)]
    batch, calls = (Session.open((333, 77_777)).floor for _ in range(2))
    expected = batch.venue.execute(plain, NOW).tolist()
    got = []
    for row in plain:
        if row["action"] == PLACE:
            columns = (int(row[name]) for name in ("account", "side", "size", "limit", "flags"))
            got.append(calls.venue.place(*columns))
        else:
            got.append(calls.venue.cancel(int(row["account"]), int(row["order"])))
    assert got == expected
    assert np.array_equal(batch.market.ledger.balances, calls.market.ledger.balances)
    assert np.array_equal(batch.venue.drain_fills(), calls.venue.drain_fills())
    assert len(calls.venue.drain_flows()) > 0
    calls.venue.audit()


# ---------------------------------------------------------------- all order types


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
    seen, pace = set(), 5 if session.reference.rules.move_ppm else 25
    for number in range(messages):
        seen.add(message(session, rng))
        if number % pace == pace - 1:
            session.advance()
        if number % 100 == 99:
            session.compare_books()
    return seen


INTERRUPTED = {"move_ppm": 20_000, "window_steps": 2, "interruption_steps": 2,
               "collar_ppm": 60_000, "self_trade": "cancel_oldest", "band_ppm": 60_000,
               "most_orders": 6, "tiered": True, "opening_ticks": 100}  # fmt: skip
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
    {"phases": CALLS},
    {"phases": CALLS, "opening_ticks": 100, "collar_ppm": 50_000, "fees": (7_000, 300)},
    {"phases": CALLS, "opening_ticks": 103, "collar_ppm": 20_000, "self_trade": "cancel_both"},
    {"phases": CALLS, "opening_ticks": 100, "pro_rata": True, "fees": (-300, 300)},
    {"phases": CALLS, "opening_ticks": 100, "band_ppm": 60_000, "around_mid": True,
     "minimum_lots": 3, "most_orders": 6, "collar_ppm": 40_000, "tiered": True},
    {"phases": OUTAGES},
    {"phases": OUTAGES, "queues": True, "opening_ticks": 100, "fees": (-300, 300)},
    {"move_ppm": 60_000, "window_steps": 2, "interruption_steps": 2},
    {"move_ppm": 20_000, "window_steps": 1, "interruption_steps": 1, "collar_ppm": 30_000},
    {"move_ppm": 60_000, "window_steps": 3, "interruption_steps": 3, "pro_rata": True,
     "self_trade": "cancel_both", "fees": (333, 77_777)},
    INTERRUPTED | {"phases": OUTAGES, "queues": True},
    {"call_interval": 3, "opening_ticks": 100, "collar_ppm": 50_000},
    {"call_interval": 1, "keeps": False, "opening_ticks": 100, "phases": OUTAGES, "queues": True},
]  # fmt: skip


@pytest.mark.parametrize("rules", RULES, ids="-".join)
def test_every_order_type_agrees_with_the_reference(rules):
    seen = play(Session.open(**rules), seed=5, messages=600)
    matched = {Code.FILLED, Code.UNFILLED, Code.WAITING}
    assert {Code.RESTING, Code.CANCELLED} | (set() if "call_interval" in rules else matched) <= seen


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES, ids="-".join)
def test_every_order_type_agrees_with_the_reference_over_long_streams(rules):
    play(Session.open(**rules), seed=6, messages=9_000)


# ---------------------------------------------------------------- phases, driven by Hypothesis

NEXT_STEP = (0, 0, 0, 0, 0, 0, 0, 0)
PHASED_MESSAGE = st.one_of(
    st.just(NEXT_STEP),
    st.tuples(
        st.sampled_from([PLACE, PLACE, PLACE, PLACE, AMEND, CANCEL]),
        st.integers(0, 4),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 12),
        st.integers(93, 108),
        st.sampled_from([0, 0, 0, 0, MARKET, IMMEDIATE_OR_CANCEL, POST_ONLY, FILL_OR_KILL]),
        st.sampled_from([0, 0, 0, 1, 3]),
        st.sampled_from([0, 0, 0, 0, 98, 103]),
    ),
)
PHASES = st.lists(
    st.sampled_from(["call", "call", "continuous", "continuous", "halted", "outage"]),
    min_size=20,
    max_size=20,
).map(lambda phases: {n: phase for n, phase in enumerate(phases, 1) if phase != "continuous"})
PHASE_RULES = st.fixed_dictionaries(
    {
        "fees": st.sampled_from([(0, 0), (7_000, 77_777), (-300, 300)]),
        "phases": st.one_of(PHASES, st.just({})),
        "opening_ticks": st.sampled_from([-1, 100, 100]),
        "collar_ppm": st.sampled_from([10_000, 30_000, 60_000, 1_000_000]),
        "queues": st.booleans(),
        "move_ppm": st.sampled_from([0, 10_000, 20_000, 40_000, 60_000]),
        "window_steps": st.integers(1, 4),
        "interruption_steps": st.integers(1, 3),
        "call_interval": st.sampled_from([0, 0, 0, 1, 3]),
        "keeps": st.booleans(),
    }
)


def play_through(session: Session, messages: list[tuple[int, ...]]) -> None:
    """Send each message or go on to the next step; then on until every phase has ended."""
    for number, (action, trader, side, lots, ticks, flags, display, trigger) in enumerate(messages):
        if action == 0:
            session.advance()
            continue
        order = session.ids[number % len(session.ids)] if session.ids else 0
        if action == PLACE:
            limit = 0 if flags & MARKET else ticks
            special = (trigger, 0 if flags & ~POST_ONLY else display, 0)
            session.send(PLACE, trader, side, lots, limit, 0, flags, special)
        else:
            session.send(action, trader, 0, lots, ticks, order, 0)
    while session.reference.step < 24 or session.reference.step < session.reference.call_ends:
        session.advance()
    session.compare_books()


@settings(max_examples=150, deadline=None)
@given(st.lists(PHASED_MESSAGE, min_size=10, max_size=60), PHASE_RULES)
def test_phases_agree_with_the_reference_on_any_messages(messages, rules):
    """Calls, halts, outages and interruptions one upon the other, stops and queues in between."""
    play_through(Session.open(**rules), messages)


def test_interruptions_within_a_batch_do_what_they_do_between_messages():
    """All messages of a step at once, through a venue of its own."""
    session = Session.open(**INTERRUPTED)
    play(session, 3, 1_000)
    again = Session.open(**INTERRUPTED).floor
    for step, batch in enumerate(session.batches):
        moment = Moment(step, float(step), 1.0)
        again.venue.accrue(moment)
        if batch:
            again.venue.execute(np.concatenate(batch), moment)
        again.venue.audit()
    assert np.array_equal(again.market.ledger.balances, session.floor.market.ledger.balances)
    assert again.venue.last_call == session.floor.venue.last_call


@pytest.mark.parametrize(
    "rules",
    [rules for rules in RULES if "move_ppm" in rules or rules.get("phases") is CALLS],
    ids="-".join,
)
def test_calls_in_these_streams_do_trade(rules):
    """So that agreeing with the reference means something."""
    session, rng = Session.open(**rules), np.random.default_rng(8)
    volumes = []
    for _ in range(150):
        for _ in range(5):
            message(session, rng)
        session.advance()
        volumes.append(session.floor.venue.last_call.volume_lots)
    assert np.count_nonzero(np.diff(volumes)) > 10
    assert sum(volumes) > 50
