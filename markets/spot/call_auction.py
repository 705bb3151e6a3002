"""A batch auction: orders gather and trade at one price, every so many steps.

The venue is an order book that is always in a call: `markets.spot.auction` says how the price is
found, `markets.spot.settlement` how it is paid. At the end of every `interval_steps`-th step the
call clears; what did not trade stays for the next one, or leaves where `keep` is off. A market
order stands at the edge of the collar around the last price (before the first: `opening`), is
covered at that price, trades before all limits at the call's, and leaves afterwards. Stops are
INVALID, for nothing trades between calls that could reach them; nor is there anything to interrupt.
The view's `last_call` has price, volume and surplus of the last one, `indicative` what the next
would have now; there are no quotes and no mid. Models: the single auctions of Kyle (1985), the
frequent batch auctions of Budish, Cramton and Shim (2015).
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.intents import PLACE, take
from markets.outcomes import Code
from markets.spot.order_book import OrderBook
from markets.spot.settlement import Phase
from markets.venue import Moment


class CallAuction(OrderBook):
    """An order book whose orders only ever trade in calls."""

    usual_phase = Phase.CALL

    class Params(OrderBook.Params):
        """Parameters of the call."""

        interval_steps: int = Field(default=1, ge=1)
        """Steps from call to call."""
        keep: bool = True
        """Whether orders outlive a call."""

    params: Params

    def clear(self, moment: Moment) -> None:
        if self.phase == Phase.CALL and (moment.step + 1) % self.params.interval_steps == 0:
            self.uncross(self.params.keep)

    def _carry_out(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        stops = (intents["action"] == PLACE) & (intents["trigger_ticks"] != 0)
        if not stops.any():
            return super()._carry_out(intents, moment)
        codes = np.full(len(intents), Code.INVALID, np.int64)
        codes[~stops] = super()._carry_out(take(intents, np.flatnonzero(~stops)), moment)
        return codes
