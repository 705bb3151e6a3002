"""Observers: an agent that notes a pool's price at the start of every step, and does nothing.

For runs of very many steps that keep no table of steps: one number a step is what an analysis of a
pool's price needs, and it is the price as every other agent saw it before deciding.
"""

from collections.abc import Sequence

from agents.trader import NOTHING, Trader
from markets.intents import Intent
from markets.market import Market, View


class PoolObserver(Trader):
    """Keeps `mids`, the marginal price before each step."""

    class Params(Trader.Params):
        """Parameters."""

        venue: str
        """The pool's name."""

    def open(self, market: Market) -> None:
        """See `Trader.open`: it needs no account."""
        self.mids: list[float] = []

    def act(self, view: View) -> Sequence[Intent]:
        """Take note."""
        self.mids.append(view[self.params.venue].mid)
        return NOTHING
