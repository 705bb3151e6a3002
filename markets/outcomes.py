"""What came of it: a code for each intent, a row for each fill, a row for each payment.

A code below zero is a reject: nothing was moved. Every other code says how far the intent came.
`FILL` rows are trades between two accounts. `FLOW` rows say who paid whom, in which asset and why;
they explain postings that the ledger already holds and move nothing themselves. Two reasons are no
postings but valuations of a pool's swaps at the price outside: ARBITRAGE is what a taker gained by
it before the fee, SLIPPAGE what one lost; less the FEE beside them they are the taker's whole gain.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Code(IntEnum):
    """What became of an intent.

    Orders: RESTING in the book, all of it or what did not trade; FILLED; PARTLY_FILLED and the rest
    dropped; UNFILLED and all dropped; WAITING, a stop for its trigger or a message for the end of
    an outage; CANCELLED. Everything else that was done is DONE. PENDING is no answer: kernels ask
    for more room with it.

    INVALID is no message that this venue knows, or its columns contradict each other (a display of
    more parts than allowed, POST_ONLY with MARKET, REDUCE_ONLY at a spot venue).
    INSUFFICIENT_BALANCE and INSUFFICIENT_MARGIN: it is not covered. WOULD_CROSS: POST_ONLY would
    trade. UNKNOWN_ORDER: there is none with that id, or another account's. BEYOND_LIMIT: a swap or
    bid would be worse than it allows. NO_LIQUIDITY: nothing to trade with. OUT_OF_RANGE: ticks or
    amounts that the venue cannot hold, or a position that is safe. REDUCE_ONLY: it would add to a
    position. SELF_TRADE: the first that it met was an order of its own. BELOW_MINIMUM, OUTSIDE_BAND
    and TOO_MANY_ORDERS are limits on clients; a call refuses what is OUTSIDE_BAND of its edges too.
    HALTED and OUTAGE are phases. BUNDLE_FAILED and UNPAID_GAS: as a chain says.
    """

    PENDING = 0
    RESTING = 1
    FILLED = 2
    PARTLY_FILLED = 3
    UNFILLED = 4
    CANCELLED = 5
    DONE = 6
    WAITING = 7
    INVALID = -1
    INSUFFICIENT_BALANCE = -2
    INSUFFICIENT_MARGIN = -3
    WOULD_CROSS = -4
    UNKNOWN_ORDER = -5
    BEYOND_LIMIT = -6
    NO_LIQUIDITY = -7
    OUT_OF_RANGE = -8
    REDUCE_ONLY = -9
    BUNDLE_FAILED = -10
    UNPAID_GAS = -11
    SELF_TRADE = -12
    BELOW_MINIMUM = -20
    OUTSIDE_BAND = -21
    TOO_MANY_ORDERS = -22
    HALTED = -23
    OUTAGE = -24


class Reason(IntEnum):
    """Why value moved."""

    TRADE = 0
    FEE = 1
    FUNDING = 2
    INTEREST = 3
    LIQUIDATION = 4
    ADL = 5
    ARBITRAGE = 6
    SLIPPAGE = 7
    INSURANCE = 8
    GAS = 9
    CLAWBACK = 10
    RENT = 11
    REWARD = 12


FILL = np.dtype(
    [
        ("taker", np.int64),
        ("maker", np.int64),
        ("maker_order", np.int64),
        ("side", np.int64),
        ("price_ticks", np.int64),
        ("size_lots", np.int64),
        ("base_atoms", np.int64),
        ("quote_atoms", np.int64),
        ("taker_fee_atoms", np.int64),
        ("maker_fee_atoms", np.int64),
        ("reason", np.int64),
    ]
)
"""Accounts, the taker's side, base and quote exchanged before fees. Order books: fees in quote
atoms, rebates below 0. Pools: `maker` is the pool, `price_ticks` and `size_lots` are 0,
`maker_order` is 8 x coin paid + coin received (BUY 8, SELL 1), base is the coin of lower index, and
the taker's fee is in the coin paid, or in the coin received where the venue takes it there."""

FLOW = np.dtype(
    [
        ("payer", np.int64),
        ("receiver", np.int64),
        ("asset", np.int64),
        ("atoms", np.int64),
        ("reason", np.int64),
    ]
)
"""Accounts, the asset's column in the ledger, and an amount in atoms that is not negative."""

Fills = NDArray[np.void]
Flows = NDArray[np.void]

NO_FILLS: Fills = np.zeros(0, FILL)
NO_FLOWS: Flows = np.zeros(0, FLOW)


def joined(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """The rows of one or more arrays in one of its own; NumPy would copy records by field."""
    whole = bytearray().join(map(np.ascontiguousarray, parts))  # type: ignore[arg-type]
    return np.frombuffer(whole, parts[0].dtype)


def drained(parts: list[NDArray[np.void]], nothing: NDArray[np.void]) -> NDArray[np.void]:
    """The rows of all parts, of which the list is rid; one alone is handed over, for reading."""
    if not parts:
        return nothing
    rows = parts[0] if len(parts) == 1 else joined(parts)
    parts.clear()
    return rows


def flows(
    payer: NDArray[np.int64] | int,
    receiver: NDArray[np.int64] | int,
    asset: int,
    atoms: NDArray[np.int64],
    reason: Reason,
) -> Flows:
    """Payments as FLOW rows; where the amount is negative, payer and receiver change places."""
    rows = np.empty(len(atoms), FLOW)
    back = atoms < 0
    rows["payer"], rows["receiver"] = payer, receiver
    np.copyto(rows["payer"], receiver, where=back)
    np.copyto(rows["receiver"], payer, where=back)
    rows["asset"], rows["reason"] = asset, reason
    np.abs(atoms, out=rows["atoms"])
    return rows if atoms.all() else rows[atoms != 0]


def fee_flows(fills: Fills, fee_account: int, asset: int) -> Flows:
    """What takers and makers of the fills paid the venue; rebates flow the other way."""
    sides = (("taker", "taker_fee_atoms"), ("maker", "maker_fee_atoms"))
    return np.concatenate(
        [flows(fills[who], fee_account, asset, fills[fee], Reason.FEE) for who, fee in sides]
    )
