"""One order book that lives on Poisson flow alone: the stage of two reproductions.

The scenario has a single book that reads tapes, and one cohort of customers without intelligence
(see `agents.poisson_flow`). The measures take the feed of a step, so that they weigh every state of
the book with the time it lasted, not only those that happen to stand at the end of steps.
"""

import numpy as np
from numpy.typing import NDArray

from agents.poisson_flow import PoissonFlow
from experiments.taped_scenario import VENUE, taped
from experiments.world import World
from markets.spot.tape import TapeBook


class PoissonWorld(World):
    """A world of one book and its flow, with figures of the last step."""

    def __init__(self, params: PoissonFlow.Params, step_seconds: float, seed: int) -> None:
        super().__init__(taped(PoissonFlow, params, step_seconds), seed, record=())
        book = self.market.venues[VENUE]
        assert isinstance(book, TapeBook)
        self.book = book
        flow = self.traders[0]
        assert isinstance(flow, PoissonFlow)
        self.flow = flow

    def spread_ticks(self) -> float:
        """Mean spread over the time of the last step from its first message on."""
        feed = self.book.feed
        lasting = np.diff(self.flow.times, append=self.scenario.step_seconds)
        spreads = feed["ask_ticks"] - feed["bid_ticks"]
        return float(lasting @ spreads / lasting.sum())

    def mids_ticks(self) -> NDArray[np.float64]:
        """The mid after each message of the last step."""
        feed = self.book.feed
        mids: NDArray[np.float64] = (feed["bid_ticks"] + feed["ask_ticks"]) / 2
        return mids

    def depth_lots(self, places: int) -> NDArray[np.float64]:
        """Lots 1 to `places` ticks from the opposite best quote now, mean of both sides."""
        book, depth = self.book.book, np.zeros(places + 1)
        for side, opposite_ticks in ((1, book.ask_ticks), (-1, book.bid_ticks)):
            price_ticks, size_lots = book.levels(side, places)
            distance = (opposite_ticks - price_ticks) * side
            near = distance <= places
            depth[distance[near]] += size_lots[near] / 2
        return depth[1:]
