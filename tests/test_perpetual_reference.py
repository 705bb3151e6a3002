"""The perpetual venue against a plain model, to the atom, on random intents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives.brackets import MarginTier
from markets.intents import (
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    IMMEDIATE_OR_CANCEL,
    INTENT,
    MARKET,
    PLACE,
    POST_ONLY,
    REDUCE_ONLY,
    WITHDRAW,
)
from markets.outcomes import Code, Reason
from markets.spot.audit import faults
from markets.venue import Venue
from tests.perpetual_bench import STEP_SECONDS, Bench
from tests.reference.perpetual import Account, Reference, Terms


class Duel:
    """The venue and the reference, given the same intents and compared after every beat."""

    def __init__(self, users, fees, tiers, fund_units, inverse=False, rule=None):
        maker, taker = fees
        own = {} if rule is None else {"liquidation": rule}
        scale = 10_000 if inverse else 100
        self.bench = Bench(
            users,
            collateral=6_000 / scale,
            decimals=4 if inverse else 2,
            lot=0.01,
            contract="inverse" if inverse else "linear",
            maker_fee_ppm=maker,
            taker_fee_ppm=taker,
            maintenance_tiers=[
                MarginTier(floor_units=f * 100 / scale, maintenance_ppm=r) for f, r in tiers
            ],
            initial_margin_ppm=60_000,
            insurance_fund_units=fund_units * 100 / scale,
            funding_interval_seconds=3 * STEP_SECONDS,
            interest_rate=0.002,
            funding_cap=0.05,
            impact_notional_quote=3.0,
            **own,
        )
        venue = self.bench.venue
        terms = Terms(
            venue._terms.notional_atoms,
            maker,
            taker,
            venue.params.market_band_ppm,
            [(round(floor * 100), rate) for floor, rate in tiers],
            60_000,
            inverse,
        )
        accounts = {user: Account(collateral=6_000) for user in self.bench.users}
        fund, fees_row = venue._terms.fund, venue._terms.fees
        accounts |= {fund: Account(claim=round(fund_units * 100)), fees_row: Account()}
        self.model = self.reference(terms, accounts, (fund, fees_row), scale)
        self.adl = self.liquidations = 0

    def reference(self, terms, accounts, own_rows, scale):
        return Reference(terms, accounts, *own_rows)

    def round(self, price, rows):
        bench, venue, model = self.bench, self.bench.venue, self.model
        stamps = bench.step % 3 == 2
        bench.mark(price)
        model.mark = venue._terms.mark_ticks
        assert model.mark == price
        if stamps:
            assert model.pay_funding(round(venue.funding.rate * 10**9)) >= 0
        self.settle()
        self.compare()
        codes = venue.execute(self.resolved(rows), bench.moment)
        assert [Code(code) for code in codes] == [self.replay(row) for row in rows]
        self.compare()
        before = self.fund_equity()
        bench.liquidate()
        model.liquidate()
        self.compare()
        self.tally(self.fund_equity() - before)

    def settle(self):
        """What else falls due at the start of a step."""

    def fund_equity(self):
        """At the mark, in atoms."""
        venue = self.bench.venue
        return self.bench.claim(venue._terms.fund) + self.model.value(
            self.bench.lots(venue._terms.fund), venue._terms.mark_ticks
        )

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
        for user in [*self.bench.users, self.model.fund]:
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
        values = [model.equity(row) for row in model.accounts]
        floored = self.bench.balances[terms.vault, terms.quote] - sum(values)
        holders = sum(account.contracts != 0 for account in model.accounts.values())
        assert 0 <= floored <= (holders if model.terms.inverse else 0)
        for user in [*self.bench.users, model.fund]:
            _, rows = venue.book.own_orders(user)
            own = [o for o in reversed(model.orders) if o.account == user]
            got = zip(rows["side"], rows["price_ticks"], rows["remaining_lots"], strict=True)
            assert [tuple(map(int, r)) for r in got] == [(o.side, o.price, o.lots) for o in own]

    def tally(self, fund_change):
        """The fills are the model's, the book is sound, flows explain the fund to the atom."""
        venue = self.bench.venue
        fills, flows = Venue.drain_fills(venue), venue.drain_flows()
        names = ["taker", "maker", "side", "price_ticks", "size_lots", "quote_atoms"]
        names += ["taker_fee_atoms", "maker_fee_atoms", "reason"]
        assert [tuple(map(int, fill)) for fill in fills[names]] == self.model.fills
        self.model.fills.clear()
        assert not list(faults(venue.book))
        forced = fills[fills["reason"] == Reason.LIQUIDATION]
        sign = -1 if self.model.terms.inverse else 1
        explained = 0
        for who, way in (("taker", 1), ("maker", -1)):
            own = forced[forced[who] == venue._terms.fund]
            for side, lots, quote in own[["side", "size_lots", "quote_atoms"]].tolist():
                side *= way
                explained += self.model.value(side * lots, self.model.mark) - sign * side * quote
        for reason in (Reason.LIQUIDATION, Reason.INSURANCE, Reason.ADL):
            rows = flows[flows["reason"] == reason]
            for who, way in (("receiver", 1), ("payer", -1)):
                explained += way * rows["atoms"][rows[who] == venue._terms.fund].sum()
        slack = len(fills) + venue.measure(self.bench.moment)["liquidations"] + 1
        assert abs(fund_change - explained) <= (slack if self.model.terms.inverse else 0)
        self.adl += int((fills["reason"] == Reason.ADL).sum())
        self.liquidations += venue.measure(self.bench.moment)["liquidations"]


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


def play(seed, users, rounds, fees, tiers, fund, inverse=False):
    return fight(seed, Duel(users, fees, tiers, fund, inverse), rounds)


def fight(seed, duel, rounds):
    rng = np.random.default_rng(seed)
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


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    users=st.integers(2, 7),
    rounds=st.integers(1, 30),
    fees=st.sampled_from(((0, 0), (200, 500), (-300, 700), (9_000, 21_000))),
    tiers=st.sampled_from((FLAT_TIER, TIERS)),
    fund=st.sampled_from((0.0, 3.0, 50.0)),
    inverse=st.booleans(),
)
def test_random_intents_agree_with_the_reference(
    seed, users, rounds, fees, tiers, fund, inverse
) -> None:
    duel = play(seed, users, rounds, fees, tiers, fund, inverse)
    assert duel.model.stranded == duel.bench.venue.shortfalls


@pytest.mark.parametrize("inverse", [False, True])
def test_the_random_play_reaches_liquidation_and_deleveraging(inverse) -> None:
    duels = [play(seed, 6, 30, (200, 500), TIERS, 1.0, inverse) for seed in range(6)]

    assert sum(duel.liquidations for duel in duels) > 20
    assert sum(duel.adl for duel in duels) > 5


@pytest.mark.slow
def test_long_random_play_agrees_with_the_reference() -> None:
    stranded = sum(
        play(seed, 5, 45, (9_000, 21_000), TIERS, 50.0).model.stranded for seed in range(200)
    )
    assert stranded > 0
