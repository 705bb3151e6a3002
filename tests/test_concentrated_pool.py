"""The concentrated pool: positions, fees owed, partial fills, gaps, protocol fee, just in time."""

import numpy as np
import pytest

from markets.assets import Asset, Instrument
from markets.errors import BrokenInvariant, ConfigError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    SELL,
    add_range,
    bundle,
    collect,
    remove_range,
    stack,
    swap_exact_in,
    swap_exact_out,
    until_tick,
)
from markets.market import Market
from markets.outcomes import Code
from markets.pools.concentrated import SQRT_PRICE
from markets.pools.concentrated_pool import ConcentratedPool
from markets.venue import Moment
from tests.pool_bench import Bench

DONE, PARTLY = int(Code.DONE), int(Code.PARTLY_FILLED)
NOW = Moment(0, 0.0, 1.0, {"A": 1.0})
WEALTH = 10**16


class Table:
    """A pool at price 1 with coins of equal decimals, and a few rich accounts."""

    def __init__(self, **params: object) -> None:
        pair = Instrument(Asset("A", 6), Asset("B", 6), 0.01, 0.01)
        chosen = {"initial_price": 1.0, "tick_spacing": 60} | params
        self.pool = ConcentratedPool("pool", "x", pair, ConcentratedPool.Params(**chosen))
        self.market = Market([Exchange("x")], [self.pool])
        self.lp, self.jit, self.trader = (int(k) for k in self.market.open_accounts("t", "x", 3))
        for name in "AB":
            self.market.ledger.issue(np.array([self.lp, self.jit, self.trader]), name, WEALTH)
        self.market.begin()

    @property
    def view(self):
        return self.pool.observe(NOW)

    def run(self, *intents) -> list[int]:
        codes = self.pool.execute(stack(intents), NOW)
        self.market.check()
        return codes.tolist()

    def held(self, account: int) -> np.ndarray:
        return self.market.ledger.balances[account].copy()


def test_a_position_is_its_account_and_range():
    table = Table()
    for _ in range(2):
        assert table.run(add_range(0, table.lp, -600, 600, 10**9, 10**9)) == [DONE]
    table.run(add_range(0, table.jit, -600, 600, 10**9, 10**9))
    mine = table.view.position(table.lp, -600, 600)
    theirs = table.view.position(table.jit, -600, 600)
    assert mine.liquidity == pytest.approx(2 * theirs.liquidity, abs=2)
    assert table.view.position(table.lp, -600, 660).liquidity == 0
    assert table.view.liquidity == mine.liquidity + theirs.liquidity
    assert 10**9 - 2 <= theirs.base_atoms <= 10**9


def test_fees_are_shared_by_liquidity_in_range_and_paid_once():
    table = Table()
    table.run(
        add_range(0, table.lp, -600, 600, 10**10, 10**10),
        add_range(0, table.jit, -600, 600, 3 * 10**10, 3 * 10**10),
        add_range(0, table.lp, 600, 1200, 10**10, 0),
    )
    assert table.run(swap_exact_in(0, table.trader, SELL, 10**8)) == [DONE]
    fee = 10**8 * 3000 // 10**6
    shares = [table.view.position(who, -600, 600).base_fee_atoms for who in (table.lp, table.jit)]
    assert shares == pytest.approx([fee / 4, 3 * fee / 4], abs=2)
    assert table.view.position(table.lp, 600, 1200).base_fee_atoms == 0
    before = table.held(table.jit)
    assert table.run(collect(0, table.jit, -600, 600)) == [DONE]
    assert table.held(table.jit)[0] - before[0] == shares[1]
    assert table.run(collect(0, table.jit, -600, 600)) == [DONE]
    assert table.held(table.jit)[0] - before[0] == shares[1]


def test_removed_liquidity_is_paid_at_once_and_fees_stay_owed():
    table = Table()
    table.run(add_range(0, table.jit, -60, 60, 10**10, 10**10))
    table.run(swap_exact_in(0, table.trader, BUY, 10**6))
    position = table.view.position(table.jit, -60, 60)
    before = table.held(table.jit)
    assert table.run(remove_range(0, table.jit, -60, 60, position.liquidity)) == [DONE]
    got = table.held(table.jit) - before
    assert got.tolist() == [position.base_atoms, position.quote_atoms]
    assert table.view.position(table.jit, -60, 60).quote_fee_atoms == position.quote_fee_atoms
    assert table.run(collect(0, table.jit, -60, 60)) == [DONE]
    assert table.run(collect(0, table.jit, -60, 60)) == [Code.UNKNOWN_ORDER]


def test_just_in_time_liquidity_takes_most_of_the_fee():
    table = Table()
    table.run(add_range(0, table.lp, -60_000, 60_000, 10**11, 10**11))
    table.run(add_range(0, table.jit, -60, 60, 10**11, 10**11))
    size = table.view.position(table.jit, -60, 60).liquidity
    table.run(
        swap_exact_in(0, table.trader, BUY, 10**9),
        remove_range(0, table.jit, -60, 60, size),
    )
    fee = 10**9 * 3000 / 10**6
    owed = table.view.position(table.jit, -60, 60).quote_fee_atoms
    assert 0.99 * fee < owed < fee


def test_a_swap_stops_at_the_tick_that_it_names():
    table = Table()
    table.run(add_range(0, table.lp, -6000, 6000, 10**12, 10**12))
    swap = until_tick(swap_exact_in(0, table.trader, BUY, 10**12), 120)
    before = table.held(table.trader)
    assert table.run(swap) == [PARTLY]
    assert table.view.mid == pytest.approx(1.0001**120, rel=1e-12)
    moved = table.held(table.trader) - before
    assert -(10**12) < moved[1] < 0 < moved[0]
    assert table.run(swap)[0] == Code.NO_LIQUIDITY
    wanted = until_tick(swap_exact_out(0, table.trader, SELL, 10**12, 10**14), -120)
    assert table.run(wanted) == [PARTLY]
    assert table.view.mid == pytest.approx(1.0001**-120, rel=1e-12)


def test_liquidity_that_ends_fills_in_part_and_gaps_cost_nothing():
    table = Table()
    table.run(
        add_range(0, table.lp, -60, 60, 10**9, 10**9),
        add_range(0, table.lp, 600, 660, 10**9, 0),
    )
    quoted = table.view.swap_atoms(BUY, 10**12)
    before = table.held(table.trader)
    assert table.run(swap_exact_out(0, table.trader, BUY, 10**12, 2**61)) == [Code.NO_LIQUIDITY]
    assert table.run(swap_exact_in(0, table.trader, BUY, 10**12)) == [PARTLY]
    moved = table.held(table.trader) - before
    assert (-moved[1], moved[0]) == quoted
    assert 2 * 10**9 - 100 < moved[0] <= 2 * 10**9
    paid = 10**9 * 1.0001**30 + 10**9 * 1.0001**630
    assert -moved[1] == pytest.approx(paid / 0.997, rel=1e-6)
    assert table.view.liquidity == 0


def test_the_protocol_gets_its_part_and_positions_the_rest():
    plain, shared = Table(), Table(protocol_denominator=4)
    for table in (plain, shared):
        table.run(
            add_range(0, table.lp, -600, 600, 10**11, 10**11),
            swap_exact_in(0, table.trader, SELL, 10**9),
        )
    fee = 3 * 10**6
    assert plain.view.position(plain.lp, -600, 600).base_fee_atoms == pytest.approx(fee, abs=2)
    assert shared.view.position(shared.lp, -600, 600).base_fee_atoms == pytest.approx(
        0.75 * fee, abs=2
    )
    assert shared.held(shared.pool.protocol_row)[0] == pytest.approx(0.25 * fee, abs=2)


@pytest.mark.parametrize(
    ("intent", "code"),
    [
        (add_range(0, 5, 60, 60, 10, 10), Code.OUT_OF_RANGE),
        (add_range(0, 5, 60, -60, 10, 10), Code.OUT_OF_RANGE),
        (add_range(0, 5, -30, 60, 10, 10), Code.OUT_OF_RANGE),
        (add_range(0, 5, -887_280, 60, 10, 10), Code.OUT_OF_RANGE),
        (add_range(0, 5, -60, 60, 0, 10**6), Code.NO_LIQUIDITY),
        (add_range(0, 5, -60, 60, -1, 10**6), Code.INVALID),
        (add_range(0, 5, -600, 600, 2 * 10**16, 2 * 10**16), Code.INSUFFICIENT_BALANCE),
        (remove_range(0, 5, -60, 60, 10), Code.UNKNOWN_ORDER),
        (collect(0, 5, -60, 60), Code.UNKNOWN_ORDER),
        (remove_range(0, 4, -60, 60, 10**17), Code.INSUFFICIENT_BALANCE),
        (remove_range(0, 4, -60, 60, 0), Code.INVALID),
    ],
)
def test_ranges_that_cannot_be(intent, code):
    table = Table()
    table.run(add_range(0, table.lp, -60, 60, 10**9, 10**9))
    assert (table.lp, table.jit) == (4, 5)
    before = table.market.ledger.balances.copy()
    assert table.run(intent) == [code]
    assert np.array_equal(before, table.market.ledger.balances)


def test_wealth_in_positions_counts_as_the_owners():
    table = Table()
    start = table.market.holdings_atoms()
    owner = table.market.ledger.owner_names.index("t")
    table.run(add_range(0, table.lp, -600, 600, 10**11, 10**11))
    table.run(swap_exact_in(0, table.trader, SELL, 10**9))
    held = table.market.holdings_atoms()
    assert np.all(start[owner] - held[owner] <= 10)
    assert np.all(held[owner] <= start[owner])


def test_room_grows_with_the_positions():
    table, rng = Table(), np.random.default_rng(0)
    adds = []
    for _ in range(200):
        lower = 60 * int(rng.integers(-50, 50))
        upper = lower + 60 * int(rng.integers(1, 20))
        adds.append(add_range(0, table.lp, lower, upper, 10**8, 10**8))
    for first in range(0, 200, 50):
        assert set(table.run(*adds[first : first + 50])) == {DONE}
    assert set(table.run(*[swap_exact_in(0, table.trader, BUY, 10**8)] * 20)) == {DONE}
    assert len(np.unique(table.pool.ranges.pool.tick)) > 64


def test_damage_is_found():
    table = Table()
    table.run(add_range(0, table.lp, -600, 600, 10**11, 10**11))
    pool = table.pool.ranges.pool
    pool.net_liquidity[0] += 1
    with pytest.raises(BrokenInvariant, match="net liquidity"):
        table.market.check()
    pool.net_liquidity[0] -= 1
    pool.whole[2] -= 1
    with pytest.raises(BrokenInvariant, match="active liquidity"):
        table.market.check()
    pool.whole[2] += 1
    pool.real[SQRT_PRICE] *= 1.0001
    with pytest.raises(BrokenInvariant, match="claims exceed"):
        table.market.check()


def test_parameters_that_cannot_be():
    with pytest.raises(ConfigError, match="protocol_denominator"):
        Table(protocol_denominator=2)
    with pytest.raises(ConfigError, match="initial_price"):
        Table(initial_price=1e60)


def test_a_bundle_of_just_in_time_liquidity_is_atomic():
    bench = Bench("concentrated")
    account = bench.accounts[1]
    lower = bench.view.tick_for(bench.view.mid)
    ticks = (lower, lower + 60)
    liquidity = bench.view.deposit(*ticks, 10**10, 10**10)[0]
    before = bench.everything()
    whole = [
        add_range(0, account, *ticks, 10**10, 10**10),
        swap_exact_in(0, account, SELL, 10**6),
        remove_range(0, account, *ticks, liquidity),
        collect(0, account, *ticks),
    ]
    bench.on_chain(*bundle([*whole, remove_range(0, account, *ticks, 1)]))
    for kept, now in zip(before, bench.everything(), strict=True):
        assert np.array_equal(kept, now)
    bench.step += 1
    bench.on_chain(*bundle(whole))
    assert bench.view.position(account, *ticks).liquidity == 0
    assert not np.array_equal(before[0], bench.balances)


def test_tick_and_price_of_a_view_agree():
    view = Table().view
    for price in (0.5, 0.999, 1.0, 1.5, 2000.0):
        tick = view.tick_for(price)
        assert tick % 60 == 0
        assert view.price_at(tick) <= price * (1 + 1e-12)
        assert view.price_at(tick + 60) > price
    assert view.tick == 0
    assert view.price_at(0) == 1.0
