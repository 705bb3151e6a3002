"""Liquidity of a cryptoswap pool: shares for unbalanced deposits, and withdrawals in one coin.

    deposit:    shares = S (D1 - D0)/D0 (1 - h),
                h = f N/(4 (N - 1)) sum|a_k - mean a|/sum a + noise
    one coin:   D1 = D0 (1 - s/S (1 - f/2)),   paid = x_k - x_k(D1)

D0, D1: invariant before and after, S: supply, s: shares burnt, a: amounts at the price scale, f:
fee rate at the balances (after a deposit, before a withdrawal), noise: 1e-5 so that nothing in
balance is quite free. An empty pool mints the geometric mean of what it would hold
at balance. Rounding: none; a venue floors shares and amounts. The difference D1 - D0 keeps about
1e-16 S/shares of relative accuracy.
Source: curvefi/curve-crypto-contract CurveCryptoSwap.vy (_calc_token_fee, add_liquidity,
_calc_withdraw_one_coin).
"""

import numpy as np

from markets.kernel import njit
from markets.pools.cryptoswap import CryptoTerms, balance_for, fee_rate, invariant

NOISE_FEE = 1e-5


@njit(cache=True)
def deposit_fee(balances: np.ndarray, terms: CryptoTerms, amounts: np.ndarray) -> float:
    """Part of the minted shares that a deposit loses; `balances` are those after it."""
    coins, total = amounts.size, amounts.sum()
    spread = np.abs(amounts - total / coins).sum()
    return fee_rate(balances, terms) * coins / (4.0 * (coins - 1.0)) * spread / total + NOISE_FEE


@njit(cache=True)
def shares_for(
    balances: np.ndarray, terms: CryptoTerms, d: float, amounts: np.ndarray, share_supply: float
) -> float:
    """Shares minted for amounts of every coin; `balances` and D are those before it."""
    after = balances + amounts
    gross = share_supply * (invariant(after, terms) - d) / d
    return gross * (1.0 - deposit_fee(after, terms, amounts))


@njit(cache=True)
def withdraw_one(
    balances: np.ndarray,
    terms: CryptoTerms,
    d: float,
    coin: int,
    share_part: float,
) -> float:
    """Amount of one coin for a part of all shares."""
    fee = 0.5 * fee_rate(balances, terms)
    left = d * (1.0 - share_part * (1.0 - fee))
    return balances[coin] - balance_for(balances, terms, left, coin)
