"""The perpetual's own invariants, in one pass over its accounts and resting orders.

    vault           collateral + claim = 0: every claim of anybody is backed
    debt            a claim below 0 comes with a position, except where the fund may owe
    entry           no position, no cost; else, the fund apart, of the sign of its value
    open lots       the columns are what the account's resting orders say, reduce-only apart

Since contracts sum to zero (a ledger rule), claims and positions of all others then sum to the
collateral at any mark, and unrealised profits to zero.
"""

from markets.derivatives.contract import INVERSE
from markets.derivatives.positions import Positions, Terms
from markets.intents import REDUCE_ONLY
from markets.kernel import kernel
from markets.spot.book import BookArrays

FAULTS = (
    "",
    "claims are not the collateral held",
    "a debt without a position",
    "cost and position disagree",
    "open lots are not those in the book",
)


@kernel()
def _open_lots_off(book: BookArrays, positions: Positions, account: int) -> int:
    """How far an account's columns of open lots are from its resting orders."""
    bids, asks = positions.open_bid_lots[account], positions.open_ask_lots[account]
    slot = book.heads[account]
    while slot > 0:
        order = book.orders[slot]
        if not order.flags & REDUCE_ONLY:
            if order.side > 0:
                bids -= order.remaining_lots
            else:
                asks -= order.remaining_lots
        slot = order.account_next
    return max(abs(bids), abs(asks))


@kernel()
def first_fault(
    book: BookArrays, positions: Positions, terms: Terms, fund_may_owe: bool
) -> tuple[int, int, int]:
    """Index into FAULTS (0: none), the account and the difference."""
    balances = positions.balances
    backing = balances[terms.vault, terms.quote] + balances[terms.vault, terms.margin]
    if backing != 0 and not terms.grouped:
        return 1, terms.vault, backing
    for account in range(len(balances)):
        contracts = balances[account, terms.contract]
        claim = balances[account, terms.margin]
        entry = positions.entry_atoms[account]
        excused = (
            terms.grouped or account == terms.vault or (account == terms.fund and fund_may_owe)
        )
        if contracts == 0 and claim < 0 and not excused:
            return 2, account, claim
        sign = -1 if terms.form == INVERSE else 1
        against = (contracts > 0 and sign * entry < 0) or (contracts < 0 and sign * entry > 0)
        if (contracts == 0 and entry != 0) or (against and account != terms.fund):
            return 3, account, entry
        open_lots = positions.open_bid_lots[account] | positions.open_ask_lots[account]
        if book.heads[account] > 0 or open_lots != 0:
            off = _open_lots_off(book, positions, account)
            if off != 0:
                return 4, account, off
    return 0, 0, 0
