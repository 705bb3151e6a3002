"""What a cryptoswap pool remembers: price scale, oracle, last prices, invariant and profit.

After every trade or unbalanced change, in this order: the oracle moves toward the last price by the
time gone by; the invariant and the last prices are taken anew; the profit grows with the virtual
price; and, where profit allows, the scale takes a step toward the oracle, kept only if enough
profit is left. Prices are in quote units; the quote is coin 1, its scale is one.

    profit  <-  profit x vp/vp before,    vp = ((D/N)^N/prod scale)^(1/N)/supply

Source: curvefi/curve-crypto-contract CurveCryptoSwap.vy (tweak_price), curvefi/twocrypto-ng (the
last price is the marginal price after the trade). Left out: claims of admin fees.
"""

from typing import NamedTuple

import numpy as np

from markets.kernel import njit
from markets.pools.coin_settlement import Floats
from markets.pools.cryptoswap import CryptoTerms, invariant, marginal_price
from markets.pools.price_scale import averaged_price, balanced_value, may_move, moved_scales

D, PROFIT, VIRTUAL_PRICE, SECONDS = range(4)
QUOTE = 1


class CryptoState(NamedTuple):
    """Arrays: D, profit, virtual price and time of the last change; and a price for each coin."""

    real: Floats
    scales: Floats
    oracle: Floats
    last: Floats


class ScaleTerms(NamedTuple):
    """How the scale follows the oracle."""

    allowed_extra_profit: float
    adjustment_step: float
    half_time_seconds: float


def new_state(prices: Floats) -> CryptoState:
    """State of an empty pool at initial prices (quote per coin)."""
    return CryptoState(np.zeros(4), prices.copy(), prices.copy(), prices.copy())


@njit(cache=True)
def virtual_price(state: CryptoState, supply: float) -> float:
    """Value of the balanced pool per share, 1 at the first deposit."""
    return balanced_value(state.real[D], state.scales) / supply


@njit(cache=True)
def start(state: CryptoState, balances: Floats, terms: CryptoTerms, seconds: float) -> float:
    """Take note of the first deposit; returns the shares it mints."""
    state.real[D] = invariant(balances, terms)
    state.real[PROFIT] = state.real[VIRTUAL_PRICE] = 1.0
    state.real[SECONDS] = seconds
    return balanced_value(state.real[D], state.scales)


@njit(cache=True)
def _take_prices(state: CryptoState, balances: Floats, terms: CryptoTerms, seconds: float) -> None:
    """Oracle up to now, then the last prices anew."""
    free = CryptoTerms(terms.amplification, terms.gamma, 0.0, 0.0, terms.fee_gamma)
    for coin in range(balances.size):
        if coin != QUOTE:
            slope = marginal_price(balances, free, state.real[D], (coin, QUOTE))
            state.last[coin] = slope * state.scales[coin]
    state.real[SECONDS] = seconds


@njit(cache=True)
def follow(state: CryptoState, scale_terms: ScaleTerms, seconds: float) -> None:
    """Let the oracle move toward the last prices."""
    elapsed = seconds - state.real[SECONDS]
    if elapsed <= 0.0:
        return
    for coin in range(state.oracle.size):
        state.oracle[coin] = averaged_price(
            state.oracle[coin], state.last[coin], elapsed, scale_terms.half_time_seconds
        )
    state.real[SECONDS] = seconds


@njit(cache=True)
def tweak(
    state: CryptoState,
    held: Floats,
    terms: tuple[CryptoTerms, ScaleTerms],
    supply: float,
    seconds: float,
) -> None:
    """After a change: `held` are the reserves in common units, before the price scale."""
    curve, scale_terms = terms
    follow(state, scale_terms, seconds)
    balances = held * state.scales
    state.real[D] = invariant(balances, curve)
    _take_prices(state, balances, curve, seconds)
    price = virtual_price(state, supply)
    state.real[PROFIT] *= price / state.real[VIRTUAL_PRICE]
    state.real[VIRTUAL_PRICE] = price
    if not may_move(price, state.real[PROFIT], scale_terms.allowed_extra_profit):
        return
    moved = moved_scales(state.scales, state.oracle, scale_terms.adjustment_step)
    d = invariant(held * moved, curve)
    value = balanced_value(d, moved) / supply
    if value > 1.0 and 2.0 * value - 1.0 > state.real[PROFIT]:
        state.scales[:] = moved
        state.real[D], state.real[VIRTUAL_PRICE] = d, value
