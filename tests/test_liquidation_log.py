"""The liquidation log: who was liquidated, at what prices, and that what was paid adds up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate
from experiments.tables import LIQUIDATIONS
from markets.derivatives.brackets import MarginTier
from markets.intents import BUY, SELL, cancel_all, deposit, limit_order
from markets.outcomes import Code, Reason
from tests.perpetual_bench import Bench, crowded


def bid(bench, user, base, price):
    lots, ticks = bench.instrument.to_lots(base), bench.instrument.to_ticks(price)
    assert bench.do(limit_order(0, user, BUY, lots, ticks)) == [Code.RESTING]


def test_the_book_and_the_fund_pay_for_a_position_that_fell_through() -> None:
    """A long of 10 from 100, worth nothing at 95: marked at 93, sold 4 at 93, 6 at 92."""
    bench, long, _, _, rich = crowded(fund=100.0)
    bid(bench, rich, 4, 93)
    bid(bench, rich, 10, 92)
    bench.mark(93)
    bench.liquidate()
    log = bench.venue.drain_liquidations()
    assert (log.account.tolist(), log.by.tolist(), log.lots.tolist()) == (
        [long],
        ["fund"],
        [10_000],
    )
    assert (log.mark[0], log.bankruptcy_price[0], log.size[0]) == (93, 95, 10)
    assert log.price[0] == pytest.approx(92.4)
    assert (log.equity[0], log.book[0], log.book_size[0]) == (-20, 6, 10)
    assert (log.adl[0], log.adl_size[0], log.backstop[0], log.socialised[0]) == (0, 0, 0, 0)
    assert log.fund[0] == -26 == bench.fund() - 100
    assert bench.venue.drain_liquidations() is None


def test_deleveraged_winners_pay_what_the_fund_lacks() -> None:
    """A fund of 1 pays 1 of the 2 below bankruptcy at 94 for a lot; winners forgo 95 - 93."""
    bench, long, *_, rich = crowded(fund=4.0)
    bid(bench, rich, 10, 94)
    bench.mark(93)
    bench.liquidate()
    log = bench.venue.drain_liquidations()
    assert log.account.tolist() == [long]
    assert (log.book_size[0], log.adl_size[0]) == (4, 6)
    assert log.adl[0] == pytest.approx(6 * 2)
    assert log.book[0] == pytest.approx(-4 * 1)  # makers bought above the mark
    assert log.fund[0] == pytest.approx(-4)
    assert log.fund[0] == pytest.approx(log.equity[0] - log.book[0] + log.adl[0])


def test_what_an_empty_fund_owes_is_socialised() -> None:
    rule = {"preset": "okx_2018"}
    bench, long, *_, rich = crowded(fund=10.0, liquidation=rule)
    bid(bench, rich, 10, 92)
    bench.mark(93)
    bench.liquidate()
    log = bench.venue.drain_liquidations()
    assert (log.account[0], log.equity[0], log.book[0]) == (long, -20, 10)
    assert (log.fund[0], log.socialised[0]) == (-10, 20)
    assert bench.fund() == -20


def test_lots_that_the_fund_kept_are_closed_under_its_own_name() -> None:
    """A trader alone with the fund: nobody takes the lots, until somebody bids a step later."""
    bench = Bench(3, 1e5, insurance_fund_units=500.0)
    long, short, late = bench.users
    bench.do(deposit(0, late, bench.atoms(1e4)))
    bench.do(deposit(0, np.array([long, short]), bench.atoms(50)))
    bench.trade(long, short, 10, 100)
    bench.mark(105)  # the short is liquidated, and the long stays
    bench.liquidate()
    first = bench.venue.drain_liquidations()
    assert (first.account.tolist(), first.by.tolist()) == ([short], ["fund"])
    held = bench.lots(bench.venue._terms.fund)
    if held:  # nobody but the long could take them; a seller comes
        bench.do(limit_order(0, late, SELL, -held, 105))
        bench.mark(105)
        bench.liquidate()
        later = bench.venue.drain_liquidations()
        assert (later.by.tolist(), later.account.tolist()) == (
            ["holding"],
            [bench.venue._terms.fund],
        )
        assert later.book_size[0] == -held / 1_000


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    preset=st.sampled_from(("takeover", "binance", "bitmex", "hyperliquid", "dydx", "okx_2018")),
    rests=st.booleans(),
    inverse=st.booleans(),
)
def test_rows_explain_the_fund_and_the_fills(seed, preset, rests, inverse) -> None:
    """Over any play: sizes are those of the fills, and payments the change of the fund's equity."""
    rng = np.random.default_rng(seed)
    kind = {"contract": "inverse", "contract_value_quote": 100.0} if inverse else {}
    tiers = [MarginTier(maintenance_ppm=30_000)]
    rule = {"preset": preset}
    if preset == "hyperliquid":
        rule["backstops"] = ({"capital": 20.0},)
    elif rests:
        rule["rest_seconds"] = 180.0
    bench = Bench(
        6,
        300.0,
        decimals=4,
        liquidation=rule,
        insurance_fund_units=3.0,
        maintenance_tiers=tiers,
        initial_margin_ppm=50_000,
        lot=0.01,
        **kind,
    )
    bench.do(deposit(0, np.array(bench.users), bench.atoms(3.0 if inverse else 250.0)))
    price, fund = 100, np.array([bench.venue._terms.fund])
    for _ in range(12):
        price = int(np.clip(price + rng.integers(-9, 10), 40, 250))
        bench.mark(price)
        bench.do(cancel_all(0, np.array(bench.users)))
        for user in rng.permutation(bench.users).tolist():
            side, lots = int(rng.choice((BUY, SELL))), int(rng.integers(1, 400))
            bench.do(limit_order(0, user, side, lots, price + int(rng.integers(-3, 4))))
        bench.venue.drain_fills()
        bench.venue.drain_liquidations()
        before = bench.venue.equity(fund)[0]
        bench.liquidate()
        change = bench.venue.equity(fund)[0] - before
        fills, log = bench.venue.drain_fills(), bench.venue.drain_liquidations()
        if log is None:
            assert change == 0
            continue
        slack = 1e-4 * (3 * len(fills) + 2 * len(log.account) + 2) if inverse else 1e-9
        assert (log.fund - log.socialised).sum() == pytest.approx(change, abs=slack)
        for size, reason in ((log.book_size, Reason.LIQUIDATION), (log.adl_size, Reason.ADL)):
            lots = int(fills["size_lots"][fills["reason"] == reason].sum())
            exact = float(bench.venue.form.to_base(lots, float(price)))
            assert size.sum() == pytest.approx(exact, rel=1e-9)
        taken = np.isin(log.by, ("fund", "holding"))
        explained = np.where(log.by == "holding", 0.0, log.equity) - log.book + log.adl
        np.testing.assert_allclose(
            (log.fund - log.socialised - log.fee)[taken], explained[taken], atol=max(slack, 1e-9)
        )


def test_users_get_the_log_as_a_table() -> None:
    scenario = find_scenario("flash_crash")
    params = resolve(scenario, {"traders.count": 400})
    tables = simulate(scenario, params, 5, steps=900).tables
    rows, steps, flows = (tables[name] for name in ("liquidations", "steps", "flows"))
    assert list(rows) == [column.name for column in LIQUIDATIONS.columns]
    assert len(rows["step"]) > 10
    assert set(rows["by"]) <= {"orders", "backstop", "fund", "unwinding", "holding"}
    assert set(rows["venue"]) == set(steps["venue"][steps["liquidations"] > 0])
    taken = np.isin(rows["by"], ("orders", "backstop", "fund"))
    assert rows["size"][taken].sum() == pytest.approx(np.nansum(steps["liquidated"]))
    assert rows["adl_size"].sum() == pytest.approx(np.nansum(steps["adl"]))
    paid = flows["paid"][flows["reason"] == "adl"].sum()
    assert np.abs(rows["adl"]).sum() >= paid - 1e-6
    assert (rows["mark"] > 0).all()
