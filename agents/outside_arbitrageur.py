"""Arbitrageurs between a pool and the outside price, who bid for their place in the block.

Outside the model any size trades at the reference price m without cost. The arbitrageur trades the
pool until its next unit, fee paid, costs just m (the pool's "input until price"), which earns most
for a pool whose price moves against the trade. It does so when what is left after gas is above
`minimum_profit`; of the profit it expects it offers `bid_fraction` to the builder as a tip. A swap
that would lose, since somebody else was there before, fails by its least output. Both assets are
held on the chain; what the outside leg would move is never sent, so inventory swings while profit,
valued at m, is exact.
Source: Milionis et al. 2022, arXiv 2208.06046 (the arbitrageur of loss-versus-rebalancing).
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.chain import ChainView
from markets.intents import (
    BUY,
    SELL,
    SWAP_EXACT_IN,
    Intent,
    privately,
    swap_exact_in,
    with_tip,
)
from markets.market import Market, View
from markets.pools.pool import PoolView


class OutsideArbitrageur(Trader):
    """Keeps one pool within its fee of the reference price."""

    class Params(Trader.Params):
        """Parameters; amounts in units."""

        pool: str
        """Name of the pool."""
        base: float = Field(gt=0)
        """Base held at the start."""
        quote: float = Field(gt=0)
        """Quote held at the start."""
        bid_fraction: float = Field(0.0, ge=0, lt=1)
        """Part of the expected profit that is offered as a tip."""
        minimum_profit: float = Field(0.0, ge=0)
        """Quote that must be left after gas and tip."""
        private: bool = False
        """Whether to send past the public queue."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.pool, f"{self.name}.pool")
        self._base, quote = venue.columns()[:2]
        held = {self._base.name: self.params.base, quote.name: self.params.quote}
        self.account = self.endow(market, venue.domain, held)
        self._domain = venue.domain
        self._columns = {
            BUY: market.ledger.column[quote.name],
            SELL: market.ledger.column[self._base.name],
        }
        self._scales = (self._base.scale, quote.scale)

    def act(self, view: View) -> Sequence[Intent]:
        """One swap to the edge of the band, if it pays for itself."""
        chain = view.domains[self._domain]
        if chain is not None and chain.must_wait(view.moment, self.account):
            return NOTHING
        pool, outside = view[self.params.pool], view.moment.reference[self._base.name]
        mid = pool.mid
        side = BUY if mid < outside else SELL
        input_atoms = pool.input_until(side, outside)
        if input_atoms <= 0:
            return NOTHING
        input_atoms = min(input_atoms, int(view.balances[self.account, self._columns[side]]))
        even = self._even_atoms(side, input_atoms, outside)
        swap = swap_exact_in(pool.index, self.account, side, input_atoms, even)
        if chain is None or not (chain.base_fee_atoms or self._picky):
            return [swap]
        return self._bid(swap, self._profit_atoms(pool, side, input_atoms, outside), chain)

    def _even_atoms(self, side: int, input_atoms: int, outside: float) -> int:
        """The output that is worth the input at the outside price: less would be a loss."""
        atomic = outside * self._scales[1] / self._scales[0]
        return int(input_atoms / atomic if side == BUY else input_atoms * atomic)

    @property
    def _picky(self) -> bool:
        params = self.params
        return bool(params.bid_fraction or params.minimum_profit or params.private)

    def _profit_atoms(self, pool: PoolView, side: int, input_atoms: int, outside: float) -> float:
        """Quote atoms gained at the outside price, before gas."""
        output_atoms = pool.output_atoms(side, input_atoms)
        base, quote = (output_atoms, -input_atoms) if side == BUY else (-input_atoms, output_atoms)
        base_scale, quote_scale = self._scales
        return base / base_scale * outside * quote_scale + quote

    def _bid(self, swap: Intent, profit_atoms: float, chain: ChainView) -> Sequence[Intent]:
        """The swap with its tip; nothing where gas and tip eat the profit. Gas is paid in quote."""
        after_gas = profit_atoms - chain.fee_atoms(SWAP_EXACT_IN)
        tip_atoms = int(after_gas * self.params.bid_fraction)
        if after_gas - tip_atoms <= self.params.minimum_profit * self._scales[1]:
            return NOTHING
        sent = with_tip(swap, tip_atoms) if tip_atoms > 0 else swap
        return [privately(sent) if self.params.private else sent]
