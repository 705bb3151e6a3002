"""Matching on a perpetual's own book: intents row by row, a code for each, fills in a buffer.

A trade of q lots at P ticks moves q contracts and q*P*k atoms of claims, k = `notional_atoms`; fees
are rounded up, rebates down. Nothing is in escrow. An order that may add to a position must find

    equity - open loss - fees >= IM(mark * k * max(|c + bids|, |c - asks|)),

open loss = what the order would lose at once against the mark, taking the book as it stands up to
its limit and resting at its limit. `bids` and `asks` count the lots on offer, this order included
and reduce-only orders not. An order that can only reduce needs no margin, but may not trade beyond
the account's own bankruptcy price (BitMEX's rule): market orders stop there, others are refused.
A reduce-only order is cut to the position on arrival and at each fill. Meeting one's own order
cancels the resting one. A resting order is not checked again when it fills: as on the large
central venues, liquidation is what bounds its risk. Left out: stops, icebergs and orders with an
expiry, which are refused.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.positions import (
    Brackets,
    Positions,
    Terms,
    equity_atoms,
    requirement_atoms,
    take_lots,
)
from markets.intents import (
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    IMMEDIATE_OR_CANCEL,
    MARKET,
    PLACE,
    POST_ONLY,
    REDUCE_ONLY,
    WITHDRAW,
)
from markets.outcomes import Code, Reason
from markets.rounding import PPM, ppm_down, ppm_up
from markets.spot.book import (
    MAX_PRICE_TICKS,
    NO_PRICE,
    NO_SLOT,
    BookArrays,
    best_ask_ticks,
    best_bid_ticks,
    find,
    front,
    insert,
    next_ask_ticks,
    next_bid_ticks,
    order_id,
    reduce,
    unlink,
)
from markets.spot.kernel import kernel

MAX_LOTS = 2**31 - 1
"""Largest order, and largest position with all its open orders."""
MAX_NOTIONAL_ATOMS = 2**60

_KNOWN_FLAGS = IMMEDIATE_OR_CANCEL | POST_ONLY | MARKET | REDUCE_ONLY
_CANCELLED = int(Code.CANCELLED)
_DONE = int(Code.DONE)
_FILLED = int(Code.FILLED)
_INSUFFICIENT_BALANCE = int(Code.INSUFFICIENT_BALANCE)
_INSUFFICIENT_MARGIN = int(Code.INSUFFICIENT_MARGIN)
_INVALID = int(Code.INVALID)
_NO_LIQUIDITY = int(Code.NO_LIQUIDITY)
_OUT_OF_RANGE = int(Code.OUT_OF_RANGE)
_PARTLY_FILLED = int(Code.PARTLY_FILLED)
_REDUCE_ONLY = int(Code.REDUCE_ONLY)
_RESTING = int(Code.RESTING)
_UNFILLED = int(Code.UNFILLED)
_UNKNOWN_ORDER = int(Code.UNKNOWN_ORDER)
_WOULD_CROSS = int(Code.WOULD_CROSS)
_TRADE = int(Reason.TRADE)


class Rules(NamedTuple):
    """What an order is held to: initial margin, and the band of market orders round the mark."""

    initial: Brackets
    market_band_ppm: int


class Desk(NamedTuple):
    """All that trading touches. `fills` must have room; `fill_count[0]` says how many are used."""

    book: BookArrays
    positions: Positions
    terms: Terms
    fills: NDArray[np.void]
    fill_count: NDArray[np.int64]


class Order(NamedTuple):
    """An order on its way in."""

    account: int
    side: int
    lots: int
    limit_ticks: int
    flags: int


@kernel()
def drop_order(desk: Desk, slot: int) -> None:
    """Take a resting order out of the book and off its account's open lots."""
    order = desk.book.orders[slot]
    _release(desk, slot, order.remaining_lots)
    unlink(desk.book, slot)


@kernel()
def _release(desk: Desk, slot: int, lots: int) -> None:
    order = desk.book.orders[slot]
    if order.flags & REDUCE_ONLY:
        return
    if order.side > 0:
        desk.positions.open_bid_lots[order.account] -= lots
    else:
        desk.positions.open_ask_lots[order.account] -= lots


@kernel()
def drop_orders(desk: Desk, account: int) -> None:
    """Take all resting orders of an account out of the book."""
    while desk.book.heads[account] > 0:
        drop_order(desk, desk.book.heads[account])


@kernel()
def reducible_lots(desk: Desk, account: int, side: int) -> int:
    """How many lots of `side` would only reduce the account's position."""
    return max(0, -side * desk.positions.balances[account, desk.terms.contract])


@kernel()
def record_fill(desk: Desk, taker: int, maker: int, terms_of_fill: tuple[int, ...]) -> None:
    """Append a fill; terms = (maker order, side, price ticks, lots, quote atoms, fees, reason)."""
    order, side, price_ticks, lots, quote_atoms, taker_fee, maker_fee, reason = terms_of_fill
    fill = desk.fills[desk.fill_count[0]]
    desk.fill_count[0] += 1
    fill.taker = taker
    fill.maker = maker
    fill.maker_order = order
    fill.side = side
    fill.price_ticks = price_ticks
    fill.size_lots = lots
    fill.base_atoms = lots * desk.terms.lot_atoms
    fill.quote_atoms = quote_atoms
    fill.taker_fee_atoms = taker_fee
    fill.maker_fee_atoms = maker_fee
    fill.reason = reason


@kernel()
def trade_front(desk: Desk, taker: int, side: int, lots: int, reason: int) -> int:
    """Trade up to `lots` with the first order in line; returns lots, 0 where that was dropped.

    A forced trade pays no taker fee and earns its maker no rebate.
    """
    book, positions, terms = desk.book, desk.positions, desk.terms
    slot = front(book, -side)
    order = book.orders[slot]
    maker = order.account
    traded = min(lots, order.remaining_lots)
    if order.flags & REDUCE_ONLY:
        traded = min(traded, reducible_lots(desk, maker, -side))
    if traded == 0 or maker == taker:
        drop_order(desk, slot)
        return 0
    price_ticks = order.price_ticks
    quote_atoms = traded * price_ticks * terms.notional_atoms
    taker_fee, maker_fee = 0, ppm_up(quote_atoms, terms.maker_fee_ppm)
    if reason == _TRADE:
        taker_fee = ppm_up(quote_atoms, terms.taker_fee_ppm)
    else:
        maker_fee = max(0, maker_fee)
    take_lots(positions, terms, taker, side * traded, side * quote_atoms)
    take_lots(positions, terms, maker, -side * traded, -side * quote_atoms)
    positions.balances[taker, terms.margin] -= taker_fee
    positions.balances[maker, terms.margin] -= maker_fee
    positions.balances[terms.fees, terms.margin] += taker_fee + maker_fee
    record_fill(
        desk,
        taker,
        maker,
        (
            order_id(book, slot),
            side,
            price_ticks,
            traded,
            quote_atoms,
            taker_fee,
            maker_fee,
            reason,
        ),
    )
    spent = order.flags & REDUCE_ONLY and reducible_lots(desk, maker, -side) == 0
    _release(desk, slot, traded)
    reduce(book, slot, traded)
    if spent and order.side != 0:
        unlink(book, slot)
    return traded


@kernel()
def _best_opposite(book: BookArrays, side: int) -> int:
    return best_ask_ticks(book) if side > 0 else best_bid_ticks(book)


@kernel()
def _book_cost(desk: Desk, order: Order) -> tuple[int, int]:
    """Lots that the book would give up to the limit, and their cost in lots times ticks."""
    left, cost = order.lots, 0
    price_ticks = _best_opposite(desk.book, order.side)
    while left > 0 and price_ticks != NO_PRICE:
        if order.side * (order.limit_ticks - price_ticks) < 0:
            break
        taken = min(left, desk.book.levels[price_ticks].lots)
        cost += taken * price_ticks
        left -= taken
        if order.side > 0:
            price_ticks = next_ask_ticks(desk.book, price_ticks)
        else:
            price_ticks = next_bid_ticks(desk.book, price_ticks)
    return order.lots - left, cost


@kernel()
def _enough_margin(desk: Desk, rules: Rules, order: Order) -> bool:
    """Whether the account may add this order to what it holds and has on offer."""
    terms, positions = desk.terms, desk.positions
    lots, cost = _book_cost(desk, order)
    fees = ppm_up(cost * terms.notional_atoms, max(terms.taker_fee_ppm, 0))
    if not order.flags & IMMEDIATE_OR_CANCEL:
        resting = (order.lots - lots) * order.limit_ticks
        fees += ppm_up(resting * terms.notional_atoms, max(terms.maker_fee_ppm, 0))
        lots, cost = order.lots, cost + resting
    open_loss = max(0, order.side * (cost - lots * terms.mark_ticks)) * terms.notional_atoms
    contracts = positions.balances[order.account, terms.contract]
    bids, asks = positions.open_bid_lots[order.account], positions.open_ask_lots[order.account]
    if order.side > 0:
        bids += lots
    else:
        asks += lots
    exposed = max(abs(contracts + bids), abs(contracts - asks))
    needed = requirement_atoms(rules.initial, exposed * terms.mark_ticks * terms.notional_atoms)
    return equity_atoms(positions, terms, order.account) - open_loss - fees >= needed


@kernel()
def _solvent_limit(desk: Desk, order: Order) -> int:
    """Worst price in ticks at which the position can go, fees paid, without leaving a debt.

    One atom a lot is kept for the rounding of fees. Below 1 a buyer cannot pay any price.
    """
    terms = desk.terms
    contracts = abs(desk.positions.balances[order.account, terms.contract])
    claim = desk.positions.balances[order.account, terms.margin] - contracts
    value_atoms = contracts * terms.notional_atoms
    fee_ppm = max(terms.taker_fee_ppm, terms.maker_fee_ppm, 0)
    if order.side > 0:
        return (claim - ppm_up(claim, fee_ppm)) // value_atoms
    if claim >= 0:
        return 1
    gross_ppm = -(-fee_ppm * PPM // (PPM - fee_ppm))
    return -((claim - ppm_up(-claim, gross_ppm)) // value_atoms)


@kernel()
def _band_limit(terms: Terms, side: int, band_ppm: int) -> int:
    """Worst price in ticks of a market order: within the band round the mark."""
    if side > 0:
        return min(terms.mark_ticks + ppm_down(terms.mark_ticks, band_ppm), MAX_PRICE_TICKS)
    return max(terms.mark_ticks - ppm_down(terms.mark_ticks, band_ppm), 1)


@kernel()
def _refusal(desk: Desk, order: Order) -> int:
    """Why an order cannot be, before any question of money; 0 where it can."""
    if order.side != 1 and order.side != -1:
        return _INVALID
    if order.lots < 1 or order.limit_ticks < 1 or order.limit_ticks > MAX_PRICE_TICKS:
        return _INVALID
    if order.flags & ~_KNOWN_FLAGS:
        return _INVALID
    if order.flags & POST_ONLY and order.flags & IMMEDIATE_OR_CANCEL:
        return _INVALID
    if order.lots > MAX_LOTS:
        return _OUT_OF_RANGE
    positions = desk.positions
    held = abs(positions.balances[order.account, desk.terms.contract])
    offered = positions.open_bid_lots[order.account] + positions.open_ask_lots[order.account]
    lots = held + offered + order.lots
    highest_ticks = max(order.limit_ticks, desk.terms.mark_ticks)
    value = float(lots) * float(highest_ticks) * float(desk.terms.notional_atoms)
    if lots > MAX_LOTS or value > MAX_NOTIONAL_ATOMS:
        return _OUT_OF_RANGE
    return 0


@kernel()
def _admit(desk: Desk, rules: Rules, order: Order) -> tuple[int, Order]:
    """The order as it may enter the book, or the code that refuses it."""
    if desk.terms.mark_ticks < 1:
        return _NO_LIQUIDITY, order
    if order.flags & MARKET:
        limit_ticks = _band_limit(desk.terms, order.side, rules.market_band_ppm)
        order = Order(order.account, order.side, order.lots, limit_ticks, order.flags)
    code = _refusal(desk, order)
    if code != 0:
        return code, order
    reducible = reducible_lots(desk, order.account, order.side)
    if order.flags & REDUCE_ONLY:
        if reducible == 0:
            return _REDUCE_ONLY, order
        lots = min(order.lots, reducible)
        order = Order(order.account, order.side, lots, order.limit_ticks, order.flags)
    if order.flags & POST_ONLY:
        opposite_ticks = _best_opposite(desk.book, order.side)
        if opposite_ticks != NO_PRICE and order.side * (order.limit_ticks - opposite_ticks) >= 0:
            return _WOULD_CROSS, order
    offered = desk.positions.open_ask_lots[order.account]
    if order.side > 0:
        offered = desk.positions.open_bid_lots[order.account]
    if not order.flags & REDUCE_ONLY and offered + order.lots > reducible:
        return 0 if _enough_margin(desk, rules, order) else _INSUFFICIENT_MARGIN, order
    worst_ticks = _solvent_limit(desk, order)
    if order.side * (order.limit_ticks - worst_ticks) <= 0:
        return 0, order
    if order.flags & MARKET:
        return 0, Order(order.account, order.side, order.lots, worst_ticks, order.flags)
    return _INSUFFICIENT_MARGIN, order


@kernel()
def _take(desk: Desk, order: Order) -> int:
    """Trade against the book up to the limit; returns the lots that are left."""
    left = order.lots
    while left > 0:
        price_ticks = _best_opposite(desk.book, order.side)
        if price_ticks == NO_PRICE or order.side * (order.limit_ticks - price_ticks) < 0:
            break
        if order.flags & REDUCE_ONLY:
            left = min(left, reducible_lots(desk, order.account, order.side))
        left -= trade_front(desk, order.account, order.side, left, _TRADE)
    return left


@kernel()
def _rest(desk: Desk, order: Order, lots: int) -> None:
    slot = find(desk.book, insert(desk.book, order.account, order.side, order.limit_ticks, lots))
    desk.book.orders[slot].flags = order.flags
    if order.flags & REDUCE_ONLY:
        return
    if order.side > 0:
        desk.positions.open_bid_lots[order.account] += lots
    else:
        desk.positions.open_ask_lots[order.account] += lots


@kernel()
def _place(desk: Desk, rules: Rules, order: Order) -> int:
    code, order = _admit(desk, rules, order)
    if code != 0:
        return code
    left = _take(desk, order)
    if left == 0:
        return _FILLED
    if not order.flags & IMMEDIATE_OR_CANCEL:
        _rest(desk, order, left)
        return _RESTING
    if left < order.lots:
        return _PARTLY_FILLED
    return _NO_LIQUIDITY if order.flags & MARKET else _UNFILLED


@kernel()
def _cancel(desk: Desk, account: int, order: int) -> int:
    slot = find(desk.book, order)
    if slot == NO_SLOT or desk.book.orders[slot].account != account:
        return _UNKNOWN_ORDER
    drop_order(desk, slot)
    return _CANCELLED


@kernel()
def free_margin_atoms(desk: Desk, rules: Rules, account: int) -> int:
    """What may be withdrawn: the lesser of equity and wallet, less initial margin."""
    positions, terms = desk.positions, desk.terms
    contracts = positions.balances[account, terms.contract]
    wallet = positions.balances[account, terms.margin] + positions.entry_atoms[account]
    bids, asks = positions.open_bid_lots[account], positions.open_ask_lots[account]
    exposed = max(abs(contracts + bids), abs(contracts - asks))
    needed = requirement_atoms(rules.initial, exposed * terms.mark_ticks * terms.notional_atoms)
    return min(equity_atoms(positions, terms, account), wallet) - needed


@kernel()
def _move_collateral(desk: Desk, account: int, collateral_atoms: int) -> None:
    """From the account to the vault, against a claim on the vault; negative: back."""
    balances, terms = desk.positions.balances, desk.terms
    balances[account, terms.quote] -= collateral_atoms
    balances[terms.vault, terms.quote] += collateral_atoms
    balances[account, terms.margin] += collateral_atoms
    balances[terms.vault, terms.margin] -= collateral_atoms


@kernel()
def _transfer(desk: Desk, rules: Rules, account: int, collateral_atoms: int) -> int:
    """Deposit, or withdraw where the amount is negative."""
    balances, terms = desk.positions.balances, desk.terms
    if collateral_atoms > 0 and balances[account, terms.quote] < collateral_atoms:
        return _INSUFFICIENT_BALANCE
    if collateral_atoms < 0:
        free = free_margin_atoms(desk, rules, account)
        if -collateral_atoms > min(free, balances[terms.vault, terms.quote]):
            return _INSUFFICIENT_MARGIN
    _move_collateral(desk, account, collateral_atoms)
    return _DONE


@kernel()
def _is_plain(intent: Any) -> bool:
    """Whether an order asks for neither trigger, nor display, nor expiry."""
    return intent.trigger_ticks == 0 and intent.display_lots == 0 and intent.expiry_step == 0


@kernel()
def execute(desk: Desk, rules: Rules, intents: NDArray[np.void], codes: NDArray[np.int64]) -> None:
    """Carry out intents in order; book and fills must have room for all of them."""
    for row in range(len(intents)):
        intent = intents[row]
        account, action = intent.account, intent.action
        code = _INVALID
        if account <= 0 or account >= len(desk.book.heads) or desk.book.heads[account] < 0:
            pass
        elif action == PLACE and _is_plain(intent):
            order = Order(account, intent.side, intent.size, intent.limit, intent.flags)
            code = _place(desk, rules, order)
        elif action == CANCEL:
            code = _cancel(desk, account, intent.order)
        elif action == CANCEL_ALL:
            drop_orders(desk, account)
            code = _CANCELLED
        elif action == DEPOSIT and intent.size > 0:
            code = _transfer(desk, rules, account, intent.size)
        elif action == WITHDRAW and intent.size > 0:
            code = _transfer(desk, rules, account, -intent.size)
        codes[row] = code
