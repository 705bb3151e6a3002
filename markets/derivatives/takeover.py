"""Takeover: lots leave an account with their part of its claim, for backstops or for the fund.

Of an account's n lots and claim m, x lots go with ceil(m x / n), at the bankruptcy price, so that
what stays keeps its margin ratio. Of several backstops each takes in proportion to what he may:
the most lots that his capacity, position limit and own maintenance allow, if he still has his
capital but for the permitted loss. At a price between bankruptcy and the mark the fund has the part

    w*(claim + value of the lots at the mark)

rounded down, or pays it, as far as its cash goes. Sources: FTX liquidations page (w = 1/3),
Hyperliquid (w = 0). In a group m is the position's part of the equity, in proportion to
maintenance, less its value (dYdX).
"""

from typing import Any

import numpy as np

from markets.derivatives import backstop as table
from markets.derivatives.adl import pro_rata_lots
from markets.derivatives.brackets import Brackets, requirement_atoms
from markets.derivatives.desk import Desk
from markets.derivatives.liquidation_work import (
    ACCOUNT,
    ATOMS,
    BY,
    BY_BACKSTOP,
    EQUITY,
    FEE,
    FILLED,
    HELD,
    HELD_CLAIM,
    LOTS,
    TAKER,
    WRITTEN,
    Liquidation,
)
from markets.derivatives.positions import (
    backing_atoms,
    equity_atoms,
    equity_share,
    own_needed_atoms,
    share_up,
    take_lots,
    value_atoms,
)
from markets.kernel import kernel
from markets.rounding import PPM

_MOST_LOTS = 2**31 - 1
_MOST_ATOMS = 2**59
_SLACK = 2.0**-51
"""More than the rounding error of a part of a position."""
_BACKSTOP = table.ACCOUNT
_MOST = table.MOST
_FLOOR = table.FLOOR
_LEFT_MINUTE = table.LEFT_MINUTE
_LEFT_HOUR = table.LEFT_HOUR
_CAPACITY = table.CAPACITY
_SHARE = table.SHARE


@kernel()
def note(desk: Desk, work: Liquidation, row: tuple[int, int, int, int, int, int, int, int]) -> None:
    """Write a close-out: account, lots, equity, stage, atoms, fee, lots of the equity, taker."""
    place = work.progress[WRITTEN]
    work.progress[WRITTEN] = place + 1
    account, lots, equity, stage, atoms, fee, held, taker = row
    work.rows[place, ACCOUNT] = account
    work.rows[place, LOTS] = lots
    work.rows[place, EQUITY] = equity
    work.rows[place, BY] = stage
    work.rows[place, ATOMS] = atoms
    work.rows[place, FEE] = fee
    work.rows[place, HELD] = held
    work.rows[place, FILLED] = desk.fill_count[0]
    work.rows[place, TAKER] = taker


@kernel()
def carried_claim(desk: Desk, maintenance: Brackets, account: int, lots: int) -> int:
    """The claim that goes with so many lots of the account's position."""
    positions, terms = desk.positions, desk.terms
    contracts = positions.balances[account, terms.contract]
    claim = positions.balances[account, terms.margin]
    if terms.grouped:
        own = own_needed_atoms(positions, terms, maintenance, account)
        equity = equity_atoms(positions, terms, account)
        part = equity_share(equity, own, own + positions.other_maintenance[account])
        claim = part - value_atoms(terms, contracts, terms.mark_ticks)
    return claim if lots == abs(contracts) else share_up(claim, lots, abs(contracts))


@kernel()
def own_cash(desk: Desk, work: Liquidation) -> int:
    """What the fund owns apart from the claims that came with lots which it holds."""
    return backing_atoms(desk.positions, desk.terms, desk.terms.fund) - work.progress[HELD_CLAIM]


@kernel()
def _may_take(
    desk: Desk, work: Liquidation, row: Any, offered: tuple[int, int, int], lots: int
) -> bool:
    """Whether a backstop may take lots; offered = (signed lots of all, their claim, his equity)."""
    positions, terms = desk.positions, desk.terms
    whole, claim, own = offered
    signed = lots if whole > 0 else -lots
    held = positions.balances[row[_BACKSTOP], terms.contract]
    notional = abs(value_atoms(terms, held + signed, terms.mark_ticks))
    value = value_atoms(terms, signed, terms.mark_ticks)
    if abs(value) > min(row[_LEFT_MINUTE], row[_LEFT_HOUR]):
        return False
    if row[_MOST] > 0 and notional > row[_MOST] and abs(held + signed) > abs(held):
        return False
    equity = share_up(claim, lots, abs(whole)) + value
    own += equity - max(equity * work.rule.backstop_mark_thirds // 3, 0)
    needed = requirement_atoms(work.maintenance, notional)
    if terms.grouped:
        needed += positions.other_maintenance[row[_BACKSTOP]]
    return own >= needed


@kernel()
def _capacity(desk: Desk, work: Liquidation, row: Any, whole: int, claim: int) -> int:
    """The most lots that a backstop may take of such a position, by bisection."""
    terms = desk.terms
    own = equity_atoms(desk.positions, terms, row[_BACKSTOP])
    if own < row[_FLOOR]:
        return 0
    offered = (whole, claim, own)
    of_value = _MOST_ATOMS // max(1, abs(value_atoms(terms, 1, terms.mark_ticks)))
    high = min(_MOST_LOTS // len(work.rule.backstops), of_value)
    if _may_take(desk, work, row, offered, high):
        return high
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if _may_take(desk, work, row, offered, middle):
            low = middle
        else:
            high = middle
    return low


@kernel()
def _give(desk: Desk, work: Liquidation, account: int, row: Any, lots: int) -> None:
    """Hand lots to one backstop, and the fund its part of what they are worth."""
    positions, terms = desk.positions, desk.terms
    contracts, backstop = positions.balances[account, terms.contract], row[_BACKSTOP]
    signed = lots if contracts > 0 else -lots
    claim = carried_claim(desk, work.maintenance, account, lots)
    value = value_atoms(terms, signed, terms.mark_ticks)
    gain = (claim + value) * work.rule.backstop_mark_thirds // 3
    gain = max(gain, -max(own_cash(desk, work), 0))
    take_lots(positions, terms, account, -signed, claim)
    take_lots(positions, terms, backstop, signed, gain - claim)
    positions.balances[terms.fund, terms.margin] += gain
    row[_LEFT_MINUTE] -= abs(value)
    row[_LEFT_HOUR] -= abs(value)
    equity = claim + value
    note(desk, work, (account, signed, equity, BY_BACKSTOP, -claim, gain, signed, backstop))


@kernel()
def hand_to_backstops(desk: Desk, work: Liquidation, account: int, lots: int) -> int:
    """Hand lots of an account to the backstops, pro rata to capacity; returns how many went."""
    terms, rule = desk.terms, work.rule
    contracts = desk.positions.balances[account, terms.contract]
    if contracts == 0 or len(rule.backstops) == 0:
        return 0
    claim = carried_claim(desk, work.maintenance, account, abs(contracts))
    equity = claim + value_atoms(terms, contracts, terms.mark_ticks)
    if equity < 0 and not rule.backstop_in_debt:
        return 0
    total = 0
    for place in range(len(rule.backstops)):
        row = rule.backstops[place]
        row[_CAPACITY] = _capacity(desk, work, row, contracts, claim)
        total += row[_CAPACITY]
    pro_rata_lots(rule.backstops[:, _CAPACITY], lots, rule.backstops[:, _SHARE])
    for place in range(len(rule.backstops)):
        row = rule.backstops[place]
        if row[_SHARE] > 0:
            _give(desk, work, account, row, row[_SHARE])
    return min(lots, total)


@kernel()
def is_backstop(work: Liquidation, account: int) -> bool:
    """Whether the account is one of the backstops."""
    for place in range(len(work.rule.backstops)):
        if work.rule.backstops[place, _BACKSTOP] == account:
            return True
    return False


@kernel()
def lots_due(desk: Desk, work: Liquidation, account: int, needed_atoms: int) -> int:
    """Lots to be taken over in this step: all, or the part that the rule takes in its seconds."""
    rule, terms = work.rule, desk.terms
    contracts = desk.positions.balances[account, terms.contract]
    equity = float(equity_atoms(desk.positions, terms, account))
    limit = float(needed_atoms) * rule.takeover_ppm / PPM
    if not rule.takeover_gradual or equity < 0 or equity >= limit:
        return abs(contracts)
    part = 1.0 - (equity / limit) ** rule.step_seconds
    notional = abs(value_atoms(terms, contracts, terms.mark_ticks))
    part = max(part, rule.least / max(float(notional), 1.0))
    return min(abs(contracts), int(np.ceil(abs(contracts) * (part - _SLACK) - 1e-9)))
