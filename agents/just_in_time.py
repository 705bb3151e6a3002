"""Just-in-time liquidity: for one swap only, seen in the public queue, in one bundle around it.

For the largest pending swap on a concentrated pool the provider opens a range of one tick spacing
around the price just before it and closes it just after: with liquidity J beside L of others it
earns J/(J + L) of the fee on what is traded inside the range, and buys that part of the swap's
input at about the marginal price, which at the size of its share is no loss to speak of. It does so
when the share of the fee is worth more than its gas by `minimum_profit`, and bids a part of it as a
tip. Passive providers lose the fee to it; the swapper gains from the deeper pool.
Source: Wan and Adams 2022; Capponi, Jia and Zhu 2024. Left out: hedging what it has bought.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.chain import ChainView
from markets.intents import (
    ADD_RANGE,
    BUY,
    COLLECT,
    POOL_INTENT,
    REMOVE_RANGE,
    SWAP_EXACT_IN,
    Intent,
    add_range,
    bundle,
    collect,
    include,
    remove_range,
    with_tip,
)
from markets.market import Market, View
from markets.pools.concentrated_pool import ConcentratedView
from markets.rounding import PPM


class JustInTimeProvider(Trader):
    """Surrounds large swaps on one concentrated pool."""

    class Params(Trader.Params):
        """Parameters; amounts in units."""

        pool: str
        """Name of the concentrated pool."""
        base: float = Field(gt=0)
        """Base held at the start."""
        quote: float = Field(gt=0)
        """Quote held at the start."""
        minimum_profit: float = Field(0.0, ge=0)
        """Quote that the expected fee must exceed gas and tip by."""
        bid_fraction: float = Field(0.0, ge=0, lt=1)
        """Part of the expected profit that is tipped."""
        gas: float = Field(1_000.0, ge=0)
        """Quote kept back to pay for gas."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.pool, f"{self.name}.pool")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote + self.params.gas}
        self.account = self.endow(market, venue.domain, held)
        self._domain = venue.domain
        self._columns = market.ledger.column[base.name], market.ledger.column[quote.name]
        self._gas_atoms = quote.to_atoms(self.params.gas)
        self._minimum_atoms = quote.to_atoms(self.params.minimum_profit)
        self.attempts = 0

    def act(self, view: View) -> Sequence[Intent]:
        """A bundle around the largest swap that waits, if it pays."""
        chain, pool = view.domains[self._domain], view[self.params.pool]
        if not len(chain.pending) or not chain.block_due(view.moment):
            return NOTHING
        rows, by_coin = chain.pending, chain.pending.view(POOL_INTENT)
        swaps = (rows["venue"] == pool.index) & (rows["action"] == SWAP_EXACT_IN)
        swaps &= rows["account"] != self.account
        if not swaps.any():
            return NOTHING
        price = pool.mid * pool.coins[1].scale / pool.coins[0].scale
        pays_quote = (rows["side"] == BUY) | ((rows["side"] == 0) & (by_coin["first"] == 1))
        worth = np.where(pays_quote, 1.0, price) * rows["size"] * swaps
        target = int(np.argmax(worth))
        return self._surround(view, pool, int(chain.transaction[target]), float(worth[target]))

    def _surround(
        self, view: View, pool: ConcentratedView, transaction: int, worth_atoms: float
    ) -> Sequence[Intent]:
        """Open, let the swap through, close; `worth_atoms` is its size in quote."""
        base, quote = (int(view.balances[self.account, column]) for column in self._columns)
        low = pool.tick // pool.tick_spacing * pool.tick_spacing
        ticks = low, low + pool.tick_spacing
        funds = base, max(0, quote - self._gas_atoms)
        liquidity = pool.deposit(*ticks, *funds)[0]
        if liquidity <= 0:
            return NOTHING
        share = liquidity / (liquidity + pool.liquidity)
        chain: ChainView = view.domains[self._domain]
        expected = share * worth_atoms * pool.fee_ppm / PPM
        expected -= chain.fee_atoms(ADD_RANGE, REMOVE_RANGE, COLLECT)
        tip_atoms = int(max(0.0, expected) * self.params.bid_fraction)
        if expected - tip_atoms <= self._minimum_atoms:
            return NOTHING
        self.attempts += 1
        first = add_range(pool.index, self.account, *ticks, *funds)
        return bundle(
            [
                with_tip(first, tip_atoms),
                include(pool.index, self.account, transaction),
                remove_range(pool.index, self.account, *ticks, liquidity),
                collect(pool.index, self.account, *ticks),
            ]
        )
