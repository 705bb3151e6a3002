"""The liquidation waterfall: own orders, backstop, order book, insurance fund, deleveraging (ADL).

An unsafe account's orders are cancelled. It may close a step by orders of its own (`forced_orders`)
or hand position and margin to the backstop; otherwise the fund takes its n lots and its claim m, so
the bankruptcy price b is where the lots are worth -m: -m/(c k), or K c/m inverse. With x of n
closed

    cash(x) = fund's claim - m + ceil(m x / n)

is what the fund would own if the rest went at b. Lots go into the book best first while cash stays
at 0 or above: better than b pays the fund, worse draws on it. What the book cannot take at that is
closed against opposite positions (`deleveraging`), or (social) sold at any price within the band
with the fund in debt. Where nobody is left, or the fund has not fallen as far as ADL takes
(`drawdown`; the 0 above is then the level that starts it), the fund keeps the lots with their part
of m and tries again in each later step; or it rests them there at b, and spends only later
(`fund_order`). Order: lowest margin ratio first, then account; each side
is ranked once a step. What lots take along: `takeover`. Sources: `liquidation_presets`.
"""

import numpy as np

from markets.derivatives.backstop import ACCOUNT as BACKSTOP
from markets.derivatives.brackets import Brackets, bracket_of
from markets.derivatives.close_rule import ADL, FUND, LOWEST
from markets.derivatives.deleveraging import (
    Queue,
    close_in_queue,
    close_pro_rata,
    paid_atoms,
    set_extra,
)
from markets.derivatives.desk import Desk, drop_orders, trade_front
from markets.derivatives.forced_orders import close_by_orders, unwind_backstop
from markets.derivatives.fund_order import claim_left
from markets.derivatives.liquidation_work import (
    ADL_ON,
    ADL_TO,
    BY_FUND,
    BY_HOLDING,
    CLAIM,
    CLOSED,
    EXTRA,
    FLOOR,
    HEAD_LONGS,
    HEAD_SHORTS,
    HELD_CLAIM,
    IN_TIME,
    NEXT,
    PREMATURE,
    RANKED_LONGS,
    RANKED_SHORTS,
    SIDE,
    SIZE,
    STAGE,
    STARTED,
    STOP_ABOVE,
    SWEPT,
    WAITS,
    Liquidation,
    Stop,
)
from markets.derivatives.order_admission import band_limit
from markets.derivatives.positions import (
    Integers,
    backing_atoms,
    cost_atoms,
    equity_atoms,
    needed_atoms,
    share_up,
    take_lots,
    value_atoms,
)
from markets.derivatives.takeover import (
    carried_claim,
    hand_to_backstops,
    is_backstop,
    lots_due,
    note,
)
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.rounding import PPM, ppm_up
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
    """How many of the lots left the fund can close at a price and have its floor left.

    While there is time to wait, all or none: it spends nothing.
    """
    left, floor = progress[SIZE] - progress[CLOSED], progress[FLOOR]
    before = _cash_after(desk, progress, price_ticks, 0)
    after = _cash_after(desk, progress, price_ticks, left)
    if progress[WAITS] == 1 and progress[IN_TIME] == 1:
        return left if after >= before else 0
    if after >= min(before, floor):
        return left
    if before < floor:
        return 0
    lots = min(left, int(left * ((before - floor) / (before - after))))
    while lots < left and _cash_after(desk, progress, price_ticks, lots + 1) >= floor:
        lots += 1
    while lots > 0 and _cash_after(desk, progress, price_ticks, lots) < floor:
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
def _adl_is_on(desk: Desk, work: Liquidation) -> bool:
    """Whether ADL, once started by the fund's fall, still goes on; stops it where it does not."""
    progress = work.progress
    if progress[ADL_ON] == 1:
        equity = equity_atoms(desk.positions, desk.terms, desk.terms.fund)
        progress[ADL_ON] = 0 if equity > progress[STOP_ABOVE] else 1
    return progress[ADL_ON] == 1


@kernel()
def _may_wait(desk: Desk, work: Liquidation) -> bool:
    """Whether the fund rests what it takes, and is worth enough at the mark to go on with that."""
    if work.rule.rest_seconds == 0 or _adl_is_on(desk, work):
        return False
    equity = equity_atoms(desk.positions, desk.terms, desk.terms.fund)
    return equity > 0 and equity >= work.progress[FLOOR]


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
    """Set in hand what the fund could not close before, and write it down as its own close-out.

    Lots that rest in the book stay there.
    """
    if work.progress[IN_TIME] == 1 and _may_wait(desk, work):
        return
    terms, claim = desk.terms, work.progress[HELD_CLAIM]
    held = desk.positions.balances[terms.fund, terms.contract]
    if held != 0:
        equity = claim + value_atoms(terms, held, terms.mark_ticks)
        note(desk, work, (terms.fund, held, equity, BY_HOLDING, -claim, 0, held, terms.fund))
    _take_up_held(desk, work.progress)


@kernel()
def _take_over(desk: Desk, work: Liquidation, account: int, lots: int) -> None:
    """The fund takes lots and their claim; lots against those it still holds are netted first."""
    positions, terms, fund = desk.positions, desk.terms, desk.terms.fund
    contracts = lots if positions.balances[account, terms.contract] > 0 else -lots
    claim = carried_claim(desk, work.maintenance, account, lots)
    equity = claim + value_atoms(terms, contracts, terms.mark_ticks)
    note(desk, work, (account, contracts, equity, BY_FUND, -claim, 0, contracts, fund))
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
    """Whether there is something to close; in a group, debts without position are the house's."""
    if desk.terms.grouped and desk.positions.balances[account, desk.terms.contract] == 0:
        return False
    needed = needed_atoms(desk.positions, desk.terms, maintenance, account)
    return equity_atoms(desk.positions, desk.terms, account) < needed


@kernel()
def _is_due(desk: Desk, work: Liquidation, account: int) -> bool:
    """Whether orders are no longer enough; a debt without position always is.

    OKX: below the third bracket, or what the lowest would ask of the whole.
    """
    terms = desk.terms
    needed = needed_atoms(desk.positions, terms, work.maintenance, account)
    equity = equity_atoms(desk.positions, terms, account)
    held = desk.positions.balances[account, terms.contract]
    if held != 0 and work.rule.step == LOWEST:
        notional = abs(value_atoms(terms, held, terms.mark_ticks))
        lowest = ppm_up(notional, work.maintenance.rates_ppm[0])
        if terms.grouped:
            lowest += desk.positions.other_maintenance[account]
        return bracket_of(work.maintenance, notional) < 2 or equity < lowest
    return held == 0 or float(equity) * PPM < float(needed) * work.rule.takeover_ppm


@kernel()
def _turn(desk: Desk, work: Liquidation, account: int) -> None:
    """One unsafe account's turn, up to where its lots are in the fund's hands."""
    rule, terms = work.rule, desk.terms
    if is_backstop(work, account):
        _take_over(desk, work, account, abs(desk.positions.balances[account, terms.contract]))
        return
    due = _is_due(desk, work, account)
    if rule.orders and (rule.orders_when_due or not due):
        fills, held = desk.fill_count[0], desk.positions.balances[terms.fund, terms.contract]
        close_by_orders(desk, work, account)
        work.progress[HELD_CLAIM] = claim_left(desk, fills, held, work.progress[HELD_CLAIM])
        if not _is_unsafe(desk, work.maintenance, account):
            return
        due = due and _is_due(desk, work, account)
    if due or not rule.orders:
        needed = needed_atoms(desk.positions, terms, work.maintenance, account)
        lots = lots_due(desk, work, account, needed)
        taken = hand_to_backstops(desk, work, account, lots)
        if taken < lots or lots == 0:
            _take_over(desk, work, account, lots - taken)


@kernel()
def _begin_step(desk: Desk, work: Liquidation) -> None:
    """Cancel the orders of all unsafe accounts; what backstop and fund hold goes first."""
    for account in work.unsafe:
        drop_orders(desk, account)
    work.progress[STARTED] = 1
    fills, held = desk.fill_count[0], desk.positions.balances[desk.terms.fund, desk.terms.contract]
    for place in range(len(work.rule.backstops)):
        unwind_backstop(desk, work, work.rule.backstops[place, BACKSTOP])
    work.progress[HELD_CLAIM] = claim_left(desk, fills, held, work.progress[HELD_CLAIM])
    _go_on_with_held(desk, work)


@kernel()
def _may_deleverage(desk: Desk, work: Liquidation) -> bool:
    """Whether the rule lets ADL run; starts it where the fund has fallen far enough."""
    if work.rule.adl_trigger_ppm == 0:
        return True
    equity = equity_atoms(desk.positions, desk.terms, desk.terms.fund)
    if equity <= 0 or equity < work.progress[FLOOR]:
        work.progress[ADL_ON] = 1
    return _adl_is_on(desk, work)


@kernel()
def _equity_at(desk: Desk, progress: Integers, closed: int) -> int:
    """The fund's equity once lots in hand are closed up to a number."""
    terms = desk.terms
    held = desk.positions.balances[terms.fund, terms.contract]
    left = held - progress[SIDE] * (closed - progress[CLOSED])
    backing = backing_atoms(desk.positions, terms, terms.fund) - paid_atoms(progress, closed)
    return backing + value_atoms(terms, left, terms.mark_ticks)


@kernel()
def _last_lot(desk: Desk, work: Liquidation) -> int:
    """Lots in hand closed at which ADL may stop: all, or where the fund has recovered."""
    progress = work.progress
    low, high = progress[CLOSED], progress[SIZE]
    if work.rule.adl_trigger_ppm == 0:
        return high
    if _equity_at(desk, progress, high) <= progress[STOP_ABOVE]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if _equity_at(desk, progress, middle) > progress[STOP_ABOVE]:
            high = middle
        else:
            low = middle
    return high


@kernel()
def _deleverage(desk: Desk, work: Liquidation, longs: Queue, shorts: Queue) -> int:
    """Close what is in hand with the winners; returns what must be ranked first."""
    progress = work.progress
    queue = shorts if progress[SIDE] > 0 else longs
    if progress[RANKED_SHORTS if progress[SIDE] > 0 else RANKED_LONGS] == 0:
        return _RANK_SHORTS if progress[SIDE] > 0 else _RANK_LONGS
    slot = front(desk.book, progress[SIDE])
    always = work.rule.adl_trigger_ppm == 0
    if always and work.rule.in_hand[0] == FUND and slot != NO_SLOT:
        payable = payable_lots(desk, progress, desk.book.orders[slot].price_ticks)
        if payable > 0:
            progress[PREMATURE] += 1
    if work.rule.adl_mark_thirds > 0:
        cash = _cash_after(desk, progress, desk.terms.mark_ticks, 0)
        set_extra(desk, progress, cash, work.rule.adl_mark_thirds)
    progress[ADL_TO] = _last_lot(desk, work)
    if work.rule.pooled > 0:
        close_pro_rata(desk, progress, queue, work.rule.pooled)
    else:
        close_in_queue(desk, progress, queue, HEAD_SHORTS if progress[SIDE] > 0 else HEAD_LONGS)
    return _DONE


@kernel()
def _pass_stages(desk: Desk, work: Liquidation, longs: Queue, shorts: Queue) -> int:
    """What the rule lists for lots in hand, one after the other; returns what must be ranked."""
    progress, rule = work.progress, work.rule
    if progress[STAGE] == 0:
        progress[WAITS] = 1 if _may_wait(desk, work) else 0
    while progress[STAGE] < len(rule.in_hand) and progress[CLOSED] < progress[SIZE]:
        stage = rule.in_hand[progress[STAGE]]
        if stage == FUND:
            if not _adl_is_on(desk, work):
                _close_in_book(desk, progress)
        elif progress[WAITS] == 1:
            pass
        elif stage != ADL:
            _close_at_any_price(desk, progress, rule.band_ppm)
        elif (rule.pooled == 0 or progress[SWEPT] == 1) and _may_deleverage(desk, work):
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
            drop_orders(desk, account)
            if _is_unsafe(desk, work.maintenance, account):
                _turn(desk, work, account)
        elif work.rule.pooled > 0 and progress[SWEPT] == 0:
            progress[SWEPT] = 1
            _go_on_with_held(desk, work)
        else:
            return _DONE
