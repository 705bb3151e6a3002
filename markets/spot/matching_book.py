"""A book that matches and settles nothing, for replaying streams of messages and for queue studies.

The kernels are those of `OrderBook`, compiled once more for terms without money: no ledger, no
escrow, no fees. Everything that an account sends is covered. Price, then time; all order types,
stops and amendments as there; accounts are numbers from 1 on. In the fills a lot is an atom of
base, and a lot times a tick an atom of quote.

Left out, as they are a venue's: steps (what is good till a step stays), phases, guards, limits on
clients, pro rata. It is no venue: agents trade on `OrderBook`.
"""

import numpy as np
from numpy.typing import NDArray

from markets.errors import FathomError
from markets.intents import INTENT
from markets.outcomes import FILL, Fills, joined
from markets.spot.book import NO_PRICE, Book
from markets.spot.desk import Desk
from markets.spot.messages import make_room, match_batch
from markets.spot.settlement import FILLED_ROWS, NEEDED_TICKS, SelfTrade, blank_tally

_FILLS = 50_000
"""Large enough to lie on large pages, where fills are written without a fault a page."""


class MatchingBook:
    """Takes rows of dtype INTENT, gives codes and fills; `book` and `stops` are what rests."""

    def __init__(self, accounts: int, self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST) -> None:
        self.book = Book(accounts=accounts + 1)
        self.stops = Book(orders=16, price_range=64, accounts=accounts + 1)
        self._tally, self._desk = blank_tally(), Desk()
        self._desk.terms.self_trade = self_trade
        self._fill_buffer: Fills = np.empty(_FILLS, FILL)
        self._fills: list[Fills] = []
        self._lay()

    def _lay(self) -> None:
        no_money = np.zeros((1, 2), np.int64)
        batch = (self._fill_buffer, self._tally, no_money, no_money)
        self._address = self._desk.lay(self.book.arrays, self.stops.arrays, *batch)

    def execute(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        """Carry out all rows in turn; returns their codes. FathomError where they are no rows."""
        if getattr(intents, "dtype", None) != INTENT:
            raise FathomError("rows of dtype INTENT are needed: see `markets.intents.stack`")
        intents = np.ascontiguousarray(intents)
        codes, done = np.empty(len(intents), np.int64), 0
        while True:
            done = match_batch(self._address, intents, codes, done)
            if self._tally[NEEDED_TICKS] == NO_PRICE:
                return codes
            self._fills.append(self._newest_fills())
            books, blank = (self.book, self.stops), np.empty(len(self._fill_buffer), FILL)
            self._fill_buffer = make_room(books, self._tally, blank, len(codes) - done)
            self._lay()

    def _newest_fills(self) -> Fills:
        """The fills in the buffer, which counts as empty from here on."""
        count, self._tally[FILLED_ROWS] = int(self._tally[FILLED_ROWS]), 0
        return self._fill_buffer[:count]

    def drain_fills(self) -> Fills:
        """The fills since the last call."""
        fills = joined([*self._fills, self._newest_fills()])
        self._fills.clear()
        return fills
