"""The books of a lending pool: supply and debt of each coin as shares, and health of accounts.

    supply   V = cash + D atoms belong to S shares     cash: the pool's own balance of the coin
    debt     D atoms are owed by B debt shares         D/B never falls but by writing off
    power    sum over coins of worth * price * weight, weight the loan-to-value or the threshold
    health   power by threshold / worth of all debts   below 1 the account may be liquidated

Both kinds of share are assets that the pool issues, so the ledger says who holds them; D alone is
kept beside it. A borrower's debt is rounded up, a supplier's worth down, each to an atom; health is
reckoned in float64, as values in quote. Prices are quote per atom.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.ledger import Matrix
from markets.lending.shares import part_down, part_up

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class LendingTerms(NamedTuple):
    """Where a pool's coins stand in the ledger, and its rules; arrays have an entry a coin."""

    pool: int
    protocol: int
    lock: int
    coins: Integers
    shares: Integers
    debts: Integers
    borrowable: NDArray[np.bool_]
    ltv: Floats
    threshold: Floats
    bonus: Floats
    supply_cap_atoms: Integers
    borrow_cap_atoms: Integers
    close_factor_ppm: int
    full_close_health: float
    full_close_quote: float
    protocol_part: float
    reserve_bears_losses: bool


class LendingState(NamedTuple):
    """What is owed of each coin (D, atoms), its price, and rows that may not act."""

    owed: Integers
    prices: Floats
    barred: NDArray[np.bool_]


@kernel(cache=True)
def whole_of(balances: Matrix, terms: LendingTerms, state: LendingState, coin: int) -> int:
    """V: all that belongs to the suppliers of a coin."""
    cash: int = balances[terms.pool, terms.coins[coin]]
    return cash + state.owed[coin]


@kernel(cache=True)
def supply_worth(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, coin: int
) -> int:
    """Atoms that an account's supply shares of a coin are worth, rounded down."""
    held = balances[account, terms.shares[coin]]
    if held == 0:
        return 0
    issued = -balances[terms.pool, terms.shares[coin]]
    return part_down(held, whole_of(balances, terms, state, coin), issued)


@kernel(cache=True)
def debt_atoms(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, coin: int
) -> int:
    """Atoms that an account owes of a coin, rounded up."""
    held = balances[account, terms.debts[coin]]
    if held == 0:
        return 0
    return part_up(held, state.owed[coin], -balances[terms.pool, terms.debts[coin]])


@kernel(cache=True)
def debt_worth(balances: Matrix, terms: LendingTerms, state: LendingState, account: int) -> float:
    """What an account owes of all coins, in quote."""
    owed = 0.0
    for coin in range(terms.coins.size):
        atoms = debt_atoms(balances, terms, state, account, coin)
        if atoms:
            owed += atoms * state.prices[coin]
    return owed


@kernel(cache=True)
def power_of(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, weights: Floats
) -> float:
    """Weighted worth of an account's collateral, in quote."""
    power = 0.0
    for coin in range(terms.coins.size):
        if weights[coin] > 0.0 and balances[account, terms.shares[coin]]:
            atoms = supply_worth(balances, terms, state, account, coin)
            power += atoms * state.prices[coin] * weights[coin]
    return power


@kernel(cache=True)
def covers(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, weights: Floats
) -> bool:
    """Whether the weighted collateral of an account is worth its debts; False without a price."""
    owed = debt_worth(balances, terms, state, account)
    return owed == 0.0 or power_of(balances, terms, state, account, weights) >= owed


@kernel(cache=True)
def health_of(balances: Matrix, terms: LendingTerms, state: LendingState, account: int) -> float:
    """Health of an account: infinite without debt, NaN without a price."""
    owed = debt_worth(balances, terms, state, account)
    if owed == 0.0:
        return math.inf
    return power_of(balances, terms, state, account, terms.threshold) / owed
