"""StableSwap pool: invariant, swaps and liquidity of coins that should trade near par.

    Ann S + D = Ann D + D^(n+1)/(n^n prod x),    Ann = A n    (A as the contract stores it)

x: balances scaled by their rates to one unit, S their sum. Two coins give D in closed form, more by
Newton from D = S. Given D, balance j solves y^2 + b y = c; the output is taken from the change of
that quadratic, not as a difference of balances, so small swaps keep all their digits. The fee is
charged on the output at a rate f (a fraction, not ppm); with an off-peg multiplier m > 1 it is
f m/((m - 1) 4 xi xj/(xi + xj)^2 + 1) on balances half-way through the trade. Of every fee the admin
part leaves the balances, the rest raises D per share; the caller keeps those books.
Rounding: none here; a venue floors outputs and minted shares, ceils burnt shares.
Source: curvefi/curve-contract SwapTemplateBase.vy, stableswap-ng CurveStableSwapNG.vy.
Left out: the guards of one raw unit, ramps of A, the dynamic fee on unbalanced liquidity.
"""

import math
from typing import NamedTuple

import numpy as np

from markets.kernel import njit

NEWTON_ROUNDS = 64
BISECTION_ROUNDS = 200


class StableTerms(NamedTuple):
    """A of the contract, fee as a fraction of the output, off-peg multiplier (1: none)."""

    amplification: float
    fee_rate: float
    multiplier: float


@njit(cache=True)
def _two_coin_invariant(x: float, y: float, ann: float) -> float:
    product = 4.0 * x * y
    slope = product * (ann - 1.0)
    root = math.sqrt(slope / 3.0)
    argument = 1.5 * product * ann * (x + y) / (slope * root)
    return 2.0 * root * math.sinh(math.asinh(argument) / 3.0)


@njit(cache=True)
def invariant(balances: np.ndarray, amplification: float) -> float:
    """D of positive balances: the sum they would have at par. Needs A n > 1."""
    coins = balances.size
    ann = amplification * coins
    if coins == 2:
        return _two_coin_invariant(balances[0], balances[1], ann)
    total = balances.sum()
    d = total
    for _ in range(NEWTON_ROUNDS):
        power = d
        for balance in balances:
            power *= d / (coins * balance)
        following = (ann * total + coins * power) * d / ((ann - 1.0) * d + (coins + 1.0) * power)
        step, d = abs(following - d), following
        if step <= 2e-16 * d:
            break
    return d


@njit(cache=True)
def _quadratic(balances: np.ndarray, ann: float, d: float, coin: int) -> tuple[float, float]:
    """b and c of y^2 + b y = c for the balance of one coin, the others held."""
    others, power = 0.0, d
    for k in range(balances.size):
        if k != coin:
            others += balances[k]
            power *= d / (balances.size * balances[k])
    return others + d / ann - d, power * d / (balances.size * ann)


@njit(cache=True)
def balance_for(balances: np.ndarray, amplification: float, d: float, coin: int) -> float:
    """Balance of one coin that gives the invariant D with the other balances."""
    b, c = _quadratic(balances, amplification * balances.size, d, coin)
    root = math.sqrt(b * b + 4.0 * c)
    return 2.0 * c / (b + root) if b > 0.0 else 0.5 * (root - b)


@njit(cache=True)
def _counter_change(change: float, moved: float, other: float, b: float, c: float) -> float:
    """Fall of balance `other` when balance `moved` rises by `change` at constant D."""
    p = 2.0 * other + b + change
    q = change * (other + c / (moved + change))
    return 2.0 * q / (p + math.sqrt(p * p - 4.0 * q))


@njit(cache=True)
def gross_out(
    balances: np.ndarray, amplification: float, coin_in: int, coin_out: int, amount_in: float
) -> float:
    """Output before the fee."""
    d = invariant(balances, amplification)
    b, c = _quadratic(balances, amplification * balances.size, d, coin_out)
    return _counter_change(amount_in, balances[coin_in], balances[coin_out], b, c)


@njit(cache=True)
def fee_rate_at(terms: StableTerms, balance_in: float, balance_out: float) -> float:
    """Fee rate between two balances (those half-way through a trade)."""
    total = balance_in + balance_out
    closeness = 4.0 * balance_in * balance_out / (total * total)
    return terms.fee_rate * terms.multiplier / ((terms.multiplier - 1.0) * closeness + 1.0)


@njit(cache=True)
def swap_out(
    balances: np.ndarray, terms: StableTerms, coin_in: int, coin_out: int, amount_in: float
) -> tuple[float, float]:
    """Output paid and fee kept, both in the coin paid out, for an input given exactly."""
    gross = gross_out(balances, terms.amplification, coin_in, coin_out, amount_in)
    middle_in = balances[coin_in] + 0.5 * amount_in
    rate = fee_rate_at(terms, middle_in, balances[coin_out] - 0.5 * gross)
    return gross * (1.0 - rate), gross * rate


@njit(cache=True)
def amount_out(
    balances: np.ndarray, terms: StableTerms, coin_in: int, coin_out: int, amount_in: float
) -> float:
    """Output paid for an input given exactly."""
    return swap_out(balances, terms, coin_in, coin_out, amount_in)[0]


@njit(cache=True)
def amount_in(
    balances: np.ndarray, terms: StableTerms, coin_in: int, coin_out: int, amount_out: float
) -> float:
    """Input needed for an output given exactly; infinite when the pool does not hold it."""
    d = invariant(balances, terms.amplification)
    b, c = _quadratic(balances, terms.amplification * balances.size, d, coin_in)
    held_in, held_out = balances[coin_in], balances[coin_out]
    gross, paid = amount_out / (1.0 - terms.fee_rate), math.inf
    for _ in range(NEWTON_ROUNDS):
        if gross >= held_out:
            return math.inf
        before = paid
        paid = -_counter_change(-gross, held_out, held_in, b, c)
        if abs(paid - before) <= 2e-16 * paid or terms.multiplier == 1.0:
            break
        rate = fee_rate_at(terms, held_in + 0.5 * paid, held_out - 0.5 * gross)
        gross = amount_out / (1.0 - rate)
    return paid


@njit(cache=True)
def _net_slope(
    balances: np.ndarray, terms: StableTerms, coins: tuple[int, int], curve: tuple, change: float
) -> float:
    """Output per further unit of input, fee paid, after an input of `change`."""
    b, c = curve
    held_in, held_out = balances[coins[0]], balances[coins[1]]
    gross = _counter_change(change, held_in, held_out, b, c)
    grown, left = held_in + change, held_out - gross
    slope = (left + c * held_in / (grown * grown)) / (2.0 * left + b + change)
    rate = fee_rate_at(terms, held_in + 0.5 * change, held_out - 0.5 * gross)
    return slope * (1.0 - rate)


@njit(cache=True)
def marginal_price(balances: np.ndarray, terms: StableTerms, coin_in: int, coin_out: int) -> float:
    """Output per unit of an infinitesimal input; fee rate 0 gives the price of the curve."""
    d = invariant(balances, terms.amplification)
    curve = _quadratic(balances, terms.amplification * balances.size, d, coin_out)
    return _net_slope(balances, terms, (coin_in, coin_out), curve, 0.0)


@njit(cache=True)
def input_until_price(
    balances: np.ndarray, terms: StableTerms, coin_in: int, coin_out: int, price_out_per_in: float
) -> float:
    """Input at which the next unit, fee paid, earns `price_out_per_in`; 0 when it already does.

    With an off-peg multiplier the fee rate is the one at that point, its own slope left aside.
    """
    d = invariant(balances, terms.amplification)
    curve = _quadratic(balances, terms.amplification * balances.size, d, coin_out)
    coins = (coin_in, coin_out)
    if _net_slope(balances, terms, coins, curve, 0.0) <= price_out_per_in:
        return 0.0
    if price_out_per_in <= 0.0:
        return math.inf
    low, high = 0.0, balances[coin_in]
    while _net_slope(balances, terms, coins, curve, high) > price_out_per_in:
        low, high = high, 2.0 * high
    for _ in range(BISECTION_ROUNDS):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if _net_slope(balances, terms, coins, curve, middle) > price_out_per_in:
            low = middle
        else:
            high = middle
    return low
