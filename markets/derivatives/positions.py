"""Positions: signed contracts and signed margin claims, and what they are worth at the mark.

A position is (contracts c in lots, claim m in atoms); a trade of q lots at P ticks moves q one way
and q*P*k atoms the other, k = `notional_atoms`. So with the mark a whole number of ticks

    equity = m + c*mark*k,    sum over accounts of equity = collateral held,    exactly, always.

`entry_atoms` is the signed cost of c at average cost: wallet = m + entry, profit = equity - wallet.
Funding owed is rounded up, so payers pay and receivers get the atom against them; the dust, never
below 0, is the fund's. The margin a position needs stands in `brackets`.
A part of an amount is ceil(amount*part/whole) of running totals, so that parts add up exactly.
The form (contracts, quote balance) is dYdX's; average cost is Binance's and BitMEX's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.brackets import Brackets, requirement_atoms
from markets.kernel import kernel

RATE_SCALE = 1_000_000_000

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Terms(NamedTuple):
    """Columns and accounts of one venue, its fees, and the mark of the step."""

    quote: int
    contract: int
    margin: int
    vault: int
    fund: int
    fees: int
    lot_atoms: int
    notional_atoms: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    mark_ticks: int


class Positions(NamedTuple):
    """The ledger matrix and, for each account, cost of its position and lots it has on offer."""

    balances: NDArray[np.int64]
    entry_atoms: Integers
    open_bid_lots: Integers
    open_ask_lots: Integers


@kernel(inline="always")
def share_up(amount_atoms: int, part: int, whole: int) -> int:
    """ceil(amount*part/whole), for part and whole below 2**31 and a result inside int64."""
    quotient = amount_atoms // whole
    rest = amount_atoms - quotient * whole
    return quotient * part - (-(rest * part) // whole)


@kernel(inline="always")
def funding_owed(notional_atoms: int, rate_1e9: int) -> int:
    """ceil(notional*rate/10**9): what a signed notional pays, rounded against its holder."""
    whole = notional_atoms // RATE_SCALE
    rest = notional_atoms - whole * RATE_SCALE
    return whole * rate_1e9 - (-(rest * rate_1e9) // RATE_SCALE)


@kernel()
def equity_atoms(positions: Positions, terms: Terms, account: int) -> int:
    """Claim and position of one account at the mark."""
    contracts = positions.balances[account, terms.contract]
    claim = positions.balances[account, terms.margin]
    return claim + contracts * terms.mark_ticks * terms.notional_atoms


@kernel()
def take_lots(
    positions: Positions, terms: Terms, account: int, signed_lots: int, quote_atoms: int
) -> None:
    """Add signed lots for the signed cost `quote_atoms`, and carry the average cost along."""
    held = positions.balances[account, terms.contract]
    positions.balances[account, terms.contract] = held + signed_lots
    positions.balances[account, terms.margin] -= quote_atoms
    if held == 0 or (held > 0) == (signed_lots > 0):
        positions.entry_atoms[account] += quote_atoms
    elif abs(signed_lots) < abs(held):
        cost = positions.entry_atoms[account]
        positions.entry_atoms[account] = cost - share_up(cost, abs(signed_lots), abs(held))
    else:
        opened = abs(signed_lots) - abs(held)
        positions.entry_atoms[account] = share_up(quote_atoms, opened, abs(signed_lots))


@kernel()
def pay_funding(positions: Positions, terms: Terms, rate_1e9: int, owed_atoms: Integers) -> int:
    """Settle one stamp; writes what each account paid and gives the dust to the fund."""
    balances = positions.balances
    value_atoms = terms.mark_ticks * terms.notional_atoms
    total = 0
    for account in range(len(owed_atoms)):
        contracts = balances[account, terms.contract]
        owed_atoms[account] = 0
        if contracts != 0:
            owed = funding_owed(contracts * value_atoms, rate_1e9)
            owed_atoms[account] = owed
            balances[account, terms.margin] -= owed
            total += owed
    balances[terms.fund, terms.margin] += total
    return total


@kernel()
def find_unsafe(
    positions: Positions, terms: Terms, brackets: Brackets, accounts: Integers, ratios: Floats
) -> int:
    """Write accounts below maintenance, and owing ones without position; returns how many.

    `ratios` is equity over maintenance; a debt without position counts as minus infinity.
    """
    balances = positions.balances
    value_atoms = terms.mark_ticks * terms.notional_atoms
    found = 0
    for account in range(len(balances)):
        contracts = balances[account, terms.contract]
        claim = balances[account, terms.margin]
        if contracts == 0:
            if claim >= 0:
                continue
            ratio = -np.inf
        else:
            needed = requirement_atoms(brackets, abs(contracts) * value_atoms)
            equity = claim + contracts * value_atoms
            if equity >= needed:
                continue
            ratio = equity / max(needed, 1)
        if account == terms.vault or account == terms.fund or account == terms.fees:
            continue
        accounts[found] = account
        ratios[found] = ratio
        found += 1
    return found
