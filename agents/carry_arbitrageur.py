"""Carry arbitrageurs: spot against perpetual for the sake of the funding, at a cost of capital.

Long spot and short perpetual earns the funding rate F and costs the carry g, the rate of quote less
the rate of base over a funding interval; the reverse earns -F and saves g. The trader knows the
rule of the venue and expects what the premium P seen now would bring if it stayed,

    F(P) = P + clamp(I - P, -d, +d), scaled to the interval and capped,
    sells perpetual and buys spot while   F(P) - g (1 + P) >  cost,
    buys perpetual and sells spot while   F(P) - g (1 + P) < -cost,

`order_size` a step until the premium it thereby moves leaves nothing to earn. `cost` is what
fees and spreads come to in an interval of the time that the position is meant to be held. Legs are
immediate-or-cancel; what fills on one side only is brought back to flat on the spot book.
Interest is not paid in the model: g stands for what the trader's money would bring elsewhere.
Sources: Ackerer, Hugonnier and Jermann, Perpetual Futures Pricing; funding as in `funding`.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.derivatives.funding import damped_rate, interval_rate
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.intents import BUY, IMMEDIATE_OR_CANCEL, SELL, Intent, deposit, limit_order
from markets.market import Market, View
from markets.spot.order_book import BookView

_HOURS_A_YEAR = 365 * 24.0
_SECONDS_AN_HOUR = 3_600.0


class CarryArbitrageur(Trader):
    """Holds spot and perpetual against each other, as much as the funding pays for."""

    class Params(Trader.Params):
        """Parameters; sizes in base units, rates and costs as fractions."""

        spot: str
        perpetual: str
        base: float = Field(gt=0)
        """Spot inventory at the start, which the hedge is measured from."""
        quote: float = Field(gt=0)
        margin: float = Field(gt=0)
        """Quote deposited at the perpetual."""
        order_size: float = Field(default=1.0, gt=0)
        largest_position: float = Field(default=1e6, gt=0)
        carry_per_year: float = 0.05
        """Rate of quote less rate of base."""
        cost: float = Field(default=0.00002, ge=0)
        """Fraction of the notional that an interval's funding must bring beyond the carry."""
        slippage: float = Field(default=0.001, ge=0)

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        spot = market.venue(self.params.spot, f"{self.name}.spot")
        perpetual = market.venue(self.params.perpetual, f"{self.name}.perpetual")
        if not isinstance(perpetual, Perpetual):
            raise ConfigError(f"{self.name}.perpetual", f"{perpetual.name} pays no funding")
        self._funding = perpetual.params
        base, quote = spot.columns()[:2]
        held = self.params.quote + self.params.margin
        self.account = self.endow(
            market, spot.domain, {base.name: self.params.base, quote.name: held}
        )
        self._base, self._base_column = base, market.ledger.column[base.name]

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first; then repair the hedge, and carry more or less."""
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
        side = self._side(self.edge(perpetual.premium), position)
        if not side:
            return NOTHING
        size = self.params.order_size
        return [*self._order(perpetual, side, size), *self._order(spot, -side, size)]

    def edge(self, premium: float) -> float:
        """What an interval would bring to a short hedged with spot, as a fraction of spot."""
        rule = self._funding
        hours = rule.funding_interval_seconds / _SECONDS_AN_HOUR
        rate = damped_rate(premium, rule.interest_rate, rule.funding_damper)
        funding = float(interval_rate(rate, hours, rule.funding_cap))
        return funding - self.params.carry_per_year * hours / _HOURS_A_YEAR * (1 + premium)

    def _side(self, edge: float, position: float) -> int:
        """The side to trade on the perpetual, 0 for none."""
        if edge > self.params.cost and position > -self.params.largest_position:
            return SELL
        if edge < -self.params.cost and position < self.params.largest_position:
            return BUY
        return 0

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
