"""Closed-form arbitrage and routing over pools whose fee is on the input.

    against a price m (y per x):  buy x while g m > y/x,  sell x while m < g y/x,  g = 1 - fee
    split of D over pools:        in_i = (sqrt(g_i x_i y_i) t - x_i)/g_i,
                                  t = (D + sum x_i/g_i)/sum sqrt(x_i y_i/g_i)
    cycle a -> b -> a:            in = (sqrt(g1 Ea Eb) - Ea)/g1

The best trade against an outside price is the input until that marginal price, so this file only
picks the side; a concentrated pool needs nothing more than its price limit. In a split, pools whose
share would be negative drop out; Ea, Eb are the reserves of the pool that two pools in series make.
Rounding: none. Amounts near the band without trade lose digits, as their size does.
Source: Angeris et al. 2019; Diamandis et al. 2023; bcc-research/CFMMRouter.jl src/cfmms.jl.
Left out: gas and other fixed costs (with them routing is a mixed-integer problem).
"""

import math
from typing import NamedTuple

import numpy as np

from markets.kernel import njit
from markets.pools import concentrated, constant_product, weighted
from markets.pools.concentrated import ConcentratedPool
from markets.rounding import PPM

NO_TRADE, BUY_X, SELL_X = 0, 1, 2

_cpmm_until = constant_product.input_until_price
_cpmm_out = constant_product.amount_out
_weighted_until = weighted.input_until_price
_weighted_out = weighted.amount_out
_swap_until = concentrated.swap_until_price


class Trade(NamedTuple):
    """Side (NO_TRADE, BUY_X, SELL_X), input and output, and profit in units of y."""

    side: int
    amount_in: float
    amount_out: float
    profit: float


@njit(cache=True)
def _bought(paid_y: float, got_x: float, price: float) -> Trade:
    return Trade(BUY_X, paid_y, got_x, got_x * price - paid_y)


@njit(cache=True)
def _sold(paid_x: float, got_y: float, price: float) -> Trade:
    return Trade(SELL_X, paid_x, got_y, got_y - paid_x * price)


@njit(cache=True)
def against_constant_product(
    reserve_x: float, reserve_y: float, fee_ppm: int, price_y_per_x: float
) -> Trade:
    """Best trade against an outside price at which any size of x trades without cost."""
    paid = _cpmm_until(reserve_y, reserve_x, fee_ppm, 1.0 / price_y_per_x)
    if paid > 0.0:
        return _bought(paid, _cpmm_out(reserve_y, reserve_x, fee_ppm, paid), price_y_per_x)
    paid = _cpmm_until(reserve_x, reserve_y, fee_ppm, price_y_per_x)
    if paid > 0.0:
        return _sold(paid, _cpmm_out(reserve_x, reserve_y, fee_ppm, paid), price_y_per_x)
    return Trade(NO_TRADE, 0.0, 0.0, 0.0)


@njit(cache=True)
def against_weighted(
    reserve_x: float, reserve_y: float, weight_x: float, fee_ppm: int, price_y_per_x: float
) -> Trade:
    """Best trade against an outside price for two tokens of weights w and 1 - w."""
    x, y, w, v = reserve_x, reserve_y, weight_x, 1.0 - weight_x
    paid = _weighted_until(y, v, x, w, fee_ppm, 1.0 / price_y_per_x)
    if paid > 0.0:
        return _bought(paid, _weighted_out(y, v, x, w, fee_ppm, paid), price_y_per_x)
    paid = _weighted_until(x, w, y, v, fee_ppm, price_y_per_x)
    if paid > 0.0:
        return _sold(paid, _weighted_out(x, w, y, v, fee_ppm, paid), price_y_per_x)
    return Trade(NO_TRADE, 0.0, 0.0, 0.0)


@njit(cache=True)
def against_concentrated(pool: ConcentratedPool, fee_ppm: int, price_y_per_x: float) -> Trade:
    """Best trade against an outside price (atoms of token1 per atom of token0); a quote."""
    end = _swap_until(pool, fee_ppm, False, 1.0 / price_y_per_x, False)
    if end.amount_in > 0.0:
        return _bought(end.amount_in, end.amount_out, price_y_per_x)
    end = _swap_until(pool, fee_ppm, True, price_y_per_x, False)
    if end.amount_in > 0.0:
        return _sold(end.amount_in, end.amount_out, price_y_per_x)
    return Trade(NO_TRADE, 0.0, 0.0, 0.0)


@njit(cache=True)
def split(
    reserves_in: np.ndarray, reserves_out: np.ndarray, fees_ppm: np.ndarray, amount_in: float
) -> np.ndarray:
    """Parts of an input over constant-product pools that together pay the most; they sum to it."""
    kept = (PPM - fees_ppm) / PPM
    depth, weight = reserves_in / kept, np.sqrt(reserves_in * reserves_out / kept)
    active = np.ones(kept.size, np.bool_)
    parts = np.zeros(kept.size)
    while True:
        level = (amount_in + depth[active].sum()) / weight[active].sum()
        dropped = False
        for k in range(kept.size):
            parts[k] = weight[k] * level - depth[k] if active[k] else 0.0
            if parts[k] < 0.0:
                active[k], parts[k], dropped = False, 0.0, True
        if not dropped:
            return parts * (amount_in / parts.sum())


@njit(cache=True)
def cycle(first: tuple[float, float, int], second: tuple[float, float, int]) -> tuple[float, float]:
    """Best input of a and profit in a: a to b in the first pool, b to a in the second.

    Each pool is (reserve in, reserve out, fee_ppm); (0, 0) where the cycle loses.
    """
    a1, b1, g1 = first[0], first[1], (PPM - first[2]) / PPM
    b2, a2, g2 = second[0], second[1], (PPM - second[2]) / PPM
    series_in = a1 * b2 / (b2 + g2 * b1)
    series_out = g2 * b1 * a2 / (b2 + g2 * b1)
    if g1 * series_out <= series_in:
        return 0.0, 0.0
    amount = (math.sqrt(g1 * series_in * series_out) - series_in) / g1
    between = _cpmm_out(a1, b1, first[2], amount)
    return amount, _cpmm_out(b2, a2, second[2], between) - amount
