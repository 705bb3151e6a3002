"""What an order must satisfy before it may enter: its form, the client's limits, its cover.

Form is checked first (sizes, side, flags, range), then the venue's limits on clients, each off
where it is 0: a minimum size, a band of prices around the last trade or the mid, a number of
resting orders (what never rests is not counted against it; in a call everything rests). In a call
the band is around the last price, for its sides may cross. A limit order must be covered entirely
when it enters, at the dearer of its account's two rates; one that may take and make rounds two fees
up, one atom more than one fee on the whole. A market order is not covered: it takes what the
balance affords. Before the first trade the opening price stands for the last; a band without any
price is no band. With a band, a market order trades no further than its edge.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS
from markets.intents import FILL_OR_KILL, IMMEDIATE_OR_CANCEL, MARKET, POST_ONLY
from markets.kernel import kernel
from markets.outcomes import Code
from markets.rounding import PPM, ppm_up
from markets.spot.book import BEST_ASK, BEST_BID, MAX_PRICE_TICKS, NO_PRICE, BookArrays
from markets.spot.desk import Batch, Terms
from markets.spot.settlement import (
    LAST_TICKS,
    Entry,
    Phase,
    lot_held_atoms,
)

_KNOWN_FLAGS = IMMEDIATE_OR_CANCEL | POST_ONLY | MARKET | FILL_OR_KILL
_NEVER_REST = IMMEDIATE_OR_CANCEL | MARKET | FILL_OR_KILL
_MOST_SHARED_LOTS = 2**31
_ACCEPTED = 0
_whole: Any = np.int64
"""All entries are of one type: for each other type everything would be compiled again."""
_CONTINUOUS = int(Phase.CONTINUOUS)
_INVALID = int(Code.INVALID)
_BELOW_MINIMUM = int(Code.BELOW_MINIMUM)
_OUTSIDE_BAND = int(Code.OUTSIDE_BAND)
_TOO_MANY_ORDERS = int(Code.TOO_MANY_ORDERS)


@kernel(forceinline=True)
def entry_for(terms: Terms, batch: Batch, account: int, order: tuple, clauses: tuple) -> Entry:
    """An order (side, lots, limit, flags; lots displayed, last step) with its account's rates."""
    maker_fee_ppm, taker_fee_ppm = terms.maker_fee_ppm, terms.taker_fee_ppm
    if terms.tiered:
        maker_fee_ppm, taker_fee_ppm = batch.rates[account, 0], batch.rates[account, 1]
    side, size_lots, limit_ticks, flags = order
    display_lots, expiry_step = clauses
    return Entry(
        _whole(account),
        _whole(side),
        _whole(size_lots),
        _whole(limit_ticks),
        _whole(flags),
        _whole(display_lots),
        _whole(expiry_step),
        maker_fee_ppm,
        taker_fee_ppm,
    )


@kernel(forceinline=True)
def entry_of(terms: Terms, batch: Batch, intent: Any) -> Entry:
    """The order that an intent asks for."""
    order = (intent.side, intent.size, intent.limit, intent.flags)
    return entry_for(terms, batch, intent.account, order, (intent.display_lots, intent.expiry_step))


@kernel(forceinline=True)
def changed(entry: Entry, limit_ticks: int, expiry_step: int) -> Entry:
    """The same order with another limit and another last step."""
    return Entry(
        entry.account,
        entry.side,
        entry.size_lots,
        _whole(limit_ticks),
        entry.flags,
        entry.display_lots,
        _whole(expiry_step),
        entry.maker_fee_ppm,
        entry.taker_fee_ppm,
    )


@kernel(forceinline=True)
def is_well_formed(terms: Terms, entry: Entry, step: int) -> bool:
    """Whether an order is one at all."""
    flags, size_lots, limit_ticks = entry.flags, entry.size_lots, entry.limit_ticks
    if size_lots <= 0 or (entry.side + 1) & ~2:
        return False
    if flags != 0 and not _has_good_flags(flags):
        return False
    if (entry.display_lots | entry.expiry_step) != 0 and not _has_good_clauses(terms, entry, step):
        return False
    if terms.pro_rata and size_lots >= _MOST_SHARED_LOTS:
        return False
    if flags & MARKET:
        return True
    if limit_ticks <= 0 or limit_ticks > MAX_PRICE_TICKS:
        return False
    if float(limit_ticks) * size_lots * terms.notional_atoms > MAX_ATOMS:
        return False
    return float(size_lots) * terms.lot_atoms <= MAX_ATOMS


@kernel()
def _has_good_flags(flags: int) -> bool:
    """Whether flags are known and may stand together."""
    return flags & ~_KNOWN_FLAGS == 0 and (flags & POST_ONLY == 0 or flags == POST_ONLY)


@kernel()
def _has_good_clauses(terms: Terms, entry: Entry, step: int) -> bool:
    """Whether display and expiry make sense: both are for orders that may rest."""
    if entry.flags & _NEVER_REST:
        return False
    if entry.display_lots < 0 or entry.expiry_step < 0:
        return False
    if 0 < entry.expiry_step < step:
        return False
    most_lots = terms.iceberg_parts * min(entry.display_lots, entry.size_lots)
    return entry.display_lots == 0 or entry.size_lots <= most_lots


@kernel()
def around(centre_ticks: int, part_ppm: int) -> tuple[int, int]:
    """Prices within a part of the centre, in whole ticks, no further than a book goes."""
    reach_ticks = centre_ticks * part_ppm // PPM
    return max(centre_ticks - reach_ticks, 0), min(centre_ticks + reach_ticks, MAX_PRICE_TICKS)


@kernel()
def band_ticks(book: BookArrays, terms: Terms, tally: NDArray[np.int64]) -> tuple[int, int]:
    """Lowest and highest price that orders may name."""
    last_ticks = tally[LAST_TICKS]
    centre_ticks = last_ticks if last_ticks >= 0 else terms.opening_ticks
    bid_ticks, ask_ticks = book.state[BEST_BID], book.state[BEST_ASK]
    if terms.band_around_mid and terms.phase == _CONTINUOUS and bid_ticks >= 0 and ask_ticks >= 0:
        centre_ticks = (bid_ticks + ask_ticks) // 2
    if terms.band_ppm == 0 or centre_ticks == NO_PRICE:
        return 0, MAX_PRICE_TICKS
    return around(centre_ticks, terms.band_ppm)


@kernel()
def refusal(book: BookArrays, terms: Terms, tally: NDArray[np.int64], entry: Entry) -> int:
    """The code with which the client's limits refuse an order, or 0."""
    if entry.size_lots < terms.minimum_lots:
        return _BELOW_MINIMUM
    if not entry.flags & MARKET:
        low_ticks, high_ticks = band_ticks(book, terms, tally)
        if entry.limit_ticks < low_ticks or entry.limit_ticks > high_ticks:
            return _OUTSIDE_BAND
    never_rests = entry.flags & _NEVER_REST and terms.phase == _CONTINUOUS
    if terms.most_orders > 0 and not never_rests:
        slot, count = book.heads[entry.account], 0
        while slot > 0 and count < terms.most_orders:
            slot = book.orders[slot].account_next
            count += 1
        if count >= terms.most_orders:
            return _TOO_MANY_ORDERS
    return _ACCEPTED


@kernel(forceinline=True)
def is_covered(terms: Terms, batch: Batch, entry: Entry, may_do_both: bool) -> bool:
    """Whether the account can pay for the whole order, whatever part of it takes or makes."""
    if not terms.settles:
        return True
    side = entry.side
    needed_atoms = entry.size_lots * lot_held_atoms(terms, side, entry.limit_ticks)
    maker_fee_ppm, taker_fee_ppm = entry.maker_fee_ppm, entry.taker_fee_ppm
    dearer_ppm = max(maker_fee_ppm, taker_fee_ppm)
    if dearer_ppm != 0:
        fee_atoms = ppm_up(needed_atoms, dearer_ppm)
        fee_atoms += may_do_both and maker_fee_ppm > 0 and taker_fee_ppm > 0
        needed_atoms += fee_atoms if side > 0 else 0
    column = np.uint64(terms.quote_column if side > 0 else terms.base_column)
    return batch.balances[np.uint64(entry.account), column] >= needed_atoms


@kernel(error_model="numpy")
def affordable_atoms(quote_atoms: int, taker_fee_ppm: int) -> int:
    """The largest notional n with n + ceil(rate * n) <= what is there."""
    whole = PPM + taker_fee_ppm
    times = quote_atoms // whole
    return times * PPM + (quote_atoms - times * whole) * PPM // whole
