"""Matching with settlement: one loop takes a batch of intents through book and ledger.

An order meets the oldest order of the best opposite price first and trades at the resting price.
With n the notional in quote atoms (price_ticks * size_lots * notional_atoms) and fees in quote:

    taker pays  ceil(taker rate * n)  on the sum n of all fills of its message,
    maker pays  ceil(maker rate * n)  on the sum n of all fills of its order so far, less what it
                paid before; a rate below 0 is a rebate, so that the ceiling shortens it.

Both are sums rounded once, for the venue; with maker + taker rate >= 0 the fee account can never
be overdrawn. A resting ask holds its base in escrow, a resting bid its notional and the whole
maker fee, to the atom: nothing is left when it is filled, all of the rest returns on cancelling.
A limit order must be covered entirely when it enters, at the dearer of both rates; a market order
takes what the balance affords and drops the rest. Left out, and invalid: triggers, display sizes
and expiry; pegged orders, fee tiers.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS
from markets.intents import CANCEL, CANCEL_ALL, IMMEDIATE_OR_CANCEL, MARKET, PLACE, POST_ONLY
from markets.kernel import kernel
from markets.outcomes import Code
from markets.rounding import PPM, ppm_up
from markets.spot.book import (
    BEST_ASK,
    BEST_BID,
    COUNT,
    MAX_PRICE_TICKS,
    BookArrays,
    find,
    fits,
    front,
    insert,
    reduce,
    unlink,
)
from markets.spot.lookahead import look_ahead

FILLED_ROWS, HELD_QUOTE_ATOMS, VOLUME_LOTS, LAST_TICKS, TRADES = range(5)
"""Places of the tally: fills in the buffer, quote held for bids; lots traded, last price, fills."""

_KNOWN_FLAGS = IMMEDIATE_OR_CANCEL | POST_ONLY | MARKET
_PENDING = int(Code.PENDING)
_RESTING = int(Code.RESTING)
_FILLED = int(Code.FILLED)
_PARTLY_FILLED = int(Code.PARTLY_FILLED)
_UNFILLED = int(Code.UNFILLED)
_CANCELLED = int(Code.CANCELLED)
_INVALID = int(Code.INVALID)
_INSUFFICIENT_BALANCE = int(Code.INSUFFICIENT_BALANCE)
_WOULD_CROSS = int(Code.WOULD_CROSS)
_UNKNOWN_ORDER = int(Code.UNKNOWN_ORDER)
_NO_LIQUIDITY = int(Code.NO_LIQUIDITY)
_SELF_TRADE = int(Code.SELF_TRADE)


class SelfTrade(IntEnum):
    """What happens when an order meets one of its own account."""

    CANCEL_NEWEST = 0
    CANCEL_OLDEST = 1
    ALLOW = 2


_CANCEL_OLDEST = int(SelfTrade.CANCEL_OLDEST)
_ALLOW = int(SelfTrade.ALLOW)


class Terms(NamedTuple):
    """Columns and rows of the ledger that the venue uses, its grid, rates and rule."""

    base_column: int
    quote_column: int
    escrow_row: int
    fee_row: int
    lot_atoms: int
    notional_atoms: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    self_trade: int


class Batch(NamedTuple):
    """What comes in and goes out: INTENT rows, a code each, a buffer of FILL rows, the tally."""

    intents: NDArray[np.void]
    codes: NDArray[np.int64]
    fills: NDArray[np.void]
    tally: NDArray[np.int64]


class Taker(NamedTuple):
    """An order as it enters: up to `size_lots` within `limit_ticks` for at most `budget_atoms`."""

    account: int
    side: int
    size_lots: int
    limit_ticks: int
    budget_atoms: int


@kernel()
def _held_fee_atoms(notional_atoms: int, maker_fee_ppm: int) -> int:
    """Maker fee that a bid holds in escrow beside its notional."""
    return ppm_up(notional_atoms, maker_fee_ppm) if maker_fee_ppm > 0 else 0


@kernel()
def _withdraw(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, slot: int
) -> None:
    """Cancel a resting order and return what is still held for it."""
    order = book.orders[slot]
    account = order.account
    if order.side > 0:
        lot_cost_atoms = order.price_ticks * terms.notional_atoms
        held_atoms = order.remaining_lots * lot_cost_atoms
        if terms.maker_fee_ppm > 0:
            whole_fee_atoms = ppm_up(order.size_lots * lot_cost_atoms, terms.maker_fee_ppm)
            held_atoms += whole_fee_atoms - order.venue_atoms
        balances[terms.escrow_row, terms.quote_column] -= held_atoms
        balances[account, terms.quote_column] += held_atoms
        batch.tally[HELD_QUOTE_ATOMS] -= held_atoms
    else:
        held_atoms = order.remaining_lots * terms.lot_atoms
        balances[terms.escrow_row, terms.base_column] -= held_atoms
        balances[account, terms.base_column] += held_atoms
    unlink(book, slot)


@kernel()
def _rest(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, taker: Taker
) -> None:
    """Put an order into the book and what it needs into escrow."""
    if taker.side > 0:
        notional_atoms = taker.limit_ticks * taker.size_lots * terms.notional_atoms
        held_atoms = notional_atoms + _held_fee_atoms(notional_atoms, terms.maker_fee_ppm)
        column = terms.quote_column
        batch.tally[HELD_QUOTE_ATOMS] += held_atoms
    else:
        held_atoms = taker.size_lots * terms.lot_atoms
        column = terms.base_column
    balances[taker.account, column] -= held_atoms
    balances[terms.escrow_row, column] += held_atoms
    insert(book, taker.account, taker.side, taker.limit_ticks, taker.size_lots)


@kernel()
def _pay_maker(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, slot: int, size_lots: int
) -> int:
    """Settle the maker's half of a fill; returns its fee. Escrow is settled by the taker."""
    order = book.orders[slot]
    account = order.account
    lot_cost_atoms = order.price_ticks * terms.notional_atoms
    fee_atoms = 0
    if terms.maker_fee_ppm != 0:
        filled_lots = order.size_lots - order.remaining_lots + size_lots
        charged_atoms = ppm_up(filled_lots * lot_cost_atoms, terms.maker_fee_ppm)
        fee_atoms = charged_atoms - order.venue_atoms
        order.venue_atoms = charged_atoms
    if order.side < 0:
        balances[account, terms.quote_column] += size_lots * lot_cost_atoms - fee_atoms
    else:
        balances[account, terms.base_column] += size_lots * terms.lot_atoms
        if fee_atoms < 0:
            balances[account, terms.quote_column] -= fee_atoms
    return fee_atoms


@kernel()
def _post_taker(
    balances: NDArray[np.int64], terms: Terms, tally: NDArray[np.int64], taker: Taker, totals: tuple
) -> None:
    """Settle the taker's half of all its fills, and the escrow and fee accounts."""
    taken_lots, notional_atoms, taker_fee_atoms, maker_fees_atoms, held_fees_atoms = totals
    base, quote, escrow = terms.base_column, terms.quote_column, terms.escrow_row
    base_atoms = taken_lots * terms.lot_atoms
    if taker.side > 0:
        balances[escrow, base] -= base_atoms
        balances[taker.account, base] += base_atoms
        balances[taker.account, quote] -= notional_atoms + taker_fee_atoms
    else:
        held_atoms = notional_atoms + held_fees_atoms
        balances[escrow, quote] -= held_atoms
        tally[HELD_QUOTE_ATOMS] -= held_atoms
        balances[taker.account, base] -= base_atoms
        balances[taker.account, quote] += notional_atoms - taker_fee_atoms
    balances[terms.fee_row, quote] += taker_fee_atoms + maker_fees_atoms
    tally[VOLUME_LOTS] += taken_lots


@kernel()
def _record(
    batch: Batch, taker: Taker, maker: tuple, lots_and_atoms: tuple, fees_atoms: tuple
) -> None:
    """Append a fill."""
    row = batch.tally[FILLED_ROWS]
    batch.tally[FILLED_ROWS] = row + 1
    batch.tally[TRADES] += 1
    fill = batch.fills[row]
    fill.taker = taker.account
    fill.side = taker.side
    fill.maker, fill.maker_order, fill.price_ticks = maker
    fill.size_lots, fill.base_atoms, fill.quote_atoms = lots_and_atoms
    fill.taker_fee_atoms, fill.maker_fee_atoms = fees_atoms
    fill.reason = 0


@kernel(error_model="numpy")
def _sweep(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, taker: Taker
) -> tuple[int, bool]:
    """Trade with resting orders in turn; returns lots taken, and whether an own order barred it."""
    left_lots, spent_atoms, taker_fee_atoms = taker.size_lots, 0, 0
    maker_fees_atoms, held_fees_atoms, barred = 0, 0, False
    while left_lots > 0:
        slot = front(book, -taker.side)
        if slot < 0:
            break
        order = book.orders[slot]
        price_ticks = order.price_ticks
        if (taker.limit_ticks - price_ticks) * taker.side < 0:
            break
        if order.account == taker.account and terms.self_trade != _ALLOW:
            if terms.self_trade == _CANCEL_OLDEST:
                _withdraw(book, balances, terms, batch, slot)
                continue
            barred = True
            break
        lots = min(left_lots, order.remaining_lots)
        lot_cost_atoms = price_ticks * terms.notional_atoms
        if lots * lot_cost_atoms > taker.budget_atoms - spent_atoms:
            lots = (taker.budget_atoms - spent_atoms) // lot_cost_atoms
            if lots == 0:
                break
        notional_atoms = lots * lot_cost_atoms
        spent_atoms += notional_atoms
        left_lots -= lots
        before_atoms = taker_fee_atoms
        taker_fee_atoms = ppm_up(spent_atoms, terms.taker_fee_ppm)
        maker_fee_atoms = _pay_maker(book, balances, terms, slot, lots)
        maker_fees_atoms += maker_fee_atoms
        held_fees_atoms += max(maker_fee_atoms, 0)
        maker = (order.account, slot + (int(order.generation) << 32), price_ticks)
        traded = (lots, lots * terms.lot_atoms, notional_atoms)
        _record(batch, taker, maker, traded, (taker_fee_atoms - before_atoms, maker_fee_atoms))
        batch.tally[LAST_TICKS] = price_ticks
        reduce(book, slot, lots)
    taken_lots = taker.size_lots - left_lots
    totals = (taken_lots, spent_atoms, taker_fee_atoms, maker_fees_atoms, held_fees_atoms)
    if taken_lots > 0:
        _post_taker(balances, terms, batch.tally, taker, totals)
    return taken_lots, barred


@kernel(error_model="numpy")
def _affordable_atoms(quote_atoms: int, taker_fee_ppm: int) -> int:
    """The largest notional n with n + ceil(rate * n) <= what is there."""
    whole = PPM + taker_fee_ppm
    times = quote_atoms // whole
    return times * PPM + (quote_atoms - times * whole) * PPM // whole


@kernel(error_model="numpy")
def _place_market(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, intent: Any
) -> int:
    """Trade at whatever the book holds, as far as the balance goes."""
    account, side, size_lots = intent.account, intent.side, intent.size
    if front(book, -side) < 0:
        return _NO_LIQUIDITY
    wanted_lots, resting = size_lots, book.state[COUNT]
    budget_atoms = MAX_ATOMS
    limit_ticks = MAX_PRICE_TICKS
    if side > 0:
        budget_atoms = _affordable_atoms(balances[account, terms.quote_column], terms.taker_fee_ppm)
    else:
        limit_ticks = 0
        size_lots = min(size_lots, balances[account, terms.base_column] // terms.lot_atoms)
    taker = Taker(account, side, size_lots, limit_ticks, budget_atoms)
    taken_lots, barred = _sweep(book, balances, terms, batch, taker)
    if taken_lots == wanted_lots:
        return _FILLED
    if taken_lots > 0:
        return _PARTLY_FILLED
    if barred:
        return _SELF_TRADE
    return _INSUFFICIENT_BALANCE if book.state[COUNT] == resting else _UNFILLED


@kernel()
def _is_covered(balances: NDArray[np.int64], terms: Terms, intent: Any, crosses: bool) -> bool:
    """Whether the account can pay for the whole order, whatever part of it takes or makes.

    An order that takes and makes rounds two fees up: one atom more than one fee on the whole.
    """
    if intent.side < 0:
        return balances[intent.account, terms.base_column] >= intent.size * terms.lot_atoms
    needed_atoms = intent.limit * intent.size * terms.notional_atoms
    maker_fee_ppm, taker_fee_ppm = terms.maker_fee_ppm, terms.taker_fee_ppm
    needed_atoms += ppm_up(needed_atoms, max(maker_fee_ppm, taker_fee_ppm))
    if crosses and maker_fee_ppm > 0 and taker_fee_ppm > 0 and intent.flags == 0:
        needed_atoms += 1
    return balances[intent.account, terms.quote_column] >= needed_atoms


@kernel()
def _place_limit(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, intent: Any
) -> int:
    """Trade up to the limit, then rest."""
    side, limit_ticks, size_lots = intent.side, intent.limit, intent.size
    best_ticks = book.state[BEST_ASK if side > 0 else BEST_BID]
    crosses = best_ticks >= 0 and (limit_ticks - best_ticks) * side >= 0
    if crosses and intent.flags & POST_ONLY:
        return _WOULD_CROSS
    if not _is_covered(balances, terms, intent, crosses):
        return _INSUFFICIENT_BALANCE
    taken_lots, barred = 0, False
    if crosses:
        taker = Taker(intent.account, side, size_lots, limit_ticks, MAX_ATOMS)
        taken_lots, barred = _sweep(book, balances, terms, batch, taker)
        if taken_lots == size_lots:
            return _FILLED
    if not (barred or intent.flags & IMMEDIATE_OR_CANCEL):
        rest = Taker(intent.account, side, size_lots - taken_lots, limit_ticks, MAX_ATOMS)
        _rest(book, balances, terms, batch, rest)
        return _RESTING
    if taken_lots > 0:
        return _PARTLY_FILLED
    return _SELF_TRADE if barred else _UNFILLED


@kernel(forceinline=True)
def _place(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, intent: Any
) -> int:
    """Check an order's form, and room for what it may need; PENDING asks for more room."""
    flags, size_lots, limit_ticks = intent.flags, intent.size, intent.limit
    if size_lots <= 0 or (intent.side != 1 and intent.side != -1) or flags & ~_KNOWN_FLAGS:
        return _INVALID
    if (flags & POST_ONLY and flags != POST_ONLY) or (
        intent.trigger_ticks | intent.display_lots | intent.expiry_step
    ) != 0:
        return _INVALID
    most_fills = min(size_lots, book.state[COUNT])
    roomy = batch.fills.size - batch.tally[FILLED_ROWS] >= most_fills
    if flags & MARKET:
        return _place_market(book, balances, terms, batch, intent) if roomy else _PENDING
    if limit_ticks <= 0 or limit_ticks > MAX_PRICE_TICKS:
        return _INVALID
    if float(limit_ticks) * size_lots * terms.notional_atoms > MAX_ATOMS:
        return _INVALID
    if float(size_lots) * terms.lot_atoms > MAX_ATOMS:
        return _INVALID
    if not (roomy and fits(book, limit_ticks)):
        return _PENDING
    return _place_limit(book, balances, terms, batch, intent)


@kernel()
def execute_batch(
    book: BookArrays, balances: NDArray[np.int64], terms: Terms, batch: Batch, first: int
) -> int:
    """Carry out rows from `first` on; returns the number of rows done.

    Fewer than all: the next row, untouched, needs a larger fill buffer or book.
    """
    intents, codes, heads = batch.intents, batch.codes, book.heads
    for row in range(first, intents.size):
        intent = intents[row]
        account = intent.account
        action = intent.action
        code = _INVALID
        look_ahead(book, intents, row)
        if account <= 0 or account >= heads.size or heads[account] < 0:
            code = _INVALID
        elif action == PLACE:
            code = _place(book, balances, terms, batch, intent)
            if code == _PENDING:
                return row
        elif action == CANCEL:
            code = _UNKNOWN_ORDER
            slot = find(book, intent.order)
            if slot > 0 and book.orders[slot].account == account:
                _withdraw(book, balances, terms, batch, slot)
                code = _CANCELLED
        elif action == CANCEL_ALL:
            while heads[account] > 0:
                _withdraw(book, balances, terms, batch, heads[account])
            code = _CANCELLED
        codes[row] = code
    return intents.size
