"""Properties of the pool kernels: no free round trip, no gain by splitting, quotes that hold."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from markets.pools import (
    arbitrage,
    batch_pool,
    concentrated,
    constant_product,
    counterparty,
    cryptoswap,
    losses,
    positions,
    price_scale,
    stable_liquidity,
    stableswap,
    weighted,
)
from markets.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at

LOW, HIGH = sqrt_price_at(MIN_TICK), sqrt_price_at(MAX_TICK)
STABLE = stableswap.StableTerms(200.0, 0.0004, 1.0)
CRYPTO = cryptoswap.CryptoTerms(100.0, 0.000145, 0.0026, 0.0045, 0.00023)
NO_GAIN = 1.0 + 1e-12

reserves = st.floats(1e2, 1e8)
skews = st.floats(0.2, 5.0)
sizes = st.floats(1e-6, 2.0)
fees = st.integers(0, 30_000)


def pool_of(fee_ppm: int) -> tuple:
    """Five overlapping ranges with a gap beyond them, price 1."""
    pool, book = concentrated.empty_pool(1.0, 16), positions.empty_positions(5)
    ranges = [(-6000, 6000), (-600, 600), (-240, 120), (60, 1200), (-1800, -300)]
    for row, bounds in enumerate(ranges):
        book.bounds[:, row] = bounds
        positions.change_liquidity(pool, book, row, 10**15 * (row + 1))
    return pool, book, fee_ppm


def copied(arrays: tuple) -> list:
    return [array.copy() for array in arrays]


@settings(deadline=None)
@given(reserves, skews, sizes, fees)
def test_constant_product_keeps_k_and_gives_nothing_free(x, skew, size, fee_ppm):
    y, a = x * skew, x * size
    out = constant_product.amount_out(x, y, fee_ppm, a)
    assert 0.0 < out < y
    assert (x + a) * (y - out) >= x * y / NO_GAIN
    assert constant_product.amount_out(y - out, x + a, fee_ppm, out) <= a * NO_GAIN
    assert constant_product.amount_in(x, y, fee_ppm, out) == pytest.approx(a, rel=1e-9)
    first = constant_product.amount_out(x, y, fee_ppm, a / 3)
    rest = constant_product.amount_out(x + a / 3, y - first, fee_ppm, a - a / 3)
    assert first + rest <= out * NO_GAIN


@settings(deadline=None)
@given(reserves, skews, sizes, fees, st.floats(0.05, 0.95))
def test_weighted_keeps_its_invariant_and_gives_nothing_free(x, skew, size, fee_ppm, w):
    y, a, v = x * skew, x * size, 1.0 - w
    out = weighted.amount_out(x, w, y, v, fee_ppm, a)
    assert 0.0 < out <= y
    assume(out < 0.999 * y)
    weights = np.array([w, v])
    before = weighted.invariant(np.array([x, y]), weights)
    assert weighted.invariant(np.array([x + a, y - out]), weights) >= before / (1 + 1e-11)
    assert weighted.amount_out(y - out, v, x + a, w, fee_ppm, out) <= a * (1 + 1e-9)
    assert weighted.amount_in(x, w, y, v, fee_ppm, out) == pytest.approx(a, rel=1e-6)
    first = weighted.amount_out(x, w, y, v, fee_ppm, a / 3)
    rest = weighted.amount_out(x + a / 3, w, y - first, v, fee_ppm, a - a / 3)
    assert first + rest <= out * NO_GAIN


@settings(deadline=None)
@given(reserves, skews, sizes, fees)
def test_weighted_of_equal_weights_is_constant_product(x, skew, size, fee_ppm):
    args = x * skew, fee_ppm, x * size
    equal = weighted.amount_out(x, 0.5, args[0], 0.5, *args[1:])
    assert equal == pytest.approx(constant_product.amount_out(x, *args), rel=1e-13)


@settings(deadline=None)
@given(reserves, skews, sizes, st.integers(2, 4), st.floats(1.0, 5.0))
def test_stableswap_keeps_d_and_gives_nothing_free(x, skew, size, coins, multiplier):
    terms = stableswap.StableTerms(200.0, 0.0004, multiplier)
    balances = np.full(coins, x)
    balances[1] *= skew
    d, a = stableswap.invariant(balances, 200.0), x * size
    out, fee = stableswap.swap_out(balances, terms, 0, 1, a)
    assert 0.0 < out < balances[1]
    assert out == stableswap.amount_out(balances, terms, 0, 1, a)
    assert stableswap.amount_in(balances, terms, 0, 1, out) == pytest.approx(a, rel=1e-9)
    balances[0] += a
    balances[1] -= out + fee / 2
    assert stableswap.invariant(balances, 200.0) >= d / NO_GAIN
    assert stableswap.amount_out(balances, terms, 1, 0, out) <= a * NO_GAIN


@settings(deadline=None)
@given(reserves, skews, sizes)
def test_stableswap_without_fee_pays_the_same_in_parts(x, skew, size):
    terms, balances, a = stableswap.StableTerms(200.0, 0.0, 1.0), np.array([x, x * skew]), x * size
    whole = stableswap.amount_out(balances, terms, 0, 1, a)
    first = stableswap.amount_out(balances, terms, 0, 1, a / 3)
    balances += np.array([a / 3, -first])
    assert first + stableswap.amount_out(balances, terms, 0, 1, a - a / 3) == pytest.approx(
        whole, rel=1e-11
    )


@settings(deadline=None)
@given(reserves, skews, st.integers(2, 4), st.floats(1.5, 5000.0))
def test_stableswap_balance_solves_the_invariant(x, skew, coins, amplification):
    balances = np.full(coins, x)
    balances[0] *= skew
    d, ann = stableswap.invariant(balances, amplification), amplification * coins
    assert coins * x * min(1.0, skew) * (1 - 1e-12) <= d <= balances.sum() * (1 + 1e-12)
    power = d * np.prod(d / (coins * balances))
    assert ann * balances.sum() + d == pytest.approx(ann * d + power, rel=1e-12)
    assert stableswap.balance_for(balances, amplification, d, 0) == pytest.approx(
        balances[0], rel=1e-11
    )


@settings(deadline=None)
@given(st.floats(1e4, 1e7), st.floats(0.5, 2.0), st.floats(1e-3, 0.5), st.integers(2, 3))
def test_cryptoswap_keeps_d_and_gives_nothing_free(x, skew, size, coins):
    balances = np.full(coins, x)
    balances[1] *= skew
    d, a = cryptoswap.invariant(balances, CRYPTO), x * size
    assert cryptoswap.balance_for(balances, CRYPTO, d, 0) == pytest.approx(x, rel=1e-12)
    out, fee = cryptoswap.swap_out(balances, CRYPTO, d, (0, 1), a)
    assert 0.0 < out < balances[1]
    rate = fee / (out + fee)
    assert CRYPTO.mid_fee * (1 - 1e-9) <= rate <= CRYPTO.out_fee * (1 + 1e-9)
    balances[0] += a
    balances[1] -= out
    after = cryptoswap.invariant(balances, CRYPTO)
    assert after >= d
    assert cryptoswap.swap_out(balances, CRYPTO, after, (1, 0), out)[0] <= a


directions = st.booleans()


@settings(deadline=None)
@given(directions, st.floats(-1e14, 1e14).filter(lambda a: abs(a) > 1.0), st.floats(0.7, 1.4))
def test_concentrated_quote_changes_nothing_and_equals_the_swap(down, amount, limit):
    pool, _, fee_ppm = pool_of(3000)
    before = copied(pool)
    quote = concentrated.swap(pool, fee_ppm, down, amount, limit, False)
    for array, copy in zip(pool, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert concentrated.swap(pool, fee_ppm, down, amount, limit, True) == quote
    assert pool.real[concentrated.SQRT_PRICE] == quote.sqrt_price
    count, cursor = pool.whole[concentrated.COUNT], pool.whole[concentrated.CURSOR]
    assert pool.net_liquidity[:count].sum() == 0
    assert pool.net_liquidity[:cursor].sum() == pool.whole[concentrated.LIQUIDITY]
    assert np.all(np.diff(pool.tick[:count]) > 0)


@settings(deadline=None)
@given(directions, st.floats(1e3, 1e14), fees)
def test_concentrated_round_trips_lose_and_parts_equal_the_whole(down, amount, fee_ppm):
    pool, _, _ = pool_of(fee_ppm)
    limits = (LOW, HIGH) if down else (HIGH, LOW)
    whole = concentrated.swap(pool, fee_ppm, down, amount, limits[0], False)
    first = concentrated.swap(pool, fee_ppm, down, amount / 3, limits[0], True)
    rest = concentrated.swap(pool, fee_ppm, down, amount - amount / 3, limits[0], True)
    parts = first.amount_out + rest.amount_out
    assert parts == pytest.approx(whole.amount_out, rel=1e-9)
    back = concentrated.swap(pool, fee_ppm, not down, parts, limits[1], True)
    assert back.amount_out <= whole.amount_in * (1 + 1e-9)


@settings(deadline=None)
@given(directions, st.floats(1e3, 1e14))
def test_concentrated_exact_out_asks_what_exact_in_pays(down, amount):
    pool, _, fee_ppm = pool_of(3000)
    limit = LOW if down else HIGH
    end = concentrated.swap(pool, fee_ppm, down, amount, limit, False)
    assume(end.complete)
    asked = concentrated.swap(pool, fee_ppm, down, -end.amount_out, limit, False)
    assert asked.amount_out == end.amount_out
    assert asked.amount_in == pytest.approx(amount, rel=1e-9)


def test_a_full_range_trades_like_constant_product_with_fees_outside():
    pool, book = concentrated.empty_pool(2.0), positions.empty_positions(1)
    book.bounds[:, 0] = -887_220, 887_220
    x, y = positions.change_liquidity(pool, book, 0, 10**12)
    end = concentrated.swap(pool, 3000, True, 1e10, LOW, True)
    assert end.amount_out == pytest.approx(constant_product.amount_out(x, y, 3000, 1e10), rel=1e-12)
    net = constant_product.amount_out(x + 0.997e10, y - end.amount_out, 3000, 1e10)
    again = concentrated.swap(pool, 3000, True, 1e10, LOW, True)
    assert again.amount_out == pytest.approx(net, rel=1e-12)


def test_burning_everything_returns_what_was_paid_and_leaves_no_tick():
    pool, book, fee_ppm = pool_of(3000)
    for down in (True, False, True):
        concentrated.swap(pool, fee_ppm, down, 3e13, LOW if down else HIGH, True)
    for row in range(5):
        positions.change_liquidity(pool, book, row, -int(book.liquidity[row]))
    assert pool.whole[concentrated.COUNT] == 0
    assert pool.whole[concentrated.CURSOR] == 0
    assert pool.whole[concentrated.LIQUIDITY] == 0
    assert not pool.net_liquidity[: pool.whole[concentrated.COUNT]].any()


def test_a_tick_survives_while_a_position_uses_it():
    pool, book = concentrated.empty_pool(1.0), positions.empty_positions(3)
    for row, bounds in enumerate([(-60, 60), (60, 120), (-60, 60)]):
        book.bounds[:, row] = bounds
        positions.change_liquidity(pool, book, row, 1000)
    positions.change_liquidity(pool, book, 0, -1000)
    assert list(pool.tick[: pool.whole[concentrated.COUNT]]) == [-60, 60, 120]
    assert pool.net_liquidity[1] == 0
    positions.change_liquidity(pool, book, 1, -1000)
    assert list(pool.tick[: pool.whole[concentrated.COUNT]]) == [-60, 60]


def test_a_stop_on_a_tick_going_down_has_crossed_it():
    pool, _, fee_ppm = pool_of(3000)
    concentrated.swap(pool, fee_ppm, True, 1e16, sqrt_price_at(-240), True)
    assert concentrated.current_tick(pool) == -241
    assert pool.whole[concentrated.LIQUIDITY] == 3 * 10**15
    rising = concentrated.swap(pool, fee_ppm, False, 1.0, HIGH, True)
    assert rising.liquidity == 6 * 10**15
    assert concentrated.current_tick(pool) == -240


def test_room_for_ticks_is_bounded_and_can_be_enlarged():
    pool, book = concentrated.empty_pool(1.0, 2), positions.empty_positions(2)
    book.bounds[:] = [[-60, -120], [60, 120]]
    positions.change_liquidity(pool, book, 0, 1000)
    with pytest.raises(IndexError, match="room"):
        positions.change_liquidity(pool, book, 1, 1000)
    larger = concentrated.with_capacity(pool, 8)
    positions.change_liquidity(larger, book, 1, 1000)
    assert larger.whole[concentrated.LIQUIDITY] == 2000
    with pytest.raises(ValueError, match="capacity"):
        concentrated.with_capacity(larger, 1)


@settings(deadline=None)
@given(st.integers(-50, 50), st.integers(1, 50), st.integers(10**9, 10**15))
def test_liquidity_for_amounts_inverts_the_amounts(low, width, liquidity):
    pool = concentrated.empty_pool(1.0)
    amounts = positions.range_amounts(pool, low, low + width, float(liquidity))
    found = positions.liquidity_for(pool, low, low + width, *amounts)
    assert found == pytest.approx(liquidity, rel=1e-9)


def best_input(out_of, limit: float, start: float) -> None:
    """`limit` earns more at the marginal price it was computed for than inputs near it."""

    def profit(amount: float) -> float:
        return out_of(amount) - start * amount

    assert limit > 0.0
    assert profit(limit) >= profit(limit * 0.99)
    assert profit(limit) >= profit(limit * 1.01)


@settings(deadline=None)
@given(reserves, skews, fees, st.floats(0.3, 0.95))
def test_input_until_price_is_the_best_input(x, skew, fee_ppm, fall):
    y = x * skew
    p = constant_product.marginal_price(x, y, fee_ppm) * fall
    limit = constant_product.input_until_price(x, y, fee_ppm, p)
    best_input(partial(constant_product.amount_out, x, y, fee_ppm), limit, p)
    assert constant_product.input_until_price(x, y, fee_ppm, p / fall * 1.001) == 0.0
    p = weighted.marginal_price(x, 0.8, y, 0.2, fee_ppm) * fall
    limit = weighted.input_until_price(x, 0.8, y, 0.2, fee_ppm, p)
    best_input(partial(weighted.amount_out, x, 0.8, y, 0.2, fee_ppm), limit, p)


@settings(deadline=None)
@given(reserves, skews, st.floats(0.5, 0.98))
def test_stable_input_until_price_is_the_best_input(x, skew, fall):
    balances = np.array([x, x * skew])
    p = stableswap.marginal_price(balances, STABLE, 0, 1) * fall
    limit = stableswap.input_until_price(balances, STABLE, 0, 1, p)
    best_input(partial(stableswap.amount_out, balances, STABLE, 0, 1), limit, p)
    after = stableswap.marginal_price(balances, STABLE, 0, 1)
    assert stableswap.input_until_price(balances, STABLE, 0, 1, after) == 0.0


def test_crypto_input_until_price_ends_at_that_price():
    balances = np.array([1e6, 1.2e6])
    d = cryptoswap.invariant(balances, CRYPTO)
    small = cryptoswap.swap_out(balances, CRYPTO, d, (0, 1), 1.0)[0]
    assert small == pytest.approx(cryptoswap.marginal_price(balances, CRYPTO, d, (0, 1)), rel=1e-4)
    amount = cryptoswap.input_until_price(balances, CRYPTO, d, (0, 1), 0.9)
    out, fee = cryptoswap.swap_out(balances, CRYPTO, d, (0, 1), amount)
    after = balances + np.array([amount, -out - fee])
    assert cryptoswap.marginal_price(after, CRYPTO, d, (0, 1)) == pytest.approx(0.9, rel=1e-9)
    assert cryptoswap.input_until_price(balances, CRYPTO, d, (0, 1), 1e3) == 0.0


@settings(deadline=None)
@given(directions, st.floats(0.6, 0.99))
def test_concentrated_swap_until_price_is_the_best_input(down, fall):
    pool, _, fee_ppm = pool_of(3000)
    p = concentrated.marginal_price(pool, fee_ppm, down) * fall
    end = concentrated.swap_until_price(pool, fee_ppm, down, p, False)
    limit = LOW if down else HIGH

    def out_of(amount: float) -> float:
        return concentrated.swap(pool, fee_ppm, down, amount, limit, False).amount_out

    best_input(out_of, end.amount_in, p)
    concentrated.swap_until_price(pool, fee_ppm, down, p, True)
    assert concentrated.marginal_price(pool, fee_ppm, down) == pytest.approx(p, rel=1e-12)


@settings(deadline=None)
@given(reserves, skews, st.floats(0.2, 5.0), fees)
def test_a_second_arbitrage_finds_nothing(x, skew, move, fee_ppm):
    y = x * skew
    outside = y / x * move
    trade = arbitrage.against_constant_product(x, y, fee_ppm, outside)
    assert trade.profit >= 0.0
    sold, bought = trade.amount_in, trade.amount_out
    x, y = (x + sold, y - bought) if trade.side == arbitrage.SELL_X else (x - bought, y + sold)
    again = arbitrage.against_constant_product(x, y, fee_ppm, outside)
    assert again.amount_in <= 1e-9 * max(x, y)


@settings(deadline=None)
@given(st.lists(st.tuples(reserves, skews, fees), min_size=2, max_size=5), st.floats(0.01, 10.0))
def test_a_split_pays_at_least_any_shift_of_it(pools, size):
    x = np.array([p[0] for p in pools])
    y, fee = np.array([p[0] * p[1] for p in pools]), np.array([p[2] for p in pools])
    amount = size * x.min()
    parts = arbitrage.split(x, y, fee, amount)

    def paid(shares) -> float:
        rows = zip(x, y, fee, shares, strict=True)
        return sum(constant_product.amount_out(a, b, f, s) for a, b, f, s in rows)

    assert parts.sum() == pytest.approx(amount, rel=1e-9)
    assert parts.min() >= 0.0
    giver, taker = int(np.argmax(parts)), int(np.argmin(parts))
    shifted = parts.copy()
    shifted[giver] -= 0.01 * parts[giver]
    shifted[taker] += 0.01 * parts[giver]
    assert paid(parts) >= paid(shifted) / NO_GAIN


def test_arbitrage_without_fee_earns_the_exact_expectation():
    volatility, horizon = 0.3, 2.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = volatility * math.sqrt(horizon)
    ratios = np.exp(spread * nodes - spread**2 / 2)
    profits = [arbitrage.against_constant_product(1.0, 1.0, 0, r).profit for r in ratios]
    mean = np.dot(weights, profits) / weights.sum()
    assert mean / 2.0 == pytest.approx(losses.expected_arbitrage(volatility, horizon), rel=1e-9)


def test_losses_agree_where_their_models_meet():
    assert losses.impermanent_loss_weighted(1.7, 0.5) == pytest.approx(losses.impermanent_loss(1.7))
    wide = losses.impermanent_loss_concentrated(1.0, 1.7, 1e-12, 1e12)
    assert wide == pytest.approx(losses.impermanent_loss(1.7), rel=1e-5)
    assert losses.arbitrage_rate(0.05, 1e-4, 0.0, True) == pytest.approx(0.05**2 / 8, rel=1e-6)
    total = losses.arbitrage_rate(0.05, 1e-4, 0.003, True) + losses.fee_rate(0.05, 1e-4, 0.003)
    assert total == pytest.approx(0.05**2 / 8, rel=1e-3)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_price_impact_never_pays_for_a_round_trip(imbalance, change):
    terms = counterparty.ImpactTerms(1e-9, 2e-9, 2.0, 2.0)
    there = counterparty.price_impact_usd(imbalance, change, terms)
    back = counterparty.price_impact_usd(imbalance + change, -change, terms)
    assert there + back <= 1e-9


def test_a_batch_pool_ends_at_its_clearing_price():
    sold = batch_pool.sold_at(1000.0, 2e6, 2100.0)
    assert (2e6 + 2100.0 * sold) / (1000.0 - sold) == pytest.approx(2100.0, rel=1e-12)


def test_adding_in_one_coin_and_leaving_in_another_costs_like_a_swap():
    balances = np.array([1e6, 1e6])
    added = np.array([1e3, 0.0])
    shares, fees_paid = stable_liquidity.share_change(balances, STABLE, added, 2e6)
    after = balances + added - 0.5 * fees_paid
    paid, fee = stable_liquidity.withdraw_one(after, STABLE, 1, shares, 2e6 + shares)
    swapped = stableswap.amount_out(balances, STABLE, 0, 1, 1e3)
    assert fee > 0.0
    assert paid == pytest.approx(swapped, rel=5e-5)


def test_weighted_joins_and_exits_never_gain():
    balances, weights = np.array([1000.0, 4000.0]), np.array([0.2, 0.8])
    for fee_ppm, near in ((0, 1e-12), (3000, 1e-5)):
        minted = weighted.shares_for(balances, weights, fee_ppm, np.array([50.0, 0.0]), 100.0)
        needed = weighted.single_in_for(1000.0, 0.2, fee_ppm, minted, 100.0)
        assert needed == pytest.approx(50.0, rel=near)
        assert needed >= 50.0 / NO_GAIN
        supply = 100.0 + minted
        paid = weighted.single_out_for(1050.0, 0.2, fee_ppm, minted, supply)
        assert paid <= 50.0 * NO_GAIN
        burnt = weighted.shares_for_single_out(1050.0, 0.2, fee_ppm, paid, supply)
        assert burnt == pytest.approx(minted, rel=near)
    assert weighted.shares_for_single_out(1050.0, 0.2, 3000, 1050.0, 105.0) == math.inf


def test_unbounded_and_impossible_sizes():
    balances = np.array([10.0, 10.0])
    d = cryptoswap.invariant(balances, CRYPTO)
    assert constant_product.amount_in(10.0, 10.0, 3000, 10.0) == math.inf
    assert constant_product.input_until_price(10.0, 10.0, 3000, 0.0) == math.inf
    assert weighted.amount_in(10.0, 0.5, 10.0, 0.5, 3000, 11.0) == math.inf
    assert weighted.input_until_price(10.0, 0.5, 10.0, 0.5, 3000, 0.0) == math.inf
    assert stableswap.amount_in(balances, STABLE, 0, 1, 10.0) == math.inf
    assert stableswap.input_until_price(balances, STABLE, 0, 1, 0.0) == math.inf
    assert cryptoswap.input_until_price(balances, CRYPTO, d, (0, 1), 0.0) == math.inf
    assert concentrated.sqrt_limit_for(0.0, 3000, True) == LOW
    assert concentrated.sqrt_limit_for(0.0, 3000, False) == HIGH


def test_price_scale_follows_the_oracle_in_steps_and_out_of_profit():
    assert price_scale.averaged_price(2.0, 4.0, 600.0, 600.0) == pytest.approx(3.0)
    assert price_scale.averaged_price(2.0, 4.0, 0.0, 600.0) == 2.0
    scales, oracle = np.array([1.0, 100.0, 7.0]), np.array([1.0, 103.0, 7.28])
    moved = price_scale.moved_scales(scales, oracle, 0.01)
    assert np.linalg.norm(moved / scales - 1.0) == pytest.approx(0.01)
    assert np.all(np.sign(moved - scales) == np.sign(oracle - scales))
    np.testing.assert_array_equal(price_scale.moved_scales(scales, oracle, 0.06), scales)
    assert price_scale.balanced_value(300.0, np.array([1.0, 1.0, 1.0])) == pytest.approx(100.0)
    assert price_scale.balanced_value(200.0, np.array([1.0, 4.0])) == pytest.approx(50.0)
    assert price_scale.may_move(1.02, 1.01, 0.01)
    assert not price_scale.may_move(1.02, 1.03, 0.01)
