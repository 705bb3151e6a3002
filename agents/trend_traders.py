"""Trend traders: a cohort on a perpetual that follows the trend, or trades against it.

Each member watches the price P with its own memory h (lognormal, as a half-life) and scores it

    z = (ln P - EMA_h(ln P)) / (sigma sqrt(h)),      sigma the volatility it is used to,

wants a position of equity * leverage * clip(bias + weight z, -1, 1) in notional, weight above 0 for
momentum and below 0 for mean reversion, and looks at it at a Poisson rate: then it trades to it
with a market order if that is at least `least_change` of its equity away. Equity is what is left at
the mark, so losses and liquidation shrink it; nobody is topped up.

Why: past returns explain most of the demand for leverage (He et al., arXiv 2212.06888). Left out:
members who learn, or who see each other.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.trader import NOTHING, Cohort
from markets.intents import BUY, REDUCE_ONLY, SELL, Intent, deposit, market_order
from markets.market import Market, View


class TrendTraders(Cohort):
    """Levered accounts on one perpetual, of one mind about trends."""

    class Params(Cohort.Params):
        """Parameters; collateral in quote units, rates per hour and member."""

        venue: str
        """Name of the perpetual."""
        count: int = Field(default=200, ge=1)
        """Members."""
        collateral_median: float = Field(default=10_000.0, gt=0)
        """Median collateral of a member."""
        collateral_sigma: float = Field(default=1.0, ge=0)
        """Standard deviation of the logarithm of collateral."""
        leverage: float = Field(default=2.0, gt=0)
        """Notional over equity at a full position."""
        weight: float = 0.5
        """Part of the full position for a score of one; below 0 against the trend."""
        bias: float = Field(default=0.0, ge=-1, le=1)
        """Part of the full position wanted without any trend; above 0 long."""
        memory_hours: float = Field(default=240.0, gt=0)
        """Median half-life of the average that a member compares the price with."""
        memory_sigma: float = Field(default=0.7, ge=0)
        """Standard deviation of the logarithm of memory."""
        volatility_per_year: float = Field(default=0.6, gt=0)
        """Volatility that moves are measured by."""
        review_per_hour: float = Field(default=0.1, gt=0)
        """How often a member looks at its position (Poisson)."""
        least_change: float = Field(default=0.1, ge=0)
        """Change of notional, as a part of equity, below which it does not trade."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params, draw = self.params, self.stream.standard_normal
        quote = market.venue(params.venue, f"{self.name}.venue").columns()[1]
        spread = np.exp(params.collateral_sigma * draw(params.count))
        self.collateral_atoms = quote.to_atoms(params.collateral_median * spread)
        self.memory_hours = params.memory_hours * np.exp(params.memory_sigma * draw(params.count))
        used_to = params.volatility_per_year * np.sqrt(self.memory_hours / (365 * 24))
        self._per_score = used_to / np.sqrt(np.log(2.0))
        self._average = np.full(params.count, np.nan)
        venue = market.venue(params.venue, f"{self.name}.venue")
        held = {quote.name: quote.to_units(self.collateral_atoms)}
        self.accounts = self.endow_all(market, venue.domain, held)

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first; then those whose turn it is trade to what they want."""
        perpetual = view[self.params.venue]
        if view.moment.step == 0:
            return [deposit(perpetual.index, self.accounts, self.collateral_atoms)]
        price = perpetual.index_price
        if not price > 0:
            return NOTHING
        hours = view.moment.step_seconds / 3600
        wanted = self._wanted(np.log(price), hours)
        chance = -np.expm1(-self.params.review_per_hour * hours)
        members = np.flatnonzero(self.stream.random(self.params.count) < chance)
        accounts = self.accounts[members]
        equity = np.maximum(perpetual.equity(accounts), 0.0)
        held = view.balances[accounts, perpetual.contract_column]
        unit = perpetual.mark * perpetual.instrument.lot_size
        change = np.rint(equity * wanted[members] / unit).astype(np.int64) - held
        moved = (np.abs(change) * unit > self.params.least_change * equity) & (change != 0)
        if not moved.any():
            return NOTHING
        change, held, accounts = change[moved], held[moved], accounts[moved]
        sides = np.where(change > 0, BUY, SELL)
        reduces = (np.sign(held) == -sides) & (np.abs(change) <= np.abs(held))
        flags = np.where(reduces, REDUCE_ONLY, 0)
        return [market_order(perpetual.index, accounts, sides, np.abs(change), flags=flags)]

    def _wanted(self, log_price: float, hours: float) -> np.ndarray:
        """Notional over equity that each member wants; the averages move on."""
        if np.isnan(self._average[0]):
            self._average[:] = log_price
        keep = 2.0 ** (-hours / self.memory_hours)
        self._average = keep * self._average + (1 - keep) * log_price
        score = (log_price - self._average) / self._per_score
        params = self.params
        return np.asarray(params.leverage * np.clip(params.bias + params.weight * score, -1, 1))
