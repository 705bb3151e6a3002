"""Isolated and cross margin side by side in one clearing house, and two weights of collateral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.market_maker import PerpetualMaker
from agents.perpetual_traders import PerpetualTraders
from experiments.paths import GeometricBrownian
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.derivatives.brackets import MarginTier
from markets.derivatives.clearing_house import ClearingHouse
from markets.derivatives.collateral import Collateral, CollateralParams
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    ISOLATED,
    SELL,
    cancel_all,
    deposit,
    deposit_coin,
    limit_order,
    market_order,
    withdraw,
    withdraw_coin,
)
from markets.outcomes import Code
from tests.house_bench import BTC, FIRST, HOUSE, SECOND, USDE, USDT, HouseBench

FLAT = {"maintenance_tiers": [MarginTier(maintenance_ppm=50_000)], "initial_margin_ppm": 100_000}


def atoms(units):
    return USDT.to_atoms(units)


def isolate(bench, venue, user, units):
    return bench.do(deposit(venue, user, atoms(units), ISOLATED))[0]


def house(**params):
    bench = HouseBench(**{**FLAT, **params})
    bench.give(bench.users[1], 1e5)
    return bench, bench.users[0], bench.users[1]


def test_an_isolated_position_is_liquidated_alone() -> None:
    """60 behind a long of 5 at 100 in one contract, 100 behind a long of 4 in the other."""
    bench, user, rich = house()
    bench.give(user, 100)
    assert isolate(bench, FIRST, user, 60) == Code.DONE
    bench.trade(FIRST, user, rich, 5, 100)
    bench.trade(SECOND, user, rich, 4, 100)
    assert bench.record(user) == [100, 40, 20]
    assert bench.perps[0].equity(np.array([user]))[0] == 60
    assert bench.perps[1].equity(np.array([user]))[0] == 100
    bench.mark(91, 100)  # 15 left against 22.75; cross alone or unified nothing would happen
    bench.liquidate()
    assert (bench.lots(FIRST, user), bench.lots(SECOND, user)) == (0, 4_000)
    assert bench.record(user) == [100, 40, 20]
    assert bench.claim(user) == pytest.approx(100 + 4 * -100)
    assert bench.house.observe(bench.moment).set_aside[user] == 0


def test_a_loss_beyond_isolated_margin_is_the_funds() -> None:
    bench, user, rich = house(fund=500.0)
    bench.give(user, 100)
    assert isolate(bench, FIRST, user, 60) == Code.DONE
    bench.trade(FIRST, user, rich, 5, 100)
    bench.mark(80, 100)  # 40 below zero
    bench.do(limit_order(FIRST, rich, BUY, 5_000, 80))
    bench.liquidate()
    assert bench.lots(FIRST, user) == 0
    assert (bench.claim(user), bench.record(user)[0]) == (100, 100)
    assert bench.claim(bench.house.custody.fund) == 460


def test_a_cross_liquidation_leaves_isolated_margin_where_it_is() -> None:
    bench, user, rich = house()
    bench.give(user, 50)
    assert isolate(bench, FIRST, user, 200) == Code.DONE
    bench.trade(FIRST, user, rich, 5, 100)
    bench.trade(SECOND, user, rich, 4, 100)
    bench.mark(100, 85)  # 10 below zero in the shared account
    bench.liquidate()
    assert (bench.lots(FIRST, user), bench.lots(SECOND, user)) == (5_000, 0)
    assert bench.perps[0].equity(np.array([user]))[0] == 200
    assert bench.record(user) == [0, 0, 0]
    assert bench.house.observe(bench.moment).set_aside[user] == 200 - 500


def test_margin_is_isolated_before_anything_is_held_and_freed_when_nothing_is() -> None:
    bench, user, rich = house()
    bench.give(user, 100)
    bench.trade(FIRST, user, rich, 1, 100)
    assert isolate(bench, FIRST, user, 10) == Code.INVALID
    bench.do(limit_order(SECOND, user, BUY, 1_000, 90))
    assert isolate(bench, SECOND, user, 10) == Code.INVALID
    bench.do(market_order(FIRST, user, SELL, 1_000), limit_order(FIRST, rich, BUY, 1_000, 100))
    bench.do(limit_order(FIRST, user, SELL, 1_000, 100))
    assert bench.lots(FIRST, user) == 0
    assert isolate(bench, FIRST, user, 10) == Code.DONE
    order = [limit_order(FIRST, user, BUY, lots, 100) for lots in (1_001, 1_000)]
    assert bench.do(*order) == [Code.INSUFFICIENT_MARGIN, Code.RESTING]
    assert bench.do(withdraw(FIRST, user, 1, ISOLATED)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(withdraw(FIRST, user, 1)) == [Code.INVALID]
    assert bench.do(cancel_all(FIRST, user)) == [Code.CANCELLED]
    assert bench.do(withdraw(FIRST, user, atoms(10), ISOLATED)) == [Code.DONE]
    assert not bench.perps[0]._positions.isolated[user]
    assert bench.do(limit_order(FIRST, user, BUY, 9_000, 100)) == [Code.RESTING]


def test_margin_can_be_added_and_deposits_for_all_stay_out_of_it() -> None:
    bench, user, rich = house()
    assert isolate(bench, FIRST, user, 60) == Code.DONE
    bench.trade(FIRST, user, rich, 5, 100)
    assert isolate(bench, FIRST, user, 40) == Code.DONE
    assert bench.do(deposit(FIRST, user, atoms(30))) == [Code.DONE]
    assert bench.perps[0].equity(np.array([user]))[0] == 100
    assert bench.record(user) == [30, 0, 0]
    assert bench.take(user, 30.1) == Code.INSUFFICIENT_MARGIN
    assert bench.take(user, 30) == Code.DONE
    assert bench.do(withdraw(FIRST, user, atoms(50), ISOLATED)) == [Code.DONE]
    bench.market.check()


def test_funding_and_settlement_of_an_isolated_contract_touch_nothing_else() -> None:
    bench, user, rich = house(
        expiry_seconds=180.0, settlement_window_seconds=0.0, funding_interval_seconds=60.0
    )
    bench.give(user, 100)
    assert isolate(bench, FIRST, user, 60) == Code.DONE
    bench.trade(FIRST, user, rich, 5, 100)
    bench.trade(SECOND, user, rich, 4, 100)
    bench.mark(104, 101)
    bench.mark(104, 101)
    bench.mark(104, 101)
    bench.liquidate()
    assert all(perp.expired for perp in bench.perps)
    assert bench.perps[0].equity(np.array([user]))[0] == 60 + 5 * 4
    assert bench.record(user) == [100 + 4, 0, 0]
    assert bench.house.observe(bench.moment).set_aside[user] == 80


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), preset=st.sampled_from(("takeover", "binance", "dydx")))
def test_random_play_splits_every_claim(seed, preset) -> None:
    """What is shared and what is set aside come to the claims; the collateral to all equities."""
    rng = np.random.default_rng(seed)
    bench = HouseBench(
        5,
        400.0,
        {"weight": 0.7, "maintenance_weight": 0.9},
        None,
        5.0,
        **FLAT,
        liquidation={"preset": preset},
        taker_fee_ppm=500,
        funding_interval_seconds=120.0,
    )
    marks, column = [100, 100], bench.market.ledger.column["USDT"]
    for _ in range(12):
        marks = [int(np.clip(m + rng.integers(-10, 11), 40, 250)) for m in marks]
        bench.price_coin(round(float(rng.uniform(0.8, 1.0)), 2))
        bench.mark(*marks)
        for user in rng.permutation(bench.users).tolist():
            size = int(rng.integers(1, 90_000_000))
            move = deposit_coin if rng.random() < 0.6 else withdraw_coin
            bench.do(move(HOUSE, user, int(rng.integers(0, 2)), size))
            for venue, mark in zip((FIRST, SECOND), marks, strict=True):
                move = deposit if rng.random() < 0.7 else withdraw
                bench.do(move(venue, user, size, ISOLATED if rng.random() < 0.7 else 0))
                side, lots = int(rng.choice((BUY, SELL))), int(rng.integers(1, 6_000))
                bench.do(limit_order(venue, user, side, lots, mark + int(rng.integers(-3, 4))))
        bench.liquidate()
        isolation, vault = bench.house.isolation, bench.house.custody.vault
        apart = np.zeros(len(isolation.aside), np.int64)
        for perp, (accounts, kept) in zip(bench.perps, isolation.kept, strict=True):
            apart[accounts] += kept
            contracts = bench.balances[accounts, perp.contract_column]
            assert (kept[contracts == 0] >= 0).all()
            apart[accounts] += contracts * perp._terms.mark_ticks * perp._terms.notional_atoms
        assert (isolation.aside == sum(_spread(kept, len(apart)) for kept in isolation.kept)).all()
        assert bench.equities() + apart.sum() == bench.balances[vault, column]


def _spread(kept, rows):
    column = np.zeros(rows, np.int64)
    column[kept[0]] = kept[1]
    return column


def test_coins_carry_more_when_it_comes_to_liquidation_than_for_orders() -> None:
    bench, user, rich = house(coin={"weight": 0.5, "maintenance_weight": 0.9})
    bench.give(user, 100, coin=1)
    bench.price_coin(1.0)
    bench.mark(100, 100)
    orders = [limit_order(FIRST, user, BUY, lots, 100) for lots in (5_001, 5_000)]
    assert bench.do(*orders) == [Code.INSUFFICIENT_MARGIN, Code.RESTING]
    bench.do(limit_order(FIRST, rich, SELL, 5_000, 100))
    assert bench.record(user) == [90, 50 + 40, 25]
    assert bench.take(user, 1, coin=1) == Code.INSUFFICIENT_MARGIN
    bench.mark(87, 100)  # 65 lost of 90, where 50 would have been gone
    bench.liquidate()
    assert bench.lots(FIRST, user) == 5_000
    bench.mark(86, 100)  # 20 left against 21.5
    bench.liquidate()
    assert bench.lots(FIRST, user) == 0


def test_what_is_owed_is_not_haircut() -> None:
    coin = Collateral("house", USDE, CollateralParams(asset="USDE", weight=0.6))
    coin.update([], 2.0)
    held = np.array([USDE.to_atoms(10.0), -USDE.to_atoms(10.0)])
    maintenance, less = coin.values(held, USDT.scale)
    assert maintenance.tolist() == [atoms(12), -atoms(20)]
    assert less.tolist() == [0, 0]


def test_weights_must_rise_from_orders_to_liquidation() -> None:
    with pytest.raises(ConfigError, match="maintenance_weight"):
        CollateralParams.read({"asset": "USDE", "weight": 0.9, "maintenance_weight": 0.8})


def test_cohorts_choose_their_margin_in_a_run() -> None:
    """Two contracts in one house: a cohort isolated on the first, one that shares on the second."""
    params = Perpetual.Params(house="house", insurance_fund_units=0.0)
    maker = {"base": 0, "quote": 1e7, "order_size": 50}
    crowd = {"count": 200, "leverage_mean": 20.0, "enter_per_hour": 20.0}
    agents = []
    for venue, owner in (("first", "alone"), ("second", "shared")):
        own = {"venue": venue, "isolated": owner == "alone"}
        traders = PerpetualTraders.Params(**own, **crowd)
        agents.append(AgentSpec(owner, PerpetualTraders, traders))
        quotes = PerpetualMaker.Params(venue=venue, **maker)
        agents.append(AgentSpec(f"maker_{venue}", PerpetualMaker, quotes))
    contracts = [Perpetual(name, "ex", BTC, params) for name in ("first", "second")]
    built = Scenario(
        domains=(Exchange("ex"),),
        venues=(*contracts, ClearingHouse("house", "ex", USDT)),
        agents=agents,
        processes=(GeometricBrownian("BTC", 10_000.0, 4.0),),
        steps=240,
        step_seconds=60.0,
    )
    world = World(built, 4)
    house = built.venues[2]
    for _ in range(built.steps):
        world.step()
    rows = world.recorder.tables()["liquidations"]
    assert {"alone", "shared"} <= set(rows["owner"])
    assert set(rows["venue"][rows["owner"] == "alone"]) == {"first"}
    isolated, atoms = house.isolation.kept[0]
    assert 0 < len(isolated) <= 200
    claims = world.market.ledger.balances[isolated, house.custody.margin_column]
    assert (claims == atoms).all()
    assert not len(house.isolation.kept[1][0])
