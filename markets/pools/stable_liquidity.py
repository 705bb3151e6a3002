"""Liquidity of a StableSwap pool: shares for unbalanced changes and one-coin withdrawals.

    fee_k = f n/(4 (n - 1)) |D1/D0 old_k - new_k|,    shares = S (D2 - D0)/D0

D0, D1: invariant before and after the change, D2: after it less the fees, S: share supply, f: fee
rate of a swap. What exceeds the balanced change pays about half a swap's fee, so that adding in one
coin and leaving in another costs as much as swapping. A withdrawal in one coin first moves every
balance by its fee, as the contract does; the simpler fee of the test simulation is not used.
Rounding: none here; a venue floors minted shares and amounts paid, ceils burnt shares. The
difference D2 - D0 keeps about 1e-16 S/shares of relative accuracy.
Source: curvefi/curve-contract SwapTemplateBase.vy (add_liquidity, remove_liquidity_imbalance,
_calc_withdraw_one_coin). Left out: the dynamic fee of newer pools on liquidity.
"""

import numpy as np

from markets.kernel import njit
from markets.pools.stableswap import StableTerms, balance_for, invariant


@njit(cache=True)
def _imbalance_rate(terms: StableTerms, coins: int) -> float:
    return terms.fee_rate * coins / (4.0 * (coins - 1.0))


@njit(cache=True)
def share_change(
    balances: np.ndarray, terms: StableTerms, changes: np.ndarray, share_supply: float
) -> tuple[float, np.ndarray]:
    """Shares minted (or burnt, negative) for signed changes of the balances, and the fees paid.

    A pool without shares mints D without fee. Fees are per coin, in that coin.
    """
    moved = balances + changes
    after = invariant(moved, terms.amplification)
    fees = np.zeros(balances.size)
    if share_supply <= 0.0:
        return after, fees
    before = invariant(balances, terms.amplification)
    rate = _imbalance_rate(terms, balances.size)
    for k in range(balances.size):
        fees[k] = rate * abs(after / before * balances[k] - moved[k])
    kept = invariant(moved - fees, terms.amplification)
    return share_supply * (kept - before) / before, fees


@njit(cache=True)
def withdraw_one(
    balances: np.ndarray, terms: StableTerms, coin: int, shares: float, share_supply: float
) -> tuple[float, float]:
    """Amount of one coin for shares burnt, and the fee kept in that coin."""
    before = invariant(balances, terms.amplification)
    ratio = 1.0 - shares / share_supply
    target = balance_for(balances, terms.amplification, before * ratio, coin)
    rate = _imbalance_rate(terms, balances.size)
    reduced = balances.copy()
    for k in range(balances.size):
        expected = balances[k] * (shares / share_supply)
        if k == coin:
            expected = balances[k] * ratio - target
        reduced[k] -= rate * expected
    paid = reduced[coin] - balance_for(reduced, terms.amplification, before * ratio, coin)
    return paid, balances[coin] - target - paid
