"""Settlement of a spot order book: escrow of resting orders, the money of fills, fees.

A resting ask holds its base in escrow, a resting bid its notional and the whole maker fee, to the
atom. With n a notional in quote atoms (price_ticks * size_lots * notional_atoms) and r a rate:

    taker pays  ceil(r n)  on the sum n of all fills of its message,
    maker pays  ceil(r n)  on the sum n of all fills of its order so far, less what it paid before;
                a rate below 0 is a rebate, so that the ceiling shortens it.

Both are sums rounded once, for the venue. Where no maker rate plus any taker rate is below 0, the
fee account can never be overdrawn. Rates are the account's own: an order keeps the maker rate with
which it came to rest. In a call auction nobody takes: both sides pay their maker rate on what they
trade, up but no more than is held for it, and no rebate.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.kernel import kernel
from markets.rounding import ppm_up
from markets.spot.book import (
    NO_PRICE,
    SLOT_OF_ID,
    BookArrays,
    insert,
    order_id,
    reduce,
    requeue,
    row_of,
    unlink,
)
from markets.spot.branches import unlikely
from markets.spot.desk import Batch, Terms

(
    FILLED_ROWS,
    HELD_QUOTE_ATOMS,
    VOLUME_LOTS,
    LAST_TICKS,
    TRADES,
    HIDDEN_ASK_LOTS,
    REFILLS,
    EXPIRING,
    CALL_ORDERS,
    INTERRUPTED,
    NEEDED_TICKS,
    NEWEST_ORDER,
    FIRST_EXPIRY,
    STEP,
) = range(14)
"""Places of the tally: fills in the buffer, quote held for bids; lots traded, last price, fills in
all; base lots held for what asks hide, times that icebergs can still show more, orders that expire,
orders only for the next call; whether trading stopped itself; the price that needs room in the
book, the id of the order that came to rest last, the first step after which one expires, and the
step it is."""

NEVER = 2**62

ICEBERG, EXPIRES, CALL_ONLY, AT_ANY_PRICE = 1, 2, 4, 8
CLAUSES = ICEBERG | EXPIRES | CALL_ONLY
RATE_SHIFT = 8
"""An order's `flags`: clauses, and whether it is a market order in a call, below; the maker rate in
ppm from this bit on."""


def blank_tally() -> NDArray[np.int64]:
    """The tally of a book in which nothing has happened."""
    tally = np.zeros(STEP + 1, np.int64)
    tally[[LAST_TICKS, NEEDED_TICKS]] = NO_PRICE
    tally[FIRST_EXPIRY] = NEVER
    return tally


class SelfTrade(IntEnum):
    """What happens when an order meets one of its own account."""

    CANCEL_NEWEST = 0
    CANCEL_OLDEST = 1
    ALLOW = 2
    CANCEL_BOTH = 3


class Phase(IntEnum):
    """How a venue trades; in a CALL orders gather, HALTED takes cancels, OUTAGE nothing."""

    CONTINUOUS = 0
    CALL = 1
    HALTED = 2
    OUTAGE = 3


class Entry(NamedTuple):
    """An order as it enters, its form checked, with the rates of its account."""

    account: int
    side: int
    size_lots: int
    limit_ticks: int
    flags: int
    display_lots: int
    expiry_step: int
    maker_fee_ppm: int
    taker_fee_ppm: int


class Sweep(NamedTuple):
    """An order that takes: up to a limit and a budget, and what its fills come to so far."""

    account: int
    side: int
    limit_ticks: int
    budget_atoms: int
    fee_ppm: int
    left_lots: int
    spent_atoms: int
    fee_atoms: int
    maker_fees_atoms: int
    held_fees_atoms: int


@kernel()
def _drop_clauses(book: BookArrays, tally: NDArray[np.int64], slot: int) -> int:
    """An order with clauses leaves: take it off the tally; returns its hidden lots."""
    order, clause = book.orders[slot], book.clauses[slot]
    if order.flags & EXPIRES:
        tally[EXPIRING] -= 1
    if order.flags & CALL_ONLY:
        tally[CALL_ORDERS] -= 1
    if not order.flags & ICEBERG:
        return 0
    hidden_lots = clause.hidden_lots
    if hidden_lots > 0:
        tally[REFILLS] -= (hidden_lots - 1) // clause.display_lots + 1
        if order.side < 0:
            tally[HIDDEN_ASK_LOTS] -= hidden_lots
    return hidden_lots


@kernel()
def hidden_lots(book: BookArrays, slot: int) -> int:
    """What an order has beyond the lots it shows."""
    return book.clauses[slot].hidden_lots if book.orders[slot].flags & ICEBERG else 0


@kernel()
def withdraw(book: BookArrays, terms: Terms, batch: Batch, slot: int) -> None:
    """Cancel a resting order and return what is still held for it."""
    order = book.orders[np.uint64(slot)]
    left_lots = order.remaining_lots
    if unlikely(order.flags & CLAUSES != 0):
        left_lots += _drop_clauses(book, batch.tally, slot)
    _give_back(terms, batch, order, held_atoms(terms, order, left_lots))
    unlink(book, slot)


@kernel(forceinline=True)
def lot_held_atoms(terms: Terms, side: int, price_ticks: int) -> int:
    """What a resting order holds for each lot, fees apart: base for an ask, quote for a bid."""
    ask = row_of(side)
    return (1 - ask) * price_ticks * terms.notional_atoms + ask * terms.lot_atoms


@kernel(forceinline=True)
def held_atoms(terms: Terms, order: Any, left_lots: int) -> int:
    """Base held for an ask; for a bid the notional of what is left and the fee not yet paid."""
    lot_atoms = lot_held_atoms(terms, order.side, order.price_ticks)
    atoms = left_lots * lot_atoms
    rate_ppm = order.flags >> RATE_SHIFT
    if rate_ppm > 0:
        fee_atoms = ppm_up(order.size_lots * lot_atoms, rate_ppm) - order.venue_atoms
        atoms += fee_atoms if order.side > 0 else 0
    return atoms


@kernel(forceinline=True)
def _give_back(terms: Terms, batch: Batch, order: Any, atoms: int) -> None:
    """Return part of what is held for an order."""
    if not terms.settles:
        return
    side, account = order.side, np.uint32(order.account)
    column = np.uint64(terms.quote_column if side > 0 else terms.base_column)
    batch.tally[HELD_QUOTE_ATOMS] -= atoms if side > 0 else 0
    batch.balances[np.uint64(terms.escrow_row), column] -= atoms
    batch.balances[account, column] += atoms


@kernel(forceinline=True)
def _hold(terms: Terms, batch: Batch, entry: Entry, size_lots: int) -> None:
    """Put into escrow what so many lots of an order need while they rest."""
    side = entry.side
    held_atoms = size_lots * lot_held_atoms(terms, side, entry.limit_ticks)
    if entry.maker_fee_ppm > 0:
        held_atoms += ppm_up(held_atoms, entry.maker_fee_ppm) if side > 0 else 0
    column = np.uint64(terms.quote_column if side > 0 else terms.base_column)
    batch.tally[HELD_QUOTE_ATOMS] += held_atoms if side > 0 else 0
    batch.balances[np.uint64(entry.account), column] -= held_atoms
    batch.balances[np.uint64(terms.escrow_row), column] += held_atoms


@kernel(forceinline=True)
def rest(
    book: BookArrays,
    terms: Terms,
    batch: Batch,
    entry: Entry,
    size_lots: int,
) -> None:
    """Put the last `size_lots` of an order into the book and what they need into escrow."""
    side, tally = entry.side, batch.tally
    if terms.settles:
        _hold(terms, batch, entry, size_lots)
    shown_lots = size_lots
    if entry.display_lots > 0:
        shown_lots = min(size_lots, entry.display_lots)
    order_id = insert(book, entry.account, side, entry.limit_ticks, shown_lots)
    tally[NEWEST_ORDER] = order_id
    slot = order_id & SLOT_OF_ID
    book.orders[slot].flags = entry.maker_fee_ppm << RATE_SHIFT
    if unlikely(entry.display_lots | entry.expiry_step != 0):
        _attach(book, tally, entry, slot, size_lots)


@kernel()
def _attach(
    book: BookArrays, tally: NDArray[np.int64], entry: Entry, slot: int, size_lots: int
) -> None:
    """Give a new order its clauses."""
    order, clause = book.orders[slot], book.clauses[slot]
    if entry.expiry_step > 0:
        order.flags |= EXPIRES
        clause.expiry_step = entry.expiry_step
        tally[FIRST_EXPIRY] = min(tally[FIRST_EXPIRY], entry.expiry_step)
        tally[EXPIRING] += 1
    if entry.display_lots > 0:
        hidden_lots = size_lots - order.remaining_lots
        order.flags |= ICEBERG
        order.size_lots = size_lots
        clause.display_lots, clause.hidden_lots = entry.display_lots, hidden_lots
        tally[REFILLS] += -(-hidden_lots // entry.display_lots)
        if order.side < 0:
            tally[HIDDEN_ASK_LOTS] += hidden_lots


@kernel()
def for_the_call_only(book: BookArrays, tally: NDArray[np.int64], at_any_price: bool) -> None:
    """Let the order that came to rest last leave after the next call."""
    order = book.orders[tally[NEWEST_ORDER] & SLOT_OF_ID]
    order.flags |= CALL_ONLY | (AT_ANY_PRICE if at_any_price else 0)
    tally[CALL_ORDERS] += 1


@kernel(forceinline=True)
def take_lots(book: BookArrays, tally: NDArray[np.int64], slot: int, size_lots: int) -> None:
    """Take shown lots off a resting order; an iceberg then shows more, behind the others."""
    order = book.orders[slot]
    if unlikely((order.flags & CLAUSES != 0) & (size_lots == order.remaining_lots)):
        if hidden_lots(book, slot) > 0:
            _show_more(book, tally, slot)
            return
        _drop_clauses(book, tally, slot)
    reduce(book, slot, size_lots)


@kernel()
def _show_more(book: BookArrays, tally: NDArray[np.int64], slot: int) -> None:
    order, clause = book.orders[slot], book.clauses[slot]
    shown_lots = min(clause.display_lots, clause.hidden_lots)
    clause.hidden_lots -= shown_lots
    tally[REFILLS] -= 1
    if order.side < 0:
        tally[HIDDEN_ASK_LOTS] -= shown_lots
    requeue(book, slot, shown_lots)


@kernel()
def _release(book: BookArrays, terms: Terms, batch: Batch, match: tuple) -> int:
    """Return what is held for some lots of an order as if it had been that much smaller.

    Returns how much of it is fee.
    """
    slot, size_lots = match
    order = book.orders[slot]
    freed_atoms = held_atoms(terms, order, size_lots)
    order.size_lots -= size_lots
    freed_atoms -= held_atoms(terms, order, 0)
    _give_back(terms, batch, order, freed_atoms)
    if order.side < 0:
        return 0
    return freed_atoms - size_lots * order.price_ticks * terms.notional_atoms


@kernel()
def shrink(book: BookArrays, terms: Terms, batch: Batch, match: tuple) -> None:
    """Make a resting order smaller by fewer lots than are left, hidden ones first, in its place."""
    slot, size_lots = match
    _release(book, terms, batch, match)
    order = book.orders[slot]
    if order.flags & ICEBERG:
        clause = book.clauses[slot]
        before = -(-clause.hidden_lots // clause.display_lots)
        hidden_lots = min(size_lots, clause.hidden_lots)
        clause.hidden_lots -= hidden_lots
        batch.tally[REFILLS] += -(-clause.hidden_lots // clause.display_lots) - before
        if order.side < 0:
            batch.tally[HIDDEN_ASK_LOTS] -= hidden_lots
        size_lots -= hidden_lots
    if size_lots > 0:
        reduce(book, slot, size_lots)


@kernel(forceinline=True)
def _pay_maker(book: BookArrays, terms: Terms, batch: Batch, slot: int, size_lots: int) -> int:
    """Settle the maker's half of a fill; returns its fee. Escrow is settled by the taker."""
    if not terms.settles:
        return 0
    order = book.orders[slot]
    account, side = np.uint32(order.account), order.side
    base, quote = np.uint64(terms.base_column), np.uint64(terms.quote_column)
    lot_cost_atoms = order.price_ticks * terms.notional_atoms
    fee_atoms = 0
    rate_ppm = order.flags >> RATE_SHIFT
    if rate_ppm != 0:
        filled_lots = order.size_lots - order.remaining_lots + size_lots
        if unlikely(order.flags & ICEBERG != 0):
            filled_lots -= book.clauses[slot].hidden_lots
        charged_atoms = ppm_up(filled_lots * lot_cost_atoms, rate_ppm)
        fee_atoms = charged_atoms - order.venue_atoms
        order.venue_atoms = charged_atoms
    base_atoms, quote_atoms = size_lots * terms.lot_atoms, size_lots * lot_cost_atoms - fee_atoms
    batch.balances[account, base if side > 0 else quote] += base_atoms if side > 0 else quote_atoms
    if fee_atoms < 0:
        batch.balances[account, quote] -= fee_atoms if side > 0 else 0
    return fee_atoms


@kernel(forceinline=True)
def fill(
    book: BookArrays,
    terms: Terms,
    batch: Batch,
    sweep: Sweep,
    match: tuple,
) -> Sweep:
    """Trade lots of a resting order at its price; returns the sweep with this fill added."""
    slot, lots = np.uint64(match[0]), match[1]
    order = book.orders[slot]
    price_ticks = order.price_ticks
    notional_atoms = lots * price_ticks * terms.notional_atoms
    spent_atoms = sweep.spent_atoms + notional_atoms
    taker_fee_atoms = ppm_up(spent_atoms, sweep.fee_ppm)
    maker_fee_atoms = _pay_maker(book, terms, batch, slot, lots)
    record(
        batch,
        (sweep.account, sweep.side, order.account, order_id(book, slot)),
        (price_ticks, lots, lots * terms.lot_atoms, notional_atoms),
        (taker_fee_atoms - sweep.fee_atoms, maker_fee_atoms),
    )
    take_lots(book, batch.tally, slot, lots)
    return Sweep(
        sweep.account,
        sweep.side,
        sweep.limit_ticks,
        sweep.budget_atoms,
        sweep.fee_ppm,
        sweep.left_lots - lots,
        spent_atoms,
        taker_fee_atoms,
        sweep.maker_fees_atoms + maker_fee_atoms,
        sweep.held_fees_atoms + max(maker_fee_atoms, 0),
    )


@kernel()
def record(batch: Batch, parties: tuple, trade: tuple, fees_atoms: tuple) -> None:
    """Append a fill: (taker, its side, maker, its order), (ticks, lots, base, quote), fees."""
    row = np.uint64(batch.tally[FILLED_ROWS])
    batch.tally[FILLED_ROWS] += 1
    batch.tally[TRADES] += 1
    batch.tally[LAST_TICKS] = trade[0]
    entry = batch.fills[row]
    entry.taker, entry.side, entry.maker, entry.maker_order = parties
    entry.price_ticks, entry.size_lots, entry.base_atoms, entry.quote_atoms = trade
    entry.taker_fee_atoms, entry.maker_fee_atoms = fees_atoms
    entry.reason = 0


@kernel(forceinline=True)
def post_taker(terms: Terms, batch: Batch, sweep: Sweep, taken_lots: int) -> None:
    """Settle the taker's half of all its fills, and the escrow and fee accounts."""
    batch.tally[VOLUME_LOTS] += taken_lots
    if not terms.settles:
        return
    base, quote = np.uint64(terms.base_column), np.uint64(terms.quote_column)
    account, escrow = np.uint64(sweep.account), np.uint64(terms.escrow_row)
    base_atoms, side = taken_lots * terms.lot_atoms, sweep.side
    quote_atoms = sweep.spent_atoms + sweep.held_fees_atoms
    batch.balances[escrow, base if side > 0 else quote] -= base_atoms if side > 0 else quote_atoms
    batch.tally[HELD_QUOTE_ATOMS] -= 0 if side > 0 else quote_atoms
    batch.balances[account, base] += side * base_atoms
    batch.balances[account, quote] -= side * sweep.spent_atoms + sweep.fee_atoms
    batch.balances[np.uint64(terms.fee_row), quote] += sweep.fee_atoms + sweep.maker_fees_atoms


@kernel()
def cross(book: BookArrays, terms: Terms, batch: Batch, match: tuple) -> None:
    """Trade lots of two resting orders, (bid, ask, ticks, lots), at a price within both limits."""
    bid, ask, price_ticks, lots = match
    bid_order, ask_order = book.orders[bid], book.orders[ask]
    buyer, seller = bid_order.account, ask_order.account
    order_id = ask + (int(ask_order.generation) << 32)
    held_fee_atoms = _release(book, terms, batch, (bid, lots))
    _release(book, terms, batch, (ask, lots))
    base_atoms, quote_atoms = lots * terms.lot_atoms, lots * price_ticks * terms.notional_atoms
    bid_rate_ppm = max(bid_order.flags >> RATE_SHIFT, 0)
    ask_rate_ppm = max(ask_order.flags >> RATE_SHIFT, 0)
    bid_fee_atoms = min(ppm_up(quote_atoms, bid_rate_ppm), held_fee_atoms)
    ask_fee_atoms = ppm_up(quote_atoms, ask_rate_ppm)
    base, quote = terms.base_column, terms.quote_column
    batch.balances[buyer, base] += base_atoms
    batch.balances[buyer, quote] -= quote_atoms + bid_fee_atoms
    batch.balances[seller, base] -= base_atoms
    batch.balances[seller, quote] += quote_atoms - ask_fee_atoms
    batch.balances[terms.fee_row, quote] += bid_fee_atoms + ask_fee_atoms
    batch.tally[VOLUME_LOTS] += lots
    trade = (price_ticks, lots, base_atoms, quote_atoms)
    record(batch, (buyer, 1, seller, order_id), trade, (bid_fee_atoms, ask_fee_atoms))
    take_lots(book, batch.tally, bid, lots)
    take_lots(book, batch.tally, ask, lots)
