"""Lenders: deposits in a lending pool that come and go with what they earn.

Each member asks for a yield of its own (lognormal over the cohort) and begins with all it has in
the pool. In a step a part of the members looks: those outside deposit all they have where the rate
paid to suppliers is above what they ask by `margin`, those inside withdraw where it is below, or
where utilisation is above `run_above`, which is how a run begins. A withdrawal that finds no cash
is rejected, and asked for again when the member looks again; whoever comes first is served.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.trader import NOTHING, Cohort
from markets.errors import ConfigError
from markets.intents import Intent, add_coin, remove_coin
from markets.lending.lending_pool import LendingPool
from markets.market import Market, View


class Lenders(Cohort):
    """A cohort that supplies one coin of a lending pool."""

    class Params(Cohort.Params):
        """Parameters; amounts in units a member, yields as fractions a year."""

        venue: str
        """Name of the lending pool."""
        coin: int = Field(1, ge=0)
        """Which of the pool's coins."""
        count: int = Field(200, ge=1)
        """Members of the cohort."""
        stake_median: float = Field(20_000.0, gt=0)
        """What a member has, the median over the cohort."""
        stake_sigma: float = Field(1.0, ge=0)
        """Standard deviation of the logarithm of what it has."""
        yield_median: float = Field(0.02, gt=0)
        """Yield that a member asks for, the median."""
        yield_sigma: float = Field(0.5, ge=0)
        """Standard deviation of the logarithm of the yield asked for."""
        margin: float = Field(0.1, ge=0)
        """Part of the yield asked for by which a deposit must exceed it."""
        run_above: float = Field(1.0, ge=0, le=1)
        """Utilisation above which everybody who looks wants out; 1: nobody does."""
        looks_per_day: float = Field(4.0, gt=0)
        """How often a member looks, on average."""
        gas: float = Field(500.0, ge=0)
        """Held besides in the pool's second coin, to pay for gas."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params, draw = self.params, self.stream.standard_normal
        pool = market.venue(params.venue, f"{self.name}.venue", LendingPool)
        if params.coin >= len(pool.coins):
            raise ConfigError(f"{self.name}.coin", f"{pool.name} has {len(pool.coins)} coins")
        asset = pool.coins[params.coin]
        stake = params.stake_median * np.exp(params.stake_sigma * draw(params.count))
        self.asked = params.yield_median * np.exp(params.yield_sigma * draw(params.count))
        gas = pool.coins[1]
        self._kept_atoms = gas.to_atoms(params.gas) if gas == asset else 0
        held = {gas.name: params.gas} | {asset.name: stake + (params.gas if gas == asset else 0)}
        self.accounts = self.endow_all(market, pool.domain, held)
        self._column = market.ledger.column[asset.name]
        self._share_column = int(pool.terms.shares[params.coin])

    def act(self, view: View) -> Sequence[Intent]:
        """Those whose turn it is compare the rate with what they ask for."""
        params, pool = self.params, view[self.params.venue]
        days = view.moment.step_seconds / 86_400
        looks = self.stream.random(params.count) < -np.expm1(-params.looks_per_day * days)
        if view.moment.step == 0:
            cash = view.balances[self.accounts, self._column] - self._kept_atoms
            return [add_coin(pool.index, self.accounts, params.coin, cash)]
        if not looks.any():
            return NOTHING
        rate = pool.supply_rates[params.coin]
        runs = pool.utilisation[params.coin] > params.run_above
        cash = view.balances[self.accounts, self._column] - self._kept_atoms
        shares = view.balances[self.accounts, self._share_column]
        leaves = looks & (shares > 0) & ((rate < self.asked) | runs)
        enters = looks & (cash > 0) & (rate > self.asked * (1 + params.margin)) & ~runs
        intents: list[Intent] = []
        if leaves.any():
            rows = (self.accounts[leaves], params.coin, shares[leaves])
            intents.append(remove_coin(pool.index, *rows))
        if enters.any():
            rows = (self.accounts[enters], params.coin, cash[enters])
            intents.append(add_coin(pool.index, *rows))
        return intents
