"""Forced orders: an unsafe account, or a backstop, trades in the book under its own name.

    lots     all; down to the floor of the bracket below, or of the second one (OKX); or a portion,
             at least and at most so much, compounded where a step holds several orders
    price    no worse than where the account is worth nothing, or (dYdX) than the fillable price
             mark*(1 - side*clamp(a*(1 - E/MM), 0, 1)*s*mm/notional), and not farther through the
             book than the rule lets it go; E and MM of the account, mm of this position alone,
             a and s the bankruptcy adjustment (1) and the spread to maintenance (1.5)

Lots are rounded up, so more is closed, never less. The fee on what traded goes to the fund, rounded
up, and is at most what the fills were better than bankruptcy; where they were worse, which only the
fillable price allows, the fund pays the difference as far as it can (dYdX). All orders of a step
share a volume limit; an account waits out its cooldown. Orders are immediate-or-cancel or, counting
on no reduce-only order, fill-or-kill. Sources: Hyperliquid, dYdX v4-chain, FTX, BitMEX and OKX
liquidation pages.
"""

import numpy as np

from markets.derivatives.brackets import bracket_of
from markets.derivatives.close_rule import LOWEST, TIER, WHOLE, CloseRule
from markets.derivatives.desk import Desk, trade_front
from markets.derivatives.liquidation_work import (
    BY_ORDERS,
    BY_UNWINDING,
    FLOOR,
    VOLUME,
    Liquidation,
)
from markets.derivatives.order_admission import band_limit, best_opposite_ticks, solvent_limit
from markets.derivatives.positions import (
    cost_atoms,
    equity_atoms,
    needed_atoms,
    own_needed_atoms,
    share_up,
    value_atoms,
)
from markets.derivatives.takeover import carried_claim, note, own_cash
from markets.intents import REDUCE_ONLY
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.rounding import PPM, ppm_down, ppm_up
from markets.spot.book import NO_PRICE, next_ask_ticks, next_bid_ticks

_LIQUIDATION = int(Reason.LIQUIDATION)
_NOBODY = -1


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
def _surplus(before: tuple[int, int], lots: int, cost: int) -> int:
    """What lots sold at a cost leave beyond bankruptcy; before = (claim of all lots, all lots)."""
    return -share_up(-before[0], lots, before[1]) - cost


@kernel()
def _covered(
    desk: Desk,
    account: int,
    before: tuple[int, int],
    sale: tuple[int, int, int, int],
    cash: int,
) -> bool:
    """Whether cash covers what a sale lacks; sale = (lots closed, claim then, lots more, price)."""
    closed, claim, more, price_ticks = sale
    signed = -more if desk.positions.balances[account, desk.terms.contract] > 0 else more
    cost = claim - desk.positions.balances[account, desk.terms.margin]
    cost += cost_atoms(desk.terms, signed, price_ticks)
    return _surplus(before, closed + more, cost) >= -cash


@kernel()
def _sell_with_fund(
    desk: Desk, account: int, before: tuple[int, int], lots: int, limit_ticks: int, cash: int
) -> tuple[int, int]:
    """The same beyond bankruptcy, as far as the cash covers what is lacking."""
    terms, balances = desk.terms, desk.positions.balances
    side = -1 if balances[account, terms.contract] > 0 else 1
    claim, closed = balances[account, terms.margin], 0
    while closed < lots:
        price_ticks = best_opposite_ticks(desk.book, side)
        if price_ticks == NO_PRICE or side * (limit_ticks - price_ticks) < 0:
            break
        low, high = 0, lots - closed
        if _covered(desk, account, before, (closed, claim, high, price_ticks), cash):
            low = high
        while high - low > 1:
            some = (low + high) // 2
            if _covered(desk, account, before, (closed, claim, some, price_ticks), cash):
                low = some
            else:
                high = some
        if low == 0:
            break
        closed += trade_front(desk, account, side, low, _LIQUIDATION)
    return closed, claim - balances[account, terms.margin]


@kernel()
def _has_lots(desk: Desk, side: int, lots: int, limit_ticks: int) -> bool:
    """Whether the book holds so many lots for an order of `side`, reduce-only ones apart."""
    book = desk.book
    found, price_ticks = 0, best_opposite_ticks(book, side)
    while price_ticks != NO_PRICE and side * (limit_ticks - price_ticks) >= 0:
        slot = book.levels[0 if side < 0 else 1, price_ticks].first
        while slot > 0 and found < lots:
            if not book.orders[slot].flags & REDUCE_ONLY:
                found += book.orders[slot].remaining_lots
            slot = book.orders[slot].level_next
        if found >= lots:
            return True
        if side > 0:
            price_ticks = next_ask_ticks(book, price_ticks)
        else:
            price_ticks = next_bid_ticks(book, price_ticks)
    return False


@kernel()
def _wanted_atoms(work: Liquidation, account: int, notional: int) -> int:
    """How much of the notional to close in this step."""
    rule: CloseRule = work.rule
    if rule.step == TIER or rule.step == LOWEST:
        tier, floors = bracket_of(work.maintenance, notional), work.maintenance.floors_atoms
        if tier == 0 or (rule.step == LOWEST and tier == 1):
            return 0
        return notional - floors[1 if rule.step == LOWEST else tier]
    wanted = notional
    if rule.step != WHOLE:
        again = rule.whole_after_cooldown and work.last_forced[account] > -np.inf
        if notional > rule.portion_above and not again:
            kept = PPM
            for _ in range(rule.goes):
                kept = kept * (PPM - rule.portion_ppm) // PPM
            wanted = ppm_up(notional, PPM - kept)
    wanted = min(max(wanted, rule.least * rule.goes), notional)
    return min(wanted, rule.most * rule.goes) if rule.most > 0 else wanted


@kernel()
def fillable_price(
    mark: float, side: int, margins: tuple[float, float, float], rule: tuple[float, float]
) -> float:
    """Worst price at which dYdX's order of `side` closes a position.

    margins = (equity and maintenance of the account, maintenance rate of the position),
    rule = (bankruptcy adjustment, spread to maintenance).
    """
    equity, needed, rate = margins
    adjustment, spread_to_mm = rule
    rating = min(max(adjustment * (1.0 - equity / needed), 0.0), 1.0)
    return mark * (1.0 + side * (rating * spread_to_mm * rate))


@kernel()
def _fillable_ticks(desk: Desk, work: Liquidation, account: int, side: int) -> int:
    """dYdX's worst price of a liquidation order."""
    positions, terms, rule = desk.positions, desk.terms, work.rule
    equity = float(equity_atoms(positions, terms, account))
    needed = float(needed_atoms(positions, terms, work.maintenance, account))
    own = float(own_needed_atoms(positions, terms, work.maintenance, account))
    contracts = positions.balances[account, terms.contract]
    value = abs(float(value_atoms(terms, contracts, terms.mark_ticks)))
    adjusted = (rule.bankruptcy_adjustment, rule.spread_to_mm)
    margins = (equity, max(needed, 1.0), own / max(value, 1.0))
    fillable = fillable_price(float(terms.mark_ticks), side, margins, adjusted)
    return int(np.floor(fillable + 1e-9)) if side > 0 else int(np.ceil(fillable - 1e-9))


@kernel()
def _worst_ticks(desk: Desk, work: Liquidation, account: int, side: int) -> int:
    """Worst price at which `side` may trade for the account."""
    if work.rule.fillable:
        worst_ticks = _fillable_ticks(desk, work, account, side)
    else:
        worst_ticks = solvent_limit(desk, account, side, 0)
    best_ticks = best_opposite_ticks(desk.book, side)
    if work.rule.through_ppm > 0 and best_ticks != NO_PRICE:
        through_ticks = ppm_down(best_ticks, work.rule.through_ppm)
        if side > 0:
            worst_ticks = min(worst_ticks, best_ticks + through_ticks)
        else:
            worst_ticks = max(worst_ticks, best_ticks - through_ticks)
    return worst_ticks


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
    before = (carried_claim(desk, work.maintenance, account, abs(contracts)), abs(contracts))
    part = wanted / max(notional, 1)
    lots = min(abs(contracts), int(np.ceil(abs(contracts) * part - 1e-9)))
    side = -1 if contracts > 0 else 1
    limit_ticks = _worst_ticks(desk, work, account, side)
    if rule.fill_or_kill and not _has_lots(desk, side, lots, limit_ticks):
        return
    if rule.fillable:
        cash = max(own_cash(desk, work) - work.progress[FLOOR], 0)
        closed, cost = _sell_with_fund(desk, account, before, lots, limit_ticks, cash)
    else:
        closed, cost = _sell(desk, account, lots, limit_ticks)
    if closed == 0:
        return
    surplus = _surplus(before, closed, cost)
    fee = min(ppm_up(abs(cost), rule.fee_ppm), max(surplus, 0))
    if rule.fillable:
        fee += min(surplus, 0)
    balances[account, terms.margin] -= fee
    balances[terms.fund, terms.margin] += fee
    work.last_forced[account] = work.seconds
    work.progress[VOLUME] += abs(cost)
    note(desk, work, (account, -side * closed, equity, BY_ORDERS, -cost, fee, contracts, _NOBODY))


@kernel()
def unwind_backstop(desk: Desk, work: Liquidation, account: int) -> None:
    """A backstop offers a part of its position to the book, within the band round the mark."""
    terms = desk.terms
    contracts = desk.positions.balances[account, terms.contract]
    if contracts == 0:
        return
    side = -1 if contracts > 0 else 1
    lots = ppm_up(abs(contracts), work.rule.backstop_unwind_ppm)
    equity = equity_atoms(desk.positions, terms, account)
    limit_ticks = band_limit(terms, side, work.rule.band_ppm)
    closed, cost = _sell(desk, account, lots, limit_ticks)
    if closed > 0:
        row = (account, -side * closed, equity, BY_UNWINDING, -cost, 0, contracts, _NOBODY)
        note(desk, work, row)
