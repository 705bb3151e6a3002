"""Market makers: two-sided quotes that lean against inventory, and leave when it gets rough.

Avellaneda and Stoikov (2008): a maker with risk aversion g, inventory q and horizon T - t, facing
orders that arrive at a rate falling as exp(-k d) with distance d from the price s, quotes around
the reservation price r with total spread w,

    r = s - q g sigma**2 (T - t),        w = g sigma**2 (T - t) + (2/g) ln(1 + g/k),

sigma in quote units per square root of the time unit. `MarketMaker` applies it to a price of its
own scale: s is the reference price, q counts orders of its own size, and half the spread is a
fraction of the price with a floor. It estimates volatility itself and cancels everything while the
estimate is above `withdraw_volatility_per_hour`, the behaviour that empties books in a crash.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from agents.trader import Trader
from agents.volatility import VolatilityMeter
from markets.derivatives.perpetual import Perpetual
from markets.intents import BUY, POST_ONLY, SELL, Intent, cancel_all, deposit, limit_order
from markets.market import Market, View
from markets.spot.order_book import OrderBook
from markets.venue import Venue


def reservation_price(
    mid: float, inventory: float, risk_aversion: float, variance: float, horizon: float
) -> float:
    """The price at which the maker is indifferent between buying and selling one more unit."""
    return mid - inventory * risk_aversion * variance * horizon


def optimal_spread(risk_aversion: float, decay: float, variance: float, horizon: float) -> float:
    """Total spread between the two quotes; `decay` is k, per quote unit."""
    inventory_part = risk_aversion * variance * horizon
    return inventory_part + 2 / risk_aversion * math.log1p(risk_aversion / decay)


class MarketMaker(Trader):
    """Quotes a ladder of orders on each side of one order book."""

    venue_kind: ClassVar[type[Venue]] = OrderBook

    class Params(Trader.Params):
        """Parameters of a market maker; sizes in base units, distances as fractions of price."""

        venue: str
        """The venue's name."""
        base: float = Field(0.0, ge=0)
        """Base it starts with, which is also the inventory it aims at."""
        quote: float = Field(0.0, ge=0)
        """Quote it starts with."""
        order_size: float = Field(1.0, gt=0, le=1e9)
        """Size of one order."""
        levels: int = Field(5, ge=1, le=100)
        """Orders on each side."""
        level_distance: float = Field(0.001, gt=0, lt=0.1)
        """Distance between orders of one side."""
        half_spread: float = Field(0.0005, gt=0, lt=0.1)
        """Least distance of the best quotes from the reservation price."""
        risk_aversion: float = Field(0.5, gt=0, le=1e6)
        """g, for inventory counted in orders and price moves counted as fractions of price."""
        largest_skew: float = Field(0.005, ge=0, lt=0.5)
        """How far, as a fraction of price, inventory may move the quotes."""
        horizon_seconds: float = Field(60.0, gt=0)
        """T - t: how long it reckons with carrying inventory."""
        volatility_half_life_seconds: float = Field(300.0, gt=0)
        """Half-life of its estimate of volatility."""
        initial_volatility_per_hour: float = Field(0.006, ge=0)
        """The estimate at the start."""
        withdraw_volatility_per_hour: float = Field(0.03, gt=0)
        """The estimate above which it cancels everything."""
        return_fraction: float = Field(0.8, gt=0, le=1)
        """It quotes again when the estimate is below this part of the threshold."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue", self.venue_kind)
        base, quote = venue.columns()[:2]
        self.account = self.endow(
            market, venue.domain, {base.name: self.params.base, quote.name: self.params.quote}
        )
        self._base_column = market.ledger.column[base.name]
        self._base = base
        self._meter = VolatilityMeter(
            self.params.volatility_half_life_seconds, self.params.initial_volatility_per_hour
        )
        self.quoting = True

    def inventory(self, view: View) -> float:
        """Base units held above what the maker aims at, open orders counted as held."""
        book = view[self.params.venue]
        held = self._base.to_units(int(view.balances[self.account, self._base_column]))
        orders = book.open_orders(self.account)
        offered = book.instrument.to_base(int(orders.remaining_lots[orders.side == SELL].sum()))
        return float(held + offered - self.params.base)

    def act(self, view: View) -> Sequence[Intent]:
        """Replace all quotes, or withdraw them."""
        book = view[self.params.venue]
        price = view.moment.reference[book.instrument.base.name]
        self._meter.update(price, view.moment.step_seconds)
        self._decide_to_quote()
        clear = [cancel_all(book.index, self.account)]
        if not self.quoting:
            return clear
        return clear + self._ladder(view, price)

    def _decide_to_quote(self) -> None:
        limit = self.params.withdraw_volatility_per_hour
        estimate = self._meter.per_hour
        if self.quoting and estimate > limit:
            self.quoting = False
            self.note("withdraws", estimate)
        elif not self.quoting and estimate < limit * self.params.return_fraction:
            self.quoting = True
            self.note("returns", estimate)

    def _ladder(self, view: View, price: float) -> list[Intent]:
        """Post-only orders on both sides; none crosses the other side of the maker's own."""
        params = self.params
        book = view[params.venue]
        variance = self._meter.per_root_second**2
        inventory = self.inventory(view) / params.order_size
        skew = reservation_price(
            0.0, inventory, params.risk_aversion, variance, params.horizon_seconds
        )
        skew = min(max(skew, -params.largest_skew), params.largest_skew)
        half = params.half_spread + params.risk_aversion * variance * params.horizon_seconds / 2
        size = book.instrument.to_lots(params.order_size)
        orders = []
        for level in range(params.levels):
            distance = half + level * params.level_distance
            for side in (BUY, SELL):
                quote = price * (1 + skew - side * distance)
                ticks = book.instrument.to_ticks(quote)
                if ticks > 0:
                    orders.append(
                        limit_order(book.index, self.account, side, size, ticks, POST_ONLY)
                    )
        return orders


class PerpetualMaker(MarketMaker):
    """The same maker on a perpetual: its inventory is a position, its quote balance its margin."""

    venue_kind: ClassVar[type[Venue]] = Perpetual

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit at the start, then quote."""
        orders = super().act(view)
        if view.moment.step:
            return orders
        perpetual = view[self.params.venue]
        margin = perpetual.instrument.quote.to_atoms(self.params.quote)
        return [deposit(perpetual.index, self.account, margin), *orders]

    def inventory(self, view: View) -> float:
        """The position in base units."""
        perpetual = view[self.params.venue]
        lots = int(view.balances[self.account, perpetual.contract_column])
        return float(perpetual.instrument.to_base(lots))
