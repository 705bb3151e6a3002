"""Money of an order book: cover, escrow, fees and rebates to the atom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.errors import BrokenInvariant
from markets.intents import BUY, SELL, cancel
from markets.outcomes import Code, Reason
from tests.trading_floor import CASH, GRID, Floor


def test_a_limit_order_must_be_covered_with_its_fee():
    floor = Floor(quote=0.0, maker_fee_ppm=1_000, taker_fee_ppm=2_000)
    buyer = floor.traders[0]
    floor.market.ledger.issue(floor.rows[:1], "CASH", 100 * GRID.notional_atoms)
    assert floor.do(floor.limit(0, BUY, 1, 100)) == [Code.INSUFFICIENT_BALANCE]
    floor.market.ledger.issue(
        floor.rows[:1], "CASH", -(-100 * GRID.notional_atoms * 2_000 // 10**6)
    )
    assert floor.do(floor.limit(0, BUY, 1, 100)) == [Code.RESTING]
    assert floor.cash(buyer) >= 0


@pytest.mark.parametrize(
    ("maker_fee_ppm", "taker_fee_ppm", "resting_lots", "needed_atoms"),
    [
        (1_001, 1_001, 0, 4_900 + 5),
        (1_001, 1_001, 3, 4_900 + 3 + 3),
        (9_000, 1_001, 0, 4_900 + 45),
        (9_000, 1_001, 7, 4_900 + 45 + 1),
        (-500, 1_001, 3, 4_900 + 5),
        (0, 0, 3, 4_900),
    ],
)
def test_the_least_that_covers_seven_lots_at_a_hundred(
    maker_fee_ppm, taker_fee_ppm, resting_lots, needed_atoms
):
    """A lot costs 700 atoms; taking three and resting four rounds two fees up: 3 + 3, not 5."""
    for cash_atoms in range(needed_atoms - 3, needed_atoms + 3):
        floor = Floor(quote=0.0, maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm)
        floor.market.ledger.issue(floor.rows[1:2], "CASH", cash_atoms)
        if resting_lots:
            floor.do(floor.limit(0, SELL, resting_lots, 100))
        accepted = floor.do(floor.limit(1, BUY, 7, 100))[0] > 0
        assert accepted == (cash_atoms >= needed_atoms)
        assert floor.cash(floor.traders[1]) >= 0


def test_escrow_is_exact_after_partial_fill_and_cancel():
    floor = Floor(maker_fee_ppm=12_345, taker_fee_ppm=54_321)
    escrow, fees = floor.venue.accounts.tolist()
    floor.do(floor.limit(0, BUY, 13, 101))
    floor.do(floor.take(1, SELL, 5), floor.take(1, SELL, 1))
    spent = CASH.to_atoms(1e6) - floor.cash(floor.traders[0]) - floor.cash(escrow)
    notional = 6 * 101 * GRID.notional_atoms
    maker_fee = -(-notional * 12_345 // 10**6)
    assert spent == notional + maker_fee
    floor.do(cancel(0, floor.traders[0], floor.newest(0)))
    assert (floor.coin(escrow), floor.cash(escrow)) == (0, 0)
    assert floor.cash(floor.traders[0]) == CASH.to_atoms(1e6) - notional - maker_fee
    taker_fees = sum(-(-lots * 101 * GRID.notional_atoms * 54_321 // 10**6) for lots in (5, 1))
    assert floor.cash(fees) == maker_fee + taker_fees


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(0, 300_000))
@settings(max_examples=60, deadline=None)
def test_many_small_fills_of_an_order_cost_its_maker_no_more_than_one(sizes, maker_fee_ppm):
    floor = Floor(maker_fee_ppm=maker_fee_ppm)
    floor.do(floor.limit(0, BUY, sum(sizes), 3))
    floor.do(*[floor.take(1, SELL, lots) for lots in sizes])
    notional = 3 * sum(sizes) * GRID.notional_atoms
    paid = CASH.to_atoms(1e6) - floor.cash(floor.traders[0])
    assert paid == notional - (-notional * maker_fee_ppm // 10**6)
    assert floor.cash(int(floor.venue.accounts[0])) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=25))
@settings(max_examples=60, deadline=None)
def test_rebates_never_overdraw_the_fee_account(trades):
    """At maker = -taker every atom of the fee account is rounding: never below 0."""
    floor = Floor(maker_fee_ppm=-1_001, taker_fee_ppm=1_001)
    fees = int(floor.venue.accounts[1])
    for side in (BUY, SELL):
        floor.do(*[floor.limit(i, side, 400, 100 - side * (1 + i)) for i in range(3)])
    for trader, lots in trades:
        floor.do(floor.take(3, BUY if trader else SELL, lots))
        assert floor.cash(fees) >= 0
    assert all(fill["maker_fee_atoms"] <= 0 for fill in floor.fills())


@pytest.mark.parametrize("taker_fee_ppm", [0, 1, 777, 123_456])
def test_a_market_buy_spends_no_more_than_there_is_and_all_that_fits(taker_fee_ppm):
    for cash_atoms in range(1_400, 1_475, 3):
        floor = Floor(quote=0.0, taker_fee_ppm=taker_fee_ppm)
        floor.market.ledger.issue(floor.rows[1:2], "CASH", cash_atoms)
        floor.do(floor.limit(0, SELL, 1, 100), floor.limit(0, SELL, 50, 103))
        code = floor.do(floor.take(1, BUY, 5))[0]
        lots = int(floor.fills()["size_lots"].sum())
        left = floor.cash(floor.traders[1])
        assert left >= 0
        one_more = (103 if lots else 100) * GRID.notional_atoms
        assert left < one_more + -(-one_more * taker_fee_ppm // 10**6)
        assert code == (Code.PARTLY_FILLED if lots else Code.INSUFFICIENT_BALANCE)


def test_a_market_sell_is_limited_by_what_is_owned():
    floor = Floor(base=1.0)
    floor.do(floor.limit(0, BUY, 50, 100))
    assert floor.do(floor.take(1, SELL, 50)) == [Code.PARTLY_FILLED]
    assert floor.coin(floor.traders[1]) == 0
    assert floor.do(floor.take(1, SELL, 1)) == [Code.INSUFFICIENT_BALANCE]


def test_fee_flows_explain_the_fee_account():
    floor = Floor(maker_fee_ppm=-100, taker_fee_ppm=900)
    floor.do(floor.limit(0, SELL, 40, 99), floor.limit(1, BUY, 40, 98))
    floor.do(floor.take(2, BUY, 17), floor.take(3, SELL, 23))
    flows = floor.venue.drain_flows()
    fees = int(floor.venue.accounts[1])
    received = flows["atoms"][flows["receiver"] == fees].sum()
    paid = flows["atoms"][flows["payer"] == fees].sum()
    assert received - paid == floor.cash(fees) > 0
    assert paid > 0
    assert set(flows["reason"].tolist()) == {Reason.FEE}
    assert len(floor.venue.drain_flows()) == 0


def test_money_in_escrow_that_no_order_needs_is_a_broken_invariant():
    floor = Floor()
    floor.do(floor.limit(0, BUY, 5, 100))
    escrow = int(floor.venue.accounts[0])
    floor.market.ledger.balances[escrow, 1] += 1
    with pytest.raises(BrokenInvariant, match=r"escrow.*CASH.*difference 1 "):
        floor.venue.check()
