"""Matching: an order meets the book, trades as far as it can, and rests if it may.

Price first: the best opposite price is traded out before the next. Within a price two rules:

    time        the oldest order first
    pro rata    an order that cannot take the whole price takes floor(w q / Q) of each order there,
                w what it wants, q what the order shows, Q what all show; the rest goes by time

All trades are at the resting order's price. Where an order meets one of its own account the rule of
the venue decides: the newest, the oldest or both are cancelled, or they trade; under pro rata an
own order bars its whole price. Icebergs give what they show, then show more behind the others of
their price. An order never trades beyond the venue's guards: it stops there, and so does trading. A
fill-or-kill order, limit or market, trades whole or not at all: UNFILLED where band, guard or book
do not allow it, INSUFFICIENT_BALANCE where the balance does not; in a call it is INVALID. In a call
nothing matches: limit orders rest though they may cross; market orders rest at the edge of the
prices that the call allows, and leave after it. Room for fills and orders is asked for before
anything moves: PENDING, and the same row is sent again.
"""

from markets.assets import MAX_ATOMS
from markets.intents import FILL_OR_KILL, IMMEDIATE_OR_CANCEL, MARKET, POST_ONLY
from markets.kernel import kernel
from markets.outcomes import Code
from markets.spot.book import (
    BEST_ASK,
    BEST_BID,
    COUNT,
    MAX_PRICE_TICKS,
    NO_PRICE,
    BookArrays,
    fits,
    front,
    level_lots,
    next_ask_ticks,
    next_bid_ticks,
    row_of,
)
from markets.spot.branches import unlikely
from markets.spot.desk import Batch, Terms
from markets.spot.entry import (
    affordable_atoms,
    around,
    band_ticks,
    changed,
    is_covered,
    is_well_formed,
    refusal,
)
from markets.spot.lookahead import DEEP_ORDERS, look_at_front
from markets.spot.settlement import (
    FILLED_ROWS,
    INTERRUPTED,
    LAST_TICKS,
    NEEDED_TICKS,
    REFILLS,
    STEP,
    Entry,
    Phase,
    SelfTrade,
    Sweep,
    fill,
    for_the_call_only,
    hidden_lots,
    post_taker,
    rest,
    withdraw,
)

_PENDING = int(Code.PENDING)
_RESTING = int(Code.RESTING)
_FILLED = int(Code.FILLED)
_PARTLY_FILLED = int(Code.PARTLY_FILLED)
_UNFILLED = int(Code.UNFILLED)
_INVALID = int(Code.INVALID)
_INSUFFICIENT_BALANCE = int(Code.INSUFFICIENT_BALANCE)
_WOULD_CROSS = int(Code.WOULD_CROSS)
_NO_LIQUIDITY = int(Code.NO_LIQUIDITY)
_OUTSIDE_BAND = int(Code.OUTSIDE_BAND)
_SELF_TRADE = int(Code.SELF_TRADE)
_HALTED = int(Code.HALTED)

_CANCEL_NEWEST = int(SelfTrade.CANCEL_NEWEST)
_CANCEL_OLDEST = int(SelfTrade.CANCEL_OLDEST)
_CANCEL_BOTH = int(SelfTrade.CANCEL_BOTH)
_ALLOW = int(SelfTrade.ALLOW)
_CONTINUOUS, _CALL = int(Phase.CONTINUOUS), int(Phase.CALL)

_FREE, _BARRED, _BARRED_BOTH = range(3)
"""Whether an own order stopped a sweep, and whether that was cancelled as well."""


@kernel()
def _own_at(book: BookArrays, account: int, side: int, price_ticks: int) -> int:
    """Slot of the first order of an account at a price, or 0."""
    slot = book.levels[0 if side > 0 else 1, price_ticks].first
    while slot != 0 and book.orders[slot].account != account:
        slot = book.orders[slot].level_next
    return slot


@kernel()
def _share_out(book: BookArrays, terms: Terms, batch: Batch, sweep: Sweep) -> Sweep:
    """Take from each order of the best price in proportion to what it shows."""
    slot = front(book, -sweep.side)
    price_ticks = book.orders[slot].price_ticks
    lot_cost_atoms = price_ticks * terms.notional_atoms
    all_lots = level_lots(book, -sweep.side, price_ticks)
    wanted_lots = min(sweep.left_lots, (sweep.budget_atoms - sweep.spent_atoms) // lot_cost_atoms)
    if wanted_lots >= all_lots:
        return sweep
    while slot != 0:
        after = book.orders[slot].level_next
        lots = wanted_lots * book.orders[slot].remaining_lots // all_lots
        if lots > 0:
            sweep = fill(book, terms, batch, sweep, (slot, lots))
        slot = after
    return sweep


@kernel()
def _meet_own(book: BookArrays, terms: Terms, batch: Batch, slot: int) -> int:
    """An order has met one of its own: cancel that where the rule says so; how it is barred."""
    if terms.self_trade == _CANCEL_OLDEST:
        withdraw(book, terms, batch, slot)
        return _FREE
    if terms.self_trade == _CANCEL_BOTH:
        withdraw(book, terms, batch, slot)
        return _BARRED_BOTH
    return _BARRED


@kernel(error_model="numpy")
def _sweep(book: BookArrays, terms: Terms, batch: Batch, sweep: Sweep) -> tuple[int, int]:
    """Trade with resting orders in turn; returns lots left, and whether an own order barred it."""
    size_lots, barred, shared_ticks = sweep.left_lots, _FREE, NO_PRICE
    while sweep.left_lots > 0:
        slot = front(book, -sweep.side)
        if slot < 0:
            break
        order = book.orders[slot]
        price_ticks = order.price_ticks
        if (sweep.limit_ticks - price_ticks) * sweep.side < 0:
            break
        if terms.self_trade != _ALLOW:
            own = slot if order.account == sweep.account else 0
            if unlikely(terms.pro_rata != 0):
                own = _own_at(book, sweep.account, -sweep.side, price_ticks)
            if unlikely(own != 0):
                barred = _meet_own(book, terms, batch, own)
                if barred != _FREE:
                    break
                continue
        if unlikely(terms.pro_rata != 0) and shared_ticks != price_ticks:
            shared_ticks = price_ticks
            sweep = _share_out(book, terms, batch, sweep)
            continue
        lots = min(sweep.left_lots, order.remaining_lots)
        lot_cost_atoms = price_ticks * terms.notional_atoms
        if terms.settles and unlikely(
            lots * lot_cost_atoms > sweep.budget_atoms - sweep.spent_atoms
        ):
            lots = (sweep.budget_atoms - sweep.spent_atoms) // lot_cost_atoms
            if lots == 0:
                break
        sweep = fill(book, terms, batch, sweep, (slot, lots))
    taken_lots = size_lots - sweep.left_lots
    if taken_lots > 0:
        post_taker(terms, batch, sweep, taken_lots)
    if book.state[COUNT] > DEEP_ORDERS:
        look_at_front(book, -sweep.side)
    return sweep.left_lots, barred


@kernel(error_model="numpy")
def _fillable_lots(
    book: BookArrays, terms: Terms, entry: Entry, limit_ticks: int, budget_atoms: int
) -> int:
    """Lots that a sweep would take up to the limit and within the budget, at most the order's."""
    filled_lots, side = 0, -entry.side
    price_ticks = book.state[BEST_BID if side > 0 else BEST_ASK]
    while price_ticks >= 0 and (limit_ticks - price_ticks) * entry.side >= 0:
        own, lots = 0, 0
        if terms.self_trade != _ALLOW:
            own = _own_at(book, entry.account, side, price_ticks)
        bars = own != 0 and terms.self_trade != _CANCEL_OLDEST
        slot = (
            0 if bars and terms.pro_rata else book.levels[0 if side > 0 else 1, price_ticks].first
        )
        while slot != 0 and not (bars and slot == own):
            order = book.orders[slot]
            if own == 0 or order.account != entry.account:
                lots += order.remaining_lots + (0 if bars else hidden_lots(book, slot))
            slot = order.level_next
        lot_cost_atoms = price_ticks * terms.notional_atoms
        lots = min(lots, entry.size_lots - filled_lots)
        affordable_lots = min(lots, budget_atoms // lot_cost_atoms)
        filled_lots += affordable_lots
        budget_atoms -= affordable_lots * lot_cost_atoms
        if bars or affordable_lots < lots or filled_lots == entry.size_lots:
            return filled_lots
        if side > 0:
            price_ticks = next_bid_ticks(book, price_ticks)
        else:
            price_ticks = next_ask_ticks(book, price_ticks)
    return filled_lots


@kernel()
def _within_guards(book: BookArrays, terms: Terms, side: int, limit_ticks: int) -> int:
    """The limit, or the guard where that is nearer; no price where the best is beyond the other."""
    near_ticks, far_ticks = terms.guard_low_ticks, terms.guard_high_ticks
    if side > 0:
        near_ticks, far_ticks = far_ticks, near_ticks
    best_ticks = book.state[BEST_ASK - row_of(side)]
    if unlikely((best_ticks - far_ticks) * side < 0):
        return -1 if side > 0 else MAX_PRICE_TICKS + 1
    return side * min(side * limit_ticks, side * near_ticks)


@kernel()
def _note_guard(
    book: BookArrays, terms: Terms, batch: Batch, entry: Entry, limit_ticks: int
) -> None:
    """Trading stops itself where only a guard kept an order from trading on."""
    best_ticks = book.state[BEST_ASK if entry.side > 0 else BEST_BID]
    reach_ticks = _within_guards(book, terms, entry.side, limit_ticks)
    wanted = best_ticks >= 0 and (limit_ticks - best_ticks) * entry.side >= 0
    if wanted and (reach_ticks - best_ticks) * entry.side < 0:
        batch.tally[INTERRUPTED] = 1


@kernel()
def _beyond(book: BookArrays, entry: Entry, low_ticks: int, high_ticks: int) -> bool:
    """Whether a limit is more eager than the edge of a call, or would only trade beyond the other.

    Orders from before a call may lie beyond its edges: what met them there could never trade.
    """
    side, limit_ticks = entry.side, entry.limit_ticks
    if limit_ticks * side > (high_ticks if side > 0 else low_ticks) * side:
        return True
    best_ticks = book.state[BEST_ASK - row_of(side)]
    crosses = best_ticks >= 0 and (limit_ticks - best_ticks) * side >= 0
    return crosses and limit_ticks * side < (low_ticks if side > 0 else high_ticks) * side


@kernel()
def _not_for_call(book: BookArrays, terms: Terms, batch: Batch, entry: Entry) -> bool:
    """Whether trading has stopped itself and the call that follows does not admit the limit."""
    if batch.tally[INTERRUPTED] == 0:
        return False
    low_ticks, high_ticks = around(batch.tally[LAST_TICKS], terms.collar_ppm)
    return _beyond(book, entry, low_ticks, high_ticks)


@kernel()
def beyond_call(book: BookArrays, terms: Terms, entry: Entry) -> bool:
    """Whether the call that there is does not admit a limit."""
    low_ticks, high_ticks = terms.call_low_ticks, terms.call_high_ticks
    return low_ticks != NO_PRICE and _beyond(book, entry, low_ticks, high_ticks)


@kernel(error_model="numpy")
def _place_market(book: BookArrays, terms: Terms, batch: Batch, entry: Entry) -> int:
    """Trade at whatever the book holds, as far as the balance goes."""
    account, side, size_lots = entry.account, entry.side, entry.size_lots
    if front(book, -side) < 0:
        return _NO_LIQUIDITY
    resting, budget_atoms = book.state[COUNT], MAX_ATOMS
    limit_ticks = MAX_PRICE_TICKS if side > 0 else 0
    if terms.band_ppm > 0:
        low_ticks, high_ticks = band_ticks(book, terms, batch.tally)
        limit_ticks = high_ticks if side > 0 else low_ticks
    if terms.settles and side > 0:
        balance_atoms = batch.balances[account, terms.quote_column]
        budget_atoms = affordable_atoms(balance_atoms, entry.taker_fee_ppm)
    elif terms.settles:
        size_lots = min(size_lots, batch.balances[account, terms.base_column] // terms.lot_atoms)
    reach_ticks = _within_guards(book, terms, side, limit_ticks)
    if unlikely(entry.flags & FILL_OR_KILL != 0):
        if _fillable_lots(book, terms, entry, reach_ticks, MAX_ATOMS) < entry.size_lots:
            return _UNFILLED
        affordable_lots = _fillable_lots(book, terms, entry, reach_ticks, budget_atoms)
        if min(size_lots, affordable_lots) < entry.size_lots:
            return _INSUFFICIENT_BALANCE
    sweep = Sweep(
        account, side, reach_ticks, budget_atoms, entry.taker_fee_ppm, size_lots, 0, 0, 0, 0
    )
    left_lots, barred = _sweep(book, terms, batch, sweep)
    taken_lots = size_lots - left_lots
    if taken_lots == entry.size_lots:
        return _FILLED
    if left_lots > 0 and barred == _FREE:
        _note_guard(book, terms, batch, entry, limit_ticks)
    if taken_lots > 0:
        return _PARTLY_FILLED
    if barred == _BARRED:
        return _SELF_TRADE
    best_ticks = book.state[BEST_ASK - row_of(side)]
    if best_ticks >= 0 and (reach_ticks - best_ticks) * side < 0:
        return _UNFILLED
    return _INSUFFICIENT_BALANCE if book.state[COUNT] == resting else _UNFILLED


@kernel(forceinline=True)
def _place_limit(book: BookArrays, terms: Terms, batch: Batch, entry: Entry) -> int:
    """Trade up to the limit, then rest. Form, limits and room are checked before."""
    side, limit_ticks, size_lots = entry.side, entry.limit_ticks, entry.size_lots
    best_ticks = book.state[BEST_ASK - row_of(side)]
    crosses = best_ticks >= 0 and (limit_ticks - best_ticks) * side >= 0
    if unlikely(crosses & (entry.flags & POST_ONLY != 0)):
        return _WOULD_CROSS
    if unlikely(not is_covered(terms, batch, entry, crosses and entry.flags == 0)):
        return _INSUFFICIENT_BALANCE
    left_lots, barred = size_lots, _FREE
    if crosses:
        reach_ticks = _within_guards(book, terms, side, limit_ticks)
        whole = entry.flags & FILL_OR_KILL != 0
        if (
            unlikely(whole)
            and _fillable_lots(book, terms, entry, reach_ticks, MAX_ATOMS) < size_lots
        ):
            return _UNFILLED
        sweep = Sweep(
            entry.account, side, reach_ticks, MAX_ATOMS, entry.taker_fee_ppm, size_lots, 0, 0, 0, 0
        )
        left_lots, barred = _sweep(book, terms, batch, sweep)
        if left_lots == 0:
            return _FILLED
        if unlikely((barred == _FREE) & (reach_ticks != limit_ticks)):
            _note_guard(book, terms, batch, entry, limit_ticks)
            if _not_for_call(book, terms, batch, entry):
                return _PARTLY_FILLED if left_lots < size_lots else _UNFILLED
    if barred == _FREE and not entry.flags & (IMMEDIATE_OR_CANCEL | FILL_OR_KILL):
        rest(book, terms, batch, entry, left_lots)
        return _RESTING
    if left_lots < size_lots:
        return _PARTLY_FILLED
    return _SELF_TRADE if barred == _BARRED else _UNFILLED


@kernel()
def _place_in_call(book: BookArrays, terms: Terms, batch: Batch, entry: Entry) -> int:
    """Rest without matching; market and immediate orders for the next call only."""
    if entry.flags & FILL_OR_KILL or float(entry.size_lots) * terms.lot_atoms > MAX_ATOMS:
        return _INVALID
    limit_ticks = entry.limit_ticks
    edge_ticks = terms.call_high_ticks if entry.side > 0 else terms.call_low_ticks
    if entry.flags & MARKET:
        limit_ticks = edge_ticks
        if edge_ticks == NO_PRICE:
            return _NO_LIQUIDITY
        if float(edge_ticks) * entry.size_lots * terms.notional_atoms > MAX_ATOMS:
            return _INVALID
    elif beyond_call(book, terms, entry):
        return _OUTSIDE_BAND
    entry = changed(entry, limit_ticks, entry.expiry_step)
    if not fits(book, limit_ticks):
        batch.tally[NEEDED_TICKS] = limit_ticks
        return _PENDING
    if not is_covered(terms, batch, entry, False):
        return _INSUFFICIENT_BALANCE
    rest(book, terms, batch, entry, entry.size_lots)
    if entry.flags & IMMEDIATE_OR_CANCEL or entry.flags & MARKET:
        for_the_call_only(book, batch.tally, bool(entry.flags & MARKET))
    return _RESTING


@kernel(forceinline=True)
def has_room(
    book: BookArrays, terms: Terms, batch: Batch, size_lots: int, limit_ticks: int
) -> bool:
    """Whether an order's fills fit the buffer and its rest the book.

    Each resting order can be met once, and once more for each time that it shows more; under pro
    rata also once for its share.
    """
    most_fills = book.state[COUNT] + batch.tally[REFILLS]
    if unlikely(terms.pro_rata != 0):
        most_fills += book.state[COUNT]
    most_fills = min(size_lots, most_fills)
    if batch.fills.size - batch.tally[FILLED_ROWS] >= most_fills and fits(book, limit_ticks):
        return True
    batch.tally[NEEDED_TICKS] = limit_ticks
    return False


@kernel()
def meets_own_first(book: BookArrays, terms: Terms, entry: Entry) -> bool:
    """Whether an order would be refused because it meets one of its own before any other."""
    side = entry.side
    best_ticks = book.state[BEST_ASK - row_of(side)]
    reach_ticks = _within_guards(book, terms, side, entry.limit_ticks)
    if best_ticks < 0 or (reach_ticks - best_ticks) * side < 0:
        return False
    if terms.self_trade != _CANCEL_NEWEST or terms.phase != _CONTINUOUS:
        return False
    if terms.pro_rata:
        return _own_at(book, entry.account, -side, best_ticks) != 0
    return book.orders[front(book, -side)].account == entry.account


@kernel(forceinline=True)
def place(book: BookArrays, terms: Terms, batch: Batch, entry: Entry, admitted: bool) -> int:
    """Take an order in, `admitted` where the client's limits need not be looked at (again).

    PENDING asks for more room, and nothing has moved.
    """
    if unlikely(not is_well_formed(terms, entry, batch.tally[STEP])):
        return _INVALID
    if unlikely(terms.phase != _CONTINUOUS) and terms.phase != _CALL:
        return _HALTED
    if unlikely(not admitted):
        code = refusal(book, terms, batch.tally, entry)
        if code < 0:
            return code
    if unlikely(terms.phase == _CALL):
        return _place_in_call(book, terms, batch, entry)
    limit_ticks = 0 if entry.flags & MARKET else entry.limit_ticks
    if unlikely(not has_room(book, terms, batch, entry.size_lots, limit_ticks)):
        return _PENDING
    if entry.flags & MARKET:
        return _place_market(book, terms, batch, entry)
    return _place_limit(book, terms, batch, entry)


@kernel()
def place_seldom(book: BookArrays, terms: Terms, batch: Batch, entry: Entry, admitted: bool) -> int:
    """The same outside the loop over messages: for stops and amendments, which are few."""
    return place(book, terms, batch, entry, admitted)
