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

from markets.outcomes import FILL, Fills, joined
from markets.spot.book import NO_PRICE, Book
from markets.spot.desk import Desk
from markets.spot.messages import make_room, match_batch
from markets.spot.settlement import FILLED_ROWS, NEEDED_TICKS, SelfTrade, blank_tally


class MatchingBook:
    """Takes rows of dtype INTENT, gives codes and fills; `book` and `stops` are what rests."""

    def __init__(self, accounts: int, self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST) -> None:
        self.book = Book(accounts=accounts + 1)
        self.stops = Book(orders=16, price_range=64, accounts=accounts + 1)
        self._tally, self._desk = blank_tally(), Desk()
        self._desk.terms.self_trade = self_trade
        self._fill_buffer: Fills = np.empty(4096, FILL)
        self._fills: list[Fills] = []
        self._lay()

    def _lay(self) -> None:
        no_money = np.zeros((1, 2), np.int64)
        batch = (self._fill_buffer, self._tally, no_money, no_money)
        self._address = self._desk.lay(self.book.arrays, self.stops.arrays, *batch)

    def execute(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        """Carry out all rows in turn; returns their codes."""
        codes, done = np.empty(len(intents), np.int64), 0
        while True:
            done = match_batch(self._address, intents, codes, done)
            if self._tally[NEEDED_TICKS] == NO_PRICE:
                return codes
            self._keep()
            books = (self.book, self.stops)
            self._fill_buffer = make_room(books, self._tally, self._fill_buffer, len(codes) - done)
            self._lay()

    def _keep(self) -> None:
        """Copy the fills out of the buffer."""
        self._fills.append(joined([self._fill_buffer[: self._tally[FILLED_ROWS]]]))
        self._tally[FILLED_ROWS] = 0

    def drain_fills(self) -> Fills:
        """The fills since the last call."""
        self._keep()
        fills = joined(self._fills)
        self._fills.clear()
        return fills
