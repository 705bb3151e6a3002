"""The cover of resting orders: what is held in escrow for each, as columns.

Base for an ask. For a bid, with c the notional of what is left, n that of the whole order, r its
maker rate and p the fee already paid, in quote atoms,

    c + ceil(r n) - p

and c alone where the rate is a rebate. It says from the orders alone what the venue's escrow must
hold, to the atom; the kernels keep the sum as they go.
"""

import numpy as np
from numpy.typing import NDArray

from markets.rounding import PPM
from markets.spot.book import BookArrays
from markets.spot.desk import Terms
from markets.spot.settlement import ICEBERG, RATE_SHIFT
from markets.venue import Escrow


def cover(book: BookArrays, terms: Terms) -> list[Escrow]:
    """By order: base of asks, quote of bids."""
    slots = np.flatnonzero(book.orders["side"])
    orders = book.orders[slots]
    lots = orders["remaining_lots"].copy()
    hiding = orders["flags"] & ICEBERG != 0
    lots[hiding] += book.clauses["hidden_lots"][slots[hiding]]
    accounts, asks = orders["account"].astype(np.int64), orders["side"] < 0
    bids = orders[~asks]
    cost_atoms = bids["price_ticks"] * terms.notional_atoms
    due_atoms = cost_atoms * lots[~asks]
    rates_ppm = np.maximum(bids["flags"] >> RATE_SHIFT, 0)
    fees_atoms = _fees_up(cost_atoms * bids["size_lots"], rates_ppm) - bids["venue_atoms"]
    due_atoms += np.where(rates_ppm > 0, fees_atoms, 0)
    base, quote = (terms.escrow_row, terms.base_column), (terms.escrow_row, terms.quote_column)
    return [
        Escrow(*base, accounts[asks], lots[asks] * terms.lot_atoms),
        Escrow(*quote, accounts[~asks], due_atoms),
    ]


def _fees_up(notional_atoms: NDArray[np.int64], fee_ppm: NDArray[np.int64]) -> NDArray[np.int64]:
    """ceil(notional * fee / 10**6) on columns; see `markets.rounding.ppm_up`."""
    whole, rest = np.divmod(notional_atoms, PPM)
    return whole * fee_ppm - (-(rest * fee_ppm) // PPM)
