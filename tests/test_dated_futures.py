"""Dated futures: the calendar, the mean that settles, and everybody paid to the atom."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives.expiry import SettlementWindow, expiry_ladder, next_weekly, roll_seconds
from markets.derivatives.positions import Positions
from markets.derivatives.settlement import claw_back, proportional
from markets.intents import BUY, SELL, deposit, limit_order
from markets.outcomes import Code, Reason
from tests.perpetual_bench import STEP_SECONDS, Bench

CASES = json.loads((Path(__file__).parent / "vectors" / "perp_pnl.json").read_text())["cases"]
SETTLEMENT = next(case for case in CASES if case["kind"] == "dated_inverse_settlement")


def unix(*date):
    return datetime(*date, tzinfo=UTC).timestamp()


def test_the_ladder_of_march_2020() -> None:
    listed = expiry_ladder(unix(2020, 3, 12))
    assert {name: datetime.fromtimestamp(at, UTC) for name, at in listed.items()} == {
        "weekly": datetime(2020, 3, 13, 8, tzinfo=UTC),
        "bi_weekly": datetime(2020, 3, 20, 8, tzinfo=UTC),
        "quarterly": datetime(2020, 3, 27, 8, tzinfo=UTC),
        "next_quarterly": datetime(2020, 6, 26, 8, tzinfo=UTC),
    }


def test_a_day_is_listed_once_and_friday_at_eight_is_over() -> None:
    listed = expiry_ladder(unix(2020, 3, 20, 8))
    assert "weekly" not in listed
    assert listed["quarterly"] == unix(2020, 3, 27, 8)
    assert listed["bi_weekly"] == unix(2020, 4, 3, 8)
    assert next_weekly(unix(2020, 3, 20, 7, 59)) == unix(2020, 3, 20, 8)
    assert expiry_ladder(unix(2021, 12, 31, 9))["quarterly"] == unix(2022, 3, 25, 8)
    assert roll_seconds(unix(2020, 3, 27, 8), 2) == unix(2020, 3, 25, 8)


@given(
    steps=st.lists(st.tuples(st.integers(1, 40), st.floats(1.0, 100.0)), min_size=1, max_size=30),
    window=st.integers(1, 200),
)
def test_the_window_weighs_by_time(steps, window) -> None:
    """Against second-by-second prints."""
    prints = [price for seconds, price in steps for _ in range(seconds)]
    mean = SettlementWindow(len(prints), window)
    now = 0
    for seconds, price in steps:
        mean.add(now, price)
        now += seconds
    mean.add(now, steps[-1][1])
    assert mean.mean == pytest.approx(np.mean(prints[-window:]))


def test_the_published_settlement() -> None:
    inputs, expected = SETTLEMENT["inputs"], SETTLEMENT["expected"]
    samples = inputs["index_samples"]
    bench = Bench(
        2,
        100.0,
        tick=0.5,
        decimals=9,
        contract="inverse",
        contract_value_quote=inputs["contract_value"],
        expiry_seconds=(1 + len(samples)) * STEP_SECONDS,
        settlement_window_seconds=len(samples) * STEP_SECONDS,
        settlement_fee_ppm=round(inputs["settlement_fee_rate"] * 1e6),
    )
    long, short = bench.users
    bench.venue.marking.index = bench.venue.marking.mark = inputs["entry"]
    bench.mark(samples[0])
    bench.do(deposit(0, np.array(bench.users), bench.atoms(100)))
    ticks = bench.instrument.to_ticks(inputs["entry"])
    lots = inputs["contracts"]
    bench.do(limit_order(0, short, SELL, lots, ticks), limit_order(0, long, BUY, lots, ticks))
    assert bench.lots(long) == lots
    for price in (*samples[1:], samples[-1] * 1.5):
        bench.mark(price)
    assert bench.venue.expired
    assert bench.venue.marking.mark == expected["settlement_price"]
    column = bench.market.ledger.column["BTC"]
    paid = bench.units(int(bench.balances[long, column])) - 100
    assert paid == pytest.approx(expected["net_pnl"], abs=3e-9)
    paid = bench.units(int(bench.balances[short, column])) - 100
    assert paid == pytest.approx(-expected["gross_pnl"] - expected["fee"], abs=3e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(("linear", "inverse")),
    fund=st.sampled_from((0.0, 0.7)),
    jump=st.sampled_from((1.0, 0.93, 0.5, 1.9)),
)
def test_everything_is_closed_and_paid_at_expiry(seed, kind, fund, jump) -> None:
    """Whatever the last jump leaves: no contract, no claim, no debt, and every coin somewhere."""
    rng = np.random.default_rng(seed)
    bench = Bench(
        5,
        50.0,
        decimals=5,
        lot=0.01,
        contract=kind,
        initial_margin_ppm=100_000,
        insurance_fund_units=fund,
        expiry_seconds=8 * STEP_SECONDS,
        settlement_window_seconds=0.0,
        settlement_fee_ppm=500,
        taker_fee_ppm=300,
    )
    bench.do(deposit(0, np.array(bench.users), bench.atoms(30)))
    for step in range(1, 9):
        price = 100 * (jump if step == 8 else rng.uniform(0.99, 1.01))
        for user in bench.users:
            side, lots = rng.choice((BUY, SELL)), int(rng.integers(1, 20_000))
            bench.do(limit_order(0, user, side, lots, 100 + int(rng.integers(-1, 2))))
        bench.liquidate()
        bench.mark(price)
        bench.market.check()
    venue, terms, balances = bench.venue, bench.venue._terms, bench.balances
    assert venue.expired
    assert venue.book.count == 0
    assert not balances[:, [terms.contract, terms.margin]].any()
    assert balances[terms.vault, terms.quote] == 0
    assert (balances[1:, terms.quote] >= 0).all()
    total = balances[1:, terms.quote].sum()
    assert total == bench.atoms(5 * 50 + fund)
    assert bench.do(limit_order(0, bench.users[0], BUY, 1, 100)) == [Code.HALTED]
    bench.mark(120)
    bench.liquidate()


def test_debts_at_expiry_are_paid_by_the_fund_then_by_winners() -> None:
    bench = Bench(
        3,
        1e5,
        initial_margin_ppm=50_000,
        insurance_fund_units=20.0,
        expiry_seconds=2 * STEP_SECONDS,
        settlement_window_seconds=0.0,
    )
    long, winner, rich = bench.users
    bench.do(
        deposit(0, np.array([winner, rich]), bench.atoms(1e3)), deposit(0, long, bench.atoms(50))
    )
    bench.trade(long, winner, 6, 100)
    bench.trade(long, rich, 3, 100)
    bench.mark(100)
    bench.mark(90)
    column = bench.market.ledger.column["USDT"]
    owned = [bench.units(int(bench.balances[user, column])) for user in bench.users]
    assert owned[0] == 1e5 - 50  # 90 lost of 50: 40 short, 20 of it the fund's
    assert owned[1] == pytest.approx(1e5 + 60 - 20 * 60 / 90)
    assert owned[2] == pytest.approx(1e5 + 30 - 20 * 30 / 90)
    flows = bench.venue.drain_flows()
    assert bench.units(int(flows["atoms"][flows["reason"] == Reason.CLAWBACK].sum())) == 20
    assert dict(bench.venue.drain_events()) == {"settlement": 90.0, "clawback": 20.0}
    log = bench.venue.drain_liquidations()
    assert log.account.tolist() == [long, winner, rich]
    assert log.by.tolist() == ["fund", "clawback", "clawback"]
    assert (log.equity[0], log.fund[0], log.socialised[0]) == (-40, -20, 20)
    assert log.fee[1:] == pytest.approx([20 * 60 / 90, 20 * 30 / 90])
    assert log.socialised.sum() == pytest.approx(0)
    assert not log.fund[1:].any()


def test_a_dated_future_pays_no_funding() -> None:
    bench = Bench(2, expiry_seconds=1e6, interest_rate=0.001, funding_interval_seconds=60.0)
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.trade(*bench.users, 1, 100)
    for _ in range(5):
        bench.mark(100)
    assert {bench.claim(user) for user in bench.users} == {bench.atoms(900), bench.atoms(1_100)}


@given(weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=30), part=st.floats(0.0, 1.0))
def test_shares_add_up_and_nobody_gives_more_than_his_weight(weights, part) -> None:
    amount = int(sum(weights) * part)
    shares = proportional(amount, np.array(weights, np.int64))
    assert shares.sum() == amount
    assert (shares >= 0).all()
    assert (shares <= weights).all()
    exact = [amount * weight / max(1, sum(weights)) for weight in weights]
    assert np.abs(shares - exact).max() <= len(weights)


def test_a_fund_with_a_position_cuts_nobody() -> None:
    bench = Bench(2)
    terms = bench.venue._terms
    positions: Positions = bench.venue._positions
    bench.balances[terms.fund, terms.contract] = 1
    bench.balances[terms.fund, terms.margin] = -10
    assert not claw_back(positions, terms, np.full(len(bench.balances), 100)).any()
