"""What all who trade a near and a far future of one underlying have: an account, margin, positions.

Both venues must be dated futures in one domain, near before far. The trader deposits the same
margin at each in the first step, and trades from the second on. Left out: more than two expiries.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pydantic import Field

from agents.trader import Trader
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.intents import Intent, deposit
from markets.market import Market, View

YEAR_SECONDS = 365 * 86_400.0


class CalendarTrader(Trader, ABC):
    """Trades two dated futures."""

    class Params(Trader.Params):
        """Parameters of all of them."""

        near: str
        """The future that settles first."""
        far: str
        """The future that settles last."""
        margin: float = Field(gt=0)
        """Quote deposited at each of the two venues."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params = self.params
        near = market.venue(params.near, f"{self.name}.near", Perpetual)
        far = market.venue(params.far, f"{self.name}.far", Perpetual)
        expiries = [venue.params.expiry_seconds for venue in (near, far)]
        if None in expiries or expiries[0] >= expiries[1] or near.domain != far.domain:
            raise ConfigError(f"{self.name}.far", "must expire after near, in the same domain")
        self.expiry = dict(zip((params.near, params.far), expiries, strict=True))
        quote = near.columns()[1]
        self.account = self.endow(market, near.domain, {quote.name: 2 * params.margin})
        self._margin_atoms = quote.to_atoms(params.margin)

    def position(self, view: View, name: str) -> float:
        """Base units held in one of the futures."""
        future = view[name]
        lots = int(view.balances[self.account, future.contract_column])
        return float(future.instrument.to_base(lots))

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first, then trade."""
        if view.moment.step:
            return self.trade(view)
        books = (view[self.params.near], view[self.params.far])
        return [deposit(book.index, self.account, self._margin_atoms) for book in books]

    @abstractmethod
    def trade(self, view: View) -> Sequence[Intent]:
        """The intents of a step, once margin is there."""
