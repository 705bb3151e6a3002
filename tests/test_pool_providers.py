"""Providers of a pool-based perpetual: two coins, fees that guard the mix, the oracle's spread."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives.pool_perpetual import PoolPerpetual
from markets.intents import BUY, REDUCE_ONLY, SELL, add_coin, market_order, remove_coin
from markets.outcomes import Code
from tests.test_pool_perpetual import UNIT, Bench

ETH = 10**8
GLP = {"mint_fee_ppm": 2_500, "mint_tax_ppm": 5_000, "base_weight_ppm": 500_000}
VECTORS = Path(__file__).parent / "vectors" / "perp_pool.json"
FEES = [case for case in json.loads(VECTORS.read_text())["cases"] if case["kind"] == "glp_fee_bps"]


def rich(**params: object) -> Bench:
    """The usual bench, whose provider has a thousand coins of base as well."""
    bench = Bench(**params)
    bench.market.ledger.issue(np.array([bench.provider]), "ETH", 10_000 * ETH)
    return bench


def stock(bench: Bench, asset: str, atoms: int) -> None:
    """Bring an asset from outside straight into the pool."""
    bench.market.ledger.issue(bench.venue.accounts[:1], asset, atoms)


def shares(bench: Bench) -> int:
    column = bench.market.ledger.column[bench.venue.share.name]
    return int(bench.market.ledger.balances[bench.provider, column])


@pytest.mark.parametrize("case", FEES, ids=lambda case: case["id"])
def test_published_mint_fees(case: dict) -> None:
    """A coin of the worth of the case, and quote that makes its target what it is there."""
    inputs = case["inputs"]
    bench = rich(**GLP, provider_part_ppm=10**6)
    held = inputs["usdg"] * 2_000
    stock(bench, "ETH", held * ETH // 1_000)
    stock(bench, "USDC", (2 * inputs["target"] * 2_000 - held - 10**6) * UNIT)
    before, value = shares(bench), bench.pool()
    change = inputs["delta"] * 2
    assert bench.do(add_coin(0, bench.provider, 1, change * ETH)) == [Code.DONE]
    minted = (shares(bench) - before) * value / before
    paid = change * 1_000 * (1 - case["expected"]["fee_bps_unrounded"] / 1e4)
    assert minted == pytest.approx(paid, rel=1e-9)


def test_the_fee_is_shared_in_the_coin_that_pays_it() -> None:
    bench = rich(mint_fee_ppm=2_500, provider_part_ppm=700_000)
    assert bench.pool() == 10**6 - 2_500 * 0.3
    assert bench.row(3) == 2_500 * 0.3
    assert shares(bench) == 997_500 * UNIT


def test_base_comes_and_goes_at_the_oracle_price() -> None:
    bench = rich(base_weight_ppm=500_000)
    assert bench.do(add_coin(0, bench.provider, 1, 1_000 * ETH)) == [Code.DONE]
    assert bench.pool() == 2e6
    bench.at(1_500.0)
    assert bench.pool() == 2.5e6
    assert bench.do(remove_coin(0, bench.provider, 1, shares(bench) // 5)) == [Code.DONE]
    column = bench.market.ledger.column["ETH"]
    held = bench.market.ledger.balances[bench.provider, column] / ETH
    assert held == pytest.approx(9_000 + 500_000 / 1_500, abs=1e-7)
    assert bench.do(remove_coin(0, bench.provider, 1, shares(bench))) == [Code.NO_LIQUIDITY]


def test_a_pool_of_quote_takes_no_base() -> None:
    bench = rich()
    assert bench.do(add_coin(0, bench.provider, 1, ETH)) == [Code.INVALID]
    assert bench.do(remove_coin(0, bench.provider, 1, 1)) == [Code.INVALID]


def test_away_from_the_target_costs_more_than_towards_it() -> None:
    bench = rich(**GLP)
    bench.do(add_coin(0, bench.provider, 1, 600 * ETH))
    providers = bench.venue.providers
    away, towards = providers.fee_ppm(0, 10**5 * UNIT), providers.fee_ppm(1, 10**5 * UNIT)
    assert away > 2_500 > towards
    assert providers.fee_ppm(0, -(10**5) * UNIT) < 2_500 < providers.fee_ppm(1, -(10**5) * UNIT)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_traders_pay_half_the_spread_on_either_way_to_the_providers(side: int) -> None:
    bench = Bench(half_spread_ppm=500)
    trader = bench.traders[0]
    bench.do(market_order(0, trader, side, 10_000))
    fill = bench.venue.drain_fills()[0]
    assert fill["quote_atoms"] == round(100_000 * (1 + side * 5e-4) * UNIT)
    assert bench.wallet(trader) == 50_000 - 50
    bench.do(market_order(0, trader, -side, 10_000, REDUCE_ONLY))
    assert bench.wallet(trader) == 50_000 - 100
    assert bench.pool() == 10**6 + 100
    assert bench.row(3) == 0


def test_shares_are_dear_when_bought_and_cheap_when_sold_by_the_spread_of_what_is_at_stake() -> (
    None
):
    bench = Bench(half_spread_ppm=1_000, reserve_factor=1.0)
    bench.do(market_order(0, bench.traders[0], BUY, 50_000))
    pool = bench.pool()
    assert bench.venue.providers.value(1) == round((pool + 500) * UNIT)
    assert bench.venue.providers.value(-1) == round((pool - 500) * UNIT)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "buy", "sell"]),
            st.integers(0, 1),
            st.integers(1, 60_000),
            st.floats(600, 1_600),
        ),
        max_size=20,
    ),
    st.integers(0, 2_000),
)
def test_play_is_exact_and_coming_and_going_at_once_earns_nothing(moves, half_spread) -> None:
    bench = rich(**GLP, half_spread_ppm=half_spread, fee_ppm=500)
    trader, ledger = bench.traders[0], bench.market.ledger
    columns = [ledger.column[name] for name in ("USDC", "ETH")]
    for kind, coin, size, price in moves:
        bench.at(price)
        atoms = size * (UNIT if coin == 0 else ETH // 1_000)
        if kind == "add":
            before, held = ledger.balances[bench.provider].copy(), shares(bench)
            if bench.do(add_coin(0, bench.provider, coin, atoms)) == [Code.DONE]:
                back = remove_coin(0, bench.provider, coin, shares(bench) - held)
                if bench.do(back) == [Code.DONE]:
                    after = ledger.balances[bench.provider]
                    assert after[columns[coin]] <= before[columns[coin]]
                    assert shares(bench) == held
                    bench.do(add_coin(0, bench.provider, coin, atoms))
        elif kind == "remove":
            bench.do(remove_coin(0, bench.provider, coin, min(size * UNIT, shares(bench)) or 1))
        else:
            bench.do(market_order(0, trader, BUY if kind == "buy" else SELL, size))
        bench.end()
    assert np.isfinite(list(bench.venue.measure(bench.moment).values())).all()


def test_the_preset_of_gmx_v1_has_its_mint_fee() -> None:
    params = PoolPerpetual.Params(preset="gmx_v1")
    assert (params.mint_fee_ppm, params.mint_tax_ppm) == (2_500, 5_000)
