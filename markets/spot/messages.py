"""The loop over a batch: each message placed, cancelled or amended, then the stops it reached.

One call takes a batch of intents through book and ledger. It returns early where the fill buffer or
the book must grow before the next row, which Python does, and where trading has stopped itself.
Codes of orders are those of `markets.spot.matching`; a stop WAITS, whatever becomes of it later.

Amending sets what remains of an order and its limit. Where only the size changes, and falls, the
order shrinks in its place (an iceberg's hidden lots first) and what was held is returned to the
atom. Anything else is a new order with the old one's display and expiry: it is checked first, as
if the old were gone, and refused without a trace, or takes its place at the end of the queue.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.intents import AMEND, CANCEL, CANCEL_ALL, PLACE
from markets.kernel import kernel
from markets.outcomes import Code
from markets.spot.book import (
    COUNT,
    MAX_PRICE_TICKS,
    NO_PRICE,
    USED,
    BookArrays,
    find,
)
from markets.spot.desk import Batch, Terms, batch_at, book_at, stops_at, terms_at
from markets.spot.entry import entry_of, is_covered, is_well_formed, refusal
from markets.spot.lookahead import look_ahead
from markets.spot.matching import beyond_call, has_room, place
from markets.spot.settlement import (
    CALL_ONLY,
    EXPIRES,
    FIRST_EXPIRY,
    ICEBERG,
    INTERRUPTED,
    NEEDED_TICKS,
    STEP,
    Entry,
    Phase,
    held_atoms,
    hidden_lots,
    shrink,
    withdraw,
)
from markets.spot.stops import STOP_BIT, cancel_stop, drop, let_in, wait

NEVER = 2**62
_CONTINUOUS, _CALL, _OUTAGE = int(Phase.CONTINUOUS), int(Phase.CALL), int(Phase.OUTAGE)
_PENDING, _RESTING, _CANCELLED = int(Code.PENDING), int(Code.RESTING), int(Code.CANCELLED)
_INVALID, _UNKNOWN_ORDER = int(Code.INVALID), int(Code.UNKNOWN_ORDER)
_INSUFFICIENT_BALANCE, _HALTED = int(Code.INSUFFICIENT_BALANCE), int(Code.HALTED)
_OUTSIDE_BAND, _TOO_MANY_ORDERS = int(Code.OUTSIDE_BAND), int(Code.TOO_MANY_ORDERS)


@kernel()
def _is_covered_without(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, entry: Entry, slot: int
) -> bool:
    """Whether an order would be covered once the order in the slot had left."""
    order = book.orders[slot]
    freed_atoms = held_atoms(terms, order, order.remaining_lots + hidden_lots(book, slot))
    column = terms.quote_column if order.side > 0 else terms.base_column
    balances[entry.account, column] += freed_atoms
    covered = is_covered(balances, terms, entry, True)
    balances[entry.account, column] -= freed_atoms
    return covered


@kernel()
def _amend(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, intent: Any
) -> int:
    """Change a resting order."""
    slot = find(book, intent.order)
    if slot <= 0 or book.orders[slot].account != intent.account:
        return _UNKNOWN_ORDER
    order = book.orders[slot]
    left_lots = order.remaining_lots + hidden_lots(book, slot)
    limit_ticks = intent.limit if intent.limit != 0 else order.price_ticks
    same_price = limit_ticks == order.price_ticks
    if intent.size > 0 and intent.flags == 0 and same_price and intent.size <= left_lots:
        shrink(book, balances, terms, batch, (slot, left_lots - intent.size))
        return _RESTING
    return _replace(book, balances, terms, batch, (intent, slot, limit_ticks))


@kernel()
def _replace(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, change: tuple
) -> int:
    """Put a new order in the place of the one in the slot."""
    intent, slot, limit_ticks = change
    order, clause = book.orders[slot], book.clauses[slot]
    own = entry_of(terms, batch, intent)
    entry = Entry(
        intent.account,
        int(order.side),
        intent.size,
        limit_ticks,
        0,
        clause.display_lots if order.flags & ICEBERG else 0,
        clause.expiry_step if order.flags & EXPIRES else 0,
        own.maker_fee_ppm,
        own.taker_fee_ppm,
    )
    if (
        intent.flags != 0
        or order.flags & CALL_ONLY
        or not is_well_formed(terms, entry, batch.tally[STEP])
    ):
        return _INVALID
    if terms.phase != _CONTINUOUS and terms.phase != _CALL:
        return _HALTED
    code = refusal(book, terms, batch.tally, entry)
    if code < 0 and code != _TOO_MANY_ORDERS:
        return code
    if terms.phase == _CALL and beyond_call(terms, entry):
        return _OUTSIDE_BAND
    if not has_room(book, terms, batch, entry.size_lots, limit_ticks):
        return _PENDING
    if not _is_covered_without(book, balances, terms, entry, slot):
        return _INSUFFICIENT_BALANCE
    withdraw(book, balances, terms, batch, slot)
    code = place(book, balances, terms, batch, entry)
    return code if code > 0 else _CANCELLED


@kernel(forceinline=True)
def _cancel(
    book: BookArrays,
    balances: NDArray[np.int64],
    terms: Terms,
    batch: Batch,
    stops: BookArrays,
    intent: Any,
) -> int:
    """Cancel one order by its id."""
    slot = find(book, intent.order)
    if slot > 0 and book.orders[slot].account == intent.account:
        withdraw(book, balances, terms, batch, slot)
        return _CANCELLED
    if intent.order & STOP_BIT and stops.state[COUNT] > 0:
        return cancel_stop(stops, batch.tally, intent)
    return _UNKNOWN_ORDER


@kernel()
def _cancel_all(
    book: BookArrays,
    balances: NDArray[np.int64],
    terms: Terms,
    batch: Batch,
    stops: BookArrays,
    intent: Any,
) -> int:
    """Cancel everything of an account."""
    account = intent.account
    while book.heads[account] > 0:
        withdraw(book, balances, terms, batch, book.heads[account])
    while stops.heads[account] > 0:
        drop(stops, batch.tally, stops.heads[account])
    return _CANCELLED


@kernel(forceinline=True)
def _one(
    book: BookArrays,
    balances: NDArray[np.int64],
    terms: Terms,
    batch: Batch,
    stops: BookArrays,
    intent: Any,
) -> int:
    """Carry out one message; PENDING asks for more room, and nothing has moved."""
    account, action = intent.account, intent.action
    if account <= 0 or account >= book.heads.size or book.heads[account] < 0:
        return _INVALID
    if action == PLACE:
        entry = entry_of(terms, batch, intent)
        if intent.trigger_ticks != 0:
            return wait(stops, terms, batch, entry, intent.trigger_ticks)
        return place(book, balances, terms, batch, entry)
    if action == CANCEL:
        return _cancel(book, balances, terms, batch, stops, intent)
    if action == CANCEL_ALL:
        return _cancel_all(book, balances, terms, batch, stops, intent)
    if action == AMEND:
        return _amend(book, balances, terms, batch, intent)
    return _INVALID


@kernel()
def execute_batch(
    desk: int, intents: NDArray[np.void], codes: NDArray[np.int64], first: int
) -> int:
    """Carry out rows from `first` on; returns the number of rows done.

    Fewer than all, or the tally's NEEDED_TICKS not NO_PRICE: more room is needed, in the buffer of
    fills or in a book for that price; or trading has stopped itself, which the tally says.
    """
    book, stops, batch, terms = book_at(desk), stops_at(desk), batch_at(desk), terms_at(desk)
    balances = batch.balances
    batch.tally[NEEDED_TICKS] = NO_PRICE
    for row in range(first, intents.size):
        if stops.state[COUNT] > 0 and not let_in(book, balances, terms, batch, stops):
            return row
        if batch.tally[INTERRUPTED] != 0:
            return row
        look_ahead(book, balances, intents, row)
        code = _one(book, balances, terms, batch, stops, intents[row])
        if code == _PENDING:
            return row
        codes[row] = code
    if stops.state[COUNT] > 0:
        let_in(book, balances, terms, batch, stops)
    return intents.size


class Message(NamedTuple):
    """An intent without a row: the columns of INTENT that an order book reads."""

    action: int
    account: int
    side: int
    size: int
    limit: int
    order: int
    flags: int
    trigger_ticks: int
    display_lots: int
    expiry_step: int


@kernel()
def execute_one(
    desk: int, action: int, account: int, side_or_order: int, size_lots: int, limit_and_flags: int
) -> int:
    """Carry out one plain message; PENDING where it needs the loop above, and nothing has moved.

    `side_or_order` is the side of an order, or the id for a cancel; `limit_and_flags` holds the
    limit above the lowest eight bits.
    """
    book, stops, batch, terms = book_at(desk), stops_at(desk), batch_at(desk), terms_at(desk)
    tally = batch.tally
    if terms.phase == _OUTAGE or tally[INTERRUPTED] != 0 or stops.state[COUNT] > 0:
        return _PENDING
    if terms.guard_high_ticks < MAX_PRICE_TICKS:
        return _PENDING
    limit_ticks, flags = limit_and_flags >> 8, limit_and_flags & 255
    order = side_or_order if action == CANCEL else 0
    message = Message(action, account, side_or_order, size_lots, limit_ticks, order, flags, 0, 0, 0)
    return _one(book, batch.balances, terms, batch, stops, message)


@kernel()
def expire(desk: int, step: int) -> None:
    """Cancel all that was good till a step before this one; O(slots), so only when one is due."""
    book, stops, batch, terms = book_at(desk), stops_at(desk), batch_at(desk), terms_at(desk)
    balances = batch.balances
    soonest = NEVER
    for slot in range(1, book.state[USED]):
        order = book.orders[slot]
        if order.side != 0 and order.flags & EXPIRES:
            expiry_step = book.clauses[slot].expiry_step
            if expiry_step < step:
                withdraw(book, balances, terms, batch, slot)
            else:
                soonest = min(soonest, expiry_step)
    for slot in range(1, stops.state[USED]):
        expiry_step = stops.clauses[slot].expiry_step
        if stops.orders[slot].side != 0 and expiry_step > 0:
            if expiry_step < step:
                drop(stops, batch.tally, slot)
            else:
                soonest = min(soonest, expiry_step)
    batch.tally[FIRST_EXPIRY] = soonest
