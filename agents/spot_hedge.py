"""What traders of spot against a perpetual have in common: two legs that are kept together.

The trader holds an inventory of the base asset and a position on the perpetual of the opposite
sign: holdings less `base` plus position is nought. A decision is a side of the perpetual; the spot
leg is its mirror, both immediate-or-cancel, `order_size` each. What fills on one side only is seen
in the next step, when the sum of both legs is brought back to flat on the spot book.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from agents.immediate_order import immediate_order
from agents.trader import NOTHING, Trader
from markets.derivatives.perpetual import Perpetual
from markets.intents import BUY, SELL, Intent, deposit
from markets.market import Market, View
from markets.spot.order_book import BookView, OrderBook


class SpotHedge(Trader, ABC):
    """Keeps spot and perpetual together, up to a largest position; subclasses pick the side."""

    class Params(Trader.Params):
        """Parameters; sizes in base units, rates and costs as fractions of price."""

        spot: str
        """Name of the spot order book."""
        perpetual: str
        """Name of the perpetual."""
        base: float = Field(gt=0)
        """Spot inventory at the start, which the hedge is measured from."""
        quote: float = Field(gt=0)
        """Quote for spot purchases."""
        margin: float = Field(gt=0)
        """Quote deposited at the perpetual."""
        order_size: float = Field(1.0, gt=0)
        """Size of both legs in one step."""
        largest_position: float = Field(100.0, gt=0)
        """Position on the perpetual, either way, beyond which it stops."""
        slippage: float = Field(0.001, ge=0)
        """How far through the best quote an order may go."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        spot = market.venue(self.params.spot, f"{self.name}.spot", OrderBook)
        perpetual = market.venue(self.params.perpetual, f"{self.name}.perpetual", Perpetual)
        self.contract: Perpetual.Params = perpetual.params
        base, quote = spot.columns()[:2]
        held = self.params.quote + self.params.margin
        self.account = self.endow(
            market, spot.domain, {base.name: self.params.base, quote.name: held}
        )
        self._base, self._base_column = base, market.ledger.column[base.name]

    @abstractmethod
    def side(self, spot: BookView, perpetual: Any) -> int:
        """BUY or SELL on the perpetual, 0 where trading earns nothing; both books have quotes."""

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first; then repair the hedge, or trade both legs where that pays."""
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
        side, size = self.side(spot, perpetual), self.params.order_size
        if not side or side * position >= self.params.largest_position:
            return NOTHING
        return [*self._order(perpetual, side, size), *self._order(spot, -side, size)]

    def _order(self, book: BookView, side: int, size: float) -> Sequence[Intent]:
        return immediate_order(book, self.account, side, size, self.params.slippage)
