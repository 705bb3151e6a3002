"""What a futures book says to the mark: its mid, and the average price of a fixed notional.

The impact notional is in quote units and buys or sells base, an inverse contract's lots counting
their quote value over the price of their level. Levels are read in growing numbers until they hold
the notional; a side that never does has no impact price (NaN), and so no premium (dYdX).
"""

from math import isnan, nan
from typing import NamedTuple

import numpy as np

from markets.derivatives.contract_form import ContractForm
from markets.derivatives.funding import impact_price
from markets.spot.book import Book

_FIRST_LEVELS = 16


class BookQuotes(NamedTuple):
    """What the venue's own book says: mid, impact prices, best quotes; NaN where there is none."""

    mid: float
    impact_bid: float
    impact_ask: float
    bid: float = nan
    ask: float = nan


def book_quotes(book: Book, form: ContractForm, notional_quote: float) -> BookQuotes:
    """Mid, impact and best prices of a book, NaN where there is none."""
    bid_ticks, ask_ticks = book.bid_ticks, book.ask_ticks
    mid = nan
    if bid_ticks >= 0 and ask_ticks >= 0:
        mid = form.instrument.to_price((bid_ticks + ask_ticks) / 2)
    impact = [_impact_price(book, form, notional_quote, side) for side in (1, -1)]
    best = [form.instrument.to_price(t) if t >= 0 else nan for t in (bid_ticks, ask_ticks)]
    return BookQuotes(mid, *impact, *best)


def _impact_price(book: Book, form: ContractForm, notional_quote: float, side: int) -> float:
    count = _FIRST_LEVELS
    while True:
        price_ticks, size_lots = book.levels(side, count)
        prices = np.asarray(form.instrument.to_price(price_ticks), np.float64)
        sizes = np.asarray(form.to_base(size_lots, prices), np.float64)
        average = float(impact_price(prices, sizes, notional_quote))
        if len(price_ticks) < count or not isnan(average):
            return average
        count *= 4
