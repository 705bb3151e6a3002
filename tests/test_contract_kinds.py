"""Linear, inverse and quanto contracts of the venue: published profits, coins that balance."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.derivatives.contract_form import ContractForm, ContractKind
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.intents import BUY, SELL, deposit, limit_order, market_order
from markets.outcomes import Code, Reason
from tests.perpetual_bench import Bench

CASES = json.loads((Path(__file__).parent / "vectors" / "perp_pnl.json").read_text())["cases"]
PROFITS = [case for case in CASES if case["kind"] == "pnl"]
COIN = Asset("XBT", 9)


def bench_of(contract, tick=0.25, **params):
    """A venue of the kind with two rich users, a lot being what the vectors call a contract."""
    if contract == "inverse":
        params |= {"contract": "inverse"}
    if contract == "quanto":
        params |= {"contract": "quanto", "settlement": COIN, "lot": 1.0}
    return Bench(3, 5e6, tick=tick, decimals=9 if contract != "linear" else 6, **params)


@pytest.mark.parametrize("case", PROFITS, ids=lambda case: case["id"])
def test_published_profits(case) -> None:
    inputs, kind = case["inputs"], case["inputs"]["contract"]
    value = inputs.get("contract_value", 1)
    params = {"inverse": {"contract_value_quote": value}, "quanto": {"quanto_rate": value}}
    bench = bench_of(kind, **params.get(kind, {}))
    user, rich, other = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(4e6)))
    lots = round(inputs["qty"] / (bench.instrument.lot_size if kind == "linear" else 1))
    side = BUY if inputs["side"] == "long" else SELL
    for price, way, against in ((inputs["entry"], side, rich), (inputs["exit"], -side, other)):
        bench.mark(price)
        ticks = bench.instrument.to_ticks(price)
        resting = limit_order(0, against, -way, lots, ticks)
        codes = bench.do(resting, limit_order(0, user, way, lots, ticks))
        assert codes == [Code.RESTING, Code.FILLED]
    profit = bench.units(bench.claim(user)) - 4e6
    assert profit == pytest.approx(case["expected"]["pnl"], abs=2e-9)
    assert bench.lots(user) == 0
    bench.market.check()


def test_fills_of_an_inverse_contract_are_recorded_in_coin_and_quote() -> None:
    bench = bench_of("inverse", contract_value_quote=100, taker_fee_ppm=500)
    maker, taker, _ = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.mark(40_000)
    bench.do(
        limit_order(0, maker, SELL, 4_000, 160_000), limit_order(0, taker, BUY, 4_000, 160_000)
    )
    fills = bench.venue.drain_fills()
    base, quote, fee = bench.venue.fill_scales(fills)
    assert fills["base_atoms"][0] / base == 10
    assert fills["quote_atoms"][0] / quote == 400_000
    assert fills["taker_fee_atoms"][0] / fee == pytest.approx(0.005)
    assert bench.venue.measure(bench.moment)["open_interest"] == pytest.approx(10)


def test_a_short_with_all_its_coins_is_never_liquidated() -> None:
    """One coin behind a short of one coin's worth: the coin gains what the contract loses."""
    bench = bench_of("inverse", tick=1.0)
    short, rich, _ = bench.users
    bench.mark(1_000)
    bench.do(deposit(0, short, bench.atoms(1)), deposit(0, rich, bench.atoms(1e6)))
    rows = [limit_order(0, short, SELL, 1_000, 1_000), limit_order(0, rich, BUY, 1_000, 1_000)]
    assert bench.do(*rows) == [Code.RESTING, Code.FILLED]
    for price in (2_000, 50_000, 2_000_000, 300):
        bench.mark(price)
        bench.liquidate()
        assert bench.lots(short) == -1_000


def test_an_inverse_long_is_liquidated_at_the_price_of_the_formula() -> None:
    """N (mmr + 1)/(W + N/E) = 10,000 x 1.005/(0.1 + 1): 9,136.4."""
    bench = bench_of("inverse", tick=1.0, initial_margin_ppm=50_000)
    long, rich, _ = bench.users
    bench.mark(10_000)
    bench.do(deposit(0, long, bench.atoms(0.1)), deposit(0, rich, bench.atoms(1e6)))
    rows = [limit_order(0, rich, SELL, 10_000, 10_000), limit_order(0, long, BUY, 10_000, 10_000)]
    assert bench.do(*rows) == [Code.RESTING, Code.FILLED]
    bench.mark(9_137)
    bench.liquidate()
    assert bench.lots(long) == 10_000
    bench.mark(9_136)
    bench.liquidate()
    assert bench.lots(long) == 0


def test_deleveraging_an_inverse_contract_forgoes_the_bad_debt() -> None:
    bench = bench_of("inverse", tick=1.0, initial_margin_ppm=50_000)
    long, rich, _ = bench.users
    bench.mark(10_000)
    bench.do(deposit(0, long, bench.atoms(0.1)), deposit(0, rich, bench.atoms(1e3)))
    bench.do(limit_order(0, rich, SELL, 10_000, 10_000), limit_order(0, long, BUY, 10_000, 10_000))
    bench.mark(8_000)
    debt = -bench.venue.equity(np.array([long]))[0]
    assert debt == pytest.approx(10_000 * (1 / 8_000 - 1 / 10_000) - 0.1)
    bench.liquidate()
    flows = bench.venue.drain_flows()
    forgone = flows["atoms"][flows["reason"] == Reason.ADL].sum()
    assert bench.units(int(forgone)) == pytest.approx(debt, abs=3e-9)
    assert bench.fund() == 0
    fills = bench.venue.drain_fills()
    assert fills["price_ticks"][-1] == round(10_000 / 1.1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(("inverse", "quanto")),
    decimals=st.integers(4, 9),
)
def test_random_play_keeps_every_atom(seed, kind, decimals) -> None:
    """The venue checks itself each step; here also, equities come to the collateral."""
    rng = np.random.default_rng(seed)
    params = {"contract": kind, "insurance_fund_units": 0.5, "initial_margin_ppm": 50_000}
    if kind == "quanto":
        params |= {"settlement": Asset("XBT", decimals), "lot": 1.0, "quanto_rate": 10**-decimals}
    else:
        params |= {"contract_value_quote": 10.0}
    params |= {"taker_fee_ppm": 700, "maker_fee_ppm": -200}
    bench = Bench(6, 1e4 * 10 ** -(decimals - 4) + 40, decimals=decimals, **params)
    bench.do(deposit(0, np.array(bench.users), bench.atoms(30)))
    price = 1_000
    for _ in range(25):
        price = max(50, int(price * rng.choice((0.8, 0.97, 1.0, 1.03, 1.25))))
        bench.mark(price)
        for user in rng.permutation(bench.users):
            side, lots = rng.choice((BUY, SELL)), int(rng.integers(1, 4_000))
            limit = int(price * rng.uniform(0.97, 1.03))
            order = limit_order(0, int(user), side, lots, limit)
            bench.do(order if rng.random() < 0.7 else market_order(0, int(user), side, lots))
        bench.liquidate()
        balances, terms = bench.balances, bench.venue._terms
        rows = np.arange(1, len(balances))
        rows = rows[rows != terms.vault]
        equities = bench.venue.equity(rows).sum()
        held = bench.units(int(balances[terms.vault, terms.quote]))
        short = round((held - equities) * bench.settlement.scale, 3)
        assert 0 <= short <= (len(rows) if kind == "inverse" else 0)


def test_a_contract_settles_in_its_own_asset_and_in_whole_atoms() -> None:
    instrument = Instrument(Asset("BTC", 8), Asset("USD", 6), 0.5, 0.01)
    with pytest.raises(ConfigError, match="settles in BTC"):
        ContractForm(ContractKind.INVERSE, instrument, COIN)
    with pytest.raises(ConfigError, match="quanto_rate"):
        ContractForm(ContractKind.QUANTO, instrument, COIN, quanto_rate=1e-9)
    params = Perpetual.Params(contract="inverse", contract_value_quote=100)
    venue = Perpetual("perp", "ex", instrument, params)
    assert [asset.name for asset in venue.columns()] == [
        "BTC",
        "BTC",
        "perp:contract",
        "perp:margin",
    ]
    assert venue.form.notional_atoms == 100 * 10**8 * 2


@given(lots=st.integers(1, 10**6), price=st.floats(1.0, 1e5))
def test_lots_and_base_convert_back(lots, price) -> None:
    instrument = Instrument(Asset("BTC", 8), Asset("USD", 6), 0.5, 0.01)
    form = ContractForm(ContractKind.INVERSE, instrument, instrument.base, lot_quote=10.0)
    assert form.to_lots(form.to_base(lots, price), price) == lots
