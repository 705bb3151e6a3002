"""One margin account for two contracts and a coin: records, limits, liquidation, loans."""

import dataclasses
from math import ceil, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset
from markets.derivatives.brackets import MarginTier
from markets.derivatives.clearing_house import ClearingHouse
from markets.derivatives.interest import RateCurve, borrow_rate, lend_rate
from markets.derivatives.lending import LendingParams, interest_of
from markets.derivatives.margin import MarginState, collateral_value
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import (
    BUY,
    SELL,
    deposit,
    deposit_coin,
    limit_order,
    withdraw,
    withdraw_coin,
)
from markets.outcomes import Code, Reason
from tests.house_bench import FIRST, HOUSE, SECOND, USDE, USDT, HouseBench
from tests.perpetual_bench import Bench

FLAT = {"maintenance_tiers": [MarginTier(maintenance_ppm=50_000)], "initial_margin_ppm": 100_000}


def test_the_record_is_one_for_all_contracts_and_coins() -> None:
    bench = HouseBench(coin={"weight": 0.9}, **FLAT)
    user, rich, *_ = bench.users
    bench.give(user, 100)
    bench.give(user, 50, coin=1)
    bench.give(rich, 1e5)
    bench.price_coin(0.98)
    bench.trade(FIRST, user, rich, 5, 100)
    bench.trade(SECOND, rich, user, 3, 100)
    bench.mark(104, 101)
    coin = float(collateral_value(50.0, 0.98, 0.9))
    equity, initial, maintenance = bench.record(user)
    assert equity == pytest.approx(100 + 5 * 4 - 3 * 1 + coin)
    assert initial == pytest.approx(0.1 * (5 * 104 + 3 * 101))
    assert maintenance == pytest.approx(initial / 2)
    assert bench.perps[0].equity(np.array([user]))[0] == pytest.approx(equity)
    bench.liquidate()
    assert bench.lots(FIRST, user) == 5_000


def test_the_view_has_margin_ratios_and_states() -> None:
    """5 from 100 to 90: 22.5 is needed at 5 %; thresholds themselves belong to the worse."""
    ratios = (1.51, 1.5, 1.2, 1.05)
    bench = HouseBench(6, **FLAT)
    *levered, idle, rich = bench.users
    bench.give(rich, 1e5)
    for user, ratio in zip(levered, ratios, strict=True):
        bench.give(user, 50 + 22.5 * ratio)
        bench.trade(FIRST, user, rich, 5, 100)
    bench.mark(90, 100)
    view = bench.house.observe(bench.moment)
    assert view.margin_ratios[levered].tolist() == list(ratios)
    states = [MarginState(state).name for state in view.margin_states[[*levered, idle]]]
    assert states == ["FREE", "REMINDER", "REDUCE_ONLY", "LIQUIDATION", "FREE"]
    assert view.margin_ratios[idle] == np.inf


def test_orders_need_margin_for_everything_held_anywhere() -> None:
    bench = HouseBench(**FLAT)
    user, rich, *_ = bench.users
    bench.give(user, 100)
    bench.give(rich, 1e5)
    bench.trade(FIRST, user, rich, 6, 100)
    order = [limit_order(SECOND, user, SELL, lots, 100) for lots in (4_001, 4_000)]
    assert bench.do(*order) == [Code.INSUFFICIENT_MARGIN, Code.RESTING]
    assert bench.do(limit_order(FIRST, user, BUY, 1, 100)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(deposit(FIRST, user, 1)) == [Code.DONE]
    assert bench.do(withdraw(FIRST, user, 1)) == [Code.INVALID]


def test_profit_in_one_contract_carries_the_loss_of_another() -> None:
    """A hedge: alone the short would be gone at 130, with the long nothing happens."""
    bench = HouseBench(**FLAT)
    user, rich, *_ = bench.users
    bench.give(user, 100)
    bench.give(rich, 1e5)
    bench.trade(FIRST, user, rich, 4, 100)
    bench.trade(SECOND, rich, user, 4, 100)
    bench.mark(150, 150)
    bench.liquidate()
    assert (bench.lots(FIRST, user), bench.lots(SECOND, user)) == (4_000, -4_000)
    bench.mark(100, 150)
    bench.liquidate()
    assert (bench.lots(FIRST, user), bench.lots(SECOND, user)) == (0, 0)


def test_a_position_leaves_with_its_part_of_the_equity() -> None:
    """dYdX: closing at the bankruptcy price leaves the margin ratio as it was."""
    bench = HouseBench(
        **FLAT, liquidation={"preset": "dydx", "stages": ("fund", "adl"), "takeover_ppm": 1_000_000}
    )
    user, rich, *_ = bench.users
    bench.give(user, 100)
    bench.give(rich, 1e5)
    bench.trade(FIRST, user, rich, 5, 100)
    bench.trade(SECOND, user, rich, 3, 100)
    bench.mark(90, 90)
    equity, _, maintenance = bench.record(user)
    assert equity < maintenance
    bench.perps[0].liquidate(bench.moment)
    after, _, left = bench.record(user)
    assert bench.lots(FIRST, user) == 0
    assert left == pytest.approx(0.05 * 270)
    assert after / left == pytest.approx(equity / maintenance, abs=1e-6)
    bench.market.check()


def test_a_mispriced_coin_liquidates_who_margins_with_it() -> None:
    """The coin prints 0.65 on the one thin venue that prices it: nothing else has moved."""
    for floor, stays in ((0.0, False), (0.99, True)):
        tiers = [MarginTier(maintenance_ppm=80_000)]
        params = {"maintenance_tiers": tiers, "initial_margin_ppm": 100_000}
        bench = HouseBench(coin={"least_price": floor}, **params)
        user, rich, *_ = bench.users
        bench.give(user, 100, coin=1)
        bench.give(rich, 1e5)
        bench.price_coin(1.0)
        bench.mark(100, 100)
        bench.trade(FIRST, user, rich, 9, 100)
        bench.price_coin(0.65)
        bench.mark(100, 100)
        bench.liquidate()
        assert bench.record(user)[0] == (100 * 0.99 if stays else 0)
        assert (bench.lots(FIRST, user) == 9_000) == stays


def test_coins_of_a_spent_account_go_to_the_fund() -> None:
    bench = HouseBench(coin={"weight": 0.8}, **FLAT)
    user, rich, *_ = bench.users
    bench.give(user, 100, coin=1)
    bench.give(rich, 1e5)
    bench.price_coin(1.0)
    bench.mark(100, 100)
    bench.trade(FIRST, user, rich, 7, 100)
    bench.mark(88, 100)  # 80 of margin, 84 lost
    bench.liquidate()
    assert bench.lots(FIRST, user) == 0
    assert (bench.claim(user), bench.claim(user, 1)) == (0, 0)
    fund = bench.house.custody.fund
    assert bench.claim(fund, 1) == 100
    assert bench.claim(fund) == pytest.approx(-80)
    assert dict(bench.house.drain_events()) == {"seizure": 80.0}
    assert bench.house.drain_flows()["reason"].tolist() == [Reason.INSURANCE, Reason.LIQUIDATION]


def test_withdrawing_needs_free_margin_and_own_money_unless_loans_are_made() -> None:
    for lending, allowed in (({}, False), ({"enabled": True}, True)):
        bench = HouseBench(coin={"weight": 0.5}, lending=lending, **FLAT)
        user, rich, *_ = bench.users
        bench.give(user, 100, coin=1)
        bench.give(rich, 60)
        bench.price_coin(1.0)
        bench.mark(100, 100)
        codes = {True: Code.DONE, False: Code.INSUFFICIENT_MARGIN}
        assert bench.take(user, 50.1) == Code.INSUFFICIENT_MARGIN
        assert bench.take(user, 40) == codes[allowed]
        assert bench.take(user, 101, coin=1) == Code.INSUFFICIENT_BALANCE
        assert bench.take(user, 19, coin=1) == Code.DONE
        if allowed:  # the rest backs the loan, and what is lent cannot be withdrawn
            assert bench.take(user, 2, coin=1) == Code.INSUFFICIENT_MARGIN
            assert bench.take(rich, 21) == Code.INSUFFICIENT_BALANCE
        assert bench.take(rich, 20) == Code.DONE
        bench.market.check()


def test_interest_of_a_loan_goes_to_lenders_less_the_reserve() -> None:
    lending = {"enabled": True, "kink": 0.8, "rate_at_0": 0.02, "rate_at_kink": 0.1}
    bench = HouseBench(coin={"weight": 0.9}, lending=lending, wealth=1e9, **FLAT)
    borrower, lender, *_ = bench.users
    bench.give(borrower, 1e8, coin=1)
    bench.give(lender, 1e8)
    bench.price_coin(1.0)
    bench.mark(100, 100)
    assert bench.take(borrower, 6e7) == Code.DONE
    before = [bench.claim(user) for user in (borrower, lender)]
    bench.mark(100, 100)
    interest = [
        bench.claim(user) - had for user, had in zip((borrower, lender), before, strict=True)
    ]
    view = bench.house.observe(bench.moment)
    assert view.utilisation == pytest.approx(0.6)
    rate = float(borrow_rate(RateCurve(0.8, 0.02, 0.1, 0.8), 0.6))
    assert view.borrow_rate == pytest.approx(rate)
    hours = 60 / 3600 / 8760
    assert interest[0] == pytest.approx(-6e7 * rate * hours, abs=1e-5)
    assert interest[1] == pytest.approx(1e8 * float(lend_rate(rate, 0.6, 0.1)) * hours, abs=1e-5)
    assert sum(interest) == pytest.approx(-bench.claim(bench.house.custody.fund))
    bench.market.check()


def test_unrealised_profit_earns_and_loss_pays() -> None:
    """The loser of 40 (thousand) on 10 of own money borrows 30, if unrealised profit counts."""
    for counts, used in ((True, 30 / (1_000 + 100 + 40)), (False, 0.0)):
        lending = {"enabled": True, "lend_unrealised": counts, "rate_at_0": 0.1}
        bench = HouseBench(coin={"weight": 0.9}, lending=lending, **FLAT)
        loser, winner, rich, _ = bench.users
        bench.give(loser, 1e4)
        bench.give(loser, 1e5, coin=1)
        bench.give(winner, 1e5)
        bench.give(rich, 1e6)
        bench.price_coin(1.0)
        bench.mark(100, 100)
        bench.trade(FIRST, winner, loser, 4_000, 100)
        bench.mark(110, 100)
        assert bench.house.interest.utilisation == pytest.approx(used, rel=0.05)
        assert (bench.house.interest.received_atoms[winner] > 0) == counts


@given(
    nets=st.lists(st.integers(-(10**13), 10**14), min_size=1, max_size=40),
    hours=st.floats(0.001, 24.0),
    reserve=st.integers(0, 10**6),
)
def test_interest_sums_to_zero_and_is_rounded_for_the_reserve(nets, hours, reserve) -> None:
    params = LendingParams(reserve_ppm=reserve, rate_at_0=0.01)
    nets = np.array(nets, np.int64)
    interest = interest_of(nets, params, hours)
    assert interest.received_atoms.sum() + interest.reserved_atoms == 0
    assert interest.reserved_atoms >= 0
    assert (interest.received_atoms[nets > 0] >= 0).all()
    owed = -interest.received_atoms[nets < 0]
    exact = -nets[nets < 0] * (interest.borrow_rate * hours / 8760)
    assert (owed >= exact - 1e-3).all()
    assert (owed <= exact * (1 + 1e-12) + 1).all()


@pytest.mark.parametrize("lent", [0, 1, 50])
def test_debts_that_outgrow_what_is_lent_pay_the_dearest_rate(lent) -> None:
    params = LendingParams(rate_at_0=0.01, kink=0.8, rate_at_kink=0.1, rate_at_1=0.5)
    interest = interest_of(np.array([-100, lent]) * 10**6, params, 8760.0)
    assert interest.borrow_rate == pytest.approx(0.5)
    assert interest.received_atoms[0] == pytest.approx(-50 * 10**6, rel=1e-6)
    assert interest_of(np.array([0, lent]), params, 8760.0).borrow_rate == pytest.approx(0.01)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    preset=st.sampled_from(("takeover", "binance", "hyperliquid", "dydx", "ftx")),
    loans=st.booleans(),
)
def test_random_play_keeps_every_atom(seed, preset, loans) -> None:
    """All claims and positions come to the collateral, and no coin is made or lost."""
    rng = np.random.default_rng(seed)
    rule = {"preset": preset, "portion_above": 100.0, "least": 10.0}
    rule |= {"backstops": [{"capital": 200.0}], "volume_per_second": 5.0}
    lending = {"enabled": loans, "rate_at_kink": 5.0, "rate_at_1": 50.0}
    bench = HouseBench(
        5, 300.0, {"weight": 0.8}, lending, 5.0, **FLAT, liquidation=rule, taker_fee_ppm=500
    )
    marks, coin = [100, 100], 1.0
    column = [bench.market.ledger.column[name] for name in ("USDT", "USDE")]
    for _ in range(15):
        marks = [int(np.clip(m + rng.integers(-12, 13), 30, 300)) for m in marks]
        coin = float(np.clip(coin + rng.choice((0, 0, -0.1, 0.1)), 0.5, 1.2))
        bench.price_coin(round(coin, 2))
        bench.mark(*marks)
        for user in rng.permutation(bench.users).tolist():
            atoms, which = int(rng.integers(1, 120_000_000)), int(rng.integers(0, 2))
            move = deposit_coin if rng.random() < 0.6 else withdraw_coin
            bench.do(move(HOUSE, user, which, atoms))
            for venue, mark in zip((FIRST, SECOND), marks, strict=True):
                side, lots = int(rng.choice((BUY, SELL))), int(rng.integers(1, 6_000))
                bench.do(limit_order(venue, user, side, lots, mark + int(rng.integers(-3, 4))))
        bench.liquidate()
        vault = bench.house.custody.vault
        assert bench.equities() == bench.balances[vault, column[0]]
        assert (bench.balances[1:, column] >= 0).all()
        total = bench.balances[1:, column].sum(axis=0)
        assert total[1] == USDE.to_atoms(300 * 5 + 1e6)


def test_a_house_is_named_listed_and_of_one_asset() -> None:
    with pytest.raises(ConfigError, match=r"perp\.house"):
        Bench(house="nowhere")
    with pytest.raises(ConfigError, match="collaterals"):
        ClearingHouse("house", "ex", USDT, (Asset("X", 2),))


def test_the_check_finds_claims_without_coins() -> None:
    bench = HouseBench()
    bench.balances[bench.house.custody.vault, bench.house._claims[1]] -= 1
    with pytest.raises(BrokenInvariant, match="claims are not"):
        bench.house.check()
    bench.balances[bench.house.custody.vault, bench.house._claims[1]] += 1
    bench.balances[bench.users[0], bench.house._claims[1]] -= 1
    with pytest.raises(BrokenInvariant, match="a coin is owed"):
        bench.house.check()


def test_margin_rises_with_open_interest_and_with_size() -> None:
    bench = Bench(3, 1e6, initial_margin_ppm=100_000, open_interest_caps_quote=(1_000.0, 3_000.0))
    one, two, user = bench.users
    bench.do(deposit(0, np.array([one, two]), bench.atoms(1e5)), deposit(0, user, bench.atoms(100)))
    bench.trade(one, two, 20, 100)
    bench.mark(100)  # half way between the caps: 55 %
    codes = bench.do(limit_order(0, user, BUY, 1_819, 100), limit_order(0, user, BUY, 1_818, 100))
    assert codes == [Code.INSUFFICIENT_MARGIN, Code.RESTING]
    bench = Bench(3, 1e6, initial_margin_ppm=100_000, size_factor=0.1)
    one, two, user = bench.users
    bench.do(deposit(0, np.array([one, two]), bench.atoms(1e5)), deposit(0, user, bench.atoms(80)))
    codes = bench.do(limit_order(0, user, BUY, 4_001, 100), limit_order(0, user, BUY, 4_000, 100))
    assert codes == [Code.INSUFFICIENT_MARGIN, Code.RESTING]  # 0.1 sqrt(4) = 20 % of 400


@pytest.mark.parametrize("lot", [0.001, 1.0, 10.0])
def test_the_root_law_counts_coins_whatever_a_lot_is(lot) -> None:
    bench = Bench(3, 1e6, lot=lot, initial_margin_ppm=100_000, size_factor=0.1)
    user, lots = bench.users[0], bench.instrument.to_lots(40.0)
    rate = ceil(1e5 * 40**0.5) / 1e6
    bench.do(deposit(0, user, bench.atoms(rate * 40 * 100)))
    codes = bench.do(*(limit_order(0, user, BUY, size, 100) for size in (lots + 1, lots)))
    assert codes == [Code.INSUFFICIENT_MARGIN, Code.RESTING]


def test_the_root_law_counts_coins_of_an_inverse_contract() -> None:
    params = {"contract": "inverse", "contract_value_quote": 100.0, "initial_margin_ppm": 100_000}
    bench = Bench(3, 1e6, decimals=9, tick=0.01, lot=1.0, size_factor=0.1, **params)
    user = bench.users[0]
    bench.mark(40.0)
    bench.do(deposit(0, user, bench.atoms(ceil(1e5 * 10**0.5) / 1e5)))
    codes = bench.do(*(limit_order(0, user, BUY, size, 4_000) for size in (5, 4)))
    assert codes == [Code.INSUFFICIENT_MARGIN, Code.RESTING]  # 4 contracts of 100 are 10 coins


def test_what_the_fund_held_of_an_expired_contract_is_its_cash() -> None:
    """At the contract that goes on it spends what it owns, and no more."""
    dated = {"expiry_seconds": 600.0, "settlement_window_seconds": 0.0}
    bench = HouseBench(fund=100.0, first=dated, liquidation={"stages": ("fund",)}, **FLAT)
    one, two, rich, fund = *bench.users[:3], bench.house.custody.fund
    bench.give(one, 100)
    bench.give(two, 100)
    bench.give(rich, 1e5)
    bench.trade(FIRST, one, rich, 5, 100)
    bench.trade(SECOND, two, rich, 5, 100)
    for _ in range(11):
        bench.mark(83, 100)
        bench.liquidate()
    assert bench.perps[0].expired
    assert bench.claim(fund) == 100 + 5 * (83 - 80)
    assert bench.perps[0].held_claim == 0
    bench.do(limit_order(SECOND, rich, BUY, 5_000, 30))
    bench.mark(83, 30)
    bench.liquidate()
    assert bench.lots(SECOND, fund) == 5_000 - 115_000 // (80 - 30)
    assert bench.claim(fund) - USDT.to_units(bench.perps[1].held_claim) == 0


def test_the_fillable_price_is_of_the_position_and_the_rating_of_the_account() -> None:
    bench = HouseBench(liquidation={"preset": "dydx"}, **FLAT)
    user, rich, *_ = bench.users
    bench.give(user, 200)
    bench.give(rich, 1e5)
    bench.trade(FIRST, user, rich, 10, 100)
    bench.trade(SECOND, user, rich, 10, 100)
    bench.mark(93, 93)
    equity, _, maintenance = bench.record(user)
    worst = 93 * (1 - (1 - equity / maintenance) * 1.5 * 0.05)
    assert 90 < worst < 91
    bench.do(limit_order(FIRST, rich, BUY, 20_000, 90))
    bench.liquidate()
    assert bench.lots(FIRST, user) == 10_000
    bench.do(limit_order(FIRST, rich, BUY, 20_000, 91))
    bench.liquidate()
    assert bench.lots(FIRST, user) < 10_000


def test_a_dated_future_settles_into_the_claims_of_the_house() -> None:
    bench = HouseBench(expiry_seconds=120.0, settlement_window_seconds=0.0, **FLAT)
    user, rich, *_ = bench.users
    bench.give(user, 100)
    bench.give(rich, 1e5)
    bench.trade(FIRST, user, rich, 4, 100)
    bench.trade(SECOND, rich, user, 4, 100)
    view = bench.perps[0].observe(bench.moment)
    assert (view.seconds_to_expiry, view.form.settlement) == (120.0, USDT)
    dear = dataclasses.replace(view, mark=102.0, index_price=100.0)
    assert dear.basis_annual == pytest.approx(0.02 * 365 * 720)
    bench.mark(100, 100)
    bench.mark(115, 104)
    bench.liquidate()
    assert all(perp.expired for perp in bench.perps)
    assert bench.record(user) == [100 + 4 * 15 - 4 * 4, 0, 0]
    assert bench.claim(user) == 144
    assert bench.take(user, 144) == Code.DONE
    settled = bench.perps[0].observe(bench.moment)
    assert settled.seconds_to_expiry == 0
    assert isnan(settled.basis_annual)
    bench.market.check()
