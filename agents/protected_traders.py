"""Protected traders: levered accounts with a stop-loss and a take-profit.

They enter and leave as `PerpetualTraders` do. Besides, each member watches the return of the mark P
on its position since the mark E at which it was opened,

    r = side (P/E - 1),    closes at r <= -stop or r >= take,

with a reduce-only market order; stop and take are its own (lognormal). Stops lie before the
liquidation price of low leverage and behind that of high: then they are never reached. All stops of
one side that lie within one move go off together, which is what makes a cascade without a single
liquidation. Stops rest with the trader and not with the venue, so that nobody sees them.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.perpetual_traders import PerpetualTraders
from markets.intents import BUY, REDUCE_ONLY, SELL, Intent, market_order
from markets.market import Market, View


class ProtectedTraders(PerpetualTraders):
    """A cohort of directional traders who cut losses and take profits."""

    class Params(PerpetualTraders.Params):
        """Parameters of the two distances."""

        stop_median: float = Field(default=0.03, gt=0)
        """Median loss at which a position is closed, as a return of the price."""
        take_median: float = Field(default=0.06, gt=0)
        """Median gain at which it is closed, as a return of the price."""
        distance_sigma: float = Field(default=0.5, ge=0)
        """Standard deviation of the logarithm of both."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        super().open(market)
        params, count = self.params, self.params.count
        spread = np.exp(params.distance_sigma * self.stream.standard_normal((2, count)))
        self.stop, self.take = params.stop_median * spread[0], params.take_median * spread[1]
        self.entry_mark = np.full(count, np.nan)
        self.stopped, self.taken = 0, 0
        """Positions closed at a stop, and at a profit, all in all."""

    def act(self, view: View) -> Sequence[Intent]:
        """What is stopped or taken first; the rest as without protection."""
        decided = super().act(view)
        perpetual = view[self.params.venue]
        lots = view.balances[self.accounts, perpetual.contract_column]
        opened = (lots != 0) & np.isnan(self.entry_mark)
        self.entry_mark[opened] = perpetual.mark
        self.entry_mark[lots == 0] = np.nan
        gain = np.sign(lots) * (perpetual.mark / self.entry_mark - 1)
        stops, takes = gain <= -self.stop, gain >= self.take
        self.stopped += int(stops.sum())
        self.taken += int(takes.sum())
        leaving = stops | takes
        if not leaving.any():
            return decided
        held = lots[leaving]
        sides = np.where(held > 0, SELL, BUY)
        accounts, index = self.accounts[leaving], perpetual.index
        out = market_order(index, accounts, sides, np.abs(held), flags=REDUCE_ONLY)
        return [out, *decided]
