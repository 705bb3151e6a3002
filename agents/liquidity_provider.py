"""Liquidity providers: deposit into a pool, and leave when the price has moved too far.

What a constant-product position has lost against holding after the price moved by a factor r is
the impermanent loss 2 sqrt(r)/(1 + r) - 1. The provider watches it on the pool's own price and
withdraws everything once it is worse than `exit_loss`; it does not come back. A deposit that fails,
such as for want of gas, is sent again, of what is left after gas and in the same proportion.
"""

from collections.abc import Sequence
from fractions import Fraction

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.chain import ChainView
from markets.intents import ADD_LIQUIDITY, Intent, add_liquidity, remove_liquidity
from markets.market import Market, View
from markets.pools.constant_product_pool import ConstantProductPool
from markets.pools.losses import impermanent_loss


class LiquidityProvider(Trader):
    """A passive provider of one constant-product pool."""

    class Params(Trader.Params):
        """Parameters: what it deposits, in units, and when it leaves."""

        venue: str
        """Name of the pool."""
        base: float = Field(gt=0)
        """Base deposited."""
        quote: float = Field(gt=0)
        """Quote deposited."""
        exit_loss: float = Field(1.0, gt=0, le=1)
        """Impermanent loss, as a fraction of the value of holding, at which it leaves; 1: never."""
        gas: float = Field(1_000.0, ge=0)
        """Quote kept back to pay for gas."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        pool = market.venue(self.params.venue, f"{self.name}.venue", ConstantProductPool)
        base, quote = pool.columns()[:2]
        held = self.params.quote + self.params.gas
        self.account = self.endow(
            market, pool.domain, {base.name: self.params.base, quote.name: held}
        )
        self._domain, self._share = pool.domain, pool.share
        self._columns = market.ledger.column[base.name], market.ledger.column[quote.name]
        self._planned = base.to_atoms(self.params.base), quote.to_atoms(self.params.quote)
        self._entry_price = self.params.quote / self.params.base
        self._is_in, self._has_left = False, False

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit as soon as that can be, then watch the loss."""
        pool, chain = view[self.params.venue], view.domains[self._domain]
        if chain is not None and chain.waits(self.account):
            return NOTHING
        shares = int(view.balances[self.account, pool.share_column])
        if not shares:
            return NOTHING if self._has_left else self._deposit(view, chain)
        if not self._is_in:
            self._is_in = True
            self.note("deposits", self._share.to_units(shares))
        loss = -impermanent_loss(pool.mid / self._entry_price)
        if loss < self.params.exit_loss:
            return NOTHING
        if not self._has_left:
            self._has_left = True
            self.note("leaves", loss)
        return [remove_liquidity(pool.index, self.account, shares)]

    def _deposit(self, view: View, chain: ChainView | None) -> Sequence[Intent]:
        """Both amounts as planned, or what gas leaves of them."""
        part, amounts = Fraction(1), self._planned
        for column, planned in zip(self._columns, amounts, strict=True):
            held = int(view.balances[self.account, column])
            if chain is not None and column == chain.fee_column:
                held -= chain.fee_atoms(ADD_LIQUIDITY)
            part = min(part, Fraction(max(0, held), max(1, planned)))
        base_atoms, quote_atoms = (int(planned * part) for planned in amounts)
        if not base_atoms or not quote_atoms:
            return NOTHING
        index = view[self.params.venue].index
        return [add_liquidity(index, self.account, base_atoms, quote_atoms)]
