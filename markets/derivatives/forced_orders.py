"""Forced orders: an unsafe account, or the backstop, trades in the book under its own name.

    lots     all; down to the floor of the bracket below; or a portion, at least and at most so much
    price    no worse than where the account is worth nothing,
             nor (dYdX) than mark*(1 - side*clamp(1 - E/MM, 0, 1)*1.5*MM/notional)

Lots are rounded up, so more is closed, never less. The fee on what traded goes to the fund, rounded
up, and is at most what the fills were better than bankruptcy (dYdX). All orders of a step share a
volume limit; an account waits out its cooldown. Orders are
immediate-or-cancel. Sources: Hyperliquid, dYdX v4-chain, FTX, BitMEX liquidation pages.
"""

import numpy as np

from markets.derivatives.brackets import bracket_floor
from markets.derivatives.desk import Desk, trade_front
from markets.derivatives.liquidation_rule import TIER, WHOLE, CloseRule
from markets.derivatives.liquidation_work import (
    ACCOUNT,
    ATOMS,
    BY,
    BY_ORDERS,
    BY_UNWINDING,
    EQUITY,
    FEE,
    FILLED,
    HELD,
    LOTS,
    VOLUME,
    WRITTEN,
    Liquidation,
)
from markets.derivatives.order_admission import band_limit, best_opposite_ticks, solvent_limit
from markets.derivatives.positions import (
    backing_atoms,
    equity_atoms,
    needed_atoms,
    share_up,
    value_atoms,
)
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.rounding import ppm_up
from markets.spot.book import NO_PRICE

_LIQUIDATION = int(Reason.LIQUIDATION)
_SPREAD_TO_MM = 1.5


@kernel()
def _sell(desk: Desk, account: int, lots: int, limit_ticks: int) -> tuple[int, int]:
    """Reduce a position in the book up to a limit; returns lots and what they cost, signed."""
    terms, balances = desk.terms, desk.positions.balances
    side = -1 if balances[account, terms.contract] > 0 else 1
    left, before = lots, balances[account, terms.margin]
    while left > 0:
        price_ticks = best_opposite_ticks(desk.book, side)
        if price_ticks == NO_PRICE or side * (limit_ticks - price_ticks) < 0:
            break
        left -= trade_front(desk, account, side, left, _LIQUIDATION)
    return lots - left, before - balances[account, terms.margin]


@kernel()
def _wanted_atoms(work: Liquidation, account: int, notional: int) -> int:
    """How much of the notional to close in this step."""
    rule: CloseRule = work.rule
    wanted = notional
    if rule.step == TIER:
        wanted = notional - bracket_floor(work.maintenance, notional)
    elif rule.step != WHOLE:
        again = rule.whole_after_cooldown and work.last_forced[account] > -np.inf
        if notional > rule.portion_above and not again:
            wanted = ppm_up(notional, rule.portion_ppm)
    wanted = min(max(wanted, rule.least), notional)
    return min(wanted, rule.most) if rule.most > 0 else wanted


@kernel()
def _worst_ticks(desk: Desk, work: Liquidation, account: int, side: int) -> int:
    """Worst price at which `side` may trade for the account."""
    worst_ticks = solvent_limit(desk, account, side, 0)
    if work.rule.fillable:
        equity = float(equity_atoms(desk.positions, desk.terms, account))
        needed = needed_atoms(desk.positions, desk.terms, work.maintenance, account)
        value = value_atoms(
            desk.terms, desk.positions.balances[account, desk.terms.contract], desk.terms.mark_ticks
        )
        rating = min(max(1.0 - equity / max(float(needed), 1.0), 0.0), 1.0)
        spread = rating * _SPREAD_TO_MM * needed / max(abs(float(value)), 1.0)
        fillable = desk.terms.mark_ticks * (1.0 + side * spread)
        if side > 0:
            worst_ticks = min(worst_ticks, int(np.floor(fillable)))
        else:
            worst_ticks = max(worst_ticks, int(np.ceil(fillable)))
    return worst_ticks


@kernel()
def note(desk: Desk, work: Liquidation, row: tuple[int, int, int, int, int, int, int]) -> None:
    """Write a close-out: account, lots, equity before, stage, atoms, fee, lots held before."""
    place = work.progress[WRITTEN]
    work.progress[WRITTEN] = place + 1
    account, lots, equity, stage, atoms, fee, held = row
    work.rows[place, ACCOUNT] = account
    work.rows[place, LOTS] = lots
    work.rows[place, EQUITY] = equity
    work.rows[place, BY] = stage
    work.rows[place, ATOMS] = atoms
    work.rows[place, FEE] = fee
    work.rows[place, HELD] = held
    work.rows[place, FILLED] = desk.fill_count[0]


@kernel()
def close_by_orders(desk: Desk, work: Liquidation, account: int) -> None:
    """One step of an unsafe account's own orders, if it is due for one."""
    terms, balances, rule = desk.terms, desk.positions.balances, work.rule
    contracts = balances[account, terms.contract]
    if contracts == 0 or work.seconds - work.last_forced[account] < rule.cooldown_seconds:
        return
    notional = abs(value_atoms(terms, contracts, terms.mark_ticks))
    wanted = _wanted_atoms(work, account, notional)
    if rule.volume > 0:
        wanted = min(wanted, rule.volume - work.progress[VOLUME])
    if wanted <= 0:
        return
    equity = equity_atoms(desk.positions, terms, account)
    backing = backing_atoms(desk.positions, terms, account)
    lots = min(abs(contracts), int(np.ceil(abs(contracts) * (wanted / max(notional, 1)))))
    side = -1 if contracts > 0 else 1
    limit_ticks = _worst_ticks(desk, work, account, side)
    closed, cost = _sell(desk, account, lots, limit_ticks)
    if closed == 0:
        return
    surplus = -share_up(-backing, closed, abs(contracts)) - cost
    fee = min(ppm_up(abs(cost), rule.fee_ppm), max(surplus, 0))
    balances[account, terms.margin] -= fee
    balances[terms.fund, terms.margin] += fee
    work.last_forced[account] = work.seconds
    work.progress[VOLUME] += abs(cost)
    note(desk, work, (account, -side * closed, equity, BY_ORDERS, -cost, fee, contracts))


@kernel()
def unwind_backstop(desk: Desk, work: Liquidation) -> None:
    """The backstop offers a part of its position to the book, within the band round the mark."""
    terms, account = desk.terms, work.rule.backstop
    contracts = desk.positions.balances[account, terms.contract]
    if contracts == 0:
        return
    side = -1 if contracts > 0 else 1
    lots = ppm_up(abs(contracts), work.rule.backstop_unwind_ppm)
    equity = equity_atoms(desk.positions, terms, account)
    limit_ticks = band_limit(terms, side, work.rule.band_ppm)
    closed, cost = _sell(desk, account, lots, limit_ticks)
    if closed > 0:
        note(desk, work, (account, -side * closed, equity, BY_UNWINDING, -cost, 0, contracts))
