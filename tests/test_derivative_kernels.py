"""Invariants of margin, profit, funding and marks, on random positions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from markets.derivatives import funding, margin, mark, pnl
from markets.derivatives.brackets import TierRule, ruled_tiers
from markets.derivatives.contract import INVERSE, LINEAR, LONG, QUANTO, SHORT

prices = st.floats(1.0, 1e5)
sizes = st.floats(1e-3, 1e4)
rates = st.floats(-0.01, 0.01)
sides = st.sampled_from([LONG, SHORT])
contracts = st.sampled_from([LINEAR, INVERSE, QUANTO])

MAJOR = margin.bracket_tiers(
    [0, 50e3, 250e3, 1e6, 10e6, 20e6, 50e6], [0.004, 0.005, 0.01, 0.025, 0.05, 0.1, 0.125]
)

untimed = settings(deadline=None)  # compiling must not fail a test


def near(value: float, rel: float = 1e-9, absolute: float = 1e-9) -> object:
    return pytest.approx(value, rel=rel, abs=absolute)


# --- margin ----------------------------------------------------------------------------------


def taxed(notional: float) -> float:
    """Requirement bracket by bracket, as an income tax."""
    tops = [*MAJOR.floors[1:], np.inf]
    return sum(
        max(0.0, min(notional, top) - floor) * rate
        for floor, top, rate in zip(MAJOR.floors, tops, MAJOR.rates, strict=True)
    )


@untimed
@given(st.floats(0.0, 1e8))
def test_brackets_are_marginal(notional: float) -> None:
    assert margin.maintenance_margin(MAJOR, notional) == near(taxed(notional))


@untimed
@given(st.floats(0.0, 1e8), st.floats(0.0, 1e6))
def test_maintenance_margin_rises_and_never_jumps(notional: float, more: float) -> None:
    low, high = margin.maintenance_margin(MAJOR, np.array([notional, notional + more]))
    assert -1e-6 <= high - low <= MAJOR.rates[-1] * more + 1e-6


@untimed
@given(st.sampled_from(MAJOR.floors[1:].tolist()))
def test_a_floor_belongs_to_the_tier_below_and_whole_tiers_jump(floor: float) -> None:
    below, above = margin.tier_of(MAJOR, np.array([floor, np.nextafter(floor, np.inf)]))
    assert above == below + 1
    steps = ruled_tiers(MAJOR.floors, MAJOR.rates, TierRule.STEP)
    at, beyond = margin.maintenance_margin(steps, np.array([floor, floor * (1 + 1e-9)]))
    assert beyond - at == near(floor * (MAJOR.rates[above] - MAJOR.rates[below]), 1e-6)


@untimed
@given(st.floats(0.0, 1e8))
def test_open_interest_only_raises_the_initial_rate(open_notional: float) -> None:
    rate = margin.open_interest_rate(0.05, open_notional, 2e7, 5e7)
    assert 0.05 <= rate <= 1.0
    assert rate <= margin.open_interest_rate(0.05, open_notional + 1e6, 2e7, 5e7)


@untimed
@given(st.floats(-1e6, 1e6), prices, st.floats(0.0, 1.0))
def test_haircuts_never_help(net: float, index: float, collateral_rate: float) -> None:
    value = margin.collateral_value(net, index, collateral_rate)
    assert value <= net * index + 1e-6
    if net < 0.0:
        assert value == net * index


# --- profit ----------------------------------------------------------------------------------


@untimed
@given(contracts, sides, sizes, prices, prices, prices)
def test_profit_adds_up_along_a_path(
    contract: int, side: int, size: float, first: float, second: float, third: float
) -> None:
    whole = pnl.profit(contract, side, size, first, third)
    parts = pnl.profit(contract, side, size, first, second)
    parts += pnl.profit(contract, side, size, second, third)
    assert whole == near(parts, 1e-9, 1e-9 * size * max(first, second, third))


def test_a_roll_keeps_contracts_and_changes_the_coin_notional() -> None:
    near_coin, far_coin = pnl.notional(INVERSE, np.array([50_000.0, 50_000.0]), [50e3, 62.5e3])
    assert (near_coin, far_coin) == (1.0, 0.8)
    assert pnl.basis_annual(62.5e3, 50e3, 365.0) == pytest.approx(0.25)


# --- funding and marks -----------------------------------------------------------------------


@untimed
@given(rates, rates, st.floats(0.0, 0.001))
def test_the_clamp_is_a_median(premium: float, interest: float, damper: float) -> None:
    middle = mark.median3(premium - damper, interest, premium + damper)
    assert funding.damped_rate(premium, interest, damper) == near(middle, 1e-12, 1e-17)


@untimed
@given(rates, rates, st.floats(0.005, 0.1), st.floats(0.1, 0.9))
def test_step_limits_hold(rate: float, previous: float, initial: float, share: float) -> None:
    maintenance = share * initial
    got = funding.step_limited_rate(rate, previous, initial, maintenance)
    assert abs(got - previous) <= 0.75 * maintenance + 1e-12
    if abs(previous) <= 0.75 * (initial - maintenance):
        assert abs(got) <= 0.75 * (initial - maintenance) + 1e-12


def test_deribit_rate_has_a_dead_band() -> None:
    marks = np.array([100.04, 99.96, 100.15, 99.85])
    assert funding.dead_band_rate(marks, 100.0) == pytest.approx([0, 0, 0.001, -0.001])


@untimed
@given(st.lists(st.tuples(prices, sizes), min_size=1, max_size=10), st.floats(0.01, 1.0))
def test_impact_price_spends_exactly_the_notional(
    levels: list[tuple[float, float]], share: float
) -> None:
    level_prices = np.array([price for price, _ in sorted(levels)])
    level_sizes = np.array([size for _, size in sorted(levels)])
    depth = float(level_prices @ level_sizes)
    impact = funding.impact_price(level_prices, level_sizes, share * depth * (1 - 1e-12))
    assert level_prices[0] * (1 - 1e-12) <= impact <= level_prices[-1] * (1 + 1e-12)
    worse = funding.impact_price(level_prices, level_sizes, depth * (1 - 1e-12))
    assert impact <= worse * (1 + 1e-12)
    assert np.isnan(funding.impact_price(level_prices, level_sizes, 1.001 * depth))


def test_a_side_without_depth_adds_no_premium() -> None:
    bids, asks = np.array([np.nan, 101.0, np.nan]), np.array([99.0, np.nan, np.nan])
    assert funding.premium_sample(bids, asks, 100.0) == pytest.approx([-0.01, 0.01, 0.0])


def test_sample_tails_are_cut_on_both_sides() -> None:
    samples = [0, 10, 20, 30, 40, 50, 60, 70, 80, 1_000_000]
    rule = funding.PremiumSamplesRule(10, 100_000, 0)  # 2 of 10 samples go
    assert funding.sampled_rate_ppm(samples, rule, 1_000_000) == 45
    negative = [-sample for sample in samples]
    assert funding.sampled_rate_ppm(negative, rule, 1_000_000) == -45
    assert funding.sampled_rate_ppm(samples, rule, 40) == 40


@untimed
@given(st.lists(st.tuples(prices, st.floats(0.1, 5.0)), min_size=1, max_size=9))
def test_the_weighted_median_splits_the_weight(members: list[tuple[float, float]]) -> None:
    values, weights = np.array(members).T
    middle = mark.weighted_median(values, weights)
    half = weights.sum() / 2.0
    assert weights[values < middle].sum() <= half * (1 + 1e-12)
    assert weights[values > middle].sum() <= half * (1 + 1e-12)
    with_gap = mark.weighted_median(np.append(values, np.nan), np.append(weights, 99.0))
    assert with_gap == middle
    mean = mark.weighted_mean(values, weights)
    assert values.min() * (1 - 1e-12) <= mean <= values.max() * (1 + 1e-12)


@untimed
@given(st.floats(-50, 50), st.lists(st.floats(0.1, 1e3), min_size=1, max_size=20))
def test_an_ema_of_a_constant_is_the_constant(sample: float, gaps: list[float]) -> None:
    top = bottom = 0.0
    for gap in gaps:
        top, bottom = mark.ema_step(top, bottom, sample, gap, mark.DERIBIT_EMA_SECONDS)
    assert top / bottom == near(sample)


@untimed
@given(prices, prices, st.floats(0.001, 0.2))
def test_bounded_basis_keeps_the_mark_in_its_band(
    future: float, index: float, bandwidth: float
) -> None:
    moved = mark.moving_basis_mark(index, mark.bounded_basis(future, index, bandwidth))
    assert abs(moved / index - 1.0) <= bandwidth + 1e-12
    if abs(future / index - 1.0) < bandwidth:
        assert moved == near(future)


# --- in kernels ------------------------------------------------------------------------------


@njit
def step_of_a_kernel(premium: float, price: float) -> tuple[float, float, float]:
    rate = funding.interval_rate(funding.damped_rate(premium, 1e-4, 5e-4), 1.0, 0.04)
    gained = pnl.profit(LINEAR, LONG, 2.0, price, price * (1.0 + rate))
    return gained, rate, mark.median3(price, price + 1.0, price - 1.0)


def test_leaf_functions_run_inside_a_compiled_kernel() -> None:
    assert step_of_a_kernel(0.01, 100.0) == step_of_a_kernel.py_func(0.01, 100.0)
    assert step_of_a_kernel(0.01, 100.0) == pytest.approx((0.2375, 0.0011875, 100.0))
