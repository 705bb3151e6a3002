"""Which orders a perpetual lets in: form, margin, and how far they may go.

An order that may add to a position must find

    equity - open loss - fees >= IM(notional at the mark of max(|c + bids|, |c - asks|)),

open loss = what the order would lose at once against the mark, taking the book as it stands up to
its limit and resting at its limit; where maintenance is of the notional at entry, what is held
counts with that if it is more, so that IM never asks for less. `bids` and `asks` count the lots on
offer, this order included and reduce-only orders not. An order that can only reduce needs no
margin, but may not trade beyond the account's own bankruptcy price (BitMEX's rule): market orders
stop there, others are refused. Market orders stop at a band round the mark as well. A resting order
is not checked again when it fills, as on the large central venues; but those that the margin no
longer covers are cancelled once a reduce-only order or ADL has taken the position that they would
have reduced (see `desk`). Rounding: requirements and fees up, what may be withdrawn down.
"""

from typing import NamedTuple

from markets.derivatives.brackets import requirement_atoms
from markets.derivatives.contract import INVERSE
from markets.derivatives.desk import Desk, reducible_lots
from markets.derivatives.positions import (
    Terms,
    backing_atoms,
    cost_atoms,
    equity_atoms,
    exposed_atoms,
    pricer,
    value_atoms,
)
from markets.intents import IMMEDIATE_OR_CANCEL, MARKET, POST_ONLY, REDUCE_ONLY
from markets.kernel import kernel
from markets.outcomes import Code
from markets.rounding import PPM, ppm_down, ppm_up
from markets.spot.book import (
    MAX_PRICE_TICKS,
    NO_PRICE,
    BookArrays,
    best_ask_ticks,
    best_bid_ticks,
    level_lots,
    next_ask_ticks,
    next_bid_ticks,
)

MAX_LOTS = 2**31 - 1
"""Largest order, and largest position with all its open orders."""
MAX_NOTIONAL_ATOMS = 2**60

_KNOWN_FLAGS = IMMEDIATE_OR_CANCEL | POST_ONLY | MARKET | REDUCE_ONLY
_INSUFFICIENT_MARGIN = int(Code.INSUFFICIENT_MARGIN)
_INVALID = int(Code.INVALID)
_NO_LIQUIDITY = int(Code.NO_LIQUIDITY)
_OUT_OF_RANGE = int(Code.OUT_OF_RANGE)
_REDUCE_ONLY = int(Code.REDUCE_ONLY)
_WOULD_CROSS = int(Code.WOULD_CROSS)


class Order(NamedTuple):
    """An order on its way in."""

    account: int
    side: int
    lots: int
    limit_ticks: int
    flags: int


@kernel()
def best_opposite_ticks(book: BookArrays, side: int) -> int:
    """Best price that an order of `side` would meet, or NO_PRICE."""
    return best_ask_ticks(book) if side > 0 else best_bid_ticks(book)


@kernel()
def _book_cost(desk: Desk, order: Order) -> tuple[int, int]:
    """Lots that the book would give up to the limit, and their signed cost in atoms."""
    left, cost = order.lots, 0
    price_ticks = best_opposite_ticks(desk.book, order.side)
    while left > 0 and price_ticks != NO_PRICE:
        if order.side * (order.limit_ticks - price_ticks) < 0:
            break
        taken = min(left, level_lots(desk.book, -order.side, price_ticks))
        cost += cost_atoms(desk.terms, order.side * taken, price_ticks)
        left -= taken
        if order.side > 0:
            price_ticks = next_ask_ticks(desk.book, price_ticks)
        else:
            price_ticks = next_bid_ticks(desk.book, price_ticks)
    return order.lots - left, cost


@kernel()
def _initial_atoms(desk: Desk, account: int, open_lots: tuple[int, int]) -> int:
    """Initial margin of a position with so many lots on the bid and the ask."""
    by = pricer(desk.terms, desk.terms.mark_ticks)
    exposed = exposed_atoms(desk.positions, desk.terms, by, account, open_lots)
    return requirement_atoms(desk.rules.initial, exposed)


@kernel()
def _enough_margin(desk: Desk, order: Order) -> bool:
    """Whether the account may add this order to what it holds and has on offer."""
    terms, positions = desk.terms, desk.positions
    lots, cost = _book_cost(desk, order)
    fees = ppm_up(abs(cost), max(terms.taker_fee_ppm, 0))
    if not order.flags & IMMEDIATE_OR_CANCEL:
        resting = cost_atoms(terms, order.side * (order.lots - lots), order.limit_ticks)
        fees += ppm_up(abs(resting), max(terms.maker_fee_ppm, 0))
        lots, cost = order.lots, cost + resting
    open_loss = max(0, cost - value_atoms(terms, order.side * lots, terms.mark_ticks))
    bids, asks = positions.open_bid_lots[order.account], positions.open_ask_lots[order.account]
    if order.side > 0:
        bids += lots
    else:
        asks += lots
    needed = _initial_atoms(desk, order.account, (bids, asks))
    if terms.grouped:
        needed += positions.other_initial[order.account]
    return equity_atoms(positions, terms, order.account) - open_loss - fees >= needed


@kernel()
def _inverse_solvent_limit(terms: Terms, signed_lots: int, claim: int, fee_ppm: int) -> int:
    """The same where value goes with 1/P: solved in floats, then stepped to the exact tick."""
    side = 1 if signed_lots > 0 else -1
    if side > 0 and claim >= 0:
        return MAX_PRICE_TICKS
    if side < 0 and claim <= 0:
        return MAX_PRICE_TICKS + 1
    if side > 0 and fee_ppm >= PPM:
        return 0
    kept = 1.0 - side * fee_ppm / PPM
    root = abs(float(signed_lots)) * terms.notional_atoms * kept / abs(float(claim))
    worst_ticks = int(min(max(root + side, 1.0), MAX_PRICE_TICKS))
    while 0 < worst_ticks <= MAX_PRICE_TICKS:
        cost = cost_atoms(terms, signed_lots, worst_ticks)
        if claim - cost - ppm_up(abs(cost), fee_ppm) >= 0:
            return worst_ticks
        worst_ticks -= side
    return worst_ticks


@kernel()
def solvent_limit(desk: Desk, account: int, side: int, fee_ppm: int) -> int:
    """Worst price in ticks at which the position can go, fees paid, without leaving a debt.

    One atom a lot is kept for the rounding of fees.
    """
    contracts = abs(desk.positions.balances[account, desk.terms.contract])
    claim = backing_atoms(desk.positions, desk.terms, account) - contracts
    return covered_limit(desk.terms, side, contracts, claim, fee_ppm)


@kernel()
def covered_limit(terms: Terms, side: int, contracts: int, claim: int, fee_ppm: int) -> int:
    """Worst price in ticks at which an order costs, with fees, no more than a claim.

    Below 1 a buyer cannot pay any price.
    """
    if terms.form == INVERSE:
        return _inverse_solvent_limit(terms, side * contracts, claim, fee_ppm)
    tick_atoms = contracts * terms.notional_atoms
    if side > 0:
        return (claim - ppm_up(claim, fee_ppm)) // tick_atoms
    if claim >= 0:
        return 1
    gross_ppm = -(-fee_ppm * PPM // (PPM - fee_ppm))
    return -((claim - ppm_up(-claim, gross_ppm)) // tick_atoms)


@kernel()
def band_limit(terms: Terms, side: int, band_ppm: int) -> int:
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
    if desk.terms.form == INVERSE:
        lowest_ticks = min(order.limit_ticks, desk.terms.mark_ticks)
        value = float(lots) * float(desk.terms.notional_atoms) / float(lowest_ticks)
    if lots > MAX_LOTS or value > MAX_NOTIONAL_ATOMS:
        return _OUT_OF_RANGE
    return 0


@kernel()
def admit(desk: Desk, order: Order) -> tuple[int, Order]:
    """The order as it may enter the book, or the code that refuses it."""
    if desk.terms.mark_ticks < 1:
        return _NO_LIQUIDITY, order
    if order.flags & MARKET:
        limit_ticks = band_limit(desk.terms, order.side, desk.rules.market_band_ppm)
        flags = order.flags | IMMEDIATE_OR_CANCEL
        order = Order(order.account, order.side, order.lots, limit_ticks, flags)
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
        opposite_ticks = best_opposite_ticks(desk.book, order.side)
        if opposite_ticks != NO_PRICE and order.side * (order.limit_ticks - opposite_ticks) >= 0:
            return _WOULD_CROSS, order
    offered = desk.positions.open_ask_lots[order.account]
    if order.side > 0:
        offered = desk.positions.open_bid_lots[order.account]
    if not order.flags & REDUCE_ONLY and offered + order.lots > reducible:
        return 0 if _enough_margin(desk, order) else _INSUFFICIENT_MARGIN, order
    fee_ppm = max(desk.terms.taker_fee_ppm, desk.terms.maker_fee_ppm, 0)
    worst_ticks = solvent_limit(desk, order.account, order.side, fee_ppm)
    if order.side * (order.limit_ticks - worst_ticks) <= 0:
        return 0, order
    if order.flags & MARKET:
        return 0, Order(order.account, order.side, order.lots, worst_ticks, order.flags)
    return _INSUFFICIENT_MARGIN, order


@kernel()
def free_margin_atoms(desk: Desk, account: int) -> int:
    """What may be withdrawn of margin that is this venue's alone.

    The lesser of equity and wallet, less initial margin. Before the first price nobody has a
    position or an order: it is all there is.
    """
    positions, terms = desk.positions, desk.terms
    wallet = backing_atoms(positions, terms, account) + positions.entry_atoms[account]
    if terms.mark_ticks < 1:
        return wallet
    open_lots = positions.open_bid_lots[account], positions.open_ask_lots[account]
    needed = _initial_atoms(desk, account, open_lots)
    return min(equity_atoms(positions, terms, account), wallet) - needed
