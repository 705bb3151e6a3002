"""Vaults and collateral auctions: the rules one by one, and against a plain reference."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import bundle, deposit, stack, swap_exact_in, withdraw
from markets.lending.delayed_price import DelayedPrice
from markets.lending.lending_intents import bid_collateral, borrow, liquidate, repay
from markets.lending.vault_terms import VaultTerms
from markets.lending.vaults import Vaults
from markets.market import Market
from markets.outcomes import Code
from markets.venue import Moment
from tests.reference.vaults import PlainVaults

ETH, DAI = Asset("ETH", 9), Asset("DAI", 6)
ONE, DOLLAR = ETH.scale, DAI.scale
INSTRUMENT = Instrument(ETH, DAI, tick_size=0.01, lot_size=0.001)
TERMS = VaultTerms(price_interval_seconds=60.0, length_seconds=1800.0)


class Stage:
    """A market with one vault protocol, an owner and two keepers; a step is a minute."""

    def __init__(self, terms=TERMS, accounts=3, instrument=INSTRUMENT, collateral=1000):
        self.venue = Vaults("vaults", "chain", instrument, terms)
        self.market = Market([Chain("chain", 60.0, "ETH")], [self.venue])
        held = {"ETH": collateral, instrument.quote.name: 100_000}
        self.accounts = self.market.endow("all", "chain", held, accounts)
        self.owner, *self.keepers = self.accounts.tolist()
        self.market.begin()
        self.step = -1

    def next(self, price, steps=1):
        for _ in range(steps):
            self.step += 1
            self.moment = Moment(self.step, 60.0 * self.step, 60.0, {"ETH": price})
            self.market.accrue(self.moment)
            self.market.check()
        return self

    def send(self, *intents):
        codes = self.venue.execute(stack(intents), self.moment)
        self.market.check()
        return [Code(code) for code in codes]

    def held(self, account, asset):
        return int(self.market.ledger.balances[account, self.market.ledger.column[asset]])

    def opened(self, collateral=100, debt=10_000, price=200.0):
        """An owner who has borrowed."""
        self.next(price)
        self.send(deposit(0, self.owner, collateral * ONE), borrow(0, self.owner, 0, debt * DOLLAR))
        return self

    def sold(self, price=140.0):
        """The same, a lot of 50 being up for sale: half the debt, 5,000 with 13 % on top."""
        self.opened().next(price, 2)
        assert self.send(liquidate(0, self.keepers[0], self.owner, (0, 0), 0)) == [Code.DONE]
        return self


def test_a_loan_needs_one_and_a_half_times_its_worth():
    stage = Stage().next(200.0)
    owner = stage.owner
    assert stage.send(deposit(0, owner, 3 * ONE), borrow(0, owner, 0, 400 * DOLLAR)) == [
        Code.DONE,
        Code.DONE,
    ]
    assert stage.send(borrow(0, owner, 0, 1)) == [Code.INSUFFICIENT_MARGIN]
    assert stage.send(withdraw(0, owner, 1)) == [Code.INSUFFICIENT_MARGIN]
    assert stage.send(repay(0, owner, 0, 100 * DOLLAR), withdraw(0, owner, ONE // 2)) == [
        Code.DONE,
        Code.DONE,
    ]
    assert stage.held(owner, "DAI") == 100_300 * DOLLAR
    assert stage.venue.owed_atoms(owner) == 300 * DOLLAR


CENT = Asset("CENT", 0)
COARSE = Instrument(ETH, CENT, tick_size=1, lot_size=1)


def test_a_price_finer_than_the_stablecoin_s_atoms_is_not_rounded_to_them():
    stage = Stage(instrument=COARSE).next(1.6)
    owner = stage.owner
    assert stage.send(deposit(0, owner, 900 * ONE)) == [Code.DONE]
    assert stage.send(borrow(0, owner, 0, 961)) == [Code.INSUFFICIENT_MARGIN]
    assert stage.send(borrow(0, owner, 0, 960)) == [Code.DONE]


@settings(max_examples=150, deadline=None)
@given(
    st.floats(0.004, 4.0),
    st.integers(1, 3_000 * ONE),
    st.integers(-3, 3),
    st.sampled_from((COARSE, INSTRUMENT)),
)
def test_view_and_venue_agree_on_what_is_unsafe(price, collateral, more, instrument):
    """The price falls until the debt is within some atoms of what it allows."""
    stage = Stage(instrument=instrument, collateral=4000).next(8.0)
    worth = Fraction(price) * collateral * instrument.quote.scale / ONE
    debt = int(worth * 2 / 3) + more
    lent = stage.send(deposit(0, stage.owner, collateral), borrow(0, stage.owner, 0, debt))
    stage.next(price, 2)
    if lent != [Code.DONE] * 2:
        return
    seen = stage.owner in stage.venue.observe(stage.moment).unsafe()
    assert stage.send(liquidate(0, stage.keepers[0], stage.owner, (0, 0), 0)) == [
        Code.DONE if seen else Code.OUT_OF_RANGE
    ]
    if more < 0 or more > 1:
        assert seen == (more > 1)


@pytest.mark.parametrize("price", [1e-19, 1e13])
def test_a_first_price_that_integers_cannot_express_is_refused(price):
    with pytest.raises(ConfigError, match=r"vaults\.price: a unit of ETH must be worth 1e-18 to"):
        Stage().next(price)


@pytest.mark.parametrize("lot", [4e-10, 1e10, 1e308])
def test_a_lot_that_no_atoms_can_express_is_refused(lot):
    with pytest.raises(ConfigError, match=r"vaults\.largest_lot: must be 1e-09 to 4.61e.09 ETH"):
        Stage(VaultTerms(largest_lot=lot))


def test_no_loan_is_larger_than_an_auction_could_ask_back():
    instrument = Instrument(ETH, Asset("DAI", 9), tick_size=0.01, lot_size=0.001)
    terms = VaultTerms(price_interval_seconds=60.0, penalty_ppm=10**6, largest_lot=1e9)
    stage = Stage(terms, instrument=instrument, collateral=1_000_000).next(1e5)
    owner, most = stage.owner, 2**61
    assert stage.send(deposit(0, owner, 1_000_000 * ONE)) == [Code.DONE]
    assert stage.send(borrow(0, owner, 0, most + 1)) == [Code.INVALID]
    assert stage.send(borrow(0, owner, 0, most)) == [Code.DONE]
    stage.next(1e3, 2)
    row = liquidate(0, stage.keepers[0], owner, (0, 0), 0)
    assert stage.send(borrow(0, owner, 0, 1), row) == [Code.INVALID, Code.DONE]
    assert stage.venue.observe(stage.moment).auctions["goal_atoms"].tolist() == [2**62]


def test_a_price_is_in_force_an_interval_after_it_was_read():
    oracle = DelayedPrice(3600.0)
    seen = []
    for minute in range(0, 240, 30):
        oracle.update(100.0 + minute, 60.0 * minute)
        seen.append((oracle.price, oracle.queued))
    assert seen == [(100, 100)] * 2 + [(100, 160)] * 2 + [(160, 220)] * 2 + [(220, 280)] * 2


def test_a_late_or_missing_reading_is_made_up_for():
    oracle = DelayedPrice(3600.0)
    oracle.update(float("nan"), 0.0)
    assert np.isnan(oracle.price)
    oracle.update(50.0, 60.0)
    oracle.update(40.0, 3599.0)
    assert (oracle.price, oracle.queued) == (50.0, 50.0)
    oracle.update(30.0, 3700.0)
    assert (oracle.price, oracle.queued) == (50.0, 30.0)


def test_liquidation_takes_a_lot_and_its_part_of_the_debt():
    stage = Stage().opened(collateral=120, debt=12_001)
    row = liquidate(0, stage.keepers[0], stage.owner, (0, 0), 0)
    assert stage.send(row) == [Code.OUT_OF_RANGE]
    stage.next(149.0)
    assert stage.send(row) == [Code.OUT_OF_RANGE]
    stage.next(149.0)
    assert stage.send(row, row, row, row) == [Code.DONE] * 3 + [Code.UNKNOWN_ORDER]
    auctions = stage.venue.observe(stage.moment).auctions
    assert auctions["lot_atoms"].tolist() == [50 * ONE, 50 * ONE, 20 * ONE]
    debts = [12_001 * DOLLAR * 50 // 120]
    debts += [(12_001 * DOLLAR - debts[0]) * 50 // 70]
    debts += [12_001 * DOLLAR - sum(debts)]
    assert auctions["goal_atoms"].tolist() == [-(-debt * 113 // 100) for debt in debts]
    assert stage.venue.owed_atoms(stage.venue.system) == 12_001 * DOLLAR
    assert stage.venue.owed_atoms(stage.owner) == 0


def test_bids_rise_to_the_goal_and_then_the_lot_falls():
    stage = Stage().sold()
    first, second = stage.keepers
    lot, goal = 50 * ONE, 5_650 * DOLLAR

    def bid(who, dollars, lot_atoms=lot):
        return bid_collateral(0, who, 1, dollars * DOLLAR, lot_atoms)

    assert stage.send(bid(first, 5_000)) == [Code.DONE]
    assert stage.send(bid(second, 5_100)) == [Code.BEYOND_LIMIT]
    assert stage.send(bid(second, 5_500, lot - 1)) == [Code.BEYOND_LIMIT]
    assert stage.send(bid(second, 5_651)) == [Code.INVALID]
    assert stage.send(bid(second, 5_550), bid(first, 5_650)) == [Code.DONE, Code.DONE]
    assert stage.held(second, "DAI") == 100_000 * DOLLAR
    assert stage.held(first, "DAI") == 100_000 * DOLLAR - goal
    assert stage.send(bid(second, 5_650, 49 * ONE)) == [Code.BEYOND_LIMIT]
    assert stage.send(bid(second, 5_650, 45 * ONE)) == [Code.DONE]
    assert stage.held(stage.owner, "ETH") == 905 * ONE
    assert stage.held(first, "DAI") == 100_000 * DOLLAR
    stage.next(140.0, 10)
    assert stage.held(second, "ETH") == 1045 * ONE
    assert stage.venue.surplus_atoms() == 650 * DOLLAR
    assert stage.venue.drain_fills()["quote_atoms"].tolist() == [goal]


def test_a_zero_bid_wins_after_ten_minutes_and_leaves_bad_debt():
    stage = Stage().sold()
    bidder, other = stage.keepers
    assert stage.send(bid_collateral(0, bidder, 1, 0, 50 * ONE)) == [Code.DONE]
    assert stage.send(bid_collateral(0, other, 1, 0, 50 * ONE)) == [Code.BEYOND_LIMIT]
    stage.next(140.0, 9)
    assert stage.held(bidder, "ETH") == 1000 * ONE
    stage.next(140.0)
    assert stage.held(bidder, "ETH") == 1050 * ONE
    assert stage.held(bidder, "DAI") == 100_000 * DOLLAR
    assert stage.venue.surplus_atoms() == -5_000 * DOLLAR
    assert stage.venue.drain_events() == [("zero_bid", 50.0)]
    late = bid_collateral(0, other, 1, 5_650 * DOLLAR, 50 * ONE)
    assert stage.send(late) == [Code.UNKNOWN_ORDER]


def test_an_auction_ends_at_its_length_and_begins_anew_without_a_bid():
    stage = Stage().sold().next(140.0, 31)
    first, second = stage.keepers
    (row,) = stage.venue.observe(stage.moment).auctions
    assert row["end_seconds"] > stage.moment.seconds
    bids = 100 * DOLLAR
    for who in [first, second] * 3:
        assert stage.send(bid_collateral(0, who, 1, bids, 50 * ONE)) == [Code.DONE]
        bids += bids // 20
        stage.next(140.0, 5)
    assert len(stage.venue.observe(stage.moment).auctions) == 0


def test_what_cannot_be_is_refused():
    stage = Stage().sold()
    keeper = stage.keepers[0]
    refused = [
        (deposit(0, keeper, 0), Code.INVALID),
        (deposit(0, keeper, 2000 * ONE), Code.INSUFFICIENT_BALANCE),
        (withdraw(0, keeper, 1), Code.INSUFFICIENT_BALANCE),
        (borrow(0, keeper, 0, 1), Code.INSUFFICIENT_MARGIN),
        (repay(0, keeper, 0, 1), Code.UNKNOWN_ORDER),
        (liquidate(0, keeper, keeper, (0, 0), 0), Code.UNKNOWN_ORDER),
        (liquidate(0, keeper, 10**9, (0, 0), 0), Code.UNKNOWN_ORDER),
        (liquidate(0, keeper, stage.venue.system, (0, 0), 0), Code.UNKNOWN_ORDER),
        (bid_collateral(0, keeper, 7, 1, 1), Code.UNKNOWN_ORDER),
        (bid_collateral(0, keeper, 1, -1, 50 * ONE), Code.INVALID),
        (swap_exact_in(0, keeper, 1, 5), Code.INVALID),
    ]
    assert stage.send(*[row for row, _ in refused]) == [code for _, code in refused]
    poor = Stage().sold()
    poor.market.ledger.balances[poor.keepers[0], 1] -= 99_999 * DOLLAR
    poor.market.ledger.balances[poor.keepers[1], 1] += 99_999 * DOLLAR
    row = bid_collateral(0, poor.keepers[0], 1, 5_650 * DOLLAR, 50 * ONE)
    assert poor.send(row) == [Code.INSUFFICIENT_BALANCE]


def test_a_bundle_that_fails_leaves_no_trace():
    stage = Stage().sold()
    keeper = stage.keepers[0]
    before = stage.market.ledger.balances.copy()
    rows = bundle(
        [
            bid_collateral(0, keeper, 1, 5_650 * DOLLAR, 50 * ONE),
            liquidate(0, keeper, stage.owner, (0, 0), 0),
            deposit(0, keeper, 10**6 * ONE),
        ]
    )
    stage.market.execute(stack(rows), stage.moment, {"chain": np.random.default_rng(1)})
    stage.market.check()
    assert (stage.market.ledger.balances == before).all()
    assert len(stage.venue.observe(stage.moment).auctions) == 1
    assert stage.venue.observe(stage.moment).auctions["bidder"].tolist() == [-1]


def test_collateral_out_of_step_is_a_broken_invariant():
    stage = Stage().opened()
    stage.venue.collateral[stage.owner] -= 1
    with pytest.raises(BrokenInvariant, match="locked"):
        stage.venue.check()


OPERATIONS = ("liquidate", "bid", "wait", "bid", "lock", "free", "borrow", "repay")
MOVES = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS),
        st.integers(0, 3),
        st.integers(0, 3),
        st.floats(0, 1.2),
        st.floats(0, 1),
        st.floats(90, 170),
    ),
    min_size=30,
    max_size=80,
)


def intent_of(stage, plain, move):
    """An intent, and the same thing asked of the reference."""
    operation, who, other, part, second, _ = move
    account, target = (int(stage.accounts[at]) for at in (who, other))
    now = stage.moment.seconds
    if operation == "lock":
        atoms = int(part * 30 * ONE)
        return deposit(0, account, atoms), lambda: plain.lock(who, atoms)
    if operation == "free":
        atoms = int(part * plain.locked[who])
        return withdraw(0, account, atoms), lambda: plain.free(who, atoms)
    if operation == "borrow":
        room = int(plain.locked[who] * plain.price / Fraction(3, 2)) - plain.debt[who]
        atoms = max(0, int(part * room))
        return borrow(0, account, 0, atoms), lambda: plain.borrow(who, atoms)
    if operation == "repay":
        atoms = int(part * plain.debt[who])
        return repay(0, account, 0, atoms), lambda: plain.repay(who, atoms)
    if operation == "liquidate":
        row = liquidate(0, account, target, (0, 0), 0)
        return row, lambda: plain.liquidate(other, now)
    number = min(plain.auctions, default=1)
    auction = plain.auctions.get(number)
    bid, lot = 0, 1
    if auction is not None:
        bid = auction.goal if part > 0.6 else int(auction.goal * part)
        lot = auction.lot if auction.bid < auction.goal else max(1, int(auction.lot * second))
    row = bid_collateral(0, account, number, bid, lot)
    return row, lambda: plain.bid(who, number, bid, lot, now)


@settings(max_examples=120, deadline=None)
@given(MOVES)
def test_any_sequence_agrees_with_the_plain_reference(moves):
    terms = VaultTerms(
        price_interval_seconds=60.0, largest_lot=7.0, bid_seconds=180.0, length_seconds=600.0
    )
    stage = Stage(terms, accounts=4)
    plain = PlainVaults(Fraction(3, 2), Fraction(13, 100), Fraction(3, 100), 7 * ONE, 180.0, 600.0)
    for who in range(4):
        plain.coins[who], plain.stable[who] = 1000 * ONE, 100_000 * DOLLAR
    stage.next(200.0)
    plain.new_step(0.0)
    plain.price = Fraction(200 * DOLLAR, ONE)
    for who, account in enumerate(stage.accounts.tolist()):
        stage.send(
            deposit(0, account, 20 * ONE), borrow(0, account, 0, (2_650 - 99 * who) * DOLLAR)
        )
        assert plain.lock(who, 20 * ONE)
        assert plain.borrow(who, (2_650 - 99 * who) * DOLLAR)
    for move in moves:
        plain.price = Fraction(stage.venue.oracle.price) * DOLLAR / ONE
        if move[0] == "wait":
            stage.next(float(move[5]))
            plain.new_step(stage.moment.seconds)
        else:
            row, same = intent_of(stage, plain, move)
            assert (stage.send(row)[0] is Code.DONE) == same(), move
        for who, account in enumerate(stage.accounts.tolist()):
            assert stage.held(account, "ETH") == plain.coins[who]
            assert stage.held(account, "DAI") == plain.stable[who]
            assert stage.venue.collateral[account] == plain.locked[who]
            assert stage.venue.owed_atoms(account) == plain.debt[who]
        surplus = plain.system_stable - plain.system_debt
        assert stage.venue.surplus_atoms() == surplus
