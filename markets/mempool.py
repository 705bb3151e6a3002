"""Pending transactions of a chain: the public queue, and what went straight to the builder.

A transaction is an intent, or the rows of one bundle; it gets a number when it is sent and keeps it
while it waits, so that two bundles of one account under one key stay two. Bundle keys are replaced
by the number below zero, which is unique whoever's rows it ties together. Public transactions can
be seen and named by others at once, and reach the builder after the chain's public delay; private
ones are seen by nobody and reach it at once. Where the queue is full the lowest tips for a unit of
gas leave it.
Left out: nonces (transactions of one account are independent), replacement of what was sent.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.gas import GasSchedule
from markets.intents import INCLUDE, INTENT, PRIVATE, take
from markets.sequencing import first_rows, transactions


class Pending(NamedTuple):
    """Rows that wait, with the number, the privacy and the arrival of their transaction."""

    rows: NDArray[np.void]
    number: NDArray[np.int64]
    private: NDArray[np.bool_]
    arrival_seconds: NDArray[np.float64]

    def where(self, mask: NDArray[np.bool_]) -> "Pending":
        """The rows of a mask."""
        kept = np.flatnonzero(mask)
        return Pending(
            take(self.rows, kept),
            self.number[kept],
            self.private[kept],
            self.arrival_seconds[kept],
        )


def nothing_pending() -> Pending:
    """An empty queue."""
    numbers, private = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    return Pending(np.zeros(0, INTENT), numbers, private, np.zeros(0))


class Mempool:
    """What waits for a block of one chain, in the order in which it was sent."""

    def __init__(self, public_delay_seconds: float, queue_limit: int, gas: GasSchedule) -> None:
        self._gas, self._own_gas = gas.by_action(), gas.transaction
        self.pending = nothing_pending()
        self._delay = public_delay_seconds
        self._limit = queue_limit
        self._sent = 0

    def __len__(self) -> int:
        return len(self.pending.rows)

    def add(self, intents: NDArray[np.void], seconds: float) -> None:
        """Take in what was sent at a time."""
        within = transactions(intents)
        number = within + self._sent + 1
        self._sent += int(within[-1]) + 1
        rows = intents.copy()
        rows["bundle"] = np.where(rows["bundle"] != 0, -number, 0)
        marked = ((rows["flags"] & PRIVATE) != 0) | (rows["action"] == INCLUDE)
        private = np.zeros(int(within[-1]) + 1, np.bool_)
        np.logical_or.at(private, within, marked)
        hidden = private[within]
        arrival = np.where(hidden, seconds, seconds + self._delay)
        self._append(Pending(rows, number, hidden, arrival))

    def _append(self, more: Pending) -> None:
        if len(self.pending.rows):
            joined = (np.concatenate(pair) for pair in zip(self.pending, more, strict=True))
            more = Pending._make(joined)
        self.pending = more
        first = first_rows(more.number)
        excess = len(first) - self._limit
        if excess > 0:
            gas = np.add.reduceat(self._gas[more.rows["action"]], first) + self._own_gas
            prices = more.rows["tip_atoms"][first] / gas
            dropped = more.number[first[np.lexsort((-more.number[first], prices))[:excess]]]
            self.keep(~np.isin(more.number, dropped))

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Let go of the rows outside the mask."""
        self.pending = self.pending.where(mask) if mask.any() else nothing_pending()

    def public(self) -> Pending:
        """What everybody sees."""
        if not len(self.pending.rows):
            return self.pending
        return self.pending.where(~self.pending.private)
