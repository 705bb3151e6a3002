"""Rounds: an exchange that hears everybody in turn, one message of each owner at a time.

The first message of each owner comes before anybody's second, the second before the third:

    order of execution: (place among the owner's messages, latency of the account, order sent)

so that in one step a dealer and a crowd can go through many rounds of quote and trade, one after
the other, as long as what is said in a round needs nothing that happens in the rounds before it.
"""

import numpy as np
from numpy.typing import NDArray

from markets.domain import Domain
from markets.intents import take
from markets.venue import Moment


class Rounds(Domain):
    """An exchange in rounds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """See `Domain.batch`."""
        account = intents["account"]
        latency = self._market.latency_seconds[account]
        turn = turns(self._market.ledger.owner[account])
        return take(intents, np.lexsort((latency, turn)))


def turns(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many messages of the same owner come before each."""
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner)
    turn = np.empty(len(owner), np.int64)
    turn[order] = np.arange(len(owner)) - np.repeat(counts.cumsum() - counts, counts)
    return turn
