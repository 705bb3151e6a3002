"""Stop orders: they wait beside the book until a trade reaches their trigger, then enter it.

A buyer's stop is reached by a last price at or above its trigger, a seller's by one at or below it.
After each message the stops that the last price has reached enter one by one, buyers' first, each
side the nearest trigger first, of one trigger the oldest; each may move the last price and reach
more. A stop is not covered while it waits: when it enters it is checked like any order and may be
refused then. Before the first trade none is reached.

They wait in a book of their own, keyed by trigger and with sides exchanged, so that its best price
is always the next to be reached. Ids have `STOP_BIT` set. `venue_atoms` is the limit in ticks and
`flags` those of the intent.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.intents import FILL_OR_KILL, IMMEDIATE_OR_CANCEL, MARKET, POST_ONLY
from markets.kernel import kernel
from markets.outcomes import Code
from markets.spot.book import (
    BEST_ASK,
    BEST_BID,
    MAX_PRICE_TICKS,
    NO_SLOT,
    SLOT_OF_ID,
    BookArrays,
    find,
    fits,
    front,
    insert,
    unlink,
)
from markets.spot.desk import Batch, Terms
from markets.spot.entry import changed, entry_for, is_well_formed
from markets.spot.matching import has_room, place_seldom
from markets.spot.settlement import (
    EXPIRING,
    FIRST_EXPIRY,
    INTERRUPTED,
    LAST_TICKS,
    NEEDED_TICKS,
    STEP,
    Entry,
    Phase,
)

STOP_BIT = 2**31
_CONTINUOUS, _HALT = int(Phase.CONTINUOUS), int(Phase.HALTED)
_INVALID, _WAITING, _PENDING = int(Code.INVALID), int(Code.WAITING), int(Code.PENDING)
_CANCELLED, _UNKNOWN_ORDER = int(Code.CANCELLED), int(Code.UNKNOWN_ORDER)
_HALTED = int(Code.HALTED)


@kernel(forceinline=True)
def _once_in(entry: Entry) -> Entry:
    """The order that a stop becomes: what may not rest does not expire either."""
    may_rest = not entry.flags & (IMMEDIATE_OR_CANCEL | FILL_OR_KILL | MARKET)
    return changed(entry, entry.limit_ticks, entry.expiry_step if may_rest else 0)


@kernel()
def wait(stops: BookArrays, terms: Terms, batch: Batch, entry: Entry, trigger_ticks: int) -> int:
    """Take in a stop order."""
    step, expiry_step = batch.tally[STEP], entry.expiry_step
    if entry.flags & POST_ONLY or expiry_step < 0 or 0 < expiry_step < step:
        return _INVALID
    if not is_well_formed(terms, _once_in(entry), step):
        return _INVALID
    if trigger_ticks <= 0 or trigger_ticks > MAX_PRICE_TICKS:
        return _INVALID
    if terms.phase == _HALT:
        return _HALTED
    if not fits(stops, trigger_ticks):
        batch.tally[NEEDED_TICKS] = trigger_ticks
        return _PENDING
    order_id = insert(stops, entry.account, -entry.side, trigger_ticks, entry.size_lots)
    slot = order_id & SLOT_OF_ID
    order, clause = stops.orders[slot], stops.clauses[slot]
    order.venue_atoms, order.flags = entry.limit_ticks, entry.flags
    clause.display_lots, clause.expiry_step = entry.display_lots, entry.expiry_step
    if entry.expiry_step > 0:
        batch.tally[FIRST_EXPIRY] = min(batch.tally[FIRST_EXPIRY], entry.expiry_step)
        batch.tally[EXPIRING] += 1
    return _WAITING


@kernel()
def drop(stops: BookArrays, tally: NDArray[np.int64], slot: int) -> None:
    """A stop leaves."""
    if stops.clauses[slot].expiry_step > 0:
        tally[EXPIRING] -= 1
    unlink(stops, slot)


@kernel()
def cancel_stop(stops: BookArrays, tally: NDArray[np.int64], intent: Any) -> int:
    """Cancel a waiting stop by its id."""
    slot = find(stops, intent.order ^ STOP_BIT)
    if slot <= 0 or stops.orders[slot].account != intent.account:
        return _UNKNOWN_ORDER
    drop(stops, tally, slot)
    return _CANCELLED


@kernel()
def amend_stop(stops: BookArrays, terms: Terms, batch: Batch, intent: Any) -> int:
    """Put a new stop in the place of a waiting one; a limit or trigger of 0 stays as it is."""
    slot = find(stops, intent.order ^ STOP_BIT)
    if slot <= 0 or stops.orders[slot].account != intent.account:
        return _UNKNOWN_ORDER
    order, clause = stops.orders[slot], stops.clauses[slot]
    if intent.flags != 0 or (order.flags & MARKET and intent.limit != 0):
        return _INVALID
    limit_ticks = intent.limit if intent.limit != 0 else order.venue_atoms
    trigger_ticks = intent.trigger_ticks if intent.trigger_ticks != 0 else order.price_ticks
    new = (int(-order.side), intent.size, limit_ticks, int(order.flags))
    clauses = (clause.display_lots, clause.expiry_step)
    entry = entry_for(terms, batch, intent.account, new, clauses)
    code = wait(stops, terms, batch, entry, trigger_ticks)
    if code == _WAITING:
        drop(stops, batch.tally, slot)
    return code


@kernel()
def _reached(stops: BookArrays, last_ticks: int) -> int:
    """Slot of the next stop that the last price has reached, or NO_SLOT."""
    buy_ticks, sell_ticks = stops.state[BEST_ASK], stops.state[BEST_BID]
    if 0 <= buy_ticks <= last_ticks:
        return front(stops, -1)
    if sell_ticks >= last_ticks >= 0:
        return front(stops, 1)
    return NO_SLOT


@kernel()
def let_in(
    book: BookArrays,
    terms: Terms,
    batch: Batch,
    stops: BookArrays,
) -> bool:
    """Let every stop that is reached enter; False where the next needs more room first."""
    while terms.phase == _CONTINUOUS and batch.tally[INTERRUPTED] == 0:
        slot = _reached(stops, batch.tally[LAST_TICKS])
        if slot == NO_SLOT:
            break
        order, clause = stops.orders[slot], stops.clauses[slot]
        limit_ticks = 0 if order.flags & MARKET else order.venue_atoms
        if not has_room(book, terms, batch, order.size_lots, limit_ticks):
            return False
        waited = (int(-order.side), order.size_lots, limit_ticks, int(order.flags))
        clauses = (clause.display_lots, clause.expiry_step)
        entry = entry_for(terms, batch, int(order.account), waited, clauses)
        drop(stops, batch.tally, slot)
        place_seldom(book, terms, batch, _once_in(entry), terms.limited == 0)
    return True
