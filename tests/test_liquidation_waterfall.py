"""Takeover, book, fund and deleveraging: published cases and the rules they follow."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from markets.derivatives.brackets import (
    MarginTier,
    margin_tiers,
    requirement_atoms,
    whole_brackets,
)
from markets.derivatives.margin import maintenance_margin
from markets.derivatives.ranking import Ranking
from markets.intents import (
    BUY,
    SELL,
    cancel_all,
    deposit,
    limit_order,
)
from markets.outcomes import Code, Reason
from tests.perpetual_bench import Bench, crowded
from tests.reference.liquidation_prices import tiered_price

VECTORS = Path(__file__).parent / "vectors"


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
    bench = Bench(8, 1e8, insurance_fund_units=inputs["fund_before"])
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
        bench.do(cancel_all(0, maker))
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
    assert [event for event, _ in venue.drain_events()] == ["shortfall"]
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


@pytest.mark.parametrize("ranking", list(Ranking))
def test_every_ranking_closes_the_same_quantity(ranking) -> None:
    bench, long, *_ = crowded(adl_ranking=ranking)
    bench.mark(90)
    bench.liquidate()
    assert bench.venue.measure(bench.moment)["adl"] == 10
    assert bench.lots(long) == 0


@settings(max_examples=100)
@given(
    side=st.sampled_from((BUY, SELL)),
    margin=st.integers(20, 400),
    lots=st.integers(1_000, 20_000),
    rates=st.sampled_from(((5_000,), (5_000, 10_000), (4_000, 9_000, 25_000))),
)
def test_liquidation_begins_at_the_price_of_the_formula(side, margin, lots, rates) -> None:
    """The solved liquidation price and the venue's whole-number margin agree to the tick."""
    floors = (0.0, 500.0, 1_500.0)[: len(rates)]
    tiers = [
        MarginTier(floor_units=f, maintenance_ppm=r) for f, r in zip(floors, rates, strict=True)
    ]
    bench = Bench(2, 1e6, tick=0.01, maintenance_tiers=tiers, initial_margin_ppm=20_000)
    user, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(1e6)), deposit(0, user, bench.atoms(margin)))
    size = bench.instrument.to_base(lots)
    assume(margin > 0.08 * size * 100)
    bench.trade(*((user, rich) if side > 0 else (rich, user)), size, 100)
    price, _ = tiered_price(side, size, 100.0, margin, floors, np.array(rates) / 1e6)
    assume(price > 0.05)
    assume(abs(price * 100 - round(price * 100)) > 1e-3)
    inside = math.ceil(price * 100) if side > 0 else math.floor(price * 100)
    bench.mark(inside / 100)
    bench.liquidate()
    assert bench.lots(user) == side * lots
    bench.mark((inside - side) / 100)
    bench.liquidate()
    assert bench.lots(user) == 0


@given(notional=st.integers(0, 10**15), initial=st.booleans())
def test_brackets_in_atoms_are_those_of_the_formula(notional, initial) -> None:
    listed = [(0.0, 4_000), (50_000.0, 5_000), (250_000.0, 10_000), (1e6, 25_000), (1e7, 50_000)]
    tiers = [MarginTier(floor_units=f, maintenance_ppm=r) for f, r in listed]
    chosen = margin_tiers(tiers, 10_000)[initial]
    exact = float(maintenance_margin(chosen, notional / 1e6)) * 1e6
    got = requirement_atoms(whole_brackets(chosen, 10**6), notional)
    assert exact - 0.01 - 1e-12 * notional <= got <= exact + 2.01 + 1e-12 * notional
