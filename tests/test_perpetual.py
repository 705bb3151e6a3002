"""The perpetual venue: against a plain model, against the venues' own examples, and its rules."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.derivatives.brackets import MarginTier
from markets.derivatives.marking import BookQuotes, Marking, MarkingParams
from markets.derivatives.perpetual import Perpetual
from markets.derivatives.perpetual_audit import FAULTS
from markets.derivatives.ranking import Ranking
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
from markets.spot.order_book import OrderBook
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
        """The fills are the model's, and the book is sound."""
        fills = self.bench.venue.drain_fills()
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


# --- liquidation rules -------------------------------------------------------------------------


def crowded(fund=0.0, **params):
    """Two shorts and one rich short against a long that is bankrupt at 95, in an empty book."""
    bench = Bench(4, 1e5, insurance_fund_quote=fund, **params)
    long, sharp, calm, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(5e4)))
    bench.open_at(long, BUY, 10, 100, 95)
    bench.open_at(sharp, SELL, 4, 100, 120)
    bench.open_at(calm, SELL, 4, 100, 200)
    return bench, long, sharp, calm, rich


def test_an_account_at_its_requirement_is_left_alone() -> None:
    bench, long, *_ = crowded(maintenance_tiers=[MarginTier(maintenance_ppm=10_000)])
    bench.mark(96)  # equity 10, requirement 9.6
    bench.liquidate()
    assert bench.lots(long) == 10_000
    bench.mark(95)
    bench.liquidate()
    assert bench.lots(long) == 0


def test_deleveraging_takes_the_most_levered_winner_first() -> None:
    bench, _, sharp, calm, rich = crowded()
    bench.venue.drain_fills()
    bench.mark(90)
    bench.liquidate()
    fills = bench.venue.drain_fills()
    assert fills["maker"].tolist() == [sharp, calm, rich]
    assert fills["size_lots"].tolist() == [4_000, 4_000, 2_000]
    assert set(fills["price_ticks"]) == {95}
    assert set(fills["reason"]) == {Reason.ADL}
    assert bench.fund() == 0


def test_forgone_profit_is_the_bad_debt_left_after_the_fund() -> None:
    """Of 10 at 5 under water, a book at 93 takes what 8 of fund can pay: 4; the rest is ADL."""
    bench, _, _, _, rich = crowded(fund=8.0)
    bench.do(limit_order(0, rich, BUY, 50_000, 93))
    bench.mark(90)
    bench.liquidate()
    flows, figures = bench.venue.drain_flows(), bench.venue.measure(bench.moment)
    assert figures["volume"] == 4
    assert figures["adl"] == 6
    assert bench.fund() == 0
    by_reason = {
        reason: bench.units(int(flows["atoms"][flows["reason"] == reason].sum()))
        for reason in (Reason.ADL, Reason.INSURANCE, Reason.LIQUIDATION)
    }
    forgone_by_winners, bought_above_mark, from_fund = 6 * 5, 4 * 3, 8
    assert by_reason[Reason.ADL] == forgone_by_winners
    assert by_reason[Reason.INSURANCE] == forgone_by_winners + bought_above_mark + from_fund
    assert by_reason[Reason.LIQUIDATION] == 0


@pytest.mark.parametrize("fund", [20.0, 19.98])
def test_no_deleveraging_while_the_fund_can_pay(fund) -> None:
    bench, _, _, _, rich = crowded(fund=fund)
    bench.do(limit_order(0, rich, BUY, 50_000, 93))
    bench.mark(90)
    bench.liquidate()
    short_lots = round((20.0 - fund) / (2 * 0.001))
    assert bench.venue.measure(bench.moment)["adl"] == pytest.approx(short_lots * 0.001)
    assert bench.fund() == 0


def test_a_fill_better_than_bankruptcy_feeds_the_fund() -> None:
    bench, long, _, _, rich = crowded()
    bench.do(limit_order(0, rich, BUY, 50_000, 97))
    bench.mark(95)
    bench.liquidate()
    assert bench.fund() == 10 * (97 - 95)
    assert bench.claim(long) == bench.lots(long) == 0


def test_the_worst_account_goes_first() -> None:
    """Only one of two can be closed above bankruptcy: the one with the lower margin ratio."""
    bench = Bench(3, 1e5)
    better, worse, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(5e4)))
    bench.open_at(better, BUY, 10, 100, 95)
    bench.open_at(worse, BUY, 10, 100, 96)
    bench.do(limit_order(0, rich, BUY, 10_000, 96), limit_order(0, rich, BUY, 10_000, 95))
    bench.mark(95)
    bench.liquidate()
    fills = bench.venue.drain_fills()
    forced = fills[fills["reason"] == Reason.LIQUIDATION]
    assert forced["price_ticks"].tolist() == [96, 95]
    assert bench.fund() == 0
    assert bench.venue.measure(bench.moment)["liquidations"] == 2


def test_orders_of_the_unsafe_are_cancelled_before_anything_trades() -> None:
    bench, long, _, _, rich = crowded()
    bench.do(limit_order(0, long, SELL, 10_000, 130), limit_order(0, rich, BUY, 10_000, 96))
    bench.mark(95)
    bench.liquidate()
    assert bench.venue.book.count == 0
    assert bench.venue.measure(bench.moment)["volume"] == 10


def test_where_nobody_can_be_deleveraged_the_fund_keeps_the_position() -> None:
    """The only short would be ruined by a close at 130; the fund waits for a buyer."""
    bench = Bench(3, 1e5)
    long, short, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(100.0)))
    bench.mark(140)
    bench.open_at(long, BUY, 10, 140, 130)
    bench.mark(100)
    bench.do(deposit(0, short, bench.atoms(200.0)))
    bench.trade(rich, short, 10, 100)
    assert bench.lots(rich) == 0
    bench.liquidate()
    venue = bench.venue
    fund = venue._terms.fund
    assert (bench.lots(long), bench.lots(fund), venue.shortfalls) == (0, 10_000, 1)
    assert bench.claim(fund) == -bench.atoms(1_300)
    bench.do(limit_order(0, rich, BUY, 10_000, 131))
    bench.mark(131)
    bench.do(deposit(0, rich, bench.atoms(1e3)))
    assert bench.do(limit_order(0, rich, BUY, 10_000, 131)) == [Code.RESTING]
    bench.liquidate()
    assert bench.lots(fund) == 0
    assert bench.fund() >= 10


def test_a_winner_is_never_ruined_by_deleveraging() -> None:
    bench, _, sharp, calm, rich = crowded()
    bench.mark(90)
    before = {user: bench.venue.equity(np.array([user]))[0] for user in (sharp, calm, rich)}
    bench.liquidate()
    for user, equity in before.items():
        after = bench.venue.equity(np.array([user]))[0]
        assert 0 < after < equity


# --- orders and margin -------------------------------------------------------------------------


def test_price_then_time_decide_who_trades() -> None:
    bench = Bench(4)
    first, second, better, taker = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.do(*[limit_order(0, user, SELL, 100, 101) for user in (first, second)])
    bench.do(limit_order(0, better, SELL, 50, 100))
    assert bench.do(limit_order(0, taker, BUY, 180, 101)) == [Code.FILLED]
    fills = bench.venue.drain_fills()
    assert fills["maker"].tolist() == [better, first, second]
    assert fills["price_ticks"].tolist() == [100, 101, 101]
    assert fills["size_lots"].tolist() == [50, 100, 30]


def test_margin_needed_for_orders() -> None:
    """10 of equity at 1 % carry 1,000 of notional, resting orders included, either side alone."""
    bench = Bench(2, initial_margin_ppm=10_000)
    user = bench.users[0]
    bench.do(deposit(0, user, bench.atoms(10)))
    assert bench.do(limit_order(0, user, BUY, 10_001, 100)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(limit_order(0, user, BUY, 6_000, 100)) == [Code.RESTING]
    assert bench.do(limit_order(0, user, BUY, 4_001, 99)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(limit_order(0, user, SELL, 10_000, 101)) == [Code.RESTING]
    assert bench.do(limit_order(0, user, BUY, 4_000, 99)) == [Code.RESTING]


def test_an_order_worse_than_the_mark_must_carry_its_loss() -> None:
    bench = Bench(2, initial_margin_ppm=10_000)
    user, rich = bench.users
    bench.do(deposit(0, np.array([user, rich]), np.array([bench.atoms(10), bench.atoms(1e4)])))
    bench.do(limit_order(0, rich, SELL, 100_000, 104))
    assert bench.do(limit_order(0, user, BUY, 2_001, 104)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(limit_order(0, user, BUY, 2_000, 104)) == [Code.FILLED]


def test_market_orders_stop_at_the_band() -> None:
    bench = Bench(2, market_band_ppm=20_000)
    user, rich = bench.users
    bench.do(deposit(0, np.array([user, rich]), bench.atoms(1e4)))
    bench.do(*[limit_order(0, rich, SELL, 100, ticks) for ticks in (101, 102, 103)])
    assert bench.do(market_order(0, user, BUY, 300)) == [Code.PARTLY_FILLED]
    assert bench.lots(user) == 200
    assert bench.do(market_order(0, user, BUY, 100)) == [Code.NO_LIQUIDITY]


def test_reducing_needs_no_margin_but_may_not_leave_a_debt() -> None:
    bench, long, _, _, rich = crowded()
    bench.do(limit_order(0, rich, BUY, 4_000, 96), limit_order(0, rich, BUY, 50_000, 94))
    bench.mark(96)
    assert bench.do(limit_order(0, long, SELL, 10_000, 94)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(market_order(0, long, SELL, 10_000)) == [Code.PARTLY_FILLED]
    assert bench.lots(long) == 6_000
    assert bench.claim(long) + bench.atoms(95 * 6) > 0


def test_reduce_only_is_cut_to_the_position_and_dropped_with_it() -> None:
    bench, long, _, _, rich = crowded()
    reduce = limit_order(0, long, SELL, 99_000, 105, REDUCE_ONLY)
    assert bench.do(reduce) == [Code.RESTING]
    _, resting = bench.venue.book.own_orders(long)
    assert resting["remaining_lots"].tolist() == [10_000]
    bench.trade(rich, long, 7, 104)
    assert bench.do(market_order(0, rich, BUY, 50_000)) == [Code.PARTLY_FILLED]
    assert bench.lots(long) == 0
    assert bench.venue.book.count == 0
    assert bench.do(reduce) == [Code.REDUCE_ONLY]
    bench.market.check()


def test_post_only_and_immediate_orders() -> None:
    bench = Bench(2)
    user, other = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.do(limit_order(0, other, SELL, 100, 101))
    assert bench.do(limit_order(0, user, BUY, 50, 101, POST_ONLY)) == [Code.WOULD_CROSS]
    assert bench.do(limit_order(0, user, BUY, 50, 100, POST_ONLY)) == [Code.RESTING]
    immediate = limit_order(0, user, BUY, 300, 101, IMMEDIATE_OR_CANCEL)
    assert bench.do(immediate, immediate) == [Code.PARTLY_FILLED, Code.UNFILLED]
    order = bench.venue.observe(bench.moment).newest_order[user]
    assert bench.do(cancel(0, other, order)) == [Code.UNKNOWN_ORDER]
    assert bench.do(cancel(0, user, order)) == [Code.CANCELLED]


def test_fees_are_rounded_up_and_rebates_down() -> None:
    bench = Bench(2, decimals=2, lot=0.01, taker_fee_ppm=700, maker_fee_ppm=-300)
    maker, taker = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.do(limit_order(0, maker, SELL, 11, 100), limit_order(0, taker, BUY, 11, 100))
    fill = bench.venue.drain_fills()[0]
    assert fill["quote_atoms"] == 1_100
    assert (fill["taker_fee_atoms"], fill["maker_fee_atoms"]) == (1, 0)
    assert bench.claim(bench.venue._terms.fees) == 1
    bench.market.check()


def test_collateral_goes_in_and_only_free_margin_comes_out() -> None:
    bench = Bench(2, 100.0, initial_margin_ppm=100_000)
    user, other = bench.users
    assert bench.do(deposit(0, user, bench.atoms(101))) == [Code.INSUFFICIENT_BALANCE]
    assert bench.do(deposit(0, np.array(bench.users), bench.atoms(100))) == [Code.DONE] * 2
    bench.trade(user, other, 2, 100)
    assert bench.do(withdraw(0, user, bench.atoms(80) + 1)) == [Code.INSUFFICIENT_MARGIN]
    bench.mark(110)  # unrealised profit is margin, and needs more of it, but is not paid out
    assert bench.do(withdraw(0, user, bench.atoms(78) + 1)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(withdraw(0, user, bench.atoms(78))) == [Code.DONE]
    bench.market.check()


def test_margin_can_be_placed_before_the_first_step() -> None:
    bench = Bench(2, 100.0)
    bench.venue.fund_margin(np.array(bench.users), np.array([bench.atoms(40), bench.atoms(60)]))
    assert [bench.claim(user) for user in bench.users] == [40_000_000, 60_000_000]
    bench.market.check()
    with pytest.raises(ConfigError, match=r"perp\.margin"):
        bench.venue.fund_margin(np.array(bench.users[:1]), np.array([bench.atoms(61)]))


# --- index, mark and funding -------------------------------------------------------------------


@settings(max_examples=60)
@given(
    lots=st.lists(st.integers(-40, 40).filter(bool), min_size=1, max_size=6),
    rate=st.floats(-0.0075, 0.0075),
)
def test_funding_sums_to_zero_and_dust_is_the_funds(lots, rate) -> None:
    users = len(lots) + 1
    bench = Bench(users, decimals=2, lot=0.01, interest_rate=rate, funding_damper=1.0)
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    for user, size in zip(bench.users, lots, strict=False):
        pair = (user, bench.users[-1]) if size > 0 else (bench.users[-1], user)
        bench.trade(*pair, abs(size) * 0.01, 100)
    before = [bench.claim(user) for user in bench.users]
    bench.step = 28_800 // 60 - 1
    bench.mark(103)
    assert bench.venue.marking.funding_rate == pytest.approx(rate, abs=1e-12)
    owed = [had - bench.claim(user) for had, user in zip(before, bench.users, strict=True)]
    applied = round(bench.venue.marking.funding_rate * 1e9)
    for user, paid in zip(bench.users, owed, strict=True):
        exact = bench.lots(user) * 103 * applied / 1e9
        assert exact <= paid + 1e-9 < exact + 1
    assert sum(owed) == bench.claim(bench.venue._terms.fund) >= 0
    flows = bench.venue.drain_flows()
    flows = flows[flows["reason"] == Reason.FUNDING]
    for user, paid in zip(bench.users, owed, strict=True):
        given_out = flows["atoms"][flows["payer"] == user].sum()
        received = flows["atoms"][flows["receiver"] == user].sum()
        assert given_out - received == paid
    bench.market.check()


def book_quotes(mid, impact_bid=np.nan, impact_ask=np.nan):
    return BookQuotes(mid, impact_bid, impact_ask)


def moment(step, step_seconds=1.0):
    return Moment(step, step * step_seconds, step_seconds)


def test_the_index_is_the_median_of_members_with_a_price() -> None:
    marking = Marking(MarkingParams())
    marking.update([99.0, np.nan, 105.0, 100.0], 50.0, book_quotes(np.nan), moment(0))
    assert marking.index == marking.mark == 100.0
    marking.update([np.nan], 98.0, book_quotes(np.nan), moment(1))
    assert marking.index == 98.0
    marking.update([], np.nan, book_quotes(np.nan), moment(2))
    assert marking.index == 98.0


def test_the_mark_follows_the_book_within_the_bandwidth() -> None:
    marking = Marking(MarkingParams(basis_bandwidth=0.01, basis_ema_seconds=30.0))
    for step in range(600):
        marking.update([100.0], np.nan, book_quotes(107.0), moment(step))
    assert marking.mark == pytest.approx(101.0)
    marking.update([100.0], np.nan, book_quotes(100.0), moment(600))
    assert marking.mark == pytest.approx(100.0 + np.exp(-1 / 30), rel=1e-9)


def test_the_median_mark_ignores_a_book_that_runs_away() -> None:
    marking = Marking(MarkingParams(mark_rule="median"))
    for step in range(300):
        marking.update([100.0], np.nan, book_quotes(100.0), moment(step))
    marking.update([100.0], np.nan, book_quotes(120.0), moment(300))
    assert 100.0 <= marking.mark < 100.1


def test_the_funding_rate_is_that_of_the_average_premium() -> None:
    """A premium of 1 % and the standard clamp: 0.95 % a period of 8 h, a part of it an hour."""
    marking = Marking(MarkingParams(funding_interval_seconds=3600.0))
    for step in range(3601):
        marking.update([10_000.0], np.nan, book_quotes(10_100.0, 10_100.0, 10_110.0), moment(step))
        stamped = marking.stamp(moment(step))
        assert stamped == (step == 3600)
    assert marking.funding_rate == pytest.approx(0.0011875)
    assert marking.seconds_to_funding(3601.0) == 3599.0


def test_the_view_says_what_agents_need() -> None:
    bench, long, _, _, rich = crowded()
    bench.do(limit_order(0, rich, BUY, 100, 99), limit_order(0, rich, SELL, 100, 101))
    view = bench.venue.observe(bench.moment)
    assert (view.bid, view.ask, view.mid, view.mark) == (99, 101, 100, 100)
    assert view.index_price == bench.venue.marking.index
    assert bench.balances[long, view.contract_column] == 10_000
    assert bench.units(int(bench.balances[long, view.margin_column])) == -950
    assert view.equity(np.array([long])) == 50
    assert (view.initial_margin_rate, view.maintenance_margin_rate) == (0.01, 0.005)
    assert view.seconds_to_funding == 28_800
    values = bench.venue.asset_values(bench.moment)
    assert values == {"perp:contract": pytest.approx(0.1), "perp:margin": 1.0}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"maintenance_tiers": [{"floor_quote": 5.0}]}, "floor 0"),
        ({"maker_fee_ppm": -600, "taker_fee_ppm": 500}, "taker_fee_ppm"),
        ({"initial_margin_ppm": 100}, "initial_margin_ppm"),
        ({"funding_cap": -1.0}, "funding_cap"),
    ],
)
def test_wrong_parameters_are_named(params, field) -> None:
    with pytest.raises(ConfigError, match=field):
        Perpetual.Params.read(params)


def test_an_index_venue_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"perp\.index_venues"):
        Bench(index_venues=("nowhere",))


def test_the_index_comes_from_spot_venues() -> None:
    base, quote = Asset("BTC", 9), Asset("USDT", 6)
    instrument = Instrument(base, quote, 1.0, 0.001)
    spot = OrderBook("spot", "ex", instrument)
    perpetual = Perpetual(
        "perp", "ex", instrument, Perpetual.Params(index_venues=("spot",), basis_bandwidth=0.0)
    )
    market = Market([Exchange("ex")], [spot, perpetual])
    user = int(market.endow("user", "ex", {"USDT": 1e4, "BTC": 10}, 1)[0])
    market.begin()
    now = Moment(0, 0.0, 60.0, {"BTC": 50.0})
    market.accrue(now)
    assert perpetual.observe(now).mark == 50.0
    spot.execute(stack([limit_order(0, user, BUY, 1, 90), limit_order(0, user, SELL, 1, 94)]), now)
    later = replace(now, step=1, seconds=60.0)
    market.accrue(later)
    assert perpetual.observe(later).index_price == perpetual.observe(later).mark == 92.0


@pytest.mark.parametrize(("column", "asset"), [("entry_atoms", 3), ("open_bid_lots", 4)])
def test_the_check_finds_columns_that_disagree(column, asset) -> None:
    bench = Bench(2)
    getattr(bench.venue._positions, column)[bench.users[0]] = 1
    with pytest.raises(BrokenInvariant, match=FAULTS[asset]):
        bench.venue.check()


def test_the_check_finds_claims_without_collateral() -> None:
    bench = Bench(2)
    bench.balances[bench.venue._terms.vault, bench.venue._terms.margin] -= 1
    with pytest.raises(BrokenInvariant, match=FAULTS[1]):
        bench.venue.check()


@pytest.mark.parametrize("ranking", list(Ranking))
def test_every_ranking_closes_the_same_quantity(ranking) -> None:
    bench, long, *_ = crowded(adl_ranking=ranking)
    bench.mark(90)
    bench.liquidate()
    assert bench.venue.measure(bench.moment)["adl"] == 10
    assert bench.lots(long) == 0
