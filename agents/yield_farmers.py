"""Yield farmers: liquidity that follows rewards and leaves with them.

Each farmer asks for a yield of its own (lognormal over the cohort). It enters a pool when the
annual yield of the reward program, at the worth of the reward and of the shares that would then
earn, exceeds what it asks for by `switching_cost` a year spread over its `horizon_days`, and leaves
when the yield has fallen below what it asks for. In each step a part of the farmers looks.
Rewards are kept; what they are worth is the program's price.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.trader import NOTHING, Cohort
from markets.errors import ConfigError
from markets.intents import Intent, add_liquidity, remove_liquidity
from markets.market import Market, View
from markets.pools.pool import PoolView
from markets.reward_program import RewardProgram

YEAR_DAYS = 365.0


class YieldFarmers(Cohort):
    """A cohort that moves in and out of one constant-product pool for its reward program."""

    class Params(Cohort.Params):
        """Parameters; amounts in units a member, yields as fractions a year."""

        pool: str
        """Name of the pool."""
        program: str
        """Name of the reward program."""
        count: int = Field(100, ge=1)
        """Members."""
        base: float = Field(5.0, gt=0)
        """Base held by each at the start."""
        quote: float = Field(10_000.0, gt=0)
        """Quote held by each at the start."""
        gas: float = Field(500.0, ge=0)
        """Quote kept back to pay for gas."""
        yield_median: float = Field(0.2, gt=0)
        """Median yield that a member asks for."""
        yield_sigma: float = Field(0.5, ge=0)
        """Standard deviation of the logarithm of the yield asked for."""
        switching_cost: float = Field(0.005, ge=0)
        """Cost of moving in and out, as a fraction of what is moved."""
        horizon_days: float = Field(30.0, gt=0)
        """Time over which it spreads the cost of moving."""
        looks_per_day: float = Field(24.0, gt=0)
        """How often a member decides (Poisson)."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.pool, f"{self.name}.pool")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote + self.params.gas}
        self.accounts = self.endow_all(market, venue.domain, held)
        self._base, self._quote = base, quote
        self._columns = market.ledger.column[base.name], market.ledger.column[quote.name]
        self._gas_atoms = quote.to_atoms(self.params.gas)
        program = market.venue(self.params.program, f"{self.name}.program")
        if not isinstance(program, RewardProgram):
            raise ConfigError(f"{self.name}.program", f"{program.name} pays no rewards")
        self._price = program.params.price
        spread = self.params.yield_sigma * self.stream.standard_normal(self.params.count)
        self.asked = self.params.yield_median * np.exp(spread)
        self._inside_before = 0

    def act(self, view: View) -> Sequence[Intent]:
        """Those whose turn it is compare the yield with what they ask for."""
        pool, program = view[self.params.pool], view[self.params.program]
        if not pool.shares_atoms:
            return NOTHING
        held = view.balances[self.accounts, program.share_column]
        inside = held > 0
        self._note(int(inside.sum()))
        days = view.moment.step_seconds / 86_400
        looks = self.stream.random(self.params.count) < -np.expm1(-self.params.looks_per_day * days)
        now = self.reward_yield(view, extra=0.0)
        then = self.reward_yield(view, extra=self._worth())
        hurdle = self.params.switching_cost * YEAR_DAYS / self.params.horizon_days
        leaves = looks & inside & (now < self.asked)
        enters = looks & ~inside & (then > self.asked + hurdle)
        return [*self._leave(pool, leaves, held), *self._enter(view, pool, enters)]

    def reward_yield(self, view: View, extra: float) -> float:
        """Rewards a year over the worth of the shares that earn, `extra` quote added to them."""
        pool, program = view[self.params.pool], view[self.params.program]
        price = view.moment.reference.get(program.reward.name, self._price)
        pool_worth = 2 * self._quote.to_units(pool.quote_atoms)
        earning = pool_worth * program.shares_atoms / pool.shares_atoms + extra
        return program.units_per_day * price * YEAR_DAYS / earning if earning > 0 else np.inf

    def _worth(self) -> float:
        return 2 * self.params.quote

    def _note(self, inside: int) -> None:
        if (inside > 0) != (self._inside_before > 0):
            self.note("farmers enter" if inside else "farmers gone", float(inside))
        self._inside_before = inside

    def _leave(
        self, pool: PoolView, leaves: NDArray[np.bool_], held: NDArray[np.int64]
    ) -> list[Intent]:
        if not leaves.any():
            return []
        return [remove_liquidity(pool.index, self.accounts[leaves], held[leaves])]

    def _enter(self, view: View, pool: PoolView, enters: NDArray[np.bool_]) -> list[Intent]:
        if not enters.any():
            return []
        rows = self.accounts[enters]
        base = view.balances[rows, self._columns[0]]
        quote = np.maximum(view.balances[rows, self._columns[1]] - self._gas_atoms, 0)
        able = (base > 0) & (quote > 0)
        if not able.any():
            return []
        return [add_liquidity(pool.index, rows[able], base[able], quote[able])]
