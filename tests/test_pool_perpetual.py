"""A pool-based perpetual: orders, providers, fees over time, caps, liquidation, ADL, exactness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.derivatives.pool_perpetual import PoolPerpetual
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    FILL_OR_KILL,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    add_coin,
    altered,
    deposit,
    good_till,
    iceberg_order,
    limit_order,
    market_order,
    remove_coin,
    stack,
    stop_order,
    withdraw,
)
from markets.market import Market
from markets.outcomes import Code, Reason
from markets.venue import Moment

UNIT, LOT = 10**6, 0.01
PLAIN = {
    "preset": "gmx_v2",
    "fee_ppm": 0,
    "positive_impact_factor": 0.0,
    "negative_impact_factor": 0.0,
    "funding": "none",
    "borrow_base_per_second": 0.0,
    "borrow_above_per_second": 0.0,
}
"""Nothing but the oracle price."""


class Bench:
    """One venue, a provider with a million, three traders with 100,000 each."""

    def __init__(self, step_seconds: float = 60.0, **params: object) -> None:
        instrument = Instrument(Asset("ETH", 8), Asset("USDC", 6), tick_size=0.01, lot_size=LOT)
        self.venue = PoolPerpetual(
            "pool", "chain", instrument, PoolPerpetual.Params(**{**PLAIN, **params})
        )
        self.market = Market([Exchange("chain")], [self.venue])
        self.provider = int(self.market.endow("provider", "chain", {"USDC": 2e6})[0])
        self.traders = self.market.endow("traders", "chain", {"USDC": 1e5}, 3).tolist()
        self.market.begin()
        self.step, self.step_seconds = -1, step_seconds
        self.at(1_000.0)
        self.do(add_coin(0, self.provider, 0, 10**6 * UNIT))
        for trader in self.traders:
            self.do(deposit(0, trader, 50_000 * UNIT))

    def at(self, price: float, steps: int = 1) -> None:
        """Begin a step, or several, at an oracle price."""
        for _ in range(steps):
            self.step += 1
            seconds = self.step * self.step_seconds
            self.moment = Moment(self.step, seconds, self.step_seconds, {"ETH": price})
            self.market.accrue(self.moment)

    def do(self, *intents: tuple) -> list[Code]:
        codes = [Code(code) for code in self.venue.execute(stack(intents), self.moment)]
        self.market.check()
        return codes

    def end(self) -> None:
        self.market.liquidate(self.moment)
        self.market.check()

    def lots(self, trader: int) -> int:
        return self.venue._books.lots(trader)

    def wallet(self, trader: int) -> float:
        return self.venue._books.wallet(trader) / UNIT

    def pool(self) -> float:
        return self.venue._books.pool_value() / UNIT

    def row(self, number: int) -> float:
        column = self.market.ledger.column["USDC"]
        return self.market.ledger.balances[self.venue.accounts[number], column] / UNIT


def test_the_pool_is_the_counterparty() -> None:
    bench = Bench()
    trader = bench.traders[0]
    assert bench.do(market_order(0, trader, BUY, 10_000)) == [Code.FILLED]
    bench.at(1_100.0)
    assert bench.pool() == 10**6 - 10_000
    assert bench.do(market_order(0, trader, SELL, 10_000, REDUCE_ONLY)) == [Code.FILLED]
    assert bench.wallet(trader) == 60_000
    assert bench.pool() == 990_000
    assert bench.lots(trader) == 0


def test_part_of_a_position_gives_its_part_of_the_profit_back() -> None:
    bench = Bench()
    trader = bench.traders[0]
    bench.do(market_order(0, trader, SELL, 9_000))
    bench.at(900.0)
    bench.do(market_order(0, trader, BUY, 3_000))
    assert bench.wallet(trader) == 53_000
    assert bench.lots(trader) == -6_000
    bench.do(market_order(0, trader, BUY, 8_000))
    assert bench.wallet(trader) == 59_000
    assert bench.lots(trader) == 2_000


def test_impact_is_the_published_example() -> None:
    bench = Bench(positive_impact_factor=2e-7, negative_impact_factor=2e-7, negative_impact_cap=1.0)
    first, second, _ = bench.traders
    bench.do(market_order(0, first, BUY, 5_000))
    assert bench.wallet(first) == 49_500
    assert bench.row(2) == 500
    bench.do(market_order(0, second, SELL, 2_500))
    paid = min(375, 0.005 * 25_000)
    assert bench.wallet(second) == 50_000 + paid
    assert bench.row(2) == 500 - paid


def test_linear_impact_of_jupiter() -> None:
    bench = Bench(linear_impact_quote=1.25e9)
    bench.do(market_order(0, bench.traders[0], BUY, 10_000))
    assert bench.wallet(bench.traders[0]) == pytest.approx(50_000 - 1e5 * 1e5 / 1.25e9, abs=2e-6)


def test_fees_are_shared_between_providers_and_venue() -> None:
    bench = Bench(fee_ppm=1_000, provider_part_ppm=700_000)
    bench.do(market_order(0, bench.traders[0], BUY, 10_000))
    assert bench.wallet(bench.traders[0]) == 49_900
    assert bench.row(3) == 30
    assert bench.pool() == 10**6 + 70


def test_funding_is_the_published_example_and_sums_to_zero() -> None:
    bench = Bench(funding="basic", funding_factor=2e-5, accrual_seconds=60.0, reserve_factor=1.0)
    first, second, _ = bench.traders
    bench.do(market_order(0, first, BUY, 15_000), market_order(0, second, SELL, 5_000))
    before = bench.pool()
    bench.at(1_000.0)
    assert bench.wallet(first) == pytest.approx(50_000 - 150_000 * 1e-5 * 60, abs=2e-6)
    assert bench.wallet(second) == pytest.approx(50_000 + 50_000 * 3e-5 * 60, abs=2e-6)
    assert bench.pool() - before == pytest.approx(0, abs=2e-6)
    flows = bench.venue.drain_flows()
    assert Reason.FUNDING in flows["reason"]


def test_adaptive_funding_grows_while_the_imbalance_lasts() -> None:
    bench = Bench(
        funding="adaptive", funding_factor=1e-6, funding_increase=1e-9, accrual_seconds=60.0
    )
    bench.do(market_order(0, bench.traders[0], BUY, 10_000))
    bench.do(market_order(0, bench.traders[1], SELL, 1_000))
    paid = []
    for _ in range(3):
        before = bench.wallet(bench.traders[0])
        bench.at(1_000.0)
        paid.append(before - bench.wallet(bench.traders[0]))
    assert 0 < paid[0] < paid[1] < paid[2]


@pytest.mark.parametrize("funding", ["basic", "adaptive"])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_lone_side_pays_no_funding(funding: str, side: int) -> None:
    bench = Bench(funding=funding, funding_factor=1e-6, funding_increase=1e-9, accrual_seconds=60.0)
    first, second, _ = bench.traders
    bench.do(market_order(0, first, side, 10_000))
    bench.at(1_000.0, 3)
    assert bench.wallet(first) == 50_000
    assert bench.pool() == 10**6
    bench.do(market_order(0, second, -side, 5_000))
    bench.at(1_000.0)
    assert bench.wallet(first) < 50_000 < bench.wallet(second)


def test_borrowing_is_paid_to_providers_by_the_hour() -> None:
    curve = {"borrow_base_per_second": 1e-4 / 3600, "borrow_optimal_usage": 1.0}
    bench = Bench(**curve, provider_part_ppm=10**6)
    bench.do(market_order(0, bench.traders[0], BUY, 50_000))
    bench.at(1_000.0, 60)
    assert bench.wallet(bench.traders[0]) == pytest.approx(50_000 - 500_000 * 1e-4 * 0.5, abs=2e-6)
    assert bench.pool() == pytest.approx(10**6 + 25, abs=2e-6)


def test_caps_refuse_positions_and_withdrawals() -> None:
    bench = Bench(reserve_factor=0.5, initial_margin_ppm=20_000)
    trader = bench.traders[0]
    assert bench.do(market_order(0, trader, BUY, 50_001)) == [Code.NO_LIQUIDITY]
    assert bench.do(market_order(0, trader, BUY, 50_000)) == [Code.FILLED]
    assert bench.do(remove_coin(0, bench.provider, 0, 10)) == [Code.NO_LIQUIDITY]
    assert bench.do(market_order(0, trader, SELL, 50_000)) == [Code.FILLED]
    assert bench.do(remove_coin(0, bench.provider, 0, 10**6 * UNIT)) == [Code.DONE]


def test_margin_holds_orders_and_withdrawals() -> None:
    bench = Bench(initial_margin_ppm=200_000, reserve_factor=1.0)
    trader = bench.traders[0]
    assert bench.do(market_order(0, trader, BUY, 25_001)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(market_order(0, trader, BUY, 20_000)) == [Code.FILLED]
    assert bench.do(withdraw(0, trader, 10_000 * UNIT + 1)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(withdraw(0, trader, 10_000 * UNIT)) == [Code.DONE]


def test_a_limit_counts_the_impact() -> None:
    bench = Bench(negative_impact_factor=1e-8)
    buy = limit_order(0, bench.traders[0], BUY, 10_000, 100_000)
    assert bench.do(buy) == [Code.BEYOND_LIMIT]
    assert bench.do(limit_order(0, bench.traders[0], BUY, 10_000, 100_101)) == [Code.FILLED]


@pytest.mark.parametrize("loses_all", [False, True])
def test_liquidation_at_the_oracle_price(loses_all: bool) -> None:
    bench = Bench(loses_all_collateral=loses_all, reserve_factor=1.0)
    trader = bench.traders[0]
    bench.do(market_order(0, trader, BUY, 80_000))
    bench.at(946.0)
    bench.end()
    assert bench.lots(trader) == 0
    assert bench.wallet(trader) == (0 if loses_all else 50_000 - 54 * 800)
    assert bench.pool() + bench.wallet(trader) == 10**6 + 50_000


@pytest.mark.parametrize("loses_all", [False, True])
def test_the_log_says_who_paid_for_a_liquidation(loses_all: bool) -> None:
    """800 long from 1,000 with 50,000: worth 6,800 at 946; 946 to the pool's spread, 757 in fees,
    and the impact is more than a part in 10,000 of it."""
    bench = Bench(reserve_factor=1.0, loses_all_collateral=loses_all)
    trader = bench.traders[0]
    bench.do(market_order(0, trader, BUY, 80_000))
    assert bench.do(market_order(0, bench.traders[1], SELL, 90_000)) == [Code.FILLED]
    costs = {"fee_ppm": 1_000, "half_spread_ppm": 1_250, "negative_impact_factor": 1e-9}
    costs |= {"liquidation_impact_cap": 1e-4, "loses_all_collateral": loses_all}
    bench.venue.params = PoolPerpetual.Params(**{**PLAIN, **costs})
    bench.at(946.0)
    pool, fees = bench.pool(), bench.row(3)
    bench.end()
    log = bench.venue.drain_liquidations()
    assert (log.account.tolist(), log.by.tolist(), log.lots.tolist()) == (
        [trader],
        ["pool"],
        [80_000],
    )
    assert (log.size[0], log.mark[0], log.equity[0]) == (800, 946, 6_800)
    assert log.bankruptcy_price[0] == 1_000 - 50_000 / 800 == 937.5
    assert log.price[0] == pytest.approx(946 * (1 - 0.00125))
    assert log.fee[0] == pytest.approx(756.8)
    assert log.fund[0] == pytest.approx(75.68)
    kept = 6_800 - 946 - 756.8 - 75.68
    assert log.backstop[0] == pytest.approx(946 + loses_all * kept)
    assert bench.wallet(trader) == pytest.approx((not loses_all) * kept)
    assert bench.pool() - pool + bench.row(3) - fees == pytest.approx(log.backstop[0] + log.fee[0])
    assert log.adl[0] == log.adl_size[0] == log.book_size[0] == log.socialised[0] == 0
    assert bench.venue.drain_liquidations() is None


def test_a_gap_is_the_providers_loss() -> None:
    bench = Bench(reserve_factor=1.0)
    bench.do(market_order(0, bench.traders[0], BUY, 80_000))
    bench.at(900.0)
    bench.end()
    assert bench.wallet(bench.traders[0]) == 0
    assert bench.venue.bad_debt_atoms == 30_000 * UNIT
    assert bench.pool() == 10**6 + 50_000
    log = bench.venue.drain_liquidations()
    assert (log.equity[0], log.backstop[0], log.fee[0], log.fund[0]) == (-30_000, -30_000, 0, 0)


def test_the_side_that_wins_too_much_is_deleveraged_best_first() -> None:
    bench = Bench(adl_factor=0.1, adl_target=0.08, reserve_factor=1.0)
    first, second, _ = bench.traders
    bench.do(market_order(0, first, BUY, 20_000))
    bench.at(1_100.0)
    bench.do(market_order(0, second, BUY, 30_000))
    bench.at(1_300.0)
    bench.end()
    assert (bench.lots(first), bench.lots(second)) == (0, 30_000)
    assert bench.wallet(first) == 110_000
    log = bench.venue.drain_liquidations()
    assert (log.account.tolist(), log.by.tolist()) == ([first], ["adl"])
    assert (log.size[0], log.adl_size[0], log.price[0]) == (200, 200, 1_300)
    assert (log.equity[0], log.adl[0], log.backstop[0]) == (110_000, 0, 0)


def test_a_winner_closed_by_force_forgoes_what_the_pool_does_not_pay() -> None:
    """A profit of 40,000 of 10**6, of which 1 % is paid."""
    bench = Bench(adl_factor=0.02, adl_target=0.0, max_profit_factor=0.01, reserve_factor=1.0)
    trader = bench.traders[0]
    bench.do(market_order(0, trader, SELL, 40_000))
    bench.at(900.0)
    bench.end()
    log = bench.venue.drain_liquidations()
    assert (log.by.tolist(), log.lots.tolist(), log.equity[0]) == (["adl"], [-40_000], 90_000)
    assert bench.wallet(trader) == 50_000 + 10_000
    assert log.adl[0] == log.backstop[0] == 30_000
    assert bench.pool() == 10**6 - 10_000


def test_profits_are_cut_when_the_pool_cannot_bear_them() -> None:
    bench = Bench(max_profit_factor=0.1, adl_factor=1.0, adl_target=1.0, reserve_factor=1.0)
    bench.do(market_order(0, bench.traders[0], BUY, 90_000))
    bench.at(1_400.0)
    bench.do(market_order(0, bench.traders[0], SELL, 90_000))
    assert bench.wallet(bench.traders[0]) == 50_000 + 100_000


def test_the_cap_on_profits_counts_the_losers_of_the_side() -> None:
    bench = Bench(max_profit_factor=0.05, adl_factor=1.0, adl_target=1.0, reserve_factor=1.0)
    first, second, _ = bench.traders
    bench.do(market_order(0, first, BUY, 30_000))
    bench.at(1_300.0)
    bench.do(market_order(0, second, BUY, 30_000))
    bench.at(1_170.0)
    bench.do(market_order(0, first, SELL, 30_000))
    assert bench.wallet(first) == 50_000 + 51_000


@pytest.mark.parametrize(
    "order",
    [
        stop_order(0, 0, SELL, 100, 50_000),
        iceberg_order(0, 0, BUY, 10, 200_000, 1),
        good_till(limit_order(0, 0, BUY, 1, 200_000), 9),
        limit_order(0, 0, BUY, 1, 200_000, POST_ONLY),
        limit_order(0, 0, BUY, 1, 200_000, FILL_OR_KILL),
        limit_order(0, 0, BUY, 1, 200_000, 2**20),
    ],
)
def test_orders_that_are_not_plain_are_invalid(order: bytes) -> None:
    bench = Bench()
    trader = bench.traders[0]
    assert bench.do(altered(order, "account", trader)) == [Code.INVALID]
    assert bench.lots(trader) == 0


def test_presets_fill_what_is_not_set() -> None:
    assert PoolPerpetual.Params(preset="jupiter").linear_impact_quote == 1.25e9
    assert PoolPerpetual.Params(preset="gmx_v1").fee_ppm == 1_000
    assert PoolPerpetual.Params(preset="jupiter", fee_ppm=5).fee_ppm == 5


MOVES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["buy", "sell", "in", "out", "add", "remove"]),
        st.integers(1, 60_000),
        st.floats(0.85, 1.18),
    ),
    max_size=30,
)


@settings(max_examples=25)
@given(MOVES, st.sampled_from(["gmx_v1", "gmx_v2", "jupiter"]))
def test_nothing_is_made_or_lost_in_random_play(moves: list, preset: str) -> None:
    bench = Bench(step_seconds=3_600.0)
    bench.venue.params = PoolPerpetual.Params(
        preset=preset, adl_factor=0.2, adl_target=0.1, negative_impact_factor=1e-9
    )
    price = 1_000.0
    for number, kind, size, change in moves:
        trader = bench.traders[number]
        price = min(max(price * change, 100.0), 9_000.0)
        bench.at(price)
        bench.do(
            {
                "buy": market_order(0, trader, BUY, size),
                "sell": market_order(0, trader, SELL, size),
                "in": deposit(0, trader, size * UNIT),
                "out": withdraw(0, trader, size * UNIT),
                "add": add_coin(0, bench.provider, 0, size * UNIT),
                "remove": remove_coin(0, bench.provider, 0, size * UNIT),
            }[kind]
        )
        bench.end()
    books = bench.venue._books
    held = sum(books.equity(trader) for trader in bench.traders) / UNIT + bench.pool()
    assert held + bench.row(2) + bench.row(3) == pytest.approx(
        sum(bench.row(number) for number in range(4)), abs=1e-4
    )
    assert np.isfinite(list(bench.venue.measure(bench.moment).values())).all()
