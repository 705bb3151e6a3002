"""The lending pool against Aave v3 on Polygon, 16 and 17 August 2023, minute by minute.

The files have rates and indices, not utilisation. Aave's curve of WETH (1 %, 3.8 % up to 80 %,
reserve 15 %) gives the utilisation of each borrow rate, and so the rate that suppliers must get.
USDC (3.5 % up to 90 %, 60 % above, reserve 10 %) had some debt at stable rates, whose part and mean
rate are fitted: two figures for 2,880 minutes. Left out of the pool: stable debt, flash-loan fees.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from markets.intents import add_coin, remove_coin
from markets.lending.lending_intents import borrow
from markets.lending.lending_params import ReserveParams
from markets.outcomes import Code
from tests.lending_bench import ETH, RESERVES, USDC, Bench

FOLDER = os.environ.get("FATHOM_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="FATHOM_DATA names no folder of histories")

USDC_FILE, WETH_FILE = (
    "polygon-aave_v3-0x2791bca1f2de4661ed88a30c99a7a9449aa84174",
    "polygon-aave_v3-0x7ceb23fd6bc0add59e62ac25578270cff1b9f619",
)
WETH = ReserveParams(
    kink=0.8, rate_at_0=0.01, rate_at_kink=0.048, rate_at_1=0.848, reserve_ppm=150_000
)
DOLLAR = ReserveParams(kink=0.9, rate_at_kink=0.035, rate_at_1=0.635, reserve_ppm=100_000)
SUPPLY, MINUTE = 800_000.0, 60.0


def minutes(name: str) -> pd.DataFrame:
    folder = Path(FOLDER or "") / "aave_v3_minute"
    days = [pd.read_csv(folder / f"{name}-2023-08-{day}.minute.csv") for day in (16, 17)]
    return pd.concat(days, ignore_index=True)


def utilisation_of(rules: ReserveParams, rates: np.ndarray) -> np.ndarray:
    """Where on the curve a borrow rate lies."""
    low = (rates - rules.rate_at_0) / (rules.rate_at_kink - rules.rate_at_0) * rules.kink
    above = (rates - rules.rate_at_kink) / (rules.rate_at_1 - rules.rate_at_kink)
    return np.where(rates <= rules.rate_at_kink, low, rules.kink + above * (1 - rules.kink))


def lent(rules: ReserveParams, used: float) -> Bench:
    """A pool of 800,000 units of the second coin, so much of it lent against plenty of ETH."""
    bench = Bench(reserves=(RESERVES[0], rules))
    lender, borrower = bench.users[:2]
    codes = bench.do(
        add_coin(0, lender, USDC, bench.atoms(USDC, SUPPLY)),
        add_coin(0, borrower, ETH, bench.atoms(ETH, 1e5)),
        borrow(0, borrower, USDC, bench.atoms(USDC, SUPPLY * used)),
    )
    assert codes == [Code.DONE] * 3
    return bench


def test_suppliers_of_weth_get_what_the_curve_says() -> None:
    rows = minutes(WETH_FILE)
    rates = rows["variable_borrow_rate"].to_numpy()
    used = utilisation_of(WETH, rates)
    for at in range(0, len(rows), 180):
        view = lent(WETH, used[at]).view
        assert view.borrow_rates[USDC] == pytest.approx(rates[at], rel=1e-6)
        assert view.supply_rates[USDC] == pytest.approx(rows["liquidity_rate"][at], rel=1e-3)


def test_suppliers_of_usdc_get_it_but_for_debt_at_stable_rates() -> None:
    rows = minutes(USDC_FILE)
    rates, got = (rows[name].to_numpy() for name in ("variable_borrow_rate", "liquidity_rate"))
    used = utilisation_of(DOLLAR, rates)
    parts = np.stack([used * rates, used], axis=1) * (1 - DOLLAR.reserve_ppm / 1e6)
    (variable, stable), *_ = np.linalg.lstsq(parts / got[:, None], np.ones(len(got)), rcond=None)
    assert 0.9 < variable < 1
    assert 0.03 < stable / (1 - variable) < 0.09
    assert np.abs(parts @ [variable, stable] / got - 1).max() < 0.01


def test_three_percent_of_utilisation_took_usdc_from_three_to_eight_percent() -> None:
    """17 August 2023: 3.4 % at the low of the day, 8.3 % at 13:43; the kink lies between."""
    day = minutes(USDC_FILE).iloc[1440:]["variable_borrow_rate"].to_numpy()
    low, high = day.min(), day.max()
    assert (round(low, 3), round(high, 3)) == (0.034, 0.083)
    bench = lent(DOLLAR, float(utilisation_of(DOLLAR, low)))
    assert bench.view.borrow_rates[USDC] == pytest.approx(low, rel=1e-6)
    leaving = float(1 - utilisation_of(DOLLAR, low) / utilisation_of(DOLLAR, high))
    assert leaving == pytest.approx(0.03, abs=0.01)
    lender = bench.users[0]
    shares = int(bench.shares(lender, USDC) * leaving)
    assert bench.do(remove_coin(0, lender, USDC, shares)) == [Code.DONE]
    assert bench.view.borrow_rates[USDC] == pytest.approx(high, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "rules", "close"), [(USDC_FILE, DOLLAR, 1e-3), (WETH_FILE, WETH, 1e-4)]
)
def test_two_days_of_rates_grow_a_debt_as_much_as_the_index(name, rules, close) -> None:
    """Each minute the supplier moves his stake to where the curve gives that minute's rate."""
    rows = minutes(name)
    rates = rows["variable_borrow_rate"].to_numpy()
    used = utilisation_of(rules, rates)
    bench = lent(rules, float(used[0]))
    lender, borrower = bench.users[:2]
    first = bench.view.owed_atoms(borrower, USDC)
    for wanted in used[:-1]:
        view = bench.view
        change = bench.atoms(USDC, bench.owed(borrower, USDC) / wanted - float(view.supplied[USDC]))
        shares = int(view.shares_for(USDC, np.array([max(1, -change)]))[0])
        move = add_coin(0, lender, USDC, change)
        codes = bench.do(move if change > 0 else remove_coin(0, lender, USDC, shares))
        assert codes == [Code.DONE]
        bench.next(seconds=MINUTE)
    growth = bench.view.owed_atoms(borrower, USDC) / first - 1
    index = rows["variable_borrow_index"]
    assert growth == pytest.approx(index.iloc[-1] / index.iloc[0] - 1, rel=close)
