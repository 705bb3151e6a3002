"""Arbitrageurs between an order book and a pool: they carry the price from one to the other.

When the pool sells below the book's bid by more than both fees, the arbitrageur buys from the pool
until its next unit costs what the bid brings after the taker fee, and sells as much on the book;
and the other way round. The pool's answer to "input until price p" is a closed form. Both legs are
sent in one step to two domains that know nothing of each other, so a leg can fail or fill in part:
that risk is real and stays in the inventory, which limits what is sent. It sends nothing in a step
without a block, nor while its last swap waits for one: its book leg would be filled at once.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.intents import (
    BUY,
    IMMEDIATE_OR_CANCEL,
    SELL,
    Intent,
    limit_order,
    swap_exact_in,
    with_tip,
)
from markets.market import Market, View
from markets.pools.pool import Pool
from markets.rounding import PPM
from markets.spot.order_book import OrderBook


class PoolArbitrageur(Trader):
    """Trades a pool against an order book, with inventory in both domains."""

    class Params(Trader.Params):
        """Parameters; amounts in units are held in each of the two domains."""

        book: str
        """Name of the order book."""
        pool: str
        """Name of the pool."""
        base: float = Field(gt=0)
        """Base held in each domain at the start."""
        quote: float = Field(gt=0)
        """Quote held in each domain at the start."""
        book_fee_ppm: int = Field(500, ge=0)
        """Taker fee of the book that it counts on."""
        minimum_profit_ppm: int = Field(100, ge=0)
        """Edge that it asks for beyond all fees."""
        depth_fraction: float = Field(0.5, gt=0, le=1)
        """Part of the book's lots within `slippage_ppm` that it dares to take."""
        slippage_ppm: int = Field(1_000, ge=0)
        """How far through the book's best quote its order may go."""
        tip: float = Field(0.0, ge=0)
        """Tip to the block builder, in units of quote."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        book, pool = (
            market.venue(self.params.book, f"{self.name}.book", OrderBook),
            market.venue(self.params.pool, f"{self.name}.pool", Pool),
        )
        base, quote = book.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote}
        self.book_account = self.endow(market, book.domain, held)
        self.pool_account = self.endow(market, pool.domain, held)
        self._domain = pool.domain
        self._columns = {
            BUY: market.ledger.column[quote.name],
            SELL: market.ledger.column[base.name],
        }
        self._tip_atoms = quote.to_atoms(self.params.tip)

    def act(self, view: View) -> Sequence[Intent]:
        """Compare the pool with the book on both sides; at most one side can pay."""
        chain = view.domains[self._domain]
        if chain is not None and chain.must_wait(view.moment, self.pool_account):
            return NOTHING
        book, pool = view[self.params.book], view[self.params.pool]
        cost = (self.params.book_fee_ppm + self.params.minimum_profit_ppm) / PPM
        slip = self.params.slippage_ppm / PPM
        if book.bid_ticks > 0 and pool.ask < book.bid * (1 - cost):
            worst = book.bid * (1 - slip)
            return self._legs(view, BUY, max(pool.ask, worst * (1 - cost)), worst)
        if book.ask_ticks > 0 and pool.bid > book.ask * (1 + cost):
            worst = book.ask * (1 + slip)
            return self._legs(view, SELL, min(pool.bid, worst * (1 + cost)), worst)
        return NOTHING

    def _legs(
        self, view: View, side: int, pool_limit: float, book_limit: float
    ) -> Sequence[Intent]:
        """A swap on the pool and the opposite order on the book, of the same base size."""
        book, pool = view[self.params.book], view[self.params.pool]
        limit_ticks = book.instrument.to_ticks(book_limit)
        takeable = int(book.depth_lots(side, limit_ticks) * self.params.depth_fraction)
        most_base = takeable * book.instrument.lot_atoms
        if side == SELL:
            afford = view.balances[self.book_account, self._columns[BUY]]
            ratio = book.instrument.base.scale / book.instrument.quote.scale
            most_base = min(most_base, int(afford / book_limit * ratio))
        else:
            most_base = min(most_base, int(view.balances[self.book_account, self._columns[SELL]]))
        input_atoms = self._input(view, side, pool_limit, most_base)
        output_atoms = pool.output_atoms(side, input_atoms) if input_atoms > 0 else 0
        base_atoms = output_atoms if side == BUY else input_atoms
        lots = base_atoms // book.instrument.lot_atoms
        if lots <= 0 or output_atoms <= 0:
            return NOTHING
        swap = swap_exact_in(pool.index, self.pool_account, side, input_atoms, output_atoms)
        return [
            with_tip(swap, self._tip_atoms),
            limit_order(
                book.index, self.book_account, -side, lots, limit_ticks, IMMEDIATE_OR_CANCEL
            ),
        ]

    def _input(self, view: View, side: int, pool_limit: float, most_base_atoms: int) -> int:
        """Pool input in atoms: up to the limit price, the book's depth and the own balance."""
        pool = view[self.params.pool]
        wanted = pool.input_until(side, pool_limit)
        held = int(view.balances[self.pool_account, self._columns[side]]) - self._tip_atoms
        if side == SELL:
            return min(wanted, held, most_base_atoms)
        most_base = min(most_base_atoms, pool.base_atoms // 2)
        return min(wanted, held, max(0, pool.input_atoms(BUY, most_base))) if most_base else 0
