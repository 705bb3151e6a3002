"""Price scale of a cryptoswap pool: averaged oracle price, profit, and when the scale may move.

    p <- last (1 - a) + p a,  a = 2^(-dt/half time);      profit measure  2 vp - 1
    may move:  2 vp - 1 > xcp_profit + 2 allowed_extra_profit;   kept only if 2 vp' - 1 > xcp_profit

vp, virtual price: value of the balanced pool per share, ((D/N)^N / prod scale)^(1/N) / shares, the
scale of coin 0 being one. A move is `adjustment_step` long on the way from scale to oracle, in
relative distance, Euclidean over the coins, and happens only where the oracle is further than that.
Rounding: none; scales are real numbers. Source: curvefi/curve-crypto-contract
tests/simulation_int_many.py (tweak_price). Left out: admin claims on the profit.
"""

import math

import numpy as np

from markets.kernel import njit


@njit(cache=True)
def averaged_price(
    oracle_price: float, last_price: float, elapsed_seconds: float, half_time_seconds: float
) -> float:
    """Oracle price after `elapsed_seconds` at `last_price`."""
    kept = 2.0 ** (-elapsed_seconds / half_time_seconds)
    return last_price * (1.0 - kept) + oracle_price * kept


@njit(cache=True)
def balanced_value(d: float, scales: np.ndarray) -> float:
    """Geometric mean of the balances a pool of invariant D holds at balance; scales[0] = 1."""
    return d / scales.size * math.exp(-np.log(scales).sum() / scales.size)


@njit(cache=True)
def may_move(virtual_price: float, profit: float, allowed_extra_profit: float) -> bool:
    """Whether enough profit stands beyond `profit` for the scale to move."""
    return 2.0 * virtual_price - 1.0 > profit + 2.0 * allowed_extra_profit


@njit(cache=True)
def moved_scales(scales: np.ndarray, oracle: np.ndarray, adjustment_step: float) -> np.ndarray:
    """Scales one step nearer to the oracle; unchanged within a step of it."""
    ratio = oracle / scales - 1.0
    distance = math.sqrt((ratio * ratio).sum())
    if distance <= adjustment_step:
        return scales.copy()
    return scales * (1.0 + ratio * (adjustment_step / distance))
