"""Positions: signed contracts and signed margin claims, and what they are worth at the mark.

A position is (contracts c in lots, claim m in atoms); a trade of q lots at P ticks moves q one way
and cost(q, P) the other: q*P*k of a linear contract, -q*K/P of an inverse one, rounded up once, k
and K being `notional_atoms` (see `contract_form`). So with the mark a whole number of ticks

    equity = m + value(c, mark),    sum over accounts of equity = collateral held, always,

exactly for linear contracts, short by less than an atom a holder for inverse ones.
`entry_atoms` is the signed cost of c at average cost: wallet = m + entry, profit = equity - wallet.
Loops over all accounts value positions by a `Pricer`, which divides by multiplying and corrects the
quotient, to the same atom. The margin a position needs stands in `brackets`. A part of an amount is
ceil(amount*part/whole) of running totals, so that parts add up exactly. The form (contracts, quote
balance) is dYdX's; average cost is Binance's and BitMEX's.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from markets.derivatives.brackets import Brackets, bracket_of, requirement_atoms
from markets.derivatives.contract import INVERSE
from markets.kernel import kernel
from markets.rounding import PPM

_EXACT = 2**50
"""Below it a float64 quotient errs by less than a quarter of the least distance to a whole one."""
_MARGIN = 1.0 + 2.0**-40
"""More than the relative error of a requirement in float64."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Terms(NamedTuple):
    """Columns and accounts of one venue, its form and fees, and the mark of the step."""

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
    form: int
    """LINEAR or INVERSE of `contract`; a quanto is linear."""
    grouped: bool
    """Whether the claims back contracts of other venues too (see `clearing_house`)."""
    at_entry: bool
    """Whether maintenance is a part of what positions cost, not of what they are worth."""


class Positions(NamedTuple):
    """The ledger matrix; by account, cost of the position, lots on offer, net deposits.

    The last four, of no length unless the venue is one of a group: what the account's other
    contracts and collateral are worth, and the margin that they need; and whether its margin here
    is isolated: then its claims but for what it has set aside here count as worth less than zero.
    """

    balances: NDArray[np.int64]
    entry_atoms: Integers
    open_bid_lots: Integers
    open_ask_lots: Integers
    deposited_atoms: Integers
    other_equity: Integers
    other_initial: Integers
    other_maintenance: Integers
    isolated: NDArray[np.bool_]


def no_positions(balances: NDArray[np.int64], terms: Terms) -> Positions:
    """Positions of a venue that has not begun: claims that accounts have count as deposited."""
    own = np.zeros((3, len(balances)), np.int64)
    group = np.zeros((3, len(balances) if terms.grouped else 0), np.int64)
    return Positions(
        balances,
        entry_atoms=own[0],
        open_bid_lots=own[1],
        open_ask_lots=own[2],
        deposited_atoms=balances[:, terms.margin].copy(),
        other_equity=group[0],
        other_initial=group[1],
        other_maintenance=group[2],
        isolated=np.zeros(group.shape[1], np.bool_),
    )


@kernel(inline="always")
def share_up(amount_atoms: int, part: int, whole: int) -> int:
    """ceil(amount*part/whole), for part and whole below 2**31 and a result inside int64."""
    quotient = amount_atoms // whole
    rest = amount_atoms - quotient * whole
    return quotient * part - (-(rest * part) // whole)


@register_jitable
def value_atoms(terms: Terms, signed_lots: Any, price_ticks: int) -> Any:
    """What signed lots are worth, rounded down; lots may be an array outside kernels."""
    if terms.form == INVERSE:
        quotient = terms.notional_atoms // price_ticks
        rest = terms.notional_atoms - quotient * price_ticks
        return -signed_lots * quotient + (-signed_lots * rest) // price_ticks
    return signed_lots * (price_ticks * terms.notional_atoms)


@register_jitable
def cost_atoms(terms: Terms, signed_lots: Any, price_ticks: int) -> Any:
    """What signed lots cost whoever takes them, rounded up; below 0 where they pay."""
    return -value_atoms(terms, -signed_lots, price_ticks)


class Pricer(NamedTuple):
    """What turns lots into value at one price: value = lots*unit + floor(-lots*rest/price)."""

    unit_atoms: int
    rest_atoms: int
    """0 where the value is a whole multiple of the lots, as it always is of linear contracts."""
    price_ticks: int
    per_tick: float


@kernel(inline="always")
def pricer(terms: Terms, price_ticks: int) -> Pricer:
    """The pricer of a venue's contract."""
    if terms.form == INVERSE:
        quotient = terms.notional_atoms // price_ticks
        rest = terms.notional_atoms - quotient * price_ticks
        return Pricer(-quotient, rest, price_ticks, 1.0 / price_ticks)
    return Pricer(price_ticks * terms.notional_atoms, 0, price_ticks, 1.0 / price_ticks)


@kernel(inline="always")
def worth(by: Pricer, signed_lots: int) -> int:
    """`value_atoms` at the pricer's price, without a division."""
    whole = signed_lots * by.unit_atoms
    if by.rest_atoms == 0:
        return whole
    above = -signed_lots * by.rest_atoms
    if above > _EXACT or above < -_EXACT:
        return whole + above // by.price_ticks
    quotient = int(above * by.per_tick)
    left = above - quotient * by.price_ticks
    if left < 0:
        quotient -= 1
    elif left >= by.price_ticks:
        quotient += 1
    return whole + quotient


@kernel()
def backing_atoms(positions: Positions, terms: Terms, account: int) -> int:
    """What stands behind one account's position: its claim and, in a group, all else it has."""
    claim = positions.balances[account, terms.margin]
    return claim + positions.other_equity[account] if terms.grouped else claim


@kernel()
def equity_atoms(positions: Positions, terms: Terms, account: int) -> int:
    """Claim and position of one account at the mark."""
    contracts = positions.balances[account, terms.contract]
    value = value_atoms(terms, contracts, terms.mark_ticks)
    return backing_atoms(positions, terms, account) + value


@kernel(inline="always")
def _margined_atoms(positions: Positions, terms: Terms, account: int, value: int) -> int:
    """The notional that maintenance is a part of; `value` is the position's at the mark."""
    return abs(positions.entry_atoms[account]) if terms.at_entry else abs(value)


@kernel(inline="always")
def exposed_atoms(
    positions: Positions, terms: Terms, by: Pricer, account: int, open_lots: tuple[int, int]
) -> int:
    """The notional that initial margin is a part of, with so many lots on the bid and the ask.

    Where maintenance is of the cost, what is held counts with that if it is more.
    """
    contracts = positions.balances[account, terms.contract]
    exposed = max(abs(contracts + open_lots[0]), abs(contracts - open_lots[1]))
    at_mark = abs(worth(by, exposed))
    if not terms.at_entry:
        return at_mark
    added = abs(worth(by, exposed - abs(contracts)))
    return max(at_mark, abs(positions.entry_atoms[account]) + added)


@kernel()
def own_needed_atoms(
    positions: Positions, terms: Terms, maintenance: Brackets, account: int
) -> int:
    """Maintenance of the position of one account."""
    contracts = positions.balances[account, terms.contract]
    value = value_atoms(terms, contracts, terms.mark_ticks)
    return requirement_atoms(maintenance, _margined_atoms(positions, terms, account, value))


@kernel()
def needed_atoms(positions: Positions, terms: Terms, maintenance: Brackets, account: int) -> int:
    """Maintenance of one account, with its other contracts in a group."""
    own = own_needed_atoms(positions, terms, maintenance, account)
    return own + positions.other_maintenance[account] if terms.grouped else own


@kernel()
def equity_share(equity_atoms: int, part_atoms: int, whole_atoms: int) -> int:
    """equity*part/whole rounded down, all of it where nothing else needs margin."""
    if whole_atoms <= part_atoms:
        return equity_atoms
    return int(np.floor(float(equity_atoms) * (float(part_atoms) / float(whole_atoms))))


def equity_column(positions: Positions, terms: Terms, accounts: Integers) -> Integers:
    """The same of many accounts, outside kernels."""
    contracts = positions.balances[accounts, terms.contract]
    values: Integers = value_atoms(terms, contracts, max(terms.mark_ticks, 1))
    return backing_column(positions, terms, accounts) + values


def backing_column(positions: Positions, terms: Terms, accounts: Integers) -> Integers:
    """What stands behind the positions of many accounts."""
    claims: Integers = positions.balances[accounts, terms.margin]
    return claims + positions.other_equity[accounts] if terms.grouped else claims


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
def account_records(
    positions: Positions, terms: Terms, rules: tuple[Brackets, Brackets], records: NDArray[np.int64]
) -> None:
    """By account: value of the position, initial margin with open orders, maintenance, cost."""
    by = pricer(terms, terms.mark_ticks)
    for account in range(len(records)):
        contracts = positions.balances[account, terms.contract]
        bids, asks = positions.open_bid_lots[account], positions.open_ask_lots[account]
        records[account] = 0
        if contracts != 0 or bids != 0 or asks != 0:
            value = worth(by, contracts)
            exposed = exposed_atoms(positions, terms, by, account, (bids, asks))
            margined = _margined_atoms(positions, terms, account, value)
            records[account, 0] = value
            records[account, 1] = requirement_atoms(rules[0], exposed)
            records[account, 2] = requirement_atoms(rules[1], margined)
            records[account, 3] = positions.entry_atoms[account]


@kernel(inline="always")
def _surely_covers(brackets: Brackets, notional_atoms: int, equity_atoms: int) -> bool:
    """Whether equity is enough by a float bound: the bracket's rate, without its deduction."""
    if brackets.root_ppm > 0.0:
        return False
    rate = brackets.rates_ppm[bracket_of(brackets, notional_atoms)] * (_MARGIN / PPM)
    return float(equity_atoms) >= float(notional_atoms) * rate + 2.0


@kernel()
def find_unsafe(
    positions: Positions, terms: Terms, brackets: Brackets, accounts: Integers, ratios: Floats
) -> int:
    """Write accounts below maintenance, and owing ones without position; returns how many.

    `ratios` is equity over maintenance; a debt without position counts as minus infinity.
    """
    balances, by = positions.balances, pricer(terms, terms.mark_ticks)
    found = 0
    for account in range(len(balances)):
        contracts = balances[account, terms.contract]
        claim = balances[account, terms.margin]
        if contracts == 0:
            if claim >= 0 or terms.grouped:
                continue
            ratio = -np.inf
        else:
            value = worth(by, contracts)
            equity = claim + value
            if terms.grouped:
                equity += positions.other_equity[account]
            margined = _margined_atoms(positions, terms, account, value)
            if not terms.grouped and _surely_covers(brackets, margined, equity):
                continue
            needed = requirement_atoms(brackets, margined)
            if terms.grouped:
                needed += positions.other_maintenance[account]
            if equity >= needed:
                continue
            ratio = equity / max(needed, 1)
        if account == terms.vault or account == terms.fund or account == terms.fees:
            continue
        accounts[found] = account
        ratios[found] = ratio
        found += 1
    return found
