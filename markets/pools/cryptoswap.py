"""Cryptoswap pool: liquidity gathered around a moving price scale, fee rising off balance.

    K D^(N-1) S + prod x = K D^N + (D/N)^N,    K = A K0 g^2/(g + 1 - K0)^2,    K0 = prod x N^N/D^N

x: balances in units of coin 0, already multiplied by the price scale; A without N^N (the contract
stores A N^N 10000), g: gamma. Divided by (D/N)^N this is
A N^N g^2 K0 (S/D - 1)/(g + 1 - K0)^2 = 1 - K0, a monotone function of D and of each balance between
K0 = 1 and S = D; Newton runs inside that bracket and bisects when it leaves. The fee is charged on
the output at rates: mid h + out (1 - h), h = fg/(fg + 1 - N^N prod x/S^N), after the trade.
The price scale moves toward an averaged oracle price in steps, only out of profit.
Rounding: none here; a venue floors outputs. Source: curvefi/curve-crypto-contract
tests/simulation_int_many.py, tricrypto/CurveCryptoSwap.vy. Left out: ramps, claims of admin fees.
"""

import math
from typing import NamedTuple

import numpy as np

from markets.kernel import njit

ROUNDS = 200


class CryptoTerms(NamedTuple):
    """A without N^N, gamma, fee rates near and far from balance, and how fast they change."""

    amplification: float
    gamma: float
    mid_fee: float
    out_fee: float
    fee_gamma: float


@njit(cache=True)
def _closeness(balances: np.ndarray, total: float) -> float:
    """prod x N^N / total^N, one at balance when total is the sum or D."""
    product = 1.0
    for balance in balances:
        product *= balance * balances.size / total
    return product


@njit(cache=True)
def _residual(balances: np.ndarray, terms: CryptoTerms, d: float) -> tuple[float, float, float]:
    """The divided invariant (zero on the curve), and its slopes in ln K0 and in S/D."""
    closeness = _closeness(balances, d)
    lack = terms.gamma + 1.0 - closeness
    scale = terms.amplification * balances.size**balances.size * terms.gamma * terms.gamma
    per_excess = scale * closeness / (lack * lack)
    pull = per_excess * (balances.sum() / d - 1.0)
    return pull + closeness - 1.0, pull * (1.0 + 2.0 * closeness / lack) + closeness, per_excess


@njit(cache=True)
def _next_guess(guess: float, low: float, high: float, step: float) -> float:
    following = guess - step
    return following if low < following < high else 0.5 * (low + high)


@njit(cache=True)
def invariant(balances: np.ndarray, terms: CryptoTerms) -> float:
    """D of positive balances, between N x geometric mean and the sum."""
    coins, total = balances.size, balances.sum()
    low = coins * math.exp(np.log(balances).sum() / coins)
    high, d = total, 0.5 * (low + total)
    for _ in range(ROUNDS):
        value, by_log, by_excess = _residual(balances, terms, d)
        if value > 0.0:
            low = max(low, d)
        else:
            high = min(high, d)
        slope = -(coins * by_log + by_excess * total / d) / d
        following = _next_guess(d, low, high, value / slope)
        step, d = abs(following - d), following
        if step <= 2e-16 * d or high <= low:
            break
    return d


@njit(cache=True)
def balance_for(balances: np.ndarray, terms: CryptoTerms, d: float, coin: int) -> float:
    """Balance of one coin that gives the invariant D with the other balances."""
    trial = balances.copy()
    trial[coin] = d / balances.size
    low = max(0.0, d - (trial.sum() - trial[coin]))
    high = trial[coin] / _closeness(trial, d)
    trial[coin] = min(max(balances[coin], low), high)
    for _ in range(ROUNDS):
        value, by_log, by_excess = _residual(trial, terms, d)
        if value < 0.0:
            low = max(low, trial[coin])
        else:
            high = min(high, trial[coin])
        slope = by_log / trial[coin] + by_excess / d
        following = _next_guess(trial[coin], low, high, value / slope)
        step, trial[coin] = abs(following - trial[coin]), following
        if step <= 2e-16 * following or high <= low:
            break
    return trial[coin]


@njit(cache=True)
def fee_rate(balances: np.ndarray, terms: CryptoTerms) -> float:
    """Fee rate at balances (those after the trade)."""
    gap = 1.0 - _closeness(balances, balances.sum())
    share = terms.fee_gamma / (terms.fee_gamma + gap)
    return terms.mid_fee * share + terms.out_fee * (1.0 - share)


@njit(cache=True)
def swap_out(
    balances: np.ndarray, terms: CryptoTerms, d: float, coins: tuple[int, int], amount_in: float
) -> tuple[float, float]:
    """Output paid and fee kept (coin out) for an input given exactly; coins: (in, out)."""
    after = balances.copy()
    after[coins[0]] += amount_in
    after[coins[1]] = balance_for(after, terms, d, coins[1])
    gross = balances[coins[1]] - after[coins[1]]
    fee = gross * fee_rate(after, terms)
    return gross - fee, fee


@njit(cache=True)
def _curve_slope(balances: np.ndarray, terms: CryptoTerms, d: float, coins: tuple) -> float:
    _, by_log, by_excess = _residual(balances, terms, d)
    return (by_log / balances[coins[0]] + by_excess / d) / (
        by_log / balances[coins[1]] + by_excess / d
    )


@njit(cache=True)
def marginal_price(
    balances: np.ndarray, terms: CryptoTerms, d: float, coins: tuple[int, int]
) -> float:
    """Output per unit of an infinitesimal input, fee paid; fee rates 0 give the curve's price."""
    return _curve_slope(balances, terms, d, coins) * (1.0 - fee_rate(balances, terms))


@njit(cache=True)
def _price_after(
    balances: np.ndarray, terms: CryptoTerms, d: float, coins: tuple[int, int], amount_in: float
) -> float:
    after = balances.copy()
    after[coins[0]] += amount_in
    after[coins[1]] = balance_for(after, terms, d, coins[1])
    return marginal_price(after, terms, d, coins)


@njit(cache=True)
def input_until_price(
    balances: np.ndarray,
    terms: CryptoTerms,
    d: float,
    coins: tuple[int, int],
    price_out_per_in: float,
) -> float:
    """Input after which `marginal_price` is `price_out_per_in`; 0 when it already is.

    The fee rate is the one at that point, its own slope left aside.
    """
    if marginal_price(balances, terms, d, coins) <= price_out_per_in:
        return 0.0
    if price_out_per_in <= 0.0:
        return math.inf
    low, high = 0.0, 1e-3 * balances[coins[0]]
    while _price_after(balances, terms, d, coins, high) > price_out_per_in:
        low, high = high, 2.0 * high
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if _price_after(balances, terms, d, coins, middle) > price_out_per_in:
            low = middle
        else:
            high = middle
    return low
