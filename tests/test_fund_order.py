"""The fund's order: it rests at the bankruptcy price, keeps its place, costs the fund nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from markets.derivatives.liquidation_rule import LiquidationRule
from markets.intents import BUY, SELL, cancel_all, deposit, limit_order, withdraw
from markets.outcomes import Code, Reason
from tests.perpetual_bench import STEP_SECONDS, Bench, crowded

RESTING = {"rest_seconds": 3 * STEP_SECONDS}
LONG = 10_000
"""Lots of the long that is worth nothing at 95; ADL would take the shorts of the others."""


def taken_over(mark=93, fund=100.0, **rule):
    """The bench once the long has been taken over at a mark, with nobody to buy it."""
    bench, *users = crowded(fund, liquidation={**RESTING, **rule})
    bench.mark(mark)
    bench.liquidate()
    return bench, users


def rests(bench):
    """The fund's order: (side, ticks, lots), or None."""
    _, rows = bench.venue.book.own_orders(bench.venue._terms.fund)
    assert len(rows) <= 1
    return (
        tuple(int(rows[0][n]) for n in ("side", "price_ticks", "remaining_lots"))
        if len(rows)
        else None
    )


def test_the_lots_rest_at_the_bankruptcy_price_and_nobody_is_deleveraged() -> None:
    bench, _ = taken_over()
    assert rests(bench) == (SELL, 95, LONG)
    assert bench.lots(bench.venue._terms.fund) == LONG
    assert bench.units(bench.claim(bench.venue._terms.fund)) == 100 - 950
    assert Reason.ADL not in bench.venue.drain_fills()["reason"]
    bench.venue.drain_liquidations()
    bench.mark(94)
    bench.liquidate()
    assert rests(bench) == (SELL, 95, LONG)
    assert bench.venue.drain_liquidations() is None


def test_a_mark_that_recovers_in_time_costs_the_fund_nothing() -> None:
    """The lesson of March 2020; taken at once, the lots would have cost it 2 each."""
    bench, users = taken_over()
    rich = users[-1]
    bench.venue.drain_liquidations()
    bench.mark(97)
    assert bench.do(limit_order(0, rich, BUY, 4_000, 96)) == [Code.FILLED]
    assert rests(bench) == (SELL, 95, LONG - 4_000)
    bench.liquidate()
    assert bench.do(limit_order(0, rich, BUY, 8_000, 96)) == [Code.RESTING]
    bench.liquidate()
    assert rests(bench) is None
    assert bench.fund() == 100
    assert bench.venue.held_claim == 0
    log = bench.venue.drain_liquidations()
    assert log.by.tolist() == ["holding", "holding"]
    assert log.book_size.tolist() == [4, 6]
    assert log.price.tolist() == [95, 95]
    assert log.bankruptcy_price.tolist() == [95, 95]
    assert log.fund.tolist() == [-8, -12] == (-log.book).tolist()  # what it had gained by the mark


def test_better_bids_are_taken_at_once_and_pay_the_fund() -> None:
    bench, long, sharp, calm, rich = crowded(liquidation=RESTING, fund=100.0)
    bench.do(limit_order(0, rich, BUY, 3_000, 96), limit_order(0, rich, BUY, 3_000, 94))
    bench.mark(93)
    bench.liquidate()
    assert rests(bench) == (SELL, 95, LONG - 3_000)
    assert bench.units(bench.claim(bench.venue._terms.fund)) == 103 - 7 * 95
    assert (bench.lots(long), bench.lots(sharp), bench.lots(calm)) == (0, -4_000, -4_000)


@pytest.mark.parametrize("recovers", [False, True])
def test_when_its_time_is_over_the_fund_pays(recovers: bool) -> None:
    """Bids of 2 at 94 a step are left alone until then; the 4 that nobody bids for rest on."""
    bench, users = taken_over()
    for step in range(3):
        bench.mark(96 if recovers and step == 1 else 93)
        bench.do(limit_order(0, users[-1], BUY, 2_000, 94))
        bench.liquidate()
        assert rests(bench) == (SELL, 95, LONG if step < 2 else 4_000)
    assert bench.lots(bench.venue._terms.fund) == 4_000
    fills = bench.venue.drain_fills()
    forced = fills[fills["reason"] == Reason.LIQUIDATION]
    assert (forced["price_ticks"].tolist(), forced["size_lots"].sum()) == ([94] * 3, 6_000)
    assert Reason.ADL not in fills["reason"]
    assert bench.units(bench.claim(bench.venue._terms.fund)) == 100 - 6 * 1 - 4 * 95


def test_a_fund_that_is_worth_nothing_at_the_mark_cannot_wait() -> None:
    """10 lots at 93 are 20 short of 95: with a fund of 19 they are deleveraged, at 95."""
    bench, _ = taken_over(mark=93, fund=21.0)
    assert rests(bench) == (SELL, 95, LONG)
    bench, _ = taken_over(mark=93, fund=19.0)
    assert rests(bench) is None
    assert bench.lots(bench.venue._terms.fund) == 0
    adl = bench.venue.drain_fills()
    assert adl["size_lots"][adl["reason"] == Reason.ADL].sum() == LONG
    assert bench.fund() == 19


def test_the_order_keeps_its_place_in_the_line() -> None:
    bench, users = taken_over()
    sharp, rich = users[1], users[-1]
    bench.do(deposit(0, sharp, bench.atoms(1e4)))
    bench.mark(94)
    bench.do(limit_order(0, sharp, SELL, 1_000, 95))
    bench.liquidate()
    bench.mark(96)
    bench.do(limit_order(0, rich, BUY, LONG + 500, 95))
    fills = bench.venue.drain_fills()
    fills = fills[fills["reason"] == Reason.TRADE][-2:]
    assert fills["maker"].tolist() == [bench.venue._terms.fund, sharp]
    assert fills["size_lots"].tolist() == [LONG, 500]


def test_the_fund_pays_no_fee_for_it_and_hears_no_intents() -> None:
    bench, users = taken_over()
    fund, rich = bench.venue._terms.fund, users[-1]
    assert bench.do(cancel_all(0, fund), limit_order(0, fund, BUY, 1, 90)) == [Code.INVALID] * 2
    assert bench.do(withdraw(0, fund, 1), deposit(0, fund, 1)) == [Code.INVALID] * 2
    bench.venue._terms = bench.venue._terms._replace(maker_fee_ppm=1_000, taker_fee_ppm=2_000)
    bench.mark(95)
    bench.do(limit_order(0, rich, BUY, LONG, 95))
    fill = bench.venue.drain_fills()[-1]
    assert (fill["maker_fee_atoms"], fill["taker_fee_atoms"]) == (0, 950 * 10**6 * 0.002)
    assert bench.fund() == 100


def test_lots_of_two_takeovers_rest_at_their_average() -> None:
    """10 that came at 95 and 4 at 85: 1,290 for 14, so 92.14 or better."""
    bench = Bench(3, 1e5, insurance_fund_units=1e3, liquidation=RESTING)
    first, second, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(5e4)))
    bench.open_at(first, BUY, 10, 100, 95)
    bench.open_at(second, BUY, 4, 100, 85)
    bench.mark(93)
    bench.liquidate()
    assert rests(bench) == (SELL, 95, 10_000)
    bench.mark(84)
    bench.liquidate()
    assert rests(bench) == (SELL, 93, 14_000)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), rest=st.sampled_from((60.0, 200.0, 1e9)))
def test_fills_of_the_order_never_cost_the_fund(seed: int, rest: float) -> None:
    """Its cash apart from the claims it holds never falls by them; rows say what it gained."""
    rng = np.random.default_rng(seed)
    bench, (_, *users) = taken_over(fund=500.0, rest_seconds=rest)
    fund = bench.venue._terms.fund
    row = np.array([fund])
    for _ in range(8):
        bench.mark(int(rng.integers(88, 104)))
        bench.venue.drain_liquidations()
        own, worth = bench.claim(fund) - bench.venue.held_claim, bench.venue.equity(row)[0]
        for user in users:
            side = int(rng.choice((BUY, SELL)))
            bench.do(
                limit_order(0, user, side, int(rng.integers(1, 4_000)), int(rng.integers(88, 104)))
            )
        assert bench.claim(fund) - bench.venue.held_claim >= own
        log = bench.venue.drain_liquidations()
        gained = 0.0 if log is None else float(log.fund.sum())
        assert bench.venue.equity(row)[0] - worth == pytest.approx(gained)
        bench.liquidate()


def test_resting_needs_a_fund_to_hold_the_lots() -> None:
    with pytest.raises(ValidationError, match="rest_seconds needs the stage fund"):
        LiquidationRule(stages=("orders", "adl"), rest_seconds=60.0)
