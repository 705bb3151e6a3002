"""Range providers: liquidity around the price of a concentrated pool, recentred by rule.

The range is [P/a, P a] around the price P at which it is opened, a = 1 + `width`, on the pool's
tick grid; without a width it is the whole range of prices. When the price has left the centre by
more than `trigger` of the way to the edge (in its logarithm) and the last move is long enough ago,
the provider takes everything out, fees and all. In the next step it swaps half of what one asset is
worth more than the other and opens a new range, in one transaction; what does not fit into the
range's ratio stays idle. Each move pays gas for five operations and the swap's fee, which is what
makes frequent recentring dear.
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
        """Name of the concentrated pool."""
        base: float = Field(gt=0)
        """Base held at the start."""
        quote: float = Field(gt=0)
        """Quote held at the start."""
        width: float | None = Field(None, gt=0)
        """Distance of the edges from the centre, as a fraction; without one the range is whole."""
        trigger: float | None = Field(None, gt=0)
        """Part of the way to the edge at which it recentres; without one it never does."""
        wait_seconds: float = Field(0.0, ge=0)
        """Least time between two moves."""
        slippage: float = Field(0.005, ge=0, lt=1)
        """How far the swap may move the price, and fall short of what it expects."""
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
        self._assets = base, quote
        self._domain = pool.domain
        self._columns = market.ledger.column[base.name], market.ledger.column[quote.name]
        self._gas_atoms = quote.to_atoms(self.params.gas)
        self.ticks: tuple[int, int] | None = None
        self.moves = 0
        self._rests = False
        self._centre = math.nan
        self._moved_seconds = -math.inf

    def act(self, view: View) -> Sequence[Intent]:
        """Open a range where there is none, leave it when the price has gone too far."""
        if self._rests:
            return NOTHING
        pool, chain = view[self.params.venue], view.domains[self._domain]
        if (chain.pending["account"] == self.account).any():
            return NOTHING
        position = pool.position(self.account, *self.ticks) if self.ticks else None
        if position is None or not position.liquidity:
            return self._enter(view, pool)
        self._rests = self.params.trigger is None or self.params.width is None
        if not self._should_move(view, pool):
            return NOTHING
        assert self.ticks is not None
        self.moves += 1
        return bundle(
            [
                remove_range(pool.index, self.account, *self.ticks, position.liquidity),
                collect(pool.index, self.account, *self.ticks),
            ]
        )

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

    def _enter(self, view: View, pool: ConcentratedView) -> Sequence[Intent]:
        """Even the two sides out, unless it is the first deposit, and open a range."""
        base, quote = (int(view.balances[self.account, column]) for column in self._columns)
        quote = max(0, quote - self._gas_atoms)
        if base <= 0 and quote <= 0:
            return NOTHING
        rows: list[Intent] = []
        if self.moves and pool.liquidity:
            side, size, gained = self._surplus(pool, base, quote)
            if gained > 0:
                rows.append(swap_exact_in(pool.index, self.account, side, size, gained))
                base, quote = _after(side, size, gained, (base, quote))
        self.ticks = self._range(pool)
        self._centre, self._moved_seconds = pool.mid, view.moment.seconds
        rows.append(add_range(pool.index, self.account, *self.ticks, base, quote))
        return bundle(rows) if len(rows) > 1 else rows

    def _surplus(self, pool: ConcentratedView, base: int, quote: int) -> tuple[int, int, int]:
        """Side, input and least output of a swap of half of one asset's surplus in value."""
        atomic = pool.mid * self._assets[1].scale / self._assets[0].scale
        surplus = base * atomic - quote
        side = SELL if surplus > 0 else BUY
        size = int(abs(surplus) / 2 / (atomic if side == SELL else 1))
        best = pool.ask if side == BUY else pool.bid
        size = min(size, pool.input_until(side, best * (1 + side * self.params.slippage)))
        least = pool.output_atoms(side, size) if size else 0
        return side, size, int(least * (1 - self.params.slippage))


def _after(side: int, paid: int, received: int, held: tuple[int, int]) -> tuple[int, int]:
    """Base and quote atoms after a swap."""
    base, quote = held
    return (base - paid, quote + received) if side == SELL else (base + received, quote - paid)
