"""Perpetual traders: thousands of levered accounts that enter, leave, and are liquidated.

Each member has its own collateral (lognormal) and its own leverage, 1 + X with X exponential, cut
at `leverage_most`: most trade modestly, a tail trades at the limit. A flat member enters at a
Poisson rate with a market order of leverage * stake in notional, long with probability
`long_share`; the stake is its margin, less the part of its gains that it does not reinvest. One in
position leaves at another rate with a reduce-only market order. A liquidated member is flat with
what margin is left, and enters again if that is still worth a lot.

The shape of the leverage law is a modelling choice: venues publish totals, not distributions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.trader import NOTHING, Cohort
from markets.derivatives.perpetual import Perpetual
from markets.intents import BUY, ISOLATED, REDUCE_ONLY, SELL, Intent, deposit, market_order
from markets.market import Market, View


class PerpetualTraders(Cohort):
    """A cohort of directional traders on one perpetual."""

    class Params(Cohort.Params):
        """Parameters; rates are per hour and member, collateral in quote units."""

        venue: str
        """The perpetual's name."""
        count: int = Field(2_000, ge=1, le=10_000_000)
        """Members."""
        collateral_median: float = Field(1_000.0, gt=0, le=1e9)
        """Median of a member's collateral, in quote."""
        collateral_sigma: float = Field(1.0, ge=0, le=5)
        """Standard deviation of the logarithm of collateral."""
        leverage_mean: float = Field(10.0, gt=1)
        """Mean leverage of a new position, 1 and an exponential part, before the cap."""
        leverage_most: float = Field(50.0, gt=1)
        """Cap of the leverage."""
        long_share: float = Field(0.65, ge=0, le=1)
        """Part of the new positions that are long."""
        enter_per_hour: float = Field(0.5, ge=0)
        """Rate at which a member without a position opens one."""
        leave_per_hour: float = Field(0.05, ge=0)
        """Rate at which a member with a position closes it."""
        reinvested: float = Field(1.0, ge=0, le=1)
        """Part of the gains beyond the first collateral that a new position is levered on."""
        isolated: bool = False
        """Whether margin at a contract of a clearing house is for that contract alone."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params = self.params
        venue = market.venue(params.venue, f"{self.name}.venue", Perpetual)
        quote = venue.columns()[1]
        self.collateral_atoms = quote.to_atoms(
            params.collateral_median
            * np.exp(params.collateral_sigma * self.stream.standard_normal(params.count))
        )
        tail = self.stream.exponential(params.leverage_mean - 1, params.count)
        self.leverage = np.minimum(1 + tail, params.leverage_most)
        self.accounts = self.endow_all(
            market, venue.domain, {quote.name: quote.to_units(self.collateral_atoms)}
        )

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first; then some of the flat enter and some of the others leave."""
        perpetual = view[self.params.venue]
        if view.moment.step == 0:
            mode = ISOLATED if self.params.isolated else 0
            return [deposit(perpetual.index, self.accounts, self.collateral_atoms, mode)]
        hours = view.moment.step_seconds / 3600
        lots = view.balances[self.accounts, perpetual.contract_column]
        lottery = self.stream.random(self.params.count)
        flat = lots == 0
        enters = flat & (lottery < -np.expm1(-self.params.enter_per_hour * hours))
        leaves = ~flat & (lottery < -np.expm1(-self.params.leave_per_hour * hours))
        return [*self._enter(view, np.flatnonzero(enters)), *self._leave(view, leaves, lots)]

    def _enter(self, view: View, members: NDArray[np.int64]) -> Sequence[Intent]:
        """Market orders of leverage times margin, for members whose margin buys a lot."""
        perpetual = view[self.params.venue]
        accounts = self.accounts[members]
        margin = view.balances[accounts, perpetual.margin_column]
        gains = np.maximum(margin - self.collateral_atoms[members], 0)
        stake = np.maximum(margin - (1.0 - self.params.reinvested) * gains, 0.0)
        notional = self.leverage[members] * perpetual.instrument.quote.to_units(stake)
        sides = np.where(self.stream.random(len(members)) < self.params.long_share, BUY, SELL)
        sizes = np.floor(notional / perpetual.mark / perpetual.instrument.lot_size)
        able = sizes >= 1
        if not able.any():
            return NOTHING
        sizes = sizes[able].astype(np.int64)
        return [market_order(perpetual.index, accounts[able], sides[able], sizes)]

    def _leave(
        self, view: View, leaves: NDArray[np.bool_], lots: NDArray[np.int64]
    ) -> Sequence[Intent]:
        """Reduce-only market orders for whole positions."""
        if not leaves.any():
            return NOTHING
        held = lots[leaves]
        sides = np.where(held > 0, SELL, BUY)
        index = view[self.params.venue].index
        return [market_order(index, self.accounts[leaves], sides, np.abs(held), flags=REDUCE_ONLY)]
