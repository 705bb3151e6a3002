"""The fund's order: what it has taken over rests in the book at the price that covers its claim.

For n lots that came with a claim m the order waits at the bankruptcy price, in ticks,

    the worst price at which  m + proceeds of n lots >= 0,

reduce-only and free of fees, so that a fill never costs the fund anything; better bids in the book
are taken as the lots come. Lots taken later join at the average price of all. The order keeps its
place while price and side stay and it need not grow. A fill of x lots takes ceil(m x / n) of the
claim along, each fill for itself. `rest_seconds` after it began to hold lots the fund also spends
its own on them, in the book, best price first, and the order takes what is left. ADL and the sale
at any price wait until the fund is exhausted: worth nothing at the mark with all that it holds. The
order does not rest at prices that the book has no room for. Source: BitMEX liquidation page (the
engine works a limit order at the bankruptcy price). Left out: an order for each takeover.
"""

from markets.derivatives.desk import Desk, drop_orders
from markets.derivatives.order_admission import best_opposite_ticks, covered_limit
from markets.derivatives.positions import share_up
from markets.intents import REDUCE_ONLY
from markets.kernel import kernel
from markets.spot.book import NO_PRICE, find, fits, insert, reduce


@kernel()
def claim_left(desk: Desk, first_fill: int, held_lots: int, claim_atoms: int) -> int:
    """What is left of the claim of signed lots after the fills of the fund's order since one."""
    left, claim = abs(held_lots), claim_atoms
    for place in range(first_fill, desk.fill_count[0]):
        fill = desk.fills[place]
        if fill.maker == desk.terms.fund:
            claim -= share_up(claim, fill.size_lots, left)
            left -= fill.size_lots
    return claim


@kernel()
def offer_held(desk: Desk, claim_atoms: int, waits: bool) -> None:
    """Let what the fund holds rest in the book, or nothing; there must be room for one order."""
    book, terms = desk.book, desk.terms
    held = desk.positions.balances[terms.fund, terms.contract]
    side, lots = -1 if held > 0 else 1, abs(held)
    limit_ticks = 0
    if waits and lots > 0:
        limit_ticks = covered_limit(terms, side, lots, claim_atoms, 0)
    slot = book.heads[terms.fund]
    if slot > 0 and limit_ticks > 0:
        order = book.orders[slot]
        same = order.side == side and order.price_ticks == limit_ticks
        if same and order.remaining_lots >= lots:
            reduce(book, slot, order.remaining_lots - lots)
            return
    drop_orders(desk, terms.fund)
    best_ticks = best_opposite_ticks(book, side)
    crosses = best_ticks != NO_PRICE and side * (limit_ticks - best_ticks) >= 0
    if limit_ticks > 0 and fits(book, limit_ticks) and not crosses:
        slot = find(book, insert(book, terms.fund, side, limit_ticks, lots))
        book.orders[slot].flags = REDUCE_ONLY
