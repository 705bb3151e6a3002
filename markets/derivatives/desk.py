"""The desk: what every trade of a perpetual touches, and the trade itself.

A trade moves contracts one way and their cost in claims the other (see `positions`). Fees are
rounded up, rebates down, each fill for itself; a forced trade (a liquidation) pays no taker fee and
earns no rebate, so that the fee account never owes; the fund's own order is free. Reduce-only
orders are cut to what their account still holds, and go when that is nothing. Meeting one's own
order cancels the resting one. Open lots by account count what may add to a position: all resting
orders but the reduce-only ones. Nothing is in escrow. An order that can only reduce enters without
margin; where a reduce-only order or ADL then takes the position from under it, it would open one.
Such orders are cancelled, newest first, as far as equity does not cover

    IM(notional at the mark of the lots on offer beyond the position)

as OKX does; Hyperliquid and dYdX drop them when they would fill.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.brackets import Brackets, requirement_atoms
from markets.derivatives.positions import (
    Positions,
    Terms,
    cost_atoms,
    equity_atoms,
    take_lots,
    value_atoms,
)
from markets.intents import REDUCE_ONLY
from markets.kernel import kernel
from markets.outcomes import Reason
from markets.rounding import ppm_up
from markets.spot.book import BookArrays, front, order_id, reduce, unlink

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
    rules: Rules
    fills: NDArray[np.void]
    fill_count: NDArray[np.int64]


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
def drop_order(desk: Desk, slot: int) -> None:
    """Take a resting order out of the book and off its account's open lots."""
    order = desk.book.orders[slot]
    _release(desk, slot, order.remaining_lots)
    unlink(desk.book, slot)


@kernel()
def drop_orders(desk: Desk, account: int) -> None:
    """Take all resting orders of an account out of the book."""
    while desk.book.heads[account] > 0:
        drop_order(desk, desk.book.heads[account])


@kernel()
def clear_book(desk: Desk) -> None:
    """Take all resting orders out of the book."""
    for account in range(len(desk.book.heads)):
        drop_orders(desk, account)


@kernel()
def reducible_lots(desk: Desk, account: int, side: int) -> int:
    """How many lots of `side` would only reduce the account's position."""
    return max(0, -side * desk.positions.balances[account, desk.terms.contract])


@kernel()
def _is_covered(desk: Desk, account: int, lots: int) -> bool:
    """Whether the account has the initial margin of a position of so many lots."""
    positions, terms = desk.positions, desk.terms
    needed = requirement_atoms(desk.rules.initial, abs(value_atoms(terms, lots, terms.mark_ticks)))
    if terms.grouped:
        needed += positions.other_initial[account]
    return equity_atoms(positions, terms, account) >= needed


@kernel()
def drop_uncovered(desk: Desk, account: int, side: int) -> None:
    """Cancel orders of `side` that would open a position without margin, newest first."""
    offered = desk.positions.open_bid_lots if side > 0 else desk.positions.open_ask_lots
    reducible = reducible_lots(desk, account, side)
    slot = desk.book.heads[account]
    while slot > 0 and offered[account] > reducible:
        if _is_covered(desk, account, offered[account] - reducible):
            return
        order = desk.book.orders[slot]
        after = order.account_next
        if order.side == side and not order.flags & REDUCE_ONLY:
            drop_order(desk, slot)
        slot = after


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

    A forced trade pays no taker fee and earns its maker no rebate; the fund's order is free.
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
    cost = cost_atoms(terms, side * traded, price_ticks)
    quote_atoms = abs(cost)
    taker_fee, maker_fee = 0, ppm_up(quote_atoms, terms.maker_fee_ppm)
    if reason == _TRADE:
        taker_fee = ppm_up(quote_atoms, terms.taker_fee_ppm)
    else:
        maker_fee = max(0, maker_fee)
    if maker == terms.fund:
        maker_fee = 0
    take_lots(positions, terms, taker, side * traded, cost)
    take_lots(positions, terms, maker, -side * traded, -cost)
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
    reduces = order.flags & REDUCE_ONLY != 0
    _release(desk, slot, traded)
    reduce(book, slot, traded)
    if reduces:
        if order.side != 0 and reducible_lots(desk, maker, -side) == 0:
            unlink(book, slot)
        drop_uncovered(desk, maker, -side)
    return traded
