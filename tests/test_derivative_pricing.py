"""Acceptance tests of pricing kernels: options, perpetual futures, interest, pools and products."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from markets.derivatives import (
    create_redeem,
    everlasting,
    fair_price,
    interest,
    leveraged_token,
    maker_loan,
    maker_programme,
    oracle_pool,
    order_split,
)
from markets.derivatives.contract import INVERSE, LINEAR, QUANTO
from markets.derivatives.options import (
    OptionMarket,
    coin_payoff,
    european_delta,
    european_price,
    move_settlement,
)

untimed = settings(deadline=None)  # compiling must not fail a test

spots = st.floats(50.0, 200.0)
volatilities = st.floats(0.1, 1.5)
annual = st.floats(-0.05, 0.15)

LAGUERRE = np.polynomial.laguerre.laggauss(120)


# --- options ---------------------------------------------------------------------------------


@untimed
@given(spots, spots, volatilities, annual, annual, st.floats(0.0, 3.0))
def test_put_call_parity(
    spot: float, strike: float, volatility: float, r: float, q: float, years: float
) -> None:
    market = OptionMarket(spot, volatility, r, q)
    call, put = european_price(np.array([True, False]), market, strike, years)
    assert call - put == pytest.approx(spot * np.exp(-q * years) - strike * np.exp(-r * years))
    assert min(call, put) >= -1e-12


@pytest.mark.parametrize("is_call", [True, False])
def test_european_price_is_the_lognormal_expectation(is_call: bool) -> None:
    spot, strike, volatility, r, q, years = 100.0, 115.0, 0.6, 0.04, 0.01, 0.75
    drift = (r - q - volatility**2 / 2) * years

    def weighted(z: float) -> float:
        final = spot * np.exp(drift + volatility * np.sqrt(years) * z)
        gain = final - strike if is_call else strike - final
        return max(0.0, gain) * norm.pdf(z)

    kink = (np.log(strike / spot) - drift) / (volatility * np.sqrt(years))
    integral = quad(weighted, -10, kink)[0] + quad(weighted, kink, 10)[0]
    market = OptionMarket(spot, volatility, r, q)
    got = european_price(is_call, market, strike, years)
    assert got == pytest.approx(np.exp(-r * years) * integral, rel=1e-7)


def test_delta_is_the_slope_and_expiry_is_the_payoff() -> None:
    up, down = (OptionMarket(100.0 + shift, 0.5, 0.03) for shift in (1e-4, -1e-4))
    slope = (european_price(True, up, 110.0, 0.5) - european_price(True, down, 110.0, 0.5)) / 2e-4
    assert european_delta(True, OptionMarket(100.0, 0.5, 0.03), 110.0, 0.5) == pytest.approx(slope)
    expired = european_price(True, OptionMarket(np.array([90.0, 130.0]), 0.5), 110.0, 0.0)
    assert expired.tolist() == [0.0, 20.0]
    assert coin_payoff(True, 125.0, 100.0) == pytest.approx(0.2)
    assert move_settlement(np.array([100.0, 102.0]), np.array([95.0])) == 6.0


@untimed
@given(spots, spots, volatilities, st.floats(0.0, 0.1), st.floats(0.0, 0.1), st.booleans())
def test_everlasting_is_the_exponential_mixture_of_expiries(
    spot: float, strike: float, volatility: float, r: float, q: float, is_call: bool
) -> None:
    market = OptionMarket(spot, volatility, r, q)
    got = everlasting.continuous_price(is_call, market, strike, 30.0)
    nodes, weights = LAGUERRE
    mixed = weights @ european_price(is_call, market, strike, nodes * 30.0 / 365.0)
    assert got == pytest.approx(mixed, rel=2e-3, abs=2e-3 * strike)


def test_everlasting_at_the_money_and_its_limits() -> None:
    market = OptionMarket(3000.0, 0.8)
    closed = 3000.0 / np.sqrt(1 + 8 * 365 / 0.64)
    assert everlasting.continuous_price(True, market, 3000.0, 1.0) == pytest.approx(closed)
    often = everlasting.everlasting_price(True, market, 3000.0, 2000, (1.0, 1.0 / 2000))
    assert often == pytest.approx(closed, rel=1e-3)
    assert everlasting.margined_price(True, market, 3000.0, 365.0) == pytest.approx(closed)


def test_everlasting_funding_pays_for_the_time_value_of_each_payment() -> None:
    """Holding over one payment is fair: value before = (mark - payoff)/f less, value after."""
    market, payments = OptionMarket(100.0, 0.7), 1
    before = everlasting.everlasting_price(True, market, 105.0, payments, (1.0, 0.0))
    after = everlasting.everlasting_price(True, market, 105.0, payments, (1.0, 1.0))
    paid = everlasting.everlasting_funding(before, 0.0, payments)
    assert before == pytest.approx(after - paid)


# --- perpetual futures -----------------------------------------------------------------------


@untimed
@given(spots, st.floats(0.5, 2000.0), annual, annual)
def test_the_perpetual_equals_spot_only_at_the_fair_interest(
    spot: float, kappa: float, r: float, q: float
) -> None:
    fair = fair_price.continuous_price(LINEAR, spot, fair_price.Carry(kappa, r - q, r, q))
    assert fair == pytest.approx(spot)
    low = fair_price.continuous_price(LINEAR, spot, fair_price.Carry(kappa, r - q + 0.01, r, q))
    assert low < spot


def test_inverse_is_the_linear_contract_of_the_other_currency() -> None:
    carry = fair_price.Carry(0.2, 0.005, 0.04, 0.02)
    mirrored = fair_price.Carry(0.2, 0.005, 0.02, 0.04)
    inverse = fair_price.continuous_price(INVERSE, 10_000.0, carry)
    assert 1 / inverse == pytest.approx(fair_price.continuous_price(LINEAR, 1e-4, mirrored))
    quanto = fair_price.continuous_price(QUANTO, 10_000.0, carry)
    assert quanto == fair_price.continuous_price(LINEAR, 10_000.0, carry)


@untimed
@given(st.floats(0.5, 50.0), annual, annual, annual)
def test_discrete_funding_tends_to_continuous(
    kappa: float, iota: float, r: float, q: float
) -> None:
    step = 1e-5
    scaled = fair_price.Carry(kappa * step, iota * step, np.expm1(r * step), np.expm1(q * step))
    limit = fair_price.continuous_price(LINEAR, 100.0, fair_price.Carry(kappa, iota, r, q))
    for current in (False, True):
        got = fair_price.discrete_price(LINEAR, 100.0, scaled, current)
        assert got == pytest.approx(limit, rel=1e-4)
    path = fair_price.path_price(
        100.0, np.full(5, kappa * step), np.full(5, iota * step), scaled[2], scaled[3]
    )
    assert path == pytest.approx(fair_price.discrete_price(LINEAR, 100.0, scaled))


@untimed
@given(st.floats(-0.001, 0.001), st.floats(-0.0005, 0.0005), st.floats(0.0, 0.001))
def test_the_clamped_premium_pays_the_carry(carry: float, rate: float, damper: float) -> None:
    assume(abs(carry - rate) > 1e-5)
    found = fair_price.clamped_equilibrium(carry, rate, damper)
    assert found.funding_rate == pytest.approx((1 + found.premium) * carry, abs=1e-15)
    assert np.sign(found.premium - rate) == np.sign(carry - rate) or damper == 0.0


def test_the_band_surrounds_the_fair_price() -> None:
    assert fair_price.no_trade_band(101.0, 100.0, 0.002) == pytest.approx((100.8, 101.2))
    assert fair_price.dated_price(100.0, 0.05, 0.05, 3.0) == pytest.approx(100.0)


# --- interest --------------------------------------------------------------------------------


@untimed
@given(st.floats(0.1, 0.95), st.floats(0.0, 0.1), st.floats(0.0, 0.3), st.floats(0.0, 2.0))
def test_the_kinked_curve_passes_its_points(
    kink: float, start: float, rise: float, jump: float
) -> None:
    curve = interest.RateCurve(kink, start, start + rise, start + rise + jump)
    at = interest.borrow_rate(curve, np.array([0.0, kink, 1.0]))
    assert at == pytest.approx([start, start + rise, start + rise + jump])
    path = interest.borrow_rate(curve, np.linspace(0.0, 1.0, 101))
    assert np.all(np.diff(path) >= -1e-12)


@untimed
@given(st.floats(0.0, 1e6), st.floats(1.0, 1e6), st.floats(0.0, 0.5), st.floats(0.0, 1.0))
def test_lenders_and_reserve_earn_what_borrowers_pay(
    borrowed: float, supplied: float, reserve: float, rate: float
) -> None:
    used = interest.utilisation(borrowed, supplied)
    earned = interest.lend_rate(rate, used, reserve) * supplied
    assert earned + reserve * rate * borrowed == pytest.approx(rate * borrowed)
    assert interest.utilisation(0.0, 0.0) == 0.0


@untimed
@given(st.floats(0.0, 2.0), st.integers(1, 200), st.integers(1, 200))
def test_accrual_compounds_over_split_periods(rate: float, first: int, second: int) -> None:
    early = interest.accrued_interest(1000.0, rate, first)
    late = interest.accrued_interest(1000.0 + early, rate, second)
    assert early + late == pytest.approx(interest.accrued_interest(1000.0, rate, first + second))


def test_the_borrow_factor_is_steeper_beyond_the_best_usage() -> None:
    curve = interest.UsageCurve(0.75, 1e-8, 4e-8)
    usages = interest.usage_factor(curve, np.array([0.0, 0.75, 1.0]))
    assert usages == pytest.approx([0.0, 0.75e-8, 4e-8])


# --- pools -----------------------------------------------------------------------------------


interests = st.floats(0.0, 1e6)


@untimed
@given(interests, interests, st.floats(1.0, 1e6), st.sampled_from([1.5, 2.0]))
def test_no_free_round_trip_through_the_impact(
    longs: float, shorts: float, size: float, exponent: float
) -> None:
    rule = oracle_pool.ImpactRule(1e-9, 2e-9, exponent)
    opened = oracle_pool.price_impact(longs, shorts, size, rule)
    closed = oracle_pool.price_impact(longs + size, shorts, -size, rule)
    assert opened + closed <= 1e-6


def test_impact_helps_who_restores_the_balance_and_is_capped() -> None:
    rule = oracle_pool.ImpactRule(2e-7, 2e-7)
    better, worse = oracle_pool.price_impact(50e3, 0.0, np.array([-20e3, 20e3]), rule)
    assert better > 0.0 > worse
    caps = oracle_pool.ImpactCaps(0.004, 0.005)
    capped = oracle_pool.capped_impact(np.array([900.0, -900.0, 10.0]), 100e3, 300.0, caps)
    assert capped.tolist() == [300.0, -500.0, 10.0]
    assert oracle_pool.size_impact_fraction(10_000.0, 1.25e9) == 8e-6


@untimed
@given(st.floats(1.0, 1e6), st.floats(1.0, 1e6), st.sampled_from([1.0, 1.5]))
def test_pool_funding_sums_to_zero(longs: float, shorts: float, exponent: float) -> None:
    long_pays, short_pays = oracle_pool.basic_funding(longs, shorts, 1e-8, exponent)
    assert long_pays * longs + short_pays * shorts == pytest.approx(0.0, abs=1e-9)
    if longs > shorts:
        assert long_pays >= 0.0 >= short_pays


def test_adaptive_funding_rises_holds_decays_and_turns() -> None:
    rule = oracle_pool.AdaptiveRule(
        increase_speed=1e-6,
        decrease_speed=1e-8,
        stable_threshold=0.05,
        decrease_threshold=0.02,
        max_factor=1e-4,
    )

    def after(saved: float, longs: float, shorts: float, seconds: float = 10.0) -> float:
        return oracle_pool.adaptive_factor(saved, longs, shorts, seconds, rule)

    assert after(1e-6, 60.0, 40.0) == pytest.approx(1e-6 + 0.2 * 1e-5)
    assert after(1e-6, 51.5, 48.5) == 1e-6
    assert after(1e-6, 50.5, 49.5) == pytest.approx(9e-7)
    assert 0.0 < after(1e-8, 50.5, 49.5) < 1e-20
    assert after(1e-6, 40.0, 60.0) == pytest.approx(1e-6 - 0.2 * 1e-5)
    assert after(9.9e-5, 60.0, 40.0, 1e6) == 1e-4


def test_mint_fees_pull_towards_the_target() -> None:
    rule = oracle_pool.MintRule(25.0, 50.0)
    held, change = np.array([800.0, 1000.0, 1200.0]), np.array([100.0, 100.0, 100.0])
    cheaper, dearer, dearest = oracle_pool.mint_fee_bps(held, change, 1000.0, rule)
    assert cheaper < 25.0 < dearer < dearest
    assert oracle_pool.mint_fee_bps(500.0, 10.0, 0.0, rule) == 25.0


# --- products --------------------------------------------------------------------------------


@untimed
@given(st.sampled_from([-3.0, -1.0, 0.5, 3.0]), spots, st.floats(-0.2, 0.2))
def test_leveraged_tokens_rebalance_pro_cyclically(
    target: float, start: float, move: float
) -> None:
    basket = leveraged_token.rebalanced(leveraged_token.Basket(1000.0, 0.0), start, target)
    following = start * (1.0 + move)
    assert leveraged_token.leverage(basket, start) == pytest.approx(target)
    assert leveraged_token.net_asset_value(basket, following) == pytest.approx(
        1000.0 * (1.0 + target * move)
    )
    traded = leveraged_token.desired_units(basket, following, target) - basket.units
    flow = leveraged_token.rebalancing_flow(target, move, 1000.0)
    assert traded * following == pytest.approx(flow, abs=1e-6)


def test_a_worthless_token_holds_nothing() -> None:
    basket = leveraged_token.Basket(-1000.0, 10.0)
    assert leveraged_token.desired_units(basket, 90.0, 3.0) == 0.0
    assert np.isinf(leveraged_token.leverage(basket, 90.0))
    assert leveraged_token.must_rebalance(basket, 90.0, False, 4.0)


@untimed
@given(
    st.floats(100.0, 1e4),
    st.floats(10.0, 1e4),
    st.floats(0.0, 0.01),
    st.floats(0.9, 1.2),
    st.floats(0.0, 1.0),
)
def test_no_other_split_is_cheaper(
    reserve: float, spot: float, fee: float, premium: float, share: float
) -> None:
    pool, quantity = order_split.Pool(reserve, spot, fee), 0.3 * reserve
    best = order_split.split_cost(pool, premium * spot, quantity)
    other = order_split.pool_cost(pool, share * quantity)
    other += (1.0 - share) * quantity * premium * spot
    assert best <= other * (1 + 1e-12)


@untimed
@given(st.floats(0.9, 1.1), st.floats(0.0, 0.01), st.floats(0.0, 0.01), st.floats(0.0, 500.0))
def test_creation_pays_exactly_above_its_break_even(
    ratio: float, variable: float, trade: float, fixed: float
) -> None:
    costs = create_redeem.ChannelCosts(variable, fixed, trade)
    shares, nav = 10_000.0, 40.0
    edge = create_redeem.break_even_premium(shares, nav, costs)
    at_edge = create_redeem.create_profit(shares, nav * (1 + edge), nav, costs)
    assert at_edge == pytest.approx(0.0, abs=1e-6)
    created = create_redeem.create_profit(shares, nav * ratio, nav, costs)
    redeemed = create_redeem.redeem_profit(shares, nav * ratio, nav, costs)
    assert not (created > 1e-6 and redeemed > 1e-6)  # both at once would be free money
    action = create_redeem.best_action(created, redeemed)
    assert (action == create_redeem.Action.NONE) == (max(created, redeemed) <= 0.0)


def test_the_band_widens_with_the_square_root_of_the_delay() -> None:
    short, long = create_redeem.risk_band(0.6, np.array([1.0, 4.0]) / 365.0, 1.5)
    assert long == pytest.approx(2.0 * short)


def test_maker_scores_take_the_weaker_side_and_pay_by_threshold() -> None:
    rule = maker_programme.ScoreRule(1.0, 0.01)
    bids, asks = np.array([99.9, 99.5, 100.0]), np.array([100.2, 103.0, 100.1])
    bid = maker_programme.side_score(bids, np.array([2.0, 5.0, 9.0]), 100.0, rule)
    ask = maker_programme.side_score(asks, np.array([2.0, 50.0, 0.5]), 100.0, rule)
    assert (bid, ask) == pytest.approx((3000.0, 1000.0))
    assert maker_programme.quote_score(bid, ask) == ask
    shares = np.array([0.004, 0.005, 0.02, 0.05])
    rebates = maker_programme.share_rebate(shares, [0.005, 0.015, 0.03], [1e-5, 2e-5, 3e-5])
    assert rebates.tolist() == [0.0, 0.0, 2e-5, 3e-5]
    quoted = np.array([True, True, False, True])
    assert maker_programme.uptime(quoted, np.array([True, False, True, True])) == 0.5


def test_a_loan_is_repaid_in_tokens_or_cash() -> None:
    tokens = np.array([10.0, 10.0, 10.0])
    back = maker_loan.repay(tokens, 1.5, np.array([1.0, 1.5, 2.0]))
    assert back.exercised.tolist() == [False, False, True]
    assert back.tokens.tolist() == [10.0, 10.0, 0.0]
    assert back.cash.tolist() == [0.0, 0.0, 15.0]
    assert back.payoff.tolist() == [0.0, 0.0, 5.0]
    market = OptionMarket(1.0, 1.1, 0.04)
    assert 0.0 < maker_loan.loan_value(10.0, market, 1.5, 2.0) < 10.0
    assert 0.0 < maker_loan.loan_delta(10.0, market, 1.5, 2.0) < 10.0
