"""Weighted pool: the mathematics of prod B_k^w_k = const with the fee on the input.

    out = B_o (1 - (B_i/(B_i + g a))^(w_i/w_o))     in = B_i ((B_o/(B_o - o))^(w_o/w_i) - 1)/g

B: balances, w: weights that sum to one, g = 1 - fee_ppm/1e6. Powers run through expm1 and log1p, so
a small trade is as exact as a large one. Joins and exits follow the v3 vault: with R the ratio of
the invariants, the part of each amount beyond the proportional one, a_k - (R - 1) B_k, pays the fee
(the v2 contracts weigh the mean of balance ratios in place of R; results differ slightly).
Prices are output per input. Rounding: none here; a venue rounds in favour of the pool.
Source: balancer/balancer-maths python/src, balancer-v2-monorepo pkg/pool-weighted.
Left out: protocol limits (30 % of a balance a swap, invariant ratio 0.7 to 3 a join or exit).
"""

import math

import numpy as np

from markets.kernel import njit
from markets.rounding import PPM


@njit(cache=True)
def amount_out(
    balance_in: float,
    weight_in: float,
    balance_out: float,
    weight_out: float,
    fee_ppm: int,
    amount_in: float,
) -> float:
    """Output paid for an input given exactly."""
    growth = math.log1p((PPM - fee_ppm) * amount_in / (PPM * balance_in))
    return -balance_out * math.expm1(-growth * weight_in / weight_out)


@njit(cache=True)
def amount_in(
    balance_in: float,
    weight_in: float,
    balance_out: float,
    weight_out: float,
    fee_ppm: int,
    amount_out: float,
) -> float:
    """Input needed for an output given exactly; infinite when the pool does not hold it."""
    if amount_out >= balance_out:
        return math.inf
    fall = -math.log1p(-amount_out / balance_out)
    return PPM * balance_in * math.expm1(fall * weight_out / weight_in) / (PPM - fee_ppm)


@njit(cache=True)
def marginal_price(
    balance_in: float, weight_in: float, balance_out: float, weight_out: float, fee_ppm: int
) -> float:
    """Output per unit of an infinitesimal input; fee 0 gives the price of the curve itself."""
    return (PPM - fee_ppm) * weight_in * balance_out / (PPM * weight_out * balance_in)


@njit(cache=True)
def input_until_price(
    balance_in: float,
    weight_in: float,
    balance_out: float,
    weight_out: float,
    fee_ppm: int,
    price_out_per_in: float,
) -> float:
    """Input at which the next unit, fee paid, earns `price_out_per_in`; 0 when it already does."""
    start = marginal_price(balance_in, weight_in, balance_out, weight_out, fee_ppm)
    if start <= price_out_per_in:
        return 0.0
    if price_out_per_in <= 0.0:
        return math.inf
    excess = math.log1p((start - price_out_per_in) / price_out_per_in)
    grown = math.expm1(excess * weight_out / (weight_in + weight_out))
    return PPM * balance_in * grown / (PPM - fee_ppm)


@njit(cache=True)
def invariant(balances: np.ndarray, weights: np.ndarray) -> float:
    """prod B^w, which no swap lowers."""
    return math.exp((weights * np.log(balances)).sum())


@njit(cache=True)
def shares_for(
    balances: np.ndarray,
    weights: np.ndarray,
    fee_ppm: int,
    amounts: np.ndarray,
    share_supply: float,
) -> float:
    """Shares minted for amounts of every token; the unbalanced part pays the fee."""
    growth = math.expm1((weights * np.log1p(amounts / balances)).sum())
    total = 0.0
    for k in range(balances.size):
        taxed = max(0.0, amounts[k] - growth * balances[k])
        kept = amounts[k] - taxed * fee_ppm / PPM
        total += weights[k] * math.log1p(kept / balances[k])
    return share_supply * math.expm1(total)


@njit(cache=True)
def single_in_for(
    balance: float, weight: float, fee_ppm: int, shares: float, share_supply: float
) -> float:
    """Amount of one token that mints `shares` exactly."""
    ratio = shares / share_supply
    net = balance * math.expm1(math.log1p(ratio) / weight)
    return net + (net - ratio * balance) * fee_ppm / (PPM - fee_ppm)


@njit(cache=True)
def single_out_for(
    balance: float, weight: float, fee_ppm: int, shares: float, share_supply: float
) -> float:
    """Amount of one token paid for burning `shares` exactly."""
    ratio = shares / share_supply
    gross = -balance * math.expm1(math.log1p(-ratio) / weight)
    return gross - (gross - ratio * balance) * fee_ppm / PPM


@njit(cache=True)
def shares_for_single_out(
    balance: float, weight: float, fee_ppm: int, amount_out: float, share_supply: float
) -> float:
    """Shares burnt for an amount of one token paid exactly; infinite beyond the balance."""
    if amount_out >= balance:
        return math.inf
    proportional = -balance * math.expm1(weight * math.log1p(-amount_out / balance))
    gross = amount_out + (amount_out - proportional) * fee_ppm / (PPM - fee_ppm)
    if gross >= balance:
        return math.inf
    return -share_supply * math.expm1(weight * math.log1p(-gross / balance))
