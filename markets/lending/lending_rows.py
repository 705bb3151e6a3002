"""The rows of a lending pool: supply, withdrawal, loan, repayment, liquidation, and bad debt.

    supply a      floor(a S/V) shares             withdraw s  floor(s V/S) atoms, as cash allows
    borrow a      ceil(a B/D) debt shares         repay a     floor(a B/D) of them
    liquidate     x of a debt is repaid for x p_debt/p_coin (1 + bonus) of a collateral coin

S shares of V atoms supplied, B debt shares of D atoms owed. A loan needs cover by the
loan-to-value, a withdrawal by the threshold. A liquidator may repay the part of a debt that the
close factor allows, all of it where health or debt is small; the coin is paid out as far as there
is cash, or in supply shares if he asks for them, and the protocol keeps a part of the bonus. Debts
of an account without collateral are written off: what the protocol has earned in that coin bears
them first, the suppliers the rest. Every rounding is the suppliers' gain, but that of what is
seized, which is floored, hence the borrower's.
Sources: Aave v3 (supply, borrow and liquidation logic); Compound III (reserves bear losses).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.intents import ADD_COIN, BORROW, LIQUIDATE, REMOVE_COIN, REPAY
from markets.kernel import kernel
from markets.ledger import Matrix
from markets.lending.lending_state import (
    Integers,
    LendingState,
    LendingTerms,
    covers,
    debt_atoms,
    health_of,
    supply_worth,
    whole_of,
)
from markets.lending.shares import part_down, part_up
from markets.outcomes import Code
from markets.pools.pool import (
    BEYOND_LIMIT,
    DONE,
    INSUFFICIENT,
    INVALID,
    LARGEST,
    MINIMUM_SHARES,
    NO_LIQUIDITY,
)
from markets.rounding import ceil_atoms, floor_atoms, ppm_up

UNCOVERED = int(Code.INSUFFICIENT_MARGIN)
TOO_SMALL = int(Code.BELOW_MINIMUM)
HEALTHY = int(Code.OUT_OF_RANGE)

LIQUIDATION = np.dtype(
    [
        (field, np.int64)
        for field in (
            "liquidator",
            "borrower",
            "debt",
            "coin",
            "paid_atoms",
            "seized_atoms",
            "fee_atoms",
        )
    ]
)
"""One liquidation: coins by index; `fee_atoms` is the protocol's part of what was seized."""

Log = NDArray[np.void]
Out = tuple[Log, Integers, Integers]
"""Liquidations; 2 x coins: atoms written off and, of these, borne by the protocol; codes."""


@kernel(cache=True)
def _supply(row: Any, balances: Matrix, terms: LendingTerms, state: LendingState) -> int:
    """Shares for exact atoms, at the worth of a share before."""
    coin, atoms, column = row.first, row.size, terms.coins[row.first]
    issued = -balances[terms.pool, terms.shares[coin]]
    whole = whole_of(balances, terms, state, coin)
    cap = terms.supply_cap_atoms[coin]
    if (issued > 0 and whole == 0) or (cap > 0 and whole + atoms > cap):
        return NO_LIQUIDITY
    minted, locked = atoms, MINIMUM_SHARES
    if issued > 0:
        if float(atoms) * issued >= LARGEST * whole:
            return INVALID
        minted, locked = part_down(atoms, issued, whole), 0
    if minted <= locked:
        return NO_LIQUIDITY
    if max(whole + atoms, issued + minted) >= LARGEST:
        return INVALID
    if minted - locked < row.limit:
        return BEYOND_LIMIT
    if balances[row.account, column] < atoms:
        return INSUFFICIENT
    balances[row.account, column] -= atoms
    balances[terms.pool, column] += atoms
    balances[row.account, terms.shares[coin]] += minted - locked
    balances[terms.lock, terms.shares[coin]] += locked
    balances[terms.pool, terms.shares[coin]] -= minted
    return DONE


@kernel(cache=True)
def _pay_out(
    balances: Matrix, terms: LendingTerms, account: int, coin: int, amounts: tuple[int, int]
) -> None:
    """Atoms out of the pool for shares; amounts = (atoms, shares), below 0 the other way."""
    atoms, shares = amounts
    balances[terms.pool, terms.coins[coin]] -= atoms
    balances[account, terms.coins[coin]] += atoms
    balances[account, terms.shares[coin]] -= shares
    balances[terms.pool, terms.shares[coin]] += shares


@kernel(cache=True)
def _withdraw(row: Any, balances: Matrix, terms: LendingTerms, state: LendingState) -> int:
    """Atoms for exact shares, as far as there is cash and the rest covers the account's debts."""
    coin, shares = row.first, row.size
    if balances[row.account, terms.shares[coin]] < shares:
        return INSUFFICIENT
    issued = -balances[terms.pool, terms.shares[coin]]
    atoms = part_down(shares, whole_of(balances, terms, state, coin), issued)
    if atoms <= 0 or balances[terms.pool, terms.coins[coin]] < atoms:
        return NO_LIQUIDITY
    if atoms < row.limit:
        return BEYOND_LIMIT
    _pay_out(balances, terms, row.account, coin, (atoms, shares))
    if covers(balances, terms, state, row.account, terms.threshold):
        return DONE
    _pay_out(balances, terms, row.account, coin, (-atoms, -shares))
    return UNCOVERED


@kernel(cache=True)
def _lend(
    balances: Matrix,
    terms: LendingTerms,
    state: LendingState,
    who: tuple[int, int],
    amounts: tuple[int, int, int],
) -> None:
    """Atoms and debt to an account; who = (account, coin), amounts = (atoms, owed, shares)."""
    account, coin = who
    atoms, owed, shares = amounts
    balances[terms.pool, terms.coins[coin]] -= atoms
    balances[account, terms.coins[coin]] += atoms
    balances[account, terms.debts[coin]] += shares
    balances[terms.pool, terms.debts[coin]] -= shares
    state.owed[coin] += owed


@kernel(cache=True)
def _borrow(row: Any, balances: Matrix, terms: LendingTerms, state: LendingState) -> int:
    """Exact atoms against the collateral of the account."""
    coin, atoms = row.first, row.size
    owed, issued = state.owed[coin], -balances[terms.pool, terms.debts[coin]]
    cap = terms.borrow_cap_atoms[coin]
    if not terms.borrowable[coin]:
        return INVALID
    if balances[terms.pool, terms.coins[coin]] < atoms or (cap > 0 and owed + atoms > cap):
        return NO_LIQUIDITY
    shares, due = atoms, atoms
    if issued > 0:
        shares = part_up(atoms, issued, owed)
        due = part_up(shares, owed, issued)
    _lend(balances, terms, state, (row.account, coin), (atoms, due, shares))
    if covers(balances, terms, state, row.account, terms.ltv):
        return DONE
    _lend(balances, terms, state, (row.account, coin), (-atoms, -due, -shares))
    return UNCOVERED


@kernel(cache=True)
def _debt_shares(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, owed: tuple[int, int]
) -> int:
    """Debt shares that atoms pay off; owed = (coin, atoms), at most what the account owes."""
    coin, atoms = owed
    if atoms == debt_atoms(balances, terms, state, account, coin):
        held: int = balances[account, terms.debts[coin]]
        return held
    return part_down(atoms, -balances[terms.pool, terms.debts[coin]], state.owed[coin])


@kernel(cache=True)
def _forgive(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, debt: tuple[int, int]
) -> int:
    """Take debt = (coin, shares) off an account; returns the atoms no longer owed."""
    coin, shares = debt
    atoms = part_down(shares, state.owed[coin], -balances[terms.pool, terms.debts[coin]])
    balances[account, terms.debts[coin]] -= shares
    balances[terms.pool, terms.debts[coin]] += shares
    state.owed[coin] -= atoms
    return atoms


@kernel(cache=True)
def _repay(row: Any, balances: Matrix, terms: LendingTerms, state: LendingState) -> int:
    """Up to `size` atoms of the account's own debt."""
    coin, account, column = row.first, row.account, terms.coins[row.first]
    paid = min(row.size, debt_atoms(balances, terms, state, account, coin))
    if paid <= 0:
        return NO_LIQUIDITY
    if balances[account, column] < paid:
        return INSUFFICIENT
    shares = _debt_shares(balances, terms, state, account, (coin, paid))
    if shares <= 0:
        return TOO_SMALL
    _forgive(balances, terms, state, account, (coin, shares))
    balances[account, column] -= paid
    balances[terms.pool, column] += paid
    return DONE


@kernel(cache=True)
def _seizure(
    row: Any, balances: Matrix, terms: LendingTerms, state: LendingState, health: float
) -> tuple[int, int]:
    """Atoms of the debt that are repaid, and the collateral shares that are taken for them."""
    debt, coin = row.first, row.second
    due = debt_atoms(balances, terms, state, row.order, debt)
    most = due
    if health > terms.full_close_health and due * state.prices[debt] >= terms.full_close_quote:
        most = ppm_up(due, terms.close_factor_ppm)
    paid = min(row.size, most)
    rate = state.prices[debt] / state.prices[coin] * (1.0 + terms.bonus[coin])
    worth = supply_worth(balances, terms, state, row.order, coin)
    if paid * rate >= worth:
        return min(paid, ceil_atoms(worth / rate)), balances[row.order, terms.shares[coin]]
    issued = -balances[terms.pool, terms.shares[coin]]
    whole = whole_of(balances, terms, state, coin)
    return paid, part_down(floor_atoms(paid * rate), issued, whole)


@kernel(cache=True)
def _may_liquidate(row: Any, terms: LendingTerms, state: LendingState) -> bool:
    """Whether a row names a borrower and a coin that counts as collateral."""
    if not (0 <= row.second < terms.coins.size and terms.threshold[row.second] > 0.0):
        return False
    borrower = row.order
    return 0 < borrower < state.barred.size and borrower != row.account and row.side in (0, 1)


@kernel(cache=True)
def _liquidate(
    row: Any, balances: Matrix, terms: LendingTerms, state: LendingState, entry: Any
) -> int:
    """Repay another's debt for his collateral; writes `entry` where that is done."""
    if not _may_liquidate(row, terms, state) or state.barred[row.order]:
        return INVALID
    debt, coin, borrower = row.first, row.second, row.order
    health = health_of(balances, terms, state, borrower)
    if not health < 1.0:
        return HEALTHY
    paid, shares = _seizure(row, balances, terms, state, health)
    if paid <= 0 or shares <= 0:
        return NO_LIQUIDITY
    if balances[row.account, terms.coins[debt]] < paid:
        return INSUFFICIENT
    burnt = _debt_shares(balances, terms, state, borrower, (debt, paid))
    issued = -balances[terms.pool, terms.shares[coin]]
    whole = whole_of(balances, terms, state, coin)
    bonus = terms.bonus[coin]
    kept = floor_atoms(shares * (bonus / (1.0 + bonus) * terms.protocol_part))
    received = part_down(shares - kept, whole, issued)
    if burnt <= 0 or received <= 0:
        return TOO_SMALL
    if received < row.limit:
        return BEYOND_LIMIT
    cash = balances[terms.pool, terms.coins[coin]] + (paid if coin == debt else 0)
    if row.side == 0 and cash < received:
        return NO_LIQUIDITY
    entry.liquidator, entry.borrower, entry.debt, entry.coin = row.account, borrower, debt, coin
    entry.paid_atoms, entry.fee_atoms = paid, part_down(kept, whole, issued)
    entry.seized_atoms = part_down(shares, whole, issued)
    _forgive(balances, terms, state, borrower, (debt, burnt))
    _pay_out(balances, terms, row.account, debt, (-paid, 0))
    balances[borrower, terms.shares[coin]] -= shares
    balances[terms.protocol, terms.shares[coin]] += kept
    balances[row.account, terms.shares[coin]] += shares - kept
    if row.side == 0:
        _pay_out(balances, terms, row.account, coin, (received, shares - kept))
    return DONE


@kernel(cache=True)
def _write_off(
    balances: Matrix, terms: LendingTerms, state: LendingState, account: int, losses: Integers
) -> None:
    """Forgive the debts of an account without collateral; `losses` counts them."""
    for coin in range(terms.coins.size):
        pledged = terms.threshold[coin] > 0.0
        if pledged and supply_worth(balances, terms, state, account, coin) > 0:
            return
    for coin in range(terms.coins.size):
        shares = balances[account, terms.debts[coin]]
        if shares == 0:
            continue
        whole = whole_of(balances, terms, state, coin)
        issued = -balances[terms.pool, terms.shares[coin]]
        lost = _forgive(balances, terms, state, account, (coin, shares))
        losses[0, coin] += lost
        if terms.reserve_bears_losses:
            held = balances[terms.protocol, terms.shares[coin]]
            borne = min(held, part_up(lost, issued, whole))
            balances[terms.protocol, terms.shares[coin]] -= borne
            balances[terms.pool, terms.shares[coin]] += borne
            losses[1, coin] += part_down(borne, whole, issued)


@kernel(cache=True)
def execute_rows(
    rows: NDArray[np.void], balances: Matrix, terms: LendingTerms, state: LendingState, out: Out
) -> int:
    """All rows in order; returns the number of liquidations written to `out`."""
    log, losses, codes = out
    done = 0
    for at in range(len(rows)):
        row = rows[at]
        codes[at] = INVALID
        if not (0 <= row.first < terms.coins.size and 0 < row.size < LARGEST):
            continue
        if state.barred[row.account]:
            continue
        if row.action == ADD_COIN:
            codes[at] = _supply(row, balances, terms, state)
        elif row.action == REMOVE_COIN:
            codes[at] = _withdraw(row, balances, terms, state)
        elif row.action == BORROW:
            codes[at] = _borrow(row, balances, terms, state)
        elif row.action == REPAY:
            codes[at] = _repay(row, balances, terms, state)
        elif row.action == LIQUIDATE:
            codes[at] = _liquidate(row, balances, terms, state, log[done])
            if codes[at] == DONE:
                done += 1
                _write_off(balances, terms, state, row.order, losses)
    return done
