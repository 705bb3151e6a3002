"""Liquidity providers: deposit into a pool, and leave when the price has moved too far.

What a constant-product position has lost against holding after the price moved by a factor r is
the impermanent loss 2 sqrt(r)/(1 + r) - 1. The provider watches it on the pool's own price and
withdraws everything once it is worse than `exit_loss`; it does not come back.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.intents import Intent, add_liquidity, remove_liquidity
from markets.market import Market, View
from markets.pools.losses import impermanent_loss


class LiquidityProvider(Trader):
    """A passive provider of one constant-product pool."""

    class Params(Trader.Params):
        """Parameters: what it deposits, in units, and when it leaves."""

        venue: str
        base: float = Field(gt=0)
        quote: float = Field(gt=0)
        exit_loss: float = Field(1.0, gt=0, le=1)
        """Impermanent loss, as a fraction of the value of holding, at which it leaves; 1: never."""
        gas: float = Field(1_000.0, ge=0)
        """Quote kept back to pay for gas."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        pool = market.venues[self.params.venue]
        base, quote = pool.columns()[:2]
        held = self.params.quote + self.params.gas
        self.account = self.endow(
            market, pool.domain, {base.name: self.params.base, quote.name: held}
        )
        self._entry_price = 0.0

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit in the first step, then watch the loss."""
        pool = view[self.params.venue]
        if view.moment.step == 0:
            self._entry_price = self.params.quote / self.params.base
            base, quote = pool.instrument.base, pool.instrument.quote
            amounts = base.to_atoms(self.params.base), quote.to_atoms(self.params.quote)
            return [add_liquidity(pool.index, self.account, *amounts)]
        shares = int(view.balances[self.account, pool.share_column])
        if not shares:
            return NOTHING
        loss = -impermanent_loss(pool.mid / self._entry_price)
        if loss < self.params.exit_loss:
            return NOTHING
        self.note("leaves", loss)
        return [remove_liquidity(pool.index, self.account, shares)]
