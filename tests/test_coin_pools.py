"""Pools of several coins: amounts of all in one intent, fees of liquidity, limits, share worth."""

import numpy as np
import pytest

from markets.assets import Asset
from markets.errors import ConfigError, FathomError
from markets.exchange import Exchange
from markets.intents import (
    SELL,
    add_coin,
    add_coins,
    privately,
    remove_coin,
    remove_coins,
    remove_liquidity,
    stack,
    swap_coins,
    swap_coins_exact_out,
    swap_exact_in,
)
from markets.market import Market
from markets.outcomes import Code
from markets.pools import cryptoswap, stableswap, weighted
from markets.pools.pool import pair
from markets.pools.stableswap_pool import StableSwapPool
from markets.pools.weighted_pool import WeightedPool
from markets.venue import Moment
from tests.pool_bench import Bench, draw_liquidity, draw_swap

DONE = int(Code.DONE)
NOW = Moment(0, 0.0, 1.0, {"C0": 1.0, "C1": 1.0, "C2": 0.5})


class Table:
    """One pool of so many coins of six decimals, and two rich accounts."""

    def __init__(self, kind: type, count: int, **params: object) -> None:
        coins = tuple(Asset(f"C{number}", 6) for number in range(count))
        self.pool = kind("pool", "x", coins, kind.Params(**params))
        self.market = Market([Exchange("x")], [self.pool])
        rows = self.market.open_accounts("t", "x", 2)
        for coin in coins:
            self.market.ledger.issue(rows, coin.name, 10**16)
        self.market.begin()
        self.lp, self.trader = (int(row) for row in rows)

    @property
    def view(self):
        return self.pool.observe(NOW)

    def run(self, *intents) -> list[int]:
        codes = self.pool.execute(stack(intents), NOW).tolist()
        self.market.check()
        return codes

    def held(self, row: int) -> np.ndarray:
        return self.market.ledger.balances[row].copy()


@pytest.mark.parametrize("count", range(2, 9))
def test_up_to_eight_coins_travel_in_one_intent(count):
    table = Table(StableSwapPool, count)
    amounts = [10**12 + number for number in range(count)]
    assert table.run(privately(add_coins(0, table.lp, amounts))) == [DONE]
    assert table.view.reserves_atoms == tuple(amounts)
    assert table.view.shares_atoms == pytest.approx(sum(amounts), rel=1e-9)
    last = count - 1
    size = [0] * last + [10**9]
    before = table.held(table.lp)
    assert table.run(remove_coins(0, table.lp, size)) == [DONE]
    assert (table.held(table.lp) - before)[last] == 10**9
    assert table.run(swap_coins(0, table.trader, last, 0, 10**8)) == [DONE]
    assert table.run(swap_coins_exact_out(0, table.trader, 0, last, 10**8, 2 * 10**8)) == [DONE]


def test_amounts_that_cannot_be_are_rejected():
    table = Table(StableSwapPool, 3)
    assert table.run(add_coins(0, table.lp, [10**12, 10**12, 0])) == [Code.NO_LIQUIDITY]
    assert table.run(add_coins(0, table.lp, [10**12] * 3)) == [DONE]
    codes = table.run(
        add_coins(0, table.lp, [-1, 10, 10]),
        add_coins(0, table.lp, [0, 0, 0]),
        add_coin(0, table.lp, 3, 10**6),
        add_coin(0, table.lp, -1, 10**6),
        add_coin(0, table.lp, 0, 10**6, 10**6),
        add_coins(0, table.lp, [10**17, 0, 0]),
        remove_coin(0, table.lp, 3, 10**6),
        remove_coin(0, table.lp, 0, 10**6, 10**6),
        remove_coins(0, table.lp, [10**12, 0, 0]),
        remove_coins(0, table.trader, [10, 0, 0]),
    )
    assert codes == [
        Code.INVALID,
        Code.INVALID,
        Code.INVALID,
        Code.INVALID,
        Code.BEYOND_LIMIT,
        Code.INSUFFICIENT_BALANCE,
        Code.INVALID,
        Code.BEYOND_LIMIT,
        Code.NO_LIQUIDITY,
        Code.INSUFFICIENT_BALANCE,
    ]
    assert table.view.reserves_atoms == (10**12,) * 3


def worth_of_a_share(bench: Bench) -> float:
    """The pool's invariant over its supply: what only fees may change, and only upward."""
    view, kind = bench.view, type(bench.pool).__name__
    if kind == "StableSwapPool":
        total = stableswap.invariant(view.reserves, view.terms.amplification)
    elif kind == "WeightedPool":
        total = weighted.invariant(view.reserves, view.terms.weights)
    elif kind == "CryptoswapPool":
        total = cryptoswap.invariant(view.reserves, view.terms)
    else:
        total = float(view.base_atoms) ** 0.5 * float(view.quote_atoms) ** 0.5
    return total / view.shares_atoms


@pytest.mark.parametrize(
    "kind",
    [
        "constant_product",
        "volatility_fee",
        "managed",
        "stable_two",
        "stable_three",
        "weighted_two",
        "weighted_three",
        "crypto_two",
        "crypto_three",
    ],
)
def test_no_sequence_of_requests_dilutes_the_shares(kind):
    bench, rng = Bench(kind), np.random.default_rng(21)
    for _ in range(200):
        scale = bench.view.scales.copy() if "crypto" in kind else None
        before = worth_of_a_share(bench)
        if rng.random() < 0.5:
            bench.run(draw_swap(bench, rng).intent(0))
        else:
            bench.run(draw_liquidity(bench, rng))
        if scale is None or np.array_equal(scale, bench.view.scales):
            assert worth_of_a_share(bench) >= before * (1 - 2e-15 * len(bench.pool.coins))


def test_half_of_the_fee_is_the_protocols_and_the_rest_stays():
    table = Table(StableSwapPool, 2, fee_ppm=4000)
    table.run(add_coins(0, table.lp, [10**12, 10**12]))
    price = table.view.virtual_price
    gross = stableswap.gross_out(table.view.reserves, 100.0, 0, 1, 1e10)
    assert table.run(swap_exact_in(0, table.trader, SELL, 10**10)) == [DONE]
    fee = 0.004 * gross
    assert table.held(table.pool.protocol_row)[1] == pytest.approx(fee / 2, abs=2)
    assert table.view.virtual_price == pytest.approx(price * (1 + fee / 2 / 2e12), rel=1e-6)
    flows = table.pool.drain_flows()
    assert flows["atoms"][0] == pytest.approx(fee, abs=2)
    assert flows["asset"][0] == table.pool.coin_columns[1]


def test_off_peg_the_fee_rises():
    plain, dear = (Table(StableSwapPool, 2, off_peg_multiplier=m) for m in (1.0, 5.0))
    for table in (plain, dear):
        table.run(add_coins(0, table.lp, [10**12, 10**12]))
    assert dear.view.output_atoms(SELL, 10**6) == plain.view.output_atoms(SELL, 10**6)
    for table in (plain, dear):
        table.run(swap_exact_in(0, table.trader, SELL, 8 * 10**11))
    fees = [1 - t.view.marginal_price(SELL) / t.view.curve_price(SELL) for t in (plain, dear)]
    assert fees[0] == pytest.approx(0.0004, rel=1e-9)
    assert 1.5 * fees[0] < fees[1] <= 5 * fees[0]


def test_entering_in_one_coin_and_leaving_in_another_costs_about_a_swap():
    table = Table(StableSwapPool, 3, fee_ppm=4000, admin_fee_ppm=0)
    table.run(add_coins(0, table.lp, [10**12] * 3))
    swapped = table.view.output_atoms((0, 2), 10**9)
    before, column = table.held(table.trader), table.pool.share_column
    table.run(add_coin(0, table.trader, 0, 10**9))
    table.run(remove_coin(0, table.trader, 2, int(table.held(table.trader)[column])))
    got = (table.held(table.trader) - before)[2]
    assert got == pytest.approx(swapped, rel=1.5e-3)
    assert got < 10**9


def test_a_weighted_pool_keeps_the_limits_of_the_protocol():
    table = Table(WeightedPool, 2, weights=(0.8, 0.2))
    assert table.run(add_coins(0, table.lp, [8 * 10**11, 2 * 10**11])) == [DONE]
    assert table.view.mid == pytest.approx(1.0, rel=1e-12)
    shares = int(table.held(table.lp)[table.pool.share_column])
    codes = table.run(
        swap_coins(0, table.trader, 0, 1, 24 * 10**10 + 1),
        swap_coins_exact_out(0, table.trader, 1, 0, 24 * 10**10 + 1, 10**15),
        add_coins(0, table.trader, [17 * 10**11, 5 * 10**11]),
        remove_coin(0, table.lp, 0, int(shares * 0.301)),
        remove_coins(0, table.lp, [10**6, 10**6]),
    )
    assert codes == [*[Code.NO_LIQUIDITY] * 4, Code.INVALID]
    assert table.run(swap_coins(0, table.trader, 0, 1, 24 * 10**10)) == [DONE]
    assert table.run(remove_liquidity(0, table.lp, shares)) == [DONE]


def test_fills_of_any_pair_come_in_their_own_units():
    coins = (Asset("C0", 9), Asset("C1", 6), Asset("C2", 2))
    pool = StableSwapPool("pool", "x", coins, StableSwapPool.Params())
    market = Market([Exchange("x")], [pool])
    rows = market.open_accounts("t", "x", 1)
    for coin in coins:
        market.ledger.issue(rows, coin.name, 10**7 * coin.scale)
    market.begin()
    lp = int(rows[0])
    depth = [10**6 * coin.scale for coin in coins]
    swaps = [swap_coins(0, lp, 2, 1, 1000 * 100), swap_coins(0, lp, 0, 2, 1000 * 10**9)]
    assert pool.execute(stack([add_coins(0, lp, depth), *swaps]), NOW).tolist() == [DONE] * 3
    fills = pool.drain_fills()
    base, quote, fee = pool.fill_scales(fills)
    assert fills["side"].tolist() == [1, -1]
    assert fills["base_atoms"] / base == pytest.approx([1000, 1000], rel=1e-3)
    assert fills["quote_atoms"] / quote == pytest.approx([1000, 1000], rel=1e-3)
    assert fills["taker_fee_atoms"] / fee == pytest.approx([0.4, 0.4], rel=0.05)
    assert pool.measure(NOW)["volume"] == pytest.approx(2000, rel=1e-3)


def test_pools_that_cannot_be():
    with pytest.raises(ConfigError, match="coins"):
        Table(StableSwapPool, 9)
    with pytest.raises(ConfigError, match="weights"):
        Table(WeightedPool, 3, weights=(0.5, 0.5))
    with pytest.raises(ConfigError, match="weights"):
        Table(WeightedPool, 2, weights=(0.5, 0.6))


def test_a_pair_has_the_finest_grid():
    grid = pair(Asset("A", 9), Asset("B", 6))
    assert (grid.lot_atoms, grid.notional_atoms) == (1, 1)


@pytest.mark.parametrize("make", [add_coins, remove_coins])
@pytest.mark.parametrize("eighth", [2**55, 2**62, np.array([1, 2**55]), -(2**55) - 1])
def test_an_eighth_amount_that_has_no_room_is_refused(make, eighth):
    most = stack([make(0, 1, [1] * 7 + [2**55 - 1])])
    assert most["flags"][0] >> 8 == 2**55 - 1
    with pytest.raises(FathomError, match="eighth"):
        make(0, 1, [1] * 7 + [eighth])
