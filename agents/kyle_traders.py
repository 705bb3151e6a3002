"""The three parties of Kyle (1985): insider, noise and market makers, in one call auction a step.

A game has N auctions over a time of 1; then the share is worth v, drawn with variance Sigma_0
around `start`. In auction n, with p the price of the one before,

    insider    market order of beta_n dt (v - p) shares; sees v, the reference price of the share
    noise      market order of u_n shares
    makers     limit orders of such sizes that a net demand y moves the price by lambda_n y

so that the call clears at p + lambda_n y, to half a tick; makers see nothing but past prices. The
sizes of the makers' levels are rounded in sum, and reach `REACH` levels either way.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from agents.trader import NOTHING, Trader
from markets.intents import BUY, SELL, Intent, limit_order, market_order
from markets.market import Market, View
from markets.spot.book_view import BookView

REACH = 200


class _Party(Trader):
    """Who takes part in games of `auctions` calls each, on the venue `call`."""

    class Params(Trader.Params):
        """Parameters of a game."""

        auctions: int
        """Calls in a game."""
        start: float
        """The share's price before the first call, in quote."""
        shares: float = 1e6
        """Shares held at the start."""
        cash: float = 1e9
        """Quote held at the start."""

    venue: ClassVar[str] = "call"

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venues[self.venue]
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.shares, quote.name: self.params.cash}
        self.account = self.endow(market, venue.domain, held)
        self.base = base.name

    def _before_ticks(self, view: View) -> int:
        """The price that this auction starts from."""
        call: BookView = view[self.venue]
        if view.moment.step % self.params.auctions:
            return call.last_ticks
        return int(call.instrument.to_ticks(self.params.start))

    def _market_order(self, view: View, shares: float) -> Sequence[Intent]:
        call: BookView = view[self.venue]
        lots = int(call.instrument.to_lots(abs(shares)))
        if not lots:
            return NOTHING
        return (market_order(call.index, self.account, BUY if shares > 0 else SELL, lots),)


class Insider(_Party):
    """Knows what the share is worth."""

    class Params(_Party.Params):
        """Parameters of the insider."""

        intensities: tuple[float, ...]
        """beta_n dt for each auction of a game, shares per quote."""

    def act(self, view: View) -> Sequence[Intent]:
        """Trade in proportion to the mispricing."""
        call: BookView = view[self.venue]
        price = float(call.instrument.to_price(self._before_ticks(view)))
        mispricing = view.moment.reference[self.base] - price
        intensity = self.params.intensities[view.moment.step % self.params.auctions]
        return self._market_order(view, intensity * mispricing)


class Noise(_Party):
    """Trades for reasons of its own."""

    class Params(_Party.Params):
        """Parameters of the noise."""

        orders: tuple[float, ...]
        """Shares bought in each auction of all games, below 0 sold."""

    def act(self, view: View) -> Sequence[Intent]:
        """The order of the step."""
        return self._market_order(view, self.params.orders[view.moment.step])


class Makers(_Party):
    """Compete until prices move by lambda times the net demand, and no more."""

    class Params(_Party.Params):
        """Parameters of the makers."""

        impacts: tuple[float, ...]
        """lambda_n for each auction of a game, quote per share squared."""

    def act(self, view: View) -> Sequence[Intent]:
        """A ladder of limit orders on both sides."""
        call: BookView = view[self.venue]
        impact = self.params.impacts[view.moment.step % self.params.auctions]
        instrument = call.instrument
        level_lots = instrument.tick_size / impact / instrument.lot_size
        steps = np.arange(1, REACH + 1)
        sums = np.rint((steps + 0.5) * level_lots).astype(np.int64)
        sizes = np.diff(sums, prepend=0)
        centre_ticks = self._before_ticks(view)
        account = np.full(REACH, self.account)
        return [
            limit_order(call.index, account, side, sizes, centre_ticks - side * steps)
            for side in (BUY, SELL)
        ]
