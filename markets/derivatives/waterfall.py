"""The liquidation waterfall: own orders, backstop, order book, insurance fund, deleveraging (ADL).

An unsafe account's orders are cancelled. It may close a step by orders of its own (`forced_orders`)
or hand position and margin to the backstop; otherwise the fund takes its n lots and its claim m, so
the bankruptcy price b is where the lots are worth -m: -m/(c k), or K c/m inverse. With x of n
closed

    cash(x) = fund's claim - m + ceil(m x / n)

is what the fund would own if the rest went at b. Lots go into the book best first while cash stays
at 0 or above: better than b pays the fund, worse draws on it. What the book cannot take at that is
closed against opposite positions (`deleveraging`), or (social) sold at any price within the band
with the fund in debt. Where nobody is left, the fund keeps the lots with their part of m and tries
again in each later step. Of an account with other contracts m is its part of the equity, in
proportion to maintenance, less the position's value (dYdX): the margin ratio stays. Order: lowest
margin ratio first, then account; each side is ranked once a step. Sources: see `liquidation_rule`.
"""

import numpy as np

from markets.derivatives.brackets import Brackets, requirement_atoms
from markets.derivatives.deleveraging import (
    Queue,
    close_in_queue,
    close_pro_rata,
    set_extra,
)
from markets.derivatives.desk import Desk, drop_orders, trade_front
from markets.derivatives.forced_orders import close_by_orders, note, unwind_backstop
from markets.derivatives.liquidation_rule import ADL, FUND
from markets.derivatives.liquidation_work import (
    BY_BACKSTOP,
    BY_FUND,
    BY_HOLDING,
    CLAIM,
    CLOSED,
    EXTRA,
    HEAD_LONGS,
    HEAD_SHORTS,
    HELD_CLAIM,
    NEXT,
    PREMATURE,
    RANKED_LONGS,
    RANKED_SHORTS,
    SIDE,
    SIZE,
    STAGE,
    STARTED,
    SWEPT,
    Liquidation,
    Stop,
)
from markets.derivatives.order_admission import band_limit
from markets.derivatives.positions import (
    Integers,
    backing_atoms,
    cost_atoms,
    equity_atoms,
    equity_share,
    needed_atoms,
    own_needed_atoms,
    share_up,
    take_lots,
    value_atoms,
)
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.rounding import PPM
from markets.spot.book import NO_SLOT, front

_LIQUIDATION = int(Reason.LIQUIDATION)
_DONE = int(Stop.DONE)
_RANK_LONGS = int(Stop.RANK_LONGS)
_RANK_SHORTS = int(Stop.RANK_SHORTS)


@kernel(inline="always")
def _cash_after(desk: Desk, progress: Integers, price_ticks: int, lots: int) -> int:
    """The fund's cash when `lots` more have gone at a price; other positions' claims apart."""
    claim = backing_atoms(desk.positions, desk.terms, desk.terms.fund) - progress[HELD_CLAIM]
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
def _close_at_any_price(desk: Desk, progress: Integers, band_ppm: int) -> None:
    """Close lots within the band round the mark, whether or not the fund can pay."""
    side = progress[SIDE]
    limit_ticks = band_limit(desk.terms, -side, band_ppm)
    while progress[CLOSED] < progress[SIZE]:
        slot = front(desk.book, side)
        if slot == NO_SLOT or side * (desk.book.orders[slot].price_ticks - limit_ticks) < 0:
            return
        lots = progress[SIZE] - progress[CLOSED]
        progress[CLOSED] += trade_front(desk, desk.terms.fund, -side, lots, _LIQUIDATION)


@kernel()
def _set_in_hand(progress: Integers, signed_lots: int, claim_atoms: int) -> None:
    """Begin to close lots of the fund that came with a claim; a claim without lots is cash."""
    progress[SIDE] = 1 if signed_lots > 0 else -1
    progress[SIZE] = abs(signed_lots)
    progress[CLOSED] = 0
    progress[CLAIM] = claim_atoms
    progress[STAGE] = 0
    progress[EXTRA] = 0


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
def _go_on_with_held(desk: Desk, work: Liquidation) -> None:
    """Set in hand what the fund could not close before, and write it down as its own close-out."""
    terms, claim = desk.terms, work.progress[HELD_CLAIM]
    held = desk.positions.balances[terms.fund, terms.contract]
    if held != 0:
        equity = claim + value_atoms(terms, held, terms.mark_ticks)
        note(desk, work, (terms.fund, held, equity, BY_HOLDING, -claim, 0, held))
    _take_up_held(desk, work.progress)


@kernel()
def _carried_claim(desk: Desk, maintenance: Brackets, account: int) -> int:
    """The claim that goes with the position: all, or the position's part of the equity."""
    positions, terms = desk.positions, desk.terms
    if not terms.grouped:
        return positions.balances[account, terms.margin]
    contracts = positions.balances[account, terms.contract]
    own = own_needed_atoms(positions, terms, maintenance, account)
    equity = equity_atoms(positions, terms, account)
    share = equity_share(equity, own, own + positions.other_maintenance[account])
    return share - value_atoms(terms, contracts, terms.mark_ticks)


@kernel()
def _take_over(desk: Desk, work: Liquidation, account: int) -> None:
    """The fund takes position and claim; a position against one it still holds is netted first."""
    positions, terms, fund = desk.positions, desk.terms, desk.terms.fund
    contracts = positions.balances[account, terms.contract]
    claim = _carried_claim(desk, work.maintenance, account)
    equity = claim + value_atoms(terms, contracts, terms.mark_ticks)
    note(desk, work, (account, contracts, equity, BY_FUND, -claim, 0, contracts))
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
def _backstop_takes(desk: Desk, work: Liquidation, account: int) -> bool:
    """Hand position and claim to the backstop if that leaves it sound and within its limits."""
    positions, terms, rule = desk.positions, desk.terms, work.rule
    backstop = rule.backstop
    contracts = positions.balances[account, terms.contract]
    if backstop < 0 or account == backstop or contracts == 0:
        return False
    claim = _carried_claim(desk, work.maintenance, account)
    value = value_atoms(terms, contracts, terms.mark_ticks)
    held = positions.balances[backstop, terms.contract]
    own = equity_atoms(positions, terms, backstop)
    notional = abs(value_atoms(terms, held + contracts, terms.mark_ticks))
    if rule.backstop_most > 0 and notional > rule.backstop_most and held * contracts >= 0:
        return False
    if own < rule.backstop_floor:
        return False
    needed = requirement_atoms(work.maintenance, notional)
    if terms.grouped:
        needed += positions.other_maintenance[backstop]
    if own + claim + value < needed:
        return False
    take_lots(positions, terms, account, -contracts, claim)
    take_lots(positions, terms, backstop, contracts, -claim)
    note(desk, work, (account, contracts, claim + value, BY_BACKSTOP, -claim, 0, contracts))
    return True


@kernel()
def _is_unsafe(desk: Desk, maintenance: Brackets, account: int) -> bool:
    """Whether there is something to close; in a group, debts without position are the house's."""
    if desk.terms.grouped and desk.positions.balances[account, desk.terms.contract] == 0:
        return False
    needed = needed_atoms(desk.positions, desk.terms, maintenance, account)
    return equity_atoms(desk.positions, desk.terms, account) < needed


@kernel()
def _is_due(desk: Desk, work: Liquidation, account: int) -> bool:
    """Whether orders are no longer enough; a debt without position always is."""
    needed = needed_atoms(desk.positions, desk.terms, work.maintenance, account)
    equity = equity_atoms(desk.positions, desk.terms, account)
    held = desk.positions.balances[account, desk.terms.contract]
    return held == 0 or float(equity) * PPM < float(needed) * work.rule.takeover_ppm


@kernel()
def _turn(desk: Desk, work: Liquidation, account: int) -> None:
    """One unsafe account's turn, up to where its lots are in the fund's hands."""
    rule = work.rule
    due = account == rule.backstop or _is_due(desk, work, account)
    if rule.orders and account != rule.backstop and (rule.orders_when_due or not due):
        close_by_orders(desk, work, account)
        if not _is_unsafe(desk, work.maintenance, account):
            return
        due = due and _is_due(desk, work, account)
    if (due or not rule.orders) and not _backstop_takes(desk, work, account):
        _take_over(desk, work, account)


@kernel()
def _begin_step(desk: Desk, work: Liquidation) -> None:
    """Cancel the orders of all unsafe accounts; what backstop and fund hold goes first."""
    for account in work.unsafe:
        drop_orders(desk, account)
    work.progress[STARTED] = 1
    if work.rule.backstop >= 0:
        unwind_backstop(desk, work)
    _go_on_with_held(desk, work)


@kernel()
def _deleverage(desk: Desk, work: Liquidation, longs: Queue, shorts: Queue) -> int:
    """Close what is in hand with the winners; returns what must be ranked first."""
    progress = work.progress
    queue = shorts if progress[SIDE] > 0 else longs
    if progress[RANKED_SHORTS if progress[SIDE] > 0 else RANKED_LONGS] == 0:
        return _RANK_SHORTS if progress[SIDE] > 0 else _RANK_LONGS
    slot = front(desk.book, progress[SIDE])
    if work.rule.in_hand[0] == FUND and slot != NO_SLOT:
        payable = payable_lots(desk, progress, desk.book.orders[slot].price_ticks)
        if payable > 0:
            progress[PREMATURE] += 1
    if work.rule.adl_at_mark:
        set_extra(desk, progress, _cash_after(desk, progress, desk.terms.mark_ticks, 0))
    if work.rule.pro_rata:
        close_pro_rata(desk, progress, queue)
    else:
        close_in_queue(desk, progress, queue, HEAD_SHORTS if progress[SIDE] > 0 else HEAD_LONGS)
    return _DONE


@kernel()
def _pass_stages(desk: Desk, work: Liquidation, longs: Queue, shorts: Queue) -> int:
    """What the rule lists for lots in hand, one after the other; returns what must be ranked."""
    progress, rule = work.progress, work.rule
    while progress[STAGE] < len(rule.in_hand) and progress[CLOSED] < progress[SIZE]:
        stage = rule.in_hand[progress[STAGE]]
        if stage == FUND:
            _close_in_book(desk, progress)
        elif stage != ADL:
            _close_at_any_price(desk, progress, rule.band_ppm)
        elif not rule.pro_rata or progress[SWEPT] == 1:
            stop = _deleverage(desk, work, longs, shorts)
            if stop != _DONE:
                return stop
        progress[STAGE] += 1
    return _DONE


@kernel()
def run_waterfall(desk: Desk, work: Liquidation, longs: Queue, shorts: Queue) -> int:
    """Liquidate until all is done or a ranking is needed; call again to go on."""
    progress = work.progress
    if progress[STARTED] == 0:
        _begin_step(desk, work)
    while True:
        if progress[SIZE] > 0:
            stop = _pass_stages(desk, work, longs, shorts)
            if stop != _DONE:
                return stop
            _put_down(progress)
        elif progress[NEXT] < len(work.unsafe):
            account = work.unsafe[progress[NEXT]]
            progress[NEXT] += 1
            if _is_unsafe(desk, work.maintenance, account):
                _turn(desk, work, account)
        elif work.rule.pro_rata and progress[SWEPT] == 0:
            progress[SWEPT] = 1
            _go_on_with_held(desk, work)
        else:
            return _DONE
