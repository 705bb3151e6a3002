"""Providers that leave when it gets rough: liquidity that follows volatility.

Loss to arbitrage grows with the variance, fees with volume; a provider who earns fees at a steady
rate is better out when volatility is high. This one watches an exponentially weighted estimate (see
`agents.volatility`) of the pool's own price, withdraws everything when it rises above
`leave_volatility_per_hour`, and deposits what it then holds again once the estimate has fallen
below `return_fraction` of that.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from agents.volatility import VolatilityMeter
from markets.intents import Intent, add_liquidity, remove_liquidity
from markets.market import Market, View


class VolatilityProvider(Trader):
    """Provides to one constant-product pool while it is calm."""

    class Params(Trader.Params):
        """Parameters; amounts in units."""

        venue: str
        """Name of the pool."""
        base: float = Field(gt=0)
        """Base deposited first."""
        quote: float = Field(gt=0)
        """Quote deposited first."""
        leave_volatility_per_hour: float = Field(0.02, gt=0)
        """Estimate of volatility above which it withdraws."""
        return_fraction: float = Field(0.7, gt=0, le=1)
        """It returns when the estimate is below this part of that."""
        half_life_seconds: float = Field(600.0, gt=0)
        """Half-life of the estimate."""
        initial_volatility_per_hour: float = Field(0.005, ge=0)
        """The estimate at the start."""
        gas: float = Field(1_000.0, ge=0)
        """Quote kept back to pay for gas."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        pool = market.venue(self.params.venue, f"{self.name}.venue")
        base, quote = pool.columns()[:2]
        held = self.params.quote + self.params.gas
        self.account = self.endow(
            market, pool.domain, {base.name: self.params.base, quote.name: held}
        )
        self._domain = pool.domain
        self._columns = market.ledger.column[base.name], market.ledger.column[quote.name]
        self._gas_atoms = quote.to_atoms(self.params.gas)
        params = self.params
        self._meter = VolatilityMeter(params.half_life_seconds, params.initial_volatility_per_hour)
        self._asked_to_enter = False

    def act(self, view: View) -> Sequence[Intent]:
        """Enter when calm, leave when not; what is on its way is not asked for twice."""
        pool, limit = view[self.params.venue], self.params.leave_volatility_per_hour
        self._meter.update(pool.mid, view.moment.step_seconds)
        chain = view.domains[self._domain]
        if chain is not None and chain.waits(self.account):
            return NOTHING
        shares = int(view.balances[self.account, pool.share_column])
        if shares:
            self._asked_to_enter = False
            if self._meter.per_hour <= limit:
                return NOTHING
            self.note("withdraw", self._meter.per_hour)
            return [remove_liquidity(pool.index, self.account, shares)]
        if self._asked_to_enter or self._meter.per_hour > limit * self.params.return_fraction:
            self._asked_to_enter = False
            return NOTHING
        self._asked_to_enter = True
        base, quote = (int(view.balances[self.account, column]) for column in self._columns)
        return [add_liquidity(pool.index, self.account, base, max(0, quote - self._gas_atoms))]
