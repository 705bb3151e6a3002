"""The perpetual venue: against a plain model, against the venues' own examples, and its rules."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.derivatives.funding import damped_rate, interval_rate
from markets.derivatives.marking import BookQuotes, Marking, MarkingParams
from markets.derivatives.perpetual import MarginTier, Perpetual
from markets.derivatives.ranking import Ranking
from markets.exchange import Exchange
from markets.errors import BrokenInvariant, ConfigError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    IMMEDIATE_OR_CANCEL,
    INTENT,
    MARKET,
    PLACE,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    WITHDRAW,
    cancel,
    deposit,
    limit_order,
    market_order,
    stack,
    withdraw,
)
from markets.market import Market
from markets.outcomes import Code, Reason
from markets.spot.audit import faults
from markets.venue import Moment
from tests.reference.perpetual import Account, Reference, Terms

VECTORS = Path(__file__).parent / "vectors"
STEP_SECONDS = 60.0
PINNED = {"basis_bandwidth": 0.0, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
"""No fees, and a mark that is the index, which is the reference."""


class Bench:
    """One perpetual with a few users, driven beat by beat."""

    def __init__(self, users=4, collateral=1e6, tick=1.0, lot=0.001, decimals=6, **params):
        base, quote = Asset("BTC", 9), Asset("USDT", decimals)
        self.instrument = Instrument(base, quote, tick, lot)
        self.venue = Perpetual(
            "perp", "ex", self.instrument, Perpetual.Params(**{**PINNED, **params})
        )
        self.market = Market([Exchange("ex")], [self.venue])
        self.users = self.market.endow("users", "ex", {"USDT": collateral}, users).tolist()
        self.market.begin()
        self.step = -1
        self.mark(100.0)

    @property
    def balances(self):
        return self.market.ledger.balances

    def mark(self, price):
        """Begin a step in which the outside price is `price`."""
        self.step += 1
        reference = {"BTC": float(price)}
        self.moment = Moment(self.step, self.step * STEP_SECONDS, STEP_SECONDS, reference)
        self.market.accrue(self.moment)

    def do(self, *intents):
        rows = stack(intents)
        codes = self.venue.execute(rows, self.moment)
        return [Code(code) for code in codes]

    def liquidate(self):
        self.market.liquidate(self.moment)
        self.market.check()

    def lots(self, user):
        return int(self.balances[user, self.venue._terms.contract])

    def claim(self, user):
        return int(self.balances[user, self.venue._terms.margin])

    def units(self, atoms):
        return self.instrument.quote.to_units(atoms)

    def atoms(self, units):
        return self.instrument.quote.to_atoms(units)

    def fund(self):
        return self.units(self.claim(self.venue._terms.fund))

    def trade(self, buyer, seller, base, price):
        """A trade between two users at a price, with nobody else in the book."""
        lots, ticks = self.instrument.to_lots(base), self.instrument.to_ticks(price)
        codes = self.do(
            limit_order(0, seller, SELL, lots, ticks), limit_order(0, buyer, BUY, lots, ticks)
        )
        assert codes == [Code.RESTING, Code.FILLED]

    def open_at(self, user, side, base, price, bankruptcy):
        """A position that is worth nothing at `bankruptcy`, opened against the last user."""
        margin = side * (price - bankruptcy) * base
        rich = self.users[-1]
        assert self.do(deposit(0, user, self.atoms(margin))) == [Code.DONE]
        pair = (user, rich) if side > 0 else (rich, user)
        self.trade(*pair, base, price)


# --- against the plain model -------------------------------------------------------------------


class Duel:
    """The venue and the reference, given the same intents and compared after every beat."""

    def __init__(self, users, fees, tiers, fund_units):
        maker, taker = fees
        self.bench = Bench(
            users,
            collateral=60.0,
            decimals=2,
            lot=0.01,
            maker_fee_ppm=maker,
            taker_fee_ppm=taker,
            maintenance_tiers=[MarginTier(floor_quote=f, maintenance_ppm=r) for f, r in tiers],
            initial_margin_ppm=60_000,
            insurance_fund_quote=fund_units,
            funding_interval_seconds=3 * STEP_SECONDS,
            interest_rate=0.002,
            funding_cap=0.05,
            impact_notional_quote=3.0,
        )
        venue = self.bench.venue
        terms = Terms(
            venue._terms.notional_atoms,
            maker,
            taker,
            venue.params.market_band_ppm,
            [(round(floor * 100), rate) for floor, rate in tiers],
            60_000,
        )
        accounts = {user: Account(collateral=6_000) for user in self.bench.users}
        fund, fees_row = venue._terms.fund, venue._terms.fees
        accounts |= {fund: Account(claim=round(fund_units * 100)), fees_row: Account()}
        self.model = Reference(terms, accounts, fund, fees_row)
        self.adl = self.liquidations = 0

    def round(self, price, rows):
        bench, venue, model = self.bench, self.bench.venue, self.model
        stamps = bench.step % 3 == 2
        bench.mark(price)
        model.mark = venue._terms.mark_ticks
        assert model.mark == price
        if stamps:
            assert model.pay_funding(round(venue.marking.funding_rate * 10**9)) >= 0
        self.compare()
        codes = venue.execute(self.resolved(rows), bench.moment)
        assert [Code(code) for code in codes] == [self.replay(row) for row in rows]
        self.compare()
        bench.liquidate()
        model.liquidate()
        self.compare()
        self.tally()

    def resolved(self, rows):
        """Intents with the real ids of the orders that cancels mean."""
        intents = []
        ids = self.ids()
        for action, user, side, size, limit, pick, flags in rows:
            order = -7
            if action == CANCEL and self.model.orders:
                order = ids[id(self.model.orders[pick % len(self.model.orders)])]
            intents.append((action, 0, user, side, size, limit, order, flags, *[0] * 5))
        self.targets = list(self.model.orders)
        return np.array(intents, INTENT)

    def ids(self):
        """The venue's ids of the model's orders, through each account's own list."""
        found = {}
        for user in self.bench.users:
            order, _ = self.bench.venue.book.own_orders(user)
            own = [o for o in reversed(self.model.orders) if o.account == user]
            found |= {id(o): int(key) for o, key in zip(own, order, strict=True)}
        return found

    def replay(self, row):
        action, user, side, size, limit, pick, flags = row
        target = self.targets[pick % len(self.targets)] if self.targets else None
        return self.model.execute(action, user, side, size, limit, target, flags)

    def compare(self):
        venue, model = self.bench.venue, self.model
        terms, positions = venue._terms, venue._positions
        for row, account in model.accounts.items():
            have = [int(x) for x in self.bench.balances[row, [terms.quote, terms.contract]]]
            have += [int(self.bench.balances[row, terms.margin]), int(positions.entry_atoms[row])]
            assert have == [account.collateral, account.contracts, account.claim, account.cost]
        for user in self.bench.users:
            _, rows = venue.book.own_orders(user)
            own = [o for o in reversed(model.orders) if o.account == user]
            got = zip(rows["side"], rows["price_ticks"], rows["remaining_lots"], strict=True)
            assert [tuple(map(int, r)) for r in got] == [(o.side, o.price, o.lots) for o in own]

    def tally(self):
        """Fills are the model's; flows explain the fund's change to the atom."""
        fills, flows = self.bench.venue.drain_fills(), self.bench.venue.drain_flows()
        names = ["taker", "maker", "side", "price_ticks", "size_lots", "quote_atoms"]
        names += ["taker_fee_atoms", "maker_fee_atoms", "reason"]
        assert [tuple(map(int, fill)) for fill in fills[names]] == self.model.fills
        self.model.fills.clear()
        assert not list(faults(self.bench.venue.book))
        self.adl += int((fills["reason"] == Reason.ADL).sum())
        self.liquidations += self.bench.venue.measure(self.bench.moment)["liquidations"]


def random_rows(rng, users, count, mark):
    """Deposits, orders of every kind near the mark, cancels, and some nonsense."""
    kinds = (PLACE, CANCEL, CANCEL_ALL, DEPOSIT, WITHDRAW, 99)
    action = rng.choice(kinds, count, p=(0.78, 0.07, 0.02, 0.07, 0.04, 0.02))
    kinds = (0, IMMEDIATE_OR_CANCEL, POST_ONLY, MARKET | IMMEDIATE_OR_CANCEL, REDUCE_ONLY)
    kinds += (REDUCE_ONLY | MARKET | IMMEDIATE_OR_CANCEL, POST_ONLY | IMMEDIATE_OR_CANCEL, 64)
    flags = rng.choice(kinds, count, p=(0.5, 0.1, 0.1, 0.12, 0.07, 0.07, 0.02, 0.02))
    side = rng.choice((1, -1, 0), count, p=(0.49, 0.49, 0.02))
    lots = rng.choice((0, 1, 17, 60, 150, 400), count, p=(0.02, 0.2, 0.2, 0.28, 0.25, 0.05))
    atoms = rng.integers(-5, 250, count)
    size = np.where((action == DEPOSIT) | (action == WITHDRAW), atoms, lots)
    limit = np.maximum(mark + rng.integers(-8, 9, count), -1) * (flags & MARKET == 0)
    user, pick = rng.choice(users, count), rng.integers(0, 50, count)
    columns = (action, user, side, size, limit, pick, flags)
    return [tuple(int(x) for x in row) for row in zip(*columns, strict=True)]


def play(seed, users, rounds, fees, tiers, fund):
    rng = np.random.default_rng(seed)
    duel = Duel(users, fees, tiers, fund)
    start = [(DEPOSIT, user, 0, 900, 0, 0, 0) for user in duel.bench.users]
    duel.round(100, start)
    price = 100
    for _ in range(rounds):
        jump = 24 if rng.random() < 0.3 else 4
        price = int(np.clip(price + rng.integers(-jump, jump + 1), 5, 400))
        duel.round(price, random_rows(rng, duel.bench.users, int(rng.integers(1, 25)), price))
    return duel


FLAT_TIER = ((0.0, 30_000),)
TIERS = ((0.0, 20_000), (30.0, 50_000), (90.0, 110_000))


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    users=st.integers(2, 7),
    rounds=st.integers(1, 40),
    fees=st.sampled_from(((0, 0), (200, 500), (-300, 700), (9_000, 21_000))),
    tiers=st.sampled_from((FLAT_TIER, TIERS)),
    fund=st.sampled_from((0.0, 3.0, 50.0)),
)
def test_random_intents_agree_with_the_reference(seed, users, rounds, fees, tiers, fund) -> None:
    duel = play(seed, users, rounds, fees, tiers, fund)
    assert duel.model.stranded == duel.bench.venue.shortfalls


def test_the_random_play_reaches_liquidation_and_deleveraging() -> None:
    duels = [play(seed, 6, 30, (200, 500), TIERS, 1.0) for seed in range(6)]

    assert sum(duel.liquidations for duel in duels) > 20
    assert sum(duel.adl for duel in duels) > 5


@pytest.mark.slow
def test_long_random_play_agrees_with_the_reference() -> None:
    stranded = sum(
        play(seed, 5, 45, (9_000, 21_000), TIERS, 50.0).model.stranded for seed in range(200)
    )
    assert stranded > 0


# --- the waterfall on published and computed cases ---------------------------------------------


def cases(kind):
    file = "perp_adl.json" if kind.startswith("adl") else "perp_insurance.json"
    listed = json.loads((VECTORS / file).read_text())["cases"]
    return [case for case in listed if case["kind"] == kind]


def side_of(name):
    return BUY if name == "long" else SELL


@pytest.mark.parametrize("case", cases("insurance_waterfall"), ids=lambda case: case["id"])
def test_the_insurance_waterfall(case) -> None:
    """Each liquidation meets its own book; the fund and what it cannot pay carry over."""
    inputs, expected = case["inputs"], case["expected"]
    bench = Bench(8, 1e8, insurance_fund_quote=inputs["fund_before"])
    maker, rich = bench.users[-2:]
    bench.do(deposit(0, np.array([maker, rich]), bench.atoms(5e7)))
    lot = bench.instrument.lot_size
    for user, liquidation, step in zip(
        bench.users, inputs["liquidations"], expected["steps"], strict=False
    ):
        side, bankruptcy = side_of(liquidation["side"]), liquidation["bankruptcy_price"]
        bench.mark(bankruptcy + 10 * side)
        bench.open_at(user, side, liquidation["qty"], bankruptcy + 10 * side, bankruptcy)
        before, steepest = bench.fund(), 0.0
        for price, size in liquidation["book"]:
            lots = bench.instrument.to_lots(size)
            assert bench.do(limit_order(0, maker, side, lots, price)) == [Code.RESTING]
            steepest = max(steepest, side * (bankruptcy - price))
        bench.mark(bankruptcy)
        bench.liquidate()
        figures = bench.venue.measure(bench.moment)
        assert bench.lots(user) == 0
        assert bench.claim(user) == 0
        assert figures["liquidated"] == liquidation["qty"]
        assert figures["volume"] == pytest.approx(step["closed_in_book"], abs=lot)
        assert figures["adl"] == pytest.approx(step["adl_qty"], abs=lot)
        assert bench.fund() - before == pytest.approx(step["fund_delta"], abs=lot * steepest + 1e-6)
        bench.do(*[(CANCEL_ALL, 0, maker, *[0] * 10)])
    assert bench.fund() == pytest.approx(expected["fund_after"], abs=0.02)


LINEAR_QUEUES = [
    case for case in cases("adl_queue_close") if case["inputs"]["contract"] == "linear"
]


@pytest.mark.parametrize("case", LINEAR_QUEUES, ids=lambda case: case["id"])
def test_the_deleveraging_queue(case) -> None:
    """Winners of equal bankruptcy price: the older the entry, the earlier in the queue."""
    inputs, expected = case["inputs"], case["expected"]
    side, queue = side_of(inputs["counterparty_side"]), inputs["queue"]
    close, mark = inputs["close_price"], inputs["mark"]
    start = queue[len(queue) // 2]["entry"]
    bench = Bench(len(queue) + 2, 1e9)
    loser, rich = bench.users[-2:]
    bench.mark(start)
    bench.do(deposit(0, rich, bench.atoms(9e8)))
    for user, position in zip(bench.users, queue, strict=False):
        bankruptcy = start * (1 - side * 0.4)
        bench.open_at(user, side, position["size"], position["entry"], bankruptcy)
    bench.open_at(loser, -side, inputs["qty"], close - side * start // 10, close)
    bench.mark(mark)
    bench.liquidate()
    flows, fills = bench.venue.drain_flows(), bench.venue.drain_fills()
    adl = flows[flows["reason"] == Reason.ADL]
    fills = fills[fills["reason"] == Reason.ADL]
    assert np.all(fills["price_ticks"] == close)
    assert bench.units(int(adl["atoms"].sum())) == expected["total_forgone"]
    assert bench.fund() == 0
    for user, fill in zip(bench.users, expected["fills"], strict=False):
        own = adl["atoms"][adl["payer"] == user].sum()
        assert bench.units(int(own)) == fill["forgone_vs_mark"]
        assert side * bench.instrument.to_base(bench.lots(user)) == fill["remaining"]
    debts = flows[flows["reason"] == Reason.INSURANCE]["atoms"].sum()
    assert bench.units(int(debts)) == expected["total_forgone"]
