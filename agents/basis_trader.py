"""Basis traders: arbitrage between a spot book and a perpetual, carried until funding undoes it.

Where the perpetual's bid stands above the spot ask by more than the entry premium, the trader sells
perpetual and buys spot, `order_size` a step; below the spot bid by as much, the reverse, out of the
spot inventory it starts with. The position is carried and earns the funding that the premium makes.
Both legs are immediate-or-cancel; what fills on one side only is seen in the next step, when the
sum of both legs is brought back to flat on the spot book.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.derivatives.perpetual import Perpetual
from markets.intents import BUY, IMMEDIATE_OR_CANCEL, SELL, Intent, deposit, limit_order
from markets.market import Market, View
from markets.spot.order_book import BookView, OrderBook


class BasisTrader(Trader):
    """Keeps spot and perpetual together, hedged, up to a largest position."""

    class Params(Trader.Params):
        """Parameters; sizes in base units, premia as fractions of price."""

        spot: str
        perpetual: str
        base: float = Field(gt=0)
        """Spot inventory at the start, which the hedge is measured from."""
        quote: float = Field(gt=0)
        """Quote for spot purchases."""
        margin: float = Field(gt=0)
        """Quote deposited at the perpetual."""
        order_size: float = Field(1.0, gt=0)
        largest_position: float = Field(100.0, gt=0)
        entry_premium: float = Field(0.002, gt=0)
        slippage: float = Field(0.001, ge=0)

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        spot = market.venue(self.params.spot, f"{self.name}.spot", OrderBook)
        market.venue(self.params.perpetual, f"{self.name}.perpetual", Perpetual)
        base, quote = spot.columns()[:2]
        held = self.params.quote + self.params.margin
        self.account = self.endow(
            market, spot.domain, {base.name: self.params.base, quote.name: held}
        )
        self._base, self._base_column = base, market.ledger.column[base.name]

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first; then repair the hedge, and trade the premium where there is one."""
        spot, perpetual = view[self.params.spot], view[self.params.perpetual]
        if view.moment.step == 0:
            margin = spot.instrument.quote.to_atoms(self.params.margin)
            return [deposit(perpetual.index, self.account, margin)]
        held = self._base.to_units(int(view.balances[self.account, self._base_column]))
        lots = int(view.balances[self.account, perpetual.contract_column])
        position = perpetual.instrument.to_base(lots)
        imbalance = held - self.params.base + position
        if abs(imbalance) >= spot.instrument.lot_size:
            return self._order(spot, BUY if imbalance < 0 else SELL, abs(imbalance))
        if min(spot.bid_ticks, spot.ask_ticks, perpetual.bid_ticks, perpetual.ask_ticks) <= 0:
            return NOTHING
        return self._enter(spot, perpetual, position)

    def _enter(self, spot: BookView, perpetual: BookView, position: float) -> Sequence[Intent]:
        """Sell the dear leg and buy the cheap one, if the premium pays for it."""
        edge = 1 + self.params.entry_premium
        room = self.params.largest_position
        if perpetual.bid > spot.ask * edge and position > -room:
            side = SELL
        elif perpetual.ask * edge < spot.bid and position < room:
            side = BUY
        else:
            return NOTHING
        size = self.params.order_size
        return [*self._order(perpetual, side, size), *self._order(spot, -side, size)]

    def _order(self, book: BookView, side: int, size: float) -> Sequence[Intent]:
        """An immediate order through the best quote by at most the slippage allowed."""
        best = book.ask if side == BUY else book.bid
        instrument = book.instrument
        lots = instrument.to_lots(size)
        if not best > 0 or lots <= 0:
            return NOTHING
        limit_ticks = instrument.to_ticks(best * (1 + side * self.params.slippage))
        index = book.index
        return [limit_order(index, self.account, side, lots, limit_ticks, IMMEDIATE_OR_CANCEL)]
