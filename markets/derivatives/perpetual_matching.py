"""The batch loop of a perpetual: intents row by row, a code for each, fills in a buffer.

PLACE goes through `order_admission`, meets the book in price-time order and leaves the rest there,
unless it is immediate-or-cancel. CANCEL and CANCEL_ALL take own orders out. DEPOSIT turns
collateral into a claim on the vault; WITHDRAW turns free margin back, unrealised profit apart, as
far as the vault holds collateral. In a group a deposit is margin for all contracts, and one flagged
ISOLATED for this alone; other margin is withdrawn at the house. Codes are those of the spot book,
with INSUFFICIENT_MARGIN and REDUCE_ONLY. Room for orders and fills is the caller's business and
must be there before. Left out: stops, icebergs and orders with an expiry, which are refused;
changing an order in place.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.desk import (
    Desk,
    drop_order,
    drop_orders,
    drop_uncovered,
    reducible_lots,
    trade_front,
)
from markets.derivatives.order_admission import (
    Order,
    admit,
    best_opposite_ticks,
    free_margin_atoms,
)
from markets.intents import (
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    IMMEDIATE_OR_CANCEL,
    ISOLATED,
    MARKET,
    PLACE,
    REDUCE_ONLY,
    WITHDRAW,
)
from markets.kernel import kernel
from markets.outcomes import Code, Reason
from markets.spot.book import NO_PRICE, NO_SLOT, find, insert

_CANCELLED = int(Code.CANCELLED)
_DONE = int(Code.DONE)
_FILLED = int(Code.FILLED)
_INSUFFICIENT_BALANCE = int(Code.INSUFFICIENT_BALANCE)
_INSUFFICIENT_MARGIN = int(Code.INSUFFICIENT_MARGIN)
_INVALID = int(Code.INVALID)
_NO_LIQUIDITY = int(Code.NO_LIQUIDITY)
_PARTLY_FILLED = int(Code.PARTLY_FILLED)
_RESTING = int(Code.RESTING)
_UNFILLED = int(Code.UNFILLED)
_UNKNOWN_ORDER = int(Code.UNKNOWN_ORDER)
_TRADE = int(Reason.TRADE)


@kernel()
def _take(desk: Desk, order: Order) -> int:
    """Trade against the book up to the limit; returns the lots that are left."""
    left = order.lots
    while left > 0:
        price_ticks = best_opposite_ticks(desk.book, order.side)
        if price_ticks == NO_PRICE or order.side * (order.limit_ticks - price_ticks) < 0:
            break
        if order.flags & REDUCE_ONLY:
            left = min(left, reducible_lots(desk, order.account, order.side))
        left -= trade_front(desk, order.account, order.side, left, _TRADE)
    if order.flags & REDUCE_ONLY:
        drop_uncovered(desk, order.account, order.side)
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
def _place(desk: Desk, order: Order) -> int:
    code, order = admit(desk, order)
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
def _move_collateral(desk: Desk, account: int, collateral_atoms: int) -> None:
    """From the account to the vault, against a claim on the vault; negative: back."""
    balances, terms = desk.positions.balances, desk.terms
    balances[account, terms.quote] -= collateral_atoms
    balances[terms.vault, terms.quote] += collateral_atoms
    balances[account, terms.margin] += collateral_atoms
    balances[terms.vault, terms.margin] -= collateral_atoms
    desk.positions.deposited_atoms[account] += collateral_atoms


@kernel()
def _isolate(desk: Desk, account: int) -> bool:
    """Hold an account's margin here apart from the rest, unless it has a position or orders."""
    positions, terms = desk.positions, desk.terms
    if positions.balances[account, terms.contract] != 0 or desk.book.heads[account] > 0:
        return False
    positions.isolated[account] = True
    positions.other_equity[account] = -positions.balances[account, terms.margin]
    positions.other_initial[account] = 0
    positions.other_maintenance[account] = 0
    return True


@kernel()
def _transfer_in_group(desk: Desk, account: int, collateral_atoms: int, isolated: bool) -> int:
    """Deposit for all contracts or for this one; withdraw, below 0, what is isolated here."""
    positions, terms = desk.positions, desk.terms
    if collateral_atoms > 0:
        if positions.balances[account, terms.quote] < collateral_atoms:
            return _INSUFFICIENT_BALANCE
        if isolated and not positions.isolated[account] and not _isolate(desk, account):
            return _INVALID
    elif not isolated or not positions.isolated[account]:
        return _INVALID
    elif -collateral_atoms > min(
        free_margin_atoms(desk, account), positions.balances[terms.vault, terms.quote]
    ):
        return _INSUFFICIENT_MARGIN
    _move_collateral(desk, account, collateral_atoms)
    if positions.isolated[account] and not isolated:
        positions.other_equity[account] -= collateral_atoms
    return _DONE


@kernel()
def _transfer(desk: Desk, account: int, collateral_atoms: int, flags: int) -> int:
    """Deposit, or withdraw where the amount is negative."""
    balances, terms = desk.positions.balances, desk.terms
    if terms.grouped:
        isolated = flags & ISOLATED != 0
        return _transfer_in_group(desk, account, collateral_atoms, isolated)
    if collateral_atoms > 0 and balances[account, terms.quote] < collateral_atoms:
        return _INSUFFICIENT_BALANCE
    if collateral_atoms < 0:
        free = free_margin_atoms(desk, account)
        if -collateral_atoms > min(free, balances[terms.vault, terms.quote]):
            return _INSUFFICIENT_MARGIN
    _move_collateral(desk, account, collateral_atoms)
    return _DONE


@kernel()
def _may_send(desk: Desk, account: int) -> bool:
    """Whether intents of the account are heard; the fund's order is not placed by intents."""
    if account <= 0 or account >= len(desk.book.heads):
        return False
    return account != desk.terms.fund and desk.book.heads[account] >= 0


@kernel()
def _is_plain(intent: Any) -> bool:
    """Whether an order asks for neither trigger, nor display, nor expiry."""
    return intent.trigger_ticks == 0 and intent.display_lots == 0 and intent.expiry_step == 0


@kernel()
def execute(desk: Desk, intents: NDArray[np.void], codes: NDArray[np.int64]) -> None:
    """Carry out intents in order; book and fills must have room for all of them."""
    for row in range(len(intents)):
        intent = intents[row]
        account, action = intent.account, intent.action
        code = _INVALID
        if not _may_send(desk, account):
            pass
        elif action == PLACE and _is_plain(intent):
            order = Order(account, intent.side, intent.size, intent.limit, intent.flags)
            code = _place(desk, order)
        elif action == CANCEL:
            code = _cancel(desk, account, intent.order)
        elif action == CANCEL_ALL:
            drop_orders(desk, account)
            code = _CANCELLED
        elif action == DEPOSIT and intent.size > 0:
            code = _transfer(desk, account, intent.size, intent.flags)
        elif action == WITHDRAW and intent.size > 0:
            code = _transfer(desk, account, -intent.size, intent.flags)
        codes[row] = code
