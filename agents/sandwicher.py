"""Sandwichers: buy before a pending buyer and sell after it, or the reverse, in one bundle.

For a swap that waits in the public queue the searcher looks for the largest front-run after which
the victim still gets its minimum output, and sells all it bought right behind it. On a constant-
product pool the three trades are a few lines of arithmetic, so the profit is known beforehand; it
grows with the front-run up to the victim's limit unless the pool's fee eats it. Part of the profit
is bid as a tip. A victim that names a tight minimum, or sends privately, is safe.
Source: Zhou et al. 2021, "High-frequency trading on decentralized on-chain exchanges".
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.chain import ChainView
from markets.intents import (
    BUY,
    SELL,
    SWAP_EXACT_IN,
    Intent,
    bundle,
    include,
    swap_exact_in,
    with_tip,
)
from markets.market import Market, View
from markets.pools.constant_product_pool import PoolView, quote_exact_in

ROUNDS = 40


class Sandwicher(Trader):
    """Attacks swaps on one constant-product pool."""

    class Params(Trader.Params):
        """Parameters; amounts in units."""

        pool: str
        """Name of the pool."""
        base: float = Field(gt=0)
        """Base held at the start."""
        quote: float = Field(gt=0)
        """Quote held at the start."""
        minimum_profit: float = Field(0.0, ge=0)
        """Quote that must be left after gas and tip."""
        bid_fraction: float = Field(0.5, ge=0, lt=1)
        """Part of the expected profit that is tipped."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.pool, f"{self.name}.pool")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote}
        self.account = self.endow(market, venue.domain, held)
        self._domain = venue.domain
        self._columns = {
            BUY: market.ledger.column[quote.name],
            SELL: market.ledger.column[base.name],
        }
        self._minimum_atoms = quote.to_atoms(self.params.minimum_profit)
        self.attempts = 0

    def act(self, view: View) -> Sequence[Intent]:
        """The most profitable sandwich of the queue, if there is one."""
        chain, pool = view.domains[self._domain], view[self.params.pool]
        if not len(chain.pending) or not chain.block_due(view.moment):
            return NOTHING
        best: tuple[float, list[Intent]] = (float(self._minimum_atoms), [])
        for row, transaction in zip(chain.pending, chain.transaction.tolist(), strict=True):
            wanted = row["venue"] == pool.index and row["action"] == SWAP_EXACT_IN
            if wanted and row["account"] != self.account:
                best = max(best, self._plan(view, row, transaction), key=lambda plan: plan[0])
        self.attempts += bool(best[1])
        return best[1]

    def _plan(self, view: View, victim: Any, transaction: int) -> tuple[float, list[Intent]]:
        """Profit after gas and tip in quote atoms, and the rows that make it."""
        pool, chain = view[self.params.pool], view.domains[self._domain]
        side = _side(victim)
        front = self._largest_front(view, pool, victim)
        if front <= 0:
            return 0.0, []
        bought, back = _three_trades(pool, side, front, int(victim["size"]))[::2]
        profit = float(back - front)
        if side == SELL:
            profit *= pool.mid * pool.coins[1].scale / pool.coins[0].scale
        profit -= chain.fee_atoms(SWAP_EXACT_IN, SWAP_EXACT_IN)
        tip_atoms = int(max(0.0, profit) * self.params.bid_fraction)
        first = swap_exact_in(pool.index, self.account, side, front, bought)
        rows = [
            with_tip(first, tip_atoms),
            include(pool.index, self.account, transaction),
            swap_exact_in(pool.index, self.account, -side, bought, front),
        ]
        return profit - tip_atoms, bundle(rows)

    def _largest_front(self, view: View, pool: PoolView, victim: Any) -> int:
        """The front-run that leaves the victim just its minimum, as far as funds reach."""
        side, size, least = _side(victim), int(victim["size"]), int(victim["limit"])
        chain: ChainView = view.domains[self._domain]
        funds = int(view.balances[self.account, self._columns[side]])
        if side == BUY:
            funds -= chain.fee_atoms(SWAP_EXACT_IN, SWAP_EXACT_IN) * 2
        low, high = 0, max(0, funds)
        for _ in range(ROUNDS):
            middle = (low + high + 1) // 2
            if middle > low and _three_trades(pool, side, middle, size)[1] >= max(least, 1):
                low = middle
            else:
                high = middle - 1
            if high <= low:
                break
        return low


def _side(swap: Any) -> int:
    """BUY or SELL of the base, also of a swap that names its coins."""
    return int(swap["side"]) or (BUY if swap["trigger_ticks"] == 1 else SELL)


def _three_trades(pool: PoolView, side: int, front: int, size: int) -> tuple[int, int, int]:
    """What front-run, victim and back-run receive, one after the other."""
    paid, received = (1, 0) if side == BUY else (0, 1)
    x, y = pool.reserves_atoms[paid], pool.reserves_atoms[received]
    bought = int(quote_exact_in(x, y, pool.fee_ppm, front))
    got = int(quote_exact_in(x + front, y - bought, pool.fee_ppm, size))
    x, y = x + front + size, y - bought - got
    back = int(quote_exact_in(y, x, pool.fee_ppm, bought)) if bought else 0
    return bought, got, back
