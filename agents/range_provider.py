"""Range providers: liquidity around the price of a concentrated pool, recentred by rule.

The range is [P/a, P a] around the price P at which it is opened, a = 1 + `width`, on the pool's
tick grid; without a width it is the whole range of prices. When the price has left the centre by
more than `trigger` of the way to the edge (in its logarithm) and the last move is long enough ago,
the provider takes everything out and opens a new range in the next step with what it then holds:
first a swap of half of the surplus of one asset, so that both sides are about equal in value. Each
move pays gas three times and the swap's fee, which is what makes frequent recentring dear.
"""

import math
from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.intents import (
    BUY,
    SELL,
    Intent,
    add_range,
    bundle,
    collect,
    remove_range,
    swap_exact_in,
)
from markets.market import Market, View
from markets.pools.concentrated_pool import ConcentratedView
from markets.pools.ticks import MAX_TICK


class RangeProvider(Trader):
    """Keeps one position in one concentrated pool."""

    class Params(Trader.Params):
        """Parameters: what it deposits, in units, and how the range follows the price."""

        venue: str
        base: float = Field(gt=0)
        quote: float = Field(gt=0)
        width: float | None = Field(None, gt=0)
        """Distance of the edges from the centre, as a fraction; without one the range is whole."""
        trigger: float | None = Field(None, gt=0)
        """Part of the way to the edge at which it recentres; without one it never does."""
        wait_seconds: float = Field(0.0, ge=0)
        """Least time between two moves."""
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
        self._assets = base, quote
        self._columns = market.ledger.column[base.name], market.ledger.column[quote.name]
        self._gas_atoms = quote.to_atoms(self.params.gas)
        self.ticks: tuple[int, int] | None = None
        self.moves = 0
        self._centre = math.nan
        self._moved_seconds = -math.inf

    def act(self, view: View) -> Sequence[Intent]:
        """Open a range where there is none, leave it when the price has gone too far."""
        pool = view[self.params.venue]
        if self.ticks is None:
            return self._enter(view, pool)
        if self._should_move(view, pool):
            return self._leave(view, pool)
        return NOTHING

    def _should_move(self, view: View, pool: ConcentratedView) -> bool:
        if self.params.trigger is None or self.params.width is None:
            return False
        if view.moment.seconds - self._moved_seconds < self.params.wait_seconds:
            return False
        gone = abs(math.log(pool.mid / self._centre))
        return gone > self.params.trigger * math.log1p(self.params.width)

    def _range(self, pool: ConcentratedView) -> tuple[int, int]:
        if self.params.width is None:
            edge = MAX_TICK // pool.tick_spacing * pool.tick_spacing
            return -edge, edge
        low = pool.tick_for(pool.mid / (1 + self.params.width))
        high = pool.tick_for(pool.mid * (1 + self.params.width))
        return low, max(high, low + pool.tick_spacing)

    def _held(self, view: View) -> tuple[int, int]:
        """Base and quote atoms that are free to be deposited."""
        base, quote = (int(view.balances[self.account, column]) for column in self._columns)
        return base, max(0, quote - self._gas_atoms)

    def _enter(self, view: View, pool: ConcentratedView) -> Sequence[Intent]:
        base, quote = self._held(view)
        if base <= 0 and quote <= 0:
            return NOTHING
        self.ticks = self._range(pool)
        self._centre, self._moved_seconds = pool.mid, view.moment.seconds
        return [add_range(pool.index, self.account, *self.ticks, base, quote)]

    def _leave(self, view: View, pool: ConcentratedView) -> Sequence[Intent]:
        """Out, fees and all, and half of the surplus swapped, in one transaction."""
        assert self.ticks is not None
        low, high = self.ticks
        position = pool.position(self.account, low, high)
        self.ticks = None
        self.moves += 1
        rows = [
            remove_range(pool.index, self.account, low, high, position.liquidity),
            collect(pool.index, self.account, low, high),
        ]
        base, quote = self._held(view)
        base += position.base_atoms + position.base_fee_atoms
        quote += position.quote_atoms + position.quote_fee_atoms
        return bundle([*rows, *self._balance(pool, base, quote)])

    def _balance(self, pool: ConcentratedView, base: int, quote: int) -> Sequence[Intent]:
        """A swap of half of what one asset is worth more than the other."""
        scale = self._assets[1].scale / self._assets[0].scale
        surplus = base * pool.mid * scale - quote
        side = SELL if surplus > 0 else BUY
        size = int(abs(surplus) / 2 / (pool.mid * scale if side == SELL else 1))
        return [swap_exact_in(pool.index, self.account, side, size)] if size else []
