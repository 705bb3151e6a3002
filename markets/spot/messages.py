"""The loop over a batch: each message placed, cancelled or amended, then the stops it reached.

One call takes a batch of intents through book and ledger. It returns early where the fill buffer or
the book must grow before the next row, which Python does, and where trading has stopped itself.
Codes of orders are those of `markets.spot.matching`; a stop WAITS, whatever becomes of it later.

Amending sets what remains of an order and its limit. Where only the size changes, and falls, the
order shrinks in its place (an iceberg's hidden lots first) and what was held is returned to the
atom. Anything else is a new order with the old one's display and expiry: it is checked first, as
if the old were gone, and refused without a trace, also where it would meet an order of its own
before any other and give way; else it takes its place at the end of the queue. A stop that is
amended (its trigger as well) is a new one with the old one's flags, display and expiry.
"""

from collections.abc import Callable
from functools import cache
from inspect import signature as signature_of
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from markets.intents import AMEND, CANCEL, CANCEL_ALL, PLACE
from markets.kernel import kernel
from markets.outcomes import FILL, Code, Fills
from markets.spot.book import (
    COUNT,
    MAX_PRICE_TICKS,
    NO_PRICE,
    USED,
    Book,
    BookArrays,
    find,
)
from markets.spot.branches import unlikely
from markets.spot.desk import Batch, Terms, batch_at, book_at, matching_at, stops_at, terms_at
from markets.spot.entry import entry_for, entry_of, is_covered, is_well_formed, refusal
from markets.spot.lookahead import DEEP_ORDERS, look_ahead, look_far_ahead
from markets.spot.matching import beyond_call, has_room, meets_own_first, place, place_seldom
from markets.spot.settlement import (
    CALL_ONLY,
    EXPIRES,
    FIRST_EXPIRY,
    ICEBERG,
    INTERRUPTED,
    NEEDED_TICKS,
    NEVER,
    REFILLS,
    STEP,
    Entry,
    Phase,
    held_atoms,
    hidden_lots,
    shrink,
    withdraw,
)
from markets.spot.stops import STOP_BIT, amend_stop, cancel_stop, drop, let_in, wait

_CONTINUOUS, _CALL, _OUTAGE = int(Phase.CONTINUOUS), int(Phase.CALL), int(Phase.OUTAGE)
_PENDING, _RESTING, _CANCELLED = int(Code.PENDING), int(Code.RESTING), int(Code.CANCELLED)
_INVALID, _UNKNOWN_ORDER = int(Code.INVALID), int(Code.UNKNOWN_ORDER)
_INSUFFICIENT_BALANCE, _HALTED = int(Code.INSUFFICIENT_BALANCE), int(Code.HALTED)
_SELF_TRADE = int(Code.SELF_TRADE)
_OUTSIDE_BAND, _TOO_MANY_ORDERS = int(Code.OUTSIDE_BAND), int(Code.TOO_MANY_ORDERS)


@kernel()
def _is_covered_without(
    book: BookArrays, terms: Terms, batch: Batch, entry: Entry, slot: int
) -> bool:
    """Whether an order would be covered once the order in the slot had left."""
    if not terms.settles:
        return True
    order = book.orders[slot]
    freed_atoms = held_atoms(terms, order, order.remaining_lots + hidden_lots(book, slot))
    column = terms.quote_column if order.side > 0 else terms.base_column
    batch.balances[entry.account, column] += freed_atoms
    covered = is_covered(terms, batch, entry, True)
    batch.balances[entry.account, column] -= freed_atoms
    return covered


@kernel()
def _amend(book: BookArrays, terms: Terms, batch: Batch, intent: Any) -> int:
    """Change a resting order."""
    slot = find(book, intent.order)
    if slot <= 0 or book.orders[slot].account != intent.account:
        return _UNKNOWN_ORDER
    order = book.orders[slot]
    left_lots = order.remaining_lots + hidden_lots(book, slot)
    limit_ticks = intent.limit if intent.limit != 0 else order.price_ticks
    same_price = limit_ticks == order.price_ticks
    plain = intent.flags | intent.trigger_ticks == 0
    if intent.size > 0 and plain and same_price and intent.size <= left_lots:
        shrink(book, terms, batch, (slot, left_lots - intent.size))
        return _RESTING
    return _replace(book, terms, batch, (intent, slot, limit_ticks))


@kernel()
def _replace(book: BookArrays, terms: Terms, batch: Batch, change: tuple) -> int:
    """Put a new order in the place of the one in the slot."""
    intent, slot, limit_ticks = change
    order, clause = book.orders[slot], book.clauses[slot]
    display_lots = clause.display_lots if order.flags & ICEBERG else 0
    expiry_step = clause.expiry_step if order.flags & EXPIRES else 0
    new = (int(order.side), intent.size, limit_ticks, 0)
    entry = entry_for(terms, batch, intent.account, new, (display_lots, expiry_step))
    if (
        intent.flags | intent.trigger_ticks
        or order.flags & CALL_ONLY
        or not is_well_formed(terms, entry, batch.tally[STEP])
    ):
        return _INVALID
    if terms.phase != _CONTINUOUS and terms.phase != _CALL:
        return _HALTED
    code = refusal(book, terms, batch.tally, entry)
    admitted = code >= 0 or code == _TOO_MANY_ORDERS
    if not admitted:
        return code
    if terms.phase == _CALL and beyond_call(book, terms, entry):
        return _OUTSIDE_BAND
    if not has_room(book, terms, batch, entry.size_lots, limit_ticks):
        return _PENDING
    if not _is_covered_without(book, terms, batch, entry, slot):
        return _INSUFFICIENT_BALANCE
    if meets_own_first(book, terms, entry):
        return _SELF_TRADE
    withdraw(book, terms, batch, slot)
    return place_seldom(book, terms, batch, entry, admitted)


@kernel(forceinline=True)
def _cancel(
    book: BookArrays,
    terms: Terms,
    batch: Batch,
    stops: BookArrays,
    intent: Any,
) -> int:
    """Cancel one order by its id."""
    slot = find(book, intent.order)
    if slot > 0 and book.orders[slot].account == intent.account:
        withdraw(book, terms, batch, slot)
        return _CANCELLED
    if intent.order & STOP_BIT and stops.state[COUNT] > 0:
        return cancel_stop(stops, batch.tally, intent)
    return _UNKNOWN_ORDER


@kernel()
def _cancel_all(
    book: BookArrays,
    terms: Terms,
    batch: Batch,
    stops: BookArrays,
    intent: Any,
) -> int:
    """Cancel everything of an account."""
    account = intent.account
    while book.heads[account] > 0:
        withdraw(book, terms, batch, book.heads[account])
    while stops.heads[account] > 0:
        drop(stops, batch.tally, stops.heads[account])
    return _CANCELLED


@kernel(forceinline=True)
def _is_barred(book: BookArrays, account: int) -> bool:
    """Whether an account is none that may trade here."""
    heads = book.heads
    return account <= 0 or account >= heads.size or heads[np.uint64(account)] < 0


@kernel()
def _seldom(book: BookArrays, terms: Terms, batch: Batch, stops: BookArrays, intent: Any) -> int:
    """Carry out a message that is no plain order and no cancel."""
    action = intent.action
    if action == PLACE:
        entry = entry_of(terms, batch, intent)
        return wait(stops, terms, batch, entry, intent.trigger_ticks)
    if action == CANCEL_ALL:
        return _cancel_all(book, terms, batch, stops, intent)
    if action == AMEND and intent.order & STOP_BIT and stops.state[COUNT] > 0:
        return amend_stop(stops, terms, batch, intent)
    if action == AMEND:
        return _amend(book, terms, batch, intent)
    return _INVALID


@kernel(inline="always")
def _one(book: BookArrays, terms: Terms, batch: Batch, stops: BookArrays, intent: Any) -> int:
    """Carry out one message; PENDING asks for more room, and nothing has moved."""
    action = intent.action
    if unlikely(_is_barred(book, intent.account)):
        return _INVALID
    if unlikely((action != CANCEL) & ((action != PLACE) | (intent.trigger_ticks != 0))):
        return _seldom(book, terms, batch, stops, intent)
    if action == CANCEL:
        return _cancel(book, terms, batch, stops, intent)
    return place(book, terms, batch, entry_of(terms, batch, intent), terms.limited == 0)


@kernel(inline="always")
def _execute(desk: int, terms: Terms, rows: tuple, first: int) -> int:
    """The loop of both; see `execute_batch`."""
    book, stops, batch = book_at(desk), stops_at(desk), batch_at(desk)
    intents, codes = rows
    batch.tally[NEEDED_TICKS] = NO_PRICE
    deep = book.state[COUNT] > DEEP_ORDERS
    for row in range(first, intents.size):
        if unlikely(stops.state[COUNT] > 0) and not let_in(book, terms, batch, stops):
            return row
        if unlikely(batch.tally[INTERRUPTED] != 0):
            return row
        if deep:
            look_far_ahead(book, batch, intents, row)
        else:
            look_ahead(book, intents, row)
        code = _one(book, terms, batch, stops, intents[np.uint64(row)])
        if unlikely(code == _PENDING):
            return row
        codes[np.uint64(row)] = code
    if stops.state[COUNT] > 0:
        let_in(book, terms, batch, stops)
    return intents.size


@kernel()
def execute_batch(
    desk: int, intents: NDArray[np.void], codes: NDArray[np.int64], first: int
) -> int:
    """Carry out rows from `first` on; returns the number of rows done.

    Fewer than all, or the tally's NEEDED_TICKS not NO_PRICE: more room is needed, in the buffer of
    fills or in a book for that price (`make_room`); or trading has stopped itself, which the tally
    says.
    """
    return _execute(desk, terms_at(desk), (intents, codes), first)


@kernel()
def match_batch(desk: int, intents: NDArray[np.void], codes: NDArray[np.int64], first: int) -> int:
    """The same without money."""
    return _execute(desk, matching_at(desk), (intents, codes), first)


def make_room(books: tuple[Book, Book], tally: NDArray[np.int64], fills: Fills, rows: int) -> Fills:
    """Let book and stops grow to what the next of so many rows may need.

    Returns the buffer of fills, a new one where it is too small: keep what is in it before.
    """
    for book in books:
        book.ensure(min(rows, book.count + 1024) + 1, int(tally[NEEDED_TICKS]) + 1)
    most_fills = books[0].count + int(tally[REFILLS])
    return fills if len(fills) >= 2 * most_fills else np.empty(4 * most_fills, FILL)


class Message(NamedTuple):
    """An intent without a row: the columns of INTENT that an order book reads."""

    account: int
    side: int
    size: int
    limit: int
    order: int
    flags: int
    display_lots: int
    expiry_step: int


@kernel(forceinline=True)
def _is_plain(desk: int) -> bool:
    """Whether a message by itself needs nothing that only the loop above does."""
    stops, batch, terms = stops_at(desk), batch_at(desk), terms_at(desk)
    if terms.phase == _OUTAGE or terms.guard_high_ticks < MAX_PRICE_TICKS:
        return False
    return batch.tally[INTERRUPTED] == 0 and stops.state[COUNT] == 0


@kernel()
def place_one(
    desk: int, account: int, side: int, size_lots: int, limit_ticks: int, flags: int
) -> int:
    """Place one order; PENDING where it needs the loop above, and nothing has moved."""
    book, batch, terms = book_at(desk), batch_at(desk), terms_at(desk)
    if not _is_plain(desk):
        return _PENDING
    if _is_barred(book, account):
        return _INVALID
    message = Message(account, side, size_lots, limit_ticks, 0, flags, 0, 0)
    return place(book, terms, batch, entry_of(terms, batch, message), terms.limited == 0)


@kernel()
def cancel_one(desk: int, account: int, order: int) -> int:
    """Cancel one order; PENDING where it needs the loop above, and nothing has moved."""
    book, stops, batch, terms = book_at(desk), stops_at(desk), batch_at(desk), terms_at(desk)
    if not _is_plain(desk):
        return _PENDING
    if _is_barred(book, account):
        return _INVALID
    return _cancel(book, terms, batch, stops, Message(account, 0, 0, 0, order, 0, 0, 0))


@cache
def compiled(function: Any) -> Callable[..., int]:
    """The machine code of a kernel that takes integers only, to call without Numba's dispatcher.

    That looks at the type of each argument in each call, which costs more than the message.
    """
    signature = (types.int64,) * len(signature_of(function.py_func).parameters)
    function.compile(signature)
    code: Callable[..., int] = function.get_overload(signature)
    return code


@kernel()
def expire(desk: int, step: int) -> None:
    """Cancel all that was good till a step before this one; O(slots), so only when one is due."""
    book, stops, batch, terms = book_at(desk), stops_at(desk), batch_at(desk), terms_at(desk)
    soonest = NEVER
    for slot in range(1, book.state[USED]):
        order = book.orders[slot]
        if order.side != 0 and order.flags & EXPIRES:
            expiry_step = book.clauses[slot].expiry_step
            if expiry_step < step:
                withdraw(book, terms, batch, slot)
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
