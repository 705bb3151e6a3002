"""The liquidation waterfall: takeover, order book, insurance fund, auto-deleveraging (ADL).

An unsafe account's orders are cancelled and the fund takes its n lots and its whole claim m, so the
bankruptcy price b is where the lots are worth -m: -m/(c k), or K c/m inverse. With x of n closed

    cash(x) = fund's claim - m + ceil(m x / n)

is what the fund would own if the rest went at b. Lots go into the book best first while cash stays
at 0 or above: better than b pays the fund, worse draws on it. What the book cannot take at that is
closed at b against opposite positions in ranking order, whole positions first. The ceilings of
running totals make parts add up to m exactly; the odd atom is the fund's. Accounts that a close at
b would leave in debt are passed over (dYdX). Where nobody is left, the fund keeps the lots with
their part of m and tries again in each later step; so, or by a debt without position, it may owe.
Order: lowest margin ratio first, then account; each side is ranked once a step. Sources: BitMEX,
Binance, dYdX v4-chain. Left out: part liquidations, backstop pools, ADL at the mark, social loss.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.brackets import Brackets, requirement_atoms
from markets.derivatives.contract import INVERSE
from markets.derivatives.desk import Desk, drop_orders, record_fill, trade_front
from markets.derivatives.positions import (
    Integers,
    Terms,
    cost_atoms,
    equity_atoms,
    share_up,
    take_lots,
    value_atoms,
)
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.spot.book import MAX_PRICE_TICKS, NO_SLOT, front

PLACES = 12
STARTED, NEXT, TAKEN, SIDE, SIZE, CLOSED, CLAIM, HELD_CLAIM = range(8)
RANKED_LONGS, RANKED_SHORTS, HEAD_LONGS, HEAD_SHORTS = range(8, PLACES)
"""Places of the progress: whether the step has begun, next unsafe account, takeovers; side, lots,
lots closed and claim in hand; claim that came with what the fund could not close before; whether
longs and shorts are ranked; rows of either queue that are done with."""

_LIQUIDATION = int(Reason.LIQUIDATION)
_ADL = int(Reason.ADL)


class Stop(IntEnum):
    """Why the kernel came back: all done, or longs or shorts must be ranked for ADL."""

    DONE = 0
    RANK_LONGS = 1
    RANK_SHORTS = 2


_DONE = int(Stop.DONE)
_RANK_LONGS = int(Stop.RANK_LONGS)
_RANK_SHORTS = int(Stop.RANK_SHORTS)


class Liquidation(NamedTuple):
    """One step's work. `takeovers` rows: account, signed lots, equity at the mark."""

    unsafe: Integers
    maintenance: Brackets
    progress: Integers
    takeovers: NDArray[np.int64]


@kernel(inline="always")
def _cash_after(desk: Desk, progress: Integers, price_ticks: int, lots: int) -> int:
    """The fund's cash when `lots` more have gone at a price; other positions' claims apart."""
    claim = desk.positions.balances[desk.terms.fund, desk.terms.margin] - progress[HELD_CLAIM]
    proceeds = -cost_atoms(desk.terms, -progress[SIDE] * lots, price_ticks)
    share = share_up(progress[CLAIM], progress[CLOSED] + lots, progress[SIZE])
    return claim - progress[CLAIM] + share + proceeds


@kernel()
def payable_lots(desk: Desk, progress: Integers, price_ticks: int) -> int:
    """How many of the lots left the fund can close at a price without going below zero."""
    left = progress[SIZE] - progress[CLOSED]
    before = _cash_after(desk, progress, price_ticks, 0)
    after = _cash_after(desk, progress, price_ticks, left)
    if after >= min(before, 0):
        return left
    if before < 0:
        return 0
    lots = min(left, int(left * (before / (before - after))))
    while lots < left and _cash_after(desk, progress, price_ticks, lots + 1) >= 0:
        lots += 1
    while lots > 0 and _cash_after(desk, progress, price_ticks, lots) < 0:
        lots -= 1
    return lots


@kernel()
def _close_in_book(desk: Desk, progress: Integers) -> None:
    """Close lots best price first until the fund cannot pay for another one."""
    side = progress[SIDE]
    while progress[CLOSED] < progress[SIZE]:
        slot = front(desk.book, side)
        if slot == NO_SLOT:
            return
        lots = payable_lots(desk, progress, desk.book.orders[slot].price_ticks)
        if lots == 0:
            return
        progress[CLOSED] += trade_front(desk, desk.terms.fund, -side, lots, _LIQUIDATION)


@kernel()
def _stays_solvent(desk: Desk, progress: Integers, account: int) -> bool:
    """Whether an opposite position, closed whole at the bankruptcy price, leaves no debt."""
    lots = abs(desk.positions.balances[account, desk.terms.contract])
    proceeds = -share_up(-progress[CLAIM], lots, progress[SIZE])
    return desk.positions.balances[account, desk.terms.margin] + proceeds >= 1


@kernel()
def _price_of(terms: Terms, lots: int, quote_atoms: int) -> int:
    """Price in ticks, to the nearest, that lots for so many atoms come to; for the record."""
    if terms.form == INVERSE:
        price_ticks = float(lots) * terms.notional_atoms / max(quote_atoms, 1)
        return int(min(price_ticks + 0.5, MAX_PRICE_TICKS)) if quote_atoms > 0 else MAX_PRICE_TICKS
    tick_atoms = lots * terms.notional_atoms
    return (2 * quote_atoms + tick_atoms) // (2 * tick_atoms)


@kernel()
def _close_against(desk: Desk, progress: Integers, account: int, lots: int) -> None:
    """Close lots of the fund with a counterparty at the bankruptcy price."""
    terms, side = desk.terms, progress[SIDE]
    paid = share_up(progress[CLAIM], progress[CLOSED] + lots, progress[SIZE])
    paid -= share_up(progress[CLAIM], progress[CLOSED], progress[SIZE])
    take_lots(desk.positions, terms, terms.fund, -side * lots, paid)
    take_lots(desk.positions, terms, account, side * lots, -paid)
    quote_atoms = side * paid if terms.form == INVERSE else -side * paid
    price_ticks = _price_of(terms, lots, quote_atoms)
    record_fill(desk, terms.fund, account, (0, -side, price_ticks, lots, quote_atoms, 0, 0, _ADL))
    progress[CLOSED] += lots


@kernel()
def _deleverage(desk: Desk, progress: Integers, queue: Integers, head: int) -> None:
    """Close what is left against the queue; rows whose position is gone are not visited again."""
    side = progress[SIDE]
    for place in range(progress[head], len(queue)):
        if progress[CLOSED] == progress[SIZE]:
            return
        account = queue[place]
        opposite = -side * desk.positions.balances[account, desk.terms.contract]
        if opposite > 0 and _stays_solvent(desk, progress, account):
            lots = min(progress[SIZE] - progress[CLOSED], opposite)
            _close_against(desk, progress, account, lots)
            opposite -= lots
        if opposite <= 0 and place == progress[head]:
            progress[head] = place + 1


@kernel()
def _set_in_hand(progress: Integers, signed_lots: int, claim_atoms: int) -> None:
    """Begin to close lots of the fund that came with a claim; a claim without lots is cash."""
    progress[SIDE] = 1 if signed_lots > 0 else -1
    progress[SIZE] = abs(signed_lots)
    progress[CLOSED] = 0
    progress[CLAIM] = claim_atoms


@kernel()
def _put_down(progress: Integers) -> None:
    """Done with these lots; what is not closed stays the fund's, with its part of the claim."""
    closed = share_up(progress[CLAIM], progress[CLOSED], progress[SIZE])
    progress[HELD_CLAIM] += progress[CLAIM] - closed
    progress[SIZE] = 0


@kernel()
def _take_up_held(desk: Desk, progress: Integers) -> None:
    """Set in hand all that the fund holds."""
    held = desk.positions.balances[desk.terms.fund, desk.terms.contract]
    _set_in_hand(progress, held, progress[HELD_CLAIM])
    progress[HELD_CLAIM] = 0


@kernel()
def _take_over(desk: Desk, work: Liquidation, account: int) -> None:
    """The fund takes position and claim; a position against one it still holds is netted first."""
    positions, terms, fund = desk.positions, desk.terms, desk.terms.fund
    contracts = positions.balances[account, terms.contract]
    claim = positions.balances[account, terms.margin]
    row = work.progress[TAKEN]
    work.progress[TAKEN] = row + 1
    work.takeovers[row, 0] = account
    work.takeovers[row, 1] = contracts
    work.takeovers[row, 2] = equity_atoms(positions, terms, account)
    if contracts == 0:
        positions.balances[account, terms.margin] = 0
        positions.balances[fund, terms.margin] += claim
        return
    against = contracts * np.sign(positions.balances[fund, terms.contract]) < 0
    take_lots(positions, terms, account, -contracts, claim)
    take_lots(positions, terms, fund, contracts, -claim)
    if against:
        work.progress[HELD_CLAIM] += claim
        _take_up_held(desk, work.progress)
    else:
        _set_in_hand(work.progress, contracts, claim)


@kernel()
def _is_unsafe(desk: Desk, maintenance: Brackets, account: int) -> bool:
    terms = desk.terms
    contracts = desk.positions.balances[account, terms.contract]
    value = value_atoms(terms, contracts, terms.mark_ticks)
    needed = requirement_atoms(maintenance, abs(value))
    return equity_atoms(desk.positions, terms, account) < needed


@kernel()
def _begin_step(desk: Desk, work: Liquidation) -> None:
    """Cancel the orders of all unsafe accounts, and take up what the fund still holds."""
    for account in work.unsafe:
        drop_orders(desk, account)
    work.progress[STARTED] = 1
    _take_up_held(desk, work.progress)


@kernel()
def run_waterfall(desk: Desk, work: Liquidation, longs: Integers, shorts: Integers) -> int:
    """Liquidate until all is done or a ranking is needed; call again to go on."""
    progress = work.progress
    if progress[STARTED] == 0:
        _begin_step(desk, work)
    while True:
        if progress[SIZE] == 0:
            if progress[NEXT] == len(work.unsafe):
                return _DONE
            account = work.unsafe[progress[NEXT]]
            progress[NEXT] += 1
            if _is_unsafe(desk, work.maintenance, account):
                _take_over(desk, work, account)
            continue
        _close_in_book(desk, progress)
        if progress[CLOSED] < progress[SIZE]:
            if progress[SIDE] > 0:
                if progress[RANKED_SHORTS] == 0:
                    return _RANK_SHORTS
                _deleverage(desk, progress, shorts, HEAD_SHORTS)
            else:
                if progress[RANKED_LONGS] == 0:
                    return _RANK_LONGS
                _deleverage(desk, progress, longs, HEAD_LONGS)
        _put_down(progress)
