"""Auto-deleveraging: closing what nobody buys against opposite positions.

In a queue, whole positions in ranking order; or pro rata, everybody, or the largest that suffice, a
part of his position, once a step for all that is left. The price is the loser's bankruptcy price b,
at which his claim m pays for n lots; or nearer to the mark by a difference e which the fund pays,
as far as it has cash (or gains: FTX, OKX, Hyperliquid):

    paid for x of n lots = ceil(m x / n) + ceil(e x / n'),    e <= fund's cash, n' lots left in ADL

so the fund is never below zero for it, and what the fund cannot pay the winners forgo. Parts of
running totals add up; the odd atom is the fund's. A winner whom the close would ruin is passed over
(dYdX), and after `MOST_PASSES` of them left out for the step, which bounds the work by the length
of the queue and not by its square. A queue row is account, next row, times passed over; pro rata,
account, lots held, lots to close.
Sources: BitMEX, Binance, OKX, Hyperliquid ADL pages; Chitra, arXiv 2512.01112 v3 (pro rata).
"""

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.adl import pro_rata_lots
from markets.derivatives.contract import INVERSE
from markets.derivatives.desk import Desk, drop_uncovered, record_fill
from markets.derivatives.liquidation_work import (
    ADL_TO,
    CLAIM,
    CLOSED,
    EXTRA,
    EXTRA_FROM,
    MOST_PASSES,
    SIDE,
    SIZE,
)
from markets.derivatives.positions import (
    Integers,
    Terms,
    backing_atoms,
    cost_atoms,
    share_up,
    take_lots,
)
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.spot.book import MAX_PRICE_TICKS

_ADL = int(Reason.ADL)
NOBODY = -1

Queue = NDArray[np.int64]
_WHO, _NEXT, _PASSED = range(3)
_SIZE, _PART = _NEXT, _PASSED


def queue_of(accounts: Integers) -> Queue:
    """Accounts in ranking order as rows of account, next row, times passed over."""
    queue = np.zeros((len(accounts), 3), np.int64)
    queue[:, _WHO] = accounts
    queue[:, _NEXT] = np.arange(1, len(accounts) + 1)
    queue[-1:, _NEXT] = NOBODY
    return queue


@kernel()
def set_extra(desk: Desk, progress: Integers, cash_atoms: int, mark_thirds: int) -> None:
    """What the fund adds for a price nearer to the mark by thirds, with so much cash."""
    left = progress[SIZE] - progress[CLOSED]
    at_mark = cost_atoms(desk.terms, -progress[SIDE] * left, desk.terms.mark_ticks)
    at_bankruptcy = progress[CLAIM] - share_up(progress[CLAIM], progress[CLOSED], progress[SIZE])
    wanted = (at_mark - at_bankruptcy) * mark_thirds // 3
    progress[EXTRA] = min(wanted, max(cash_atoms, 0))
    progress[EXTRA_FROM] = progress[CLOSED]


@kernel()
def _extra_of(progress: Integers, closed: int) -> int:
    """The fund's addition for the lots closed so far in ADL."""
    return share_up(
        progress[EXTRA], closed - progress[EXTRA_FROM], progress[SIZE] - progress[EXTRA_FROM]
    )


@kernel()
def paid_atoms(progress: Integers, after: int) -> int:
    """What counterparties get for the lots from those closed so far up to `after`."""
    before = progress[CLOSED]
    paid = share_up(progress[CLAIM], after, progress[SIZE])
    paid -= share_up(progress[CLAIM], before, progress[SIZE])
    if progress[EXTRA] != 0:
        paid += _extra_of(progress, after) - _extra_of(progress, before)
    return paid


@kernel()
def _stays_solvent(desk: Desk, progress: Integers, account: int) -> bool:
    """Whether an opposite position, closed whole at the price, leaves no debt."""
    lots = abs(desk.positions.balances[account, desk.terms.contract])
    proceeds = -share_up(-progress[CLAIM], lots, progress[SIZE])
    if progress[EXTRA] != 0:
        proceeds -= share_up(-progress[EXTRA], lots, progress[SIZE] - progress[EXTRA_FROM])
    return backing_atoms(desk.positions, desk.terms, account) + proceeds >= 1


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
    """Close lots of the fund with a counterparty at the price."""
    terms, side = desk.terms, progress[SIDE]
    after = progress[CLOSED] + lots
    paid = paid_atoms(progress, after)
    take_lots(desk.positions, terms, terms.fund, -side * lots, paid)
    take_lots(desk.positions, terms, account, side * lots, -paid)
    quote_atoms = side * paid if terms.form == INVERSE else -side * paid
    price_ticks = _price_of(terms, lots, quote_atoms)
    record_fill(desk, terms.fund, account, (0, -side, price_ticks, lots, quote_atoms, 0, 0, _ADL))
    progress[CLOSED] = after
    drop_uncovered(desk, account, side)


@kernel()
def _opposite(desk: Desk, progress: Integers, account: int) -> int:
    """Lots of the account against those in hand."""
    return -progress[SIDE] * desk.positions.balances[account, desk.terms.contract]


@kernel()
def close_in_queue(desk: Desk, progress: Integers, queue: Queue, head: int) -> None:
    """Close what is left in order; rows that are done with are cut out for the step."""
    if len(queue) == 0:
        return
    before, place = NOBODY, progress[head]
    while place != NOBODY and progress[CLOSED] < progress[ADL_TO]:
        account, after = queue[place, _WHO], queue[place, _NEXT]
        opposite = _opposite(desk, progress, account)
        if opposite > 0:
            if _stays_solvent(desk, progress, account):
                lots = min(progress[ADL_TO] - progress[CLOSED], opposite)
                _close_against(desk, progress, account, lots)
                opposite -= lots
            else:
                queue[place, _PASSED] += 1
        if opposite > 0 and queue[place, _PASSED] < MOST_PASSES:
            before = place
        elif before == NOBODY:
            progress[head] = after
        else:
            queue[before, _NEXT] = after
        place = after


@kernel()
def close_pro_rata(desk: Desk, progress: Integers, queue: Queue, least: int) -> None:
    """Close what is left in proportion with those whom it leaves solvent.

    These are the first `least` in the queue, and as many more as it takes to close everything.
    """
    total, sharing = 0, 0
    for place in range(len(queue)):
        opposite = _opposite(desk, progress, queue[place, _WHO])
        queue[place, _SIZE] = 0
        if sharing >= least and total >= progress[ADL_TO] - progress[CLOSED]:
            continue
        if opposite > 0 and _stays_solvent(desk, progress, queue[place, _WHO]):
            total += opposite
            sharing += 1
            queue[place, _SIZE] = opposite
    pro_rata_lots(queue[:, _SIZE], progress[ADL_TO] - progress[CLOSED], queue[:, _PART])
    for place in range(len(queue)):
        if queue[place, _PART] > 0:
            _close_against(desk, progress, queue[place, _WHO], queue[place, _PART])
