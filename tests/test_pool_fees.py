"""Fees that move, by volatility or by a manager who bids for the pool; cryptoswap's price scale."""

import numpy as np
import pytest

from markets.assets import Asset, Instrument
from markets.errors import ConfigError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    SELL,
    add_liquidity,
    bid,
    remove_liquidity,
    set_fee,
    stack,
    swap_exact_in,
)
from markets.market import Market
from markets.outcomes import Code, Reason
from markets.pools.constant_product_pool import ConstantProductPool
from markets.pools.cryptoswap_pool import CryptoswapPool
from markets.pools.managed_pool import MANAGER, ManagedPool
from markets.pools.volatility_fee import DAY_SECONDS, VolatilityFee
from markets.venue import Moment

PAIR = Instrument(Asset("A", 6), Asset("B", 6), 0.01, 0.01)
DONE = int(Code.DONE)


class Table:
    """One pool, a provider (0) and three others, twelve seconds a step."""

    def __init__(self, pool) -> None:
        self.pool, self.step = pool, 0
        self.market = Market([Exchange("x")], [pool])
        rows = self.market.open_accounts("t", "x", 4)
        for name in "AB":
            self.market.ledger.issue(rows, name, 10**15)
        self.market.begin()
        self.rows = [int(row) for row in rows]
        assert self.run(add_liquidity(0, self.rows[0], 10**12, 10**12)) == [DONE]

    @property
    def moment(self) -> Moment:
        return Moment(self.step, 12.0 * self.step, 12.0, {"A": 1.0})

    @property
    def view(self):
        return self.pool.observe(self.moment)

    def run(self, *intents) -> list[int]:
        codes = self.pool.execute(stack(intents), self.moment).tolist()
        self.market.check()
        return codes

    def next(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.step += 1
            self.market.accrue(self.moment)
            self.market.check()

    def held(self, row: int, column: int) -> int:
        return int(self.market.ledger.balances[row, column])


def managed(**params) -> Table:
    chosen = {"delay_blocks": 3, "fee_ppm": 3000} | params
    table = Table(ManagedPool("pool", "x", PAIR, ManagedPool.Params(**chosen)))
    for row in table.rows[1:3]:
        assert table.run(add_liquidity(0, row, 10**11, 10**11)) == [DONE]
    return table


def test_variance_is_that_of_a_random_walk():
    rule = VolatilityFee(500, VolatilityFee.Params(half_life_seconds=50_000.0))
    rng, price, sigma = np.random.default_rng(0), 100.0, 0.05
    for step in range(40_000):
        rule.update(price, 12.0 * step)
        price *= np.exp(sigma * np.sqrt(12.0 / DAY_SECONDS) * rng.standard_normal())
    assert rule.variance_per_day == pytest.approx(sigma**2, rel=0.08)
    assert rule.fee_ppm == round(500 + 1.2e6 * rule.variance_per_day)


def test_a_fee_that_follows_volatility_rises_decays_and_is_capped():
    params = VolatilityFee.Params(half_life_seconds=60.0, cap_ppm=50_000)
    settings = ConstantProductPool.Params(fee_ppm=100, volatility_fee=params)
    table = Table(ConstantProductPool("pool", "x", PAIR, settings))
    table.next()
    assert table.view.fee_ppm == 100
    table.run(swap_exact_in(0, table.rows[1], BUY, 10**11))
    quoted = table.view.output_atoms(SELL, 10**9)
    assert table.view.fee_ppm == 100
    table.next()
    assert table.view.fee_ppm == 50_000
    assert table.view.output_atoms(SELL, 10**9) < quoted * 0.96
    table.next(200)
    assert table.view.fee_ppm == 100


def test_a_price_that_is_missing_is_passed_over():
    rule = VolatilityFee(100, VolatilityFee.Params(initial_volatility_daily=0.1))
    before = rule.variance_per_day
    rule.update(float("nan"), 0.0)
    rule.update(1.0, 12.0)
    rule.update(float("nan"), 24.0)
    rule.update(2.0, 12.0)
    assert rule.variance_per_day == before == pytest.approx(0.01)


def test_a_bid_waits_takes_over_and_pays_rent_to_the_shares():
    table = managed()
    manager = table.rows[1]
    supply = table.view.shares_atoms
    assert table.run(bid(0, manager, 1000, 10_000)) == [DONE]
    for _ in range(2):
        table.next()
        assert table.view.manager == -1
    table.next()
    assert table.view.manager == manager
    table.next(4)
    assert table.view.shares_atoms == supply - 5 * 1000
    assert table.view.deposit_atoms == 5000
    flows = table.pool.drain_flows()
    rents = flows[flows["reason"] == Reason.RENT]
    assert rents["atoms"].sum() == 5000
    assert set(rents["payer"]) == {manager}
    table.next(5)
    assert table.view.deposit_atoms == 0
    table.next()
    assert table.view.manager == -1
    assert table.view.shares_atoms == supply - 10_000


def test_a_higher_bid_displaces_and_the_loser_is_refunded():
    table = managed()
    first, second = table.rows[1:3]
    column = table.pool.share_column
    start = [table.held(row, column) for row in (first, second)]
    assert table.run(bid(0, first, 1000, 5000)) == [DONE]
    assert table.run(bid(0, second, 1099, 5000)) == [Code.BEYOND_LIMIT]
    assert table.view.least_bid_atoms == 1100
    assert table.run(bid(0, second, 1100, 3299)) == [Code.BEYOND_LIMIT]
    assert table.run(bid(0, second, 1100, 5000)) == [DONE]
    assert table.held(first, column) == start[0] - 5000
    table.next()
    assert table.held(first, column) == start[0]
    table.next(2)
    assert table.view.manager == second
    assert table.run(bid(0, first, 2000, 60_000)) == [DONE]
    assert table.run(bid(0, second, 1100, 700)) == [DONE]
    assert table.view.deposit_atoms == 5000 - 1100 + 700
    table.next(3)
    assert table.view.manager == first
    assert table.held(second, column) == start[1] - 3 * 1100


def test_the_manager_trades_free_sets_the_fee_and_keeps_it():
    table = managed()
    manager, other = table.rows[1], table.rows[3]
    table.run(bid(0, manager, 1, 1000))
    assert table.run(set_fee(0, manager, 500)) == [Code.INVALID]
    table.next(3)
    assert table.run(set_fee(0, other, 500), set_fee(0, manager, 10**6)) == [Code.INVALID, DONE]
    assert table.view.fee_ppm == 10_000
    reserves = table.view.reserves_atoms
    assert table.run(swap_exact_in(0, other, BUY, 10**9)) == [DONE]
    fee = 10**9 * 10_000 // 10**6
    assert table.view.quote_atoms == reserves[1] + 10**9 - fee
    held = table.held(manager, 1)
    table.next()
    assert table.held(manager, 1) == held + fee
    free = table.view.for_manager().output_atoms(SELL, 10**9)
    before = table.held(manager, 1)
    assert table.run(swap_exact_in(0, manager, SELL, 10**9, free)) == [DONE]
    assert table.held(manager, 1) == before + free
    product = np.prod([float(atoms) for atoms in table.view.reserves_atoms])
    assert product >= np.prod([float(atoms) for atoms in reserves])


def test_without_a_manager_the_pool_keeps_its_own_fee():
    table, plain = (
        managed(),
        Table(ConstantProductPool("pool", "x", PAIR, ConstantProductPool.Params())),
    )
    for row in plain.rows[1:3]:
        plain.run(add_liquidity(0, row, 10**11, 10**11))
    for one in (table, plain):
        one.run(swap_exact_in(0, one.rows[3], BUY, 10**9))
    assert table.view.reserves_atoms == plain.view.reserves_atoms


def test_leaving_costs_the_withdrawal_fee():
    table = managed(withdrawal_fee_ppm=1000)
    row, column = table.rows[1], table.pool.share_column
    before = table.held(row, 0)
    assert table.run(remove_liquidity(0, row, table.held(row, column))) == [DONE]
    assert table.held(row, 0) - before == pytest.approx(10**11 * 0.999, abs=3)


def test_deposits_count_as_the_bidders():
    table = managed()
    start = table.market.holdings_atoms()
    table.run(bid(0, table.rows[1], 1000, 10_000), bid(0, table.rows[2], 2000, 10_000))
    assert np.array_equal(table.market.holdings_atoms(), start)
    assert table.pool.lease[MANAGER] == -1


def test_a_managed_pool_has_no_protocol_fee():
    with pytest.raises(ConfigError, match="protocol_fee"):
        managed(protocol_fee=True)


def crypto(**params) -> Table:
    chosen = {"initial_prices": (1.0, 1.0)} | params
    pool = CryptoswapPool("pool", "x", (PAIR.base, PAIR.quote), CryptoswapPool.Params(**chosen))
    return Table(pool)


def test_the_price_scale_follows_the_oracle_out_of_profit():
    table = crypto()
    scales, trader = [table.view.price_scale[0]], table.rows[1]
    for number in range(400):
        if table.view.mid < 1.03:
            table.run(swap_exact_in(0, trader, BUY, 10**10))
        else:
            table.run(swap_exact_in(0, trader, SELL if number % 2 else BUY, 10**9))
        table.next()
        view = table.view
        scales.append(view.price_scale[0])
        step = abs(scales[-1] / scales[-2] - 1)
        assert step <= 0.000146 * (1 + 1e-9)
        assert view.price_scale[1] == view.price_oracle[1] == 1.0
        real = table.pool.known.real
        assert 2 * real[2] - 1 >= real[1] * (1 - 1e-9) or step == 0.0
    assert 1.0 < scales[-1] <= table.view.price_oracle[0] * (1 + 1e-9)
    assert table.view.virtual_price > 1.0


def test_the_oracle_is_an_average_with_its_half_time():
    table = crypto(half_time_seconds=120.0, allowed_extra_profit=1.0)
    table.run(swap_exact_in(0, table.rows[1], BUY, 5 * 10**10))
    last = table.view.mid
    table.next(10)
    table.run(swap_exact_in(0, table.rows[1], BUY, 10**4))
    assert table.view.price_oracle[0] == pytest.approx(1.0 + (last - 1.0) / 2, rel=1e-9)
    assert table.view.price_scale == (1.0, 1.0)


def test_prices_of_a_cryptoswap_pool_are_checked():
    with pytest.raises(ConfigError, match="initial_prices"):
        crypto(initial_prices=(1.0, 2.0))
    with pytest.raises(ConfigError, match="initial_prices"):
        crypto(initial_prices=(1.0, 1.0, 1.0))
